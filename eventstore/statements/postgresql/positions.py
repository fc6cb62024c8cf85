"""Statements about what gives out positions: a sequence on PostgreSQL, sqlite_sequence on SQLite."""

from collections.abc import Callable
from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Subquery,
    Text,
    bindparam,
    case,
    cast,
    column,
    func,
    literal_column,
    select,
    table,
)
from sqlalchemy.dialects.postgresql import REGCLASS
from sqlalchemy.sql import ClauseElement

from eventstore.statements.global_order import newest_position
from eventstore.statements.postgresql.names import name_of_events
from eventstore.tables import Tables

_CLASSES = table(
    "pg_class", column("oid"), column("relname"), column("relnamespace"), column("relpersistence"), schema="pg_catalog"
)
_SEQUENCES = table("pg_sequence", column("seqrelid"), column("seqcache"), schema="pg_catalog")
_NAMESPACES = table("pg_namespace", column("oid"), column("nspname"), schema="pg_catalog")


def drawing_state(tables: Tables, name: str) -> Subquery:
    """Return how positions are drawn, as a part of a statement, with one row.

    The columns: whether es_events is `p`ermanent, `u`nlogged or `t`emporary; how many positions a session draws from
    the sequence at once; and the last position that was drawn, -1 if the sequence does not say without being read
    itself, NULL for a role without SELECT on it. The sequence is read after the statement's snapshot was taken: so a
    healthy one is never behind an event that the statement can see.
    """
    sequence = _SEQUENCES.c.seqrelid
    persistence = cast(_CLASSES.c.relpersistence, Text)
    may_read = func.has_sequence_privilege(sequence, "SELECT") & (persistence == "p")
    last = func.coalesce(func.pg_sequence_last_value(sequence), literal_column("-1"))
    return (
        select(
            persistence.label("persistence"),
            _SEQUENCES.c.seqcache.label("cache"),
            case((may_read, last)).label("drawn"),
        )
        .select_from(_CLASSES.outerjoin(_SEQUENCES, sequence == select(_sequence(tables)).scalar_subquery()))
        .where(_CLASSES.c.oid == func.to_regclass(name_of_events(tables)))
        .subquery(name)
    )


def drawing(tables: Tables) -> ClauseElement:
    """Return the position of the newest event, and `drawing_state`."""
    state = drawing_state(tables, "state")
    return select(newest_position(tables).scalar_subquery().label("newest"), *state.c).select_from(state)


def position_sequence(tables: Tables) -> ClauseElement:
    """Return (schema, name) of the sequence; no row where there is none."""
    return (
        select(_NAMESPACES.c.nspname, _CLASSES.c.relname)
        .select_from(_CLASSES.join(_NAMESPACES, _NAMESPACES.c.oid == _CLASSES.c.relnamespace))
        .where(_CLASSES.c.oid == _sequence(tables))
    )


@cache
def drawn_positions(schema: str, name: str) -> Callable[[Tables], ClauseElement]:
    """Return the statement for (newest stored position, last value, whether that was given out) of a sequence.

    The newest position is of the statement's snapshot, the sequence is read later: so a healthy one is never behind.
    """
    sequence = table(name, column("last_value"), column("is_called"), schema=schema)

    def positions_drawn(tables: Tables) -> ClauseElement:
        return select(newest_position(tables).scalar_subquery(), sequence.c.last_value, sequence.c.is_called)

    return positions_drawn


def set_last_position(tables: Tables) -> ClauseElement:
    """Let the sequence go on after a position."""
    return select(func.setval(_sequence(tables), bindparam("position", type_=BigInteger)))


def _sequence(tables: Tables) -> ColumnElement[Any]:
    return func.to_regclass(func.pg_get_serial_sequence(name_of_events(tables), "position"))


def continue_positions(tables: Tables) -> ClauseElement:
    """Have the sequence go on after the largest position, if it is behind."""
    sequence = cast(func.pg_get_serial_sequence(name_of_events(tables), literal_column("'position'")), REGCLASS)
    newest = select(func.max(tables.events.c.position).label("position")).subquery("newest")
    last = func.coalesce(func.pg_sequence_last_value(sequence), literal_column("0"))
    return select(func.setval(sequence, newest.c.position)).where(newest.c.position > last)
