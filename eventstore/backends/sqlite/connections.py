"""How the store connects to SQLite: one writer at a time, from BEGIN IMMEDIATE to COMMIT."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import PoolProxiedConnection

from eventstore.backends.protocol import (
    CLOSED_BY,
    PLAIN_EXECUTION,
    Dialect,
    HeadClosed,
    Listener,
    Row,
    Run,
    TransactionState,
    VersionTaken,
    fetch,
)
from eventstore.backends.running import ConnectionRun, StatementRun, goes_direct, sqlalchemy_error
from eventstore.backends.sqlite.settings import ManualBegin, begins_nothing, check_connection, plain_cursor
from eventstore.backends.sqlite.write_lock import is_busy, write_lock
from eventstore.errors import (
    DatabaseBusy,
    HistoryChangeRefused,
    InvalidInput,
    NotInTransaction,
    SchemaMissing,
    UnsuitableSetting,
    UnsuitableTransaction,
)
from eventstore.statements.sqlite.append import take_write_lock
from eventstore.tables.immutability import REFUSAL

NO_NOTIFICATIONS: Final = "notify needs PostgreSQL; SQLite has no notifications, so subscriptions poll"
_MARK: Final = "eventstore_batch"
_EVENTS_KEY: Final = "es_events.stream_id, es_events.version"


class SQLiteConnections:
    """How the store connects to SQLite.

    Args:
        dialect: The dialect of the statements that are sent.
        lock_timeout_seconds: How long to wait for the write lock.
    """

    has_notifications: Final = False

    def __init__(self, dialect: Dialect, *, lock_timeout_seconds: float = 30.0) -> None:
        self.dialect = dialect
        self._lock_timeout_seconds = lock_timeout_seconds

    def autocommit(self, engine: Engine) -> AbstractContextManager[Run]:
        """Open a connection on which no transaction is open."""
        return direct(engine, self) if goes_direct(engine) else self._autocommit(engine)

    @contextmanager
    def _autocommit(self, engine: Engine) -> Iterator[Run]:
        with self._autocommit_connection(engine) as connection:
            yield self.run_on(connection)

    @contextmanager
    def _autocommit_connection(self, engine: Engine) -> Iterator[Connection]:
        with engine.connect() as connection:
            check_connection(connection.connection.dbapi_connection, connection.connection.info)
            if connection.in_transaction():  # begun by a hook (engine_connect)
                connection.commit()
            connection.execution_options(isolation_level="AUTOCOMMIT")
            connection.begin()  # sends nothing, but calls the application's hooks, one of which may send a BEGIN
            if connection.connection.dbapi_connection.in_transaction:  # type: ignore[union-attr]  # sqlite3's
                connection.exec_driver_sql("COMMIT")
            yield connection

    def run_on(self, connection: Connection) -> Run:
        """Return a run on SQLAlchemy's Connection."""
        return JoinedRun(self, self.dialect, connection)

    @contextmanager
    def short_transaction(self, engine: Engine) -> Iterator[Run]:
        """Open a `transaction`, directly with the driver if there are no listeners."""
        if not goes_direct(engine):
            with self.transaction(engine) as connection:
                yield self.run_on(connection)
            return
        with direct(engine, self) as run, write_lock(run.send, run.raw, self._lock_timeout_seconds):
            yield run

    @contextmanager
    def transaction(self, engine: Engine) -> Iterator[Connection]:
        """Open a transaction that takes the write lock first, so that it does not fail half way for lack of it."""
        with self._autocommit_connection(engine) as connection:
            raw = connection.connection.dbapi_connection
            with write_lock(connection.exec_driver_sql, raw, self._lock_timeout_seconds):
                yield connection

    def prepare_savepoint(self, run: Run, connection: Connection) -> None:
        """Take the write lock, for which the driver begins the transaction; else the savepoint would be one itself."""
        run(take_write_lock)
        if not connection.connection.dbapi_connection.in_transaction:  # type: ignore[union-attr]  # sqlite3's
            raise NotInTransaction

    def commits_by_itself(self, connection: Connection) -> bool:
        """Return whether SQLAlchemy or the driver is set to begin no transaction, and no BEGIN was sent.

        `transaction` sends one; an application may do so in a hook, when SQLAlchemy begins.
        """
        raw = connection.connection.dbapi_connection
        if connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
            return not raw.in_transaction  # type: ignore[union-attr]  # sqlite3's
        return connection.in_transaction() and begins_nothing(raw)

    def check_reader(self, connection: Connection) -> None:
        """Refuse a transaction that has begun to write, because SQLite can't say whether it has appended."""
        if connection.connection.dbapi_connection.in_transaction:  # type: ignore[union-attr]  # sqlite3's
            raise UnsuitableTransaction("has begun to write, and its events may still be rolled back")

    def translate(self, error: DBAPIError) -> Exception | None:
        """Translate by error code; keys and tables are named only in SQLite's message."""
        message = str(error.orig)
        if is_busy(error):
            return DatabaseBusy()
        if message.startswith(("no such table: es_", "no such table: snapshots")):
            return SchemaMissing(self.dialect.place)
        if message.startswith("UNIQUE constraint failed") and _EVENTS_KEY in message:
            return VersionTaken()
        if message.startswith(REFUSAL):
            return HistoryChangeRefused()
        for check, closed in CLOSED_BY.items():
            if message == f"CHECK constraint failed: {check}":
                return HeadClosed(closed)
        return None

    def without_payload(self, error: Any) -> Any:
        """Hide the parameters. SQLite's own messages show names, but no values."""
        error.hide_parameters = True
        return error

    def is_serialization_failure(self, error: BaseException) -> bool:  # noqa: ARG002  # SQLite has none
        """Return False. A transaction that reads and then writes on an old snapshot gets DatabaseBusy."""
        return False

    def is_transient(self, error: Exception) -> bool:
        """Return whether a lock was not available, or the pool was full."""
        return isinstance(error, DatabaseBusy | PoolTimeout)

    def is_contention(self, error: BaseException) -> bool:  # noqa: ARG002  # SQLite has none
        """Return False. A batch holds the write lock, so only another database of a handler's can be locked."""
        return False

    def transaction_state(self, connection: Any) -> TransactionState:
        """Return the state that the driver knows."""
        if connection.invalidated:
            return TransactionState.LOST
        raw = None if connection.closed else connection.connection.dbapi_connection
        return TransactionState.ENDED if raw is None else state_of(raw)

    def open_probe(self, connection: Any) -> Callable[[], bool]:
        """Return a function that compares SQLAlchemy's transaction, and reads the driver's state of it."""
        transaction, current = connection.get_transaction(), connection.get_transaction
        raw, is_open = connection.connection.dbapi_connection, TransactionState.OPEN
        return lambda: current() is transaction and transaction.is_active and state_of(raw) is is_open

    def mark_transaction(self, run: Run, connection: Any) -> object:  # noqa: ARG002  # transactions have no ids
        """Open a savepoint, which ends with the transaction."""
        mark_transaction(connection.connection.dbapi_connection)
        return None

    def is_same_transaction(self, run: Run, connection: Any, mark: object) -> bool:  # noqa: ARG002  # likewise
        """Release the savepoint, if there is one."""
        return is_same_transaction(connection.connection.dbapi_connection)

    def listen(self, engine: Engine) -> Listener:  # noqa: ARG002  # it always raises
        """Raise InvalidInput, because SQLite has no notifications."""
        raise InvalidInput(NO_NOTIFICATIONS)


def state_of(raw: Any) -> TransactionState:
    """Return the state of the transaction on the driver's connection. In SQLite an error does not abort it."""
    try:
        return TransactionState.OPEN if raw.in_transaction else TransactionState.ENDED
    except sqlite3.ProgrammingError:  # it is closed
        return TransactionState.LOST


def mark_transaction(raw: Any) -> None:
    """Open a savepoint on the driver's connection, which ends with the transaction."""
    raw.execute(f"SAVEPOINT {_MARK}")


def is_same_transaction(raw: Any) -> bool:
    """Release the savepoint, and return whether there was one."""
    try:
        raw.execute(f"RELEASE SAVEPOINT {_MARK}")
    except sqlite3.Error:
        return False
    return True


class JoinedRun(ConnectionRun):
    """Runs statements on SQLAlchemy's Connection, in its open transaction if there is one."""

    def _send(self, sql: str, parameters: Any) -> Sequence[Row]:
        pooled = self._connection.connection
        check_connection(pooled.dbapi_connection, pooled.info)
        result = self._connection.exec_driver_sql(sql, parameters, PLAIN_EXECUTION)
        if result.cursor is not None:
            result.cursor.row_factory = None  # type: ignore[attr-defined]  # sqlite3's
        return fetch(result, sql)


class DirectRun(StatementRun):
    """Runs statements directly with sqlite3, in the transaction that they have begun themselves, or in none.

    Attributes:
        raw: The driver's connection.
    """

    def __init__(self, connections: SQLiteConnections, engine: Engine, pooled: PoolProxiedConnection) -> None:
        self._driver = connections
        self._dialect = connections.dialect
        self.notes = pooled.info
        self._engine = engine
        raw: Any = pooled.dbapi_connection
        self.raw = raw
        self._cursor = plain_cursor(raw)

    def send(self, sql: str, parameters: Any = ()) -> Sequence[Row]:
        """Execute SQL text, once for each item if `parameters` is a list, and return its rows.

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
            raise sqlalchemy_error(self._engine, error, sql, parameters, is_lost=is_lost) from error
        return rows

    _send = send


@contextmanager
def direct(engine: Engine, connections: "SQLiteConnections") -> Iterator["DirectRun"]:
    """Take a connection from the pool, without a transaction, and return it to the pool with its settings restored.

    Meanwhile the driver begins no transaction by itself. A connection with an open transaction is not returned, because
    the driver commits when its setting is changed, and so may a pool of the application.

    Raises:
        DBAPIError: No connection is available, as SQLAlchemy raises it.
        UnsuitableSetting: A setting of the connection would make results wrong.
    """
    try:
        pooled = engine.raw_connection()
    except sqlite3.Error as error:
        raise sqlalchemy_error(engine, error, None, None) from error
    raw: Any = pooled.dbapi_connection
    try:
        check_connection(raw, pooled.info)
    except sqlite3.Error as error:
        pooled.invalidate()
        raise sqlalchemy_error(engine, error, None, None) from error
    except UnsuitableSetting:
        pooled.close()
        raise
    manual_begin: ManualBegin | None = None
    is_restored = False
    try:  # Ctrl-C raises in calls and returns, and none of them comes between this line and the `finally`
        manual_begin = ManualBegin(raw)
        run = DirectRun(connections, engine, pooled)
        if raw.in_transaction:  # begun by a hook of the pool
            run.send("COMMIT")
        yield run
    finally:
        try:
            if manual_begin is not None and not raw.in_transaction:
                manual_begin.restore()
                is_restored = True
        except sqlite3.ProgrammingError:  # the connection is closed
            pass
        finally:
            if is_restored:
                pooled.close()
            else:
                pooled.invalidate()
