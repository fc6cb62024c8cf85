"""The one contract on every backend; what depends on transactions, on engines of the application's too."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, create_engine

from eventstore import EventStore, migrations
from eventstore.backends import postgresql
from eventstore.testing.append_contract import AppendContract
from eventstore.testing.contract import EventStoreContract
from eventstore.testing.global_order_contract import GlobalOrderContract
from eventstore.testing.snapshot_contract import SnapshotContract
from eventstore.testing.transaction_contract import TransactionContract
from tests.fix_engines import migrated_sqlite


class TestSQLiteFile(EventStoreContract):
    @pytest.fixture
    def engine(self, sqlite_engine: Engine) -> Engine:
        return sqlite_engine


class TestSQLiteMemory(EventStoreContract):
    @pytest.fixture
    def engine(self) -> Iterator[Engine]:
        with EventStore.in_memory() as store:
            yield store.engine


class TestSQLiteOfTheApplication(AppendContract, GlobalOrderContract, SnapshotContract, TransactionContract):
    """An engine with nothing set: rollback journal, foreign keys off, the driver's own BEGIN."""

    @pytest.fixture
    def engine(self, tmp_path: Path) -> Iterator[Engine]:
        engine = create_engine(f"sqlite:///{migrated_sqlite(tmp_path)}")
        yield engine
        engine.dispose()


class TestPostgreSQL(EventStoreContract):
    @pytest.fixture
    def engine(self, postgres_engine: Engine) -> Engine:
        return postgres_engine


class TestPostgreSQLInASchema(AppendContract, SnapshotContract, TransactionContract):
    """The tables are in a schema whose name needs quotes."""

    @pytest.fixture
    def engine(self, empty_postgres_url: str) -> Iterator[Engine]:
        engine = create_engine(empty_postgres_url)
        migrations.upgrade(engine, schema="My Events")
        yield engine
        engine.dispose()

    @pytest.fixture
    def store(self, engine: Engine) -> EventStore:
        return EventStore(engine, schema="My Events")


class TestPostgreSQLOfTheApplication(AppendContract, GlobalOrderContract, SnapshotContract, TransactionContract):
    """An engine whose own transactions are serializable."""

    @pytest.fixture
    def engine(self, postgres_url: str) -> Iterator[Engine]:
        engine = create_engine(postgres_url, isolation_level="SERIALIZABLE")
        yield engine
        engine.dispose()


class TestPostgreSQLByCopy(AppendContract, GlobalOrderContract, TransactionContract):
    """Every append is made as those of very many events are: head first, then COPY."""

    @pytest.fixture
    def engine(self, postgres_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Engine:
        monkeypatch.setattr(postgresql, "COPY_FROM", 1)
        return postgres_engine


class TestPostgreSQLWithCursorsOfTheApplication(AppendContract, GlobalOrderContract, SnapshotContract):
    """Its connections make cursors of their own kind, so results are text."""

    @pytest.fixture
    def engine(self, postgres_url: str) -> Iterator[Engine]:
        engine = create_engine(postgres_url, connect_args={"cursor_factory": TheirCursor})
        yield engine
        engine.dispose()


class TheirCursor(psycopg.Cursor[Any]):
    """As instrumentation of psycopg has it."""
