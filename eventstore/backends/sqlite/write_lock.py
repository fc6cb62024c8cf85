"""SQLite's write lock: one writer at a time, from BEGIN IMMEDIATE to COMMIT."""

import sqlite3
import time
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager, suppress
from typing import Any, Final

from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError

from eventstore.backends.sqlite.settings import execute_on
from eventstore.common.backoff import spread
from eventstore.errors import DatabaseBusy

Pause = Callable[[float], object]

_BUSY: Final = 5
_DRIVER_TIMEOUT: Final = "eventstore: busy_timeout in seconds"
"""The key, in the notes about a connection, of the driver's timeout when the connection was new."""

_PAUSE_OF_SQLITE_SECONDS: Final = 0.001
"""SQLite's first pause. Who has waited less has found the lock free."""


class WriteLock:
    """The write lock, as the connections of one store take it.

    SQLite can wait for the lock by itself, up to the driver's timeout (`busy_timeout`). But then Ctrl-C has to wait,
    too, and its pauses get longer, which starves some waiters. To set that timeout to 0 and back takes longer than to
    begin and commit. So the driver's timeout stays on unless the lock is likely to be taken: because this store holds
    it, or because the last writer had to wait for it.

    Args:
        timeout_seconds: How long to wait, for the lock and for the commit.
        pause: Waits for some seconds.
    """

    def __init__(self, timeout_seconds: float, pause: Pause) -> None:
        self.timeout_seconds = timeout_seconds
        self._pause = pause
        self._is_contended = False

    def begin(self, execute: Callable[[str], object], raw: Any, notes: MutableMapping[Any, Any] | None) -> None:
        """Begin a transaction that holds the lock.

        Args:
            execute: Executes SQL on the connection.
            raw: The driver's connection, or SQLAlchemy's wrapper of aiosqlite's.
            notes: The notes about it; None if the driver must not wait.

        Raises:
            DatabaseBusy: The lock was not available in time.
        """
        start = time.monotonic()
        if notes is not None and not self._is_contended and _driver_timeout(raw, notes) <= self.timeout_seconds:
            try:
                execute("BEGIN IMMEDIATE")
            except (OperationalError, sqlite3.OperationalError) as error:
                if not is_busy(error):
                    raise
            else:
                self._is_contended = time.monotonic() - start > _PAUSE_OF_SQLITE_SECONDS
                return
        driver_timeout = execute_on(raw, "PRAGMA busy_timeout")
        raw.execute("PRAGMA busy_timeout = 0")
        try:
            self._is_contended = wait_for_lock(
                execute, "BEGIN IMMEDIATE", self.timeout_seconds, self._pause, start=start
            )
        finally:
            with suppress(sqlite3.Error, ValueError):  # closed, because Ctrl-C or a cancellation came while waiting
                raw.execute(f"PRAGMA busy_timeout = {driver_timeout}")

    def commit(self, execute: Callable[[str], object]) -> None:
        """Commit. Without a write-ahead log, it waits for readers.

        Raises:
            DatabaseBusy: The commit was not possible in time.
        """
        wait_for_lock(execute, "COMMIT", self.timeout_seconds, self._pause)

    @contextmanager
    def held(
        self, execute: Callable[[str], object], raw: Any, notes: MutableMapping[Any, Any] | None = None
    ) -> Iterator[None]:
        """Hold the lock for a transaction: commit at the end, roll back on an error. As for `begin` and `commit`."""
        self.begin(execute, raw, notes)
        self._is_contended = True  # for others
        try:
            yield
            self._is_contended = False
            self.commit(execute)
        except BaseException:
            self._is_contended = False
            with suppress(SQLAlchemyError):  # a full disk, or Ctrl-C, has already rolled back
                execute("ROLLBACK")
            raise


def _driver_timeout(raw: Any, notes: MutableMapping[Any, Any]) -> float:
    """Return the driver's timeout in seconds; what is set later is not noticed."""
    seconds: float | None = notes.get(_DRIVER_TIMEOUT)
    if seconds is None:
        seconds = notes[_DRIVER_TIMEOUT] = execute_on(raw, "PRAGMA busy_timeout") / 1000
    return seconds


def wait_for_lock(
    execute: Callable[[str], object],
    sql: str,
    timeout_seconds: float,
    pause: Pause,
    *,
    start: float | None = None,
) -> bool:
    """Execute SQL, and retry while another connection holds the lock; return whether it did.

    The pauses are short and random. SQLite's own pauses get longer, which starves some waiters, and its switch to WAL
    does not wait at all.

    Args:
        execute: Executes SQL on the connection.
        sql: What to execute.
        timeout_seconds: How long to retry.
        pause: Waits for some seconds.
        start: Since when, by `time.monotonic`; None for now.

    Raises:
        DatabaseBusy: Another connection held the lock until the timeout.
    """
    start, has_waited = time.monotonic() if start is None else start, False
    while True:
        try:
            execute(sql)
        except (OperationalError, sqlite3.OperationalError) as error:
            if not is_busy(error):
                raise
            if time.monotonic() > start + timeout_seconds:
                raise DatabaseBusy(timeout_seconds) from error
            has_waited = True
            pause(spread(0.001, 0.01))
        else:
            return has_waited


def is_busy(error: DBAPIError | sqlite3.Error) -> bool:
    """Return whether another connection holds the lock."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return isinstance(cause, sqlite3.OperationalError) and cause.sqlite_errorcode & 0xFF == _BUSY
