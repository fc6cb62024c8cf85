"""SQLite in a Django project."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

from eventstore.backends.protocol import Row, Run, returns_rows
from eventstore.backends.sqlite.backend import SQLite
from eventstore.backends.sqlite.settings import check_connection
from eventstore.contrib.django.backend import OnDjango, place_of
from eventstore.errors import UnsuitableTransaction
from eventstore.statements.sqlite.append import take_write_lock

_INFO: Final = "_eventstore_settings"
"""Its place in Django's object for a connection, which keeps its settings when it connects again."""


class DjangoSQLite(OnDjango, SQLite):
    """Statements with parameters as Django's cursors take them."""

    paramstyle = "pyformat"

    def __init__(self, using: str) -> None:
        super().__init__(place=place_of(using))
        self.using = using

    def execute(self, connection: Any, sql: str, parameters: Any) -> Sequence[Row]:
        """Execute through Django's cursor."""
        connection.ensure_connection()
        check_connection(connection.connection, vars(connection).setdefault(_INFO, {}))
        with connection.cursor() as cursor:
            cursor.cursor.row_factory = None  # of the driver's cursor, which Django's wraps
            if isinstance(parameters, list):
                cursor.executemany(sql, parameters)
            else:
                cursor.execute(sql, parameters)
            rows: Sequence[Row] = cursor.fetchall() if returns_rows(sql) else ()
            return rows

    def own_block(self, connection: Any) -> AbstractContextManager[None]:  # noqa: ARG002  # there is one level
        """Do nothing."""
        return nullcontext()

    def become_writer(self, run: Run) -> None:
        """Take the write lock, as BEGIN IMMEDIATE would have: waiting for it is safe before anything was read."""
        run(take_write_lock)

    def defer_foreign_keys(self, connection: Any) -> None:
        """Check them at its end: Django deletes from one table after the other, and defers its own keys."""
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA defer_foreign_keys = ON")

    def check_reader(self, connection: Any) -> None:
        """Refuse an atomic block: it may have appended, and can't be asked."""
        if connection.connection is not None and connection.connection.in_transaction:
            raise UnsuitableTransaction("may have appended, and what it has stored may still be rolled back")
