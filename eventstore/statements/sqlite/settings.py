"""The statement that asks for a setting."""

from collections.abc import Callable
from functools import cache

from sqlalchemy import column, func, select
from sqlalchemy.sql import ClauseElement

from eventstore.tables import Tables


@cache
def setting(name: str) -> Callable[[Tables], ClauseElement]:
    """Return the statement for the value of a PRAGMA that only tells."""

    def value_of_setting(_: Tables) -> ClauseElement:
        return select(column(name)).select_from(getattr(func, f"pragma_{name}")().table_valued(name))

    return value_of_setting
