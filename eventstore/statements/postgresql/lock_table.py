"""LOCK TABLE, which SQLAlchemy has no construct for."""

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
    """Wait for those who have written to a table, and keep others from it until the transaction ends; reads go on."""
    return _LockTable(table)


def lock_events(tables: Tables) -> ClauseElement:
    """Keep appends out until the transaction ends."""
    return lock_of(tables.events)


def lock_snapshots(tables: Tables) -> ClauseElement:
    """Wait for those who are saving snapshots, and keep others from it until the transaction ends."""
    return lock_of(tables.snapshots)
