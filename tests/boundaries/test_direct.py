"""Appends with tags by prepared statements, in one transaction and one round trip, without the driver's cursor.

Each result is the same as with cursors, which such connections take on which nothing may be prepared.
"""

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Any, Final

import psycopg
import pytest
from psycopg.errors import error_from_result
from psycopg.pq import PipelineStatus, TransactionStatus
from psycopg.pq.abc import PGresult
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import OperationalError

from eventstore import ANY, NO_STREAM, STREAM_EXISTS, AppendResult, EventFilter, EventStore, NewEvent
from eventstore.backends.postgresql import prepared
from eventstore.backends.postgresql.prepared import PreparedStatements
from eventstore.errors import BoundaryChanged, ConcurrencyConflict
from tests.waiting import start_waiting, until

ONE_CONNECTION: Final[dict[str, Any]] = {"pool_size": 1, "max_overflow": 0}
COURSE: Final = EventFilter(tags=["course:1"])


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A number for each transaction that was sent without a cursor: that of its statements."""
    noted: list[int] = []
    execute = PreparedStatements.execute_in_transaction

    def note(self: PreparedStatements, calls: Any) -> Any:
        noted.append(len(calls))
        return execute(self, calls)

    monkeypatch.setattr(PreparedStatements, "execute_in_transaction", note)
    return noted


@contextmanager
def store_on(engine: Engine, **options: Any) -> Iterator[EventStore]:
    """A store on an engine of its own, which has appended once: the first append checks the tables."""
    own = create_engine(engine.url, **{**ONE_CONNECTION, **options})
    try:
        store = EventStore(own)
        append(store, "first-1")
        yield store
    finally:
        own.dispose()


def append(store: EventStore, stream_id: str = "a-1", expected: Any = ANY, condition: Any = None) -> AppendResult:
    event = NewEvent("enrolled", {"text": "ä"}, metadata={"who": "ü"}, tags=["course:1", "ö"])
    return store.append(stream_id, event, expected_version=expected, condition=condition)


def names(store: EventStore) -> list[str]:
    with store.engine.connect() as connection:
        found = connection.execute(text("SELECT name FROM pg_prepared_statements WHERE name LIKE 'eventstore%'"))
        return list(found.scalars())


@pytest.mark.parametrize("threshold", [5, None], ids=["prepared", "by cursors"])
def test_both_ways_store_the_same(shared_postgres_engine: Engine, calls: list[int], threshold: int | None) -> None:
    with store_on(shared_postgres_engine, connect_args={"prepare_threshold": threshold}) as store:
        results = [append(store, expected=expected) for expected in (NO_STREAM, ANY, 2, STREAM_EXISTS)]
        events = [NewEvent("noted"), NewEvent("noted", None, tags=["t"]), NewEvent("noted", b"\0", metadata={"n": 1})]
        several = store.append("a-2", events, expected_version=ANY)
        boundary = store.read_boundary(COURSE, EventFilter(tags=["t"], event_types=["noted"]))
        on_condition = store.append("a-3", NewEvent("noted"), expected_version=NO_STREAM, condition=boundary)
        assert [result.version for result in results] == [1, 2, 3, 4]
        assert (several.version, several.positions) == (
            3,
            (several.position - 2, several.position - 1, several.position),
        )
        assert on_condition.version == 1
        assert store.append("a-2", events, expected_version=0).position == several.position  # the same again
        with pytest.raises(ConcurrencyConflict):
            append(store, expected=1)
        assert append(store, condition=store.read_boundary(COURSE)).version == 5
        with pytest.raises(BoundaryChanged):
            append(store, condition=boundary)
        stored = list(store.read_all(EventFilter(stream_ids=["a-1", "a-2", "a-3"])))
        assert [(event.stream_id, event.data, event.metadata, event.tags) for event in stored] == [
            *[("a-1", {"text": "ä"}, {"who": "ü"}, ("course:1", "ö"))] * 4,
            ("a-2", {}, {}, ()),
            ("a-2", None, {}, ("t",)),
            ("a-2", b"\0", {"n": 1}, ()),
            ("a-3", {}, {}, ()),
            ("a-1", {"text": "ä"}, {"who": "ü"}, ("course:1", "ö")),
        ]
    assert bool(calls) is (threshold is not None)
    assert set(calls) <= {2}


@pytest.mark.parametrize("statement", ["DEALLOCATE ALL", "DISCARD ALL"])
def test_statements_that_are_gone_are_prepared_again(
    shared_postgres_engine: Engine, calls: list[int], statement: str
) -> None:
    with store_on(shared_postgres_engine) as store:
        assert len(names(store)) == 2
        with closing(store.engine.raw_connection()) as pooled:
            raw: Any = pooled.dbapi_connection
            raw.autocommit = True
            raw.execute(statement)
            raw.autocommit = False
        assert names(store) == []
        assert [append(store).version for _ in range(2)] == [1, 2]
        assert len(names(store)) == 2
        assert len(calls) == 3


def test_tables_may_change_between_two_appends(postgres_engine: Engine) -> None:
    with store_on(postgres_engine) as store:
        with postgres_engine.begin() as connection:
            connection.execute(text("ALTER TABLE es_events ALTER COLUMN version TYPE integer"))
        assert [append(store).version for _ in range(2)] == [1, 2]
        assert len(names(store)) == 2


def test_with_many_statements_on_a_connection_no_more_are_prepared(
    shared_postgres_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepared, "_KEPT", 1)
    with store_on(shared_postgres_engine) as store:
        assert [append(store).version for _ in range(2)] == [1, 2]
        assert len(names(store)) == 1


def test_many_large_events_are_more_than_the_server_takes_at_once(shared_postgres_engine: Engine) -> None:
    with store_on(shared_postgres_engine) as store:
        large = [NewEvent("noted", b"\0" * 500_000, tags=["t"]) for _ in range(8)]
        store.append("a-1", large, expected_version=NO_STREAM)
        assert [event.data for event in store.read_stream("a-1")] == [each.data for each in large]


def test_a_lost_connection_is_not_returned(postgres_engine: Engine) -> None:
    with (
        store_on(postgres_engine) as other,
        store_on(postgres_engine) as store,
        ThreadPoolExecutor(1) as threads,
    ):
        with other.transaction() as transaction:
            append(transaction)
            waiting = start_waiting(threads, transaction.connection, append, store)
            with postgres_engine.connect() as connection:
                connection.execute(text("SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE NOT granted"))
            with pytest.raises(OperationalError) as lost:
                waiting.result()
        assert lost.value.connection_invalidated
        assert append(store).version == 2


def test_the_first_error_is_raised_if_the_connection_is_lost_before_the_rollback(
    postgres_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the error of the rollback would be raised, which is the driver's own, and not SQLAlchemy's."""
    aborted = "pid FROM pg_stat_activity WHERE state = 'idle in transaction (aborted)'"

    def after_the_session(result: PGresult) -> psycopg.Error:
        with postgres_engine.connect() as server:
            until(lambda: server.execute(text(f"SELECT {aborted}")).all())
            server.execute(text(f"SELECT pg_terminate_backend(pid, 5000) FROM (SELECT {aborted}) AS found"))
        return error_from_result(result)

    settings = "-c lock_timeout=50ms"
    with store_on(postgres_engine) as other, store_on(postgres_engine, connect_args={"options": settings}) as store:
        with other.transaction() as transaction:
            append(transaction)
            with monkeypatch.context() as patched:
                patched.setattr(prepared, "error_from_result", after_the_session)
                with pytest.raises(OperationalError, match="lock timeout"):
                    append(store)
        assert append(store).version == 2


def test_ctrl_c_leaves_no_lock_and_no_half_used_connection(postgres_engine: Engine) -> None:
    with store_on(postgres_engine) as other, store_on(postgres_engine) as store:
        with (
            other.transaction() as transaction,
            postgres_engine.connect() as server,
            ThreadPoolExecutor(1) as threads,
        ):
            append(transaction)

            def waits() -> bool:
                return bool(server.execute(text("SELECT count(*) FROM pg_locks WHERE NOT granted")).scalar_one())

            def press_when_it_waits() -> None:
                until(waits)
                signal.raise_signal(signal.SIGINT)

            pressing = threads.submit(press_when_it_waits)
            with pytest.raises(KeyboardInterrupt):
                append(store)
            pressing.result()
            until(lambda: not waits())
        with closing(store.engine.raw_connection()) as pooled:
            raw: Any = pooled.dbapi_connection
            assert raw.pgconn.transaction_status == TransactionStatus.IDLE
            assert raw.pgconn.pipeline_status == PipelineStatus.OFF
        assert append(store).version == 2


def test_notifications_reach_the_application(shared_postgres_engine: Engine) -> None:
    said: list[str] = []
    with store_on(shared_postgres_engine) as store:
        with closing(store.engine.raw_connection()) as pooled:
            raw: Any = pooled.dbapi_connection
            raw.autocommit = True
            raw.execute("LISTEN theirs")
            raw.add_notify_handler(lambda notification: said.append(notification.payload))
            raw.autocommit = False
        with shared_postgres_engine.begin() as connection:
            connection.execute(text("NOTIFY theirs, 'heard'"))
        append(store)
    assert said == ["heard"]


def test_threads_append_at_the_same_time(shared_postgres_engine: Engine, calls: list[int]) -> None:
    with store_on(shared_postgres_engine, pool_size=4) as store, ThreadPoolExecutor(4) as threads:
        results = list(threads.map(lambda number: append(store, f"a-{number % 7}"), range(60)))
        assert len({result.position for result in results}) == 60
        assert len(calls) == 61
        stored = [event.position for event in store.read_all(COURSE)]
    assert stored[1:] == sorted(result.position for result in results)
