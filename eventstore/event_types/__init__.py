"""The registry of event classes and upcasters, with stable names and schema versions in place of class names."""

from eventstore.event_types.finding import EventTypeFinding
from eventstore.event_types.registry import EventTypes
from eventstore.event_types.upcasting import PlainEvent

__all__ = ["EventTypeFinding", "EventTypes", "PlainEvent"]
