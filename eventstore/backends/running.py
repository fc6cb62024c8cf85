"""How statements run on one connection, and whether the driver may execute them alone.

SQLAlchemy's Connection takes longer for one statement than a driver does to execute it: it changes the isolation level
and back, begins and ends a transaction in name, and makes a context and a result. All that is for those who watch:
hooks, instrumentation and logs. If there are any, the store goes through SQLAlchemy.
"""

from collections.abc import MutableMapping, Sequence
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import SingletonThreadPool, StaticPool

from eventstore.backends.protocol import Dialect, Driver, Row, Statement
from eventstore.errors import TablesPlace, UnsuitableSetting


class StatementRun:
    """A `Run` on one connection: compiles a statement, sends it by `_send`, and translates the database's errors."""

    _driver: Driver
    """Translates errors; set by subclasses."""

    _dialect: Dialect
    """Compiles statements; set by subclasses."""

    @property
    def place(self) -> TablesPlace:
        """Where the tables are looked for."""
        return self._dialect.place

    def __call__(self, statement: Statement, **parameters: Any) -> Sequence[Row]:
        """Execute the statement and return all of its rows; see `Run`."""
        sql, constants = self._dialect.sql(statement)
        return self._execute(sql, {**constants, **parameters} if constants else parameters)

    def many(self, statement: Statement, rows: Sequence[dict[str, Any]]) -> None:
        """Execute the statement once for each of the sets of parameters; see `Run`."""
        sql, constants = self._dialect.sql(statement)
        self._execute(sql, [{**constants, **row} for row in rows] if constants else rows)

    def _execute(self, sql: str, parameters: Any) -> Sequence[Row]:
        try:
            return self._send(sql, parameters)
        except DBAPIError as error:
            translated, safe = self._driver.translate(error), self._driver.without_payload(error)
        # not in the `except` block: the driver's own error would stay attached, and be shown
        if translated is None:
            raise safe
        raise translated from safe

    def _send(self, sql: str, parameters: Any) -> Sequence[Row]:
        """Send SQL text as suits the database's driver, and return all rows.

        Args:
            sql: The text.
            parameters: By name; a list of them for `many`.

        Raises:
            DBAPIError: As SQLAlchemy raises it.
        """
        raise NotImplementedError


class ConnectionRun(StatementRun):
    """A run on a connection of SQLAlchemy's, so that its hooks and instrumentation see what is sent.

    Args:
        driver: Translates errors.
        dialect: Compiles statements.
        connection: Where to run.

    Raises:
        UnsuitableSetting: As `refuse_other_schema` raises it.
    """

    def __init__(self, driver: Driver, dialect: Dialect, connection: Connection) -> None:
        refuse_other_schema(connection, dialect.tables.metadata.schema)
        self._driver = driver
        self._dialect = dialect
        self._connection = connection

    @property
    def notes(self) -> MutableMapping[Any, Any]:
        """What was noted of the driver's connection; see `Run`."""
        return self._connection.info


def goes_direct(engine: Engine) -> bool:
    """Return whether the driver may execute alone, on a connection that its user has taken from the pool alone."""
    return (
        not isinstance(engine.pool, SingletonThreadPool | StaticPool)
        and not has_listeners(engine)
        and not engine.get_execution_options().get("schema_translate_map")
    )


def has_listeners(engine: Engine) -> bool:
    """Return whether a hook or a log would notice: on the engine, its dialect or a class of them.

    Hooks of the pool do not count: connections are taken from it in any case. SQLAlchemy keeps these as attributes of
    its own. Should one be gone, the answer is yes.
    """
    dialect = engine.dialect
    if (
        getattr(engine, "_has_events", True)
        or getattr(dialect, "_has_events", True)
        or getattr(Connection, "_has_events", True)
        or dialect.is_async
    ):
        return True
    should_log = getattr(engine, "_should_log_info", None)
    return should_log is None or bool(should_log())


def refuse_other_schema(connection: Connection, schema: str | None) -> None:
    """Refuse a `schema_translate_map` that would have SQLAlchemy look for the tables elsewhere than we do.

    Args:
        connection: On which statements will run; it has the engine's options, too.
        schema: The one that the tables are in.

    Raises:
        UnsuitableSetting: There is one, on the engine, the connection or the session.
    """
    translated = connection.get_execution_options().get("schema_translate_map")
    if translated and translated.get(schema, schema) != schema:
        raise UnsuitableSetting(
            "schema_translate_map",
            f"says that the tables are in schema {translated[schema]!r}, and the store does not go by it",
            "name the schema: EventStore(engine, schema=…), and keep the map to engines of your own tables",
        )


def sqlalchemy_error(
    engine: Engine, error: Exception, sql: str | None, parameters: Any, *, is_lost: bool = False
) -> BaseException:
    """Return the error that SQLAlchemy would raise, its parameters hidden: payloads are among them."""
    dialect: Any = engine.dialect
    return DBAPIError.instance(
        sql, parameters, error, dialect.dbapi.Error, hide_parameters=True, connection_invalidated=is_lost,
        dialect=dialect,
    )  # fmt: skip
