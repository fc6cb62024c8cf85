"""Statements that append to one stream or to several, by arrays: as many parameters, however many events."""

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
from sqlalchemy import insert as insert_into
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, insert
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.dml import ReturningInsert, ReturningUpdate
from sqlalchemy.sql.selectable import TableValuedAlias

from eventstore.statements.columns import APPENDED_COLUMNS
from eventstore.statements.heads import advance_existing_head, advance_head, create_head, create_or_advance_head
from eventstore.statements.postgresql.notifications import channel_of
from eventstore.tables import Tables, now


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
    events = tables.events
    return (
        insert_into(events)
        .from_select(list(APPENDED_COLUMNS), values, include_defaults=False)
        .returning(events.c.stream_id, events.c.version, events.c.position)
        .cte("stored")
    )


def create_heads(tables: Tables) -> ClauseElement:
    """Create the missing heads at version 0, in sorted order, so that they are locked like the others."""
    wanted = unnest(("stream_ids", "stream_id", Text()))
    rows = select(wanted.c.stream_id, cast(0, BigInteger)).order_by(wanted.c.stream_id.collate("C"))
    return (
        insert(tables.streams)
        .from_select(["stream_id", "version"], rows, include_defaults=False)
        .on_conflict_do_nothing(index_elements=["stream_id"])
    )


def lock_heads(tables: Tables) -> ClauseElement:
    """Lock heads in sorted order and return (stream_id, version) of those that exist.

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
    """Set locked heads, insert events, return (stream_id, version, position) of those asked for."""
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
    """Do the same, and tell those who listen."""
    return append_to_many(tables).add_columns(notification(tables))
