"""A connection of the engine's pool, used by the driver alone where nobody watches what SQLAlchemy executes.

SQLAlchemy's Connection takes longer for one statement than the driver does to execute it: it changes the isolation
level and back, begins and ends a transaction in name, and makes a context and a result. All that is for those who
watch: hooks, instrumentation and logs. Where there are any, the store goes through SQLAlchemy.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from eventstore.backends.postgresql_cursors import BinaryCursor, new_cursor
from eventstore.backends.protocol import Row


def is_watched(engine: Engine) -> bool:
    """Return whether anybody would notice: a hook on the engine, its class or its dialect, or a log that is on.

    SQLAlchemy keeps these as attributes of its own. Should one be gone, the answer is yes.
    """
    if getattr(engine, "_has_events", True) or getattr(engine.dialect, "_has_events", True) or engine.dialect.is_async:
        return True
    should_log = getattr(engine, "_should_log_info", None)
    return should_log is None or bool(should_log())


@contextmanager
def unwatched(engine: Engine) -> Iterator["UnwatchedConnection"]:
    """Take a connection from the pool, in autocommit; give it back as it was."""
    connection = UnwatchedConnection(engine)
    try:
        yield connection
    finally:
        connection.close()


class UnwatchedConnection:
    """Executes statements that each commit by themselves.

    Raises:
        DBAPIError: As SQLAlchemy raises them, here and from `execute`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        try:
            self._pooled = engine.raw_connection()
        except psycopg.Error as error:
            raise self._translated(error, None, None, is_lost=False) from error
        raw = self._pooled.dbapi_connection
        assert isinstance(raw, psycopg.Connection)  # noqa: S101  # for the type checker: the backend is psycopg's
        self._raw: psycopg.Connection[Any] = raw
        self._was_autocommit: bool = raw.autocommit
        if not self._was_autocommit:
            raw.autocommit = True

    def execute(self, sql: str, parameters: Any) -> Sequence[Row]:
        """Execute one statement, and return its rows."""
        with new_cursor(self._raw, sql) as cursor:
            try:
                cursor.execute(sql, parameters)
                if isinstance(cursor, BinaryCursor):
                    return cursor.rows
                return cursor.fetchall() if cursor.description else ()
            except psycopg.Error as error:
                is_lost = self._raw.closed
                if is_lost:
                    self._say_that_it_is_lost()
                raise self._translated(error, sql, parameters, is_lost=is_lost) from error

    def _translated(self, error: psycopg.Error, sql: str | None, parameters: Any, *, is_lost: bool) -> BaseException:
        """Return the error that SQLAlchemy would raise, its parameters hidden: payloads are among them."""
        return DBAPIError.instance(
            sql, parameters, error, psycopg.Error, hide_parameters=True, connection_invalidated=is_lost,
            dialect=self._engine.dialect,
        )  # fmt: skip

    def _say_that_it_is_lost(self) -> None:
        """Let SQLAlchemy find out, by trying again: it empties the pool of all that were connected to that server."""
        try:
            with Connection(self._engine, connection=self._pooled) as connection:
                connection.exec_driver_sql("SELECT 1")
        except DBAPIError:
            return

    def close(self) -> None:
        """Give it back, unless it is lost, or in the midst of something that Ctrl-C has interrupted."""
        raw = self._raw
        if not self._pooled.is_valid:
            return
        if raw.closed or raw.info.transaction_status is not TransactionStatus.IDLE:
            self._pooled.invalidate()
            return
        if not self._was_autocommit:
            raw.autocommit = False
        self._pooled.close()
