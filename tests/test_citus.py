"""The contract by Citus: a schema for each tenant, whole on one worker."""

from collections.abc import Callable, Iterator
from functools import partial
import os
import pytest
from sqlalchemy import Engine, create_engine

from eventstore import EventStore, migrations
from eventstore.testing.contract import EventStoreContract
from tests.fix_engines import empty

SCHEMA = "Tenant A"


@pytest.fixture(scope="session")
def citus_url() -> str:
    url = os.environ["EVENTSTORE_TEST_CITUS_URL"]
    engine = create_engine(url)
    with engine.begin() as c:
        c.exec_driver_sql(f'DROP SCHEMA IF EXISTS "{SCHEMA}" CASCADE')
        c.exec_driver_sql(f'CREATE SCHEMA "{SCHEMA}"')
    migrations.upgrade(engine, schema=SCHEMA)
    engine.dispose()
    return url


class TestCitus(EventStoreContract):
    @pytest.fixture
    def engine(self, citus_url: str) -> Iterator[Engine]:
        engine = create_engine(citus_url)
        yield engine
        engine.dispose()
        empty(citus_url, SCHEMA)

    @pytest.fixture
    def make_store(self, engine: Engine) -> Callable[..., EventStore]:
        return partial(EventStore, engine, schema=SCHEMA)
