"""psycopg's connections for asyncio, in synchronous code that a task awaits: binary results, and notifications."""

from collections.abc import Sequence
from typing import Any, Final, Self

import psycopg
from psycopg.rows import tuple_row
from sqlalchemy import Connection

from eventstore.backends.postgresql.cursors import next_cursor, receive_binary
from eventstore.backends.postgresql.listener import PostgreSQLListener, Query
from eventstore.backends.protocol import PLAIN_EXECUTION, Row
from eventstore.backends.tasks import await_

_DEFAULT_CURSORS: Final = (psycopg.AsyncCursor, psycopg.AsyncClientCursor, psycopg.AsyncRawCursor)


class AsyncBinaryCursor(psycopg.AsyncCursor[Any]):
    """Does what `BinaryCursor` does, on a connection for asyncio.

    Attributes:
        rows: The rows of the last statement.
    """

    rows: Sequence[Row]

    def __init__(self, connection: psycopg.AsyncConnection[Any], **_: Any) -> None:
        super().__init__(connection, row_factory=tuple_row)
        receive_binary(self)

    async def execute(self, query: Any, params: Any = None, **options: Any) -> Self:
        """Execute, and fetch the rows."""
        await super().execute(query, params, **options)
        self.rows = await self.fetchall() if self.pgresult is not None and self.pgresult.nfields else ()
        return self

    async def executemany(self, query: Any, params_seq: Any, **options: Any) -> None:
        """Execute a statement that returns no rows, once for each set of parameters."""
        await super().executemany(query, params_seq, **options)
        self.rows = ()

    @property
    def description(self) -> None:
        """None, as in `BinaryCursor`."""
        return


def has_default_cursors(driver: psycopg.AsyncConnection[Any]) -> bool:
    """Return whether the connection makes the driver's own cursors, which the store may replace."""
    return type(driver) is psycopg.AsyncConnection and driver.cursor_factory in _DEFAULT_CURSORS


def execute(connection: Connection, driver: psycopg.AsyncConnection[Any], sql: str, parameters: Any) -> Sequence[Row]:
    """Execute a statement, and return its rows, in binary.

    Args:
        connection: SQLAlchemy's connection.
        driver: The driver's connection, which `has_default_cursors`.
        sql: The statement.
        parameters: Its parameters; a list of such to execute it for each.
    """
    cursors: list[AsyncBinaryCursor] = []

    def make(connection: Any, **_: Any) -> AsyncBinaryCursor:
        cursors.append(AsyncBinaryCursor(connection))
        return cursors[0]

    with next_cursor(driver, make):
        connection.exec_driver_sql(sql, parameters, PLAIN_EXECUTION)
    return cursors[0].rows


class TaskListener(PostgreSQLListener):
    """Listens to a channel on a connection for asyncio."""

    def _execute(self, query: Query) -> Sequence[Row]:
        return await_(AsyncBinaryCursor(self.driver).execute(*query)).rows

    def drain(self) -> bool:
        """Receive and drop the notifications that have arrived; return whether there were any."""

        async def receive() -> bool:
            return bool([each async for each in self.driver.notifies(timeout=0)])

        return await_(receive())

    def close(self) -> None:
        """End the session, without waiting, because a subscription may be collected outside of its task."""
        self.driver.pgconn.finish()
        self.owner.invalidate()
