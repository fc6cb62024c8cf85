"""Tables of the application that have the name of one of the store's."""

from typing import Final

from sqlalchemy import Connection, Inspector, inspect, text

from eventstore.errors import ForeignMigrationHistory, TableTaken
from eventstore.tables import Tables, define_tables

CREATED_BY: Final = {
    "es_streams": 1,
    "es_events": 1,
    "snapshots": 1,
    "es_schema": 1,
    "es_checkpoints": 5,
    "es_dead_letters": 5,
    "es_event_tags": 9,
    "es_detached_parts": 11,
    "es_history_permission": 6,
}
"""The revision that creates each table."""


def refuse_name_clashes(connection: Connection, schema: str | None, *, next_revision_only: bool = False) -> None:
    """Refuse tables of the application that have the name of a table that is still to be created.

    Args:
        connection: The connection of the migration.
        schema: The schema of our tables.
        next_revision_only: Whether to check only the tables of the next revision.

    Raises:
        TableTaken: There is such a table.
    """
    tables = define_tables(schema=schema, position_is_key=connection.dialect.name == "sqlite")
    where = schema
    if (
        where is None and connection.dialect.name == "postgresql"
    ):  # tables of later schemas in the path are not in the way
        where = connection.execute(text("SELECT current_schema()")).scalar_one_or_none()
        if where is None:
            return
    inspector = inspect(connection)
    version = _version(connection, inspector, tables, where)
    clashes = [
        table.name
        for table in tables.metadata.sorted_tables
        if CREATED_BY[table.name] > version
        and (not next_revision_only or CREATED_BY[table.name] == version + 1)
        and inspector.has_table(table.name, where)
    ]
    if clashes:
        raise TableTaken(sorted(clashes), where)


def refuse_existing_tables(connection: Connection, schema: str | None) -> None:
    """Refuse tables of the store that exist before the first revision creates them.

    Raises:
        ForeignMigrationHistory: They exist, so another migration history has created them.
    """
    tables = define_tables(schema=schema, position_is_key=connection.dialect.name == "sqlite")
    version = _version(connection, inspect(connection), tables, schema)
    if version:
        raise ForeignMigrationHistory(f"es_{version:04}")


def is_ours(inspector: Inspector, name: str, schema: str | None) -> bool:
    """Return whether a table with one of our names has our columns, too."""
    table = define_tables(position_is_key=True).metadata.tables.get(name)  # SQLite has all of our tables
    if table is None:  # the version table
        return True
    needed = {column.name for column in table.columns if not column.nullable}
    return needed <= _columns(inspector, name, schema)


def _version(connection: Connection, inspector: Inspector, tables: Tables, schema: str | None) -> int:
    """Return the version in es_schema; 0 if the table does not exist or is not ours."""
    if not inspector.has_table(tables.schema.name, schema) or not is_ours(inspector, tables.schema.name, schema):
        return 0
    return int(connection.execute(tables.schema.select().with_only_columns(tables.schema.c.version)).scalar() or 0)


def _columns(inspector: Inspector, name: str, schema: str | None) -> set[str]:
    return {column["name"] for column in inspector.get_columns(name, schema)}
