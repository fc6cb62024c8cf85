"""Engines for SQLite that the store makes, for `EventStore.from_url`."""

import sqlite3
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import Connection, Engine, event

from eventstore.backends.sqlite.settings import execute_on
from eventstore.backends.sqlite.write_lock import wait_for_lock
from eventstore.backends.waiting import waiting_on

_SWITCH_TIMEOUT_SECONDS: Final = 30.0
"""How long a new connection waits to switch the database's journal to a write-ahead log."""


def engine_options(lock_timeout_seconds: float) -> dict[str, Any]:
    """Return the options that `EventStore.from_url` passes to `create_engine`."""
    return {"connect_args": {"timeout": lock_timeout_seconds, "check_same_thread": False}}


def create_memory_engine(drivername: str, create: Callable[..., Engine], **options: Any) -> Engine:
    """Return an engine for a new database in memory, which its connections share, and which is gone with the engine.

    With SQLite's `memdb` (3.36 or newer) there are several connections, which wait for each other as they do on a file.
    With the usual `:memory:` there is one connection, or a database for each thread.
    """
    database = f"file:/eventstore-{uuid4()}?vfs=memdb"
    engine = create(f"{drivername}:///{database}&uri=true", **options)
    keeper = sqlite3.connect(database, uri=True, check_same_thread=False)  # the database exists while this is open
    weakref.finalize(engine, keeper.close)
    return engine


def prepare_engine(engine: Engine) -> None:
    """Prepare the connections of an engine that the store has made.

    They use a write-ahead log, enforce foreign keys, and sync every commit to disk.
    """
    pause = waiting_on(engine).pause

    @event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _: Any) -> None:
        execute = partial(execute_on, connection)
        execute("PRAGMA foreign_keys = ON")
        execute("PRAGMA synchronous = FULL")
        wait_for_lock(execute, "PRAGMA journal_mode = WAL", _SWITCH_TIMEOUT_SECONDS, pause)

    begin_before_savepoints(engine)
    if engine.dialect.is_async:
        from eventstore.backends import tasks  # noqa: PLC0415  # only for engines for asyncio

        tasks.close_when_cancelled(engine)


def begin_before_savepoints(engine: Engine) -> None:
    """Begin the transaction that SQLAlchemy assumes before its first savepoint, which the driver does not do.

    This is done in the dialect, because a hook of the engine would count as a listener.
    """
    savepoint, pause = engine.dialect.do_savepoint, waiting_on(engine).pause

    def begin_first(connection: Connection, name: str) -> None:
        driver: Any = connection.connection.driver_connection
        if not driver.in_transaction:
            wait_for_lock(connection.exec_driver_sql, "BEGIN IMMEDIATE", _SWITCH_TIMEOUT_SECONDS, pause)
        savepoint(connection, name)

    engine.dialect.do_savepoint = begin_first  # type: ignore[method-assign]  # for this engine's dialect only
