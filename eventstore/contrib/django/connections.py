"""What errors and connections of Django's say: what the two databases have in common."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, NoReturn, Protocol

from django.db import DEFAULT_DB_ALIAS, Error, transaction
from sqlalchemy.exc import DBAPIError

from eventstore.backends.protocol import Dialect, Driver, Run, TransactionState
from eventstore.contrib.django.signals import events_appended
from eventstore.core.core import Appended, AppendHook, Core
from eventstore.errors import InvalidInput, TablesPlace


class DjangoDriver(Driver, Protocol):
    """What the store does on Django's connections to one kind of database."""

    @property
    def dialect(self) -> Dialect:
        """What is spoken on them."""
        ...

    def run_on(self, connection: Any) -> Run:
        """Return a run on Django's connection."""
        ...

    def check_reader(self, connection: Any) -> None:
        """Check, as far as it can be known without a query, that an open atomic block can read the global order.

        Raises:
            UnsuitableTransaction: It may have appended itself.
        """
        ...

    def become_writer(self, run: Run) -> None:
        """Do what must come first in an atomic block that will write."""
        ...

    def defer_foreign_keys(self, connection: Any) -> None:
        """Let the open transaction empty tables in any order."""
        ...

    def own_block(self, connection: Any) -> AbstractContextManager[None]:
        """Prepare Django's connection for an atomic block of the store's own."""
        ...


class WrappedErrors:
    """Judges what Django has wrapped as the driver's own errors are judged.

    Args:
        driver: Of the same database.
    """

    has_notifications = False

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    def translate(self, error: Any) -> Exception | None:
        """Return the error to raise instead of Django's, None to let it pass."""
        cause = error.__cause__ if isinstance(error, Error) else error
        return None if cause is None else self._driver.translate(DBAPIError(None, None, cause))

    def without_payload(self, error: Any) -> Any:
        """Return the error, or one of Django's of the same class, without what the database quotes."""
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
        """Return whether another transaction has come first."""
        return self._driver.is_serialization_failure(error)

    def is_transient(self, error: Exception) -> bool:
        """Return whether a reader may succeed later."""
        cause = error.__cause__ if isinstance(error, Error) else error
        return isinstance(cause, Exception) and self._driver.is_transient(cause)

    def is_contention(self, error: BaseException) -> bool:
        """Return whether other transactions were in the way."""
        return self._driver.is_contention(error)

    def listen(self, engine: object) -> NoReturn:  # noqa: ARG002  # there is none
        """Refuse: to listen takes a connection of its own."""
        raise InvalidInput("a store on Django's connection can't listen for notifications")


def transaction_state(connection: Any, state_of: Callable[[Any], TransactionState]) -> TransactionState:
    """Return the state of the transaction on Django's connection.

    Args:
        connection: Django's.
        state_of: Asks the driver's connection. Django knows, too, of errors that the atomic block does not survive.
    """
    if connection.connection is None:
        return TransactionState.LOST
    state = state_of(connection.connection)
    is_aborted = state is TransactionState.OPEN and connection.needs_rollback
    return TransactionState.ABORTED if is_aborted else state


def place_of(using: str) -> TablesPlace:
    """Return where the tables of a Django project are, for errors."""
    option = "" if using == DEFAULT_DB_ALIAS else f" --database {using}"
    remedy = f"run `manage.py migrate{option}`, with 'eventstore.contrib.django' in INSTALLED_APPS"
    return TablesPlace(f"Django's database {using!r}", remedy=remedy)


def announcing(using: str) -> AppendHook:
    """Return the hook that sends the signal `events_appended` for each append, once that is committed."""

    def announce(_core: Core, appended: Sequence[Appended]) -> None:
        if not events_appended.receivers:
            return
        for each in appended:
            if each.position is not None:  # of an import it is not known
                values = {
                    "using": using, "stream_id": each.stream_id, "version": each.version, "position": each.position,
                }  # fmt: skip
                transaction.on_commit(partial(events_appended.send_robust, sender=DjangoDriver, **values), using=using)

    return AppendHook(announce, in_transaction=False)
