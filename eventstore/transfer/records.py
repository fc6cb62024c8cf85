"""The records of an export, independent of the format of its file."""

from dataclasses import dataclass
from datetime import datetime

from eventstore.rows.mapper import StoredEvent
from eventstore.tokens import PositionToken

FORMAT = 1
"""The version of the format of exports. A file of a higher one is refused, because newer code has written it."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """The beginning of an export, or of the part that continues an interrupted one.

    Attributes:
        after_position: Exclusive; it has the matching events of higher positions.
        filters: The filters as text; empty if everything was exported.
    """

    after_position: int
    filters: str = ""


@dataclass(frozen=True, slots=True)
class StreamTimes:
    """The times of a stream's creation and of its last append.

    Attributes:
        stream_id: The stream.
        version: Its version when this was read.
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
    """The checkpoint of a projection."""

    name: str
    position: int


@dataclass(frozen=True, slots=True)
class End:
    """The end of an export or of a part of it: it proves that nothing is missing.

    Attributes:
        position: Every matching event up to here, inclusive, is in the export.
        events: How many events this part has, since its beginning.
        last: The last event of the whole export, of this part or of an earlier one; None if it has none. A resumed
            export finds it here without reading back over the records that follow the events.
    """

    position: int
    events: int
    last: PositionToken | None = None


Record = Beginning | StoredEvent | StreamTimes | SavedSnapshot | Checkpoint | End
