"""Databases of the first revision, with events in them, are upgraded: nothing is lost, and the whole contract holds."""

import functools
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.pool import NullPool

from eventstore import EventStore, migrations
from eventstore.backends import engine_for
from eventstore.testing.append_contract import AppendContract, ExpectationContract
from eventstore.testing.read_contract import ReadContract
from eventstore.testing.snapshot_contract import SnapshotContract
from eventstore.testing.transaction_contract import TransactionContract
from eventstore.testing.value_contract import ValueContract
from tests.fix_engines import changing_history
from tests.fix_postgresql import Databases
from tests.golden.es_0001 import EXPECTED, PAID, STATE, event_types
from tests.test_contract import InPagesOfSeven

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def golden_sqlite(tmp_path: Path) -> Iterator[Engine]:
    path = tmp_path / "events.db"
    path.write_bytes((GOLDEN / "es_0001.db").read_bytes())
    engine = engine_for(f"sqlite:///{path}")
    yield engine
    engine.dispose()


@pytest.fixture
def golden_postgresql(new_postgres_engine: Engine) -> Engine:
    load_golden(new_postgres_engine)
    return new_postgres_engine


def load_golden(engine: Engine) -> None:
    raw = engine.raw_connection()
    raw.driver_connection.execute((GOLDEN / "es_0001.sql").read_text(encoding="utf-8"))  # type: ignore[union-attr]  # psycopg's
    raw.commit()
    raw.invalidate()  # the dump has changed its search path


@functools.cache
def upgraded_sqlite_template() -> bytes:
    """Return the upgraded file: upgrading once and copying is quicker."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.db"
        path.write_bytes((GOLDEN / "es_0001.db").read_bytes())
        engine = create_engine(f"sqlite:///{path}")
        migrations.upgrade(engine)
        engine.dispose()
        return path.read_bytes()


@pytest.fixture
def upgraded_sqlite(tmp_path: Path) -> Iterator[Engine]:
    path = tmp_path / "events.db"
    path.write_bytes(upgraded_sqlite_template())
    engine = engine_for(f"sqlite:///{path}")
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def upgraded_postgres_template(postgres_databases: Databases) -> Iterator[str]:
    """The name of an upgraded database, to be cloned."""
    with postgres_databases.fresh("template0") as url:
        engine = create_engine(url, poolclass=NullPool)
        load_golden(engine)
        migrations.upgrade(engine)
        assert url.database is not None
        yield url.database


@pytest.fixture
def upgraded_postgresql(postgres_databases: Databases, upgraded_postgres_template: str) -> Iterator[Engine]:
    with postgres_databases.fresh(upgraded_postgres_template) as url:
        engine = engine_for(url)
        yield engine
        engine.dispose()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def golden(request: pytest.FixtureRequest) -> Engine:
    engine: Engine = request.getfixturevalue(f"golden_{request.param}")
    return engine


@pytest.mark.slow
def test_nothing_is_lost_on_the_way_to_the_newest_schema(golden: Engine) -> None:
    assert migrations.current(golden) == "es_0001"
    store = EventStore(golden, event_types=event_types())
    before = {stream_id: list(store.read_stream(stream_id)) for stream_id in EXPECTED}
    migrations.upgrade(golden)
    assert migrations.verify(golden) == []
    for stream_id, data in EXPECTED.items():
        events = list(store.read_stream(stream_id))
        assert events == before[stream_id]
        assert [event.data for event in events] == data
        assert store.stream_version(stream_id) == len(data)
    first = before["golden-1"][0]
    assert (first.event_id, first.metadata) == (UUID(int=7), {"user": "Ada", "tags": ["a", 1, None]})
    snapshot = store.snapshots.load("golden", schema_version=2)
    assert snapshot is not None
    assert (snapshot.version, snapshot.state) == (40, STATE)


def test_the_old_schema_can_still_be_written(golden: Engine) -> None:
    """Its code is deployed before the schema is upgraded, or after."""
    store = EventStore(golden, event_types=event_types())
    result = store.append("golden-1", [PAID, PAID], expected_version=2)
    with golden.connect() as connection:
        largest = connection.execute(text("SELECT max(position) FROM es_events")).scalar_one()
    assert (result.version, result.position) == (4, largest)


class ContractBesideOldEvents(AppendContract, ReadContract, ValueContract, SnapshotContract, TransactionContract):
    """What reads and writes beside old rows, but does not read all events."""


def emptied(engine: Engine) -> Engine:
    """Delete the events that the contract about the global order does not know; positions go on above theirs."""
    tables = EventStore(engine).tables
    with changing_history(engine) as connection:
        for table in (tables.snapshots, tables.events, tables.streams):
            connection.execute(table.delete())
    return engine


@pytest.mark.slow
class TestUpgradedSQLite(ContractBesideOldEvents):
    @pytest.fixture
    def engine(self, upgraded_sqlite: Engine) -> Engine:
        return upgraded_sqlite


class UpgradedPostgreSQL:
    @pytest.fixture
    def engine(self, upgraded_postgresql: Engine) -> Engine:
        return upgraded_postgresql


@pytest.mark.slow
class TestUpgradedPostgreSQL(UpgradedPostgreSQL, ExpectationContract, ReadContract):
    """What finds old rows. Its tables are otherwise those of every test: they are upgraded from nothing."""


@pytest.mark.long
class TestUpgradedPostgreSQLAll(UpgradedPostgreSQL, ContractBesideOldEvents):
    """All of it."""


@pytest.mark.slow
class TestUpgradedAndEmptiedSQLite(InPagesOfSeven):
    @pytest.fixture
    def engine(self, upgraded_sqlite: Engine) -> Engine:
        return emptied(upgraded_sqlite)


@pytest.mark.long
class TestUpgradedAndEmptiedPostgreSQL(InPagesOfSeven):
    @pytest.fixture
    def engine(self, upgraded_postgresql: Engine) -> Engine:
        return emptied(upgraded_postgresql)
