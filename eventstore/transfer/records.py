"""What an export consists of, apart from how it is written."""

from dataclasses import dataclass
from datetime import datetime

from eventstore.rows.mapper import StoredEvent
from eventstore.tokens import PositionToken

FORMAT = 1
"""Of exports. A file of a larger number is refused: newer code has written it."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """Where an export begins, or where one that was broken off goes on.

    Attributes:
        after_position: It has the events after this one, as far as they match.
        filters: What was exported, in words; empty where everything was.
    """

    after_position: int
    filters: str = ""


@dataclass(frozen=True, slots=True)
class StreamTimes:
    """When a stream was created, and last appended to.

    Attributes:
        stream_id: The stream.
        version: The version that it had when this was read.
        created_at: When its head was stored.
        updated_at: When its head was last advanced.
    """

    stream_id: str
    version: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class SavedSnapshot:
    """A row of snapshots."""

    stream_id: str
    schema_version: int
    version: int
    codec: int
    state: bytes
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a projection had come."""

    name: str
    position: int


@dataclass(frozen=True, slots=True)
class End:
    """That nothing is missing.

    Attributes:
        position: Everything up to here that matches is in the export.
        events: How many events this part of it has, since its beginning.
        last: The last event of the whole export, of this part or of one before it; None if it has none. Whoever goes on
            finds it here, without reading back over all that follows the events.
    """

    position: int
    events: int
    last: PositionToken | None = None


Record = Beginning | StoredEvent | StreamTimes | SavedSnapshot | Checkpoint | End
