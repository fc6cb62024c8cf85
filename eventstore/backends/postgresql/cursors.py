"""Cursors of psycopg for the store's own statements: results in binary, and COPY.

SQLAlchemy executes a statement, so that its hooks, its log and instrumentation see it. It also makes the cursor, and
has no option for the cursor's class. So the store replaces the connection's cursor factory for the next cursor only;
all others, including those of hooks that this same statement triggers, are made as before.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import Any, Final, Self

import psycopg
from psycopg.adapt import AdaptersMap
from psycopg.pq import Format, TransactionStatus
from psycopg.rows import namedtuple_row, tuple_row
from psycopg.types.datetime import TimestamptzBinaryLoader
from sqlalchemy import Connection
from sqlalchemy.pool import PoolProxiedConnection

from eventstore.backends.protocol import PLAIN_EXECUTION, Row, fetch
from eventstore.errors import UnsuitableSetting

_TIMESTAMPTZ: Final = psycopg.adapters.types["timestamptz"].oid
_adapters = AdaptersMap(types=psycopg.adapters.types)
_adapters.register_loader(_TIMESTAMPTZ, TimestamptzBinaryLoader)
_TIME_LOADER: Final[Any] = _adapters.get_loader(_TIMESTAMPTZ, Format.BINARY)
"""The driver's own loader (in C if it has one), whatever the application has registered."""


_CANCEL_SECONDS: Final = 5.0


class _UTCLoader:
    """Makes the driver's loader of times without a session, so that it returns UTC."""

    format = Format.BINARY

    def __new__(cls, oid: int, context: object = None) -> Any:  # noqa: ARG004  # the session
        return _TIME_LOADER(oid)


def receive_binary(cursor: psycopg.Cursor[Any] | psycopg.AsyncCursor[Any]) -> None:
    """Let a cursor receive results in binary, and points in time in UTC."""
    cursor.adapters.register_loader(_TIMESTAMPTZ, _UTCLoader)  # type: ignore[arg-type]  # it makes one
    cursor.format = Format.BINARY


class BinaryCursor(psycopg.Cursor[Any]):
    """Receives results in binary, which is 1.4 times as fast as text, as tuples, with points in time in UTC.

    Otherwise the driver would make a datetime in the session's zone, and the store another one, in Python, which took
    almost half of the time that it takes to make an event.

    Attributes:
        rows: The rows of the last statement. The attribute does not exist before the first statement, so that it can't
            be mistaken for no rows.
    """

    rows: Sequence[Row]

    def __init__(self, connection: psycopg.Connection[Any], **_: Any) -> None:
        super().__init__(connection, row_factory=tuple_row)
        receive_binary(self)

    def execute(self, query: Any, params: Any = None, **options: Any) -> Self:
        """Execute, and fetch the rows."""
        super().execute(query, params, **options)
        self.rows = self.fetchall() if self.pgresult is not None and self.pgresult.nfields else ()
        self._query = None  # it holds the parameters, and a cursor may be kept
        return self

    def executemany(self, query: Any, params_seq: Any, **options: Any) -> None:
        """Execute a statement that returns no rows, once for each set of parameters."""
        super().executemany(query, params_seq, **options)
        self.rows = ()
        self._query = None

    @property
    def description(self) -> None:
        """None, because SQLAlchemy would make objects from it for each statement, which these rows do not need."""
        return


class CopyingCursor(psycopg.Cursor[Any]):
    """Executes COPY … FROM STDIN, with the rows as a parameter, through the driver's method for it.

    Attributes:
        rows: Always empty.
    """

    rows: Sequence[Row] = ()

    def execute(self, query: Any, params: Any = None, **_: Any) -> Any:
        """Send the rows; each has its values in the order of the columns."""
        with self.copy(query) as stream:
            stream.set_types(params["types"])
            for row in params["rows"]:
                stream.write_row(row)
        return self


_WRITE_CURSOR: Final = "eventstore: cursor"
"""The key of the cursor for writes in the notes about a connection."""


def cursor_for(pooled: PoolProxiedConnection, sql: str) -> BinaryCursor:
    """Return a cursor for a statement, on a connection with the driver's default cursors.

    The cursor for writes is kept with the connection, because making one costs half as much as using it. A cursor for
    reads is not kept, because it would hold its last page in memory.
    """
    connection: Any = pooled.dbapi_connection
    if not _writes(sql):
        return BinaryCursor(connection)
    cursor: BinaryCursor | None = pooled.info.get(_WRITE_CURSOR)
    if cursor is None:
        cursor = pooled.info[_WRITE_CURSOR] = BinaryCursor(connection)
    return cursor


@lru_cache(maxsize=1024)
def _writes(sql: str) -> bool:
    return re.match(r"(WITH \w+ AS \s*\()?(INSERT|UPDATE|DELETE)", sql) is not None


def execute(connection: Connection, sql: str, parameters: Any) -> Sequence[Row]:
    """Execute a statement with a suitable cursor, and return its rows.

    If the application has set a cursor class for its connections, that one is used, and results are text.

    Raises:
        UnsuitableSetting: A setting of the connection would make results wrong.
    """
    raw: Any = connection.connection.driver_connection
    check_connection(raw)
    if isinstance(raw, psycopg.AsyncConnection):
        from eventstore.backends.postgresql import asynchronous  # noqa: PLC0415  # only on an engine for asyncio

        if asynchronous.has_default_cursors(raw):
            return asynchronous.execute(connection, raw, sql, parameters)
        return _execute_with_custom_cursor(connection, raw, sql, parameters)
    if sql.startswith("COPY"):
        kind: type[CopyingCursor | BinaryCursor] = CopyingCursor
    elif has_default_cursors(raw):
        kind = BinaryCursor
    else:
        return _execute_with_custom_cursor(connection, raw, sql, parameters)
    with next_cursor(raw, kind):
        result = connection.exec_driver_sql(sql, parameters, PLAIN_EXECUTION)
    rows: Sequence[Row] = result.context.cursor.rows
    return rows


def _execute_with_custom_cursor(connection: Connection, raw: Any, sql: str, parameters: Any) -> Sequence[Row]:
    check_custom_cursors(raw, parameters)
    if type(raw) not in _DEFAULT_CONNECTIONS:
        return fetch(connection.exec_driver_sql(sql, parameters, PLAIN_EXECUTION), sql)
    with next_cursor(raw, partial(_of_tuples, raw.cursor_factory)):
        return fetch(connection.exec_driver_sql(sql, parameters, PLAIN_EXECUTION), sql)


def _of_tuples(factory: Callable[..., Any], connection: Any, **options: Any) -> Any:
    return factory(connection, **{**options, "row_factory": tuple_row})


@contextmanager
def next_cursor(raw: Any, make: Callable[..., Any]) -> Iterator[None]:
    """Let the driver's connection make its next cursor by another function, once."""
    factory = getattr(raw, "cursor_factory", None)

    def make_once(connection: Any, **options: Any) -> Any:
        raw.cursor_factory = factory
        return make(connection, **options)

    raw.cursor_factory = make_once
    try:
        yield
    finally:
        raw.cursor_factory = factory


def to_time(value: datetime) -> datetime:
    """Convert a time from any cursor of psycopg to UTC."""
    return value if value.tzinfo is UTC else value.astimezone(UTC)


# --- settings of the application's connection that would change results, and are refused by name

_DEFAULT_CURSORS: Final = (psycopg.Cursor, psycopg.ClientCursor, psycopg.RawCursor)
"""The driver's own cursor classes. They differ only in how statements are sent, so the store may use another one."""

_DEFAULT_CONNECTIONS: Final = (psycopg.Connection, psycopg.AsyncConnection)

_TUPLES: Final = (tuple_row, namedtuple_row)


def has_default_cursors(connection: psycopg.Connection[Any]) -> bool:
    """Return whether the connection makes the driver's own cursors, which the store may replace.

    If the connection or its cursors are of another class, the application may observe the driver with it.
    """
    return type(connection) is psycopg.Connection and connection.cursor_factory in _DEFAULT_CURSORS


def check_connection(connection: Any) -> None:
    """Check that every text can be sent and received, and that results are returned at once.

    Args:
        connection: The driver's connection.

    Raises:
        UnsuitableSetting: The encoding of the connection, or of the database, is not UTF8; or pipeline mode is on.
    """
    if connection.closed:
        return  # the next statement raises the error
    pgconn = connection.pgconn
    if pgconn.pipeline_status:
        raise UnsuitableSetting(
            "pipeline mode", "is on for the connection, so results are not returned at once", "end it before"
        )
    status = pgconn.parameter_status
    for name, remedy in _ENCODINGS:
        encoding = status(name)
        if encoding is not None and encoding != b"UTF8":  # None behind some poolers; the driver then uses UTF8
            raise UnsuitableSetting(
                name.decode(), f"is {encoding.decode()}, in which not every text can be sent and read", remedy
            )


_ENCODINGS: Final = (
    (b"client_encoding", "connect with client_encoding=utf8"),
    (b"server_encoding", "create the database with ENCODING 'UTF8'"),
)


def check_custom_cursors(connection: Any, parameters: Any) -> None:
    """Check that the application's cursors send and return the right values, which they do as text.

    Args:
        connection: The driver's connection.
        parameters: The parameters of the statement that they are to execute.

    Raises:
        UnsuitableSetting: A setting would make values wrong.
    """
    factory = getattr(connection, "cursor_factory", None)
    if _is_a(factory, (psycopg.RawCursor, psycopg.AsyncRawCursor)):
        raise UnsuitableSetting(
            "cursor_factory",
            f"is {factory.__name__}, a RawCursor, whose parameters are numbered, but the store's have names",  # type: ignore[union-attr]  # it is a class
            "make it a subclass of psycopg.Cursor, or of AsyncCursor for asyncio",
        )
    if type(connection) not in _DEFAULT_CONNECTIONS and connection.row_factory not in _TUPLES:
        raise UnsuitableSetting(
            "row_factory",
            f"of a {type(connection).__name__} does not make tuples of rows",
            "set it to psycopg.rows.tuple_row",
        )
    if connection.closed:
        return
    style = connection.pgconn.parameter_status(b"DateStyle")
    if style is not None and not style.startswith(b"ISO"):
        raise UnsuitableSetting(
            "DateStyle",
            f"is {style.decode()}, in which the connection's cursor class can't read times",
            "set it to ISO, or leave cursor_factory as it is",
        )
    if _is_a(factory, psycopg.ClientCursor) and _has_null_in_array(parameters) and not _reads_nulls(connection):
        raise UnsuitableSetting(
            "array_nulls",
            "is off, but the connection's cursor class sends arrays as text, with NULLs in it",
            "set it to on, or leave cursor_factory as it is",
        )


def _is_a(factory: object, kind: type | tuple[type, ...]) -> bool:
    return isinstance(factory, type) and issubclass(factory, kind)


def _has_null_in_array(parameters: Any) -> bool:
    values = parameters.values() if isinstance(parameters, dict) else ()
    return any(isinstance(value, list) and None in value for value in values)


def _reads_nulls(connection: psycopg.Connection[Any]) -> bool:
    """Return the server's setting; True on a broken connection, on which the next statement raises the error."""
    with suppress(psycopg.Error):
        return psycopg.Cursor(connection, row_factory=tuple_row).execute("SHOW array_nulls").fetchone() != ("off",)
    return True


def refuse_to_write(connection: Any, sql: str) -> None:
    """Refuse a statement that writes on a read-only connection, which the driver does not do in autocommit.

    Raises:
        UnsuitableSetting: The statement writes, and the driver's connection is read-only.
    """
    if connection.read_only and _is_writing(sql):
        raise UnsuitableSetting(
            "postgresql_readonly",
            "is set on the engine or its connections, but this call writes",
            "write through an engine without it",
        )


@lru_cache(maxsize=1024)
def _is_writing(sql: str) -> bool:
    return re.search(r"\b(INSERT|UPDATE|DELETE|COPY|LOCK)\b", re.sub(r'"[^"]*"', "", sql)) is not None


def can_prepare(raw: psycopg.Connection[Any]) -> bool:
    """Return whether the store may prepare statements: the application neither watches the driver nor forbids it.

    A pooler that can't keep prepared statements is the reason for `prepare_threshold=None`.
    """
    return has_default_cursors(raw) and raw.prepare_threshold is not None


def cancel_statement(raw: psycopg.Connection[Any]) -> None:
    """Cancel the statement that a connection has not got the results of, if there is one; wait for that for a while."""
    if raw.pgconn.transaction_status == TransactionStatus.ACTIVE:
        with suppress(psycopg.Error):
            raw.cancel_safe(timeout=_CANCEL_SECONDS)


def refuse_open_transaction(connection: Any) -> None:
    """Refuse a connection of the pool on which a transaction is open.

    Committing it would lose settings of this transaction, such as a tenant; continuing in it would not be autocommit.

    Args:
        connection: The driver's connection.

    Raises:
        UnsuitableSetting: A transaction is open.
    """
    if not connection.closed and connection.pgconn.transaction_status != TransactionStatus.IDLE:
        raise UnsuitableSetting(
            "a hook (connect, checkout or engine_connect)",
            "has left a transaction open on the connection, in which the store can't commit its statements",
            "let the hook commit, or set autocommit while it runs, as SQLAlchemy's documentation shows",
        )
