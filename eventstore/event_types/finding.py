"""The result of checking the events of one type and schema version."""

from dataclasses import dataclass

from eventstore.errors import DecodingError
from eventstore.event_types.upcasting import Shape


@dataclass(frozen=True, slots=True)
class EventTypeFinding:
    """Whether the events of one type and schema version can be read.

    Attributes:
        event_type: The stored event type.
        schema_version: The stored schema version.
        sampled: How many events were read.
        failed: How many of them can't be read.
        failures: The errors of the first ten of them. Each names its stream and version.
        read_as: The event types and schema versions that the others are read as, sorted; empty if all are dropped.
    """

    event_type: str
    schema_version: int
    sampled: int
    failed: int
    failures: tuple[DecodingError, ...]
    read_as: tuple[Shape, ...]
