"""Where the statements of a store run in a Django project: on the connection that Django has for this thread."""

from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

from django.db import Error, connections, transaction

from eventstore.backends.protocol import Dialect, Driver, Row, Run
from eventstore.backends.running import StatementRun
from eventstore.contrib.django.connections import DjangoDriver
from eventstore.core.execution import Execution
from eventstore.errors import InvalidInput, NotInTransaction, UnsuitableSetting


class DjangoRun(StatementRun):
    """Runs statements through Django's cursors, so that `execute_wrappers`, query logs and toolbars see them.

    Args:
        driver: Translates errors.
        dialect: Compiles statements.
        connection: Django's.
    """

    def __init__(self, driver: Driver, dialect: Dialect, connection: Any) -> None:
        self._driver = driver
        self._dialect = dialect
        self._connection = connection

    @property
    def notes(self) -> MutableMapping[Any, Any]:
        """What was noted of the driver's connection: on itself, since Django has no place that is gone with it."""
        self._connection.ensure_connection()
        notes: MutableMapping[Any, Any] = getattr(self._connection.connection, "__dict__", {})  # sqlite3's has none
        return notes

    def _execute(self, sql: str, parameters: Any) -> Sequence[Row]:
        try:
            # After an error in the database nobody may go on in the same atomic block, as after one of the ORM's.
            with transaction.mark_for_rollback_on_error(using=self._connection.alias):
                return self._send(sql, parameters)
        except Error as error:
            self._close_if_lost()
            translated, safe = self._driver.translate(error), self._driver.without_payload(error)
        # not in the `except` block: the driver's own error would stay attached, and be shown
        if translated is None:
            raise safe
        raise translated from safe

    def _close_if_lost(self) -> None:
        """Let the next statement find a new connection; in an atomic block Django does that when the block ends."""
        connection = self._connection
        if not connection.in_atomic_block and connection.connection is not None and not connection.is_usable():
            connection.close()


class DjangoExecution:
    """Statements on Django's connection of the calling thread, in the transaction that is open on it, if any.

    Args:
        using: The alias of the database.
        driver: Of its kind.
        before_use: Called with the first statement's `Run` of every use; raises where the store must not be used.
    """

    def __init__(self, using: str, driver: DjangoDriver, before_use: Callable[[Run], None]) -> None:
        self._using = using
        self._driver = driver
        self._before_use = before_use

    @property
    def is_joined(self) -> bool:
        """Whether an atomic block is open in this thread, or autocommit was turned off."""
        connection = connections[self._using]
        autocommit = connection.settings_dict["AUTOCOMMIT"] if connection.connection is None else connection.autocommit
        return bool(connection.in_atomic_block or not autocommit)

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
        """Return the driver's connection: within an atomic block Django lets nobody commit, nor connect anew."""
        return connections[self._using].connection if self.is_joined else None

    def _refuse_manual_transactions(self) -> None:
        """Refuse a connection on which autocommit was turned off, by the setting or `transaction.set_autocommit`.

        There Django itself does without what `atomic` promises: a savepoint of SQLite's is then a transaction that
        commits at its end, and `on_commit` is refused.
        """
        connection = connections[self._using]
        if connection.connection is None:
            is_manual = not connection.settings_dict["AUTOCOMMIT"]
        else:  # an atomic block turns autocommit off, too; one begun with autocommit off does not commit at its end
            is_manual = not connection.autocommit and not (connection.in_atomic_block and connection.commit_on_exit)
        if is_manual:
            raise UnsuitableSetting(
                "AUTOCOMMIT",
                f"is off for database {self._using!r}, where Django's atomic blocks promise nothing",
                "leave it on, and use transaction.atomic()",
            )

    @contextmanager
    def statement(self) -> Iterator[Run]:
        """Run in the open atomic block, or each statement in a transaction of its own."""
        yield self._run()

    @contextmanager
    def global_reading(self) -> Iterator[Run]:
        """Run where each statement sees what is committed by then; in an atomic block, if that is suitable."""
        self._refuse_manual_transactions()
        if self.is_joined:
            self._driver.check_reader(connections[self._using])
        yield self._run()

    @contextmanager
    def transaction(self) -> Iterator[Run]:
        """Run in an atomic block: a savepoint where one is open already."""
        self._refuse_manual_transactions()
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
            failure = self._driver.without_payload(error)  # what is checked only at the commit may quote rows
        else:
            return
        raise failure

    @contextmanager
    def begin(self) -> Iterator[Execution]:
        """Open an atomic block."""
        with self.transaction():
            yield self

    def joined(self, connect: object) -> NoReturn:  # noqa: ARG002  # whatever it is
        """Refuse: it is in Django's transaction already."""
        raise InvalidInput("a store on Django's connection joins no other transaction")

    def _run(self) -> Run:
        self._refuse_manual_transactions()
        run = self._driver.run_on(connections[self._using])
        self._before_use(run)
        return run
