"""PostgreSQL in a Django project."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import psycopg
from django.db import Error

from eventstore.backends.postgresql.autocommit import at_read_committed
from eventstore.backends.postgresql.backend import PostgreSQL
from eventstore.backends.postgresql.cursors import BinaryCursor, CopyingCursor, next_cursor
from eventstore.backends.postgresql.settings import check_connection
from eventstore.backends.protocol import Row, Run
from eventstore.contrib.django.backend import OnDjango, place_of
from eventstore.rows.mapper import PendingAppend


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


class DjangoPostgreSQL(OnDjango, PostgreSQL):
    """Statements with parameters of the server's, in binary, where Django's own cursors put them into the text."""

    def __init__(self, using: str, *, notify: bool = False) -> None:
        super().__init__(notify=notify, place=place_of(using))
        self.using = using

    def execute(self, connection: Any, sql: str, parameters: Any) -> Sequence[Row]:
        """Execute through Django's cursor, inside of which is one of ours."""
        execute = partial(self._execute, connection)
        try:
            return execute(sql, parameters)
        except Error as error:
            if connection.in_atomic_block or not self.is_serialization_failure(error):
                raise
        return at_read_committed(execute, sql, parameters)

    def _execute(self, connection: Any, sql: str, parameters: Any) -> Sequence[Row]:
        connection.close_if_health_check_failed()
        connection.ensure_connection()
        check_connection(connection.connection)
        with next_cursor(connection.connection, CopyingCursor if sql.startswith("COPY") else ShownCursor):
            cursor = connection.cursor()
        with cursor:
            cursor.execute(sql, parameters)
            rows: Sequence[Row] = cursor.rows
            return rows

    def sqlstate_of(self, error: BaseException) -> str | None:
        """Return the code of the driver's error, which Django has wrapped."""
        return getattr(error.__cause__ if isinstance(error, Error) else error, "sqlstate", None)

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

    def defer_foreign_keys(self, connection: Any) -> None:
        """Do nothing: TRUNCATE names all tables at once."""

    def append_to_all(self, run: Run, appends: Sequence[PendingAppend]) -> list[tuple[int, int]] | None:
        """Store several appends in one statement, and tell of them when that is committed."""
        stored = super().append_to_all(run, appends)
        for pending, end in zip(appends, stored or (), strict=False):  # there is nothing, or one for each
            self.announce(pending.stream_id, *end)
        return stored

    def become_writer(self, run: Run) -> None:
        """Do nothing: rows are locked one by one."""
