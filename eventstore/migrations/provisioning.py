"""Provisioning: the tables of one tenant at their newest revision, by one script instead of all revisions."""

import time
from functools import cache
from typing import Any, Final

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    create_mock_engine,
    text,
)
from sqlalchemy.dialects import postgresql

from eventstore.backends import backend_for
from eventstore.common.backoff import spread
from eventstore.errors import InvalidInput, MigrationInProgress
from eventstore.migrations import catalog
from eventstore.migrations.commands import head, upgrade
from eventstore.migrations.environment import VERSION_TABLE
from eventstore.migrations.lock import lock_key
from eventstore.migrations.refusals import refusals, refuse_encoding
from eventstore.migrations.session import no_timeouts, set_all
from eventstore.migrations.settings import Settings, logger
from eventstore.tables import BREAKING_VERSION, SCHEMA_VERSION, after_position, define_tables
from eventstore.tables.immutability import FUNCTION
from eventstore.tables.names import ANY_SCHEMA, in_schema, quoted_schema

_TRY: Final = text("SELECT pg_try_advisory_xact_lock(:key)")
_FOUND: Final = text("""
SELECT n.oid IS NOT NULL AS has_schema, ARRAY(
    SELECT c.relname::text FROM pg_class c WHERE c.relnamespace = n.oid AND c.relname = ANY (CAST(:names AS text[]))
) AS relations, to_regclass('pg_catalog.pg_dist_schema') IS NOT NULL AS has_citus
FROM (SELECT CAST(:schema AS text) AS name) AS asked LEFT JOIN pg_namespace n ON n.nspname = asked.name
""")
_DISTRIBUTED: Final = text("""
SELECT 1 FROM pg_catalog.pg_dist_schema d JOIN pg_namespace n ON n.oid = d.schemaid WHERE n.nspname = :schema
""")


def provision(engine: Engine, schema: str, *, wait_seconds: float = 600.0) -> bool:
    """Create the schema of a tenant, with the tables at the newest revision; or bring existing tables to it.

    The result is that of `upgrade`, in about a tenth of the time: one transaction with one script, which is made once
    for all tenants. It needs the same rights: CREATE on the database if the schema does not exist, otherwise on the
    schema. It is idempotent. If several processes provision or migrate the same schema, one does, and the others
    wait. A killed process leaves nothing. If there are tables already, it calls `upgrade`.

    Args:
        engine: An engine of a PostgreSQL database.
        schema: The name of the schema: at most 63 bytes, and not one of those that PostgreSQL reserves.
        wait_seconds: How long to wait for another process that migrates the same schema.

    Returns:
        Whether the tables were created; False if they existed.

    Raises:
        InvalidInput: The name is not valid, or the engine is not for PostgreSQL.
        PermissionDenied: The database user lacks a right.
        MigrationInProgress: Another migration of the schema was not done in time.
        MigrationError: As for `upgrade`, such as TableTaken if the schema has another table called `snapshots`.
    """
    _check_name(schema)
    settings = Settings(schema, wait_seconds=wait_seconds)
    backend_for(engine, lock_timeout_seconds=0, schema=schema)  # refuses other databases
    with refusals(engine, schema):
        with engine.connect().execution_options(isolation_level="READ COMMITTED") as connection:
            refuse_encoding(connection)
            _lock(connection, settings)
            has_schema, relations, has_citus = connection.execute(_FOUND, _names_of(schema)).one()
            if not relations:
                _create(connection, schema, has_schema=has_schema, has_citus=has_citus)
                connection.commit()
                logger.info("provisioned schema %s", schema)
                return True
            is_done = {"es_schema", VERSION_TABLE} <= set(relations) and _is_at_head(connection, schema)
            connection.rollback()
        if not is_done:
            upgrade(engine, schema=schema, wait_seconds=wait_seconds)
    return False


def _check_name(schema: object) -> None:
    if schema is None:
        raise InvalidInput("schema must be the name of the tenant's schema, not None")
    if isinstance(schema, str) and (schema.startswith("pg_") or schema == "information_schema"):
        msg = f"schema must not be {schema!r}: PostgreSQL reserves information_schema, and names that begin with pg_"
        raise InvalidInput(msg)


def _names_of(schema: str) -> dict[str, Any]:
    tables = define_tables(schema=ANY_SCHEMA).metadata.tables.values()
    return {"schema": schema, "names": [*(table.name for table in tables), VERSION_TABLE]}


def _lock(connection: Connection, settings: Settings) -> None:
    """Take the migration lock until the transaction ends.

    It is polled, in a new transaction each time: a session that waits for it would hold a snapshot that CREATE INDEX
    CONCURRENTLY of the other migration waits for.

    Raises:
        MigrationInProgress: Another migration held it for the whole time.
    """
    key, began = lock_key(settings.schema), time.monotonic()
    while True:
        set_all(connection, no_timeouts(), is_local=True)
        if connection.execute(_TRY, {"key": key}).scalar_one():
            return
        holders = catalog.advisory_lockers(connection, key)
        connection.rollback()
        waited = time.monotonic() - began
        if waited > settings.wait_seconds:
            raise MigrationInProgress(round(waited, 1), holders)
        time.sleep(spread(0.1, 0.5))


def _is_at_head(connection: Connection, schema: str) -> bool:
    query = f"SELECT version_num FROM {quoted_schema(schema)}.{VERSION_TABLE}"
    rows = connection.exec_driver_sql(query, execution_options={"no_parameters": True})
    return list(rows.scalars()) == [head()]


def _create(connection: Connection, schema: str, *, has_schema: bool, has_citus: bool) -> None:
    create_schema = [] if has_schema else [f"CREATE SCHEMA {ANY_SCHEMA}"]  # even IF NOT EXISTS needs the right
    if not has_citus:
        _execute(connection, ";\n".join([*create_schema, *_statements()]), schema)
        return
    for sql in create_schema:
        _execute(connection, sql, schema)
    is_distributed = connection.execute(_DISTRIBUTED, {"schema": schema}).first() is not None
    for sql in _statements():  # Citus takes them one by one, and no triggers on distributed tables
        if not is_distributed or not any(part in sql for part in (FUNCTION, after_position.FUNCTION)):
            _execute(connection, sql, schema)


def _execute(connection: Connection, script: str, schema: str) -> None:
    sql = in_schema(script, schema, has_parameters=False)
    connection.exec_driver_sql(sql, execution_options={"no_parameters": True})


@cache
def _statements() -> list[str]:
    """Return the SQL that creates the tables, and says that they are at head, in `ANY_SCHEMA`."""
    metadata = define_tables(schema=ANY_SCHEMA).metadata
    version_table = Table(  # as Alembic makes it
        VERSION_TABLE,
        MetaData(schema=ANY_SCHEMA),
        Column("version_num", String(32), nullable=False),
        PrimaryKeyConstraint("version_num", name=f"{VERSION_TABLE}_pkc"),
    )
    version = (
        f"INSERT INTO {ANY_SCHEMA}.es_schema (id, version, breaking_version) "
        f"VALUES (1, {SCHEMA_VERSION}, {BREAKING_VERSION})"
    )
    revision = f"INSERT INTO {ANY_SCHEMA}.{VERSION_TABLE} (version_num) VALUES ('{head()}')"
    return [*_ddl(metadata), *_ddl(version_table.metadata), version, revision]


def _ddl(metadata: MetaData) -> list[str]:
    statements: list[str] = []
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's

    def write(ddl: Any, *_: Any, **__: Any) -> None:
        statements.append(str(ddl.compile(dialect=dialect)))

    metadata.create_all(create_mock_engine("postgresql+psycopg://", write), checkfirst=False)
    return statements
