"""Connections on which PostgreSQL notifies of appends, by LISTEN, and that send notifications, by NOTIFY."""

from collections.abc import Sequence
from typing import Any

from psycopg import sql
from sqlalchemy import Engine

from eventstore.backends.postgresql.cursors import BinaryCursor, refuse_open_transaction
from eventstore.backends.protocol import Row

Query = tuple[Any, Any]


class _OwnConnection:
    """A connection for notifications only.

    It is made by the engine's pool, with all settings of the application, and then detached from it.

    Attributes:
        owner: SQLAlchemy's object for it.
        driver: The driver's connection.
    """

    def __init__(self, engine: Engine) -> None:
        self.owner = engine.raw_connection()
        self.driver: Any = self.owner.driver_connection  # not known any more after this
        self.owner.detach()
        setting: Any = self.owner.dbapi_connection  # the same, or SQLAlchemy's wrapper of one for asyncio
        try:
            refuse_open_transaction(self.driver)
            setting.set_autocommit(True)
        except BaseException:
            self.close()
            raise

    def _execute(self, query: Query) -> Sequence[Row]:
        return BinaryCursor(self.driver).execute(*query).rows

    def close(self) -> None:
        """Close the connection."""
        if self.driver.closed:
            self.owner.invalidate()  # or the pool would try a rollback, and log that it failed
        else:
            self.owner.close()


class PostgreSQLListener(_OwnConnection):
    """Listens to a channel. It has to be a direct connection, because a pooler in transaction mode forgets LISTEN.

    Args:
        engine: Makes the connection.
        channel_query: Finds the channel.
    """

    def __init__(self, engine: Engine, channel_query: Query) -> None:
        super().__init__(engine)
        try:
            ((channel,),) = self._execute(channel_query)
            self._execute((sql.SQL("LISTEN {}").format(sql.Identifier(channel)), None))
        except BaseException:
            self.close()
            raise

    def fileno(self) -> int:
        """Return the socket's file descriptor."""
        descriptor: int = self.driver.fileno()
        return descriptor

    def drain(self) -> bool:
        """Receive and drop the notifications that have arrived; return whether there were any."""
        return bool(list(self.driver.notifies(timeout=0)))


class PostgreSQLSender(_OwnConnection):
    """Sends notifications.

    Args:
        engine: Makes the connection.
        notify_query: Sends one.
    """

    def __init__(self, engine: Engine, notify_query: Query) -> None:
        super().__init__(engine)
        self._cursor = BinaryCursor(self.driver)
        self._notify_query = notify_query

    def send(self) -> None:
        """Notify those who listen, at once, because nothing else is in the transaction."""
        self._cursor.execute(*self._notify_query)
