"""The PostgreSQL schema of the tables: always one, with any search path."""

from typing import Final

from sqlalchemy import Connection, text

from eventstore.errors import TablesElsewhere
from eventstore.migrations.sql_text import block, literal

_ELSEWHERE: Final = """FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid IN (to_regclass('es_schema'), to_regclass('es_alembic_version')) AND n.nspname <> current_schema()"""
_WHERE: Final = text(f"""
SELECT n.nspname::text AS found, current_schema()::text AS first, current_setting('search_path') AS path {_ELSEWHERE}
""")
_VISIBLE: Final = text("""
SELECT n.nspname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass(:table)
""")
_PATH: Final = text("SELECT unnest(current_schemas(false))::text")


def refuse_elsewhere(connection: Connection, schema: str | None) -> None:
    """Refuse tables that are in another schema of the search path than the first, if no schema was named.

    An unqualified name finds a table in any schema of the path, but a new table is created in the first. A schema that
    comes to the front of the path later, such as one named like the database user, would split the tables.

    Raises:
        TablesElsewhere: They are in another schema.
    """
    if schema is None and connection.dialect.name == "postgresql":
        row = connection.execute(_WHERE).first()
        if row is not None:
            raise TablesElsewhere(row.found, row.first, row.path)


def refuse_elsewhere_in_script() -> str:
    """Return the same check as SQL, for a printed script."""
    message = (
        "the tables of the event store are in another schema than the first one of search_path, where new tables would "
        "be created; name their schema (--schema), or put it first in search_path"
    )
    return block(f"IF EXISTS (SELECT {_ELSEWHERE}) THEN RAISE USING MESSAGE = {literal(message)}; END IF")


def schemas_to_lock(connection: Connection, schema: str | None) -> list[str | None]:
    """Return the schemas that may have tables, in an order that is the same for all migrations."""
    if schema is not None:
        return [schema]
    return sorted(connection.execute(_PATH).scalars()) or [None]


def schema_of_tables(connection: Connection, schema: str | None) -> str | None:
    """Return the schema that has our tables, or in which they will be created."""
    if schema is not None:
        return schema
    visible = schema_of(connection, "es_schema") or schema_of(connection, "es_alembic_version")
    return visible or connection.execute(text("SELECT current_schema()::text")).scalar()


def schema_of(connection: Connection, table: str) -> str | None:
    """Return the schema in which an unqualified name finds a table; None if it finds none."""
    schema: str | None = connection.execute(_VISIBLE, {"table": table}).scalar()
    return schema
