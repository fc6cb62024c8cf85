"""What is true on PostgreSQL only."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from eventstore import ANY, NO_STREAM, STREAM_EXISTS, Append, ConcurrencyConflict, EventStore, ExpectedVersion, NewEvent
from eventstore.backends.postgresql.dialect import PostgreSQLDialect
from eventstore.backends.protocol import Statement
from eventstore.errors import NotInTransaction
from eventstore.statements.aggregates import load_aggregate, snapshot_versions, version_as_of
from eventstore.statements.postgresql.append import append, append_to_many, create_heads, lock_heads
from eventstore.statements.postgresql.append_one import append_one
from eventstore.statements.postgresql.append_to_all import append_to_all
from eventstore.statements.reading import (
    newest_stored_version,
    read_forwards,
    read_page_backwards,
    read_page_forwards,
    stream_version,
)
from eventstore.statements.snapshots import delete_snapshot, delete_snapshots, load_snapshot, save_snapshot
from eventstore.streams import Expectation
from tests.waiting import start_waiting


@pytest.fixture
def store(postgres_engine: Engine) -> EventStore:
    return EventStore(postgres_engine)


@pytest.fixture
def executed(postgres_engine: Engine) -> Iterator[list[str]]:
    """The statements that were sent."""
    sent: list[str] = []

    @event.listens_for(postgres_engine, "before_cursor_execute")
    def _note(connection: object, cursor: object, statement: str, *_: object) -> None:
        sent.append(statement)

    yield sent
    event.remove(postgres_engine, "before_cursor_execute", _note)


def events(count: int) -> list[NewEvent]:
    return [NewEvent("counted", {"number": number}) for number in range(count)]


@pytest.mark.slow
@pytest.mark.parametrize("expected", [NO_STREAM, 1, ANY, STREAM_EXISTS])
def test_an_append_is_one_statement(store: EventStore, executed: list[str], expected: ExpectedVersion) -> None:
    store.append("order-0", events(1), expected_version=0)  # on a new connection there is more to ask
    if expected is not NO_STREAM:
        store.append("order-1", events(1), expected_version=0)
    executed.clear()
    store.append("order-1", events(1), expected_version=expected)
    store.append("order-2", events(1000), expected_version=ANY)
    assert len(executed) == 2
    assert len(executed[1]) < 1500, "the statement grows with the number of events"


def test_an_append_needs_no_begin_and_no_commit(store: EventStore, postgres_engine: Engine) -> None:
    store.append("order-0", events(1), expected_version=0)  # on a new connection there is more to ask
    statuses = []

    @event.listens_for(postgres_engine, "after_cursor_execute")
    def _look(connection: object, cursor: psycopg.Cursor[Any], *_: object) -> None:
        statuses.append(cursor.connection.info.transaction_status.name)

    store.append("order-1", events(1), expected_version=0)
    event.remove(postgres_engine, "after_cursor_execute", _look)
    assert statuses == ["IDLE"]


@pytest.mark.slow
def test_several_streams_take_a_constant_number_of_statements(store: EventStore, executed: list[str]) -> None:
    store.append("order-0", events(1), expected_version=0)  # on a new connection there is more to ask
    counts = []
    for streams in (2, 200):
        executed.clear()
        store.append_many([Append(f"order-{uuid4()}", events(2), expected_version=0) for _ in range(streams)])
        counts.append(len(executed))
    assert counts == [1, 1]


def test_a_page_is_one_statement(postgres_engine: Engine, store: EventStore, executed: list[str]) -> None:
    store.append("order-1", events(25), expected_version=0)
    paged = EventStore(postgres_engine, page_size=10)
    paged.stream_version("order-1")
    executed.clear()
    assert len(list(paged.read_stream("order-1"))) == 25
    assert len(executed) == 3


def test_a_conflict_burns_no_position(store: EventStore) -> None:
    first = store.append("order-1", events(1), expected_version=0).position
    for expected in (0, 5):
        with pytest.raises(ConcurrencyConflict):
            store.append("order-1", events(10), expected_version=expected)
    assert store.append("order-1", events(1), expected_version=1).position == first + 1


def test_writers_of_other_streams_wait_for_nobody(store: EventStore, postgres_engine: Engine) -> None:
    store.append("order-1", events(1), expected_version=0)
    with postgres_engine.begin() as connection:
        store.join(connection).append("order-1", events(1), expected_version=1)
        with postgres_engine.connect() as other, other.begin():
            other.execute(text("SET LOCAL lock_timeout = '2s'"))
            assert store.join(other).append("order-2", events(1), expected_version=0).version == 1


@pytest.mark.slow
def test_a_joined_append_many_that_has_waited_and_lost_leaves_the_transaction_usable(
    store: EventStore, postgres_engine: Engine
) -> None:
    store.append("order-1", events(1), expected_version=0)

    def lose() -> int:
        with postgres_engine.begin() as loser:
            with pytest.raises(ConcurrencyConflict):
                store.join(loser).append_many([Append("order-1", events(1), expected_version=1)])
            return store.join(loser).append("order-2", events(1), expected_version=0).version

    with ThreadPoolExecutor(1) as threads:
        with postgres_engine.begin() as winner:
            store.join(winner).append("order-1", events(1), expected_version=1)
            lost = start_waiting(threads, winner, lose)
        assert lost.result(timeout=30) == 1
    assert [store.stream_version(f"order-{number}") for number in (1, 2)] == [2, 1]


@pytest.mark.slow
@pytest.mark.parametrize("existing", [False, True])
def test_two_appends_to_many_in_opposite_order_do_not_deadlock(
    store: EventStore, postgres_engine: Engine, *, existing: bool
) -> None:
    """Both are held up in their middle, where each would have what the other needs next."""
    stream_ids = ["order-a", "order-m", "order-z"]
    if existing:
        store.append_many([Append(stream_id, events(1), expected_version=0) for stream_id in stream_ids])

    def write(ids: list[str]) -> int:
        return len(store.append_many([Append(stream_id, events(1), expected_version=ANY) for stream_id in ids]))

    with ThreadPoolExecutor(2) as threads, postgres_engine.connect() as holder:
        store.join(holder).append("order-m", events(1), expected_version=ANY)
        writers = [start_waiting(threads, holder, write, ids) for ids in (stream_ids, stream_ids[::-1])]
        holder.rollback()
        assert [writer.result(timeout=30) for writer in writers] == [3, 3]
    assert {store.stream_version(stream_id) for stream_id in stream_ids} == {3 if existing else 2}


def test_the_unique_key_is_a_second_layer_behind_the_head(store: EventStore, postgres_engine: Engine) -> None:
    store.append("order-1", events(5), expected_version=0)
    with postgres_engine.begin() as connection:
        connection.execute(text("UPDATE es_streams SET version = 2"))
    with pytest.raises(ConcurrencyConflict) as conflict:
        store.append("order-1", events(1), expected_version=2)
    assert (conflict.value.expected, conflict.value.actual) == (2, 3)
    with pytest.raises(ConcurrencyConflict) as conflict:
        store.append_many(
            [Append("order-2", events(1), expected_version=0), Append("order-1", events(1), expected_version=ANY)]
        )
    assert (conflict.value.stream_id, conflict.value.actual) == ("order-1", 3)
    assert store.stream_version("order-2") == 0


def test_a_joined_connection_in_autocommit_is_refused(store: EventStore, postgres_engine: Engine) -> None:
    engine = postgres_engine.execution_options(isolation_level="AUTOCOMMIT")
    with Session(engine) as session, pytest.raises(NotInTransaction):
        store.join(session).append("order-1", events(1), expected_version=0)
    with engine.connect() as connection, pytest.raises(NotInTransaction):
        store.join(connection).append_many([Append("order-1", events(1), expected_version=0)])
    assert store.stream_version("order-1") == 0


def test_a_connection_that_was_terminated_is_replaced(store: EventStore, postgres_url: str) -> None:
    new_events = events(2)
    store.append("order-1", events(1), expected_version=0)
    with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as connection:
        others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        connection.execute(f"SELECT pg_terminate_backend(pid, 5000) {others}")
    with pytest.raises(OperationalError):
        store.append("order-1", new_events, expected_version=1)
    assert store.append("order-1", new_events, expected_version=1).version == 3


def test_a_stores_own_connections_say_whose_they_are(postgres_url: str) -> None:
    with EventStore.from_url(postgres_url) as store, store.engine.connect() as connection:
        assert connection.execute(text("SHOW application_name")).scalar() == "eventstore"


def test_the_short_form_of_the_url_means_psycopg_3(postgres_url: str) -> None:
    for scheme in ("postgresql://", "postgres://"):
        with EventStore.from_url(postgres_url.replace("postgresql+psycopg://", scheme)) as store:
            assert store.engine.dialect.driver == "psycopg"
            assert store.stream_version("order-1") == 0


def test_an_engine_that_prepares_no_statements_works(postgres_url: str) -> None:
    """As behind PgBouncer in transaction mode."""
    engine = create_engine(postgres_url, connect_args={"prepare_threshold": None})
    store = EventStore(engine)
    for version in range(10):
        store.append("order-1", events(1), expected_version=version)
    assert len(list(store.read_stream("order-1"))) == 10
    engine.dispose()


def test_times_do_not_depend_on_the_sessions_zone(postgres_url: str) -> None:
    engines = [
        create_engine(postgres_url, connect_args={"options": f"-c TimeZone={zone}"}) for zone in ("UTC", "Asia/Tokyo")
    ]
    EventStore(engines[0]).append("order-1", events(1), expected_version=0)
    times = [next(EventStore(engine).read_stream("order-1")).recorded_at for engine in engines]
    assert [time.isoformat() for time in times] == [times[0].isoformat()] * 2
    for engine in engines:
        engine.dispose()


# --- plans: each hot statement uses its index, on tables where that matters


@pytest.fixture(scope="module")
def filled(postgres_databases: Any, postgres_template: str) -> Iterator[Engine]:
    with postgres_databases.fresh(postgres_template) as url:
        engine = create_engine(url)
        store = EventStore(engine)
        store.append("order-big", events(20_000), expected_version=0)
        store.append_many([Append(f"order-{number}", events(3), expected_version=0) for number in range(10_000)])
        for number in range(1000):
            store.snapshots.save(f"order-{number}", version=2, state=1)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))
        yield engine
        engine.dispose()


def plan_nodes(engine: Engine, statement: Statement, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    sql, constants = PostgreSQLDialect().sql(statement)

    def nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield node
        for child in node.get("Plans", ()):
            yield from nodes(child)

    with engine.connect() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {sql}", {**constants, **parameters}).scalar_one()
        connection.rollback()
    return list(nodes((json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]))


def an_event() -> dict[str, Any]:
    return {
        "event_ids": [uuid4()], "event_types": ["x"], "schema_versions": [1],
        "codecs": [1], "data": [b"x"], "metadata": ["{}"],
    }  # fmt: skip


def one_append() -> dict[str, Any]:
    return {"stream_id": "order-7", "count": 1, "expected": 3, **an_event()}


def one_event() -> dict[str, Any]:
    return {
        "stream_id": "order-7", "count": 1, "expected": 3, "event_id": uuid4(), "event_type": "x", "schema_version": 1,
        "codec": 1, "data": b"x", "metadata": "{}",
    }  # fmt: skip


def many_appends() -> dict[str, Any]:
    return {
        "heads": ["order-7"], "head_versions": [4], "stream_ids": ["order-7"], "versions": [4],
        "last_stream_ids": ["order-7"], "last_versions": [4], **an_event(),
    }  # fmt: skip


def all_appends() -> dict[str, Any]:
    return {
        "stream_ids": ["order-7"], "counts": [1], "lowest": [3], "highest": [3], "event_streams": ["order-7"],
        "numbers": [1], "offsets": [1], "ends": [1], **an_event(),
    }  # fmt: skip


STREAM = {"stream_id": "order-7"}
PAGE = {"stream_id": "order-big", "after_version": 5000, "up_to_version": 2**63 - 1, "page_size": 100}
SNAPSHOT = {"stream_id": "order-7", "schema_version": 1}
AGGREGATE = {"stream_id": "order-big", "schema_version": 1}
UNSORTED = {load_aggregate, snapshot_versions}
SNAPSHOTS = {"category": "order", "schema_version": 1, "after_stream_id": "order-5", "page_size": 100}
ORDERED_BY_THE_INDEX = {read_forwards, read_page_forwards, read_page_backwards}
BESIDE_THE_PAGE = {"Append", "Subquery Scan", "Result"}
"""The row that says whether es_events is still the same table."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("statement", "parameters"),
    [
        *((append(each), one_append) for each in Expectation),
        *((append_one(each), one_event) for each in Expectation),
        (create_heads, lambda: {"stream_ids": ["order-7", "order-8"]}),
        (lock_heads, lambda: {"stream_ids": ["order-7", "order-8"]}),
        (append_to_many, many_appends),
        (append_to_all, all_appends),
        (stream_version, lambda: STREAM),
        (newest_stored_version, lambda: STREAM),
        (read_forwards, lambda: PAGE),
        (read_page_forwards, lambda: {**PAGE, "table": 1}),
        (read_page_backwards, lambda: {**PAGE, "table": 1}),
        (save_snapshot, lambda: {**SNAPSHOT, "version": 3, "codec": 1, "state": b"x"}),
        (load_snapshot, lambda: SNAPSHOT),
        (delete_snapshot, lambda: SNAPSHOT),
        (delete_snapshots, lambda: STREAM),
        (load_aggregate, lambda: {**PAGE, **AGGREGATE, "table": 1}),
        (version_as_of, lambda: {"stream_id": "order-big", "as_of": datetime(2026, 1, 1, tzinfo=UTC)}),
        (snapshot_versions, lambda: SNAPSHOTS),
    ],
)
def test_a_hot_statement_uses_its_index(
    filled: Engine, statement: Statement, parameters: Callable[[], dict[str, Any]]
) -> None:
    nodes = plan_nodes(filled, statement, parameters())
    scanned = [node["Relation Name"] for node in nodes if node["Node Type"] == "Seq Scan"]
    assert scanned == []
    assert "Sort" not in {node["Node Type"] for node in nodes} or statement not in UNSORTED
    if statement in ORDERED_BY_THE_INDEX:
        kinds = {node["Node Type"] for node in nodes}
        assert kinds - BESIDE_THE_PAGE == {"Limit", "Index Scan"}
        assert {node.get("Index Name") for node in nodes} == {None, "es_events_pkey"}
