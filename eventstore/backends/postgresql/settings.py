"""Settings of a connection to PostgreSQL that would change results: what of them is refused, and by which name.

All of it is known to the driver, so the server is not asked, but for one that only few cursors are affected by.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, Literal

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import namedtuple_row, tuple_row
from sqlalchemy import Connection

from eventstore.errors import UnsuitableSetting

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


@contextmanager
def prepared(connection: Connection, *, isolation_level: Literal["AUTOCOMMIT", "READ COMMITTED"]) -> Iterator[None]:
    """Set the level of a connection that was just taken from the pool, and set it back in the end.

    SQLAlchemy would set it back to the engine's, and so lose what a hook has chosen for the driver's connection.

    Raises:
        UnsuitableSetting: A hook has begun a transaction on it.
    """
    driver: Any = connection.connection.driver_connection
    try:
        refuse_open_transaction(driver)
    except UnsuitableSetting:
        connection.invalidate()  # a rollback would undo what the hook has set, and the next use would do without it
        raise
    if not isinstance(driver, psycopg.Connection):  # psycopg's for asyncio
        connection.execution_options(isolation_level=isolation_level)
        yield
        return
    before = driver.autocommit, driver.isolation_level
    try:
        driver.autocommit = isolation_level == "AUTOCOMMIT"
        if isolation_level != "AUTOCOMMIT":
            driver.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        yield
    finally:
        # No call comes before this `try`: Ctrl-C is noticed in calls, and a connection must not return as it is now.
        is_as_it_was = False
        try:
            if driver.pgconn.transaction_status != TransactionStatus.IDLE:
                driver.rollback()
            driver.autocommit, driver.isolation_level = before
            is_as_it_was = True
        except psycopg.Error:  # it is lost, or closed: SQLAlchemy finds out
            pass
        finally:
            if not is_as_it_was and not connection.closed and not connection.invalidated:
                connection.invalidate()


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
