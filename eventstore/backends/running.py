"""How statements run on one connection, and when the driver executes them directly, without SQLAlchemy's Connection.

SQLAlchemy's Connection takes longer for one statement than a driver does to execute it: it changes the isolation level
and back, begins and ends a transaction that is none in the database, and makes a context and a result. Only listeners
need that: hooks, instrumentation and logs. If there are any, the store goes through SQLAlchemy.
"""

from collections.abc import MutableMapping, Sequence
from typing import Any, Final, cast

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool, SingletonThreadPool, StaticPool

from eventstore.backends.protocol import Dialect, Driver, Row, Run, Statement
from eventstore.errors import TablesPlace, UnsuitableSetting

_POSITIONS: Final = "eventstore: positions"
_MOST_NOTES: Final = 1000
"""How much may be noted of a connection, which can serve any number of schemas, before it is checked again."""


class StatementRun:
    """A `Run` on one connection. It compiles a statement, sends it by `_send`, and translates the database's errors."""

    _driver: Driver
    """Translates errors; set by subclasses."""

    _dialect: Dialect
    """Compiles statements; set by subclasses."""

    @property
    def place(self) -> TablesPlace:
        """Where the store expects its tables; see `Run`."""
        return self._dialect.place

    @property
    def search_path(self) -> bytes | None:
        """What the server has reported, see `Run`; overridden for databases that have one."""
        return None

    def __call__(self, statement: Statement, **parameters: Any) -> Sequence[Row]:
        """Execute the statement and return all its rows; see `Run`."""
        sql, constants = self._dialect.sql(statement)
        return self._execute(sql, {**constants, **parameters} if constants else parameters)

    def many(self, statement: Statement, rows: Sequence[dict[str, Any]]) -> None:
        """Execute the statement once for each set of parameters; see `Run`."""
        sql, constants = self._dialect.sql(statement)
        self._execute(sql, [{**constants, **row} for row in rows] if constants else rows)

    def together(self, *calls: tuple[Statement, dict[str, Any]]) -> Sequence[Row]:
        """Execute statements in one transaction; see `Run`. Overridden if `Connections.pipelines`."""
        raise NotImplementedError

    def _execute(self, sql: str, parameters: Any) -> Sequence[Row]:
        try:
            return self._send(sql, parameters)
        except DBAPIError as error:
            failure = error_to_raise(self._driver, error)
        raise failure  # not in the `except` block, or the driver's own error would stay attached, and be shown

    def _send(self, sql: str, parameters: Any) -> Sequence[Row]:
        """Send SQL text in the way of the database's driver, and return all rows.

        Args:
            sql: The text.
            parameters: The parameters by name; a list of such for `many`.

        Raises:
            DBAPIError: As SQLAlchemy raises it.
        """
        raise NotImplementedError


class ConnectionRun(StatementRun):
    """A run on SQLAlchemy's Connection, so that hooks and instrumentation see the statements.

    Args:
        driver: Translates errors.
        dialect: Compiles statements.
        connection: The connection to run on.

    Raises:
        UnsuitableSetting: As for `refuse_other_schema`.
    """

    def __init__(self, driver: Driver, dialect: Dialect, connection: Connection) -> None:
        refuse_other_schema(connection, dialect.schema)
        self._driver = driver
        self._dialect = dialect
        self._connection = connection

    @property
    def notes(self) -> MutableMapping[Any, Any]:
        """Notes about the driver's connection; see `Run`."""
        return self._connection.info

    @property
    def search_path(self) -> bytes | None:
        """What the server has reported; see `Run`."""
        return reported_search_path(self._connection.connection.driver_connection)


def check_positions(run: Run, dialect: Dialect) -> None:
    """Check, once for each connection and search path, that new events get positions after all stored ones.

    A failover may lead to a server whose sequence is behind; the store's connections to that server are new. Behind
    PgBouncer in transaction mode they are not, and servers before PostgreSQL 18 do not report that a search path leads
    to the tables of another tenant; there only a reader's next log view detects it.

    Raises:
        GlobalOrderError: As for `Dialect.check_positions`. Nothing was written.
    """
    note, notes = positions_note(dialect, run.search_path), run.notes
    if note not in notes:
        dialect.check_positions(run)
        if len(notes) >= _MOST_NOTES:
            for key in [key for key in notes if isinstance(key, tuple) and key[0] == _POSITIONS]:
                del notes[key]
        notes[note] = True


def positions_note(dialect: Dialect, search_path: bytes | None) -> object:
    """Return the key that is in the notes about a connection after `check_positions`."""
    schema = dialect.schema
    return _POSITIONS, schema, search_path if schema is None else None


def reported_search_path(raw: Any) -> bytes | None:
    """Return the search path that the server has reported to the driver's connection; None if it reports none."""
    pgconn = getattr(raw, "pgconn", None)
    path: bytes | None = None if pgconn is None else pgconn.parameter_status(b"search_path")
    return path


def goes_direct(engine: Engine) -> bool:
    """Return whether statements can go directly to the driver, on a connection that is checked out exclusively."""
    return (
        not isinstance(engine.pool, SingletonThreadPool | StaticPool)
        and not engine.dialect.is_async
        and not has_listeners(engine)
        and not engine.get_execution_options().get("schema_translate_map")
    )


def can_share(engine: Engine) -> bool:
    """Return whether what one thread sends can as well be sent by another thread, on a connection that it takes.

    That is not so if each thread has a database or a connection of its own, and if a hook of the pool or of the engine
    may give a connection what belongs to a thread or its request, such as a tenant.
    """
    return type(engine.pool) is QueuePool and not engine.pool.dispatch.checkout and goes_direct(engine)


def connections_are_alike(engine: Engine, schema: str | None) -> bool:
    """Return whether every thread, or task, finds the same tables on the engine's connections.

    A hook may set the search path, for example to that of a tenant, so if tables are not named by their schema, there
    must be none.

    Args:
        engine: The engine.
        schema: The schema by which statements name the tables; None if they do not.
    """
    if isinstance(engine.pool, SingletonThreadPool | StaticPool):
        return False
    return schema is not None or not (engine.pool.dispatch.checkout or has_listeners(engine))


def has_listeners(engine: Engine) -> bool:
    """Return whether there are hooks or logs of statements, on the engine, its dialect or one of their classes.

    Hooks of the pool do not count, because connections are taken from it in any case. SQLAlchemy keeps the others in
    private attributes; if one does not exist, the answer is yes.
    """
    dialect = engine.dialect
    if (
        getattr(engine, "_has_events", True)
        or getattr(dialect, "_has_events", True)
        or getattr(Connection, "_has_events", False)  # SQLAlchemy 2.0 sets it with the first listener
    ):
        return True
    should_log = getattr(engine, "_should_log_info", None)
    return should_log is None or bool(should_log())


def refuse_other_schema(connection: Connection, schema: str | None) -> None:
    """Refuse a `schema_translate_map` with which SQLAlchemy would expect the tables in another schema than the store.

    Args:
        connection: The connection to run statements on; it has the engine's options, too.
        schema: The schema that the tables are in.

    Raises:
        UnsuitableSetting: The engine, the connection or the session has such a map.
    """
    translated = connection.get_execution_options().get("schema_translate_map")
    if translated and translated.get(schema, schema) != schema:
        raise UnsuitableSetting(
            "schema_translate_map",
            f"says that the tables are in schema {translated[schema]!r}, but the store does not use that map",
            "name the schema: EventStore(engine, schema=…), and set the map only on engines for your own tables",
        )


def error_to_raise(driver: Driver, error: Any) -> BaseException:
    """Return the store's own error for one of SQLAlchemy's, with that as its cause; else that one, without payloads.

    Raise it outside of the `except` block, or the driver's own error would stay attached, and be shown.
    """
    translated, safe = driver.translate(error), driver.without_payload(error)
    if translated is None:
        return cast("BaseException", safe)
    translated.__cause__ = safe
    return translated


def sqlalchemy_error(
    engine: Engine, error: Exception, sql: str | None, parameters: Any, *, is_lost: bool = False
) -> BaseException:
    """Return the error that SQLAlchemy would raise, with its parameters hidden, which may contain payloads."""
    dialect: Any = engine.dialect
    return DBAPIError.instance(
        sql, parameters, error, dialect.dbapi.Error, hide_parameters=True, connection_invalidated=is_lost,
        dialect=dialect,
    )  # fmt: skip
