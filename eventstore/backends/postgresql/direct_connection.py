"""A connection of the engine's pool, used by psycopg alone where nobody watches: see `watching`."""

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import PoolProxiedConnection

from eventstore.backends.direct import translated
from eventstore.backends.postgresql.autocommit import at_read_committed, refuse_to_write
from eventstore.backends.postgresql.cursors import own_cursor
from eventstore.backends.postgresql.errors import is_serialization_failure
from eventstore.backends.postgresql.settings import (
    check_connection,
    check_their_cursors,
    is_our_choice,
    refuse_open_transaction,
)
from eventstore.backends.protocol import Row, returns_rows
from eventstore.errors import UnsuitableSetting


@contextmanager
def unwatched(engine: Engine) -> Iterator["UnwatchedConnection"]:
    """Take a connection from the pool, in autocommit; give it back as it was.

    One that is lost, or in the midst of something that Ctrl-C has interrupted, is not given back.

    Raises:
        DBAPIError: As SQLAlchemy raises it: there is no connection to be had.
        UnsuitableSetting: A hook of the pool has left a transaction open, or not every text can be sent.
    """
    try:
        pooled = engine.raw_connection()
    except psycopg.Error as error:
        raise translated(engine, error, None, None) from error
    raw: Any = pooled.dbapi_connection
    try:
        refuse_open_transaction(raw)
        check_connection(raw)
    except UnsuitableSetting:
        pooled.invalidate()  # a rollback would undo what a hook has set, and the next use would do without it
        raise
    was_autocommit: bool = raw.autocommit
    try:
        if not was_autocommit:
            raw.autocommit = True
        yield UnwatchedConnection(engine, pooled)
    finally:
        # No call comes before the `try`: Ctrl-C is noticed in calls, and a connection must not return in autocommit.
        try:
            is_idle = raw.pgconn.transaction_status == TransactionStatus.IDLE  # not of one that is closed
            if is_idle and not was_autocommit:
                raw.autocommit = False
        except BaseException:
            is_idle = False
            raise
        finally:
            if is_idle:
                pooled.close()
            elif pooled.is_valid:
                pooled.invalidate()


class UnwatchedConnection:
    """Executes statements that each commit by themselves."""

    def __init__(self, engine: Engine, pooled: PoolProxiedConnection) -> None:
        self._engine = engine
        self._pooled = pooled
        self._raw: Any = pooled.dbapi_connection

    def get_execution_options(self) -> Mapping[str, Any]:
        """Return SQLAlchemy's options of the engine."""
        return self._engine.get_execution_options()

    @property
    def info(self) -> MutableMapping[Any, Any]:
        """What one may note of the driver's connection, as SQLAlchemy's `Connection.info`."""
        return self._pooled.info

    def execute(self, sql: str, parameters: Any) -> Sequence[Row]:
        """Execute one statement, and return its rows.

        Raises:
            DBAPIError: As SQLAlchemy raises it.
            UnsuitableSetting: It would write, and the connection is for reading; or the application's kind of cursors
                would not send or return what is right.
        """
        refuse_to_write(self._raw, sql)
        try:
            return self._execute(sql, parameters)
        except DBAPIError as error:
            if not is_serialization_failure(error.orig):
                raise
        return at_read_committed(self._execute, sql, parameters)

    def _execute(self, sql: str, parameters: Any) -> Sequence[Row]:
        try:
            if is_our_choice(self._raw):
                return own_cursor(self._pooled, sql).execute(sql, parameters).rows
            check_their_cursors(self._raw, parameters)
            with self._raw.cursor(row_factory=tuple_row) as cursor:
                cursor.execute(sql, parameters)
                return cursor.fetchall() if returns_rows(sql) else ()
        except psycopg.Error as error:
            is_lost = self._raw.closed
            if is_lost:
                self._say_that_it_is_lost()
            raise translated(self._engine, error, sql, parameters, is_lost=is_lost) from error

    def _say_that_it_is_lost(self) -> None:
        """Let SQLAlchemy find out, by trying again: it empties the pool of all that were connected to that server."""
        try:
            with Connection(self._engine, connection=self._pooled) as connection:
                connection.exec_driver_sql("SELECT 1")
        except DBAPIError:
            return
