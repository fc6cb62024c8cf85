"""Every SQL statement of the store, one function each.

A function takes the tables and returns a SQLAlchemy Core construct; what varies from call to call is a named bind
parameter. Nothing is executed here: pass the function to the seam, `run(statements.stream_version,
stream_id="order-42")`. To look at one, compile it or EXPLAIN it: `print(statements.read_forwards(tables))`.
"""

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
    bindparam,
    cast,
    column,
    func,
    select,
    true,
    update,
)
from sqlalchemy import delete as delete_from
from sqlalchemy import insert as insert_into
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, Insert, insert
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.dml import Delete, ReturningInsert, ReturningUpdate, Update
from sqlalchemy.sql.selectable import TableValuedAlias

from eventstore.tables import Tables, now

# --- heads: one row in es_streams, at the version of the stream. Each returns the new version, or no row on a conflict.


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
            index_elements=["stream_id"], set_={"version": version + bindparam("count"), "updated_at": now()}
        )
        .returning(version)
    )


def _new_head(tables: Tables) -> Insert:
    return insert(tables.streams).values(stream_id=bindparam("stream_id"), version=bindparam("count"))


def _advanced_head(tables: Tables) -> Update:
    streams = tables.streams
    return (
        update(streams)
        .where(streams.c.stream_id == bindparam("stream_id"))
        .values(version=streams.c.version + bindparam("count"), updated_at=now())
    )


# --- append to one stream, on PostgreSQL: head and events in one statement, returning one row (version, position of the
# last event)


def append_to_new(tables: Tables) -> ClauseElement:
    """Append to a stream that must not exist."""
    return _append(tables, create_head(tables))


def append_at_version(tables: Tables) -> ClauseElement:
    """Append to a stream that must be at a version."""
    return _append(tables, advance_head(tables))


def append_to_existing(tables: Tables) -> ClauseElement:
    """Append to a stream that must exist."""
    return _append(tables, advance_existing_head(tables))


def append_to_any(tables: Tables) -> ClauseElement:
    """Append to a stream whatever its version."""
    return _append(tables, create_or_advance_head(tables))


def _append(tables: Tables, head_statement: ReturningInsert[Any] | ReturningUpdate[Any]) -> ClauseElement:
    """Positions are drawn in the order of the list, after the head's lock was taken: the INSERT reads from the head."""
    head = head_statement.cte("head")
    event = _unnested_events()
    version = head.c.version - bindparam("count", type_=BigInteger) + event.c.place
    stored = _insert_events(tables, bindparam("stream_id", type_=Text), version, event, head.join(event, true()))
    return select(func.max(stored.c.version), func.max(stored.c.position)).having(func.count() > 0)


def _unnested_events(*more: tuple[str, str, Any]) -> TableValuedAlias:
    return _unnest(
        *more,
        ("event_ids", "event_id", Uuid()),
        ("event_types", "event_type", Text()),
        ("schema_versions", "schema_version", Integer()),
        ("codecs", "codec", SmallInteger()),
        ("data", "data", LargeBinary()),
        ("metadata", "metadata", Text()),
        place="place",
    )


def _unnest(*columns: tuple[str, str, Any], place: str | None = None) -> TableValuedAlias:
    """Return arrays (parameter, column, type) as rows: as many parameters, however many rows."""
    arrays = [bindparam(parameter, type_=ARRAY(type_)) for parameter, _, type_ in columns]
    named = [column(name, type_) for _, name, type_ in columns]
    return func.unnest(*arrays).table_valued(*named, with_ordinality=place).render_derived()


def _insert_events(tables: Tables, stream_id: Any, version: Any, event: TableValuedAlias, source: Any) -> Any:
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
    wanted = _unnest(("stream_ids", "stream_id", Text()))
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


def append_to_many(tables: Tables) -> ClauseElement:
    """Set locked heads, insert events, return (stream_id, version, position) of those asked for (PostgreSQL)."""
    streams = tables.streams
    head = _unnest(("heads", "stream_id", Text()), ("head_versions", "version", BigInteger()))
    advanced = (
        update(streams)
        .where(streams.c.stream_id == head.c.stream_id)
        .values(version=head.c.version, updated_at=now())
        .returning(streams.c.stream_id)
        .cte("advanced")
    )
    event = _unnested_events(("stream_ids", "stream_id", Text()), ("versions", "version", BigInteger()))
    stored = _insert_events(tables, event.c.stream_id, event.c.version, event, event)
    last = _unnest(("last_stream_ids", "stream_id", Text()), ("last_versions", "version", BigInteger()))
    same = (stored.c.stream_id == last.c.stream_id.collate("C")) & (stored.c.version == last.c.version)
    return (
        select(stored.c.stream_id, stored.c.version, stored.c.position)
        .select_from(stored.join(last, same))
        .add_cte(advanced)
    )


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


def insert_event(tables: Tables) -> ClauseElement:
    """Insert one event (SQLite, by executemany)."""
    names = ("stream_id", "version", "event_id", "event_type", "schema_version", "codec", "data", "metadata")
    types = {"event_id": Text(), "metadata": Text()}
    return insert_into(tables.events).values({name: bindparam(name, type_=types.get(name)) for name in names})


def find_positions(tables: Tables) -> ClauseElement:
    """Return (stream_id, version, position) of the events in a JSON array of [stream_id, version] (SQLite)."""
    wanted = func.json_each(bindparam("events", type_=Text)).table_valued("value", name="wanted")
    events = tables.events.c
    return select(events.stream_id, events.version, events.position).where(
        events.stream_id == func.json_extract(wanted.c.value, "$[0]"),
        events.version == func.json_extract(wanted.c.value, "$[1]"),
    )


# --- read


def stream_version(tables: Tables) -> ClauseElement:
    """Return the version of a stream; no row where it does not exist."""
    return select(tables.streams.c.version).where(tables.streams.c.stream_id == bindparam("stream_id"))


def newest_stored_version(tables: Tables) -> ClauseElement:
    """Return the largest version among the events of a stream, whatever its head says."""
    return select(func.max(tables.events.c.version)).where(tables.events.c.stream_id == bindparam("stream_id"))


def read_forwards(tables: Tables) -> ClauseElement:
    """Return a page of a stream's events with after_version < version <= up_to_version, oldest first."""
    return _read_stream(tables).order_by(tables.events.c.version)


def read_backwards(tables: Tables) -> ClauseElement:
    """Return a page of the same events, newest first."""
    return _read_stream(tables).order_by(tables.events.c.version.desc())


def _read_stream(tables: Tables) -> Select[Any]:
    events = tables.events.c
    return (
        select(*_event_columns(tables))
        .where(
            events.stream_id == bindparam("stream_id"),
            events.version > bindparam("after_version"),
            events.version <= bindparam("up_to_version"),
        )
        .limit(bindparam("page_size", type_=BigInteger))
    )


def _event_columns(tables: Tables) -> list[ColumnElement[Any]]:
    """Return the columns in the order that `rows.EventMapper` takes them; metadata as text, for the quicker decoder."""
    events = tables.events.c
    return [
        events.position,
        events.stream_id,
        events.version,
        events.event_id,
        events.event_type,
        events.schema_version,
        events.codec,
        events.data,
        cast(events.metadata, Text),
        events.recorded_at,
    ]


# --- snapshots


def save_snapshot(tables: Tables) -> ClauseElement:
    """Save at a version that the stream has reached, if none is as new; return that version, no row where declined."""
    snapshots, streams = tables.snapshots, tables.streams
    names = ["stream_id", "schema_version", "version", "codec", "state"]
    types = {
        "stream_id": Text,
        "schema_version": Integer,
        "version": BigInteger,
        "codec": SmallInteger,
        "state": LargeBinary,
    }
    values: list[ColumnElement[Any]] = [bindparam(name, type_=types[name]) for name in names]
    has_come_so_far = (streams.c.stream_id == bindparam("stream_id")) & (streams.c.version >= bindparam("version"))
    row = select(*values).select_from(streams).where(has_come_so_far)
    statement = insert(snapshots).from_select(names, row, include_defaults=False)
    new = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=["stream_id", "schema_version"],
        set_={"version": new.version, "codec": new.codec, "state": new.state, "created_at": now()},
        where=snapshots.c.version < new.version,
    ).returning(snapshots.c.version)


def load_snapshot(tables: Tables) -> ClauseElement:
    """Return (version, codec, state, created_at) of a snapshot that is not beyond the head of its stream."""
    snapshots, streams = tables.snapshots.c, tables.streams.c
    return select(snapshots.version, snapshots.codec, snapshots.state, snapshots.created_at).where(
        snapshots.stream_id == bindparam("stream_id"),
        snapshots.schema_version == bindparam("schema_version"),
        streams.stream_id == snapshots.stream_id,
        snapshots.version <= streams.version,
    )


def delete_snapshots(tables: Tables) -> ClauseElement:
    """Delete the snapshots of a stream, of every schema version; return their versions."""
    return _delete_snapshots(tables).returning(tables.snapshots.c.version)


def delete_snapshot(tables: Tables) -> ClauseElement:
    """Delete the snapshot of a stream and schema version; return its version."""
    wanted = tables.snapshots.c.schema_version == bindparam("schema_version")
    return _delete_snapshots(tables).where(wanted).returning(tables.snapshots.c.version)


def _delete_snapshots(tables: Tables) -> Delete:
    return delete_from(tables.snapshots).where(tables.snapshots.c.stream_id == bindparam("stream_id"))


# --- the schema


def schema_version(tables: Tables) -> ClauseElement:
    """Return (version, breaking_version) of the schema in the database."""
    return select(tables.schema.c.version, tables.schema.c.breaking_version)


# --- event types. With the index (event_type, position) each row costs one look into it, however many events there are.


def event_type_spans(tables: Tables) -> ClauseElement:
    """Return (event_type, first position, last position) of each event type, in order: a loose scan of the index."""
    events = tables.events.c
    first_type = select(func.min(events.event_type).label("event_type")).cte("present", recursive=True)
    next_type = select(func.min(events.event_type)).where(events.event_type > first_type.c.event_type).scalar_subquery()
    present = first_type.union_all(select(next_type).where(first_type.c.event_type.is_not(None)))
    spans = [
        select(end(events.position)).where(events.event_type == present.c.event_type).scalar_subquery()
        for end in (func.min, func.max)
    ]
    return select(present.c.event_type, *spans).where(present.c.event_type.is_not(None)).order_by(present.c.event_type)


def sample_events(tables: Tables) -> ClauseElement:
    """Return events of a type from `first` to `last`, at least `stride` positions apart, and the last one."""
    events = tables.events.c
    last = bindparam("last", type_=BigInteger)
    sample = select(cast(bindparam("first", type_=BigInteger), BigInteger).label("position")).cte(
        "sample", recursive=True
    )
    following = (
        select(func.min(events.position))
        .where(
            events.event_type == bindparam("event_type", type_=Text),
            events.position >= sample.c.position + bindparam("stride", type_=BigInteger),
            events.position <= last,
        )
        .scalar_subquery()
    )
    sample = sample.union_all(select(func.coalesce(following, last)).where(sample.c.position < last))
    return (
        select(*_event_columns(tables)).where(events.position.in_(select(sample.c.position))).order_by(events.position)
    )
