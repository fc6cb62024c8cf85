"""Is the schema in the database the one that `tables.py` describes?"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    Connection,
    Engine,
    ForeignKeyConstraint,
    Inspector,
    Table,
    UniqueConstraint,
    inspect,
)
from sqlalchemy.schema import AddConstraint, Constraint, CreateIndex, ExecutableDDLElement
from sqlalchemy.types import NullType

from eventstore.backends import backend_for
from eventstore.migrations import catalog
from eventstore.migrations.commands import current, pending
from eventstore.migrations.environment import VERSION_TABLE, current_revision
from eventstore.migrations.immutability import differences_on_postgresql, differences_on_sqlite
from eventstore.migrations.refusals import refusals
from eventstore.tables import Tables


class Difference(Enum):
    """In what way the schema differs."""

    MISSING = "missing"
    """A table or a column is not there."""

    DIFFERS = "differs"
    """Something is there, and is not what it should be."""

    CONSTRAINT_MISSING = "constraint missing"
    """It is not there, or was never validated."""

    INDEX_MISSING = "index missing"
    INDEX_INVALID = "index invalid"

    POSITIONS_CACHED = "positions cached"
    """The sequence hands out several positions at once."""

    VERSION_WRONG = "version wrong"
    """es_schema has no row, or another version than the newest revision that was applied."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something in which the schema differs from what it should be.

    Attributes:
        table: The table.
        name: Of the column, constraint, index or sequence; None where it is the table itself.
        problem: What is wrong.
        remedy: What to do.
        kind: In what way it differs.
        sql: The one statement that mends it, outside of a transaction, and that loses nothing; None where it takes
            more, or a decision. `mend` executes it.
    """

    table: str
    name: str | None
    problem: str
    remedy: str
    kind: Difference = Difference.DIFFERS
    sql: str | None = None

    def __str__(self) -> str:
        what = self.table if self.name is None else f"{self.table}, {self.name}"
        return f"{what}: {self.problem}; {self.remedy}"


def verify(engine: Engine, *, schema: str | None = None) -> list[Finding]:
    """Compare the schema in the database with the tables that this code describes.

    It looks at tables, columns, constraints and indexes, at indexes that a failed build has left invalid, constraints
    that were never validated, the sequence of the positions, and the triggers that protect history. Indexes of your own
    are left alone. It reads the catalogs only, never the events, and locks nothing.

    Args:
        engine: Of the database.
        schema: The PostgreSQL schema of the tables. Defaults to None: the first of the connection's search path.

    Returns:
        The differences; empty where there are none.

    Raises:
        UnsupportedDatabase: The engine is of another database or driver.
        InvalidInput: The schema is not a valid name.
        PermissionDenied: The user can't read es_schema or the version table (PostgreSQL).
    """
    tables = backend_for(engine, lock_timeout_seconds=0, schema=schema).tables
    with refusals(engine, schema), engine.connect() as connection:
        inspector = inspect(connection)
        findings = [
            finding
            for table in tables.metadata.sorted_tables
            for finding in _Comparison(connection, inspector, table).differences()
        ]
        if inspector.has_table("es_schema", schema):
            findings += _version_differences(connection, inspector, tables)
        if engine.dialect.name == "postgresql":
            findings += _postgresql_differences(connection, tables)
        if inspector.has_table("es_events", schema):
            findings += _immutability_differences(connection, tables)
        connection.rollback()
    if findings and current(engine, schema=schema) is not None and (missing := pending(engine, schema=schema)):
        names = ", ".join(revision for revision, _ in missing)
        findings.insert(0, Finding(VERSION_TABLE, None, f"not yet applied: {names}", "run `eventstore migrate` first"))
    return findings


class _Comparison:
    """One table as it should be, and as it is."""

    def __init__(self, connection: Connection, inspector: Inspector, table: Table) -> None:
        self._dialect = connection.dialect
        self._inspector = inspector
        self._table = table

    def differences(self) -> Iterator[Finding]:
        table = self._table
        if not self._inspector.has_table(table.name, table.schema):
            yield self._finding(None, "is not there", "run `eventstore migrate`", Difference.MISSING)
            return
        yield from self._columns()
        yield from self._primary_key()
        yield from self._constraints()
        yield from self._indexes()

    def _columns(self) -> Iterator[Finding]:
        found = {column["name"]: column for column in self._inspector.get_columns(self._table.name, self._table.schema)}
        for column in self._table.columns:
            actual = found.pop(column.name, None)
            if actual is None:
                remedy = "restore it from a backup, or add it by hand"
                yield self._finding(column.name, "is not there", remedy, Difference.MISSING)
                continue
            expected = self._described(column.type, nullable=bool(column.nullable), generated=bool(column.computed))
            is_described = self._described(
                actual["type"], nullable=actual["nullable"], generated="computed" in actual and bool(actual["computed"])
            )
            if expected != is_described:
                yield self._finding(column.name, f"is {is_described}, expected was {expected}", "alter it back")
            if column.identity and self._dialect.name == "postgresql" and not actual.get("identity"):
                yield self._finding(column.name, "numbers no rows", "make it GENERATED ALWAYS AS IDENTITY again")
        for name in found:
            yield self._finding(name, "is a column that is not ours", "drop it; keep your data in your own tables")

    def _described(self, type_: Any, *, nullable: bool, generated: bool) -> str:
        name = "of no known type" if isinstance(type_, NullType) else type_.compile(dialect=self._dialect)
        words = [name, "NULL" if nullable else "NOT NULL"]
        return " ".join([*words, "GENERATED"] if generated else words)

    def _primary_key(self) -> Iterator[Finding]:
        expected = [column.name for column in self._table.primary_key]
        found = self._inspector.get_pk_constraint(self._table.name, self._table.schema)["constrained_columns"]
        if found != expected:
            name = str(self._table.primary_key.name)
            problem, remedy = f"is on {found}, expected was {expected}", self._add(self._table.primary_key)
            yield self._finding(name, problem, remedy, Difference.CONSTRAINT_MISSING)

    def _constraints(self) -> Iterator[Finding]:
        name, schema = self._table.name, self._table.schema
        found = {entry["name"] for entry in self._inspector.get_check_constraints(name, schema)}
        found |= {entry["name"] for entry in self._inspector.get_unique_constraints(name, schema)}
        found |= {entry["name"] for entry in self._inspector.get_foreign_keys(name, schema)}
        for constraint in sorted(self._table.constraints, key=lambda constraint: str(constraint.name)):
            is_checked = isinstance(constraint, CheckConstraint | UniqueConstraint | ForeignKeyConstraint)
            if is_checked and constraint.name not in found:
                remedy = self._add(constraint)
                yield self._finding(str(constraint.name), "is not there", remedy, Difference.CONSTRAINT_MISSING)

    def _indexes(self) -> Iterator[Finding]:
        found = {index["name"]: index for index in self._inspector.get_indexes(self._table.name, self._table.schema)}
        for index in sorted(self._table.indexes, key=lambda index: str(index.name)):
            expected = [column.name for column in index.columns]
            remedy = self._sql(CreateIndex(index)).replace("CREATE INDEX", "CREATE INDEX CONCURRENTLY")
            if self._dialect.name == "sqlite":
                remedy = self._sql(CreateIndex(index))
            if index.name not in found:
                yield self._finding(str(index.name), "is not there", remedy, Difference.INDEX_MISSING, remedy)
            elif found[index.name]["column_names"] != expected:
                problem = f"is on {found[index.name]['column_names']}, expected was {expected}"
                yield self._finding(str(index.name), problem, f"drop it, then {remedy}")

    def _add(self, constraint: Constraint) -> str:
        if self._dialect.name == "sqlite":
            return "make the table anew with it: SQLite can't add a constraint to a table"
        # isolated, it would never again be created together with its table
        return self._sql(AddConstraint(constraint, isolate_from_table=False))

    def _sql(self, ddl: ExecutableDDLElement) -> str:
        return " ".join(str(ddl.compile(dialect=self._dialect)).split())

    def _finding(
        self,
        name: str | None,
        problem: str,
        remedy: str,
        kind: Difference = Difference.DIFFERS,
        sql: str | None = None,
    ) -> Finding:
        return Finding(self._table.name, name, problem, remedy, kind, sql)


def _version_differences(connection: Connection, inspector: Inspector, tables: Tables) -> list[Finding]:
    version = connection.execute(tables.schema.select()).one_or_none()
    if version is None:
        remedy = "insert the number of the newest revision that was applied"
        problem = "has no row, so no store can tell which version it is"
        return [Finding("es_schema", None, problem, remedy, Difference.VERSION_WRONG)]
    schema = tables.schema.schema
    if not inspector.has_table(VERSION_TABLE, schema):
        return []
    revision = current_revision(connection, schema)
    if revision == f"es_{version.version:04}":
        return []
    problem = f"says version {version.version}, but the newest revision that was applied is {revision}"
    remedy = f"set its version to the number of {revision}"
    return [Finding("es_schema", None, problem, remedy, Difference.VERSION_WRONG)]


def _immutability_differences(connection: Connection, tables: Tables) -> list[Finding]:
    on_sqlite = connection.dialect.name == "sqlite"
    found = differences_on_sqlite(connection) if on_sqlite else differences_on_postgresql(connection, tables)
    return [Finding(tables.events.name, *difference) for difference in found]


def _postgresql_differences(connection: Connection, tables: Tables) -> Iterator[Finding]:
    quote = connection.dialect.identifier_preparer.format_table
    for table in tables.metadata.sorted_tables:
        for name in catalog.invalid_indexes(connection, quote(table)):
            problem, rebuild = (
                "is an invalid index, left behind by a failed build",
                f"REINDEX INDEX CONCURRENTLY {name}",
            )
            remedy = f"DROP INDEX CONCURRENTLY {name}, and build it again, or {rebuild}"
            sql = rebuild if _is_ours(table, name) else None
            yield Finding(table.name, name, problem, remedy, Difference.INDEX_INVALID, sql)
        for name in catalog.constraints_not_validated(connection, quote(table)):
            remedy = f"ALTER TABLE {quote(table)} VALIDATE CONSTRAINT {name}"
            problem = "was never validated: older rows may not satisfy it"
            yield Finding(table.name, name, problem, remedy, Difference.CONSTRAINT_MISSING)
    sequence = catalog.sequence_of(connection, quote(tables.events), "position")
    if sequence is not None and sequence.cache != 1:
        problem = f"hands out {sequence.cache} positions at once to each session: readers would miss events"
        remedy = f"ALTER SEQUENCE {sequence.name} CACHE 1"
        yield Finding("es_events", sequence.name, problem, remedy, Difference.POSITIONS_CACHED, remedy)


def _is_ours(table: Table, name: str) -> bool:
    """Return whether an index belongs to the schema, not to the application, nor to a rebuild that has failed."""
    ours = {str(index.name) for index in table.indexes} | {str(constraint.name) for constraint in table.constraints}
    return name.rpartition(".")[2].strip('"') in ours
