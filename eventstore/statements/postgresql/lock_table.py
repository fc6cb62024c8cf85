"""LOCK TABLE, for which SQLAlchemy has no construct."""

from typing import Any

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.expression import Executable

from eventstore.tables import Tables


class _LockTable(Executable, ClauseElement):
    inherit_cache = False

    def __init__(self, mode: str, *tables: Table) -> None:
        self.mode = mode
        self.tables = tables


@compiles(_LockTable)
def _lock_table(element: _LockTable, _: Any, **__: Any) -> str:
    preparer = postgresql.dialect().identifier_preparer  # type: ignore[no-untyped-call]  # SQLAlchemy's
    names = ", ".join(preparer.format_table(table) for table in element.tables)
    return f"LOCK TABLE {names} IN {element.mode} MODE"


def lock_of(*tables: Table) -> ClauseElement:
    """Lock tables against writes until the transaction ends, after waiting for their writers. Reads are not blocked."""
    return _LockTable("SHARE ROW EXCLUSIVE", *tables)


def exclusive_lock_of(table: Table) -> ClauseElement:
    """Lock a table also against locks of its rows, after waiting for those who hold them. Reads are not blocked."""
    return _LockTable("EXCLUSIVE", table)


def lock_events(tables: Tables) -> ClauseElement:
    """Lock es_events against appends until the transaction ends."""
    return lock_of(tables.events)


def lock_derived_rows(tables: Tables) -> ClauseElement:
    """Lock the rows that are made from events, snapshots and dead letters, against writes; wait for their writers."""
    return lock_of(tables.snapshots, tables.dead_letters)
