"""The operations of a revision on SQLite, done in place, so that nothing that refers to a table is changed."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from alembic import op
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import DropTable

from eventstore.errors import ConstraintViolated, MigrationError, ReferredTo
from eventstore.migrations.sqlite_definitions import definition_of, redefine
from eventstore.migrations.sqlite_space import check_space_for_indexes, check_space_for_rewriting
from eventstore.tables import define_tables
from eventstore.tables.immutability import sqlite_triggers


def begin() -> None:
    """Begin a transaction unless there is one; the driver's commit ends it. Also refuse drops of tables in use."""
    connection = op.get_bind()
    if not connection.connection.driver_connection.in_transaction:  # type: ignore[union-attr]  # sqlite3's or aiosqlite's
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    if not event.contains(connection, "before_execute", _refuse_to_drop):  # revisions drop tables by Alembic's op
        event.listen(connection, "before_execute", _refuse_to_drop)


def create_index(name: str, table: str, columns: Sequence[str]) -> None:
    """See `operations.create_index_concurrently`."""
    if not op.get_context().as_sql:
        if _is_there(op.get_bind(), name, table, columns):
            return
        check_space_for_indexes(op.get_bind(), name, table, columns)
    op.create_index(name, table, list(columns), if_not_exists=True)


def _is_there(connection: Connection, name: str, table: str, columns: Sequence[str]) -> bool:
    """Return whether the index exists. An index name is unique in the whole file."""
    query = text("SELECT tbl_name FROM main.sqlite_master WHERE type = 'index' AND name = :name COLLATE NOCASE")
    indexed_table = connection.execute(query, {"name": name}).scalar()
    if indexed_table is None:
        return False
    indexed = [row[2] or "an expression" for row in connection.exec_driver_sql(f"PRAGMA main.index_info({name})")]
    if (indexed_table.lower(), indexed) != (table, list(columns)):
        msg = (
            f"index {name} is on {indexed_table} ({', '.join(indexed)}), but must be on {table} "
            f"({', '.join(columns)}); nothing was done; drop it, and run the migration again"
        )
        raise MigrationError(msg)
    return True


def add_constraints(table: str, definitions: Mapping[str, str]) -> None:
    """See `operations.add_constraints`."""
    connection = _online(f"adding constraints to {table}")
    sql = definition_of(connection, table)
    missing = {name: definition for name, definition in definitions.items() if not _has(sql, name)}
    if not missing:
        return
    _refuse_violations(connection, table, missing)
    foreign_key = next((item for item in missing.items() if item[1].startswith("FOREIGN KEY")), None)
    orphans = _orphans(connection, table) if foreign_key else Counter()
    redefine(connection, table, _with(sql, missing))
    # orphans from before belong to a foreign key of the application's
    if foreign_key and _orphans(connection, table) - orphans:
        raise ConstraintViolated(table, *foreign_key)


def drop_constraints(table: str, names: Sequence[str]) -> None:
    """See `operations.drop_constraints`."""
    connection = _online(f"dropping constraints of {table}")
    sql = definition_of(connection, table)
    remaining = _without(sql, names)
    if remaining != sql:
        redefine(connection, table, remaining)


def replace_constraints(table: str, names: Sequence[str], definitions: Mapping[str, str]) -> None:
    """See `operations.replace_constraints`."""
    connection = _online(f"replacing constraints of {table}")
    sql = definition_of(connection, table)
    replaced = _with(_without(sql, [*names, *definitions]), definitions)
    if replaced != sql:
        _refuse_violations(connection, table, definitions)
        redefine(connection, table, replaced)


def _with(sql: str, constraints: Mapping[str, str]) -> str:
    """Return the definition of a table with more constraints."""
    added = "".join(f", \n\tCONSTRAINT {name} {definition}" for name, definition in constraints.items())
    return f"{sql[: sql.rindex(')')].rstrip()}{added}\n)"


def _without(sql: str, constraints: Sequence[str]) -> str:
    """Return the definition of a table without some constraints, each of which has a line."""
    lines = sql.split("\n")
    remaining = [line for line in lines if not any(_has(line, name) for name in constraints)]
    if len(remaining) == len(lines):
        return sql
    remaining[-2] = remaining[-2].rstrip().removesuffix(",")
    return "\n".join(remaining)


def add_column(table: str, name: str, type_: str) -> None:
    """See `operations.add_column`."""
    connection = _online(f"adding a column to {table}")
    if not _has_column(connection, table, name):
        connection.exec_driver_sql(f"ALTER TABLE main.{table} ADD COLUMN {name} {type_}")


def drop_column(table: str, name: str) -> None:
    """See `operations.drop_column`."""
    connection = _online(f"dropping a column of {table}")
    if not _has_column(connection, table, name):
        return
    check_space_for_rewriting(connection, table)
    try:
        connection.exec_driver_sql(f"ALTER TABLE main.{table} DROP COLUMN {name}")
    except DBAPIError as error:
        if not str(error.orig).startswith("error in "):  # a view, trigger or index, which it names
            raise
        raise ReferredTo(f"column {name} of {table}", [str(error.orig)]) from error


_DEPENDENTS = text("""
SELECT DISTINCT m.type, m.name FROM main.sqlite_master m JOIN pragma_foreign_key_list(m.name, 'main') k
WHERE m.type = 'table' AND k."table" = :table COLLATE NOCASE
UNION ALL SELECT type, name FROM main.sqlite_master
WHERE tbl_name = :table COLLATE NOCASE AND type IN ('index', 'trigger') AND sql IS NOT NULL
ORDER BY 1, 2
""")


def _has_column(connection: Connection, table: str, name: str) -> bool:
    return any(row[1] == name for row in connection.exec_driver_sql(f"PRAGMA main.table_info({table})"))


def _online(step: str) -> Connection:
    if op.get_context().as_sql:
        msg = f"{step}: on SQLite this depends on the file, so there is no SQL to print; run it online"
        raise MigrationError(msg)
    begin()
    return op.get_bind()


def _has(sql: str, constraint: str) -> bool:
    return re.search(rf"\bCONSTRAINT \W?{re.escape(constraint)}\b", sql) is not None


def _refuse_violations(connection: Connection, table: str, definitions: Mapping[str, str]) -> None:
    """Check the rows against all CHECK constraints in one scan."""
    checks = {name: sql.removeprefix("CHECK ") for name, sql in definitions.items() if sql.startswith("CHECK ")}
    if not checks:
        return
    broken = [f"{condition} IS FALSE" for condition in checks.values()]  # a condition that is NULL is satisfied
    query = f"SELECT {', '.join(broken)} FROM main.{table} WHERE {' OR '.join(broken)} LIMIT 1"  # our own
    row = connection.exec_driver_sql(query).first()
    if row is not None:
        name = next(name for name, is_broken in zip(checks, row, strict=True) if is_broken)
        raise ConstraintViolated(table, name, definitions[name])


def _orphans(connection: Connection, table: str) -> Counter[str]:
    """Return how many rows lack the row that they refer to, by the other table's name in lower case."""
    return Counter(row[2].lower() for row in connection.exec_driver_sql(f"PRAGMA main.foreign_key_check({table})"))


def _refuse_to_drop(connection: Connection, statement: Any, *_: Any) -> None:
    """Refuse to drop a table of the store that something of the application's depends on.

    With foreign_keys = ON, DROP TABLE deletes the rows first, and so the rows that refer to them ON DELETE CASCADE. It
    would also drop the application's triggers and indexes of the table, without an error.
    """
    if not isinstance(statement, DropTable) or statement.element.schema is not None:
        return
    tables = define_tables(position_is_key=True).metadata.tables
    table = statement.element.name
    if table not in tables:
        return
    ours = {*tables, *sqlite_triggers(), *(index.name for each in tables.values() for index in each.indexes)}
    rows = connection.execute(_DEPENDENTS, {"table": table}).all()
    dependents = [f"{kind} {name}" for kind, name in rows if name not in ours]
    if dependents:
        raise ReferredTo(table, dependents)
