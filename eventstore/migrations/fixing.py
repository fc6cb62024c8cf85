"""Fixing a finding: executing the statements of its remedy."""

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
    """Execute the statements of a finding of `verify`, each in its own transaction.

    On PostgreSQL, indexes are built and constraints validated without blocking writers. An attempt to take a lock that
    blocks writers ends after 0.4 seconds, lets them pass, and is repeated; an autovacuum in the way is cancelled. On
    SQLite a table is recreated in one transaction, and other writers wait for it.

    Args:
        engine: An engine of the database.
        finding: A finding that has `statements`.
        wait_seconds: How long to retry, at least 0; on SQLite, how long to wait for the write lock.

    Raises:
        InvalidInput: The finding has no statements; see its remedy.
        ConstraintViolated: Some rows violate a constraint. On PostgreSQL the constraint then applies to new rows.
        TableLocked: A lock was not free in that time (PostgreSQL).
        DatabaseBusy: SQLite's write lock was not free in that time.
        sqlalchemy.exc.DBAPIError: The database refuses a statement.
    """
    if not finding.statements:
        raise InvalidInput(f"{finding.subject} can't be fixed by SQL alone: {finding.remedy}")
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
    """Execute a statement; return False if its lock was not free."""
    _set_lock_timeout(connection, "0" if may_wait(statement) else LOCK_TIMEOUT)
    try:
        connection.exec_driver_sql(statement.replace("%", "%%"))
    except DBAPIError as error:
        state = getattr(error.orig, "sqlstate", None)
        if state in _VIOLATIONS:
            if "UNIQUE INDEX CONCURRENTLY" in statement:
                connection.exec_driver_sql(finding.statements[0].replace("%", "%%"))  # drops what the build has left
            raise ConstraintViolated(str(finding.table), str(finding.name), None) from error
        if state not in {_LOCK_NOT_AVAILABLE, _DEADLOCK_DETECTED}:
            raise
        return False
    return True


def _get_past_autovacuum(connection: Connection, table: str) -> None:
    """Wait for a lock that does not block writers: after a second of waiting, the server cancels an autovacuum."""
    _set_lock_timeout(connection, "2s")
    with suppress(DBAPIError):
        lock = block(f"LOCK TABLE {table} IN SHARE UPDATE EXCLUSIVE MODE")
        connection.exec_driver_sql(lock.replace("%", "%%"))


def _set_lock_timeout(connection: Connection, value: str) -> None:
    connection.execute(text("SELECT set_config('lock_timeout', :value, false)"), {"value": value})


def _table_in(statement: str, table: str) -> str:
    """Return the name of the table as it stands in a statement, with its schema."""
    qualified = re.search(rf"{NAME}\.{table}\b", statement)
    return table if qualified is None else qualified.group()


def _fix_on_sqlite(engine: Engine, finding: Finding, wait_seconds: float) -> None:
    """Execute on the driver's connection, because foreign keys can be switched off only outside of a transaction."""
    with closing(engine.raw_connection()) as pooled:
        connection: Any = pooled.dbapi_connection
        level, connection.isolation_level = connection.isolation_level, None
        pragmas = ("foreign_keys", "legacy_alter_table", "busy_timeout")
        before = {name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in pragmas}
        try:
            connection.execute("PRAGMA busy_timeout = 0")
            for statement in finding.statements:
                if not statement.startswith("PRAGMA foreign_key_check"):
                    wait_for_lock(connection.execute, statement, wait_seconds, time.sleep)
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
