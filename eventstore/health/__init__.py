"""Is the store healthy? An answer for readiness endpoints, container probes and alarms, within a bounded time."""

from eventstore.health.report import ConnectionHealth, Health, PoolHealth, ProjectionHealth, SchemaHealth

__all__ = [
    "ConnectionHealth",
    "Health",
    "PoolHealth",
    "ProjectionHealth",
    "SchemaHealth",
]
