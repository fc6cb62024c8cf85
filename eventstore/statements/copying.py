"""Statements that store very many events on PostgreSQL: COPY."""

from typing import Any

from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.expression import Executable

from eventstore.tables import Tables

COPIED_COLUMNS = ("stream_id", "version", "event_id", "event_type", "schema_version", "codec", "data", "metadata")
"""The columns of a row that is copied, in order; the database fills in the others."""


class _Copy(Executable, ClauseElement):
    inherit_cache = False

    def __init__(self, tables: Tables) -> None:
        self.table = tables.events


@compiles(_Copy)
def _copy(element: _Copy, _: Any, **__: Any) -> str:
    table = postgresql.dialect().identifier_preparer.format_table(element.table)  # type: ignore[no-untyped-call]  # SQLAlchemy's
    return f"COPY {table} ({', '.join(COPIED_COLUMNS)}) FROM STDIN (FORMAT BINARY)"


def copy_events(tables: Tables) -> ClauseElement:
    """Store rows of `COPIED_COLUMNS`, the parameter `rows`. Positions are drawn in their order, as they are stored."""
    return _Copy(tables)
