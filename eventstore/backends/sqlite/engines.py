"""Engines for SQLite that the store makes itself, for `EventStore.from_url`."""

import sqlite3
import weakref
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import Connection, Engine, create_engine, event

from eventstore.backends.sqlite.write_lock import wait_for_lock

_SWITCH_TIMEOUT_SECONDS: Final = 30.0
"""How long a new connection waits to find, or make, the database's journal a write-ahead log."""


def engine_options(lock_timeout_seconds: float) -> dict[str, Any]:
    """Return what `EventStore.from_url` gives to `create_engine`."""
    return {"connect_args": {"timeout": lock_timeout_seconds, "check_same_thread": False}}


def create_memory_engine(**options: Any) -> Engine:
    """Return an engine for a new database in memory, shared by its connections, gone with the engine.

    SQLite's `memdb` (3.36 or newer) gives connections of their own, which wait for each other as they do on a file; the
    usual `:memory:` is one connection, or a database for each thread.
    """
    database = f"file:/eventstore-{uuid4()}?vfs=memdb"
    engine = create_engine(f"sqlite:///{database}&uri=true", **options)
    keeper = sqlite3.connect(database, uri=True, check_same_thread=False)  # while it is open there is a database
    weakref.finalize(engine, keeper.close)
    return engine


def prepare_engine(engine: Engine) -> None:
    """Prepare the connections of an engine of our own: write-ahead log, foreign keys, commits that survive a crash."""

    @event.listens_for(engine, "connect")
    def _on_connect(connection: sqlite3.Connection, _: Any) -> None:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")
        wait_for_lock(connection.execute, "PRAGMA journal_mode = WAL", _SWITCH_TIMEOUT_SECONDS)

    begin_before_savepoints(engine)


def begin_before_savepoints(engine: Engine) -> None:
    """Begin the transaction that SQLAlchemy believes to be in before its first savepoint: the driver does not.

    In the dialect, not by a hook of the engine: that would count as somebody who watches.
    """
    savepoint = engine.dialect.do_savepoint

    def begin_first(connection: Connection, name: str) -> None:
        if not connection.connection.dbapi_connection.in_transaction:  # type: ignore[union-attr]  # sqlite3's
            wait_for_lock(connection.exec_driver_sql, "BEGIN IMMEDIATE", _SWITCH_TIMEOUT_SECONDS)
        savepoint(connection, name)

    engine.dialect.do_savepoint = begin_first  # type: ignore[method-assign]  # of this engine's dialect alone
