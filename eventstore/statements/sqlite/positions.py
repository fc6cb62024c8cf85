"""Statements about positions, which sqlite_sequence numbers."""

from sqlalchemy import BigInteger, bindparam, column, func, literal_column, select, table
from sqlalchemy import delete as delete_from
from sqlalchemy import insert as insert_into
from sqlalchemy.sql import ClauseElement

from eventstore.statements.global_order import newest_position
from eventstore.tables import Tables

_SQLITE_SEQUENCES = table("sqlite_sequence", column("name"), column("seq"))


def last_numbered(tables: Tables) -> ClauseElement:
    """Return (newest stored position, last one given out); the second NULL if SQLite knows of none."""
    of_events = _SQLITE_SEQUENCES.c.name == literal_column(f"'{tables.events.name}'")
    last = select(func.max(_SQLITE_SEQUENCES.c.seq).label("seq")).where(of_events)
    return select(newest_position(tables).scalar_subquery().label("newest"), last.scalar_subquery().label("given"))


def forget_last_numbered(tables: Tables) -> ClauseElement:
    """Delete what `add_last_numbered` adds: sqlite_sequence has no key for an upsert."""
    return delete_from(_SQLITE_SEQUENCES).where(_SQLITE_SEQUENCES.c.name == literal_column(f"'{tables.events.name}'"))


def add_last_numbered(tables: Tables) -> ClauseElement:
    """Let numbers go on after a position."""
    return insert_into(_SQLITE_SEQUENCES).values(name=tables.events.name, seq=bindparam("position", type_=BigInteger))
