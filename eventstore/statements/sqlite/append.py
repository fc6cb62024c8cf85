"""Statements that append, while the whole database is locked. The driver sends one row at a time."""

from collections.abc import Callable
from functools import cache

from sqlalchemy import Text, bindparam, func, literal_column, select, update
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.sql import ClauseElement

from eventstore.statements.columns import APPENDED_COLUMNS
from eventstore.tables import Tables, now


def take_write_lock(tables: Tables) -> ClauseElement:
    """Take the write lock by an UPDATE that changes no row."""
    return (
        update(tables.streams)
        .where(tables.streams.c.stream_id == literal_column("''"))
        .values(version=tables.streams.c.version)
    )


def find_heads(tables: Tables) -> ClauseElement:
    """Return (stream_id, version) of the streams in a JSON array."""
    stream_ids = func.json_each(bindparam("stream_ids", type_=Text)).table_valued("value").alias("stream_ids")
    streams = tables.streams
    return select(streams.c.stream_id, streams.c.version).where(streams.c.stream_id.in_(select(stream_ids.c.value)))


def set_head(tables: Tables) -> ClauseElement:
    """Set one head to a version, or create it at that version."""
    change = {"version": bindparam("version"), "updated_at": now()}
    row = insert(tables.streams).values(stream_id=bindparam("stream_id"), version=bindparam("version"))
    return row.on_conflict_do_update(index_elements=["stream_id"], set_=change)


@cache
def insert_event(columns: tuple[str, ...]) -> Callable[[Tables], Insert]:
    """Return the statement that inserts one event (by executemany), at the next position if the columns have none."""
    types = {"event_id": Text(), "metadata": Text(), "recorded_at": Text()}
    values = {name: bindparam(name, type_=types.get(name)) for name in columns}
    return lambda tables: insert(tables.events).values(values)


def insert_one_event(tables: Tables) -> ClauseElement:
    """Insert one event, and return its position."""
    return insert_event(APPENDED_COLUMNS)(tables).returning(tables.events.c.position)


def last_position(_tables: Tables) -> ClauseElement:
    """Return the position of the last event that this connection has inserted."""
    return select(func.last_insert_rowid().label("position"))
