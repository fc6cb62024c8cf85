"""The one seam: where a statement runs, and in whose transaction."""

import os
import threading
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, Final, NoReturn, Protocol

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from eventstore.backends.protocol import PLAIN_EXECUTION, Backend, Row, Run, Statement
from eventstore.errors import NotInTransaction, SerializationConflict, TablesPlace, UnsuitableSetting


class Execution(Protocol):
    """Where the statements of one store run."""

    @property
    def is_joined(self) -> bool:
        """Whether statements run in a transaction that somebody else began."""
        ...

    @property
    def connection(self) -> Connection:
        """The connection of the transaction that somebody else began.

        Raises:
            NotInTransaction: Statements run on connections of the store's own.
        """
        ...

    def open_transaction(self) -> object:
        """Return what stands for the transaction that is open now, None where there is none; each time the same."""
        ...

    def statement(self) -> AbstractContextManager[Run]:
        """Run statements of which each is complete in itself."""
        ...

    def global_reading(self) -> AbstractContextManager[Run]:
        """Run statements that read the global order, each complete in itself.

        Raises:
            UnsuitableTransaction: Events may be read here that are rolled back later.
        """
        ...

    def transaction(self) -> AbstractContextManager[Run]:
        """Run statements that are all or nothing."""
        ...

    def begin(self) -> AbstractContextManager["Execution"]:
        """Open what `transaction` opens, for several calls of the store."""
        ...


class RunOn:
    """Runs statements on one connection, as text, so that hooks and instrumentation of SQLAlchemy see them."""

    def __init__(self, connection: Any, backend: Backend) -> None:
        self._connection = connection
        self._backend = backend

    @property
    def notes(self) -> MutableMapping[Any, Any]:
        """What was noted of the driver's connection; see `Run`."""
        notes: MutableMapping[Any, Any] = self._connection.info
        return notes

    @property
    def place(self) -> TablesPlace:
        """Where the tables are looked for."""
        return self._backend.place

    def __call__(self, statement: Statement, **parameters: Any) -> Sequence[Row]:
        """Execute the statement and return all of its rows; see `Run`."""
        sql, constants = self._backend.sql(statement)
        return self._execute(sql, {**constants, **parameters})

    def many(self, statement: Statement, rows: Sequence[dict[str, Any]]) -> None:
        """Execute the statement once for each of the sets of parameters; see `Run`."""
        sql, constants = self._backend.sql(statement)
        self._execute(sql, [{**constants, **row} for row in rows] if constants else rows)

    def _execute(self, sql: str, parameters: Any) -> Sequence[Row]:
        try:
            return self._backend.execute(self._connection, sql, parameters)
        except DBAPIError as error:
            translated, safe = self._backend.translate(error), self._backend.without_payload(error)
        # not in the `except` block: the driver's own error would stay attached, and be shown
        if translated is None:
            raise safe
        raise translated from safe


def refuse_other_schema(connection: Any, schema: str | None) -> None:
    """Refuse a `schema_translate_map` that would have SQLAlchemy look for the tables elsewhere than we do.

    Args:
        connection: SQLAlchemy's, or what has its execution options.
        schema: The one that the tables are in.

    Raises:
        UnsuitableSetting: There is one, on the engine, the connection or the session.
    """
    translated = connection.get_execution_options().get("schema_translate_map")
    if translated and translated.get(schema, schema) != schema:
        raise UnsuitableSetting(
            "schema_translate_map",
            f"says that the tables are in schema {translated[schema]!r}, and the store does not go by it",
            "name the schema: EventStore(engine, schema=…), and keep the map to engines of your own tables",
        )


class OwnConnections:
    """Statements on connections from an engine, in short transactions of the store's own.

    Args:
        engine: Whose pool the connections come from.
        backend: The engine's database.
        before_use: Called with the first statement's `Run` of every use; raises where the store must not be used.
    """

    is_joined: Final = False

    def __init__(self, engine: Engine, backend: Backend, before_use: Callable[[Run], None]) -> None:
        self._engine = engine
        self._backend = backend
        self._before_use = before_use
        self._process_id = os.getpid()
        self._fork_lock = threading.Lock()

    @property
    def connection(self) -> NoReturn:
        """Refuse: there is one for each statement."""
        raise NotInTransaction("the store is not joined to a transaction; open one: with store.transaction() as tx")

    def open_transaction(self) -> None:
        """Return that there is none."""

    @contextmanager
    def statement(self) -> Iterator[Run]:
        """Run on a connection in AUTOCOMMIT."""
        self._leave_parents_connections()
        with self._backend.autocommit(self._engine) as connection:
            yield self._run(connection)

    def global_reading(self) -> AbstractContextManager[Run]:
        """Run on a connection in AUTOCOMMIT: each statement sees what is committed by then."""
        return self.statement()

    @contextmanager
    def transaction(self) -> Iterator[Run]:
        """Run in a new transaction; commit at the end, roll back on an error."""
        self._leave_parents_connections()
        with self._backend.short_transaction(self._engine) as connection:
            yield self._run(connection)

    @contextmanager
    def begin(self) -> Iterator[Execution]:
        """Open a new transaction."""
        self._leave_parents_connections()
        with self._backend.transaction(self._engine) as connection:
            refuse_other_schema(connection, self._backend.tables.metadata.schema)
            yield JoinedTransaction(lambda: connection, self._backend, self._before_use)

    def _run(self, connection: Any) -> Run:
        refuse_other_schema(connection, self._backend.tables.metadata.schema)
        run = RunOn(connection, self._backend)
        self._before_use(run)
        return run

    def _leave_parents_connections(self) -> None:
        """After a fork, start with an empty pool: two processes on one connection would read each other's results."""
        if self._process_id == os.getpid():
            return
        with self._fork_lock:
            if self._process_id != os.getpid():
                self._engine.dispose(close=False)  # the parent goes on using them
                self._process_id = os.getpid()


class JoinedTransaction:
    """Statements in a transaction that somebody else began, and will end.

    Args:
        connect: Returns the connection of the transaction that is open now.
        backend: The connection's database.
        before_use: As for `OwnConnections`.
    """

    is_joined: Final = True

    def __init__(self, connect: Callable[[], Connection], backend: Backend, before_use: Callable[[Run], None]) -> None:
        self._connect = connect
        self._backend = backend
        self._before_use = before_use

    @property
    def connection(self) -> Connection:
        """The joined connection."""
        return self._connect()

    def open_transaction(self) -> object:
        """Return SQLAlchemy's object for it."""
        transaction = self._connect().get_transaction()
        return transaction if transaction is not None and transaction.is_active else None

    @contextmanager
    def statement(self) -> Iterator[Run]:
        """Run on the joined connection."""
        yield self._run(self._connect())

    @contextmanager
    def global_reading(self) -> Iterator[Run]:
        """Run on the joined connection, if it is suitable."""
        connection = self._connect()
        self._backend.check_reader(connection)
        yield self._run(connection)

    @contextmanager
    def transaction(self) -> Iterator[Run]:
        """Run in a savepoint, so that an error undoes all of it and leaves the caller's transaction as it was."""
        connection = self._connect()
        run = self._run(connection)
        self._backend.prepare_savepoint(run, connection)

        def execute(sql: str) -> None:
            connection.exec_driver_sql(sql, None, PLAIN_EXECUTION)

        execute("SAVEPOINT eventstore")
        try:
            yield run
        except BaseException:
            with suppress(SQLAlchemyError):  # on a lost connection, or after Ctrl-C, the first error tells more
                execute("ROLLBACK TO SAVEPOINT eventstore")
                execute("RELEASE SAVEPOINT eventstore")
            raise
        execute("RELEASE SAVEPOINT eventstore")

    @contextmanager
    def begin(self) -> Iterator[Execution]:
        """Open a savepoint."""
        with self.transaction():
            yield self

    def _run(self, connection: Connection) -> Run:
        refuse_other_schema(connection, self._backend.tables.metadata.schema)
        run = RunOn(connection, self._backend)
        self._before_use(run)
        return run


@contextmanager
def serialization_is_a_conflict(execution: Execution, backend: Backend, stream_ids: Sequence[str]) -> Iterator[None]:
    """Raise a conflict if PostgreSQL ends the joined transaction because another writer has come first (40001).

    On connections of the store's own there is no such error: see `postgresql_autocommit`.

    Raises:
        SerializationConflict: It does.
    """
    try:
        yield
    except Exception as error:
        if not execution.is_joined or not backend.is_serialization_failure(error):
            raise
        failure = error
    else:
        return
    raise SerializationConflict(stream_ids) from failure
