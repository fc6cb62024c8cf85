"""A PostgreSQL of our own, and databases in it."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from psycopg.sql import SQL, Identifier
from sqlalchemy import Engine, make_url

from benchmarks.events import event_types
from eventstore import EventStore, migrations
from eventstore.backends import engine_for
from tests.postgresql.launcher import PostgreSQLServer

SETTINGS: Final = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "512MB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "30min",
    "max_connections": "500",
}
"""Durable. The last two keep checkpoints out of the rounds: whom they meet is chance."""

MANY_CONNECTIONS: Final = {"POSTGRES_POOL_SIZE": "20"}
"""How the library `eventsourcing` is told to keep one for each writer."""

_numbers = itertools.count(1)


class Database:
    """A new database with the store's tables."""

    def __init__(self, server: PostgreSQLServer, *, durable: bool = True, tables: bool = True) -> None:
        self.name = f"benchmark_{next(_numbers)}"
        self.port = server.port
        self.durable = durable
        with psycopg.connect(self._conninfo("postgres"), autocommit=True) as connection:
            name = Identifier(self.name)
            connection.execute(SQL("CREATE DATABASE {}").format(name))
            if not durable:
                connection.execute(SQL("ALTER DATABASE {} SET synchronous_commit = off").format(name))
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/{self.name}"
        self.engines: list[Engine] = []
        if tables:
            migrations.upgrade(self.engine())

    def _conninfo(self, name: str) -> str:
        return f"host=127.0.0.1 port={self.port} user=postgres dbname={name}"

    def engine(self, **options: Any) -> Engine:
        """Return a new engine, as `EventStore.from_url` would make it."""
        engine = engine_for(make_url(self.url), **options)
        self.engines.append(engine)
        return engine

    def store(self, **options: Any) -> EventStore:
        """Return a store of typed events, on an engine of its own with a connection for every writer."""
        return EventStore(self.engine(pool_size=20), event_types=event_types, **options)

    @contextmanager
    def raw(self) -> Iterator[psycopg.Connection]:
        """Hold a connection of the driver, in autocommit."""
        with self.connect() as connection:
            yield connection

    @contextmanager
    def elsewhere(self) -> Iterator[psycopg.Connection]:
        """Hold a connection to another database of the server, in autocommit."""
        with psycopg.connect(self._conninfo("postgres"), autocommit=True) as connection:
            yield connection

    def connect(self, **options: Any) -> psycopg.Connection:
        """Return a connection of the driver, in autocommit, for the caller to close."""
        return psycopg.connect(self._conninfo(self.name), autocommit=True, prepare_threshold=0, **options)

    @property
    def environment(self) -> dict[str, str]:
        """How the library `eventsourcing` is told of it: its documented settings, two connections."""
        return {
            "PERSISTENCE_MODULE": "eventsourcing.postgres",
            "POSTGRES_DBNAME": self.name,
            "POSTGRES_HOST": "127.0.0.1",
            "POSTGRES_PORT": str(self.port),
            "POSTGRES_USER": "postgres",
            "POSTGRES_PASSWORD": "none",
            "POSTGRES_POOL_SIZE": "2",
            "POSTGRES_IDLE_IN_TRANSACTION_SESSION_TIMEOUT": "60",
        }

    def close(self) -> None:
        """Close the engines that were made."""
        for engine in self.engines:
            engine.dispose()
