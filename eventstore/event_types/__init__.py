"""The registry of event classes and upcasters: stable names and schema versions instead of class names."""

from eventstore.event_types.registry import EventTypes, check_registry

__all__ = ["EventTypes", "check_registry"]
