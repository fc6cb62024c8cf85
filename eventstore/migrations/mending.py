"""Do what the remedy of a difference says."""

import random
import time

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from eventstore.errors import ConstraintViolated, InvalidInput, TableLocked
from eventstore.migrations import catalog
from eventstore.migrations.remedies import LOCK_TIMEOUT, may_wait
from eventstore.migrations.verification import Finding

_LOCK_NOT_AVAILABLE = "55P03"
_DEADLOCK_DETECTED = "40P01"
_VIOLATIONS = frozenset({"23502", "23503", "23505", "23514"})


def mend(engine: Engine, finding: Finding, *, wait_seconds: float = 60.0) -> None:
    """Execute the statements of a finding of `verify`, each by itself.

    On PostgreSQL, indexes are built and constraints validated while others write. What needs a lock that keeps writers
    waiting gives up after 1.5 seconds, lets them pass, and tries again. On SQLite a table is made again in one
    transaction, in which other writers wait.

    Args:
        engine: Of the database.
        finding: One that has `statements`.
        wait_seconds: For how long it tries again, from 0 (PostgreSQL).

    Raises:
        InvalidInput: It has none: see its remedy.
        ConstraintViolated: There are rows that a constraint does not allow. On PostgreSQL it is there for new rows.
        TableLocked: A lock could not be had in all the time there was.
        sqlalchemy.exc.DBAPIError: The database refuses it.
    """
    if not finding.statements:
        raise InvalidInput(f"{finding.table}, {finding.name} takes more than SQL: {finding.remedy}")
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT", stream_results=False) as connection:
        if connection.dialect.name == "sqlite":
            _mend_on_sqlite(connection, finding)
        else:
            _mend_on_postgresql(connection, finding, wait_seconds)


def _mend_on_postgresql(connection: Connection, finding: Finding, wait_seconds: float) -> None:
    set_timeout = text("SELECT set_config('lock_timeout', :value, false)")
    before = connection.execute(text("SELECT current_setting('lock_timeout')")).scalar_one()
    until = time.monotonic() + wait_seconds
    try:
        for statement in finding.statements:
            connection.execute(set_timeout, {"value": "0" if may_wait(statement) else LOCK_TIMEOUT})
            while not _is_done(connection, statement, finding, is_last_try=time.monotonic() >= until):
                time.sleep(random.uniform(0.5, 1))  # noqa: S311  # writers pass meanwhile
    finally:
        if not connection.invalidated:
            connection.execute(set_timeout, {"value": before})


def _is_done(connection: Connection, statement: str, finding: Finding, *, is_last_try: bool) -> bool:
    try:
        connection.exec_driver_sql(statement.replace("%", "%%"))
    except DBAPIError as error:
        state = getattr(error.orig, "sqlstate", None)
        if state in _VIOLATIONS:
            raise ConstraintViolated(finding.table, str(finding.name), None) from error
        if state not in {_LOCK_NOT_AVAILABLE, _DEADLOCK_DETECTED}:
            raise
        if is_last_try:
            who = catalog.lockers(connection, [finding.table])
            raise TableLocked(f"repairing {finding.name or finding.table}", finding.table, 0, who) from error
        return False
    return True


def _mend_on_sqlite(connection: Connection, finding: Finding) -> None:
    pragmas = ("foreign_keys", "legacy_alter_table")
    before = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in pragmas}
    try:
        for statement in finding.statements:
            rows = connection.exec_driver_sql(statement)
            if statement.startswith("PRAGMA foreign_key_check") and rows.first() is not None:
                raise ConstraintViolated(finding.table, str(finding.name), None)
    except IntegrityError as error:
        raise ConstraintViolated(finding.table, str(finding.name), None) from error
    finally:
        if connection.connection.dbapi_connection.in_transaction:  # type: ignore[union-attr]  # sqlite3's
            connection.exec_driver_sql("ROLLBACK")
        for name, value in before.items():
            connection.exec_driver_sql(f"PRAGMA {name} = {value}")
