"""The statement that reads a setting."""

from functools import cache

from sqlalchemy import column, func, select
from sqlalchemy.sql import ClauseElement

from eventstore.statements import Statement
from eventstore.tables import Tables


@cache
def setting(name: str) -> Statement:
    """Return the statement for the value of a PRAGMA."""

    def value_of_setting(_: Tables) -> ClauseElement:
        return select(column(name)).select_from(getattr(func, f"pragma_{name}")().table_valued(name).alias("pragma"))

    return value_of_setting
