"""What the store says of the events of one type and schema version."""

from dataclasses import dataclass

from eventstore.errors import DecodingError
from eventstore.event_types.upcasting import Shape


@dataclass(frozen=True, slots=True)
class EventTypeFinding:
    """How the events of one type and schema version are read.

    Attributes:
        event_type: The event type, as it is stored.
        schema_version: The schema version, as it is stored.
        sampled: How many events were read.
        failed: How many of them can't be read.
        failures: Why, for the first ten of them: each names its stream and version.
        read_as: The event types and schema versions that were made of them, sorted; none if all were dropped.
    """

    event_type: str
    schema_version: int
    sampled: int
    failed: int
    failures: tuple[DecodingError, ...]
    read_as: tuple[Shape, ...]
