"""What is true on SQLite only."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from eventstore import ANY, NO_STREAM, Append, ConcurrencyConflict, DatabaseBusy, EventStore, NewEvent
from eventstore.backends.protocol import Statement
from eventstore.backends.sqlite.dialect import SQLiteDialect
from eventstore.errors import NotInTransaction
from eventstore.statements.aggregates import count_streams, load_aggregate, snapshot_versions, version_as_of
from eventstore.statements.heads import write_head
from eventstore.statements.reading import newest_stored_version, read_forwards, read_page_backwards, stream_version
from eventstore.statements.snapshots import delete_snapshot, delete_snapshots, load_snapshot, save_snapshot
from eventstore.statements.sqlite.append import find_heads, take_write_lock
from eventstore.streams import Expectation
from tests.fix_engines import changing_history


@pytest.fixture
def store(sqlite_engine: Engine) -> EventStore:
    return EventStore(sqlite_engine)


def events(count: int) -> list[NewEvent]:
    return [NewEvent("counted", {"number": number}) for number in range(count)]


def pragmas(engine: Engine) -> dict[str, Any]:
    with engine.connect() as connection:
        names = ("journal_mode", "foreign_keys", "synchronous", "busy_timeout")
        return {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names}


def test_a_store_of_its_own_is_safe_and_concurrent(tmp_path: Path) -> None:
    with EventStore.from_url(f"sqlite:///{tmp_path / 'new.db'}") as store:
        full = 2
        assert pragmas(store.engine) == {
            "journal_mode": "wal",
            "foreign_keys": 1,
            "synchronous": full,
            "busy_timeout": 30_000,
        }


def test_the_applications_engine_stays_as_it_is(sqlite_path: Path) -> None:
    engine = create_engine(f"sqlite:///{sqlite_path}", connect_args={"timeout": 0.25})
    before = pragmas(engine)
    store = EventStore(engine)
    store.append("order-1", events(2), expected_version=0)
    store.append_many([Append("order-2", events(2), expected_version=0)])
    assert len(list(store.read_stream("order-1"))) == 2
    assert (
        pragmas(engine)
        == before
        == {"journal_mode": "delete", "foreign_keys": 0, "synchronous": 2, "busy_timeout": 250}
    )
    with engine.connect() as connection:
        assert connection.get_isolation_level() == "SERIALIZABLE"
        raw = connection.connection.dbapi_connection
        assert isinstance(raw, sqlite3.Connection)
        assert raw.isolation_level == ""
    engine.dispose()


@pytest.mark.parametrize("begin", ["BEGIN", "BEGIN IMMEDIATE"])
def test_an_engine_that_sends_its_own_begin_works(sqlite_path: Path, begin: str) -> None:
    """As SQLAlchemy's documentation recommends for savepoints and serializable isolation on SQLite."""
    engine = create_engine(f"sqlite:///{sqlite_path}")

    @event.listens_for(engine, "connect")
    def _on_connect(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Any) -> None:
        connection.exec_driver_sql(begin)

    store = EventStore(engine)
    store.append("order-1", events(1), expected_version=0)
    with Session(engine) as session, session.begin():
        inside = store.join(session)
        inside.append("order-1", events(1), expected_version=1)
        with pytest.raises(ConcurrencyConflict):
            inside.append_many(
                [Append("order-2", events(1), expected_version=0), Append("order-1", events(1), expected_version=0)]
            )
    with pytest.raises(ZeroDivisionError), store.transaction() as tx:
        tx.append("order-3", events(1), expected_version=0)
        _ = 1 / 0
    assert store.snapshots.save("order-1", version=1, state="kept")
    assert store.snapshots.load("order-1") is not None
    assert [store.stream_version(f"order-{number}") for number in (1, 2, 3)] == [2, 0, 0]
    engine.dispose()


@pytest.mark.parametrize("driver_timeout", [0.01, 30])
def test_a_writer_gives_up_after_its_timeout(sqlite_path: Path, sqlite_engine: Engine, driver_timeout: float) -> None:
    engine = create_engine(f"sqlite:///{sqlite_path}", connect_args={"timeout": driver_timeout})
    store = EventStore(engine, lock_timeout_seconds=0.2)
    with EventStore(sqlite_engine).transaction() as tx:
        tx.append("order-1", events(1), expected_version=0)
        began = time.monotonic()
        with pytest.raises(DatabaseBusy) as busy:
            store.append("order-2", events(1), expected_version=0)
        assert 0.2 <= time.monotonic() - began < 5
        assert busy.value.waited_seconds == 0.2
    assert store.append("order-2", events(1), expected_version=0).version == 1
    assert pragmas(engine)["busy_timeout"] == driver_timeout * 1000
    engine.dispose()


def test_a_joined_writer_who_can_not_have_the_lock_is_told(sqlite_path: Path, sqlite_engine: Engine) -> None:
    engine = create_engine(f"sqlite:///{sqlite_path}", connect_args={"timeout": 0.1})
    with EventStore(sqlite_engine).transaction() as tx, engine.connect() as connection:
        tx.append("order-1", events(1), expected_version=0)
        with pytest.raises(DatabaseBusy, match="began to read"):
            EventStore(engine).join(connection).append("order-2", events(1), expected_version=0)
    engine.dispose()


def test_a_commit_that_readers_hold_up_gives_up_too(sqlite_path: Path) -> None:
    """Without a write-ahead log, as SQLite has it by default."""
    engine = create_engine(f"sqlite:///{sqlite_path}", connect_args={"timeout": 0.01})
    store = EventStore(engine, lock_timeout_seconds=0.2)
    with closing(sqlite3.connect(sqlite_path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM es_schema").fetchall()
        with pytest.raises(DatabaseBusy):
            store.append("order-1", events(1), expected_version=0)
        reader.execute("COMMIT")
    assert store.append("order-1", events(1), expected_version=0).version == 1
    engine.dispose()


def test_an_engine_in_autocommit_can_not_be_joined(sqlite_path: Path) -> None:
    engine = create_engine(f"sqlite:///{sqlite_path}", isolation_level="AUTOCOMMIT")
    store = EventStore(engine)
    with engine.connect() as connection, pytest.raises(NotInTransaction):
        store.join(connection).append("order-1", events(1), expected_version=0)
    assert store.append("order-1", events(1), expected_version=0).version == 1
    engine.dispose()


def test_a_joined_connection_in_autocommit_is_refused(store: EventStore, sqlite_engine: Engine) -> None:
    with sqlite_engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        with pytest.raises(NotInTransaction):
            store.join(connection).append("order-1", events(1), expected_version=0)
        connection.rollback()


def test_a_failed_append_leaves_the_callers_transaction_as_it_was(store: EventStore, sqlite_engine: Engine) -> None:
    """Unlike PostgreSQL, SQLite goes on after an error: the transaction must not hold half an append."""
    refuse = (
        "CREATE TRIGGER stopper BEFORE INSERT ON es_events WHEN new.version = 3 BEGIN SELECT RAISE(ABORT, 'no'); END"
    )
    with sqlite_engine.begin() as connection:
        connection.exec_driver_sql(refuse)
        inside = store.join(connection)
        for attempt in (
            lambda: inside.append("order-1", events(3), expected_version=0),
            lambda: inside.append_many([Append("order-1", events(3), expected_version=0)]),
        ):
            with pytest.raises(DBAPIError):
                attempt()
        assert inside.append("order-1", events(2), expected_version=0).version == 2
    assert len(list(store.read_stream("order-1"))) == store.stream_version("order-1") == 2


def test_the_unique_key_is_a_second_layer_behind_the_head(store: EventStore, sqlite_engine: Engine) -> None:
    store.append("order-1", events(5), expected_version=0)
    with sqlite_engine.begin() as connection:
        connection.execute(text("UPDATE es_streams SET version = 2"))
    with pytest.raises(ConcurrencyConflict) as conflict:
        store.append("order-1", events(1), expected_version=2)
    assert (conflict.value.expected, conflict.value.actual) == (2, 5)
    with pytest.raises(ConcurrencyConflict) as conflict:
        store.append_many(
            [Append("order-2", events(1), expected_version=0), Append("order-1", events(1), expected_version=ANY)]
        )
    assert (conflict.value.stream_id, conflict.value.actual) == ("order-1", 5)
    assert store.stream_version("order-2") == 0


def test_a_position_is_never_used_twice(store: EventStore, sqlite_engine: Engine) -> None:
    last = store.append("order-1", events(3), expected_version=0).position
    with changing_history(sqlite_engine) as connection:
        connection.execute(text("DELETE FROM es_events"))
        connection.execute(text("DELETE FROM es_streams"))
    assert store.append("order-1", events(1), expected_version=0).position == last + 1


def test_orphans_are_refused(sqlite_engine: Engine) -> None:
    columns = "version, event_id, schema_version, codec, stream_id, event_type, data"
    orphan = f"INSERT INTO es_events ({columns}) VALUES (1, 'x', 1, 1, 'y', 'z', x'00')"
    with pytest.raises(DBAPIError, match="FOREIGN KEY"), sqlite_engine.begin() as connection:
        connection.execute(text(orphan))


def test_rows_read_like_any_others_through_sqlalchemy(store: EventStore, sqlite_engine: Engine) -> None:
    new = NewEvent("placed", metadata={"user": 7})
    store.append("order-1", [new], expected_version=NO_STREAM)
    with sqlite_engine.connect() as connection:
        row = connection.execute(store.tables.events.select()).one()
    assert (row.event_id, row.metadata, row.category) == (new.event_id, {"user": 7}, "order")
    recorded_at = next(store.read_stream("order-1")).recorded_at
    assert row.recorded_at == recorded_at.replace(tzinfo=None)


# --- plans


@pytest.fixture
def filled(store: EventStore, sqlite_engine: Engine) -> Engine:
    store.append_many([Append(f"order-{number}", events(3), expected_version=0) for number in range(500)])
    with sqlite_engine.begin() as connection:
        connection.execute(text("ANALYZE"))
    return sqlite_engine


PAGE = {"stream_id": "order-7", "after_version": 0, "up_to_version": 9, "page_size": 5}
SNAPSHOT = {"stream_id": "order-7", "schema_version": 1}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("statement", "parameters"),
    [
        (write_head(Expectation.VERSION), {"stream_id": "order-7", "count": 1, "expected": 3}),
        (write_head(Expectation.EXISTING), {"stream_id": "order-7", "count": 1}),
        (take_write_lock, {}),
        (find_heads, {"stream_ids": '["order-7"]'}),
        (stream_version, {"stream_id": "order-7"}),
        (newest_stored_version, {"stream_id": "order-7"}),
        (read_forwards, PAGE),
        (read_page_backwards, PAGE),
        (save_snapshot, {**SNAPSHOT, "version": 1, "codec": 1, "state": b""}),
        (load_snapshot, SNAPSHOT),
        (delete_snapshot, SNAPSHOT),
        (delete_snapshots, {"stream_id": "order-7"}),
        (version_as_of, {"stream_id": "order-7", "as_of": "2026-01-01 00:00:00.000000"}),
        (
            snapshot_versions,
            {"category": "order", "schema_version": 1, "after_stream_id": "order-5", "page_size": 100},
        ),
        (count_streams, {"category": "order"}),
    ],
)
def test_a_hot_statement_uses_its_index(filled: Engine, statement: Statement, parameters: dict[str, Any]) -> None:
    sql, constants = SQLiteDialect().sql(statement)
    with filled.connect() as connection:
        steps = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", {**constants, **parameters})]
    scans = [step for step in steps if step.startswith("SCAN") and "VIRTUAL TABLE" not in step]
    assert scans == []
    assert [step for step in steps if "TEMP B-TREE" in step] == []
    assert any("SEARCH" in step and "USING" in step for step in steps)


def test_an_aggregate_is_loaded_by_its_keys(filled: Engine) -> None:
    sql, constants = SQLiteDialect().sql(load_aggregate)
    parameters = {"stream_id": "order-7", "schema_version": 1, "up_to_version": 9, "page_size": 5}
    with filled.connect() as connection:
        steps = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", {**constants, **parameters})]
    assert [step for step in steps if "TEMP B-TREE" in step] == []
    assert {step for step in steps if step.startswith("SCAN")} <= {"SCAN snapshot", "SCAN tail", "SCAN CONSTANT ROW"}
    tables = {step.split()[1] for step in steps if step.startswith("SEARCH")}
    assert tables == {"snapshots", "es_streams", "es_events"}
    assert any("stream_id=? AND version>? AND version<?" in step for step in steps)


@pytest.fixture
def memory() -> Iterator[EventStore]:
    with EventStore.in_memory() as store:
        yield store


def test_stores_in_memory_are_apart(memory: EventStore) -> None:
    with EventStore.in_memory() as other:
        memory.append("order-1", events(1), expected_version=0)
        assert other.stream_version("order-1") == 0


def test_a_store_in_memory_outlives_its_pool(memory: EventStore) -> None:
    memory.append("order-1", events(1), expected_version=0)
    memory.engine.dispose()
    assert memory.stream_version("order-1") == 1
