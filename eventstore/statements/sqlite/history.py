"""Statements that let a transaction change history, and that keep it from it again."""

from typing import cast

from sqlalchemy import Table, literal_column
from sqlalchemy import delete as delete_from
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql import ClauseElement

from eventstore.tables import Tables


def give_permission(tables: Tables) -> ClauseElement:
    """Give the permission; no row if it was given already."""
    permission = cast("Table", tables.permission)
    row = insert(permission).values(id=literal_column("1")).on_conflict_do_nothing()
    return row.returning(permission.c.id)


def take_permission(tables: Tables) -> ClauseElement:
    """Take it away again."""
    return delete_from(cast("Table", tables.permission))
