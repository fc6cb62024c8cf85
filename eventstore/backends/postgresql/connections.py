"""How the store connects to PostgreSQL: transactions, statements that commit by themselves, and what errors mean."""

import select
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, Final, Literal

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from eventstore.backends.postgresql import cursors, errors
from eventstore.backends.postgresql.autocommit import AutocommitRun
from eventstore.backends.postgresql.cursors import (
    refuse_open_transaction,
)
from eventstore.backends.postgresql.dialect import PostgreSQLDialect
from eventstore.backends.postgresql.direct_append import DirectAppends
from eventstore.backends.postgresql.direct_runs import direct
from eventstore.backends.postgresql.listener import PostgreSQLListener, PostgreSQLSender
from eventstore.backends.protocol import Listener, Row, Run, Sender, TransactionState
from eventstore.backends.running import ConnectionRun, goes_direct
from eventstore.backends.waiting import THREAD, Waiting
from eventstore.errors import TransactionBroken, UnsuitableSetting
from eventstore.statements.postgresql.notifications import notification_channel, notify
from eventstore.statements.postgresql.transactions import transaction_id

ENGINE_OPTIONS: Final[dict[str, Any]] = {
    "pool_size": 5,
    "max_overflow": 15,
    "pool_timeout": 30,
    "connect_args": {"application_name": "eventstore"},
}
"""For `EventStore.from_url`. Up to 20 connections; PostgreSQL allows 100 by default, for all processes together."""

_STATES: Final = {
    TransactionStatus.IDLE: TransactionState.ENDED,
    TransactionStatus.INERROR: TransactionState.ABORTED,
    TransactionStatus.UNKNOWN: TransactionState.LOST,
}


_READS_TO_THE_END: Final = 3
"""How often to read what a server has sent before it ended the session: an error, the end, and one to spare."""


class PostgreSQLConnections:
    """How the store connects to PostgreSQL.

    Args:
        dialect: The dialect of the statements that are sent.
        waiting: How the callers wait.
    """

    has_notifications: Final = True

    def __init__(self, dialect: PostgreSQLDialect, waiting: Waiting = THREAD) -> None:
        self.dialect = dialect
        self.waiting = waiting
        self.append_directly = DirectAppends(self, dialect).append

    def autocommit(self, engine: Engine) -> AbstractContextManager[Run]:
        """Open a connection that needs no BEGIN and COMMIT, and so saves two round trips."""
        return direct(engine, self, self.dialect) if goes_direct(engine) else self._autocommit(engine)

    def pipelines(self, engine: Engine) -> bool:
        """Return whether statements go directly to the driver, and libpq has pipelines."""
        return goes_direct(engine) and psycopg.Pipeline.is_supported()

    @contextmanager
    def _autocommit(self, engine: Engine) -> Iterator[Run]:
        with self.waiting.connect(engine) as connection, prepared(connection, isolation_level="AUTOCOMMIT"):
            yield AutocommitRun(self, self.dialect, connection)

    def run_on(self, connection: Connection) -> Run:
        """Return a run on SQLAlchemy's Connection."""
        return JoinedRun(self, self.dialect, connection)

    @contextmanager
    def transaction(self, engine: Engine) -> Iterator[Connection]:
        """Open a transaction at READ COMMITTED, where a writer who has waited for a head sees its new version."""
        is_done = False
        with self.waiting.connect(engine) as connection, prepared(connection, isolation_level="READ COMMITTED"):
            try:
                with connection.begin():
                    yield connection
                    if _is_aborted(connection):  # PostgreSQL would answer COMMIT with ROLLBACK, and no error
                        raise TransactionBroken("aborted")
                    is_done = True
            except DBAPIError as error:
                if not is_done:
                    raise
                failure = self.without_payload(error)  # an error of a deferred constraint may quote rows
            else:
                return
            raise failure

    @contextmanager
    def short_transaction(self, engine: Engine) -> Iterator[Run]:
        """Open a `transaction`. Compared with its round trips, the time that SQLAlchemy takes does not matter."""
        with self.transaction(engine) as connection:
            yield self.run_on(connection)

    def prepare_savepoint(self, run: Run, connection: Connection) -> None:
        """Do nothing, because a transaction is open, and rows are locked one by one."""

    def commits_by_itself(self, connection: Connection) -> bool:
        """Return whether the driver's connection is in autocommit."""
        return bool(connection.connection.dbapi_connection.autocommit)  # type: ignore[union-attr]  # psycopg's, and checked out

    def check_reader(self, connection: Connection) -> None:
        """Do nothing, because the log view checks the transaction."""

    def translate(self, error: DBAPIError) -> Exception | None:
        """Return the store's own error; see `errors.meaning_of`."""
        return errors.meaning_of(error, self.dialect)

    def without_payload(self, error: Any) -> Any:
        """Return the error without the stored data that the server quotes; see `errors.without_payload`."""
        return errors.without_payload(error)

    def is_serialization_failure(self, error: BaseException) -> bool:
        """Return whether a concurrent transaction has aborted this one."""
        return errors.is_serialization_failure(error)

    def is_transient(self, error: Exception) -> bool:
        """Return whether a retry may succeed; see `errors.is_transient`."""
        return errors.is_transient(error)

    def is_contention(self, error: BaseException) -> bool:
        """Return whether concurrent transactions have caused the error; see `errors.is_contention`."""
        return errors.is_contention(error)

    def transaction_state(self, connection: Any) -> TransactionState:
        """Return the state that the driver knows."""
        if connection.invalidated:
            return TransactionState.LOST
        raw = None if connection.closed else connection.connection.driver_connection
        if raw is None:  # it was given back to the pool, which rolls back
            return TransactionState.ENDED
        state = state_of(raw)
        if state is TransactionState.LOST:
            with suppress(DBAPIError):  # so that SQLAlchemy learns of it, too, empties the pool, and does not roll back
                connection.exec_driver_sql("SELECT 1")
        return state

    def open_probe(self, connection: Any) -> Callable[[], bool]:
        """Return a function that compares SQLAlchemy's transaction, and reads the driver's state of it."""
        transaction, current = connection.get_transaction(), connection.get_transaction
        pgconn, is_open = connection.connection.driver_connection.pgconn, TransactionStatus.INTRANS
        return lambda: current() is transaction and transaction.is_active and pgconn.transaction_status == is_open

    def mark_transaction(self, run: Run, connection: Any) -> object:  # noqa: ARG002  # a statement reads the id
        """Return the id of the transaction, which it has since it has locked the checkpoint, and where that is."""
        return run(transaction_id)[0]

    def is_same_transaction(self, run: Run, connection: Any, mark: Any) -> bool:  # noqa: ARG002  # likewise
        """Compare the ids.

        Raises:
            TransactionBroken: The statements of the transaction no longer find the same es_checkpoints.
        """
        transaction, checkpoints = run(transaction_id)[0]
        if mark == (transaction, checkpoints):
            return True
        if mark[0] == transaction:
            raise TransactionBroken("astray")
        return False

    def listen(self, engine: Engine) -> Listener:
        """Listen on the channel of this store's tables."""
        channel_query = self.dialect.sql(notification_channel)
        if not engine.dialect.is_async:
            return PostgreSQLListener(engine, channel_query)
        from eventstore.backends.postgresql.asynchronous import TaskListener  # noqa: PLC0415

        return TaskListener(engine, channel_query)

    def sender(self, engine: Engine) -> Sender:
        """Send on the channel of this store's tables."""
        return PostgreSQLSender(engine, self.dialect.sql(notify))


def state_of(raw: Any) -> TransactionState:
    """Return the state of the transaction on the driver's connection.

    The driver learns that the server has ended the session only when it reads. Input is rare while no query is under
    way; if there is some, an empty query makes the driver read it. A connection for asyncio must not wait for the
    server, and reads what is there.
    """
    with suppress(psycopg.Error):
        if isinstance(raw, psycopg.AsyncConnection):
            for _ in range(_READS_TO_THE_END):
                if _has_input(raw.pgconn.socket):
                    raw.pgconn.consume_input()
        elif _has_input(raw.pgconn.socket):
            raw.pgconn.exec_(b"")
    return _STATES.get(raw.pgconn.transaction_status, TransactionState.OPEN)


def _has_input(file_descriptor: int) -> bool:
    if not hasattr(select, "poll"):
        return bool(select.select([file_descriptor], [], [], 0)[0])
    poll = select.poll()
    poll.register(file_descriptor, select.POLLIN)
    return bool(poll.poll(0))


def _is_aborted(connection: Connection) -> bool:
    """Return whether the transaction is aborted. For a lost connection, the commit raises the better error."""
    raw: Any = None if connection.closed or connection.invalidated else connection.connection.driver_connection
    return raw is not None and raw.pgconn.transaction_status == TransactionStatus.INERROR


class JoinedRun(ConnectionRun):
    """Runs statements in the open transaction on SQLAlchemy's Connection."""

    def _send(self, sql: str, parameters: Any) -> Sequence[Row]:
        return cursors.execute(self._connection, sql, parameters)


@contextmanager
def prepared(connection: Connection, *, isolation_level: Literal["AUTOCOMMIT", "READ COMMITTED"]) -> Iterator[None]:
    """Set the isolation level of a connection that was just taken from the pool, and restore it at the end.

    SQLAlchemy would reset it to the engine's level, and lose the one that a hook has set on the driver's connection.

    Raises:
        UnsuitableSetting: A hook has begun a transaction on the connection.
    """
    driver: Any = connection.connection.driver_connection
    setting: Any = connection.connection.dbapi_connection  # the same, or SQLAlchemy's wrapper of one for asyncio
    try:
        refuse_open_transaction(driver)
    except UnsuitableSetting:
        connection.invalidate()  # a rollback would undo what the hook has set, which the next user would miss
        raise
    before = driver.autocommit, driver.isolation_level
    try:
        setting.set_autocommit(isolation_level == "AUTOCOMMIT")
        if isolation_level != "AUTOCOMMIT":
            setting.set_isolation_level(psycopg.IsolationLevel.READ_COMMITTED)
        yield
    finally:
        # No call comes before this `try`. Ctrl-C raises in calls, and a connection must not return in this state.
        is_restored = False
        try:
            if driver.pgconn.transaction_status != TransactionStatus.IDLE:
                setting.rollback()
            autocommit, level = before
            setting.set_autocommit(autocommit)
            setting.set_isolation_level(level)
            is_restored = True
        except psycopg.Error:  # lost or closed, which SQLAlchemy handles
            pass
        finally:
            if not is_restored and not connection.closed and not connection.invalidated:
                connection.invalidate()
