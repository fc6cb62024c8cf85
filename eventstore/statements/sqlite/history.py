"""Statements that let a transaction change history, and that keep it from it again."""

from sqlalchemy import delete as delete_from
from sqlalchemy import literal_column
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql import ClauseElement

from eventstore.tables import Tables


def give_permission(tables: Tables) -> ClauseElement:
    """Give the permission; no row where it was given already."""
    assert tables.permission is not None  # noqa: S101  # for the type checker
    row = insert(tables.permission).values(id=literal_column("1")).on_conflict_do_nothing()
    return row.returning(tables.permission.c.id)


def take_permission(tables: Tables) -> ClauseElement:
    """Take it away again."""
    assert tables.permission is not None  # noqa: S101  # for the type checker
    return delete_from(tables.permission)
