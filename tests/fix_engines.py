"""Engines of fresh databases with the tables."""

import functools
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, create_engine, text

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


def empty(url: str, schema: str | None = None) -> None:
    """Delete all rows of the tables, and all tables that are not ours; positions begin at 1 again."""
    ours = define_tables(schema=schema)
    rows = (ours.events, ours.streams, ours.snapshots, ours.checkpoints, ours.dead_letters, ours.tags)
    engine = create_engine(url, connect_args={"options": "-c lock_timeout=20s -c eventstore.allow_history_changes=on"})
    quote = engine.dialect.identifier_preparer.format_table
    with engine.begin() as connection:
        found = connection.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).scalars()
        for name in set(found) - {*(table.name for table in ours.metadata.tables.values()), VERSION_TABLE}:
            if is_part(name):
                continue
            connection.execute(text(f'DROP TABLE "{name}" CASCADE'))
        connection.execute(text(f"TRUNCATE {', '.join(map(quote, rows))} RESTART IDENTITY"))
    engine.dispose()


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
