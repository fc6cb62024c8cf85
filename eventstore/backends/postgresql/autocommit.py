"""Statements that each commit by themselves, whatever the server takes for a default."""

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
    """Runs statements on a connection of SQLAlchemy's in AUTOCOMMIT, on which each commits by itself."""

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
    """Execute a statement again that has met a serialization failure, in a transaction at READ COMMITTED.

    A statement that commits by itself runs at the level that the server, the database or the role takes for its
    default. Above READ COMMITTED it fails if another writer has come first, instead of waiting and looking again; then
    nothing of it is stored. To know the level beforehand would be a round trip, and it may change; to learn it by that
    error costs three, but only if writers have met.

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
        with suppress(Exception):  # on a lost connection, or after Ctrl-C, the first error tells more
            execute("ROLLBACK", None)
        raise
    return result
