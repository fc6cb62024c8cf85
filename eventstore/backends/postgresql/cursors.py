"""Cursors of psycopg that the store has SQLAlchemy use for its own statements: results in binary, and COPY.

A statement is executed by SQLAlchemy, so that its hooks, its log and instrumentation see it. But SQLAlchemy makes the
cursor, and has no option for its kind. So the connection is told to make one of these, once: the next cursor is ours,
and all others, those of hooks that this same statement sets off among them, are what they were.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache, partial
from typing import Any, Final, Self

import psycopg
from psycopg.adapt import AdaptersMap
from psycopg.pq import Format
from psycopg.rows import tuple_row
from psycopg.types.datetime import TimestamptzBinaryLoader
from sqlalchemy import Connection
from sqlalchemy.pool import PoolProxiedConnection

from eventstore.backends.postgresql.settings import check_connection, check_their_cursors, is_our_choice
from eventstore.backends.protocol import PLAIN_EXECUTION, Row, fetch

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
    """Takes results in binary, 1.4 times as quick as text, as tuples, and points in time in UTC.

    The driver would make each of them a datetime in the session's zone, and we another one, in Python: that took almost
    half of the time that it takes to make an event.

    Attributes:
        rows: What the last statement has returned. There is none before the first: nobody is to take that for no rows.
    """

    rows: Sequence[Row]

    def __init__(self, connection: psycopg.Connection[Any], **_: Any) -> None:
        super().__init__(connection, row_factory=tuple_row)
        self.adapters.register_loader(_TIMESTAMPTZ, _UTCLoader)  # type: ignore[arg-type]  # it makes one
        self.format = Format.BINARY

    def execute(self, query: Any, params: Any = None, **options: Any) -> Self:
        """Execute, and keep the rows."""
        super().execute(query, params, **options)
        self.rows = self.fetchall() if self.pgresult is not None and self.pgresult.nfields else ()
        self._query = None  # holds the parameters, and a cursor may be kept
        return self

    def executemany(self, query: Any, params_seq: Any, **options: Any) -> None:
        """Execute what returns no rows, once for each of the sets of parameters."""
        super().executemany(query, params_seq, **options)
        self.rows = ()
        self._query = None

    @property
    def description(self) -> None:
        """Nothing: SQLAlchemy would make objects of it with which nobody reads these rows, for each statement anew."""
        return


class CopyingCursor(psycopg.Cursor[Any]):
    """Executes COPY … FROM STDIN, with the rows as a parameter, which the driver has a method of its own for.

    Attributes:
        rows: It returns none.
    """

    rows: Sequence[Row] = ()

    def execute(self, query: Any, params: Any = None, **_: Any) -> Any:
        """Send the rows, each with its values in the order of the columns."""
        with self.copy(query) as stream:
            stream.set_types(params["types"])
            for row in params["rows"]:
                stream.write_row(row)
        return self


_KEPT: Final = "eventstore: cursor"
"""Its place in what the pool lets one note of a connection, for as long as that lives."""


def own_cursor(pooled: PoolProxiedConnection, sql: str) -> BinaryCursor:
    """Return a cursor that suits a statement, of a connection whose cursors are our choice.

    The one for writes stays with the connection: it costs half as much to make as to use. One that reads would keep its
    last page in memory.
    """
    connection: Any = pooled.dbapi_connection
    if not _writes(sql):
        return BinaryCursor(connection)
    kept: BinaryCursor | None = pooled.info.get(_KEPT)
    if kept is None:
        kept = pooled.info[_KEPT] = BinaryCursor(connection)
    return kept


@cache
def _writes(sql: str) -> bool:
    return re.match(r"(WITH \w+ AS \s*\()?(INSERT|UPDATE|DELETE)", sql) is not None


def execute(connection: Connection, sql: str, parameters: Any) -> Sequence[Row]:
    """Execute a statement with a cursor that suits it, and return its rows.

    If the application has made a kind of cursor for its connections, that one is used, and results are text. So they
    are on connections that are psycopg's for asyncio underneath.

    Raises:
        UnsuitableSetting: Results would be wrong.
    """
    raw: Any = connection.connection.dbapi_connection
    check_connection(connection.connection.driver_connection)
    if sql.startswith("COPY"):
        kind: type[CopyingCursor | BinaryCursor] = CopyingCursor
    elif is_our_choice(raw):
        kind = BinaryCursor
    else:
        return _execute_by_theirs(connection, raw, sql, parameters)
    with next_cursor(raw, kind):
        result = connection.exec_driver_sql(sql, parameters, PLAIN_EXECUTION)
    rows: Sequence[Row] = result.context.cursor.rows
    return rows


def _execute_by_theirs(connection: Connection, raw: Any, sql: str, parameters: Any) -> Sequence[Row]:
    check_their_cursors(raw, parameters)
    if type(raw) is not psycopg.Connection:
        return fetch(connection.exec_driver_sql(sql, parameters, PLAIN_EXECUTION), sql)
    with next_cursor(raw, partial(_of_tuples, raw.cursor_factory)):
        return fetch(connection.exec_driver_sql(sql, parameters, PLAIN_EXECUTION), sql)


def _of_tuples(factory: Callable[..., Any], connection: psycopg.Connection[Any], **options: Any) -> Any:
    return factory(connection, **{**options, "row_factory": tuple_row})


@contextmanager
def next_cursor(raw: Any, make: Callable[..., Any]) -> Iterator[None]:
    """Have the driver's connection make its next cursor by a function of its own, once."""
    factory = getattr(raw, "cursor_factory", None)

    def make_once(made_for: psycopg.Connection[Any], **options: Any) -> Any:
        raw.cursor_factory = factory
        return make(made_for, **options)

    raw.cursor_factory = make_once
    try:
        yield
    finally:
        raw.cursor_factory = factory


def to_time(value: datetime) -> datetime:
    """Return a time that one of these cursors has returned, or another one, in UTC."""
    return value if value.tzinfo is UTC else value.astimezone(UTC)
