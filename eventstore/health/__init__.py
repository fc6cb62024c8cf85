"""Is the store healthy? An answer for readiness endpoints, container probes and alarms, within a bounded time."""

from eventstore.health.check import HealthCheck
from eventstore.health.report import ConnectionHealth, Health, PoolHealth, ProjectionHealth, SchemaHealth
from eventstore.health.thresholds import Thresholds

__all__ = [
    "ConnectionHealth",
    "Health",
    "HealthCheck",
    "PoolHealth",
    "ProjectionHealth",
    "SchemaHealth",
    "Thresholds",
]
