"""Statements that let a transaction change history, and that keep it from it again."""

from sqlalchemy import BindParameter, Text, bindparam, func, select, true
from sqlalchemy.sql import ClauseElement

from eventstore.tables import Tables
from eventstore.tables.immutability import SETTING


def find_setting_of_history_changes(_tables: Tables) -> ClauseElement:
    """Return the setting, NULL if it was never set in this session."""
    return select(func.current_setting(_setting(), true()).label("value"))


def set_history_changes(_tables: Tables) -> ClauseElement:
    """Set it to `value` until the transaction ends; a savepoint that is rolled back takes it along."""
    return select(func.set_config(_setting(), bindparam("value", type_=Text), true()).label("value"))


def _setting() -> BindParameter[str]:
    return bindparam("setting", SETTING, type_=Text)
