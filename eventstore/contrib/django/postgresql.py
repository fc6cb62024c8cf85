"""PostgreSQL in a Django project."""

from collections.abc import Callable, Iterator, Sequence
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
from eventstore.backends.running import reported_search_path
from eventstore.contrib.django.connections import WrappedErrors, place_of, transaction_state
from eventstore.contrib.django.execution import DjangoRun


@dataclass(frozen=True, slots=True)
class _ExecutedQuery:
    query: bytes


class LoggableCursor(BinaryCursor):
    """Keeps the SQL that it executes, without parameters, for Django's query log and toolbars."""

    def execute(self, query: Any, params: Any = None, **options: Any) -> Self:
        """Execute the query, and keep its SQL."""
        super().execute(query, params, **options)
        executed: Any = _ExecutedQuery(query.encode())
        self._query = executed
        return self


class DjangoPostgreSQL(WrappedErrors):
    """PostgreSQL on Django's connections.

    Args:
        using: The alias of the database.
    """

    def __init__(self, using: str) -> None:
        self.dialect = PostgreSQLDialect(place=place_of(using))
        super().__init__(PostgreSQLConnections(self.dialect))

    def run_on(self, connection: Any) -> Run:
        """Return a run on Django's connection."""
        return _PostgreSQLRun(self, self.dialect, connection)

    def transaction_state(self, connection: Any) -> TransactionState:
        """Ask the driver and Django."""
        return transaction_state(connection, state_of)

    def open_probe(self, connection: Any) -> Callable[[], bool]:
        """Return a function that also sees errors that Django remembers."""
        return lambda: self.transaction_state(connection) is TransactionState.OPEN

    def mark_transaction(self, run: Run, connection: Any) -> object:
        """Return the transaction id, which exists because the checkpoint is locked."""
        return self._driver.mark_transaction(run, connection)

    def is_same_transaction(self, run: Run, connection: Any, mark: object) -> bool:
        """Compare ids."""
        return self._driver.is_same_transaction(run, connection, mark)

    @contextmanager
    def own_block(self, connection: Any) -> Iterator[None]:
        """Begin a block of the store's at READ COMMITTED, without a round trip; a nested block keeps its level."""
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
            with suppress(psycopg.Error):  # the connection is lost, which Django notices
                driver.isolation_level = before

    def become_writer(self, run: Run) -> None:
        """Do nothing, because PostgreSQL locks rows."""

    def defer_foreign_keys(self, connection: Any) -> None:
        """Do nothing, because TRUNCATE names all tables at once."""

    def check_reader(self, connection: Any) -> None:
        """Do nothing, because reading the open transactions shows it."""


class _PostgreSQLRun(DjangoRun):
    """Sends bind parameters in binary form, unlike Django's cursors, which put them into the text."""

    @property
    def search_path(self) -> bytes | None:
        """What the server has reported; see `Run`."""
        self._connection.ensure_connection()
        return reported_search_path(self._connection.connection)

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
        with next_cursor(connection.connection, CopyingCursor if sql.startswith("COPY") else LoggableCursor):
            cursor = connection.cursor()
        with cursor:
            cursor.execute(sql, parameters)
            rows: Sequence[Row] = cursor.rows
            return rows
