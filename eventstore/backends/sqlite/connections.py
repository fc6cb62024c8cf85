"""How the store connects to SQLite: one writer at a time, from BEGIN IMMEDIATE to COMMIT."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Final

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from eventstore.backends.pool_records import lends_records
from eventstore.backends.protocol import (
    PLAIN_EXECUTION,
    HeadClosed,
    Listener,
    Row,
    Run,
    Sender,
    TransactionState,
    VersionTaken,
    fetch,
)
from eventstore.backends.running import ConnectionRun, goes_direct
from eventstore.backends.sqlite.dialect import SQLiteDialect
from eventstore.backends.sqlite.direct import append_one, direct
from eventstore.backends.sqlite.settings import begins_nothing, check_connection
from eventstore.backends.sqlite.write_lock import WriteLock, is_busy
from eventstore.backends.waiting import THREAD, Waiting
from eventstore.errors import (
    DatabaseBusy,
    HistoryChangeRefused,
    InvalidInput,
    NotInTransaction,
    SchemaMissing,
    UnsuitableTransaction,
)
from eventstore.rows.mapper import PendingAppend
from eventstore.statements.sqlite.append import take_write_lock
from eventstore.tables import CLOSED_CHECKS
from eventstore.tables.immutability import REFUSAL

NO_NOTIFICATIONS: Final = "notify needs PostgreSQL; SQLite has no notifications, so subscriptions poll"
_MARK: Final = "eventstore_batch"
_EVENTS_KEY: Final = "es_events.stream_id, es_events.version"
_CLOSED: Final = frozenset(f"CHECK constraint failed: {check}" for check in CLOSED_CHECKS)


class SQLiteConnections:
    """How the store connects to SQLite.

    Args:
        dialect: The dialect of the statements that are sent.
        lock_timeout_seconds: How long to wait for the write lock.
        waiting: How the callers wait.
    """

    has_notifications: Final = False

    def __init__(
        self, dialect: SQLiteDialect, *, lock_timeout_seconds: float = 30.0, waiting: Waiting = THREAD
    ) -> None:
        self.dialect = dialect
        self.waiting = waiting
        self._lock = WriteLock(lock_timeout_seconds, waiting.pause)
        self._turns = waiting.turns()

    def autocommit(self, engine: Engine) -> AbstractContextManager[Run]:
        """Open a connection on which no transaction is open."""
        return direct(engine, self, self.dialect) if goes_direct(engine) else self._autocommit(engine)

    @contextmanager
    def _autocommit(self, engine: Engine) -> Iterator[Run]:
        with self._autocommit_connection(engine) as connection:
            yield self.run_on(connection)

    @contextmanager
    def _autocommit_connection(self, engine: Engine) -> Iterator[Connection]:
        with self.waiting.connect(engine) as connection:
            driver = driver_of(connection)
            check_connection(connection.connection.dbapi_connection, connection.connection.info)
            if connection.in_transaction():  # begun by a hook (engine_connect)
                connection.commit()
            connection.execution_options(isolation_level="AUTOCOMMIT")
            connection.begin()  # sends nothing, but calls the application's hooks, one of which may send a BEGIN
            if driver.in_transaction:
                connection.exec_driver_sql("COMMIT")
            yield connection

    def run_on(self, connection: Connection) -> Run:
        """Return a run on SQLAlchemy's Connection."""
        return JoinedRun(self, self.dialect, connection)

    def append_directly(self, engine: Engine, pending: PendingAppend) -> Sequence[Row] | None:
        """Append directly with the driver, if there are no listeners on the engine and on its pool."""
        if not goes_direct(engine) or not lends_records(engine.pool):
            return None
        return append_one(engine, self.dialect, self._lock, pending)

    def short_transaction(self, engine: Engine) -> AbstractContextManager[Run]:
        """Open a `transaction`, directly with the driver if there are no listeners."""
        if goes_direct(engine):
            return direct(engine, self, self.dialect, lock=self._lock)
        return self._short_transaction(engine)

    @contextmanager
    def _short_transaction(self, engine: Engine) -> Iterator[Run]:
        with self.transaction(engine) as connection:
            yield self.run_on(connection)

    @contextmanager
    def transaction(self, engine: Engine) -> Iterator[Connection]:
        """Open a transaction that takes the write lock first, so that it does not fail half way for lack of it."""
        turn = nullcontext() if self._turns is None else self._turns.turn(self._lock.timeout_seconds)
        with turn, self._autocommit_connection(engine) as connection:
            raw = connection.connection.dbapi_connection
            with self._lock.held(connection.exec_driver_sql, raw):
                yield connection

    def prepare_savepoint(self, run: Run, connection: Connection) -> None:
        """Take the write lock, for which the driver begins the transaction; else the savepoint would be one itself."""
        run(take_write_lock)
        if not driver_of(connection).in_transaction:
            raise NotInTransaction

    def commits_by_itself(self, connection: Connection) -> bool:
        """Return whether SQLAlchemy or the driver is set to begin no transaction, and no BEGIN was sent.

        `transaction` sends one; an application may do so in a hook, when SQLAlchemy begins.
        """
        raw = driver_of(connection)
        if connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
            return not raw.in_transaction
        return connection.in_transaction() and begins_nothing(raw)

    def check_reader(self, connection: Connection) -> None:
        """Refuse a transaction that has begun to write, because SQLite can't say whether it has appended."""
        if driver_of(connection).in_transaction:
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
        if message in _CLOSED:
            return HeadClosed()
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
        raw = None if connection.closed else driver_of(connection)
        return TransactionState.ENDED if raw is None else state_of(raw)

    def open_probe(self, connection: Any) -> Callable[[], bool]:
        """Return a function that compares SQLAlchemy's transaction, and reads the driver's state of it."""
        transaction, current = connection.get_transaction(), connection.get_transaction
        raw, is_open = driver_of(connection), TransactionState.OPEN
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

    def sender(self, engine: Engine) -> Sender:  # noqa: ARG002  # likewise
        """Raise InvalidInput."""
        raise InvalidInput(NO_NOTIFICATIONS)


def driver_of(connection: Connection) -> Any:
    """Return the connection that knows the state of the transaction: sqlite3's, or aiosqlite's."""
    return connection.connection.driver_connection


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
        if isinstance(result.cursor, sqlite3.Cursor):
            result.cursor.row_factory = None
        return fetch(result, sql)
