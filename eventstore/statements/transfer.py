"""Statements that export and import: rows as they are, with their times, and where asked their positions."""

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Select,
    Text,
    and_,
    bindparam,
    case,
    cast,
    column,
    func,
    literal_column,
    select,
)
from sqlalchemy import update as update_table
from sqlalchemy.dialects.postgresql import ARRAY, REGCLASS, insert
from sqlalchemy.sql import ClauseElement

from eventstore.statements.copying import COPIED_COLUMNS, copy_of
from eventstore.statements.locking import lock_of
from eventstore.statements.names import name_of_events
from eventstore.tables import Tables

STORED_COLUMNS: Final = (*COPIED_COLUMNS, "recorded_at")
"""The columns of a stored event, but for its position."""


def copy_stored_events(tables: Tables) -> ClauseElement:
    """Store rows of `STORED_COLUMNS`; positions are drawn in their order (PostgreSQL)."""
    return copy_of(tables, STORED_COLUMNS)


def copy_positioned_events(tables: Tables) -> ClauseElement:
    """Store rows of `STORED_COLUMNS` and the position (PostgreSQL)."""
    return copy_of(tables, (*STORED_COLUMNS, "position"))


def insert_stored_event(tables: Tables) -> ClauseElement:
    """Insert one event; its position is the next (SQLite, by executemany)."""
    return insert(tables.events).values({name: bindparam(name, type_=_TEXTS.get(name)) for name in STORED_COLUMNS})


def insert_positioned_event(tables: Tables) -> ClauseElement:
    """Insert one event at its position (SQLite, by executemany)."""
    names = (*STORED_COLUMNS, "position")
    return insert(tables.events).values({name: bindparam(name, type_=_TEXTS.get(name)) for name in names})


_TEXTS: Final = {"event_id": Text(), "metadata": Text(), "recorded_at": Text()}


def find_stored(tables: Tables) -> ClauseElement:
    """Return `_stored` of those of some places that are taken (PostgreSQL)."""
    arrays = [bindparam("stream_ids", type_=ARRAY(Text)), bindparam("versions", type_=ARRAY(BigInteger))]
    named = (column("stream_id", Text), column("version", BigInteger))
    wanted = func.unnest(*arrays).table_valued(*named).render_derived()
    events = tables.events.c
    same = and_(events.stream_id == wanted.c.stream_id.collate("C"), events.version == wanted.c.version)
    return _stored(tables).select_from(tables.events.join(wanted, same))


def find_stored_by_json(tables: Tables) -> ClauseElement:
    """Return `_stored` of those of some places, pairs in a JSON array, that are taken (SQLite)."""
    wanted = func.json_each(bindparam("places", type_=Text)).table_valued("value")
    events = tables.events.c
    same = and_(
        events.stream_id == func.json_extract(wanted.c.value, literal_column("'$[0]'")),
        events.version == func.json_extract(wanted.c.value, literal_column("'$[1]'")),
    )
    return _stored(tables).select_from(tables.events.join(wanted, same))


def _stored(tables: Tables) -> Select[Any]:
    names = ("stream_id", "version", "event_id", "event_type", "schema_version", "codec", "data", "position")
    return select(*(tables.events.c[name] for name in names))


def lock_events(tables: Tables) -> ClauseElement:
    """Keep appends out until the transaction ends (PostgreSQL)."""
    return lock_of(tables.events)


def continue_positions(tables: Tables) -> ClauseElement:
    """Have the sequence go on after the largest position, if it is behind (PostgreSQL)."""
    sequence = cast(func.pg_get_serial_sequence(name_of_events(tables), literal_column("'position'")), REGCLASS)
    newest = select(func.max(tables.events.c.position).label("position")).subquery("newest")
    last = func.coalesce(func.pg_sequence_last_value(sequence), literal_column("0"))
    return select(func.setval(sequence, newest.c.position)).where(newest.c.position > last)


def set_imported_head(tables: Tables) -> ClauseElement:
    """Set a head that is locked, or create it; a new one gets the time of its first event (by executemany)."""
    names = ("stream_id", "version", "created_at", "updated_at", "deleted_version", "archived_version")
    row = insert(tables.streams).values({name: bindparam(name) for name in names})
    new, head = row.excluded, tables.streams.c
    return row.on_conflict_do_update(
        index_elements=["stream_id"],
        set_={
            "version": new.version,
            "created_at": case((head.version == literal_column("0"), new.created_at), else_=head.created_at),
            "updated_at": new.updated_at,
            "deleted_version": new.deleted_version,
            "archived_version": new.archived_version,
        },
    )


def set_times_of_stream(tables: Tables) -> ClauseElement:
    """Set when a stream was created and, if it is at `at_version`, when it was last appended to (by executemany)."""
    head = tables.streams.c
    is_the_same = head.version == bindparam("at_version", type_=BigInteger)
    return (
        update_table(tables.streams)
        .where(head.stream_id == bindparam("of_stream", type_=Text))
        .values(
            created_at=bindparam("created_at"),
            updated_at=case((is_the_same, bindparam("updated_at")), else_=head.updated_at),
        )
    )


def page_of_streams(tables: Tables) -> ClauseElement:
    """Return a page of (stream_id, version, created_at, updated_at), by stream id."""
    head = tables.streams.c
    return (
        select(head.stream_id, head.version, head.created_at, head.updated_at)
        .where(head.stream_id > bindparam("after_stream_id", type_=Text))
        .order_by(head.stream_id)
        .limit(bindparam("page_size", type_=BigInteger))
    )


def page_of_snapshots(tables: Tables) -> ClauseElement:
    """Return a page of snapshots, by stream id and schema version."""
    saved = tables.snapshots.c
    after = bindparam("after_stream_id", type_=Text)
    is_later = saved.schema_version > bindparam("after_schema_version")
    return (
        select(saved.stream_id, saved.schema_version, saved.version, saved.codec, saved.state, saved.created_at)
        .where((saved.stream_id > after) | ((saved.stream_id == after) & is_later))
        .order_by(saved.stream_id, saved.schema_version)
        .limit(bindparam("page_size", type_=BigInteger))
    )


def insert_snapshot(tables: Tables) -> ClauseElement:
    """Insert a snapshot as it was, unless there is one as new (by executemany)."""
    names = ("stream_id", "schema_version", "version", "codec", "state", "created_at")
    row = insert(tables.snapshots).values({name: bindparam(name) for name in names})
    new = row.excluded
    return row.on_conflict_do_update(
        index_elements=["stream_id", "schema_version"],
        set_={name: new[name] for name in names[2:]},
        where=tables.snapshots.c.version < new.version,
    )
