"""The events that the tests append, and what they read."""

from typing import Final

from eventstore import EventFilter, NewEvent

COURSE: Final = EventFilter(tags=["course:1"])


def tagged(*tags: str, event_type: str = "student-enrolled") -> NewEvent:
    return NewEvent(event_type, tags=tags)


UNTAGGED: Final = EventFilter(event_types=["noted"])


def noted(*tags: str) -> NewEvent:
    return tagged(*tags, event_type="noted")
