"""What the two backends of Django have in common, beside what they inherit from ours."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from django.db import DEFAULT_DB_ALIAS, Error, transaction
from sqlalchemy.exc import DBAPIError

from eventstore.backends.protocol import Backend, Place, Run, TransactionState
from eventstore.contrib.django.signals import events_appended
from eventstore.errors import TablesPlace
from eventstore.rows.mapper import PendingAppend


class DjangoBackend(Backend, Protocol):
    """A backend that works on Django's connections."""

    def become_writer(self, run: Run) -> None:
        """Do what must come first in an atomic block that will write."""
        ...

    def defer_foreign_keys(self, connection: Any) -> None:
        """Let the open transaction empty tables in any order."""
        ...

    def own_block(self, connection: Any) -> AbstractContextManager[None]:
        """Prepare Django's connection for an atomic block of the store's own."""
        ...


def place_of(using: str) -> TablesPlace:
    """Return where the tables of a Django project are, for errors."""
    option = "" if using == DEFAULT_DB_ALIAS else f" --database {using}"
    remedy = f"run `manage.py migrate{option}`, with 'eventstore.contrib.django' in INSTALLED_APPS"
    return TablesPlace(f"Django's database {using!r}", remedy=remedy)


class OnDjango:
    """Comes before a backend of ours in the bases of a class.

    Attributes:
        using: The alias of the database.
    """

    using: str

    def append(self, run: Run, pending: PendingAppend) -> tuple[int, int] | None:
        """Append, and tell of it when that is committed."""
        stored: tuple[int, int] | None = super().append(run, pending)  # type: ignore[misc]  # the backend's
        if stored is not None:
            self.announce(pending.stream_id, *stored)
        return stored

    def store(self, run: Run, appends: Sequence[tuple[PendingAppend, int]]) -> dict[Place, int]:
        """Store, and tell of it when that is committed."""
        positions: dict[Place, int] = super().store(run, appends)  # type: ignore[misc]  # the backend's
        for pending, version in appends:
            last = version + len(pending)
            self.announce(pending.stream_id, last, positions[pending.stream_id, last])
        return positions

    def announce(self, stream_id: str, version: int, position: int) -> None:
        """Tell those who listen, when it is committed."""
        if not events_appended.receivers:
            return
        told = {"using": self.using, "stream_id": stream_id, "version": version, "position": position}
        transaction.on_commit(lambda: events_appended.send_robust(sender=type(self), **told), using=self.using)

    def translate(self, error: Any) -> Exception | None:
        """Return the error to raise instead of Django's, None to let it pass."""
        cause = error.__cause__ if isinstance(error, Error) else error
        return None if cause is None else super().translate(DBAPIError(None, None, cause))  # type: ignore[misc]

    def without_payload(self, error: Any) -> Any:
        """Return the error, or one of Django's of the same class, without what the database quotes."""
        cause = error.__cause__
        if cause is None:
            return error
        safe_cause = super().without_payload(DBAPIError(None, None, cause)).orig  # type: ignore[misc]  # the backend's
        if safe_cause is cause:
            return error
        safe = type(error)(*safe_cause.args)
        safe.__cause__ = safe_cause
        return safe

    def is_passing(self, error: Exception) -> bool:
        """Return whether a reader may succeed later: looks at the driver's error that Django has wrapped."""
        cause = error.__cause__ if isinstance(error, Error) else error
        return isinstance(cause, Exception) and super().is_passing(cause)  # type: ignore[misc]  # the backend's

    def driver_connection(self, connection: Any) -> Any:
        """Return the driver's connection, None if Django has closed it."""
        return connection.connection

    def transaction_state(self, connection: Any) -> TransactionState:
        """Ask the driver, and Django: it knows of errors that the atomic block does not survive."""
        if connection.connection is None:
            return TransactionState.LOST
        state: TransactionState = super().state_of(connection.connection)  # type: ignore[misc]  # the backend's
        is_aborted = state is TransactionState.OPEN and connection.needs_rollback
        return TransactionState.ABORTED if is_aborted else state
