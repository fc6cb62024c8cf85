"""SQLite in a Django project."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

from eventstore.backends.protocol import Row, Run, TransactionState, returns_rows
from eventstore.backends.sqlite.connections import (
    SQLiteConnections,
    is_same_transaction,
    mark_transaction,
    state_of,
)
from eventstore.backends.sqlite.dialect import SQLiteDialect
from eventstore.backends.sqlite.settings import check_connection
from eventstore.contrib.django.connections import WrappedErrors, place_of, transaction_state
from eventstore.contrib.django.execution import DjangoRun
from eventstore.errors import UnsuitableTransaction
from eventstore.statements.sqlite.append import take_write_lock

_INFO: Final = "_eventstore_settings"
"""The attribute of Django's connection object that keeps its settings when it reconnects."""


class DjangoSQLite(WrappedErrors):
    """SQLite on Django's connections.

    Args:
        using: The alias of the database.
    """

    def __init__(self, using: str) -> None:
        self.dialect = SQLiteDialect(place=place_of(using), paramstyle="pyformat")
        super().__init__(SQLiteConnections(self.dialect))

    def run_on(self, connection: Any) -> Run:
        """Return a run on Django's connection."""
        return _SQLiteRun(self, self.dialect, connection)

    def gate(self, gate: Callable[[Run], None]) -> Callable[[Run], None]:
        """Return the given one, because a file has one set of tables."""
        return gate

    def transaction_state(self, connection: Any) -> TransactionState:
        """Ask the driver and Django."""
        return transaction_state(connection, state_of)

    def open_probe(self, connection: Any) -> Callable[[], bool]:
        """Return a function that also sees errors that Django remembers."""
        return lambda: self.transaction_state(connection) is TransactionState.OPEN

    def mark_transaction(self, run: Run, connection: Any) -> object:  # noqa: ARG002  # transactions have no ids
        """Open a savepoint, which ends with the transaction."""
        mark_transaction(connection.connection)
        return None

    def is_same_transaction(self, run: Run, connection: Any, mark: object) -> bool:  # noqa: ARG002  # likewise
        """Release the savepoint, if there is one."""
        return is_same_transaction(connection.connection)

    def own_block(self, connection: Any) -> AbstractContextManager[None]:  # noqa: ARG002  # there is one level
        """Do nothing."""
        return nullcontext()

    def become_writer(self, run: Run) -> None:
        """Take the write lock, as BEGIN IMMEDIATE does; waiting for it is safe before anything was read."""
        run(take_write_lock)

    def defer_foreign_keys(self, connection: Any) -> None:
        """Check foreign keys only at the commit, because Django empties one table after the other."""
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA defer_foreign_keys = ON")

    def check_reader(self, connection: Any) -> None:
        """Refuse an atomic block, because it may have appended events, which can't be found out."""
        if connection.connection is not None and connection.connection.in_transaction:
            raise UnsuitableTransaction("may have appended events, which may still be rolled back")


class _SQLiteRun(DjangoRun):
    def _send(self, sql: str, parameters: Any) -> Sequence[Row]:
        connection = self._connection
        connection.ensure_connection()
        check_connection(connection.connection, vars(connection).setdefault(_INFO, {}))
        with connection.cursor() as cursor:
            cursor.cursor.row_factory = None  # the driver's cursor, which Django's cursor wraps
            if isinstance(parameters, list):
                cursor.executemany(sql, parameters)
            else:
                cursor.execute(sql, parameters)
            rows: Sequence[Row] = cursor.fetchall() if returns_rows(sql) else ()
            return rows
