"""The definition of the tables and their columns.

They are plain SQLAlchemy tables, so you can read them together with yours: `select(tables.events)`. Write only through
the store, which keeps heads and events consistent. Alembic revisions create them (`eventstore.migrations`); a test
compares both.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Self

from sqlalchemy import (
    DDL,
    BigInteger,
    CheckConstraint,
    Column,
    Computed,
    DateTime,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    event,
    literal_column,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import ColumnElement
from sqlalchemy.types import JSON

from eventstore.common.validation import check_schema_name
from eventstore.tables.after_position import start_streams_at_newest_position
from eventstore.tables.immutability import PERMISSION_TABLE, protect
from eventstore.tables.names import qualified_name

SCHEMA_VERSION: Final = 12
"""The version of these tables, written to es_schema by the newest revision."""

BREAKING_VERSION: Final = 1
"""The newest version of the tables that is incompatible with older code."""

STREAMS_CAN_END: Final = 6
"""The version since which es_streams has the columns `ENDS`."""

EVENTS_HAVE_TAGS: Final = 9
"""The version since which there is a table of the tags of events."""

STREAMS_HAVE_AFTER_POSITION: Final = 10
"""The version since which es_streams has `after_position`."""

PARTS_CAN_BE_DETACHED: Final = 11
"""The version since which es_events can be partitioned, and its parts detached."""

CLOSED_CHECKS: Final = ("es_streams_deleted_version_check", "es_streams_archived_version_check")
"""The check constraints that refuse appends to streams that were deleted or archived. Tables from es_0008 on have only
the first one, for both, and checks of few other values: the server parses each check again at every append."""

ENDS: Final = ("deleted_version", "archived_version")
"""The columns of es_streams that say that a stream was deleted or archived; NULL while it takes events."""

_KEY_TEXT: Final = Text(collation="C").with_variant(Text(), "sqlite")
"""A text that is compared byte by byte, in the same order on every machine, and faster than by a language's rules."""

_BIG: Final = BigInteger().with_variant(Integer(), "sqlite")
_TIME: Final = DateTime(timezone=True)
_JSON: Final = JSONB().with_variant(JSON(), "sqlite")


@dataclass(frozen=True, slots=True)
class Layout:
    """What statements must know of the tables in a database.

    Attributes:
        streams_can_end: Whether es_streams has the columns that say which streams have ended.
        has_after_position: Whether es_streams has `after_position`.
        is_partitioned: Whether es_events is partitioned by position, so that statements say which parts they need, and
            look whether these were detached.
    """

    streams_can_end: bool = True
    has_after_position: bool = True
    is_partitioned: bool = False

    @classmethod
    def of(cls, schema_version: int, *, is_partitioned: bool) -> Self:
        """Return the layout of tables at a version."""
        has_after_position = schema_version >= STREAMS_HAVE_AFTER_POSITION
        return cls(
            streams_can_end=schema_version >= STREAMS_CAN_END,
            has_after_position=has_after_position,
            is_partitioned=is_partitioned and schema_version >= PARTS_CAN_BE_DETACHED,
        )


NEWEST: Final = Layout()
"""The layout of the newest tables, not partitioned."""


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables of one event store.

    Attributes:
        metadata: The MetaData that they belong to.
        streams: The heads: one row for each stream, with its current version, which writers lock.
        events: The events.
        snapshots: The newest saved state of each stream, by the schema version of the state.
        schema: One row with the version of these tables in the database.
        checkpoints: The checkpoints: one row for each projection.
        dead_letters: The dead letters of projections.
        tags: The tags of events, by tag and position. Rows of the empty tag have the generations of the table.
        detached_parts: The parts of the log that were detached: one row for each, with where it was exported to.
        permission: On SQLite, has a row within a transaction that may change history; otherwise None.
    """

    metadata: MetaData
    streams: Table
    events: Table
    snapshots: Table
    schema: Table
    checkpoints: Table
    dead_letters: Table
    tags: Table
    detached_parts: Table
    permission: Table | None

    @property
    def layout(self) -> Layout:
        """What the tables in the database are like."""
        layout: Layout = self.metadata.info["layout"]
        return layout


class _Clock(ColumnElement[Any]):
    """The database's clock at this moment, for defaults."""

    inherit_cache = True
    type = _TIME


class _Now(ColumnElement[Any]):
    """The database's clock when the statement began, not at the start of the transaction."""

    inherit_cache = True
    type = _TIME


class _CoveringKey(PrimaryKeyConstraint):
    """The key of es_event_tags, whose index has the event type, too (PostgreSQL). A scan of it needs no row."""


class _CategoryOf(ColumnElement[Any]):
    """The part of stream_id before the first `-`."""

    inherit_cache = True
    type = Text()


@compiles(_Clock)
def _clock(*_: Any, **__: Any) -> str:
    return "clock_timestamp()"


@compiles(_Now)
def _now(*_: Any, **__: Any) -> str:
    return "statement_timestamp()"


@compiles(_Clock, "sqlite")
@compiles(_Now, "sqlite")
def _now_sqlite(_: Any, compiler: Any, **__: Any) -> str:
    # a literal column, so that % is doubled if the parameter style needs it
    sql: str = compiler.process(literal_column("(strftime('%Y-%m-%d %H:%M:%f000', 'now'))"))
    return sql


@compiles(_CoveringKey, "postgresql")
def _covering_key(key: _CoveringKey, compiler: Any, **options: Any) -> str:
    sql: str = compiler.visit_primary_key_constraint(key, **options)
    return f"{sql} INCLUDE (event_type)"


@compiles(_CategoryOf)
def _category_of(*_: Any, **__: Any) -> str:
    return "split_part(stream_id, '-', 1)"


@compiles(_CategoryOf, "sqlite")
def _category_of_sqlite(*_: Any, **__: Any) -> str:
    return "substr(stream_id, 1, instr(stream_id || '-', '-') - 1)"


def now() -> ColumnElement[Any]:
    """Return the SQL for the database's clock when the statement began; an UPDATE on Citus must not read it later."""
    return _Now()


@lru_cache(maxsize=16)  # of schemas; a store keeps its own
def define_tables(*, schema: str | None = None, position_is_key: bool = False, layout: Layout = NEWEST) -> Tables:
    """Return the tables: the same objects for the same arguments, unless many others were asked for in between.

    Args:
        schema: The database schema that they are in. Defaults to None: the first of the connection's search path.
        position_is_key: Whether es_events has its primary key on position and a unique key on (stream_id, version), as
            SQLite needs to number rows, instead of the other way round.
        layout: What the tables in the database are like.
    """
    metadata = MetaData(schema=check_schema_name(schema), info={"layout": layout})
    return Tables(
        metadata=metadata,
        streams=_streams(metadata),
        events=_events(metadata, position_is_key=position_is_key),
        snapshots=_snapshots(metadata),
        schema=_schema(metadata),
        checkpoints=_checkpoints(metadata),
        dead_letters=_dead_letters(metadata),
        tags=_tags(metadata),
        detached_parts=_detached_parts(metadata),
        permission=_permission(metadata) if position_is_key else None,
    )


def _streams(metadata: MetaData) -> Table:
    table = Table(
        "es_streams",
        metadata,
        Column("version", _BIG, nullable=False, comment="The version of its newest event: the head that writers lock"),
        Column("created_at", _TIME, nullable=False, server_default=_Clock(), comment="When its first event was stored"),
        Column(
            "updated_at", _TIME, nullable=False, server_default=_Clock(), comment="When its newest event was stored"
        ),
        Column("stream_id", _KEY_TEXT, nullable=False, comment="Such as order-42; 1 to 255 characters"),
        _category(),
        Column(
            "deleted_version",
            _BIG,
            comment="Version of the event that says it was deleted, its last; NULL where it was not",
        ),
        Column("archived_version", _BIG, comment="The same, of being archived"),
        Column(
            "after_position",
            _BIG,
            nullable=False,
            server_default=text("0"),
            comment="A position below those of all its events, so that older parts of the log are not searched",
        ),
        PrimaryKeyConstraint("stream_id", name="es_streams_pkey"),
        CheckConstraint("version >= 0", name="es_streams_version_check"),
        # it keeps a closed stream's head from being advanced, by any code or statement
        CheckConstraint("version = coalesce(deleted_version, archived_version)", name=CLOSED_CHECKS[0]),
        comment="One row a stream: its current version",
    )
    _set_fillfactor(table, 80)
    return table


def _events(metadata: MetaData, *, position_is_key: bool) -> Table:
    keys = (
        (
            PrimaryKeyConstraint("position", name="es_events_pkey"),
            UniqueConstraint("stream_id", "version", name="es_events_stream_id_version_key"),
        )
        if position_is_key
        else (
            PrimaryKeyConstraint("stream_id", "version", name="es_events_pkey"),
            UniqueConstraint("position", name="es_events_position_key"),
        )
    )
    table = Table(
        "es_events",
        metadata,
        Column(
            "position",
            _BIG,
            Identity(always=True, cache=1),
            nullable=False,
            comment="Place in the global order of all events; ascending, with holes",
        ),
        Column("version", _BIG, nullable=False, comment="Place in the stream: 1, 2, 3, ..."),
        Column(
            "recorded_at",
            _TIME,
            nullable=False,
            server_default=_Clock(),
            comment="When the event was stored, by this database's clock",
        ),
        Column("event_id", Uuid(), nullable=False, comment="Given by the writer; makes a repeated append recognisable"),
        Column("schema_version", Integer(), nullable=False, comment="Version of the shape of the data"),
        Column(
            "codec",
            SmallInteger(),
            nullable=False,
            comment="How data is encoded: codec number, plus 256 where compressed with zstd",
        ),
        Column("stream_id", _KEY_TEXT, nullable=False, comment="The stream that the event belongs to"),
        _category(),
        Column("event_type", _KEY_TEXT, nullable=False, comment="What happened, such as order-placed"),
        Column("data", LargeBinary(), nullable=False, comment="The payload, encoded"),
        Column("metadata", _JSON, comment="Who, why, in which request; NULL where none was given"),
        *keys,
        _stream_key(metadata, "es_events_stream_id_fkey"),
        CheckConstraint("version >= 1", name="es_events_version_check"),
        Index("es_events_event_type_position_idx", "event_type", "position"),
        Index("es_events_category_position_idx", "category", "position"),
        Index(
            "es_events_recorded_at_idx",
            "recorded_at",
            postgresql_using="brin",  # rows are in the order of time, so a few pages index a table of any size
            postgresql_with={"autosummarize": "on"},
        ),
        comment="The events. Rows are added, never changed",
        sqlite_autoincrement=True,
    )
    protect(table)
    start_streams_at_newest_position(table)
    return table


def _snapshots(metadata: MetaData) -> Table:
    return Table(
        "snapshots",
        metadata,
        Column("version", _BIG, nullable=False, comment="Version of the stream that the state was computed at"),
        Column("created_at", _TIME, nullable=False, server_default=_Clock(), comment="When the state was saved"),
        Column("schema_version", Integer(), nullable=False, comment="Version of the shape of the state"),
        Column(
            "codec",
            SmallInteger(),
            nullable=False,
            comment="How state is encoded: codec number, plus 256 where compressed with zstd",
        ),
        Column("stream_id", _KEY_TEXT, nullable=False, comment="The stream whose state this is"),
        Column("state", LargeBinary(), nullable=False, comment="The state, encoded"),
        PrimaryKeyConstraint("stream_id", "schema_version", name="snapshots_pkey"),
        _stream_key(metadata, "snapshots_stream_id_fkey"),
        CheckConstraint("version >= 1", name="snapshots_version_check"),
        CheckConstraint("schema_version >= 1", name="snapshots_schema_version_check"),
        CheckConstraint("codec >= 0", name="snapshots_codec_check"),
        comment="The newest saved state of a stream: a cache, safe to delete",
    )


def _schema(metadata: MetaData) -> Table:
    return Table(
        "es_schema",
        metadata,
        Column("id", SmallInteger(), nullable=False, autoincrement=False, comment="Always 1"),
        Column("version", Integer(), nullable=False, comment="Version of these tables"),
        Column(
            "breaking_version",
            Integer(),
            nullable=False,
            comment="Newest version that code must know to work with these tables",
        ),
        PrimaryKeyConstraint("id", name="es_schema_pkey"),
        CheckConstraint("id = 1", name="es_schema_id_check"),
        comment="One row: which version of the event store's tables this is",
    )


def _checkpoints(metadata: MetaData) -> Table:
    table = Table(
        "es_checkpoints",
        metadata,
        Column("position", _BIG, nullable=False, comment="Everything up to here has been handled"),
        Column("updated_at", _TIME, nullable=False, server_default=_Clock(), comment="When it last came forward"),
        Column("seen_at", _TIME, comment="When a worker was last seen at work; NULL where the last one has stopped"),
        Column("failed_at", _TIME, comment="When an event last failed; NULL once it has gone on"),
        Column("name", _KEY_TEXT, nullable=False, comment="The name of the projection; 1 to 255 characters"),
        Column("worker", Text(), comment="Who was last seen at work: host and process"),
        Column("failure", Text(), comment="The event that failed and the type of the error, no payload"),
        Column(
            "event_position",
            _BIG,
            comment="Position of an event at or before `position` when it was written; NULL if not known",
        ),
        Column("event_id", Uuid(), comment="Id of that event"),
        Column("event_stream_id", _KEY_TEXT, comment="Stream of that event"),
        Column("event_version", _BIG, comment="Version of that event"),
        Column(
            "started_after",
            _BIG,
            nullable=False,
            server_default=text("0"),
            comment="The position after which the projection began",
        ),
        Column(
            "outside_after",
            _BIG,
            comment="Handlers with outside effects are called for later events only; NULL if it has none",
        ),
        Column(
            "partitions",
            Integer(),
            nullable=False,
            server_default=text("1"),
            comment="How many partitions the projection has; if more than one, each has a row",
        ),
        Column(
            "next_partitions",
            Integer(),
            comment="How many it will have, once all have reached `stop_position`; NULL if that does not change",
        ),
        Column("stop_position", _BIG, comment="Where a partition waits until their number has changed"),
        Column("partition_number", Integer(), comment="Number of a partition, from 1; NULL in the row of a projection"),
        Column("partition_of", _KEY_TEXT, comment="The projection of a partition; NULL in the row of a projection"),
        PrimaryKeyConstraint("name", name="es_checkpoints_pkey"),
        CheckConstraint("position >= 0", name="es_checkpoints_position_check"),
        CheckConstraint("length(name) BETWEEN 1 AND 255", name="es_checkpoints_name_check"),
        comment="One row a projection: how far it has come",
    )
    _set_fillfactor(table, 50)
    return table


def _dead_letters(metadata: MetaData) -> Table:
    pending = text("status = 'pending'")
    checkpoints = f"{metadata.schema}.es_checkpoints" if metadata.schema else "es_checkpoints"
    return Table(
        "es_dead_letters",
        metadata,
        Column("position", _BIG, nullable=False, comment="Of the event"),
        Column("version", _BIG, nullable=False, comment="Of the event, in its stream"),
        Column("first_failed_at", _TIME, nullable=False, server_default=_Clock(), comment="When it was put here"),
        Column(
            "last_failed_at", _TIME, nullable=False, server_default=_Clock(), comment="When it was last tried in vain"
        ),
        Column("closed_at", _TIME, comment="When it was resolved or discarded"),
        Column("attempts", Integer(), nullable=False, comment="How often it was tried; 0 where it only follows"),
        Column("event_id", Uuid(), nullable=False, comment="Of the event"),
        Column("projection", _KEY_TEXT, nullable=False, comment="The projection that could not handle it"),
        Column("status", _KEY_TEXT, nullable=False, comment="pending, resolved or discarded"),
        Column("stream_id", _KEY_TEXT, nullable=False, comment="The stream: its later events follow, in order"),
        Column("event_type", _KEY_TEXT, nullable=False, comment="Of the event"),
        Column("error", Text(), comment="The type of the error, no payload; NULL where it only follows"),
        Column("note", Text(), comment="What somebody has said about it"),
        PrimaryKeyConstraint("projection", "position", name="es_dead_letters_pkey"),
        ForeignKeyConstraint(
            ["projection"],
            [f"{checkpoints}.name"],
            name="es_dead_letters_projection_fkey",
            onupdate="CASCADE",
            ondelete="CASCADE",
        ),
        CheckConstraint("attempts >= 0", name="es_dead_letters_attempts_check"),
        CheckConstraint("status IN ('pending', 'resolved', 'discarded')", name="es_dead_letters_status_check"),
        Index(
            "es_dead_letters_pending_idx",
            "projection",
            "stream_id",
            "position",
            postgresql_where=pending,
            sqlite_where=pending,
        ),
        comment="Events that a projection could not handle, and those of the same streams that follow them",
    )


def _tags(metadata: MetaData) -> Table:
    return Table(
        "es_event_tags",
        metadata,
        Column("position", _BIG, nullable=False, comment="Of the event"),
        Column("tag", _KEY_TEXT, nullable=False, comment="Such as course:c1; empty in the rows of generations"),
        Column("event_type", _KEY_TEXT, nullable=False, comment="Of the event"),
        _CoveringKey("tag", "position", name="es_event_tags_pkey"),
        comment="The tags of events, which their metadata has, too",
        sqlite_with_rowid=False,
    )


def _detached_parts(metadata: MetaData) -> Table:
    return Table(
        "es_detached_parts",
        metadata,
        Column("first_position", _BIG, nullable=False, autoincrement=False, comment="The lowest that it can have"),
        Column("last_position", _BIG, nullable=False, comment="The highest that it can have"),
        Column("events", _BIG, nullable=False, comment="How many events it had"),
        Column("detached_at", _TIME, nullable=False, server_default=_Clock(), comment="When it was detached"),
        Column("name", Text(), nullable=False, comment="The name of the table that was the part"),
        Column("location", Text(), comment="Where it was exported to; NULL if nowhere"),
        Column("sha256", Text(), comment="The SHA-256 of the manifest of the export; NULL if there is none"),
        PrimaryKeyConstraint("first_position", name="es_detached_parts_pkey"),
        CheckConstraint("first_position <= last_position", name="es_detached_parts_last_position_check"),
        comment="Parts of es_events that were detached: the events in them are not here any more",
    )


def _permission(metadata: MetaData) -> Table:
    return Table(
        PERMISSION_TABLE,
        metadata,
        Column("id", Integer(), nullable=False, autoincrement=False, comment="Always 1"),
        PrimaryKeyConstraint("id", name=f"{PERMISSION_TABLE}_pkey"),
        CheckConstraint("id = 1", name=f"{PERMISSION_TABLE}_id_check"),
        comment="A row, within a transaction that may change history; otherwise none",
    )


def _set_fillfactor(table: Table, percent: int) -> None:
    """Leave room in each page for new versions of its rows, so that indexes need not be updated (PostgreSQL)."""
    name = qualified_name(table).replace("%", "%%")
    set_fillfactor = DDL(f"ALTER TABLE {name} SET (fillfactor = {percent})")  # type: ignore[no-untyped-call]  # SQLAlchemy's
    event.listen(table, "after_create", set_fillfactor.execute_if(dialect="postgresql"))


def _stream_key(metadata: MetaData, name: str) -> ForeignKeyConstraint:
    streams = f"{metadata.schema}.es_streams" if metadata.schema else "es_streams"
    return ForeignKeyConstraint(["stream_id"], [f"{streams}.stream_id"], name=name)


def _category() -> Column[Any]:
    return Column(
        "category",
        _KEY_TEXT,
        Computed(_CategoryOf(), persisted=True),
        nullable=False,
        comment="The part of stream_id before the first hyphen",
    )
