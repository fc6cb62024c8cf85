"""Cursors of psycopg that the store has SQLAlchemy use for its own statements: results in binary, and COPY.

A statement is executed by SQLAlchemy, so that its hooks, its log and instrumentation see it. But SQLAlchemy makes the
cursor, and has no option for its kind. So the connection is told to make one of these, once: the next cursor is ours,
and all others, those of hooks that this same statement sets off among them, are what they were.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import cache, partial
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


# --- what of the application's connection would change results, and is refused by name

_OWN_CURSORS: Final = (psycopg.Cursor, psycopg.ClientCursor, psycopg.RawCursor)
"""The driver's own: which of them a connection makes is a matter of how statements are sent, and ours is replaced."""

_TUPLES: Final = (tuple_row, namedtuple_row)


def is_our_choice(connection: psycopg.Connection[Any]) -> bool:
    """Return whether the connection makes cursors that nobody has made for a purpose.

    If it is of another class, or something that stands for it, or its cursors are, somebody may watch the driver.
    """
    return type(connection) is psycopg.Connection and connection.cursor_factory in _OWN_CURSORS


def check_connection(connection: Any) -> None:
    """Check that every text can be sent and comes back, and at once.

    Args:
        connection: The driver's.

    Raises:
        UnsuitableSetting: The encoding of the connection, or of the database, is not UTF8; or pipeline mode is on.
    """
    if connection.closed:
        return  # whoever uses it learns so
    pgconn = connection.pgconn
    if pgconn.pipeline_status:
        raise UnsuitableSetting("pipeline mode", "is on for the connection, and results come later", "end it before")
    status = pgconn.parameter_status
    for name, remedy in _ENCODINGS:
        encoding = status(name)
        if encoding is not None and encoding != b"UTF8":  # None: a pooler does not tell, and the driver takes UTF8
            raise UnsuitableSetting(
                name.decode(), f"is {encoding.decode()}, in which not every text can be sent and read", remedy
            )


_ENCODINGS: Final = (
    (b"client_encoding", "connect with client_encoding=utf8"),
    (b"server_encoding", "make the database with ENCODING 'UTF8'"),
)


def check_their_cursors(connection: Any, parameters: Any) -> None:
    """Check that cursors of the application's send and return what is right, though it is text.

    Args:
        connection: The driver's, or what stands for it.
        parameters: Of the statement that they are to execute.

    Raises:
        UnsuitableSetting: They would not.
    """
    factory = getattr(connection, "cursor_factory", None)
    if _is_a(factory, psycopg.RawCursor):
        raise UnsuitableSetting(
            "cursor_factory",
            f"is {factory.__name__}, a RawCursor: its parameters have numbers, and those of the store have names",  # type: ignore[union-attr]  # it is a class
            "make it a subclass of psycopg.Cursor",
        )
    if not isinstance(connection, psycopg.Connection):  # psycopg's for asyncio, as SQLAlchemy wraps them
        return
    if type(connection) is not psycopg.Connection and connection.row_factory not in _TUPLES:
        raise UnsuitableSetting(
            "row_factory",
            f"of a {type(connection).__name__} makes something else than tuples of rows",
            "set it to psycopg.rows.tuple_row",
        )
    if connection.closed:
        return
    style = connection.pgconn.parameter_status(b"DateStyle")
    if style is not None and not style.startswith(b"ISO"):
        raise UnsuitableSetting(
            "DateStyle",
            f"is {style.decode()}, in which the connection's own kind of cursors can't read times",
            "set it to ISO, or leave cursor_factory as it is",
        )
    if _is_a(factory, psycopg.ClientCursor) and _has_null_in_array(parameters) and not _reads_nulls(connection):
        raise UnsuitableSetting(
            "array_nulls",
            "is off, and the connection's own kind of cursors sends arrays as text, of which NULL is a part",
            "set it to on, or leave cursor_factory as it is",
        )


def _is_a(factory: object, kind: type[psycopg.Cursor[Any]]) -> bool:
    return isinstance(factory, type) and issubclass(factory, kind)


def _has_null_in_array(parameters: Any) -> bool:
    values = parameters.values() if isinstance(parameters, dict) else ()
    return any(isinstance(value, list) and None in value for value in values)


def _reads_nulls(connection: psycopg.Connection[Any]) -> bool:
    """Ask the server; on a connection that can't answer, whoever uses it next learns so."""
    with suppress(psycopg.Error):
        return psycopg.Cursor(connection, row_factory=tuple_row).execute("SHOW array_nulls").fetchone() != ("off",)
    return True


def refuse_to_write(connection: Any, sql: str) -> None:
    """Refuse a statement that writes on a connection that is for reading: in autocommit the driver does not tell so.

    Raises:
        UnsuitableSetting: It writes, and the driver's connection is read-only.
    """
    if connection.read_only and _is_writing(sql):
        raise UnsuitableSetting(
            "postgresql_readonly",
            "is set on the engine or its connections, and this call writes",
            "write by an engine without it",
        )


@cache
def _is_writing(sql: str) -> bool:
    return re.search(r"\b(INSERT|UPDATE|DELETE|COPY|LOCK)\b", re.sub(r'"[^"]*"', "", sql)) is not None


def refuse_open_transaction(connection: Any) -> None:
    """Refuse a connection of the pool on which a transaction is open.

    To commit it would lose what was set for this transaction only, a tenant say; to go on in it would be no autocommit.

    Args:
        connection: The driver's.

    Raises:
        UnsuitableSetting: One is open.
    """
    if not connection.closed and connection.pgconn.transaction_status != TransactionStatus.IDLE:
        raise UnsuitableSetting(
            "a hook (connect, checkout or engine_connect)",
            "has left an open transaction on the connection, in which the store can't work by itself",
            "let the hook commit, or set autocommit while it runs, as SQLAlchemy's documentation shows",
        )
