"""PostgreSQL in a Django project."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Self

import psycopg
from django.db import Error

from eventstore.backends.postgresql.autocommit import at_read_committed
from eventstore.backends.postgresql.connections import PostgreSQLConnections, state_of
from eventstore.backends.postgresql.cursors import BinaryCursor, CopyingCursor, check_connection, next_cursor
from eventstore.backends.postgresql.dialect import PostgreSQLDialect
from eventstore.backends.postgresql.errors import is_serialization_failure
from eventstore.backends.protocol import Row, Run, TransactionState
from eventstore.contrib.django.connections import WrappedErrors, place_of, transaction_state
from eventstore.contrib.django.execution import DjangoRun
from eventstore.statements.postgresql.transactions import transaction_id


@dataclass(frozen=True, slots=True)
class _Shown:
    query: bytes


class ShownCursor(BinaryCursor):
    """Keeps the text of what it has executed, without parameters: Django's query log and toolbars ask for it."""

    def execute(self, query: Any, params: Any = None, **options: Any) -> Self:
        """Execute, and keep the text."""
        super().execute(query, params, **options)
        shown: Any = _Shown(query.encode())
        self._query = shown
        return self


class DjangoPostgreSQL(WrappedErrors):
    """PostgreSQL on Django's connections.

    Args:
        using: The alias of the database.
        notify: As for `EventStore`.
    """

    def __init__(self, using: str, *, notify: bool = False) -> None:
        self.dialect = PostgreSQLDialect(notify=notify, place=place_of(using))
        super().__init__(PostgreSQLConnections(self.dialect))

    def run_on(self, connection: Any) -> Run:
        """Return a run on Django's connection."""
        return _PostgreSQLRun(self, self.dialect, connection)

    def transaction_state(self, connection: Any) -> TransactionState:
        """Ask the driver and Django."""
        return transaction_state(connection, state_of)

    def mark_transaction(self, run: Run, connection: Any) -> object:  # noqa: ARG002  # it is asked by statements
        """Return its id: the lock of the checkpoint has given it one."""
        return run(transaction_id)

    def is_same_transaction(self, run: Run, connection: Any, mark: object) -> bool:  # noqa: ARG002  # likewise
        """Compare ids."""
        return run(transaction_id) == mark

    @contextmanager
    def own_block(self, connection: Any) -> Iterator[None]:
        """Let a block of the store's own begin at READ COMMITTED, without a round trip; one inside of another can't."""
        if connection.in_atomic_block:
            yield
            return
        connection.close_if_health_check_failed()
        connection.ensure_connection()
        driver = connection.connection
        before = driver.isolation_level
        driver.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        try:
            yield
        finally:
            with suppress(psycopg.Error):  # it is lost, and Django finds out
                driver.isolation_level = before

    def become_writer(self, run: Run) -> None:
        """Do nothing: rows are locked one by one."""

    def defer_foreign_keys(self, connection: Any) -> None:
        """Do nothing: TRUNCATE names all tables at once."""

    def check_reader(self, connection: Any) -> None:
        """Do nothing: a look tells."""


class _PostgreSQLRun(DjangoRun):
    """Sends parameters of the server's, in binary, where Django's own cursors put them into the text."""

    def _send(self, sql: str, parameters: Any) -> Sequence[Row]:
        try:
            return self._send_once(sql, parameters)
        except Error as error:
            if self._connection.in_atomic_block or not is_serialization_failure(error):
                raise
        return at_read_committed(self._send_once, sql, parameters)

    def _send_once(self, sql: str, parameters: Any) -> Sequence[Row]:
        connection = self._connection
        connection.close_if_health_check_failed()
        connection.ensure_connection()
        check_connection(connection.connection)
        with next_cursor(connection.connection, CopyingCursor if sql.startswith("COPY") else ShownCursor):
            cursor = connection.cursor()
        with cursor:
            cursor.execute(sql, parameters)
            rows: Sequence[Row] = cursor.rows
            return rows
