"""Statements that store very many events on PostgreSQL: COPY."""

from functools import cache
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.expression import Executable

from eventstore.statements import Statement
from eventstore.statements.postgresql.names import name_of_events
from eventstore.tables import Tables
from eventstore.tables.names import qualified_name


class _Copy(Executable, ClauseElement):
    inherit_cache = False

    def __init__(self, tables: Tables, columns: tuple[str, ...]) -> None:
        self.table = tables.events
        self.columns = columns


@compiles(_Copy)
def _copy(element: _Copy, _: Any, **__: Any) -> str:
    # the driver's method for COPY does not look for parameters in the text
    return f"COPY {qualified_name(element.table)} ({', '.join(element.columns)}) FROM STDIN (FORMAT BINARY)"


def row_security(tables: Tables) -> ClauseElement:
    """Return whether row level security is in force on es_events, for this role; NULL if there is no such table."""
    return select(func.row_security_active(func.to_regclass(name_of_events(tables))).label("is_in_force"))


@cache
def copy_events(columns: tuple[str, ...]) -> Statement:
    """Return the statement that stores events from the parameter `rows`, which has these columns.

    Positions are drawn in the order of the rows, unless `position` is one of the columns.
    """
    return lambda tables: _Copy(tables, columns)
