"""What sqlite3 executes alone, on a connection of the engine's pool, because no hook or log needs SQLAlchemy."""

import sqlite3
from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from typing import Any, Final

from sqlalchemy import Engine

from eventstore.backends.pool_records import giving_back, lends_records, take
from eventstore.backends.protocol import Driver, Row
from eventstore.backends.running import StatementRun, sqlalchemy_error
from eventstore.backends.sqlite.dialect import SQLiteDialect
from eventstore.backends.sqlite.settings import ManualBegin, check_connection, plain_cursor
from eventstore.backends.sqlite.write_lock import WriteLock
from eventstore.rows.mapper import PendingAppend

_CURSOR: Final = "eventstore: cursor"
"""The key, in the notes about a connection, of the cursor by which it appends single events."""


class DirectRun(StatementRun):
    """Runs statements directly with sqlite3, in the transaction that they have begun themselves, or in none.

    Attributes:
        raw: The driver's connection.
        cursor: The driver's cursor, which returns tuples.
    """

    def __init__(
        self, driver: Driver, dialect: SQLiteDialect, engine: Engine, raw: Any, notes: MutableMapping[Any, Any]
    ) -> None:
        self._driver = driver
        self._dialect = dialect
        self.notes = notes
        self._engine = engine
        self.raw = raw
        self.cursor = plain_cursor(raw)

    def send(self, sql: str, parameters: Any = ()) -> Sequence[Row]:
        """Execute SQL text, once for each item if `parameters` is a list, and return its rows.

        Raises:
            DBAPIError: As SQLAlchemy raises it.
        """
        cursor = self.cursor
        try:
            if isinstance(parameters, list):
                cursor.executemany(sql, parameters)
            else:
                cursor.execute(sql, parameters)
            rows: Sequence[Row] = cursor.fetchall()
        except sqlite3.Error as error:
            raise _as_sqlalchemy(self._engine, error, cursor, sql, parameters) from error
        return rows

    _send = send


@contextmanager
def direct(
    engine: Engine, driver: Driver, dialect: SQLiteDialect, *, lock: WriteLock | None = None
) -> Iterator[DirectRun]:
    """Take a connection from the pool, and return it to the pool with its settings restored.

    Meanwhile the driver begins no transaction by itself. A connection with an open transaction is not returned, because
    the driver commits when its setting is changed, and so may a pool of the application.

    Args:
        engine: The engine.
        driver: Translates errors.
        dialect: Compiles statements.
        lock: The lock to hold, for a transaction; None for no transaction.

    Raises:
        DBAPIError: No connection is available, as SQLAlchemy raises it.
        UnsuitableSetting: A setting of the connection would make results wrong.
        DatabaseBusy: The lock was not available in time, or the commit was not possible in time.
    """
    pool, lends = engine.pool, lends_records(engine.pool)
    give_back = giving_back(pool) if lends else None
    try:
        pooled: Any = take(pool) if lends else engine.raw_connection()
    except sqlite3.Error as error:
        raise sqlalchemy_error(engine, error, None, None) from error
    manual_begin: ManualBegin | None = None
    is_restored = False
    try:  # Ctrl-C raises in calls and returns, and none of them comes between this line and the `finally`
        try:
            raw: Any = pooled.get_connection() if lends else pooled.dbapi_connection
            manual_begin = ManualBegin(raw)
            check_connection(raw, pooled.info)
        except sqlite3.Error as error:
            manual_begin = None  # so that the connection is not returned
            raise sqlalchemy_error(engine, error, None, None) from error
        run = DirectRun(driver, dialect, engine, raw, pooled.info)
        if raw.in_transaction:  # begun by a hook of the pool
            run.send("COMMIT")
        with nullcontext() if lock is None else lock.held(run.send, raw, pooled.info if lends else None):
            yield run
    finally:
        try:
            if manual_begin is not None and not raw.in_transaction:
                manual_begin.restore()
                is_restored = True
        except sqlite3.ProgrammingError:  # the connection is closed
            pass
        finally:
            try:
                if not is_restored:
                    pooled.invalidate()
            finally:
                if give_back is not None:
                    give_back(pooled)
                elif is_restored:
                    pooled.close()


def append_one(engine: Engine, dialect: SQLiteDialect, lock: WriteLock, pending: PendingAppend) -> Sequence[Row] | None:
    """Append one event by four statements, on a connection of a pool that `lends_records`.

    The connection needs no preparation, and nothing to restore: a statement begins the transaction, so the driver does
    not, whatever its setting is; and another one ends it.

    Returns:
        The row (version, position); no row on a conflict. None if nothing was stored because of an error, which the
        same append by a `DirectRun` meets, too, and raises.

    Raises:
        DBAPIError: The commit has failed, as SQLAlchemy raises it.
        UnsuitableSetting: A setting of the connection would make results wrong.
        DatabaseBusy: The lock was not available in time, or the commit was not possible in time.
    """
    pool = engine.pool
    give_back = giving_back(pool)
    try:
        record = take(pool)
    except sqlite3.Error:
        return None
    raw, is_clean = None, False
    try:
        raw = record.get_connection()
        if not _is_ready(raw, record.info):
            is_clean = True  # as it was
            return None
        return _append(engine, dialect, lock, pending, record.info)
    except sqlite3.Error:
        return None
    finally:
        try:
            is_clean = is_clean or (raw is not None and not raw.in_transaction)
        except sqlite3.ProgrammingError:  # the connection is closed
            pass
        finally:
            try:
                if not is_clean:
                    record.invalidate()
            finally:
                give_back(record)


def _is_ready(raw: Any, notes: MutableMapping[Any, Any]) -> bool:
    """Return whether a connection can begin a transaction as it is, and keep a cursor with it.

    Raises:
        UnsuitableSetting: As for `check_connection`.
    """
    if _CURSOR not in notes:
        check_connection(raw, notes)
        notes[_CURSOR] = plain_cursor(raw)
    return raw.text_factory is str and not raw.in_transaction


def _append(
    engine: Engine, dialect: SQLiteDialect, lock: WriteLock, pending: PendingAppend, notes: MutableMapping[Any, Any]
) -> Sequence[Row]:
    cursor: sqlite3.Cursor = notes[_CURSOR]
    raw = cursor.connection
    try:
        lock.begin(cursor.execute, raw, notes)
        stored = dialect.append_one(cursor, pending)
        if stored is None:
            cursor.execute("ROLLBACK")
            return ()
        _commit(engine, lock, cursor)
    except BaseException:
        if raw.in_transaction:
            with suppress(sqlite3.Error):  # the connection is closed then, which rolls back
                cursor.execute("ROLLBACK")
        raise
    return (stored,)


def _commit(engine: Engine, lock: WriteLock, cursor: sqlite3.Cursor) -> None:
    try:
        lock.commit(cursor.execute)
    except sqlite3.Error as error:
        raise _as_sqlalchemy(engine, error, cursor, "COMMIT", ()) from error


def _as_sqlalchemy(
    engine: Engine, error: sqlite3.Error, cursor: sqlite3.Cursor, sql: str, parameters: Any
) -> BaseException:
    is_lost = engine.dialect.is_disconnect(error, cursor.connection, cursor)  # type: ignore[arg-type]  # they are the driver's
    return sqlalchemy_error(engine, error, sql, parameters, is_lost=is_lost)
