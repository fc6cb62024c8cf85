"""Databases for Flask applications: with the event store's tables, and one of the application's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from eventstore.contrib.flask import FlaskEventStore
from tests.flask_applications import Base, Made, with_flask_sqlalchemy, with_kept_session, with_own_session


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def flask_url(request: pytest.FixtureRequest) -> str:
    """Return the URL of a database with the tables of both."""
    if request.param == "sqlite":
        engine = create_engine(f"sqlite:///{request.getfixturevalue('sqlite_path')}")
    else:
        engine = create_engine(request.getfixturevalue("shared_postgres_engine").url)
    Base.metadata.create_all(engine)
    engine.dispose()
    return engine.url.render_as_string(hide_password=False)


@pytest.fixture(params=[with_flask_sqlalchemy, with_own_session, with_kept_session])
def made(request: pytest.FixtureRequest, flask_url: str) -> Iterator[Made]:
    app, engine = request.param(flask_url, FlaskEventStore())
    yield app, engine
    engine.dispose()


@pytest.fixture
def flask_sqlite_url(sqlite_path: Path) -> str:
    engine = create_engine(f"sqlite:///{sqlite_path}")
    Base.metadata.create_all(engine)
    engine.dispose()
    return str(engine.url)


@pytest.fixture
def keeping(flask_sqlite_url: str) -> Iterator[Made]:
    app, engine = with_kept_session(flask_sqlite_url, FlaskEventStore())
    yield app, engine
    engine.dispose()
