"""For an application's own Alembic: keep its autogenerate away from our tables."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from alembic import context
from sqlalchemy import inspect

from eventstore.migrations.environment import VERSION_TABLE
from eventstore.migrations.strangers import is_ours
from eventstore.tables import check_schema_name, define_tables

IncludeName = Callable[[str | None, Any, Any], bool]
"""What Alembic takes as `include_name`: (name, type_, parent_names) -> bool."""


def _is_theirs(name: str, schema: str | None) -> bool:
    """Return whether a table of one of our names is the application's. Outside of Alembic's environment it is ours."""
    try:
        migration = context.get_context()
    except (NameError, AttributeError):  # Alembic's ways to say that none is set up, or none any more
        return False
    models = migration.opts.get("target_metadata") or ()
    key = name if schema is None else f"{schema}.{name}"
    if not any(key in each.tables for each in (models if isinstance(models, Sequence) else (models,))):
        return False
    connection = migration.connection
    return connection is not None and not is_ours(inspect(connection), name, schema)


def exclude_tables(include_name: IncludeName | None = None, *, schema: str | None = None) -> IncludeName:
    """Return a filter for `include_name` of `context.configure`, by which autogenerate does not see our tables.

    Without it, `alembic revision --autogenerate` would drop them: they are in the database and not in your models.

    A table of one of our names that is in your models, and that in the database has other columns than ours, is yours:
    it is compared like your others.

    Args:
        include_name: A filter of your own, asked about everything else.
        schema: The PostgreSQL schema of our tables, where it is one of their own. Defaults to None: the default schema.

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
        if type_ == "table" and name in ours and parent_names.get("schema_name") == schema:
            return _is_theirs(name, schema) and (include_name is None or include_name(name, type_, parent_names))
        return include_name is None or include_name(name, type_, parent_names)

    return include
