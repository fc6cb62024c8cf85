"""Statements that take in events as they were stored elsewhere."""

from typing import Final

from sqlalchemy import Text, and_, bindparam, func, literal_column, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql import ClauseElement

from eventstore.statements.columns import STORED_COLUMNS
from eventstore.statements.transfer import stored_columns
from eventstore.tables import Tables


def insert_stored_event(tables: Tables) -> ClauseElement:
    """Insert one event; its position is the next (by executemany)."""
    return insert(tables.events).values({name: bindparam(name, type_=_TEXTS.get(name)) for name in STORED_COLUMNS})


def insert_positioned_event(tables: Tables) -> ClauseElement:
    """Insert one event at its position (by executemany)."""
    names = (*STORED_COLUMNS, "position")
    return insert(tables.events).values({name: bindparam(name, type_=_TEXTS.get(name)) for name in names})


_TEXTS: Final = {"event_id": Text(), "metadata": Text(), "recorded_at": Text()}


def find_stored(tables: Tables) -> ClauseElement:
    """Return `stored_columns` of those of some places, pairs in a JSON array, that are taken."""
    wanted = func.json_each(bindparam("places", type_=Text)).table_valued("value")
    events = tables.events.c
    same = and_(
        events.stream_id == func.json_extract(wanted.c.value, literal_column("'$[0]'")),
        events.version == func.json_extract(wanted.c.value, literal_column("'$[1]'")),
    )
    return select(*stored_columns(tables)).select_from(tables.events.join(wanted, same))
