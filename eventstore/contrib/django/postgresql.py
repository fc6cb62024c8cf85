"""PostgreSQL in a Django project."""

from collections.abc import Sequence
from typing import Any

from eventstore.backends.postgresql import PostgreSQL
from eventstore.backends.postgresql_cursors import next_cursor
from eventstore.backends.protocol import Row, Run
from eventstore.contrib.django.backend import OnDjango


class DjangoPostgreSQL(OnDjango, PostgreSQL):
    """Statements with parameters of the server's, in binary, where Django's own cursors put them into the text."""

    def __init__(self, using: str, *, notify: bool = False) -> None:
        super().__init__(notify=notify)
        self.using = using

    def execute(self, connection: Any, sql: str, parameters: Any) -> Sequence[Row]:
        """Execute through Django's cursor, inside of which is one of ours."""
        connection.close_if_health_check_failed()
        connection.ensure_connection()
        with next_cursor(connection.connection, sql):
            cursor = connection.cursor()
        with cursor:
            cursor.execute(sql, parameters)
            rows: Sequence[Row] = getattr(cursor, "rows", ())
            return rows

    def defer_foreign_keys(self, connection: Any) -> None:
        """Do nothing: TRUNCATE names all tables at once."""

    def become_writer(self, run: Run) -> None:
        """Do nothing: rows are locked one by one."""
