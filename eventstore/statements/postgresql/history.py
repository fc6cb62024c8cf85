"""Statements that permit a transaction to change history, and that end the permission."""

from sqlalchemy import BindParameter, Text, bindparam, func, select, true
from sqlalchemy.sql import ClauseElement

from eventstore.tables import Tables
from eventstore.tables.immutability import SETTING


def find_setting_of_history_changes(_tables: Tables) -> ClauseElement:
    """Return the setting; NULL if it was never set in this session."""
    return select(func.current_setting(_setting(), true()).label("value"))


def set_history_changes(_tables: Tables) -> ClauseElement:
    """Set the setting to `value` until the transaction ends, or until the savepoint is rolled back."""
    return select(func.set_config(_setting(), bindparam("value", type_=Text), true()).label("value"))


def _setting() -> BindParameter[str]:
    return bindparam("setting", SETTING, type_=Text)
