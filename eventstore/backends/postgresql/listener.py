"""Connections on which PostgreSQL notifies of appends, by LISTEN, and that send notifications, by NOTIFY."""

from typing import Any, cast

from psycopg import Connection, sql
from sqlalchemy import Engine

from eventstore.backends.postgresql.cursors import BinaryCursor, refuse_open_transaction
from eventstore.backends.protocol import Row

_Query = tuple[str, dict[str, Any]]


class _OwnConnection:
    """A connection for notifications only.

    It is made by the engine's pool, with all settings of the application, and then detached from it.
    """

    def __init__(self, engine: Engine) -> None:
        self._owner = engine.raw_connection()
        self._owner.detach()
        self._connection = cast("Connection[Any]", self._owner.dbapi_connection)
        try:
            refuse_open_transaction(self._connection)
            self._connection.autocommit = True
        except BaseException:
            self.close()
            raise

    def _execute(self, query: _Query) -> list[Row]:
        return list(BinaryCursor(self._connection).execute(*query).rows)

    def close(self) -> None:
        """Close the connection."""
        if self._connection.closed:
            self._owner.invalidate()  # or the pool would try a rollback, and log that it failed
        else:
            self._owner.close()


class PostgreSQLListener(_OwnConnection):
    """Listens to a channel. It has to be a direct connection, because a pooler in transaction mode forgets LISTEN.

    Args:
        engine: Makes the connection.
        channel_query: Finds the channel.
    """

    def __init__(self, engine: Engine, channel_query: _Query) -> None:
        super().__init__(engine)
        try:
            ((channel,),) = self._execute(channel_query)
            BinaryCursor(self._connection).execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
        except BaseException:
            self.close()
            raise

    def fileno(self) -> int:
        """Return the socket's file descriptor."""
        return self._connection.fileno()

    def drain(self) -> bool:
        """Receive and drop the notifications that have arrived; return whether there were any."""
        return bool(list(self._connection.notifies(timeout=0)))


class PostgreSQLSender(_OwnConnection):
    """Sends notifications.

    Args:
        engine: Makes the connection.
        notify_query: Sends one.
    """

    def __init__(self, engine: Engine, notify_query: _Query) -> None:
        super().__init__(engine)
        self._cursor = BinaryCursor(self._connection)
        self._notify_query = notify_query

    def send(self) -> None:
        """Notify those who listen, at once, because nothing else is in the transaction."""
        self._cursor.execute(*self._notify_query)
