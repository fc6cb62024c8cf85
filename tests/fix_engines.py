"""Engines of fresh databases with the tables."""

import functools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine

from eventstore import migrations
from eventstore.backends import engine_for


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
