"""What looking at a store finds, good or bad: of the schema, of what is stored, of the server, of projections."""

from dataclasses import KW_ONLY, asdict, dataclass, field
from enum import Enum
from typing import Any


class Level(Enum):
    """How good or bad something is."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


class FindingKind(Enum):
    """A kind of damage. docs/how-to/verify-and-repair.md says of each why it happens, and what to do."""

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
    """A constraint is not there, is another one, or was never checked against older rows."""

    SCHEMA_VERSION_WRONG = "schema-version-wrong"
    """es_schema, or the version table, says another revision than the tables are of."""

    SCHEMA_PENDING = "schema-pending"
    """Revisions are not yet applied: the tables are of an older one."""

    SCHEMA_INCOMPLETE = "schema-incomplete"
    """A table or a column is not there, or a column is another one: the rest can't be read."""

    SCHEMA_DIFFERS = "schema-differs"
    """Something else of the tables is not what it should be, or should not be there."""

    NOT_LOOKED_AT = "not-looked-at"
    """The database user has no right to look at this part, so it is not known whether there is damage."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that was found. It never holds a payload.

    Attributes:
        level: How good or bad it is.
        subject: What it is about, such as `stream 'order-1', version 3`, `es_events.data` or `autovacuum`.
        found: What was found.
        remedy: What to do, as text, with SQL for psql or the sqlite3 shell if that does it; empty if all is well.
        kind: What kind of damage it is; None if it is none, but a setting, say.
        expected: What should have been found; empty if that is clear.
        statements: The SQL of the remedy, each statement outside of a transaction; `migrations.fix` executes them.
            Empty if there is none, or if it takes a backup or a decision. Not compared: they also depend on what else
            stands in the table.
        repairable: Whether `repair` does what the remedy says, if the rows allow it: nothing is lost, and there is
            nothing to decide.
        table: The table.
        name: Of the column, constraint, index or trigger; of the projection; of the event type.
        stream_id: The stream.
        version: The version in the stream.
        position: The place in the global order.
        schema_version: Of the event or the snapshot.
    """

    level: Level
    subject: str
    found: str
    remedy: str = ""
    _: KW_ONLY
    kind: FindingKind | None = None
    expected: str = ""
    statements: tuple[str, ...] = field(default=(), compare=False)
    repairable: bool = False
    table: str | None = None
    name: str | None = None
    stream_id: str | None = None
    version: int | None = None
    position: int | None = None
    schema_version: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it as values that JSON has, without the statements: the remedy has those that can be printed."""
        values = asdict(self)
        del values["statements"]
        return values | {"level": self.level.value, "kind": None if self.kind is None else self.kind.value}

    def __str__(self) -> str:
        kind = "" if self.kind is None else f"{self.kind.value}: "
        expected = f"; expected: {self.expected}" if self.expected else ""
        remedy = f"; {self.remedy}" if self.remedy else ""
        return f"{kind}{self.subject}: {self.found}{expected}{remedy}"
