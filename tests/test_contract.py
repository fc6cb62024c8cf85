"""The one contract on every backend; what depends on transactions, on engines of the application's too."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, create_engine

from eventstore import EventStore, migrations
from eventstore.backends.postgresql import dialect as postgresql
from eventstore.testing.append_contract import AppendContract
from eventstore.testing.boundary_contract import BoundaryContract
from eventstore.testing.contract import EventStoreContract
from eventstore.testing.deletion_contract import DeletionContract
from eventstore.testing.global_order_contract import GlobalOrderContract
from eventstore.testing.inline_contract import InlineContract
from eventstore.testing.listing_contract import ListingContract
from eventstore.testing.projection_contract import ProjectionContract
from eventstore.testing.read_contract import ReadContract
from eventstore.testing.repository_contract import RepositoryContract
from eventstore.testing.snapshot_contract import SnapshotContract
from eventstore.testing.transaction_contract import TransactionContract
from tests.fix_engines import empty, migrated_sqlite


class TestSQLiteFile(EventStoreContract):
    @pytest.fixture
    def engine(self, sqlite_engine: Engine) -> Engine:
        return sqlite_engine


class TestSQLiteMemory(EventStoreContract):
    @pytest.fixture
    def engine(self) -> Iterator[Engine]:
        with EventStore.in_memory() as store:
            yield store.engine


@pytest.mark.slow
class TestSQLiteOfTheApplication(
    AppendContract,
    GlobalOrderContract,
    SnapshotContract,
    ListingContract,
    TransactionContract,
    ProjectionContract,
    InlineContract,
    RepositoryContract,
    DeletionContract,
):
    """An engine with nothing set: rollback journal, foreign keys off, the driver's own BEGIN."""

    @pytest.fixture
    def engine(self, tmp_path: Path) -> Iterator[Engine]:
        engine = create_engine(f"sqlite:///{migrated_sqlite(tmp_path)}")
        yield engine
        engine.dispose()


class TestPostgreSQL(EventStoreContract):
    @pytest.fixture
    def engine(self, shared_postgres_engine: Engine) -> Engine:
        return shared_postgres_engine


SCHEMA = "My Events"


@pytest.fixture(scope="session")
def postgres_url_with_schema(shared_postgres_url: str) -> str:
    engine = create_engine(shared_postgres_url)
    migrations.upgrade(engine, schema=SCHEMA)
    engine.dispose()
    return shared_postgres_url


@pytest.mark.slow
class TestPostgreSQLInASchema(
    AppendContract,
    ReadContract,
    GlobalOrderContract,
    SnapshotContract,
    ListingContract,
    TransactionContract,
    ProjectionContract,
    InlineContract,
    RepositoryContract,
    DeletionContract,
    BoundaryContract,
):
    """The tables are in a schema whose name needs quotes. What is refused, and values, know nothing of it."""

    @pytest.fixture
    def engine(self, postgres_url_with_schema: str) -> Iterator[Engine]:
        engine = create_engine(postgres_url_with_schema)
        yield engine
        engine.dispose()
        empty(postgres_url_with_schema, SCHEMA)

    @pytest.fixture
    def make_store(self, engine: Engine) -> Callable[..., EventStore]:
        return partial(EventStore, engine, schema=SCHEMA)


@pytest.mark.slow
class TestPostgreSQLOfTheApplication(
    AppendContract, GlobalOrderContract, SnapshotContract, TransactionContract, RepositoryContract
):
    """An engine whose own transactions are serializable."""

    @pytest.fixture
    def engine(self, shared_postgres_url: str) -> Iterator[Engine]:
        engine = create_engine(shared_postgres_url, isolation_level="SERIALIZABLE")
        yield engine
        engine.dispose()
        empty(shared_postgres_url)


@pytest.mark.slow
class TestPostgreSQLByCopy(AppendContract, GlobalOrderContract, TransactionContract, InlineContract):
    """Every append is made as those of very many events are: head first, then COPY."""

    @pytest.fixture
    def engine(self, shared_postgres_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Engine:
        monkeypatch.setattr(postgresql, "COPY_FROM", 1)
        return shared_postgres_engine


@pytest.mark.slow
class TestPostgreSQLWithCursorsOfTheApplication(AppendContract, GlobalOrderContract, SnapshotContract):
    """Its connections make cursors of their own kind, so results are text."""

    @pytest.fixture
    def engine(self, shared_postgres_url: str) -> Iterator[Engine]:
        engine = create_engine(shared_postgres_url, connect_args={"cursor_factory": TheirCursor})
        yield engine
        engine.dispose()
        empty(shared_postgres_url)


@pytest.mark.slow
class TestPostgreSQLInParts(AppendContract, GlobalOrderContract):
    """The log is partitioned, with parts of five positions. The other contracts follow, in minutes."""

    @pytest.fixture
    def engine(self, partitioned_engine: Engine) -> Engine:
        return partitioned_engine


@pytest.mark.long
class TestPostgreSQLInPartsAll(EventStoreContract):
    """The whole contract on a partitioned log."""

    @pytest.fixture
    def engine(self, partitioned_engine: Engine) -> Engine:
        return partitioned_engine


class TheirCursor(psycopg.Cursor[Any]):
    """As instrumentation of psycopg has it."""
