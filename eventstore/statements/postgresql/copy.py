"""Statements that store very many events on PostgreSQL: COPY."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.expression import Executable

from eventstore.statements.columns import APPENDED_COLUMNS, STORED_COLUMNS
from eventstore.statements.postgresql.names import name_of_events
from eventstore.tables import Tables
from eventstore.tables.immutability import qualified_name


class _Copy(Executable, ClauseElement):
    inherit_cache = False

    def __init__(self, tables: Tables, columns: Sequence[str]) -> None:
        self.table = tables.events
        self.columns = tuple(columns)


@compiles(_Copy)
def _copy(element: _Copy, _: Any, **__: Any) -> str:
    # the driver's method for it looks for no parameters in the text
    return f"COPY {qualified_name(element.table)} ({', '.join(element.columns)}) FROM STDIN (FORMAT BINARY)"


def row_security(tables: Tables) -> ClauseElement:
    """Return whether row level security is in force on es_events, for this role; NULL if there is no such table."""
    return select(func.row_security_active(func.to_regclass(name_of_events(tables))))


def copy_events(tables: Tables) -> ClauseElement:
    """Store rows of `APPENDED_COLUMNS`, the parameter `rows`. Positions are drawn in their order."""
    return copy_of(tables, APPENDED_COLUMNS)


def copy_of(tables: Tables, columns: Sequence[str]) -> ClauseElement:
    """Store rows of columns of es_events, the parameter `rows`. A position among them is stored as it is."""
    return _Copy(tables, columns)


def copy_stored_events(tables: Tables) -> ClauseElement:
    """Store rows of `STORED_COLUMNS`; positions are drawn in their order."""
    return copy_of(tables, STORED_COLUMNS)


def copy_positioned_events(tables: Tables) -> ClauseElement:
    """Store rows of `STORED_COLUMNS` and the position."""
    return copy_of(tables, (*STORED_COLUMNS, "position"))
