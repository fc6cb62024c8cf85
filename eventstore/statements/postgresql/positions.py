"""Statements about the sequence from which positions are drawn."""

from functools import lru_cache
from typing import Any, Final

from sqlalchemy import BigInteger, ColumnElement, bindparam, cast, column, func, literal_column, select, table
from sqlalchemy.dialects.postgresql import REGCLASS
from sqlalchemy.sql import ClauseElement

from eventstore.statements import Statement
from eventstore.statements.global_order import newest_position
from eventstore.statements.postgresql.names import name_of_events
from eventstore.statements.text import sql_text
from eventstore.tables import Tables

_CLASSES = table(
    "pg_class", column("oid"), column("relname"), column("relnamespace"), column("relpersistence"), schema="pg_catalog"
)
_SEQUENCES = table("pg_sequence", column("seqrelid"), column("seqcache"), schema="pg_catalog")
_NAMESPACES = table("pg_namespace", column("oid"), column("nspname"), schema="pg_catalog")


DRAWING_STATE: Final = """
    SELECT
        CAST(pg_class.relpersistence AS TEXT) AS persistence,
        pg_sequence.seqcache AS cache,
        CASE
            WHEN (
                has_sequence_privilege(pg_sequence.seqrelid, 'SELECT') AND CAST(pg_class.relpersistence AS TEXT) = 'p'
            )
                THEN coalesce(pg_sequence_last_value(pg_sequence.seqrelid), -1)
        END AS drawn
    FROM pg_catalog.pg_class
    LEFT JOIN pg_catalog.pg_sequence ON pg_sequence.seqrelid = (
        SELECT to_regclass(pg_get_serial_sequence(:name_of_es_events, 'position')) AS sequence
    )
    WHERE pg_class.oid = to_regclass(:name_of_es_events)
"""
"""How positions are drawn, as a part of a statement, with one row.

The columns: whether es_events is `p`ermanent, `u`nlogged or `t`emporary; how many positions a session draws from the
sequence at a time; and the last position that was drawn, -1 if only the sequence itself has it, NULL for a role without
SELECT on the sequence. The sequence is read after the statement's snapshot was taken, so a healthy one is never behind
an event that the statement sees.
"""

_DRAWING: Final = """
SELECT
    (SELECT coalesce(max(event.position), 0) AS newest FROM {events} AS event) AS newest,
    state.persistence,
    state.cache,
    state.drawn
FROM ({drawing_state}) AS state
"""


def drawing_state(tables: Tables) -> ClauseElement:
    """Return the columns of `DRAWING_STATE`."""
    return sql_text(DRAWING_STATE, tables).bindparams(name_of_events(tables))


def drawing(tables: Tables) -> ClauseElement:
    """Return the position of the newest event, and the columns of `DRAWING_STATE`."""
    return sql_text(_DRAWING, tables, drawing_state=DRAWING_STATE).bindparams(name_of_events(tables))


def position_sequence(tables: Tables) -> ClauseElement:
    """Return (schema, name) of the sequence; no row if there is none."""
    return (
        select(_NAMESPACES.c.nspname, _CLASSES.c.relname)
        .select_from(_CLASSES.join(_NAMESPACES, _NAMESPACES.c.oid == _CLASSES.c.relnamespace))
        .where(_CLASSES.c.oid == _sequence(tables))
    )


@lru_cache(maxsize=16)
def drawn_positions(schema: str, name: str) -> Statement:
    """Return the statement for (newest stored position, last value, whether that was drawn) of a sequence.

    The sequence is read after the statement's snapshot was taken, so a healthy one is never behind.
    """
    sequence = table(name, column("last_value"), column("is_called"), schema=schema)

    def positions_drawn(tables: Tables) -> ClauseElement:
        return select(
            newest_position(tables).scalar_subquery().label("newest"), sequence.c.last_value, sequence.c.is_called
        )

    return positions_drawn


def set_last_position(tables: Tables) -> ClauseElement:
    """Let the sequence continue after a position."""
    return select(func.setval(_sequence(tables), bindparam("position", type_=BigInteger)).label("position"))


def _sequence(tables: Tables) -> ColumnElement[Any]:
    return func.to_regclass(func.pg_get_serial_sequence(name_of_events(tables), literal_column("'position'")))


def continue_positions(tables: Tables) -> ClauseElement:
    """Let the sequence continue after the largest position, `newest`, if it is behind.

    It reads no table, so Citus does it where positions are drawn.
    """
    sequence = cast(func.pg_get_serial_sequence(name_of_events(tables), literal_column("'position'")), REGCLASS)
    newest = bindparam("newest", type_=BigInteger)
    last = func.coalesce(func.pg_sequence_last_value(sequence), literal_column("0"))
    return select(func.setval(sequence, newest).label("position")).where(newest > last)
