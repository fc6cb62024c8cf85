"""A filter that hides our tables from the autogenerate of an application's Alembic."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from alembic import context
from sqlalchemy import Connection, inspect

from eventstore.common.validation import check_schema_name
from eventstore.migrations.environment import VERSION_TABLE
from eventstore.migrations.name_clashes import is_ours, is_part
from eventstore.migrations.place import schema_of, schema_of_tables
from eventstore.tables import define_tables

IncludeName = Callable[[str | None, Any, Any], bool]
"""The type of Alembic's `include_name`: (name, type_, parent_names) -> bool."""


def _connection() -> Connection | None:
    """Return the connection that Alembic compares with the models; None outside of Alembic's environment."""
    try:
        migration = context.get_context()
    except (NameError, AttributeError):  # Alembic's errors for an environment that is not or no longer set up
        return None
    return migration.connection


def _is_in_our_schema(name: str, reported: str | None, schema: str | None) -> bool:
    """Return whether a table is in the schema of our tables.

    Alembic reports None for every table that an unqualified name finds: those of the default schema, and on PostgreSQL
    those of all schemas in the search path.

    Args:
        name: The name of the table.
        reported: Its schema, as Alembic reports it.
        schema: The schema of our tables, as the application names it.
    """
    connection = _connection()
    if connection is None:
        return reported == schema
    if connection.dialect.name != "postgresql":  # on SQLite the store has no schemas
        return reported in {None, connection.dialect.default_schema_name}
    return (reported or schema_of(connection, name)) == schema_of_tables(connection, schema)


def _is_theirs(name: str, reported: str | None) -> bool:
    """Return whether a table with one of our names is the application's. Outside of Alembic it is ours."""
    connection = _connection()
    if connection is None:
        return False
    models = context.get_context().opts.get("target_metadata") or ()
    keys = {f"{schema}.{name}" if schema else name for schema in _spellings(connection, reported)}
    if not any(keys & each.tables.keys() for each in (models if isinstance(models, Sequence) else (models,))):
        return False
    return not is_ours(inspect(connection), name, reported)


def _spellings(connection: Connection, schema: str | None) -> set[str | None]:
    """Return the names that models may use for a schema, which include the name of the default schema."""
    return {schema, connection.dialect.default_schema_name} if schema is None else {schema}


def exclude_tables(include_name: IncludeName | None = None, *, schema: str | None = None) -> IncludeName:
    """Return a filter for `include_name` of `context.configure` that hides our tables from autogenerate.

    The parts of a partitioned log are among them, also those that were detached.

    Without it, `alembic revision --autogenerate` would drop them, because they are in the database and not in your
    models.

    A table with one of our names is yours if it is in your models and has other columns in the database than ours. It
    is compared like your other tables.

    Args:
        include_name: Your filter for everything else.
        schema: The PostgreSQL schema of our tables, which may be the default one. Defaults to None: the schema in the
            search path that has es_schema.

    Example:
        ```python
        context.configure(
            connection=connection,
            target_metadata=target_metadata,
            include_name=eventstore.migrations.exclude_tables(),
        )
        ```
    """
    check_schema_name(schema)
    every = (define_tables(), define_tables(position_is_key=True))
    ours = {table.name for tables in every for table in tables.metadata.tables.values()} | {VERSION_TABLE}

    def include(name: str | None, type_: str, parent_names: Mapping[str, str | None]) -> bool:
        reported = parent_names.get("schema_name")
        has_our_name = name is not None and (name in ours or is_part(name))
        if type_ == "table" and name is not None and has_our_name and _is_in_our_schema(name, reported, schema):
            return _is_theirs(name, reported) and (include_name is None or include_name(name, type_, parent_names))
        return include_name is None or include_name(name, type_, parent_names)

    return include
