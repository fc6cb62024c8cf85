"""Statements that let a transaction change history, and that keep it from it again."""

from sqlalchemy import BindParameter, Text, bindparam, func, literal_column, select, true
from sqlalchemy import delete as delete_from
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql import ClauseElement

from eventstore.tables import Tables
from eventstore.tables.immutability import SETTING


def find_setting_of_history_changes(_tables: Tables) -> ClauseElement:
    """Return the setting, NULL where it was never set in this session (PostgreSQL)."""
    return select(func.current_setting(_setting(), true()))


def set_history_changes(_tables: Tables) -> ClauseElement:
    """Set it to `value` until the transaction ends; a savepoint that is rolled back takes it along (PostgreSQL)."""
    return select(func.set_config(_setting(), bindparam("value", type_=Text), true()))


def _setting() -> BindParameter[str]:
    return bindparam("setting", SETTING, type_=Text)


def give_permission(tables: Tables) -> ClauseElement:
    """Give the permission; no row where it was given already (SQLite)."""
    assert tables.permission is not None  # noqa: S101  # for the type checker
    row = insert(tables.permission).values(id=literal_column("1")).on_conflict_do_nothing()
    return row.returning(tables.permission.c.id)


def take_permission(tables: Tables) -> ClauseElement:
    """Take it away again (SQLite)."""
    assert tables.permission is not None  # noqa: S101  # for the type checker
    return delete_from(tables.permission)
