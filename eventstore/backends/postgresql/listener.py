"""A connection on which PostgreSQL notifies of appends: LISTEN."""

from typing import Any, cast

from psycopg import Connection, sql
from sqlalchemy import Engine

from eventstore.backends.postgresql.cursors import BinaryCursor, refuse_open_transaction


class PostgreSQLListener:
    """Listens to a channel on a separate connection.

    The connection is made by the engine's pool, with all settings of the application, and then detached from it. It has
    to be a direct connection, because a connection pooler in transaction mode forgets LISTEN.
    """

    def __init__(self, engine: Engine, channel_query: tuple[str, dict[str, Any]]) -> None:
        self._owner = engine.raw_connection()
        self._owner.detach()
        connection = cast("Connection[Any]", self._owner.dbapi_connection)
        self._connection = connection
        try:
            refuse_open_transaction(connection)
            connection.autocommit = True
            cursor = BinaryCursor(connection)
            ((channel,),) = cursor.execute(*channel_query).rows
            cursor.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
        except BaseException:
            self.close()
            raise

    def fileno(self) -> int:
        """Return the socket's file descriptor."""
        return self._connection.fileno()

    def drain(self) -> None:
        """Receive and drop the notifications that have arrived."""
        for _ in self._connection.notifies(timeout=0):
            pass

    def close(self) -> None:
        """Close the connection."""
        if self._connection.closed:
            self._owner.invalidate()  # or the pool would try a rollback, and log that it failed
        else:
            self._owner.close()
