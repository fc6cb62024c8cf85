"""Schemas that Citus distributes, on the cluster whose coordinator is named by EVENTSTORE_TEST_CITUS_URL.

Without it the tests that use a fixture of this file are left out, and the header and the summary of the run say so. To
run them, start a coordinator and two workers, for example of the image that Citus publishes, with
`citus.enable_schema_based_sharding = on` and `max_prepared_transactions` above 0.
"""

import os
import secrets
from collections.abc import Iterator
from typing import Final

import pytest
from sqlalchemy import Engine, create_engine, make_url, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from eventstore import migrations

URL_VARIABLE: Final = "EVENTSTORE_TEST_CITUS_URL"
FIXTURES: Final = frozenset({"citus_url", "citus_schema", "citus_engine", "citus_schemas"})
_IS_COORDINATOR: Final = "SELECT groupid = 0 FROM pg_dist_local_group"

deselected_key: Final = pytest.StashKey[int]()


def pytest_report_header() -> str:
    url = os.environ.get(URL_VARIABLE)
    if not url:
        return f"Citus: none, the tests that need it are deselected ({URL_VARIABLE} is not set)"
    return f"Citus: {make_url(url).render_as_string()}, from {URL_VARIABLE}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if os.environ.get(URL_VARIABLE):
        return
    deselected = [item for item in items if not FIXTURES.isdisjoint(getattr(item, "fixturenames", ()))]
    items[:] = [item for item in items if item not in deselected]
    config.stash[deselected_key] = len(deselected)
    config.hook.pytest_deselected(items=deselected)


def pytest_report_collectionfinish(config: pytest.Config) -> list[str]:
    count = config.stash.get(deselected_key, 0)
    return [f"Citus: deselected {count} tests that need it ({URL_VARIABLE} is not set)"] if count else []


@pytest.fixture(scope="session")
def citus_url() -> str:
    """The URL of the coordinator."""
    url = make_url(os.environ[URL_VARIABLE]).set(drivername="postgresql+psycopg")
    engine = create_engine(url, poolclass=NullPool)
    try:
        with engine.connect() as connection:
            is_coordinator = connection.scalar(text(_IS_COORDINATOR))
    except SQLAlchemyError as error:
        pytest.fail(f"{URL_VARIABLE} does not lead to a server with Citus: {error}", pytrace=False)
    if not is_coordinator:
        pytest.fail(f"{URL_VARIABLE} leads to a worker", pytrace=False)
    return url.render_as_string(hide_password=False)


@pytest.fixture(scope="session")
def citus_schema(citus_url: str) -> Iterator[str]:
    """A schema for all tests of this process, with the tables of all revisions, that Citus has distributed."""
    engine = create_engine(citus_url, poolclass=NullPool)
    name = _distributed(engine)
    migrations.upgrade(engine, schema=name)
    yield name
    _drop(engine, name)


@pytest.fixture
def citus_engine(citus_url: str) -> Iterator[Engine]:
    """An engine of the one database there is, in which no test of another process makes tables meanwhile."""
    engine = create_engine(citus_url)
    alone = create_engine(citus_url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with alone.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(7205759403792793)"))
        yield engine
    engine.dispose()


@pytest.fixture
def citus_schemas(citus_url: str) -> Iterator[tuple[str, str]]:
    """Two schemas of this test's own, provisioned, on different workers if there are several."""
    engine = create_engine(citus_url, poolclass=NullPool)
    names = (_distributed(engine), _distributed(engine))
    for name in names:
        migrations.provision(engine, name)
    yield names
    for name in names:
        _drop(engine, name)


def _distributed(engine: Engine) -> str:
    name = f"Test {secrets.token_hex(4)}"
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL citus.enable_schema_based_sharding = on"))
        connection.execute(text(f'CREATE SCHEMA "{name}"'))
    return name


def _drop(engine: Engine, name: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(f'DROP SCHEMA "{name}" CASCADE'))
