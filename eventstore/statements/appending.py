"""Statements that append: heads first, events second."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    LargeBinary,
    Select,
    SmallInteger,
    Text,
    Uuid,
    and_,
    bindparam,
    cast,
    column,
    func,
    select,
    true,
    update,
)
from sqlalchemy import insert as insert_into
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, Insert, insert
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.dml import ReturningInsert, ReturningUpdate, Update
from sqlalchemy.sql.selectable import TableValuedAlias

from eventstore.statements.notifications import channel_of
from eventstore.tables import ENDS, Tables, now

# --- heads: one row in es_streams, at the version of the stream. Each returns the new version; no row on a conflict,
# nor if the stream has ended: a check refuses that as well, but it would abort a transaction of the caller's.


def create_head(tables: Tables) -> ReturningInsert[Any]:
    """Expect no stream. Waits for an unfinished writer who creates the same one; locks nothing where it exists."""
    return _new_head(tables).on_conflict_do_nothing(index_elements=["stream_id"]).returning(tables.streams.c.version)


def advance_head(tables: Tables) -> ReturningUpdate[Any]:
    """Expect a version. Waits for an unfinished writer of the stream, then looks again."""
    return (
        _advanced_head(tables)
        .where(tables.streams.c.version == bindparam("expected"))
        .returning(tables.streams.c.version)
    )


def advance_existing_head(tables: Tables) -> ReturningUpdate[Any]:
    """Expect that the stream exists."""
    return _advanced_head(tables).where(tables.streams.c.version > 0).returning(tables.streams.c.version)


def create_or_advance_head(tables: Tables) -> ReturningInsert[Any]:
    """Expect nothing."""
    version = tables.streams.c.version
    return (
        _new_head(tables)
        .on_conflict_do_update(
            index_elements=["stream_id"],
            set_={"version": version + bindparam("count"), "updated_at": now()},
            where=_has_not_ended(tables),
        )
        .returning(version)
    )


def _new_head(tables: Tables) -> Insert:
    return insert(tables.streams).values(stream_id=bindparam("stream_id"), version=bindparam("count"))


def _advanced_head(tables: Tables) -> Update:
    streams = tables.streams
    return (
        update(streams)
        .where(streams.c.stream_id == bindparam("stream_id"), _has_not_ended(tables))
        .values(version=streams.c.version + bindparam("count"), updated_at=now())
    )


def _has_not_ended(tables: Tables) -> ColumnElement[bool]:
    ends = ENDS if tables.streams_can_end else ()
    return and_(true(), *(tables.streams.c[name].is_(None) for name in ends))


# --- append to one stream, on PostgreSQL: head and events in one statement, returning one row (version, position of the
# last event)


def append_to_new(tables: Tables) -> Select[Any]:
    """Append to a stream that must not exist."""
    return _append(tables, create_head(tables))


def append_at_version(tables: Tables) -> Select[Any]:
    """Append to a stream that must be at a version."""
    return _append(tables, advance_head(tables))


def append_to_existing(tables: Tables) -> Select[Any]:
    """Append to a stream that must exist."""
    return _append(tables, advance_existing_head(tables))


def append_to_any(tables: Tables) -> Select[Any]:
    """Append to a stream whatever its version."""
    return _append(tables, create_or_advance_head(tables))


def append_to_new_and_notify(tables: Tables) -> ClauseElement:
    """Append to a stream that must not exist, and tell those who listen."""
    return append_to_new(tables).add_columns(notification(tables))


def append_at_version_and_notify(tables: Tables) -> ClauseElement:
    """Append to a stream that must be at a version, and tell those who listen."""
    return append_at_version(tables).add_columns(notification(tables))


def append_to_existing_and_notify(tables: Tables) -> ClauseElement:
    """Append to a stream that must exist, and tell those who listen."""
    return append_to_existing(tables).add_columns(notification(tables))


def append_to_any_and_notify(tables: Tables) -> ClauseElement:
    """Append to a stream whatever its version, and tell those who listen."""
    return append_to_any(tables).add_columns(notification(tables))


def notification(tables: Tables) -> ColumnElement[Any]:
    """Send an empty notification when the transaction commits; of several, PostgreSQL delivers one."""
    return func.pg_notify(channel_of(tables), "")


def _append(tables: Tables, head_statement: ReturningInsert[Any] | ReturningUpdate[Any]) -> Select[Any]:
    """Positions are drawn in the order of the list, after the head's lock was taken: the INSERT reads from the head."""
    head = head_statement.cte("head")
    event = unnested_events()
    version = head.c.version - bindparam("count", type_=BigInteger) + event.c.place
    stored = insert_events(tables, bindparam("stream_id", type_=Text), version, event, head.join(event, true()))
    return select(func.max(stored.c.version), func.max(stored.c.position)).having(func.count() > 0)


def unnested_events(*more: tuple[str, str, Any]) -> TableValuedAlias:
    """Return events as rows of arrays, with their places in the list."""
    return unnest(
        *more,
        ("event_ids", "event_id", Uuid()),
        ("event_types", "event_type", Text()),
        ("schema_versions", "schema_version", Integer()),
        ("codecs", "codec", SmallInteger()),
        ("data", "data", LargeBinary()),
        ("metadata", "metadata", Text()),
        place="place",
    )


def unnest(*columns: tuple[str, str, Any], place: str | None = None) -> TableValuedAlias:
    """Return arrays (parameter, column, type) as rows: as many parameters, however many rows."""
    arrays = [bindparam(parameter, type_=ARRAY(type_)) for parameter, _, type_ in columns]
    named = [column(name, type_) for _, name, type_ in columns]
    return func.unnest(*arrays).table_valued(*named, with_ordinality=place).render_derived()


def insert_events(tables: Tables, stream_id: Any, version: Any, event: TableValuedAlias, source: Any) -> Any:
    """Return the INSERT of events, in the order of the list, as a CTE of stream ids, versions and positions."""
    values = (
        select(
            stream_id,
            version,
            event.c.event_id,
            event.c.event_type,
            event.c.schema_version,
            event.c.codec,
            event.c.data,
            cast(event.c.metadata, JSONB),
        )
        .select_from(source)
        .order_by(event.c.place)
    )
    names = ["stream_id", "version", "event_id", "event_type", "schema_version", "codec", "data", "metadata"]
    events = tables.events
    return (
        insert_into(events)
        .from_select(names, values, include_defaults=False)
        .returning(events.c.stream_id, events.c.version, events.c.position)
        .cte("stored")
    )


# --- append to several streams


def create_heads(tables: Tables) -> ClauseElement:
    """Create the missing heads at version 0, in sorted order, so that they are locked like the others (PostgreSQL)."""
    wanted = unnest(("stream_ids", "stream_id", Text()))
    rows = select(wanted.c.stream_id, cast(0, BigInteger)).order_by(wanted.c.stream_id.collate("C"))
    return (
        insert(tables.streams)
        .from_select(["stream_id", "version"], rows, include_defaults=False)
        .on_conflict_do_nothing(index_elements=["stream_id"])
    )


def lock_heads(tables: Tables) -> ClauseElement:
    """Lock heads in sorted order and return (stream_id, version) of those that exist (PostgreSQL).

    An UPDATE locks in an order of its own, and two of them deadlock.
    """
    streams = tables.streams
    wanted = streams.c.stream_id == func.any(bindparam("stream_ids", type_=ARRAY(Text)))
    return (
        select(streams.c.stream_id, streams.c.version)
        .where(wanted)
        .order_by(streams.c.stream_id)
        .with_for_update(key_share=True)
    )


def append_to_many(tables: Tables) -> Select[Any]:
    """Set locked heads, insert events, return (stream_id, version, position) of those asked for (PostgreSQL)."""
    streams = tables.streams
    head = unnest(("heads", "stream_id", Text()), ("head_versions", "version", BigInteger()))
    advanced = (
        update(streams)
        .where(streams.c.stream_id == head.c.stream_id)
        .values(version=head.c.version, updated_at=now())
        .returning(streams.c.stream_id)
        .cte("advanced")
    )
    event = unnested_events(("stream_ids", "stream_id", Text()), ("versions", "version", BigInteger()))
    stored = insert_events(tables, event.c.stream_id, event.c.version, event, event)
    last = unnest(("last_stream_ids", "stream_id", Text()), ("last_versions", "version", BigInteger()))
    same = (stored.c.stream_id == last.c.stream_id.collate("C")) & (stored.c.version == last.c.version)
    return (
        select(stored.c.stream_id, stored.c.version, stored.c.position)
        .select_from(stored.join(last, same))
        .add_cte(advanced)
    )


def append_to_many_and_notify(tables: Tables) -> ClauseElement:
    """Do the same, and tell those who listen (PostgreSQL)."""
    return append_to_many(tables).add_columns(notification(tables))


def take_write_lock(tables: Tables) -> ClauseElement:
    """Change no row, but become the one writer (SQLite)."""
    return update(tables.streams).where(tables.streams.c.stream_id == "").values(version=tables.streams.c.version)


def find_heads(tables: Tables) -> ClauseElement:
    """Return (stream_id, version) of the streams in a JSON array (SQLite)."""
    wanted = func.json_each(bindparam("stream_ids", type_=Text)).table_valued("value")
    streams = tables.streams
    return select(streams.c.stream_id, streams.c.version).where(streams.c.stream_id.in_(select(wanted.c.value)))


def set_head(tables: Tables) -> ClauseElement:
    """Set one head to a version (SQLite, where the whole database is locked)."""
    change = {"version": bindparam("version"), "updated_at": now()}
    row = insert(tables.streams).values(stream_id=bindparam("stream_id"), version=bindparam("version"))
    return row.on_conflict_do_update(index_elements=["stream_id"], set_=change)


def insert_event(tables: Tables) -> Insert:
    """Insert one event (SQLite, by executemany)."""
    names = ("stream_id", "version", "event_id", "event_type", "schema_version", "codec", "data", "metadata")
    types = {"event_id": Text(), "metadata": Text()}
    return insert(tables.events).values({name: bindparam(name, type_=types.get(name)) for name in names})


def insert_single_event(tables: Tables) -> ClauseElement:
    """Insert one event, and return its position (SQLite)."""
    return insert_event(tables).returning(tables.events.c.position)


def last_position(_tables: Tables) -> ClauseElement:
    """Return the position of the event that this connection has inserted last (SQLite)."""
    return select(func.last_insert_rowid())
