"""How statements run on one connection, and when the driver executes them directly, without SQLAlchemy's Connection.

SQLAlchemy's Connection takes longer for one statement than a driver does to execute it: it changes the isolation level
and back, begins and ends a transaction that is none in the database, and makes a context and a result. Only listeners
need that: hooks, instrumentation and logs. If there are any, the store goes through SQLAlchemy.
"""

from collections.abc import MutableMapping, Sequence
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool, SingletonThreadPool, StaticPool

from eventstore.backends.protocol import Dialect, Driver, Row, Statement
from eventstore.errors import TablesPlace, UnsuitableSetting


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

    def __call__(self, statement: Statement, **parameters: Any) -> Sequence[Row]:
        """Execute the statement and return all its rows; see `Run`."""
        sql, constants = self._dialect.sql(statement)
        return self._execute(sql, {**constants, **parameters} if constants else parameters)

    def many(self, statement: Statement, rows: Sequence[dict[str, Any]]) -> None:
        """Execute the statement once for each set of parameters; see `Run`."""
        sql, constants = self._dialect.sql(statement)
        self._execute(sql, [{**constants, **row} for row in rows] if constants else rows)

    def _execute(self, sql: str, parameters: Any) -> Sequence[Row]:
        try:
            return self._send(sql, parameters)
        except DBAPIError as error:
            translated, safe = self._driver.translate(error), self._driver.without_payload(error)
        # not in the `except` block, or the driver's own error would stay attached, and be shown
        if translated is None:
            raise safe
        raise translated from safe

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
        refuse_other_schema(connection, dialect.tables.metadata.schema)
        self._driver = driver
        self._dialect = dialect
        self._connection = connection

    @property
    def notes(self) -> MutableMapping[Any, Any]:
        """Notes about the driver's connection; see `Run`."""
        return self._connection.info


def goes_direct(engine: Engine) -> bool:
    """Return whether statements can go directly to the driver, on a connection that is checked out exclusively."""
    return (
        not isinstance(engine.pool, SingletonThreadPool | StaticPool)
        and not has_listeners(engine)
        and not engine.get_execution_options().get("schema_translate_map")
    )


def can_share(engine: Engine) -> bool:
    """Return whether what one thread sends can as well be sent by another thread, on a connection that it takes.

    That is not so if each thread has a database or a connection of its own, and if a hook of the pool or of the engine
    may give a connection what belongs to a thread or its request, such as a tenant.
    """
    return type(engine.pool) is QueuePool and not engine.pool.dispatch.checkout and goes_direct(engine)


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
        or dialect.is_async
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


def sqlalchemy_error(
    engine: Engine, error: Exception, sql: str | None, parameters: Any, *, is_lost: bool = False
) -> BaseException:
    """Return the error that SQLAlchemy would raise, with its parameters hidden, which may contain payloads."""
    dialect: Any = engine.dialect
    return DBAPIError.instance(
        sql, parameters, error, dialect.dbapi.Error, hide_parameters=True, connection_invalidated=is_lost,
        dialect=dialect,
    )  # fmt: skip
