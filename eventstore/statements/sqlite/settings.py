"""The statements that read settings."""

from functools import cache

from sqlalchemy import column, func, literal_column, select
from sqlalchemy.sql import ClauseElement

from eventstore.statements import Statement
from eventstore.tables import Tables


@cache
def setting(name: str) -> Statement:
    """Return the statement for the value of a PRAGMA."""

    def value_of_setting(_: Tables) -> ClauseElement:
        return select(column(name)).select_from(getattr(func, f"pragma_{name}")().table_valued(name).alias("pragma"))

    return value_of_setting


def main_file(_: Tables) -> ClauseElement:
    """Return the path of the database's file; an empty one if there is none."""
    databases = func.pragma_database_list().table_valued("name", "file").alias("databases")
    return select(databases.c.file).where(databases.c.name == literal_column("'main'"))
