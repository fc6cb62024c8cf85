"""How the operations of a revision are done on SQLite, which can't add a constraint to a table: it is made anew."""

import re
from collections.abc import Mapping, Sequence

from alembic import op
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from eventstore.errors import ConstraintViolated, MigrationError

_COPY = "eventstore_migration_copy"


def begin() -> None:
    """Begin a transaction, unless there is one; the driver's commit ends it."""
    connection = op.get_bind()
    if not connection.connection.driver_connection.in_transaction:  # type: ignore[union-attr]  # sqlite3's or aiosqlite's
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def add_constraints(table: str, definitions: Mapping[str, str]) -> None:
    """See `operations.add_constraints`."""
    connection = _online(f"adding constraints to {table}")
    sql = _definition(connection, table)
    missing = {name: definition for name, definition in definitions.items() if not _has(sql, name)}
    if not missing:
        return
    added = "".join(f", \n\tCONSTRAINT {name} {definition}" for name, definition in missing.items())
    changed = f"{sql[: sql.rindex(')')].rstrip()}{added}\n)"
    try:
        _make_anew(connection, table, changed)
    except IntegrityError as error:
        found = re.search(r"constraint failed: (\w+)", str(error.orig))
        name = found.group(1) if found else ", ".join(missing)
        raise ConstraintViolated(table, name, missing.get(name)) from error
    if connection.exec_driver_sql(f"PRAGMA foreign_key_check({table})").first():
        name, definition = next((item for item in missing.items() if item[1].startswith("FOREIGN KEY")), ("", None))
        raise ConstraintViolated(table, name or "a foreign key", definition)


def drop_constraints(table: str, names: Sequence[str]) -> None:
    """See `operations.drop_constraints`."""
    connection = _online(f"dropping constraints of {table}")
    sql = _definition(connection, table)
    lines = sql.split("\n")
    kept = [line for line in lines if not any(_has(line, name) for name in names)]
    if len(kept) == len(lines):
        return
    kept[-2] = kept[-2].rstrip().removesuffix(",")
    _make_anew(connection, table, "\n".join(kept))


def add_column(table: str, name: str, type_: str) -> None:
    """See `operations.add_column`."""
    connection = _online(f"adding a column to {table}")
    if not _has_column(connection, table, name):
        connection.exec_driver_sql(f"ALTER TABLE {table} ADD COLUMN {name} {type_}")


def drop_column(table: str, name: str) -> None:
    """See `operations.drop_column`."""
    connection = _online(f"dropping a column of {table}")
    if _has_column(connection, table, name):
        connection.exec_driver_sql(f"ALTER TABLE {table} DROP COLUMN {name}")


def _has_column(connection: Connection, table: str, name: str) -> bool:
    return any(row[1] == name for row in connection.exec_driver_sql(f"PRAGMA table_info({table})"))


def _online(step: str) -> Connection:
    if op.get_context().as_sql:
        msg = f"{step}: SQLite makes a table anew from what is in the file, so there is no SQL to print; run it online"
        raise MigrationError(msg)
    begin()
    return op.get_bind()


def _definition(connection: Connection, table: str) -> str:
    found = text("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = :table")
    sql: str = connection.execute(found, {"table": table}).scalar_one()
    return sql


def _has(sql: str, constraint: str) -> bool:
    return re.search(rf"\bCONSTRAINT \W?{re.escape(constraint)}\b", sql) is not None


def _make_anew(connection: Connection, table: str, definition: str) -> None:
    """Copy a table away, drop it, create it by the new definition, and copy it back; with its indexes and its numbers.

    In this order, other tables that refer to it keep to its name, whatever the connection's foreign_keys.
    """
    kept = text("SELECT sql FROM sqlite_master WHERE type <> 'table' AND tbl_name = :table AND sql IS NOT NULL")
    others = connection.execute(kept, {"table": table}).scalars().all()
    is_numbered = "AUTOINCREMENT" in definition
    number = text("SELECT seq FROM sqlite_sequence WHERE name = :table")
    last_number = connection.execute(number, {"table": table}).scalar() if is_numbered else None
    # leaves out generated columns
    names = [row[1] for row in connection.exec_driver_sql(f"PRAGMA table_info({table})")]
    columns = ", ".join(names)
    connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")  # until the transaction ends
    connection.exec_driver_sql(f"CREATE TEMP TABLE {_COPY} AS SELECT {columns} FROM {table}")
    connection.exec_driver_sql(f"DROP TABLE {table}")
    connection.exec_driver_sql(definition)
    connection.exec_driver_sql(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM temp.{_COPY}")
    connection.exec_driver_sql(f"DROP TABLE temp.{_COPY}")
    for sql in others:
        connection.exec_driver_sql(sql)
    if last_number is not None:  # positions once given are never given again
        connection.execute(text("DELETE FROM sqlite_sequence WHERE name = :table"), {"table": table})
        row = {"table": table, "number": last_number}
        connection.execute(text("INSERT INTO sqlite_sequence (name, seq) VALUES (:table, :number)"), row)
