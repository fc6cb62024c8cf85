"""SQLite's write lock: one writer at a time, from BEGIN IMMEDIATE to COMMIT."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError

from eventstore.backends.sqlite.settings import plain_cursor
from eventstore.common.backoff import spread
from eventstore.errors import DatabaseBusy

_BUSY = 5


@contextmanager
def write_lock(execute: Callable[[str], object], raw: Any, timeout_seconds: float) -> Iterator[None]:
    """Hold the lock for a transaction: commit at the end, roll back on an error.

    Args:
        execute: Executes SQL on the connection.
        raw: The driver's connection.
        timeout_seconds: How long to wait, for the lock and for the commit. The driver's own timeout is off while this
            function waits for the lock, and is then restored.

    Raises:
        DatabaseBusy: The lock was not available in time, or the commit was not possible in time.
    """
    ((driver_timeout,),) = plain_cursor(raw).execute("PRAGMA busy_timeout")
    raw.execute("PRAGMA busy_timeout = 0")
    try:
        wait_for_lock(execute, "BEGIN IMMEDIATE", timeout_seconds)
    finally:
        with suppress(sqlite3.ProgrammingError):  # closed, because Ctrl-C came while waiting
            raw.execute(f"PRAGMA busy_timeout = {driver_timeout}")
    try:
        yield
        wait_for_lock(execute, "COMMIT", timeout_seconds)  # without a write-ahead log, it waits for readers
    except BaseException:
        with suppress(SQLAlchemyError):  # a full disk, or Ctrl-C, has already rolled back
            execute("ROLLBACK")
        raise


def wait_for_lock(execute: Callable[[str], object], sql: str, timeout_seconds: float) -> None:
    """Execute SQL, and retry while another connection holds the lock.

    The pauses are short and random. SQLite's own pauses get longer, which starves some waiters, and its switch to WAL
    does not wait at all.

    Raises:
        DatabaseBusy: Another connection held the lock until the timeout.
    """
    start = time.monotonic()
    while True:
        try:
            execute(sql)
        except (OperationalError, sqlite3.OperationalError) as error:
            if not is_busy(error):
                raise
            if time.monotonic() > start + timeout_seconds:
                raise DatabaseBusy(timeout_seconds) from error
            time.sleep(spread(0.001, 0.01))
        else:
            return


def is_busy(error: DBAPIError | sqlite3.Error) -> bool:
    """Return whether another connection holds the lock."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return isinstance(cause, sqlite3.OperationalError) and cause.sqlite_errorcode & 0xFF == _BUSY
