"""Cursors of psycopg that the store has SQLAlchemy use for its own statements: results in binary, and COPY.

A statement is executed by SQLAlchemy, so that its hooks, its log and instrumentation see it. But SQLAlchemy makes the
cursor, and has no option for its kind. So the connection is told to make one of these, once: the next cursor is ours,
and all others, those of hooks that this same statement sets off among them, are what they were.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, Self

import psycopg
from psycopg.adapt import AdaptersMap
from psycopg.pq import Format
from psycopg.types.datetime import TimestamptzBinaryLoader
from sqlalchemy import Connection

from eventstore.backends.protocol import Row, fetch

_TIMESTAMPTZ: Final = psycopg.adapters.types["timestamptz"].oid
_adapters = AdaptersMap(types=psycopg.adapters.types)
_adapters.register_loader(_TIMESTAMPTZ, TimestamptzBinaryLoader)
_TIME_LOADER: Final[Any] = _adapters.get_loader(_TIMESTAMPTZ, Format.BINARY)
"""The driver's own, in C where it has one, whatever the application has registered."""


class _UTCLoader:
    """Makes the driver's loader of times without a session: then it is in UTC."""

    format = Format.BINARY

    def __new__(cls, oid: int, context: object = None) -> Any:  # noqa: ARG004  # the session
        return _TIME_LOADER(oid)


class BinaryCursor(psycopg.Cursor[Any]):
    """Takes results in binary, 1.4 times as quick as text."""

    def __init__(self, connection: psycopg.Connection[Any], **options: Any) -> None:
        super().__init__(connection, **options)
        self.format = Format.BINARY
        self.rows: Sequence[Row] = ()

    def execute(self, query: Any, params: Any = None, **options: Any) -> Self:
        """Execute, and keep the rows."""
        super().execute(query, params, **options)
        if self.pgresult is not None and self.pgresult.nfields:
            self.rows = self.fetchall()
        return self

    @property
    def description(self) -> None:
        """Nothing: SQLAlchemy would make objects of it with which nobody reads these rows, for each statement anew."""
        return


class ReadingCursor(BinaryCursor):
    """Takes points in time in UTC.

    The driver would make each of them a datetime in the session's zone, and we another one, in Python: that took almost
    half of the time that it takes to make an event.
    """

    def __init__(self, connection: psycopg.Connection[Any], **options: Any) -> None:
        super().__init__(connection, **options)
        self.adapters.register_loader(_TIMESTAMPTZ, _UTCLoader)  # type: ignore[arg-type]  # it makes one


class CopyingCursor(psycopg.Cursor[Any]):
    """Executes COPY … FROM STDIN, with the rows as a parameter, which the driver has a method of its own for."""

    def execute(self, query: Any, params: Any = None, **_: Any) -> Any:
        """Send the rows, each with its values in the order of the columns."""
        with self.copy(query) as stream:
            stream.set_types(params["types"])
            for row in params["rows"]:
                stream.write_row(row)
        return self


_KINDS: Final = {"COPY": CopyingCursor, "SELE": ReadingCursor}
"""By the first letters of a statement."""


def new_cursor(connection: psycopg.Connection[Any], sql: str) -> psycopg.Cursor[Any]:
    """Return a cursor that suits a statement, without SQLAlchemy.

    Where the connection is another class, or one that stands for it, somebody may watch the driver: then it makes the
    cursor itself.
    """
    if type(connection) is not psycopg.Connection or connection.cursor_factory is not psycopg.Cursor:
        return connection.cursor()
    kind = _KINDS.get(sql[:4], BinaryCursor)
    cursor: psycopg.Cursor[Any] = kind(connection, row_factory=connection.row_factory)
    return cursor


def execute(connection: Connection, sql: str, parameters: Any) -> Sequence[Row]:
    """Execute a statement with a cursor that suits it, and return its rows.

    Where the application has chosen a kind of cursor for its connections, that one is used, and results are text. So
    they are on connections that are psycopg's for asyncio underneath.
    """
    raw: Any = connection.connection.dbapi_connection
    factory = getattr(raw, "cursor_factory", None)
    kind = _KINDS.get(sql[:4], BinaryCursor)
    if factory is not psycopg.Cursor and kind is not CopyingCursor:
        return fetch(connection.exec_driver_sql(sql, parameters))

    def make_once(made_for: psycopg.Connection[Any], **options: Any) -> psycopg.Cursor[Any]:
        raw.cursor_factory = factory
        cursor: psycopg.Cursor[Any] = kind(made_for, **options)
        return cursor

    raw.cursor_factory = make_once
    try:
        result = connection.exec_driver_sql(sql, parameters)
    finally:
        raw.cursor_factory = factory
    return getattr(result.context.cursor, "rows", ())


def to_time(value: datetime) -> datetime:
    """Return a time that one of these cursors has returned, or another one, in UTC."""
    return value if value.tzinfo is UTC else value.astimezone(UTC)
