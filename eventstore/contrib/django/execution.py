"""How a store runs statements in a Django project: on Django's connection of the calling thread."""

from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, NoReturn

from django.db import Error, connections, transaction

from eventstore.backends.protocol import Dialect, Driver, Row, Run
from eventstore.backends.running import StatementRun
from eventstore.contrib.django.connections import DjangoDriver, refuse_manual_transactions
from eventstore.core.execution import Execution
from eventstore.errors import InvalidInput, NotInTransaction
from eventstore.rows.mapper import PendingAppend


class DjangoRun(StatementRun):
    """Runs statements through Django's cursors, so that `execute_wrappers`, query logs and toolbars see them.

    Args:
        driver: Translates errors.
        dialect: Compiles statements.
        connection: Django's connection.
    """

    def __init__(self, driver: Driver, dialect: Dialect, connection: Any) -> None:
        self._driver = driver
        self._dialect = dialect
        self._connection = connection

    @property
    def notes(self) -> MutableMapping[Any, Any]:
        """Notes about the driver's connection, kept on it: Django has no other place that ends with it."""
        self._connection.ensure_connection()
        notes: MutableMapping[Any, Any] = getattr(self._connection.connection, "__dict__", {})  # sqlite3's has none
        return notes

    def _execute(self, sql: str, parameters: Any) -> Sequence[Row]:
        try:
            # After a database error the atomic block can't continue, just as after an error of the ORM.
            with transaction.mark_for_rollback_on_error(using=self._connection.alias):
                return self._send(sql, parameters)
        except Error as error:
            self._close_if_lost()
            translated, safe = self._driver.translate(error), self._driver.without_payload(error)
        # outside of the `except` block, where the driver's error would stay attached and be shown
        if translated is None:
            raise safe
        raise translated from safe

    def _close_if_lost(self) -> None:
        """Close a lost connection, so that the next statement opens one; an atomic block does that when it ends."""
        connection = self._connection
        if not connection.in_atomic_block and connection.connection is not None and not connection.is_usable():
            connection.close()


class DjangoExecution:
    """Statements on Django's connection of the calling thread, in the transaction that is open on it, if any.

    Args:
        using: The alias of the database.
        driver: The driver of its database.
        before_use: Called with the `Run` of every use; raises an error if the store must not be used.
    """

    def __init__(self, using: str, driver: DjangoDriver, before_use: Callable[[Run], None]) -> None:
        self._using = using
        self._driver = driver
        self._before_use = driver.gate(before_use)

    @property
    def is_joined(self) -> bool:
        """Whether an atomic block is open in this thread, or autocommit was turned off."""
        connection = connections[self._using]
        autocommit = connection.settings_dict["AUTOCOMMIT"] if connection.connection is None else connection.autocommit
        return bool(connection.in_atomic_block or not autocommit)

    shares_reads: Final = False
    """Because each thread has a connection of its own, which Django closes with the request."""

    polls_together: Final = False
    """Likewise."""

    pipelines: Final = False
    """Because Django's cursors execute statements one by one."""

    @property
    def connection(self) -> Any:
        """Django's connection.

        Raises:
            NotInTransaction: No atomic block is open.
        """
        if not self.is_joined:
            msg = "no atomic block is open on this thread's connection; open one: with transaction.atomic(using=…)"
            raise NotInTransaction(msg)
        return connections[self._using]

    def open_transaction(self) -> object:
        """Return the driver's connection: within an atomic block, Django neither commits nor reconnects."""
        return connections[self._using].connection if self.is_joined else None

    @contextmanager
    def statement(self) -> Iterator[Run]:
        """Run in the open atomic block, or each statement in its own transaction."""
        yield self._run()

    def append_directly(self, pending: PendingAppend) -> None:  # for other executions
        """Return None: appends go through Django's cursors."""

    @contextmanager
    def global_reading(self) -> Iterator[Run]:
        """Run statements that each see what is committed by then; refuse an atomic block that can't."""
        refuse_manual_transactions(connections[self._using])
        if self.is_joined:
            self._driver.check_reader(connections[self._using])
        yield self._run()

    @contextmanager
    def transaction(self) -> Iterator[Run]:
        """Run in an atomic block, which is a savepoint if one is open already."""
        refuse_manual_transactions(connections[self._using])
        connection, is_done = connections[self._using], False
        try:
            with self._driver.own_block(connection), transaction.atomic(using=self._using):
                run = self._driver.run_on(connection)
                self._driver.become_writer(run)
                self._before_use(run)
                yield run
                is_done = True
        except Error as error:
            if not is_done:
                raise
            failure = self._driver.without_payload(error)  # errors of the commit may quote rows
        else:
            return
        raise failure

    @contextmanager
    def begin(self) -> Iterator[Execution]:
        """Open an atomic block."""
        with self.transaction():
            yield self

    def joined(self, connect: object) -> NoReturn:  # noqa: ARG002  # refused in any case
        """Refuse, because it is in Django's transaction already."""
        raise InvalidInput(
            "a store on Django's connection can't join another transaction; use an EventStore on an engine"
        )

    def _run(self) -> Run:
        refuse_manual_transactions(connections[self._using])
        run = self._driver.run_on(connections[self._using])
        self._before_use(run)
        return run
