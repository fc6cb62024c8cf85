"""What `verify` finds: which kinds of damage there are, and where each was found."""

from dataclasses import dataclass
from enum import Enum


class FindingKind(Enum):
    """A kind of damage. docs/how-to/verify-and-repair.md says of each why it happens, and how to mend it."""

    HEAD_BEHIND = "head-behind"
    """The head of a stream says less than its newest event."""

    HEAD_AHEAD = "head-ahead"
    """The head of a stream says more than its newest event."""

    HEAD_MISSING = "head-missing"
    """There are events of a stream that has no head."""

    HEAD_WITHOUT_EVENTS = "head-without-events"
    """There is a head of a stream that has no events."""

    VERSIONS_MISSING = "versions-missing"
    """A stream has a hole."""

    VERSION_DOUBLED = "version-doubled"
    """Two events have the same place in a stream."""

    POSITIONS_OUT_OF_ORDER = "positions-out-of-order"
    """A later event of a stream comes earlier in the global order."""

    POSITION_DOUBLED = "position-doubled"
    """Two events have the same place in the global order."""

    EVENT_UNREADABLE = "event-unreadable"
    """The payload or metadata of an event can't be read."""

    EVENT_TYPE_UNKNOWN = "event-type-unknown"
    """Events are stored of a type that the given event types do not know."""

    SCHEMA_VERSION_UNKNOWN = "schema-version-unknown"
    """Events are stored with a schema version that the given event types can't read."""

    SNAPSHOT_BEYOND_HEAD = "snapshot-beyond-head"
    """A snapshot is newer than its stream."""

    SNAPSHOT_WITHOUT_STREAM = "snapshot-without-stream"
    """There is a snapshot of a stream that has no head."""

    SNAPSHOT_UNREADABLE = "snapshot-unreadable"
    """The state of a snapshot can't be read."""

    POSITIONS_BEHIND = "positions-behind"
    """Positions that are stored already will be given out again."""

    POSITIONS_CACHED = "positions-cached"
    """Sessions keep a stock of positions, so readers would miss events."""

    CHECKPOINT_BEYOND_LOG = "checkpoint-beyond-log"
    """A projection has come further than there are events."""

    DEAD_LETTER_WITHOUT_EVENT = "dead-letter-without-event"
    """A dead letter waits for an event that is not there."""

    INDEX_MISSING = "index-missing"
    """An index is not there."""

    INDEX_INVALID = "index-invalid"
    """A failed build has left an index that is not used."""

    CONSTRAINT_MISSING = "constraint-missing"
    """A constraint is not there, or was never checked against older rows."""

    SCHEMA_VERSION_WRONG = "schema-version-wrong"
    """The row that says which version the tables are of is missing or wrong."""

    SCHEMA_DIFFERS = "schema-differs"
    """A table or column is not what it should be."""

    NOT_LOOKED_AT = "not-looked-at"
    """The database user has no right to look at this part. It is no damage, and nobody knows whether there is some."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Damage that was found. It never holds a payload.

    Attributes:
        kind: What kind of damage it is.
        found: What was found.
        expected: What should have been found.
        remedy: How to mend it.
        repairable: Whether `repair` mends it.
        stream_id: The stream.
        version: The version in the stream.
        position: The place in the global order.
        schema_version: Of the event or the snapshot.
        name: Of the projection, the event type, the table, or what belongs to the table.
    """

    kind: FindingKind
    found: str
    expected: str
    remedy: str
    repairable: bool = False
    stream_id: str | None = None
    version: int | None = None
    position: int | None = None
    schema_version: int | None = None
    name: str | None = None

    @property
    def where(self) -> str:
        """Where it was found, in words."""
        named = {
            "{}": self.name,
            "stream {!r}": self.stream_id,
            "version {}": self.version,
            "position {}": self.position,
            "schema version {}": self.schema_version,
        }
        return ", ".join(words.format(value) for words, value in named.items() if value is not None)

    def __str__(self) -> str:
        return f"{self.kind.value}: {self.where}: {self.found}; expected: {self.expected}; {self.remedy}"
