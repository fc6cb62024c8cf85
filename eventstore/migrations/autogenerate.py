"""For an application's own Alembic: keep its autogenerate away from our tables."""

from collections.abc import Callable, Mapping
from typing import Any

from eventstore.migrations.environment import VERSION_TABLE
from eventstore.tables import check_schema_name, define_tables

IncludeName = Callable[[str | None, Any, Any], bool]
"""What Alembic takes as `include_name`: (name, type_, parent_names) -> bool."""


def exclude_tables(include_name: IncludeName | None = None, *, schema: str | None = None) -> IncludeName:
    """Return a filter for `include_name` of `context.configure`, by which autogenerate does not see our tables.

    Without it, `alembic revision --autogenerate` would drop them: they are in the database and not in your models.

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
            return False
        return include_name is None or include_name(name, type_, parent_names)

    return include
