"""Statements that each commit by themselves, at whatever default isolation level of the server."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from sqlalchemy.exc import DBAPIError

from eventstore.backends.postgresql import cursors
from eventstore.backends.postgresql.cursors import refuse_to_write
from eventstore.backends.postgresql.errors import is_serialization_failure
from eventstore.backends.protocol import Row
from eventstore.backends.running import ConnectionRun

Result = TypeVar("Result")


class AutocommitRun(ConnectionRun):
    """Runs statements on SQLAlchemy's Connection in AUTOCOMMIT, where each commits by itself."""

    def _send(self, sql: str, parameters: Any) -> Sequence[Row]:
        refuse_to_write(self._connection.connection.driver_connection, sql)

        def execute(sql: str, parameters: Any) -> Sequence[Row]:
            return cursors.execute(self._connection, sql, parameters)

        try:
            return execute(sql, parameters)
        except DBAPIError as error:
            if not is_serialization_failure(error):
                raise
        return at_read_committed(execute, sql, parameters)


def at_read_committed(execute: Callable[[str, Any], Result], sql: str, parameters: Any) -> Result:
    """Retry a statement that has failed with a serialization failure, in a transaction at READ COMMITTED.

    A statement that commits by itself runs at the default isolation level of the server, the database or the role.
    Above READ COMMITTED it fails if a concurrent writer has committed first, instead of waiting and reading the row
    again; nothing of it is stored then. Reading the level beforehand would be a round trip for each statement, and the
    level may change. The retry costs three round trips, but only if two writers have collided.

    Args:
        execute: Executes a statement on a connection in autocommit.
        sql: The statement.
        parameters: Its parameters.
    """
    execute("BEGIN ISOLATION LEVEL READ COMMITTED", None)
    try:
        result = execute(sql, parameters)
        execute("COMMIT", None)
    except BaseException:
        with suppress(Exception):  # on a lost connection, or after Ctrl-C, the first error says more
            execute("ROLLBACK", None)
        raise
    return result
