"""The shop on a fresh database of each kind."""

from collections.abc import Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient

from flask_shop import create_app
from flask_shop.database import db


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def shop(request: pytest.FixtureRequest) -> Iterator[Flask]:
    """Return the application, with its tables."""
    if request.param == "sqlite":
        url = f"sqlite:///{request.getfixturevalue('sqlite_path')}"
    else:
        url = request.getfixturevalue("shared_postgres_engine").url.render_as_string(hide_password=False)
    app = create_app(url)
    app.testing = True
    with app.app_context():
        db.create_all()
    yield app
    with app.app_context():
        db.engine.dispose()


@pytest.fixture
def client(shop: Flask) -> FlaskClient:
    return shop.test_client()
