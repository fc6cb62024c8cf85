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

    def __init__(self, table: Table) -> None:
        self.table = table


@compiles(_LockTable)
def _lock_table(element: _LockTable, _: Any, **__: Any) -> str:
    table = postgresql.dialect().identifier_preparer.format_table(element.table)  # type: ignore[no-untyped-call]  # SQLAlchemy's
    return f"LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE"


def lock_of(table: Table) -> ClauseElement:
    """Lock a table against writes until the transaction ends, after waiting for its writers. Reads are not blocked."""
    return _LockTable(table)


def lock_events(tables: Tables) -> ClauseElement:
    """Lock es_events against appends until the transaction ends."""
    return lock_of(tables.events)


def lock_snapshots(tables: Tables) -> ClauseElement:
    """Lock the snapshots against writes until the transaction ends, after waiting for their writers."""
    return lock_of(tables.snapshots)
