"""A connection of the engine's pool, used by sqlite3 alone where nobody watches: see `watching`."""

import sqlite3
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.pool import PoolProxiedConnection

from eventstore.backends.direct import translated
from eventstore.backends.protocol import Row
from eventstore.backends.sqlite.settings import BegunByNone, check_connection, plain_cursor
from eventstore.errors import UnsuitableSetting


@contextmanager
def unwatched(engine: Engine) -> Iterator["UnwatchedConnection"]:
    """Take a connection from the pool, on which nobody has begun anything; give it back as it was.

    The driver begins no transaction by itself then. One that is still open in the end is not given back: an application
    may have asked its pool to commit, and the driver commits when it is told to begin nothing.

    Raises:
        DBAPIError: As SQLAlchemy raises it: there is no connection to be had.
        UnsuitableSetting: Results would be wrong.
    """
    try:
        pooled = engine.raw_connection()
    except sqlite3.Error as error:
        raise translated(engine, error, None, None) from error
    raw: Any = pooled.dbapi_connection
    try:
        check_connection(raw, pooled.info)
    except sqlite3.Error as error:
        pooled.invalidate()
        raise translated(engine, error, None, None) from error
    except UnsuitableSetting:
        pooled.close()
        raise
    begun_by_none: BegunByNone | None = None
    is_as_it_was = False
    try:  # Ctrl-C is noticed where Python calls or returns: nothing of that comes between this line and the `finally`
        begun_by_none = BegunByNone(raw)
        connection = UnwatchedConnection(engine, pooled)
        if raw.in_transaction:  # begun by a hook of the pool
            connection.exec_driver_sql("COMMIT")
        yield connection
    finally:
        try:
            if begun_by_none is not None and not raw.in_transaction:
                begun_by_none.restore()
                is_as_it_was = True
        except sqlite3.ProgrammingError:  # somebody has closed it
            pass
        finally:
            if is_as_it_was:
                pooled.close()
            else:
                pooled.invalidate()


class UnwatchedConnection:
    """Executes statements, in the transaction that they have begun themselves, or in none.

    Attributes:
        raw: The driver's connection.
    """

    def __init__(self, engine: Engine, pooled: PoolProxiedConnection) -> None:
        self._engine = engine
        self._pooled = pooled
        raw: Any = pooled.dbapi_connection
        self.raw = raw
        self._cursor = plain_cursor(raw)

    def get_execution_options(self) -> Mapping[str, Any]:
        """Return SQLAlchemy's options of the engine."""
        return self._engine.get_execution_options()

    @property
    def info(self) -> MutableMapping[Any, Any]:
        """What one may note of the driver's connection, as SQLAlchemy's `Connection.info`."""
        return self._pooled.info

    def exec_driver_sql(self, sql: str, parameters: Any = ()) -> Sequence[Row]:
        """Execute one statement, once for each of a list of parameters, and return its rows.

        Raises:
            DBAPIError: As SQLAlchemy raises it.
        """
        cursor = self._cursor
        try:
            if isinstance(parameters, list):
                cursor.executemany(sql, parameters)
            else:
                cursor.execute(sql, parameters)
            rows: Sequence[Row] = cursor.fetchall()
        except sqlite3.Error as error:
            is_lost = self._engine.dialect.is_disconnect(error, self.raw, cursor)  # type: ignore[arg-type]  # it is the driver's
            raise translated(self._engine, error, sql, parameters, is_lost=is_lost) from error
        return rows
