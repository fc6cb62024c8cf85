"""Findings of checks: about the schema, the stored data, the server and projections."""

from dataclasses import KW_ONLY, asdict, dataclass, field
from enum import Enum
from typing import Any


class Level(Enum):
    """How severe a finding is."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


class FindingKind(Enum):
    """A kind of damage. docs/how-to/verify-and-repair.md explains why each happens, and what to do."""

    HEAD_BEHIND = "head-behind"
    """The head of a stream has a lower version than its newest event."""

    HEAD_AHEAD = "head-ahead"
    """The head of a stream has a higher version than its newest event."""

    HEAD_MISSING = "head-missing"
    """A stream has events, but no head."""

    HEAD_WITHOUT_EVENTS = "head-without-events"
    """A stream has a head, but no events."""

    VERSIONS_MISSING = "versions-missing"
    """The versions of a stream have a gap."""

    VERSION_DOUBLED = "version-doubled"
    """Two events of a stream have the same version."""

    POSITIONS_OUT_OF_ORDER = "positions-out-of-order"
    """An event of a stream has a lower position than an earlier one."""

    POSITION_DOUBLED = "position-doubled"
    """Two events have the same position."""

    VALUE_OUT_OF_BOUNDS = "value-out-of-bounds"
    """A stream id, or a value of an event, is one that the store never writes, such as a negative codec."""

    EVENT_UNREADABLE = "event-unreadable"
    """The payload or metadata of an event can't be read."""

    EVENT_TYPE_UNKNOWN = "event-type-unknown"
    """Events are stored with a type that the event types do not know."""

    SCHEMA_VERSION_UNKNOWN = "schema-version-unknown"
    """Events are stored with a schema version that the event types can't read."""

    EVENTS_HIDDEN = "events-hidden"
    """A head says that its stream begins later than it does, so reads of a partitioned log miss its first events."""

    SNAPSHOT_BEYOND_HEAD = "snapshot-beyond-head"
    """A snapshot has a higher version than the head of its stream."""

    SNAPSHOT_WITHOUT_STREAM = "snapshot-without-stream"
    """A snapshot's stream has no head."""

    SNAPSHOT_UNREADABLE = "snapshot-unreadable"
    """The state of a snapshot can't be read."""

    POSITIONS_BEHIND = "positions-behind"
    """The sequence would draw positions again that are already stored."""

    POSITIONS_CACHED = "positions-cached"
    """Each session draws several positions at a time, so readers would miss events."""

    CHECKPOINT_BEYOND_LOG = "checkpoint-beyond-log"
    """The checkpoint of a projection is beyond the newest event."""

    DEAD_LETTER_WITHOUT_EVENT = "dead-letter-without-event"
    """The event of a dead letter does not exist."""

    TAG_MISSING = "tag-missing"
    """An event has a tag, in its metadata, that is not in es_event_tags, so that reads by the tag miss the event."""

    TAG_SUPERFLUOUS = "tag-superfluous"
    """es_event_tags has a tag that its event does not have."""

    INDEX_MISSING = "index-missing"
    """An index does not exist."""

    INDEX_INVALID = "index-invalid"
    """A failed build has left an index that is not used."""

    CONSTRAINT_MISSING = "constraint-missing"
    """A constraint does not exist, is different, or was never validated against older rows."""

    SCHEMA_VERSION_WRONG = "schema-version-wrong"
    """es_schema, or the version table, names another revision than that of the tables."""

    SCHEMA_PENDING = "schema-pending"
    """Revisions are not yet applied; the tables are of an older one."""

    SCHEMA_INCOMPLETE = "schema-incomplete"
    """A table or a column does not exist, or a column is different, so that the rest can't be read."""

    SCHEMA_DIFFERS = "schema-differs"
    """Another difference of the tables: something is not as it should be, or should not exist."""

    NOT_LOOKED_AT = "not-looked-at"
    """The database user has no right to look at this part, so it may have damage."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One result of a check, good or bad. It never holds a payload.

    Attributes:
        level: How severe it is.
        subject: What it is about, such as `stream 'order-1', version 3`, `es_events.data` or `autovacuum`.
        found: What the check has found.
        remedy: What to do, as text, with SQL for psql or the sqlite3 shell if that helps; empty if all is well.
        kind: The kind of damage; None if it is not damage, but, for example, a setting.
        expected: What should have been found; empty if that is clear.
        statements: The SQL of the remedy, each statement outside of a transaction; `migrations.fix` executes them.
            Empty if there is none, or if it takes a backup or a decision. Not compared, because they also depend on
            the rest of the table.
        repairable: Whether `repair` applies the remedy, if the rows allow it. It loses nothing and needs no decision.
        table: The table.
        name: The name of the column, constraint, index, trigger, projection or event type.
        stream_id: The stream.
        version: The version in the stream.
        position: The position in the global order.
        schema_version: The schema version of the event or the snapshot.
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
        """Return it as JSON values, without the statements; the remedy has those that can be printed."""
        values = asdict(self)
        del values["statements"]
        return values | {"level": self.level.value, "kind": None if self.kind is None else self.kind.value}

    def __str__(self) -> str:
        kind = "" if self.kind is None else f"{self.kind.value}: "
        expected = f"; expected: {self.expected}" if self.expected else ""
        remedy = f"; {self.remedy}" if self.remedy else ""
        return f"{kind}{self.subject}: {self.found}{expected}{remedy}"
