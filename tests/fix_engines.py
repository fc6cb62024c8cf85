"""Engines of fresh databases with the tables."""

import atexit
import functools
import itertools
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, create_engine

from eventstore import EventStore, migrations
from eventstore.backends import engine_for
from eventstore.migrations.environment import VERSION_TABLE
from eventstore.migrations.name_clashes import is_part
from eventstore.tables import define_tables


@functools.cache
def _migrated_template() -> bytes:
    """Return a SQLite file at the newest revision: migrating once and copying is quicker."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "template.db"
        engine = create_engine(f"sqlite:///{path}")
        migrations.upgrade(engine)
        engine.dispose()
        return path.read_bytes()


def migrated_sqlite(folder: Path) -> Path:
    """Return a new SQLite file with the tables."""
    path = folder / "events.db"
    path.write_bytes(_migrated_template())
    return path


@pytest.fixture
def sqlite_path(tmp_path: Path) -> Path:
    return migrated_sqlite(tmp_path)


@pytest.fixture
def sqlite_engine(sqlite_path: Path) -> Iterator[Engine]:
    engine = engine_for(f"sqlite:///{sqlite_path}")
    yield engine
    engine.dispose()


@pytest.fixture
def postgres_engine(postgres_url: str) -> Iterator[Engine]:
    engine = engine_for(postgres_url)
    yield engine
    engine.dispose()


@pytest.fixture
def shared_postgres_engine(shared_postgres_url: str) -> Iterator[Engine]:
    """An engine of a database that was emptied after the test before: quicker than a new database."""
    engine = engine_for(shared_postgres_url)
    yield engine
    engine.dispose()
    empty(shared_postgres_url)


@pytest.fixture
def kept_postgres_engine(shared_postgres_url: str) -> Iterator[Engine]:
    """An engine as above that has the connections of the test before, too: for tests that leave nothing in a session.

    A new connection takes twice the CPU of what a test of the contract does with it.
    """
    yield again(_kept(shared_postgres_url))
    empty(shared_postgres_url)


@functools.cache
def _kept(url: str) -> Engine:
    engine = engine_for(url)
    atexit.register(engine.dispose)
    return engine


def again(engine: Engine) -> Engine:
    """Return another engine of the same pool: what listens to it, and what is remembered for it, is one test's."""
    return Engine(engine.pool, engine.dialect, engine.url)


def empty(url: str, schema: str | None = None) -> None:
    """Delete all rows of the tables, and all tables that are not ours; positions begin at 1 again."""
    ours = define_tables(schema=schema)
    quote = _emptying(url).dialect.identifier_preparer.format_table
    of_projections, tags = f"{quote(ours.checkpoints)}, {quote(ours.dead_letters)}", quote(ours.tags)
    filled = f"SELECT EXISTS (SELECT FROM {quote(ours.checkpoints)}), EXISTS (SELECT FROM {tags})"
    with _emptying(url).begin() as connection:
        found = connection.exec_driver_sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").scalars()
        for name in set(found) - {*(table.name for table in ours.metadata.tables.values()), VERSION_TABLE}:
            if not is_part(name):
                connection.exec_driver_sql(f'DROP TABLE "{name}" CASCADE')
        (are_filled,) = connection.exec_driver_sql(filled)
        # An empty table is left alone: TRUNCATE makes a new file for each of its indexes.
        others = itertools.compress((of_projections, tags), are_filled)
        names = (*map(quote, (ours.events, ours.streams, ours.snapshots)), *others)
        connection.exec_driver_sql(f"TRUNCATE {', '.join(names)} RESTART IDENTITY")


@functools.cache
def _emptying(url: str) -> Engine:
    """Return an engine that keeps its connection: a new one for each test would cost more than it does."""
    options = "-c lock_timeout=20s -c eventstore.allow_history_changes=on"
    engine = create_engine(url, connect_args={"options": options}, pool_size=1, pool_pre_ping=True)
    atexit.register(engine.dispose)
    return engine


@contextmanager
def changing_history(engine: Engine, schema: str | None = None) -> Iterator[Connection]:
    """Open a transaction that may change and delete events, for damage that is done on purpose."""
    with EventStore(engine, schema=schema).transaction() as store, store.allow_history_changes():
        yield store.connection


sqlite_when_there_is_time = pytest.mark.parametrize(
    "any_url",
    [pytest.param("postgresql", marks=pytest.mark.postgresql), pytest.param("sqlite", marks=pytest.mark.long)],
    indirect=True,
)
"""For tests of races that take seconds: SQLite has one writer at a time, and the contract shows the rest on both."""


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def any_url(request: pytest.FixtureRequest) -> str:
    """Return the URL of a fresh database with the tables, of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{request.getfixturevalue('sqlite_path')}"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def any_engine(any_url: str) -> Iterator[Engine]:
    engine = engine_for(any_url)
    yield engine
    engine.dispose()
