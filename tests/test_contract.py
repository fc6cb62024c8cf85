"""The one contract on every backend, and on engines of the application's.

A SQLite file and PostgreSQL run all of it. Each other setup says what is different there, and the suite runs the parts
of the contract that meet the difference: SQL that is built in another way, or a driver, a pool or a transaction that
works in another way. The parts that would send the same statements through the same code are run with `-m long`.
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, create_engine

from eventstore import EventStore, migrations
from eventstore.backends.postgresql import dialect as postgresql
from eventstore.testing._base import MakeStore
from eventstore.testing.append_contract import (
    AppendContract,
    BatchContract,
    ExpectationContract,
    RepetitionContract,
    SeveralStreamsContract,
)
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
from eventstore.testing.waiting_contract import WaitingContract
from tests.fix_engines import again, empty, migrated_sqlite


class TestSQLiteFile(EventStoreContract):
    @pytest.fixture
    def engine(self, sqlite_engine: Engine) -> Engine:
        return sqlite_engine


class InPagesOfSeven(GlobalOrderContract):
    """For engines of the application's: the three that run the whole contract read in pages of all sizes."""

    @pytest.mark.parametrize("page_size", [7])
    def test_filters_match_by_all_of_their_fields_and_any_of_them(self, make_store: MakeStore, page_size: int) -> None:
        super().test_filters_match_by_all_of_their_fields_and_any_of_them(make_store, page_size)

    @pytest.mark.parametrize("page_size", [7])
    def test_a_limit_counts_events_that_match(self, make_store: MakeStore, page_size: int) -> None:
        super().test_a_limit_counts_events_that_match(make_store, page_size)

    @pytest.mark.parametrize("page_size", [7])
    def test_backwards_the_same_events_come_the_newest_first(self, make_store: MakeStore, page_size: int) -> None:
        super().test_backwards_the_same_events_come_the_newest_first(make_store, page_size)

    test_many_names_are_fine_and_too_many_filters_are_not = None  # type: ignore[assignment]


class AppendContractWithoutRaces(ExpectationContract, BatchContract, RepetitionContract, SeveralStreamsContract):
    """For setups whose locks and transactions are those of another one."""


class InMemory:
    """All threads share one connection, so no statement goes past the pool."""

    @pytest.fixture
    def engine(self) -> Iterator[Engine]:
        with EventStore.in_memory() as store:
            yield store.engine


@pytest.mark.slow
class TestSQLiteMemory(
    InMemory, AppendContract, ReadContract, InPagesOfSeven, TransactionContract, WaitingContract, ProjectionContract
):
    """What reads, and what begins or waits for transactions."""


@pytest.mark.long
class TestSQLiteMemoryAll(InMemory, EventStoreContract):
    """The whole contract."""


class OfTheApplicationOnSQLite:
    """An engine with nothing set: rollback journal, foreign keys off, the driver's own BEGIN."""

    @pytest.fixture
    def engine(self, tmp_path: Path) -> Iterator[Engine]:
        engine = create_engine(f"sqlite:///{migrated_sqlite(tmp_path)}")
        yield engine
        engine.dispose()


@pytest.mark.slow
class TestSQLiteOfTheApplication(
    OfTheApplicationOnSQLite, AppendContract, TransactionContract, ProjectionContract, DeletionContract
):
    """What writes in transactions."""


@pytest.mark.long
class TestSQLiteOfTheApplicationAll(OfTheApplicationOnSQLite, EventStoreContract):
    """The whole contract."""


class TestPostgreSQL(EventStoreContract):
    @pytest.fixture
    def engine(self, kept_postgres_engine: Engine) -> Engine:
        return kept_postgres_engine


SCHEMA = "My Events"


@pytest.fixture(scope="session")
def pool_in_a_schema(shared_postgres_url: str) -> Iterator[Engine]:
    engine = create_engine(shared_postgres_url)
    migrations.upgrade(engine, schema=SCHEMA)
    yield engine
    engine.dispose()


class InASchema:
    """The tables are in a schema whose name needs quotes."""

    @pytest.fixture
    def engine(self, pool_in_a_schema: Engine, shared_postgres_url: str) -> Iterator[Engine]:
        yield again(pool_in_a_schema)
        empty(shared_postgres_url, SCHEMA)

    @pytest.fixture
    def make_store(self, engine: Engine) -> Callable[..., EventStore]:
        return partial(EventStore, engine, schema=SCHEMA)


@pytest.mark.slow
class TestPostgreSQLInASchema(
    InASchema,
    AppendContractWithoutRaces,
    ReadContract,
    InPagesOfSeven,
    SnapshotContract,
    ListingContract,
    ProjectionContract,
    DeletionContract,
    BoundaryContract,
):
    """Every statement names the schema: the parts that have statements of their own."""

    test_decisions_of_many_writers_are_based_on_all_earlier_events = None  # type: ignore[assignment]

    @pytest.mark.parametrize("number", [201])
    def test_an_append_may_have_any_number_of_tags(self, store: EventStore, number: int) -> None:
        super().test_an_append_may_have_any_number_of_tags(store, number)


@pytest.mark.long
class TestPostgreSQLInASchemaAll(InASchema, EventStoreContract):
    """The whole contract."""


@pytest.fixture(scope="session")
def serializable_pool(shared_postgres_url: str) -> Iterator[Engine]:
    engine = create_engine(shared_postgres_url, isolation_level="SERIALIZABLE")
    yield engine
    engine.dispose()


class Serializable:
    """An engine whose own transactions are serializable."""

    @pytest.fixture
    def engine(self, serializable_pool: Engine, shared_postgres_url: str) -> Iterator[Engine]:
        yield again(serializable_pool)
        empty(shared_postgres_url)


@pytest.mark.slow
class TestPostgreSQLOfTheApplication(Serializable, AppendContract, TransactionContract):
    """What writes, and so what it sees and whom it meets."""


@pytest.mark.long
class TestPostgreSQLOfTheApplicationAll(
    Serializable, InPagesOfSeven, SnapshotContract, ProjectionContract, InlineContract, RepositoryContract
):
    """What else begins transactions."""


class ByCopy:
    """Every append is made as those of very many events are: head first, then COPY."""

    @pytest.fixture
    def engine(self, kept_postgres_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Engine:
        monkeypatch.setattr(postgresql, "COPY_FROM", 1)
        return kept_postgres_engine


@pytest.mark.slow
class TestPostgreSQLByCopy(ByCopy, AppendContract, TransactionContract):
    """What appends; that inline projections see such events is in the whole contract, with very many of them."""


@pytest.mark.long
class TestPostgreSQLByCopyAll(ByCopy, EventStoreContract):
    """The whole contract."""


@pytest.fixture(scope="session")
def pool_with_their_cursors(shared_postgres_url: str) -> Iterator[Engine]:
    engine = create_engine(shared_postgres_url, connect_args={"cursor_factory": TheirCursor})
    yield engine
    engine.dispose()


@pytest.mark.slow
class TestPostgreSQLWithCursorsOfTheApplication(AppendContractWithoutRaces, InPagesOfSeven, SnapshotContract):
    """Its connections make cursors of their own kind, so results are text."""

    @pytest.fixture
    def engine(self, pool_with_their_cursors: Engine, shared_postgres_url: str) -> Iterator[Engine]:
        yield again(pool_with_their_cursors)
        empty(shared_postgres_url)


@pytest.mark.slow
class TestPostgreSQLInParts(AppendContractWithoutRaces, InPagesOfSeven):
    """The log is partitioned, with parts of five positions: pages of seven span two or three."""

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
