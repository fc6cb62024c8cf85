"""Statements about sqlite_sequence, from which positions are drawn."""

from sqlalchemy import BigInteger, bindparam, column, func, literal_column, select, table
from sqlalchemy import delete as delete_from
from sqlalchemy import insert as insert_into
from sqlalchemy.sql import ClauseElement

from eventstore.statements.global_order import newest_position
from eventstore.tables import Tables

_SQLITE_SEQUENCES = table("sqlite_sequence", column("name"), column("seq"))


def last_drawn_position(tables: Tables) -> ClauseElement:
    """Return (newest stored position, last drawn one); the second is NULL if none was drawn."""
    of_events = _SQLITE_SEQUENCES.c.name == literal_column(f"'{tables.events.name}'")
    last = select(func.max(_SQLITE_SEQUENCES.c.seq).label("seq")).where(of_events)
    return select(newest_position(tables).scalar_subquery().label("newest"), last.scalar_subquery().label("last_drawn"))


def forget_last_drawn(tables: Tables) -> ClauseElement:
    """Delete the row that `add_last_drawn` adds, because sqlite_sequence has no key for an upsert."""
    return delete_from(_SQLITE_SEQUENCES).where(_SQLITE_SEQUENCES.c.name == literal_column(f"'{tables.events.name}'"))


def add_last_drawn(tables: Tables) -> ClauseElement:
    """Let positions continue after a position."""
    return insert_into(_SQLITE_SEQUENCES).values(name=tables.events.name, seq=bindparam("position", type_=BigInteger))
