"""Statements that psycopg executes alone, on a connection of the engine's pool, because no hook needs SQLAlchemy."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

import psycopg
from psycopg.adapt import Transformer
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import PoolProxiedConnection

from eventstore.backends.postgresql import errors
from eventstore.backends.postgresql.autocommit import at_read_committed
from eventstore.backends.postgresql.binary_parameters import numbered, packed
from eventstore.backends.postgresql.cursors import (
    can_prepare,
    cancel_statement,
    check_connection,
    check_custom_cursors,
    cursor_for,
    has_default_cursors,
    receive_binary,
    refuse_open_transaction,
    refuse_to_write,
)
from eventstore.backends.postgresql.prepared import PreparedStatements
from eventstore.backends.protocol import Dialect, Driver, Row, Statement, returns_rows
from eventstore.backends.running import StatementRun, error_to_raise, reported_search_path, sqlalchemy_error
from eventstore.errors import UnsuitableSetting


class DirectRun(StatementRun):
    """Runs statements directly with psycopg, on a connection of the engine's pool; each commits by itself."""

    def __init__(self, driver: Driver, dialect: Dialect, engine: Engine, pooled: PoolProxiedConnection) -> None:
        self._driver = driver
        self._dialect = dialect
        self.notes = pooled.info
        self._engine = engine
        self._pooled = pooled
        self._raw: Any = pooled.dbapi_connection

    @property
    def search_path(self) -> bytes | None:
        """What the server has reported; see `Run`."""
        return reported_search_path(self._raw)

    def _send(self, sql: str, parameters: Any) -> Sequence[Row]:
        try:
            return self._send_once(sql, parameters)
        except DBAPIError as error:
            if not errors.is_serialization_failure(error):
                raise
        return at_read_committed(self._send_once, sql, parameters)

    def _send_once(self, sql: str, parameters: Any) -> Sequence[Row]:
        refuse_to_write(self._raw, sql)
        try:
            if has_default_cursors(self._raw):
                return cursor_for(self._pooled, sql).execute(sql, parameters).rows
            check_custom_cursors(self._raw, parameters)
            with self._raw.cursor(row_factory=tuple_row) as cursor:
                cursor.execute(sql, parameters)
                return cursor.fetchall() if returns_rows(sql) else ()
        except psycopg.Error as error:
            is_lost = self._raw.closed
            if is_lost:
                self._report_loss()
            raise sqlalchemy_error(self._engine, error, sql, parameters, is_lost=is_lost) from error

    def together(self, *calls: tuple[Statement, dict[str, Any]]) -> Sequence[Row]:
        """Execute statements in one transaction; see `Run`. With cursors of the application, one by one."""
        compiled = []
        for statement, parameters in calls:
            sql, constants = self._dialect.sql(statement)
            compiled.append((sql, {**constants, **parameters}))
        for sql, _ in compiled:
            refuse_to_write(self._raw, sql)
        if not has_default_cursors(self._raw):
            check_custom_cursors(self._raw, compiled[0][1])
        try:
            if can_prepare(self._raw):
                return self._prepared_in_transaction(compiled)
            with self._raw.pipeline() if has_default_cursors(self._raw) else nullcontext():
                cursor = self._in_transaction(compiled)
            rows: Sequence[Row] = cursor.fetchall()  # after the pipeline, whose end is a round trip in any case
        except psycopg.Error as error:
            is_lost = self._raw.closed
            if is_lost:
                self._report_loss()
            else:
                with suppress(psycopg.Error):  # the first error says more; the connection is not returned then
                    self._raw.rollback()
            failure = error_to_raise(self._driver, sqlalchemy_error(self._engine, error, None, None, is_lost=is_lost))
        else:
            return rows
        raise failure  # not in the `except` block, or the driver's own error would stay attached, and be shown

    def _prepared_in_transaction(self, compiled: Sequence[tuple[str, dict[str, Any]]]) -> Sequence[Row]:
        calls = [(numbered(sql), parameters) for sql, parameters in compiled]
        prepared = PreparedStatements.on(self._raw, self.notes)
        result = prepared.execute_in_transaction([(each, packed(each, parameters)) for each, parameters in calls])
        transformer = Transformer(self._raw)
        transformer.set_pgresult(result)
        return transformer.load_rows(0, result.ntuples, tuple)

    def _in_transaction(self, compiled: Sequence[tuple[str, dict[str, Any]]]) -> psycopg.Cursor[Any]:
        self._cursor().execute("BEGIN ISOLATION LEVEL READ COMMITTED", prepare=False)
        for sql, parameters in compiled:
            cursor = self._cursor()
            cursor.execute(sql, parameters)
        self._cursor().execute("COMMIT", prepare=False)
        return cursor

    def _cursor(self) -> psycopg.Cursor[Any]:
        """Return a cursor, also in place of ClientCursors, which have no binary results, and none in a pipeline."""
        if not has_default_cursors(self._raw):
            cursor: psycopg.Cursor[Any] = self._raw.cursor(row_factory=tuple_row)
            return cursor
        cursor = psycopg.Cursor(self._raw, row_factory=tuple_row)
        receive_binary(cursor)
        return cursor

    def _report_loss(self) -> None:
        """Let SQLAlchemy learn of the loss by a statement that fails, so that it discards the pool's connections."""
        try:
            with Connection(self._engine, connection=self._pooled) as connection:
                connection.exec_driver_sql("SELECT 1")
        except DBAPIError:
            return


@contextmanager
def direct(engine: Engine, driver: Driver, dialect: Dialect) -> Iterator[DirectRun]:
    """Take a connection from the pool, in autocommit, and return it to the pool with its settings restored.

    A connection that is lost, or that Ctrl-C has interrupted during a statement, is not returned.

    Raises:
        DBAPIError: No connection is available, as SQLAlchemy raises it.
        UnsuitableSetting: A hook of the pool has left a transaction open, or the encoding can't send every text.
    """
    try:
        pooled = engine.raw_connection()
    except psycopg.Error as error:
        raise sqlalchemy_error(engine, error, None, None) from error
    raw: Any = pooled.dbapi_connection
    try:
        refuse_open_transaction(raw)
        check_connection(raw)
    except UnsuitableSetting:
        pooled.invalidate()  # a rollback would undo what a hook has set, which the next user would miss
        raise
    was_autocommit: bool = raw.autocommit
    try:
        if not was_autocommit:
            raw.autocommit = True
        yield DirectRun(driver, dialect, engine, pooled)
    finally:
        # No call comes before this `try`. Ctrl-C raises in calls, and a connection must not return in autocommit.
        try:
            pgconn = raw.pgconn  # of a closed connection, the status is UNKNOWN
            is_idle = pgconn.transaction_status == TransactionStatus.IDLE and not pgconn.pipeline_status
            if is_idle and not was_autocommit:
                raw.autocommit = False
        except BaseException:
            is_idle = False
            raise
        finally:
            if is_idle:
                pooled.close()
            elif pooled.is_valid:
                try:
                    cancel_statement(raw)  # otherwise it would go on waiting for its locks, and commit with them
                finally:
                    pooled.invalidate()
