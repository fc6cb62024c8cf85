"""Statements about positions, which sqlite_sequence numbers."""

from typing import Any

from sqlalchemy import BigInteger, ScalarSelect, bindparam, column, func, select, table
from sqlalchemy import delete as delete_from
from sqlalchemy import insert as insert_into
from sqlalchemy.sql import ClauseElement

from eventstore.statements.global_order import newest_position
from eventstore.tables import Tables

_SQLITE_SEQUENCES = table("sqlite_sequence", column("name"), column("seq"))


def last_numbered(tables: Tables) -> ClauseElement:
    """Return (newest stored position, last one given out); the second NULL where SQLite knows of none."""
    return select(newest_position(tables).scalar_subquery(), last_number(tables))


def last_number(tables: Tables) -> ScalarSelect[Any]:
    """Return the last position that was drawn; NULL if there was none."""
    of_events = _SQLITE_SEQUENCES.c.name == tables.events.name
    return select(func.max(_SQLITE_SEQUENCES.c.seq)).where(of_events).scalar_subquery()


def forget_last_numbered(tables: Tables) -> ClauseElement:
    """Delete what `add_last_numbered` adds: sqlite_sequence has no key for an upsert."""
    return delete_from(_SQLITE_SEQUENCES).where(_SQLITE_SEQUENCES.c.name == tables.events.name)


def add_last_numbered(tables: Tables) -> ClauseElement:
    """Let numbers go on after a position."""
    return insert_into(_SQLITE_SEQUENCES).values(name=tables.events.name, seq=bindparam("position", type_=BigInteger))
