"""Statements that each commit by themselves, whatever the server takes for a default."""

import re
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from contextlib import suppress
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from eventstore.backends.postgresql import cursors as postgresql_cursors
from eventstore.backends.postgresql.errors import is_serialization_failure
from eventstore.backends.protocol import Row
from eventstore.errors import UnsuitableSetting

Result = TypeVar("Result")


class WatchedConnection:
    """A connection of SQLAlchemy's in AUTOCOMMIT, on which every statement commits by itself."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get_execution_options(self) -> Mapping[str, Any]:
        """Return SQLAlchemy's options of the connection."""
        return self._connection.get_execution_options()

    @property
    def info(self) -> MutableMapping[Any, Any]:
        """What one may note of the driver's connection, as SQLAlchemy's `Connection.info`."""
        return self._connection.info

    def execute(self, sql: str, parameters: Any) -> Sequence[Row]:
        """Execute one statement, and return its rows.

        Raises:
            DBAPIError: As SQLAlchemy raises it.
            UnsuitableSetting: It would write, and the connection is for reading.
        """
        refuse_to_write(self._connection.connection.driver_connection, sql)

        def execute(sql: str, parameters: Any) -> Sequence[Row]:
            return postgresql_cursors.execute(self._connection, sql, parameters)

        try:
            return execute(sql, parameters)
        except DBAPIError as error:
            if not is_serialization_failure(error.orig):
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


def refuse_to_write(connection: Any, sql: str) -> None:
    """Refuse a statement that writes on a connection that is for reading: in autocommit the driver does not tell so.

    Raises:
        UnsuitableSetting: It writes, and the driver's connection is read-only.
    """
    if connection.read_only and _writes(sql):
        raise UnsuitableSetting(
            "postgresql_readonly",
            "is set on the engine or its connections, and this call writes",
            "write by an engine without it",
        )


@cache
def _writes(sql: str) -> bool:
    return re.search(r"\b(INSERT|UPDATE|DELETE|COPY|LOCK)\b", re.sub(r'"[^"]*"', "", sql)) is not None
