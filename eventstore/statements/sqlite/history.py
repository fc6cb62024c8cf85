"""Statements that permit a transaction to change history, and that end the permission."""

from typing import cast

from sqlalchemy import Table, literal_column
from sqlalchemy import delete as delete_from
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql import ClauseElement

from eventstore.tables import Tables


def add_permission(tables: Tables) -> ClauseElement:
    """Add the row of the permission; no row is returned if it already exists."""
    permission = cast("Table", tables.permission)
    row = insert(permission).values(id=literal_column("1")).on_conflict_do_nothing()
    return row.returning(permission.c.id)


def remove_permission(tables: Tables) -> ClauseElement:
    """Delete the row of the permission."""
    return delete_from(cast("Table", tables.permission))
