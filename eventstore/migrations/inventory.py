"""What verification reads from a database."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Connection, Engine, text

from eventstore.migrations import catalog
from eventstore.migrations.definitions import TABLES, Definitions, Key, on_postgresql, on_sqlite
from eventstore.migrations.environment import VERSION_TABLE
from eventstore.tables import BREAKING_VERSION, PARTS_CAN_BE_DETACHED
from eventstore.tables.immutability import PERMISSION_TABLE

_VERSION: Final = "SELECT version, breaking_version FROM {}es_schema"
_OWNERS: Final = text("""
SELECT c.relname::text, quote_ident(pg_get_userbyid(c.relowner))
FROM pg_class c WHERE c.relnamespace = :namespace AND c.relname = ANY (CAST(:tables AS text[]))
""")
_HISTORY_CHANGERS: Final = text("""
SELECT quote_ident(r.rolname) FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) AS a
JOIN (SELECT oid, rolname FROM pg_roles UNION ALL SELECT 0, 'public') AS r ON r.oid = a.grantee
WHERE c.relnamespace = :namespace AND c.relname = 'es_events' AND a.grantee <> c.relowner
  AND a.privilege_type IN ('UPDATE', 'DELETE', 'TRUNCATE')
GROUP BY r.rolname ORDER BY r.rolname
""")
_TABLE_STATEMENTS: Final = text(
    "SELECT tbl_name, sql FROM sqlite_master WHERE type IN ('index', 'trigger') AND sql IS NOT NULL"
)


@dataclass(frozen=True, slots=True)
class Inventory:
    """What is in a database at one moment.

    Attributes:
        dialect: `postgresql` or `sqlite`.
        definitions: Everything that belongs to our tables.
        versions: The rows of es_schema, as texts; None if the table does not exist.
        revisions: The rows of our version table; None if it does not exist.
        schema: The schema of the tables, quoted and with a dot; empty if there is none.
        owners: The owner of each table, quoted.
        elsewhere: The tables that an unqualified name finds in another schema than that of es_schema, with that schema,
            quoted.
        table_statements: On SQLite, the statements that created the indexes and triggers of each table, including the
            application's.
        parts: The parts of a partitioned log.
        unlisted: The first and the last position of what was detached from it, but not listed; None if all is there.
        history_changers: The roles, quoted, which may change es_events besides its owner, if Citus has distributed it,
            so that it has no trigger; None if it is not distributed.
        is_permitted: On SQLite, whether a permission to change history was left behind.
    """

    dialect: str
    definitions: Definitions
    versions: tuple[str, ...] | None = None
    revisions: tuple[str, ...] | None = None
    schema: str = ""
    owners: Mapping[str, str] = field(default_factory=dict)
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    table_statements: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    parts: tuple[on_postgresql.PartFacts, ...] = ()
    unlisted: tuple[int, int] | None = None
    history_changers: tuple[str, ...] | None = None
    is_permitted: bool = False


def read_inventory(engine: Engine, schema: str | None) -> Inventory:
    """Read the inventory in one transaction, which is rolled back. It waits only for DDL on es_schema."""
    with _reading(engine) as connection:
        return _on_sqlite(connection) if engine.dialect.name == "sqlite" else _on_postgresql(connection, schema)


@contextmanager
def _reading(engine: Engine) -> Iterator[Connection]:
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            # independent of the engine's options: the search path is set for this one transaction
            connection.execution_options(isolation_level="REPEATABLE READ", stream_results=False)
        connection.begin()
        if engine.dialect.name == "sqlite" and not _is_in_transaction(connection):
            connection.exec_driver_sql("BEGIN")  # sqlite3 begins no transaction for reads
        try:
            yield connection
        finally:
            connection.rollback()
            if engine.dialect.name == "sqlite" and _is_in_transaction(connection):  # in AUTOCOMMIT
                connection.exec_driver_sql("ROLLBACK")


def _is_in_transaction(connection: Connection) -> bool:
    return bool(connection.connection.dbapi_connection.in_transaction)  # type: ignore[union-attr]  # sqlite3's


def _on_postgresql(connection: Connection, schema: str | None) -> Inventory:
    place = on_postgresql.place(connection, schema)
    if place is None:
        return Inventory("postgresql", {})
    namespace, _, quoted = place
    elsewhere = on_postgresql.read_elsewhere(connection, namespace) if schema is None else {}
    definitions = on_postgresql.read(connection, *place)
    parameters = {"namespace": namespace, "tables": [*TABLES, VERSION_TABLE]}
    owners = {name: owner for name, owner in connection.execute(_OWNERS, parameters)}  # noqa: C416  # of rows
    return Inventory(
        "postgresql",
        definitions,
        versions=_versions(connection, definitions, f"{quoted}."),
        revisions=_revisions(connection, f"{quoted}.") if VERSION_TABLE in owners else None,
        schema=f"{quoted}.",
        owners=owners,
        elsewhere=elsewhere,
        history_changers=_history_changers(connection, namespace, f"{quoted}.es_events"),
        parts=on_postgresql.read_parts(connection, namespace),
        unlisted=_unlisted(connection, definitions, namespace, f"{quoted}."),
    )


def _history_changers(connection: Connection, namespace: int, table: str) -> tuple[str, ...] | None:
    if not catalog.is_distributed(connection, table):
        return None
    return tuple(connection.execute(_HISTORY_CHANGERS, {"namespace": namespace}).scalars())


def _on_sqlite(connection: Connection) -> Inventory:
    definitions = on_sqlite.read(connection)
    query = text("SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = :name")
    is_stamped = connection.execute(query, {"name": VERSION_TABLE}).scalar()
    table_statements: dict[str, tuple[str, ...]] = {}
    for table, sql in connection.execute(_TABLE_STATEMENTS):
        table_statements[table] = (*table_statements.get(table, ()), sql)
    has_permission = Key(PERMISSION_TABLE, "table") in definitions
    return Inventory(
        "sqlite",
        definitions,
        versions=_versions(connection, definitions, ""),
        revisions=_revisions(connection, "") if is_stamped else None,
        table_statements=table_statements,
        is_permitted=has_permission
        and connection.exec_driver_sql(f"SELECT 1 FROM {PERMISSION_TABLE}").first() is not None,
    )


def _versions(connection: Connection, definitions: Definitions, schema: str) -> tuple[str, ...] | None:
    if not all(Key("es_schema", "column", name) in definitions for name in ("version", "breaking_version")):
        return None
    rows = connection.exec_driver_sql(_VERSION.format(schema.replace("%", "%%")))
    return tuple(f"version {version}, breaking_version {_as_migrated(breaking)}" for version, breaking in rows)


def _unlisted(connection: Connection, definitions: Definitions, namespace: int, schema: str) -> tuple[int, int] | None:
    """Return the range of positions before the first part that no detached part has."""
    first = on_postgresql.read_first_position(connection, namespace)
    if first is None or Key("es_detached_parts", "column", "last_position") not in definitions:
        return None
    query = f"SELECT coalesce(max(last_position), 0) FROM {schema}es_detached_parts"
    listed = connection.exec_driver_sql(query.replace("%", "%%")).scalar_one()
    return (listed + 1, first - 1) if listed < first - 1 else None


def _as_migrated(breaking_version: int) -> int:
    """Return the breaking version that migrations set: to detach a part raises it, because older code must not read."""
    return BREAKING_VERSION if breaking_version == PARTS_CAN_BE_DETACHED else breaking_version


def _revisions(connection: Connection, schema: str) -> tuple[str, ...]:
    rows = connection.exec_driver_sql(f"SELECT version_num FROM {schema.replace('%', '%%')}{VERSION_TABLE}")
    return tuple(sorted(rows.scalars()))
