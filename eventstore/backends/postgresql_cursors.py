"""Cursors of psycopg that the store has SQLAlchemy use for its own statements: results in binary, and COPY.

A statement is executed by SQLAlchemy, so that its hooks, its log and instrumentation see it. But SQLAlchemy makes the
cursor, and has no option for its kind. So the connection is told to make one of these, once: the next cursor is ours,
and all others, those of hooks that this same statement sets off among them, are what they were.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Self

import psycopg
from psycopg.pq import Format
from psycopg.types.numeric import Int8BinaryLoader
from sqlalchemy import Connection

from eventstore.backends.protocol import Row, fetch

_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""From where PostgreSQL counts microseconds."""


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
    """Takes points in time as what they are in binary: integers.

    The driver would make each of them a datetime in the session's zone, and we another one in UTC. See `to_time`.
    """

    def __init__(self, connection: psycopg.Connection[Any], **options: Any) -> None:
        super().__init__(connection, **options)
        self.adapters.register_loader("timestamptz", Int8BinaryLoader)


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
    """Return a cursor that suits a statement, without SQLAlchemy."""
    if connection.cursor_factory is not psycopg.Cursor:
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
    is_copy = _KINDS.get(sql[:4]) is CopyingCursor
    if getattr(raw, "cursor_factory", None) is not psycopg.Cursor and not is_copy:
        return fetch(connection.exec_driver_sql(sql, parameters))
    with next_cursor(raw, sql):
        result = connection.exec_driver_sql(sql, parameters)
    return getattr(result.context.cursor, "rows", ())


@contextmanager
def next_cursor(raw: Any, sql: str) -> Iterator[None]:
    """Have the driver's connection make, once, a cursor that suits a statement."""
    factory = getattr(raw, "cursor_factory", None)
    kind = _KINDS.get(sql[:4], BinaryCursor)

    def make_once(made_for: psycopg.Connection[Any], **options: Any) -> psycopg.Cursor[Any]:
        raw.cursor_factory = factory
        cursor: psycopg.Cursor[Any] = kind(made_for, **options)
        return cursor

    raw.cursor_factory = make_once
    try:
        yield
    finally:
        raw.cursor_factory = factory


def to_time(value: int | datetime) -> datetime:
    """Return a time that one of these cursors has returned, or another one, in UTC."""
    if type(value) is int:
        return _EPOCH + timedelta(0, 0, value)
    assert isinstance(value, datetime)  # noqa: S101  # for the type checker
    return value.astimezone(UTC)
