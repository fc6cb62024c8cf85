"""Statements that append: the whole database is locked, and the driver sends one row at a time."""

from sqlalchemy import Text, bindparam, func, select, update
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.sql import ClauseElement

from eventstore.statements.columns import APPENDED_COLUMNS
from eventstore.tables import Tables, now


def take_write_lock(tables: Tables) -> ClauseElement:
    """Change no row, but become the one writer."""
    return update(tables.streams).where(tables.streams.c.stream_id == "").values(version=tables.streams.c.version)


def find_heads(tables: Tables) -> ClauseElement:
    """Return (stream_id, version) of the streams in a JSON array."""
    wanted = func.json_each(bindparam("stream_ids", type_=Text)).table_valued("value")
    streams = tables.streams
    return select(streams.c.stream_id, streams.c.version).where(streams.c.stream_id.in_(select(wanted.c.value)))


def set_head(tables: Tables) -> ClauseElement:
    """Set one head to a version (where the whole database is locked)."""
    change = {"version": bindparam("version"), "updated_at": now()}
    row = insert(tables.streams).values(stream_id=bindparam("stream_id"), version=bindparam("version"))
    return row.on_conflict_do_update(index_elements=["stream_id"], set_=change)


def insert_event(tables: Tables) -> Insert:
    """Insert one event (by executemany)."""
    types = {"event_id": Text(), "metadata": Text()}
    return insert(tables.events).values({name: bindparam(name, type_=types.get(name)) for name in APPENDED_COLUMNS})


def insert_single_event(tables: Tables) -> ClauseElement:
    """Insert one event, and return its position."""
    return insert_event(tables).returning(tables.events.c.position)


def last_position(_tables: Tables) -> ClauseElement:
    """Return the position of the event that this connection has inserted last."""
    return select(func.last_insert_rowid())
