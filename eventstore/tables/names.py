"""The names of tables in PostgreSQL's SQL, and SQL that is made once for all schemas."""

from typing import Final

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql

_PREPARER: Final = postgresql.dialect().identifier_preparer  # type: ignore[no-untyped-call]  # SQLAlchemy's

ANY_SCHEMA: Final = "eventstore_any_schema"
"""The name of a schema that stands for any: SQL that is made for it becomes that of another one by `in_schema`."""


def qualified_name(table: Table, name: str | None = None) -> str:
    """Return the name of a table as in PostgreSQL's SQL: with its schema, quoted if necessary.

    Use it for SQL text without parameters, and for functions on names. In a statement with parameters, drivers need
    each percent sign doubled. SQLAlchemy always doubles it, which this function reverts.

    Args:
        table: The table.
        name: The name of another object in the same schema, to return that instead.
    """
    of = "" if table.schema is None else f"{quoted_schema(table.schema)}."
    return of + _PREPARER.quote(table.name if name is None else name).replace("%%", "%")


def quoted_schema(schema: str) -> str:
    """Return the name of a schema as in PostgreSQL's SQL, quoted if necessary; see `qualified_name`."""
    return _PREPARER.quote_schema(schema).replace("%%", "%")


def in_schema(sql: str, schema: str, *, has_parameters: bool) -> str:
    """Return the SQL for another schema, of SQL that was made for `ANY_SCHEMA`.

    Args:
        sql: The SQL.
        schema: The name of the schema.
        has_parameters: Whether the driver looks for parameters in it, so that a percent sign in the name is doubled.
    """
    name = quoted_schema(schema)
    if has_parameters:
        name = name.replace("%", "%%")
    in_literal = name.replace("'", "''")
    return sql.replace(f"'{ANY_SCHEMA}.", f"'{in_literal}.").replace(ANY_SCHEMA, name)
