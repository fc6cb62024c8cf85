"""Do what the remedy of a difference says."""

import re
import time
from contextlib import closing, suppress
from typing import Any

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from eventstore.backends.sqlite.write_lock import wait_for_lock
from eventstore.common.backoff import spread
from eventstore.errors import ConstraintViolated, InvalidInput, TableLocked
from eventstore.findings import Finding
from eventstore.migrations import catalog
from eventstore.migrations.remedies import LOCK_TIMEOUT, may_wait
from eventstore.migrations.sql_text import NAME, block

_LOCK_NOT_AVAILABLE = "55P03"
_DEADLOCK_DETECTED = "40P01"
_VIOLATIONS = frozenset({"23502", "23503", "23505", "23514"})


def fix(engine: Engine, finding: Finding, *, wait_seconds: float = 60.0) -> None:
    """Execute the statements of a finding of `verify`, each by itself.

    On PostgreSQL, indexes are built and constraints validated while others write. What needs a lock that keeps writers
    waiting gives up after 0.4 seconds, lets them pass, and tries again; an autovacuum in the way is cancelled. On
    SQLite a table is made again in one transaction, in which other writers wait.

    Args:
        engine: Of the database.
        finding: One that has `statements`.
        wait_seconds: For how long it tries again, from 0; on SQLite, how long it waits for the write lock.

    Raises:
        InvalidInput: It has none: see its remedy.
        ConstraintViolated: There are rows that a constraint does not allow. On PostgreSQL it is there for new rows.
        TableLocked: A lock could not be had in all the time there was (PostgreSQL).
        DatabaseBusy: SQLite's write lock could not be had in that time.
        sqlalchemy.exc.DBAPIError: The database refuses it.
    """
    if not finding.statements:
        raise InvalidInput(f"{finding.subject} takes more than SQL: {finding.remedy}")
    if engine.dialect.name == "sqlite":
        _fix_on_sqlite(engine, finding, wait_seconds)
        return
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT", stream_results=False) as connection:
        _fix_on_postgresql(connection, finding, wait_seconds)


def _fix_on_postgresql(connection: Connection, finding: Finding, wait_seconds: float) -> None:
    before = connection.execute(text("SELECT current_setting('lock_timeout')")).scalar_one()
    began = time.monotonic()
    try:
        for statement in finding.statements:
            while not _is_done(connection, statement, finding):
                waited = time.monotonic() - began
                table = _table_in(statement, str(finding.table))
                if waited >= wait_seconds:
                    who = catalog.lockers(connection, [table])
                    raise TableLocked(f"repairing {finding.name or finding.table}", table, round(waited, 1), who)
                _get_past_autovacuum(connection, table)
                time.sleep(spread(0.1, 0.3))  # writers pass meanwhile
    finally:
        if not connection.invalidated:
            _set_lock_timeout(connection, before)


def _is_done(connection: Connection, statement: str, finding: Finding) -> bool:
    """Execute it; False if its lock could not be had."""
    _set_lock_timeout(connection, "0" if may_wait(statement) else LOCK_TIMEOUT)
    try:
        connection.exec_driver_sql(statement.replace("%", "%%"))
    except DBAPIError as error:
        state = getattr(error.orig, "sqlstate", None)
        if state in _VIOLATIONS:
            if "UNIQUE INDEX CONCURRENTLY" in statement:
                connection.exec_driver_sql(finding.statements[0].replace("%", "%%"))  # what the build has left
            raise ConstraintViolated(str(finding.table), str(finding.name), None) from error
        if state not in {_LOCK_NOT_AVAILABLE, _DEADLOCK_DETECTED}:
            raise
        return False
    return True


def _get_past_autovacuum(connection: Connection, table: str) -> None:
    """Wait for a lock that keeps no writer waiting: after a second of it, the server cancels an autovacuum."""
    _set_lock_timeout(connection, "2s")
    with suppress(DBAPIError):
        lock = block(f"LOCK TABLE {table} IN SHARE UPDATE EXCLUSIVE MODE")
        connection.exec_driver_sql(lock.replace("%", "%%"))


def _set_lock_timeout(connection: Connection, value: str) -> None:
    connection.execute(text("SELECT set_config('lock_timeout', :value, false)"), {"value": value})


def _table_in(statement: str, table: str) -> str:
    """Return the table's name as it stands in a statement, with its schema."""
    found = re.search(rf"{NAME}\.{table}\b", statement)
    return table if found is None else found.group()


def _fix_on_sqlite(engine: Engine, finding: Finding, wait_seconds: float) -> None:
    """Execute on the driver's own connection: foreign keys can be switched off outside of a transaction only."""
    with closing(engine.raw_connection()) as pooled:
        connection: Any = pooled.dbapi_connection
        level, connection.isolation_level = connection.isolation_level, None
        pragmas = ("foreign_keys", "legacy_alter_table", "busy_timeout")
        before = {name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in pragmas}
        try:
            connection.execute("PRAGMA busy_timeout = 0")
            for statement in finding.statements:
                if not statement.startswith("PRAGMA foreign_key_check"):
                    wait_for_lock(connection.execute, statement, wait_seconds)
                elif connection.execute(statement).fetchone() is not None:
                    raise ConstraintViolated(str(finding.table), str(finding.name), None)
        except engine.dialect.loaded_dbapi.IntegrityError as error:
            raise ConstraintViolated(str(finding.table), str(finding.name), None) from error
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            for name, value in before.items():
                connection.execute(f"PRAGMA {name} = {value}")
            connection.isolation_level = level
