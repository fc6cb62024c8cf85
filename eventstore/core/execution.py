"""Execution: on which connection a statement runs, and in whose transaction."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Final, NoReturn, Protocol

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from eventstore.backends.protocol import PLAIN_EXECUTION, Connections, Driver, Row, Run, TransactionState
from eventstore.backends.running import connections_are_alike
from eventstore.backends.waiting import THREAD, Waiting
from eventstore.common.locks import make_lock
from eventstore.core.schema_version import SchemaGate
from eventstore.errors import NotInTransaction, SerializationConflict, TransactionBroken
from eventstore.rows.mapper import PendingAppend


class Execution(Protocol):
    """Runs the statements of one store."""

    @property
    def is_joined(self) -> bool:
        """Whether statements run in a joined transaction, which its owner commits or rolls back."""
        ...

    @property
    def shares_reads(self) -> bool:
        """Whether each thread would read the same of the log, so that one may read for the others."""
        ...

    @property
    def polls_together(self) -> bool:
        """Whether one of those who wait for events may poll for all; tasks of asyncio may, too."""
        ...

    @property
    def pipelines(self) -> bool:
        """Whether the runs of `statement` can send several statements together, in one transaction."""
        ...

    @property
    def connection(self) -> Connection:
        """The connection of the joined transaction.

        Raises:
            NotInTransaction: Statements run on the store's own connections.
        """
        ...

    def open_transaction(self) -> object:
        """Return an object for the open transaction, the same one in each call; None if there is none."""
        ...

    def statement(self) -> AbstractContextManager[Run]:
        """Run statements that are independent of each other."""
        ...

    def append_directly(self, pending: PendingAppend) -> Sequence[Row] | None:
        """Append one event in the quickest way; see `Connections.append_directly`.

        Returns:
            As there: None if it must be appended by `statement` and `Dialect.append`.
        """
        ...

    def global_reading(self) -> AbstractContextManager[Run]:
        """Run statements that read the global order, independent of each other.

        Raises:
            UnsuitableTransaction: The transaction may have events that are rolled back later.
        """
        ...

    def transaction(self) -> AbstractContextManager[Run]:
        """Run statements that are all or nothing."""
        ...

    def begin(self) -> AbstractContextManager["Execution"]:
        """Open a transaction, or a savepoint in the joined one, for several calls of the store."""
        ...

    def joined(self, connect: Callable[[], Connection]) -> "Execution":
        """Return an execution in a transaction of the application.

        Args:
            connect: Returns the connection of the open transaction.

        Raises:
            NotInTransaction: Raised at the first use if that connection is in AUTOCOMMIT.
        """
        ...


class OwnConnections:
    """Runs statements on connections from an engine's pool, in short transactions of the store.

    Args:
        engine: The engine.
        connections: How to connect.
        gate: Checks the schema before the first statement; None for tables that may not fit this code.
    """

    is_joined: Final = False

    def __init__(self, engine: Engine, connections: Connections, gate: SchemaGate | None) -> None:
        self._engine = engine
        self._connections = connections
        self._gate = gate
        self._process_id = os.getpid()
        self._fork_lock = make_lock()

    @property
    def shares_reads(self) -> bool:
        """Whether all connections of the engine are alike, and its callers are threads.

        Tasks of asyncio can't wait for a look of another one as threads do, which would block their loop.
        """
        return not self._engine.dialect.is_async and self.polls_together

    @property
    def polls_together(self) -> bool:
        """Whether all connections of the engine are alike."""
        return connections_are_alike(self._engine, self._connections.dialect.schema)

    @property
    def pipelines(self) -> bool:
        """Whether the driver can."""
        return self._connections.pipelines(self._engine)

    @property
    def connection(self) -> NoReturn:
        """Raise, because each statement has another connection."""
        raise NotInTransaction("the store is not joined to a transaction; open one: with store.transaction() as tx")

    def open_transaction(self) -> None:
        """Return None."""

    @contextmanager
    def statement(self) -> Iterator[Run]:
        """Run on a connection in AUTOCOMMIT."""
        self._leave_parents_connections()
        with self._connections.autocommit(self._engine) as run:
            if self._gate is not None and not self._gate.fits:
                self._gate(run)
            yield run

    def append_directly(self, pending: PendingAppend) -> Sequence[Row] | None:
        """Append if the tables are known to fit, and the process is the one that has made the store."""
        if self._process_id != os.getpid() or (self._gate is not None and not self._gate.fits):
            return None
        return self._connections.append_directly(self._engine, pending)

    def global_reading(self) -> AbstractContextManager[Run]:
        """Run on a connection in AUTOCOMMIT, where each statement sees what is committed by then."""
        return self.statement()

    @contextmanager
    def transaction(self) -> Iterator[Run]:
        """Run in a new transaction; commit at the end, roll back on an error."""
        self._leave_parents_connections()
        with self._connections.short_transaction(self._engine) as run:
            if self._gate is not None and not self._gate.fits:
                self._gate(run)
            yield run

    @contextmanager
    def begin(self) -> Iterator[Execution]:
        """Open a new transaction."""
        self._leave_parents_connections()
        with self._connections.transaction(self._engine) as connection:
            self._connections.run_on(connection)  # refuses a connection that expects the tables in another schema
            yield JoinedTransaction(lambda: connection, self._connections, self._gate)

    def without_gate(self) -> "OwnConnections":
        """Return an execution for tables that may not fit this code."""
        return OwnConnections(self._engine, self._connections, None)

    def joined(self, connect: Callable[[], Connection]) -> Execution:
        """Return an execution in the transaction of a connection; see `Execution.joined`."""
        return _joined(connect, self._connections, self._gate)

    def _leave_parents_connections(self) -> None:
        """After a fork, start with an empty pool, because two processes on one connection mix up their results."""
        if self._process_id == os.getpid():
            return
        with self._fork_lock:
            if self._process_id != os.getpid():
                self._engine.dispose(close=False)  # the parent still uses them
                self._process_id = os.getpid()


class JoinedTransaction:
    """Runs statements in a transaction whose owner commits it or rolls it back.

    Args:
        connect: Returns the connection of the open transaction.
        connections: How to use the connection.
        gate: As for `OwnConnections`.
    """

    is_joined: Final = True
    shares_reads: Final = False
    polls_together: Final = False
    pipelines: Final = False

    def __init__(self, connect: Callable[[], Connection], connections: Connections, gate: SchemaGate | None) -> None:
        self._connect = connect if connections.waiting is THREAD else _checked(connect, connections.waiting)
        self._connections = connections
        self._gate = gate

    @property
    def connection(self) -> Connection:
        """The joined connection."""
        return self._connect()

    def open_transaction(self) -> object:
        """Return SQLAlchemy's object for the transaction; None if it is not active."""
        transaction = self._connect().get_transaction()
        return transaction if transaction is not None and transaction.is_active else None

    @contextmanager
    def statement(self) -> Iterator[Run]:
        """Run on the joined connection."""
        yield self._run(self._connect())

    def append_directly(self, pending: PendingAppend) -> None:  # for other executions
        """Return None."""

    @contextmanager
    def global_reading(self) -> Iterator[Run]:
        """Run on the joined connection, if it is suitable."""
        connection = self._connect()
        self._connections.check_reader(connection)
        yield self._run(connection)

    @contextmanager
    def transaction(self) -> Iterator[Run]:
        """Run in a savepoint, so that an error undoes all of it and leaves the caller's transaction as it was."""
        connection = self._connect()
        run = self._run(connection)
        self._connections.prepare_savepoint(run, connection)

        def execute(sql: str) -> None:
            connection.exec_driver_sql(sql, None, PLAIN_EXECUTION)

        execute("SAVEPOINT eventstore")
        try:
            yield run
            self._refuse_aborted(connection)
            execute("RELEASE SAVEPOINT eventstore")
        except BaseException:
            with suppress(SQLAlchemyError):  # on a lost connection, or after Ctrl-C, the first error says more
                execute("ROLLBACK TO SAVEPOINT eventstore")
                execute("RELEASE SAVEPOINT eventstore")
            raise

    def _refuse_aborted(self, connection: Connection) -> None:
        """Refuse to release a savepoint in which an error of the database was caught: PostgreSQL would, too."""
        if self._connections.transaction_state(connection) is TransactionState.ABORTED:
            raise TransactionBroken("aborted")

    @contextmanager
    def begin(self) -> Iterator[Execution]:
        """Open a savepoint."""
        with self.transaction():
            yield self

    def joined(self, connect: Callable[[], Connection]) -> Execution:
        """Return an execution in the transaction of another connection; see `Execution.joined`."""
        return _joined(connect, self._connections, self._gate)

    def _run(self, connection: Connection) -> Run:
        run = self._connections.run_on(connection)
        if self._gate is not None and not self._gate.fits:
            self._gate(run)
        return run


def _checked(connect: Callable[[], Connection], waiting: Waiting) -> Callable[[], Connection]:
    """Return the function for an engine for asyncio: it raises SynchronousCall before anything is sent."""

    def connect_awaited() -> Connection:
        waiting.check()
        return connect()

    return connect_awaited


def _joined(connect: Callable[[], Connection], connections: Connections, gate: SchemaGate | None) -> JoinedTransaction:
    def connect_in_transaction() -> Connection:
        connection = connect()
        if connections.commits_by_itself(connection):
            raise NotInTransaction
        return connection

    return JoinedTransaction(connect_in_transaction, connections, gate)


@contextmanager
def serialization_is_a_conflict(execution: Execution, driver: Driver, stream_ids: Sequence[str]) -> Iterator[None]:
    """Raise a conflict if PostgreSQL aborts the joined transaction because of a concurrent writer (SQLSTATE 40001).

    On the store's own connections the statement is retried instead; see `backends.postgresql.autocommit`.

    Raises:
        SerializationConflict: PostgreSQL has aborted the transaction.
    """
    try:
        yield
    except Exception as error:
        if not execution.is_joined or not driver.is_serialization_failure(error):
            raise
        failure = error
    else:
        return
    raise SerializationConflict(stream_ids) from failure
