"""What Django's connections to both databases have in common: errors, transactions, the append hook."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, NoReturn, Protocol

from django.db import DEFAULT_DB_ALIAS, Error, transaction
from sqlalchemy.exc import DBAPIError

from eventstore.backends.protocol import Dialect, Driver, Run, TransactionState
from eventstore.backends.waiting import THREAD
from eventstore.contrib.django.signals import events_appended
from eventstore.core.core import Appended, AppendHook, Core
from eventstore.errors import InvalidInput, TablesPlace, UnsuitableSetting


class DjangoDriver(Driver, Protocol):
    """How the store works on Django's connections to one kind of database."""

    @property
    def dialect(self) -> Dialect:
        """The dialect of the database."""
        ...

    def run_on(self, connection: Any) -> Run:
        """Return a run on Django's connection."""
        ...

    def gate(self, gate: Callable[[Run], None]) -> Callable[[Run], None]:
        """Return a function that checks the tables before each use; `gate` does it once for all."""
        ...

    def check_reader(self, connection: Any) -> None:
        """Refuse an open atomic block that can't read the global order, as far as is known without a query.

        Raises:
            UnsuitableTransaction: It may have appended events itself.
        """
        ...

    def become_writer(self, run: Run) -> None:
        """Prepare an atomic block that will write, before it reads."""
        ...

    def defer_foreign_keys(self, connection: Any) -> None:
        """Allow the open transaction to empty the tables in any order."""
        ...

    def own_block(self, connection: Any) -> AbstractContextManager[None]:
        """Prepare Django's connection for an atomic block that the store opens."""
        ...


class WrappedErrors:
    """Translates and classifies Django's errors by the driver's errors in them.

    Args:
        driver: The driver of the same database.
    """

    has_notifications = False
    waiting = THREAD

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    def translate(self, error: Any) -> Exception | None:
        """Return the error to raise instead of Django's; None to raise Django's."""
        cause = error.__cause__ if isinstance(error, Error) else error
        return None if cause is None else self._driver.translate(DBAPIError(None, None, cause))

    def without_payload(self, error: Any) -> Any:
        """Return the error, or one of the same class without the values that the database quotes."""
        cause = error.__cause__
        if cause is None:
            return error
        safe_cause = self._driver.without_payload(DBAPIError(None, None, cause)).orig
        if safe_cause is cause:
            return error
        safe = type(error)(*safe_cause.args)
        safe.__cause__ = safe_cause
        return safe

    def is_serialization_failure(self, error: BaseException) -> bool:
        """Return whether a concurrent transaction caused it."""
        return self._driver.is_serialization_failure(error)

    def is_transient(self, error: Exception) -> bool:
        """Return whether a reader may succeed later."""
        cause = error.__cause__ if isinstance(error, Error) else error
        return isinstance(cause, Exception) and self._driver.is_transient(cause)

    def is_contention(self, error: BaseException) -> bool:
        """Return whether locks of other transactions caused it."""
        return self._driver.is_contention(error)

    def listen(self, engine: object) -> NoReturn:  # noqa: ARG002  # there is no engine
        """Refuse, because listening needs a dedicated connection."""
        raise InvalidInput(
            "a store on Django's connection can't listen for notifications; use EventStore(engine_of(…))"
        )

    sender = listen


def transaction_state(connection: Any, state_of: Callable[[Any], TransactionState]) -> TransactionState:
    """Return the state of the transaction on Django's connection.

    Args:
        connection: Django's connection.
        state_of: Returns the state of the driver's connection. Django adds errors that end the atomic block.
    """
    if connection.connection is None:
        return TransactionState.LOST
    state = state_of(connection.connection)
    is_aborted = state is TransactionState.OPEN and connection.needs_rollback
    return TransactionState.ABORTED if is_aborted else state


def refuse_manual_transactions(connection: Any) -> None:
    """Refuse a connection on which autocommit was turned off, by the setting or `transaction.set_autocommit`.

    In that mode `atomic` does not keep its promise: on SQLite, a savepoint is a transaction that commits at its end,
    and `on_commit` is refused.

    Raises:
        UnsuitableSetting: Autocommit is off.
    """
    if connection.connection is None:
        is_manual = not connection.settings_dict["AUTOCOMMIT"]
    else:  # an atomic block turns autocommit off, too; one begun with autocommit off does not commit at its end
        is_manual = not connection.autocommit and not (connection.in_atomic_block and connection.commit_on_exit)
    if is_manual:
        raise UnsuitableSetting(
            "AUTOCOMMIT",
            f"is off for database {connection.alias!r}, so Django's atomic blocks are not atomic",
            "leave it on, and use transaction.atomic()",
        )


def place_of(using: str) -> TablesPlace:
    """Return the place of the tables in a Django project, for error messages."""
    option = "" if using == DEFAULT_DB_ALIAS else f" --database {using}"
    remedy = f"run `manage.py migrate{option}`, with 'eventstore.contrib.django' in INSTALLED_APPS"
    return TablesPlace(f"Django's database {using!r}", remedy=remedy)


def announcing(using: str) -> AppendHook:
    """Return the hook that sends the signal `events_appended` for each append after its commit."""

    def announce(_core: Core, appended: Sequence[Appended]) -> None:
        if not events_appended.receivers:
            return
        for each in appended:
            if each.position is not None:  # an import has no positions to report
                values = {
                    "using": using, "stream_id": each.stream_id, "version": each.version, "position": each.position,
                }  # fmt: skip
                transaction.on_commit(partial(events_appended.send_robust, sender=DjangoDriver, **values), using=using)

    return AppendHook(announce, in_transaction=False)
