"""Changing the definition of a SQLite table without rewriting its rows."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from eventstore.errors import DefinitionsProtected, MigrationError

_TRIAL: Final = "eventstore_migration_trial"


def definition_of(connection: Connection, table: str) -> str:
    """Return the CREATE TABLE statement of a table, as SQLite stores it."""
    query = text("SELECT sql FROM main.sqlite_master WHERE type = 'table' AND name = :table")
    sql: str = connection.execute(query, {"table": table}).scalar_one()
    return sql


def redefine(connection: Connection, table: str, sql: str) -> None:
    """Replace the definition of a table in sqlite_master by one with other constraints and the same columns.

    SQLite recommends this for a change that leaves the rows as they are (sqlite.org/lang_altertable.html, section 7),
    and its ALTER TABLE does it from 3.53 on. The rows must satisfy the new constraints already. The alternative is to
    copy the rows to a new table. That takes three times the space; DROP TABLE of the old one deletes rows that refer to
    it ON DELETE CASCADE unless foreign keys are off, which can't be switched in a transaction; and triggers, indexes
    and statistics are dropped with it.

    Raises:
        DefinitionsProtected: The connection does not allow definitions to be written.
        MigrationError: The definition has other columns or keys than the table.
    """
    _try_out(connection, table, sql)
    with _definitions_writable(connection):
        version = int(connection.exec_driver_sql("PRAGMA main.schema_version").scalar_one())
        change = text("UPDATE main.sqlite_master SET sql = :sql WHERE type = 'table' AND name = :table")
        try:
            connection.execute(change, {"sql": sql, "table": table})
        except DBAPIError as error:
            if "may not be modified" not in str(error.orig):
                raise
            raise DefinitionsProtected(table) from error
        # so that other connections read the definition again; a rollback undoes this, too
        connection.exec_driver_sql(f"PRAGMA main.schema_version = {version + 1}")


def _try_out(connection: Connection, table: str, sql: str) -> None:
    """Create a table with the definition and drop it, since an invalid definition would make the file unreadable.

    It is not a temporary table, which may leave a sqlite_sequence on the connection that hides that of the file.
    """
    trial, named = re.subn(rf"^CREATE TABLE (\W?){table}\1 ?\(", f"CREATE TABLE main.{_TRIAL} (", sql)
    if not named:
        msg = f"the definition of {table} does not begin with CREATE TABLE {table}: {sql.partition('(')[0]!r}"
        raise MigrationError(msg)
    connection.exec_driver_sql(f"SAVEPOINT {_TRIAL}")
    try:
        connection.exec_driver_sql(trial)
        as_tried, as_is = (_columns_and_keys(connection, name) for name in (_TRIAL, table))
    finally:
        connection.exec_driver_sql(f"ROLLBACK TO {_TRIAL}")
        connection.exec_driver_sql(f"RELEASE {_TRIAL}")
    options, options_before = (each.rpartition(")")[2].split() for each in (sql, definition_of(connection, table)))
    if as_tried != as_is or options != options_before:  # WITHOUT ROWID, STRICT
        msg = f"with the new constraints {table} would have other columns or keys; nothing was changed"
        raise MigrationError(msg)


def _columns_and_keys(connection: Connection, table: str) -> tuple[object, ...]:
    """Return what the layout of the file depends on: a key has an index, which a changed definition does not create."""
    columns = connection.exec_driver_sql(f"PRAGMA main.table_xinfo({table})").all()
    indexes = connection.exec_driver_sql(f"PRAGMA main.index_list({table})").all()
    return columns, sorted(origin for _, _, _, origin, _ in indexes if origin != "c")  # c: by CREATE INDEX


@contextmanager
def _definitions_writable(connection: Connection) -> Iterator[None]:
    was_writable = connection.exec_driver_sql("PRAGMA writable_schema").scalar()
    with _off_guard(connection):
        try:
            connection.exec_driver_sql("PRAGMA writable_schema = ON")
            yield
        finally:
            connection.exec_driver_sql("PRAGMA writable_schema = RESET")  # OFF, and this connection reads them again
            if was_writable:
                connection.exec_driver_sql("PRAGMA writable_schema = ON")


@contextmanager
def _off_guard(connection: Connection) -> Iterator[None]:
    """Switch off SQLite's defensive mode, if the driver can, which is so from Python 3.12 on."""
    raw: Any = connection.connection.dbapi_connection
    defensive = getattr(connection.dialect.dbapi, "SQLITE_DBCONFIG_DEFENSIVE", None)
    if defensive is None or not hasattr(raw, "getconfig") or not raw.getconfig(defensive):
        yield
        return
    raw.setconfig(defensive, False)  # noqa: FBT003  # the driver's signature
    try:
        yield
    finally:
        raw.setconfig(defensive, True)  # noqa: FBT003  # the driver's signature
