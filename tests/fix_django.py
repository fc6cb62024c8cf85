"""Django in this process, with the settings of tests/django_project, and a fresh database for each test.

Settings are global, and a process of pytest-xdist runs many files: so there is one project for all tests in here, and
what needs settings of its own (the example, pytest-django, test runners) is run in a process of its own.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final

import django
import psycopg
import pytest
from django.core.management import call_command
from django.db import connections
from django.test import override_settings
from psycopg import sql
from sqlalchemy import URL, make_url

from eventstore.contrib.django.store import forget_stores
from tests.fix_postgresql import Databases

KEPT: Final = frozenset(
    {"auth_permission", "django_content_type", "django_migrations", "es_alembic_version", "es_schema"}
)
"""Tables with rows that migrations have written."""

ROWS_OF_TESTS: Final = """
SELECT string_agg(quote_ident(tablename), ', ') FROM pg_tables WHERE schemaname = 'public' AND tablename <> ALL (%s)
"""


@pytest.fixture(scope="session")
def django_project() -> None:
    """Load the project: once in a process."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.django_project.settings"
    django.setup()
    del os.environ["DJANGO_SETTINGS_MODULE"]  # processes that tests start have settings of their own


def sqlite_settings(path: Path) -> dict[str, Any]:
    return {"ENGINE": "django.db.backends.sqlite3", "NAME": str(path), "OPTIONS": {"timeout": 20}}


def postgresql_settings(given: Any) -> dict[str, Any]:
    url = make_url(given)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": url.database,
        "USER": url.username,
        "PASSWORD": url.password or "",
        "HOST": url.host,
        "PORT": str(url.port or ""),
    }


def use_database(settings: dict[str, Any], alias: str = "default") -> None:
    """Put a database in the place of the one that Django has under an alias."""
    if alias in connections.settings:
        connections[alias].close()
        del connections[alias]
    completed = connections.configure_settings({"default": {}, alias: settings})
    connections.settings[alias] = completed[alias]
    forget_stores()


def leave_database(alias: str = "default") -> None:
    """Close this thread's connection, and put one that nobody can use in its place."""
    use_database({"ENGINE": "django.db.backends.dummy"}, alias)


@cache
def _sqlite_template() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "template.db"
        use_database(sqlite_settings(path))
        call_command("migrate", verbosity=0)
        leave_database()
        return path.read_bytes()


def new_sqlite(path: Path) -> dict[str, Any]:
    """Make a SQLite database with all tables; return its settings."""
    path.write_bytes(_sqlite_template())
    return sqlite_settings(path)


@pytest.fixture(scope="session")
def django_postgres_template(django_project: None, postgres_databases: Databases) -> Iterator[str]:
    with postgres_databases.fresh("template0") as url:
        use_database(postgresql_settings(url))
        call_command("migrate", verbosity=0)
        leave_database()
        yield str(url.database)


@pytest.fixture
def django_sqlite(django_project: None, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """Give Django a fresh SQLite database, with all tables; return its settings."""
    settings = new_sqlite(tmp_path / "django.db")
    use_database(settings)
    yield settings
    leave_database()


@pytest.fixture(scope="session")
def shared_django_postgres_url(django_postgres_template: str, postgres_databases: Databases) -> Iterator[URL]:
    with postgres_databases.fresh(django_postgres_template) as url:
        yield url


@pytest.fixture
def django_postgresql(shared_django_postgres_url: URL) -> Iterator[dict[str, Any]]:
    """Give Django a PostgreSQL database that was emptied after the test before; return its settings."""
    settings = postgresql_settings(shared_django_postgres_url)
    use_database(settings)
    yield settings
    leave_database()
    with psycopg.connect(
        shared_django_postgres_url.set(drivername="postgresql").render_as_string(hide_password=False)
    ) as emptying:
        emptying.execute("SET LOCAL lock_timeout = '20s'; SET LOCAL eventstore.allow_history_changes = 'on'")
        tables = emptying.execute(ROWS_OF_TESTS, [sorted(KEPT)]).fetchone()
        assert tables is not None
        emptying.execute(sql.SQL("TRUNCATE {} RESTART IDENTITY").format(sql.SQL(tables[0])))


@pytest.fixture
def own_django_postgresql(django_postgres_template: str, postgres_databases: Databases) -> Iterator[dict[str, Any]]:
    """Give Django a PostgreSQL database of the test's own, whose tables it may damage; return its settings."""
    with postgres_databases.fresh(django_postgres_template) as url:
        settings = postgresql_settings(url)
        use_database(settings)
        yield settings
        leave_database()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def django_database(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Give Django a database of each kind, with all tables; return its settings. Leave its tables as they are."""
    settings: dict[str, Any] = request.getfixturevalue(f"django_{request.param}")
    return settings


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def own_django_database(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Give Django a database of the test's own, of each kind; return its settings."""
    name = "django_sqlite" if request.param == "sqlite" else "own_django_postgresql"
    settings: dict[str, Any] = request.getfixturevalue(name)
    return settings


@pytest.fixture
def in_thread() -> Callable[..., Any]:
    """Return a function that runs another one in a thread of its own, and closes Django's connections there."""

    def run(function: Callable[..., Any], *arguments: Any) -> Any:
        def work() -> Any:
            try:
                return function(*arguments)
            finally:
                connections.close_all()

        with ThreadPoolExecutor(1) as pool:
            return pool.submit(work).result(timeout=60)

    return run


@pytest.fixture
def settings_of_time() -> Callable[..., Any]:
    """Return a function that overrides settings of time zones inside a block, for connections that are open, too."""

    @contextmanager
    def override(using: str = "default", **given: Any) -> Iterator[None]:
        with override_settings(**given):
            connections[using].close()
            yield
        connections[using].close()

    return override
