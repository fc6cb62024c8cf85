"""The isolation level that PostgreSQL takes for its default, for a role, a database or a session, changes no result."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final

import psycopg
import pytest
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from eventstore import ANY, NO_STREAM, STREAM_EXISTS, Append, ConcurrencyConflict, EventStore, NewEvent
from eventstore.backends.postgresql import dialect as postgresql
from eventstore.errors import SerializationConflict, UnsuitableTransaction
from tests.fix_engines import empty

LEVELS: Final = ["read committed", "repeatable read", "serializable"]
ABOVE: Final = LEVELS[1:]
WRITERS: Final = 8

above_read_committed = pytest.mark.parametrize("level", ABOVE)
watched = pytest.mark.parametrize(
    "is_watched", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["alone", "watched"]
)
COPIED: Final = 5


@pytest.fixture
def engine_at(shared_postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Engine]]:
    """Return a function that makes an engine whose sessions have a level for their default."""
    monkeypatch.setattr(postgresql, "COPY_FROM", COPIED)
    engines: list[Engine] = []

    def make(level: str, *, is_watched: bool = False) -> Engine:
        options = f"-c default_transaction_isolation={level.replace(' ', chr(92) + ' ')}"
        engine = create_engine(shared_postgres_url, pool_size=WRITERS + 2, connect_args={"options": options})
        engines.append(engine)
        if is_watched:
            event.listen(engine, "before_cursor_execute", lambda *_: None)
        return engine

    yield make
    for engine in engines:
        engine.dispose()
    empty(shared_postgres_url)


def events(count: int = 1) -> list[NewEvent]:
    return [NewEvent("counted", number) for number in range(count)]


def many(count: int) -> list[Append]:
    return [Append("order-1", events(1), expected_version=ANY), Append("order-2", events(count), expected_version=ANY)]


@contextmanager
def somebody_writing(engine: Engine, write: Callable[[EventStore], object]) -> Iterator[Callable[[], None]]:
    """Hold the locks of a write that is not committed yet; yield what commits it once somebody waits for them."""
    with engine.connect().execution_options(isolation_level="READ COMMITTED") as holder:
        write(EventStore(engine).join(holder))
        pid = holder.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()

        def commit_when_waited_for() -> None:
            waiting = text("SELECT count(*) FROM pg_stat_activity WHERE :pid = ANY(pg_blocking_pids(pid))")
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as observer:
                deadline = time.monotonic() + 30
                while not observer.execute(waiting, {"pid": pid}).scalar_one():
                    assert time.monotonic() < deadline, "nobody has waited"
            holder.commit()

        yield commit_when_waited_for


OVERTAKEN: Final[dict[str, Callable[[EventStore], Any]]] = {
    "append": lambda store: store.append("order-1", events(1), expected_version=ANY).version,
    "append of several": lambda store: store.append("order-1", events(3), expected_version=STREAM_EXISTS).version,
    "append by COPY": lambda store: store.append("order-1", events(COPIED), expected_version=ANY).version,
    "append_many": lambda store: store.append_many(many(2))[0].version,
    "append_many, not atomic": lambda store: [result.version for result in store.append_many(many(2), atomic=False)],  # type: ignore[union-attr]
    "delete_stream": lambda store: store.delete_stream("order-1", expected_version=STREAM_EXISTS, reason="old").version,
}


@above_read_committed
@watched
@pytest.mark.parametrize("call", OVERTAKEN)
def test_who_has_waited_for_another_writer_succeeds(
    engine_at: Callable[..., Engine], level: str, call: str, is_watched: bool
) -> None:
    engine = engine_at(level, is_watched=is_watched)
    store = EventStore(engine)
    store.append("order-1", events(1), expected_version=NO_STREAM)
    with (
        ThreadPoolExecutor(1) as threads,
        somebody_writing(engine, lambda joined: joined.append("order-1", events(1), expected_version=1)) as commit,
    ):
        waiter = threads.submit(OVERTAKEN[call], store)
        commit()
        result = waiter.result(timeout=30)
    assert store.stream_version("order-1") == (result[0] if isinstance(result, list) else result)


@above_read_committed
@watched
@pytest.mark.parametrize("count", [1, 3, COPIED])
def test_who_has_waited_and_lost_gets_a_conflict(
    engine_at: Callable[..., Engine], level: str, count: int, is_watched: bool
) -> None:
    engine = engine_at(level, is_watched=is_watched)
    store = EventStore(engine)
    store.append("order-1", events(1), expected_version=NO_STREAM)
    with (
        ThreadPoolExecutor(1) as threads,
        somebody_writing(engine, lambda joined: joined.append("order-1", events(1), expected_version=1)) as commit,
    ):
        waiter = threads.submit(store.append, "order-1", events(count), expected_version=1)
        commit()
        with pytest.raises(ConcurrencyConflict) as conflict:
            waiter.result(timeout=30)
    assert (conflict.value.expected, conflict.value.actual) == (1, 2)


@above_read_committed
@watched
def test_two_who_create_a_stream_get_one_result_and_one_conflict(
    engine_at: Callable[..., Engine], level: str, is_watched: bool
) -> None:
    engine = engine_at(level, is_watched=is_watched)
    store = EventStore(engine)
    with (
        ThreadPoolExecutor(1) as threads,
        somebody_writing(engine, lambda joined: joined.append("order-1", events(1), expected_version=0)) as commit,
    ):
        waiter = threads.submit(store.append, "order-1", events(1), expected_version=NO_STREAM)
        commit()
        with pytest.raises(ConcurrencyConflict) as conflict:
            waiter.result(timeout=30)
    assert conflict.value.actual == 1


@above_read_committed
@watched
def test_a_snapshot_that_another_writer_saves_too_is_saved_or_declined(
    engine_at: Callable[..., Engine], level: str, is_watched: bool
) -> None:
    engine = engine_at(level, is_watched=is_watched)
    store = EventStore(engine)
    store.append("order-1", events(5), expected_version=NO_STREAM)
    for before, version, is_saved in ((2, 3, True), (5, 4, False)):
        with (
            ThreadPoolExecutor(1) as threads,
            somebody_writing(
                engine,
                lambda joined, before=before: joined.snapshots.save("order-1", version=before, state=0),  # type: ignore[misc]
            ) as commit,
        ):
            waiter = threads.submit(store.snapshots.save, "order-1", version=version, state=1)
            commit()
            assert waiter.result(timeout=30) is is_saved


@above_read_committed
@pytest.mark.parametrize("call", OVERTAKEN)
def test_a_joined_transaction_that_was_overtaken_is_over(
    engine_at: Callable[..., Engine], level: str, call: str
) -> None:
    engine = engine_at(level)
    store = EventStore(engine)
    store.append("order-1", events(1), expected_version=NO_STREAM)
    with Session(engine) as session:
        session.execute(text("SELECT count(*) FROM es_streams"))  # from here on, it sees nothing newer
        store.append("order-1", events(1), expected_version=1)
        with pytest.raises(
            SerializationConflict, match=r"'order-1'.* aborted the transaction.*; roll it back"
        ) as conflict:
            OVERTAKEN[call](store.join(session))
        assert isinstance(conflict.value, ConcurrencyConflict)
        assert (conflict.value.stream_id, conflict.value.expected, conflict.value.actual) == ("order-1", None, None)
        session.rollback()
        assert OVERTAKEN[call](store.join(session))
        session.commit()
    assert store.stream_version("order-1") > 2


@above_read_committed
def test_a_joined_transaction_that_was_overtaken_by_a_snapshot_is_over(
    engine_at: Callable[..., Engine], level: str
) -> None:
    engine = engine_at(level)
    store = EventStore(engine)
    store.append("order-1", events(5), expected_version=NO_STREAM)
    store.snapshots.save("order-1", version=1, state=1)
    calls: list[Callable[[EventStore], object]] = [
        lambda joined: joined.snapshots.save("order-1", version=5, state=5),
        lambda joined: joined.snapshots.delete("order-1"),
    ]
    for version, call in enumerate(calls, start=2):
        with engine.connect() as connection:
            connection.execute(text("SELECT count(*) FROM es_streams"))
            store.snapshots.save("order-1", version=version, state=version)
            with pytest.raises(SerializationConflict):
                call(store.join(connection))


@above_read_committed
def test_the_connection_is_idle_and_as_it_was_after_a_repetition(shared_postgres_url: str, level: str) -> None:
    engine = create_engine(shared_postgres_url, pool_size=1, max_overflow=1)

    @event.listens_for(engine, "connect")
    def _choose(connection: psycopg.Connection[Any], _: object) -> None:
        connection.autocommit = True
        connection.execute(f"SET default_transaction_isolation = '{level}'")
        connection.autocommit = False

    store = EventStore(engine)
    store.append("order-1", events(1), expected_version=NO_STREAM)
    with (
        ThreadPoolExecutor(1) as threads,
        _elsewhere(shared_postgres_url) as other,
        somebody_writing(other, lambda joined: joined.append("order-1", events(1), expected_version=1)) as commit,
    ):
        waiter = threads.submit(store.append, "order-1", events(1), expected_version=ANY)
        commit()
        assert waiter.result(timeout=30).version == 3
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SHOW transaction_isolation").scalar_one() == level
        raw: Any = connection.connection.dbapi_connection
        assert raw.autocommit is False
    engine.dispose()
    empty(shared_postgres_url)


@contextmanager
def _elsewhere(url: str) -> Iterator[Engine]:
    engine = create_engine(url)
    try:
        yield engine
    finally:
        engine.dispose()


def test_no_append_has_a_round_trip_more(postgres_url: str) -> None:
    """The level is not asked for beforehand: who meets no other writer pays nothing."""
    engine = create_engine(postgres_url)
    store = EventStore(engine)
    store.append("order-1", events(1), expected_version=ANY)
    sent: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *arguments: sent.append(arguments[2]))
    store.append("order-1", events(1), expected_version=ANY)
    assert len(sent) == 1
    engine.dispose()


# --- writers that meet for real


def contend(engine: Engine, appends: int, *, expects: Any) -> tuple[int, int]:
    """Have eight writers append to one stream; return how many were stored, and how many were in conflict."""
    store = EventStore(engine)
    barrier = threading.Barrier(WRITERS)

    def write(_: int) -> tuple[int, int]:
        stored = conflicts = 0
        barrier.wait()
        for number in range(appends // WRITERS):
            expected = store.stream_version("order-1") if expects is int else expects
            batch = events(1 + number % 3)
            try:
                store.append("order-1", batch, expected_version=expected)
            except ConcurrencyConflict as conflict:
                if conflict.actual is None or conflict.actual <= conflict.expected:
                    raise
                conflicts += 1
            else:
                stored += len(batch)
        return stored, conflicts

    with ThreadPoolExecutor(WRITERS) as threads:
        results = list(threads.map(write, range(WRITERS)))
    return sum(stored for stored, _ in results), sum(conflicts for _, conflicts in results)


APPENDS: Final = [pytest.param(320, id="few", marks=pytest.mark.slow), pytest.param(10_000, marks=pytest.mark.long)]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("appends", APPENDS)
@pytest.mark.parametrize("expects", [ANY, int], ids=["any", "version"])
def test_writers_who_compete_meet_only_conflicts(
    engine_at: Callable[..., Engine], level: str, appends: int, expects: Any
) -> None:
    engine = engine_at(level)
    stored, conflicts = contend(engine, appends, expects=expects)
    read = list(EventStore(engine).read_stream("order-1"))
    assert [event.version for event in read] == list(range(1, stored + 1))
    assert (conflicts > 0) == (expects is int)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("appends", APPENDS)
def test_joined_writers_who_compete_meet_only_conflicts(
    engine_at: Callable[..., Engine], level: str, appends: int
) -> None:
    engine = engine_at(level)
    store = EventStore(engine)
    barrier = threading.Barrier(WRITERS)

    def write(_: int) -> int:
        stored = 0
        barrier.wait()
        for _ in range(appends // WRITERS):
            try:
                with engine.begin() as connection:
                    joined = store.join(connection)
                    joined.append("order-1", events(1), expected_version=joined.stream_version("order-1"))
            except ConcurrencyConflict as conflict:
                if isinstance(conflict, SerializationConflict) and level not in ABOVE:
                    raise
            except OperationalError as error:  # SERIALIZABLE finds some of it only when it commits: the caller's
                if level != "serializable" or getattr(error.orig, "sqlstate", None) != "40001":
                    raise
            else:
                stored += 1
        return stored

    with ThreadPoolExecutor(WRITERS) as threads:
        stored = sum(threads.map(write, range(WRITERS)))
    assert [event.version for event in store.read_stream("order-1")] == list(range(1, stored + 1))


@pytest.mark.slow
def test_a_reader_of_the_global_order_at_another_level_sees_what_is_committed(
    engine_at: Callable[..., Engine],
) -> None:
    for level in ABOVE:
        engine = engine_at(level)
        store = EventStore(engine)
        before = store.settled_position()
        with engine.begin() as connection:
            connection.execute(text("SET TRANSACTION ISOLATION LEVEL READ COMMITTED"))
            store.join(connection).append("order-1", events(1), expected_version=ANY)
            store.append("order-2", events(1), expected_version=ANY)
            assert list(store.read_all(after_position=before, wait_seconds=0)) == []
        assert [event.stream_id for event in store.read_all(after_position=before)] == ["order-1", "order-2"]


def test_a_joined_reader_of_the_global_order_at_another_level_is_refused(engine_at: Callable[..., Engine]) -> None:
    def read(connection: Connection) -> None:
        list(EventStore(connection.engine).join(connection).read_all())

    for level in ABOVE:
        with engine_at(level).connect() as connection, pytest.raises(UnsuitableTransaction, match=level.upper()):
            read(connection)
