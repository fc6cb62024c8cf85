"""Whether anybody watches what SQLAlchemy executes. Where nobody does, the driver may execute alone.

SQLAlchemy's Connection takes longer for one statement than a driver does to execute it: it changes the isolation level
and back, begins and ends a transaction in name, and makes a context and a result. All that is for those who watch:
hooks, instrumentation and logs. Where there are any, the store goes through SQLAlchemy.
"""

from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import SingletonThreadPool, StaticPool


def can_be_unwatched(engine: Engine) -> bool:
    """Return whether nobody watches, and whoever takes a connection from the pool has it alone."""
    return not isinstance(engine.pool, SingletonThreadPool | StaticPool) and not is_watched(engine)


def is_watched(engine: Engine) -> bool:
    """Return whether anybody would notice: a hook on the engine, its dialect or a class of them, or a log that is on.

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


def translated(
    engine: Engine, error: Exception, sql: str | None, parameters: Any, *, is_lost: bool = False
) -> BaseException:
    """Return the error that SQLAlchemy would raise, its parameters hidden: payloads are among them."""
    dialect: Any = engine.dialect
    return DBAPIError.instance(
        sql, parameters, error, dialect.dbapi.Error, hide_parameters=True, connection_invalidated=is_lost,
        dialect=dialect,
    )  # fmt: skip
