"""The global order on PostgreSQL, steered to where a reader could miss an event: a position drawn, not committed."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.pool import NullPool

from eventstore import ANY, Append, ConcurrencyConflict, EventFilter, EventStore, LogWentBack, NewEvent, migrations
from eventstore.errors import PositionCacheEnabled, UnsuitableTransaction
from tests.fix_postgresql import Databases
from tests.processes import Python
from tests.waiting import start_reading

KINDS = EventFilter(event_types=["counted"])
ORDERS = EventFilter(categories=["order"])


@pytest.fixture
def store(postgres_engine: Engine) -> EventStore:
    return EventStore(postgres_engine)


def append(store: EventStore, stream_id: str = "order-1", count: int = 1) -> int:
    """Return the position of the last event."""
    return store.append(stream_id, [NewEvent("counted") for _ in range(count)], expected_version=ANY).position


def positions(store: EventStore, *filters: EventFilter, after: int = 0, wait_seconds: float = 0) -> list[int]:
    return [event.position for event in store.read_all(*filters, after_position=after, wait_seconds=wait_seconds)]


def subscribed(store: EventStore, after: int = 0) -> list[int]:
    """Return what a subscription delivers until nothing more comes."""
    with store.subscribe(after_position=after, idle_timeout_seconds=0.2, longest_interval_seconds=0.05) as subscription:
        return [event.position for event in subscription]


def backwards(store: EventStore, *filters: EventFilter) -> list[int]:
    """Return what a read backwards returns, in ascending order."""
    return [event.position for event in store.read_all(*filters, backwards=True, wait_seconds=0)][::-1]


READERS: dict[str, Callable[[EventStore], list[int]]] = {
    "all": positions,
    "filtered by type": lambda store: positions(store, KINDS),
    "filtered by category": lambda store: positions(store, ORDERS),
    "filtered by stream": lambda store: positions(store, EventFilter(stream_ids=["order-1", "order-2", "order-3"])),
    "in pages of one": lambda store: positions(EventStore(store.engine, page_size=1)),
    "backwards": backwards,
    "backwards, filtered": lambda store: backwards(store, ORDERS),
    "backwards, in pages of one": lambda store: backwards(EventStore(store.engine, page_size=1)),
    "subscribed": subscribed,
}


@contextmanager
def unfinished(engine: Engine, stream_id: str = "order-1", count: int = 1) -> Iterator[Connection]:
    """Draw positions and hold them: the transaction is open until it is committed, or the block ends."""
    with engine.connect() as connection:
        append(EventStore(engine).join(connection), stream_id, count)
        yield connection


@pytest.fixture(params=list(READERS))
def read(request: pytest.FixtureRequest) -> Callable[[EventStore], list[int]]:
    return READERS[request.param]


@pytest.mark.slow
@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_nothing_is_delivered_behind_a_hole_and_all_once_it_closes(
    store: EventStore, postgres_engine: Engine, read: Callable[[EventStore], list[int]], end: str
) -> None:
    first = append(store, "order-2")
    with unfinished(postgres_engine) as writer:
        later = append(store, "order-2")
        assert later == first + 2
        assert read(store) == [first]
        getattr(writer, end)()
    assert read(store) == ([first, first + 1, later] if end == "commit" else [first, later])
    assert store.settled_position() == later


@pytest.mark.slow
def test_backwards_the_last_events_begin_below_a_hole_and_are_waited_for(
    store: EventStore, postgres_engine: Engine
) -> None:
    first = append(store, "order-2", 3)
    with unfinished(postgres_engine) as writer:
        later = append(store, "order-2")
        assert [event.position for event in store.read_all(backwards=True, limit=2, wait_seconds=0)] == [
            first,
            first - 1,
        ]
        timer = threading.Timer(0.2, writer.commit)
        timer.start()
        try:
            assert [event.position for event in store.read_all(backwards=True, limit=2, wait_seconds=60)] == [
                later,
                later - 1,
            ]
        finally:
            timer.join()


def test_backwards_a_read_stops_if_the_log_goes_back_meanwhile(store: EventStore, postgres_engine: Engine) -> None:
    append(store, "order-2", 3)
    last = append(store, "order-1")
    read = EventStore(postgres_engine, page_size=1).read_all(backwards=True)
    assert next(read).position == last
    with postgres_engine.begin() as connection, store.join(connection).allow_history_changes():
        connection.exec_driver_sql("DELETE FROM es_events WHERE stream_id = 'order-1'")
    with pytest.raises(LogWentBack) as error:
        next(read)
    assert error.value.position == last


@pytest.mark.slow
@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_a_hole_before_the_first_event(
    store: EventStore, postgres_engine: Engine, read: Callable[[EventStore], list[int]], end: str
) -> None:
    with unfinished(postgres_engine) as writer:
        later = append(store, "order-2", 3)
        assert read(store) == []
        assert store.settled_position() == 0
        getattr(writer, end)()
    assert read(store) == list(range(1 if end == "commit" else 2, later + 1))


@pytest.mark.parametrize("filters", [[], [ORDERS]])
def test_a_hole_between_the_cursor_and_the_first_row_of_a_page(
    store: EventStore, postgres_engine: Engine, filters: list[EventFilter]
) -> None:
    cursor = append(store, "order-2", 5)
    assert positions(store, *filters, after=cursor) == []
    with unfinished(postgres_engine) as writer:
        later = append(store, "order-2")
        assert positions(store, *filters, after=cursor) == []
        writer.commit()
    assert positions(store, *filters, after=cursor) == [cursor + 1, later]


def test_a_hole_that_the_reader_has_behind_it_does_not_matter_to_it(store: EventStore, postgres_engine: Engine) -> None:
    with unfinished(postgres_engine):
        later = append(store, "order-2", 4)
        fresh = EventStore(postgres_engine)
        assert positions(fresh, after=later - 2) == [later - 1, later]
        assert positions(fresh, ORDERS, after=later - 2) == [later - 1, later]
        assert positions(fresh) == []  # what one reader may read does not settle it for others
        assert fresh.settled_position() == 0


@pytest.mark.slow
def test_several_holes_in_a_page_close_one_by_one(store: EventStore, postgres_engine: Engine) -> None:
    with (
        unfinished(postgres_engine, "order-1") as first,
        unfinished(postgres_engine, "order-2", 2) as second,
        unfinished(postgres_engine, "order-3") as third,
    ):
        last = append(store, "order-4")
        assert last == 5
        assert positions(store) == positions(store, ORDERS) == []
        second.commit()
        assert positions(store) == positions(store, ORDERS) == []
        first.commit()
        assert positions(store) == positions(store, ORDERS) == [1, 2, 3]
        assert store.settled_position() == 3
        third.rollback()
    assert positions(store) == positions(store, ORDERS) == [1, 2, 3, 5]


@pytest.mark.slow
@pytest.mark.parametrize("page_size", [1, 2, 3, 4, 5])
def test_a_page_boundary_on_a_hole(postgres_engine: Engine, page_size: int) -> None:
    store = EventStore(postgres_engine, page_size=page_size)
    append(store, "order-2", 2)
    with unfinished(postgres_engine, "order-1", 2) as writer:
        append(store, "order-2", 4)
        assert positions(store) == positions(store, ORDERS) == [1, 2]
        writer.commit()
    assert positions(store) == positions(store, ORDERS) == list(range(1, 9))


@pytest.mark.slow
def test_a_reader_waits_for_an_append_in_the_way_and_then_delivers_all(
    store: EventStore, postgres_engine: Engine
) -> None:
    with unfinished(postgres_engine) as writer, ThreadPoolExecutor(1) as threads:
        later = append(store, "order-2")
        reading = start_reading(threads, postgres_engine, positions, store, wait_seconds=60)
        append(store, "order-3")  # came after it had begun: its end does not move away
        writer.commit()
        assert reading.result(timeout=30) == [1, later]


@pytest.mark.slow
def test_only_who_was_under_way_at_the_look_is_waited_for(store: EventStore, postgres_engine: Engine) -> None:
    """There is always an append under way, but never the same for long: readers get on all the same."""
    holders = [unfinished(postgres_engine, f"other-{number}") for number in range(5)]
    with holders[0] as earlier:
        append(store, "order-2")
        assert positions(store) == []
        previous = earlier
        for holder in holders[1:]:
            with holder as current:
                newest = append(store, "order-2")
                previous.rollback()
                assert positions(store), "what the last look has seen is settled, whoever has come since"
                assert newest not in positions(store)
                previous = current
                current.rollback()


@pytest.mark.slow
def test_a_prepared_transaction_is_waited_for(
    store: EventStore, postgres_engine: Engine, read: Callable[[EventStore], list[int]]
) -> None:
    require_prepared_transactions(postgres_engine)
    name = uuid4().hex  # names are the whole server's
    autocommit = postgres_engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    with autocommit as other, unfinished(postgres_engine) as writer:
        later = append(store, "order-2")
        assert read(store) == []  # a look that has seen the writer under its own name
        writer.execute(text(f"PREPARE TRANSACTION '{name}'"))
        try:
            assert read(store) == []
            assert read(EventStore(postgres_engine)) == []
        finally:
            other.execute(text(f"COMMIT PREPARED '{name}'"))
        assert read(store) == [1, later]


def require_prepared_transactions(engine: Engine) -> None:
    with engine.connect() as connection:
        if connection.execute(text("SHOW max_prepared_transactions")).scalar_one() == "0":
            pytest.skip("this server has max_prepared_transactions = 0: it can't PREPARE TRANSACTION")


def test_an_append_in_a_transaction_that_wrote_elsewhere_first(store: EventStore, postgres_engine: Engine) -> None:
    """The older transaction appends later: by transaction ids, version 2 would come before version 1."""
    with postgres_engine.begin() as connection:
        connection.execute(text("CREATE TABLE notes (note text)"))
    with postgres_engine.connect() as older:
        older.execute(text("INSERT INTO notes VALUES ('first')"))
        append(store, "order-1")
        append(store, "order-2")
        append(store.join(older), "order-1")
        append(store, "order-2")
        assert [event.version for event in store.read_all(wait_seconds=0)] == [1, 1]
        older.commit()
    events = list(store.read_all(wait_seconds=0))
    assert [(event.stream_id, event.version) for event in events] == [
        ("order-1", 1),
        ("order-2", 1),
        ("order-1", 2),
        ("order-2", 2),
    ]


def test_a_transaction_that_has_written_to_another_table_does_not_hold_readers_back(
    store: EventStore, postgres_engine: Engine
) -> None:
    with postgres_engine.begin() as connection:
        connection.execute(text("CREATE TABLE notes (note text)"))
    with postgres_engine.connect() as stranger:
        stranger.execute(text("INSERT INTO notes VALUES ('held')"))
        check_that_readers_get_on(store)
        stranger.rollback()


@pytest.mark.slow
def test_a_writer_of_another_database_does_not_hold_readers_back(
    store: EventStore, postgres_databases: Databases, postgres_template: str
) -> None:
    """The other database is a clone: its es_events has the same number as ours."""
    with postgres_databases.fresh(postgres_template) as url:
        other = create_engine(url)
        with unfinished(other) as stranger:
            check_that_readers_get_on(store)
            stranger.rollback()
        other.dispose()


def check_that_readers_get_on(store: EventStore) -> None:
    """Leave a hole that will stay one."""
    with unfinished(store.engine) as writer:
        append(store, "order-2")
        writer.rollback()
    assert positions(store) == positions(store, ORDERS) == [2]
    assert store.settled_position() == 2


def test_a_transaction_that_only_reads_events_holds_nobody_back(store: EventStore, postgres_engine: Engine) -> None:
    with postgres_engine.connect() as stranger:
        assert len(list(store.join(stranger).read_stream("order-1"))) == 0
        with unfinished(postgres_engine) as writer:
            append(store, "order-2")
            writer.rollback()
        assert positions(store) == [2]


WRITER = """
import sys, time
from sqlalchemy import create_engine
from eventstore import ANY, EventStore, NewEvent
engine = create_engine(sys.argv[1])
with engine.connect() as connection:
    EventStore(engine).join(connection).append("order-1", [NewEvent("counted")], expected_version=ANY)
    print(connection.connection.dbapi_connection.info.backend_pid, flush=True)
    time.sleep(600)
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["SIGKILL", "pg_terminate_backend"])
def test_a_writer_that_dies_holds_nobody_back(
    store: EventStore, postgres_engine: Engine, postgres_url: str, how: str
) -> None:
    with Python("-c", WRITER, postgres_url) as writer:
        backend = int(writer.stdout.readline())
        later = append(store, "order-2")
        assert positions(store) == []
        if how == "SIGKILL":
            os.kill(writer.pid, signal.SIGKILL)
        else:
            with postgres_engine.connect() as connection:
                connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": backend})
        assert positions(store, wait_seconds=60) == [later]
        writer.kill()


@pytest.mark.slow
@pytest.mark.parametrize("cache", [2, 50])
def test_positions_that_are_cached_are_refused(postgres_engine: Engine, cache: int) -> None:
    store = EventStore(postgres_engine)
    append(store)
    assert store.settled_position() > 0
    with postgres_engine.begin() as connection:
        connection.execute(text(f"ALTER TABLE es_events ALTER COLUMN position SET CACHE {cache}"))
    another = EventStore(create_engine(postgres_engine.url, poolclass=NullPool))
    reads: list[Callable[[], Any]] = [
        lambda: append(another),
        lambda: another.append_many([Append("order-7", [NewEvent("placed")], expected_version=ANY)]),
        lambda: list(store.read_all()),
        store.settled_position,
        lambda: next(store.subscribe(after_position=1)),
    ]
    for attempt in reads:
        with pytest.raises(PositionCacheEnabled) as error:
            attempt()
        assert error.value.cache == cache


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_a_transaction_that_does_not_see_what_others_commit_is_refused(
    store: EventStore, postgres_engine: Engine, level: Any
) -> None:
    append(store)
    with postgres_engine.connect().execution_options(isolation_level=level) as connection:
        joined = store.join(connection)
        with pytest.raises(UnsuitableTransaction, match=level):
            list(joined.read_all())
        with pytest.raises(UnsuitableTransaction, match=level):
            joined.settled_position()


def test_the_level_of_the_applications_own_transactions_does_not_matter(postgres_url: str) -> None:
    engine = create_engine(postgres_url, isolation_level="REPEATABLE READ")
    store = EventStore(engine)
    append(store, "order-2")
    with unfinished(engine) as writer:
        append(store, "order-2")
        assert positions(store) == [1]
        writer.commit()
    assert positions(store) == [1, 2, 3]
    engine.dispose()


def test_a_transaction_that_has_lost_a_conflict_can_read_after_it_has_ended(
    store: EventStore, postgres_engine: Engine
) -> None:
    append(store)
    with postgres_engine.connect() as connection:
        joined = store.join(connection)
        with pytest.raises(ConcurrencyConflict):
            joined.append("order-1", [NewEvent("counted")], expected_version=0)
        connection.rollback()
        assert len(list(joined.read_all())) == 1


def test_a_joined_store_can_not_subscribe(store: EventStore, postgres_engine: Engine) -> None:
    with postgres_engine.connect() as connection, pytest.raises(UnsuitableTransaction):
        store.join(connection).subscribe(after_position=0)


@pytest.mark.slow
def test_threads_that_share_a_store_miss_nothing(store: EventStore, postgres_engine: Engine) -> None:
    """One thread's look must not tell another that its writers have ended: it may have been taken before they began."""
    stop, missed = threading.Event(), []

    def follow() -> None:
        position, seen = 0, []
        while not stop.is_set():
            for event in store.read_all(after_position=position, wait_seconds=0):
                seen.append(event.position)
                position = event.position
        seen += positions(store, after=position, wait_seconds=10)
        missed.append(set(positions(store, wait_seconds=10)) - set(seen))

    def write(writer: int) -> None:
        for number in range(60):
            with unfinished(postgres_engine, f"order-{writer}") as connection:
                time.sleep(0.001 * (number % 5))
                connection.rollback() if number % 7 == 0 else connection.commit()

    with ThreadPoolExecutor(8) as threads:
        readers = [threads.submit(follow) for _ in range(4)]
        for writing in [threads.submit(write, writer) for writer in range(4)]:
            writing.result()
        stop.set()
        for reader in readers:
            reader.result()
    assert missed == [set()] * 4


@pytest.mark.slow
def test_stores_in_schemas_of_one_database_do_not_wait_for_each_other(postgres_engine: Engine) -> None:
    """The lock is looked up by the qualified name, quoted where it has to be."""
    odd, plain = 'Odd "Schema"', "plain"
    for schema in (odd, plain):
        migrations.provision(postgres_engine, schema)
    stores = {schema: EventStore(postgres_engine, schema=schema) for schema in (odd, plain)}
    with postgres_engine.connect() as connection:
        append(stores[odd].join(connection))
        append(stores[odd], "order-2")
        append(stores[plain], "order-2")
        with postgres_engine.connect() as other:
            append(stores[plain].join(other), "order-3")
            append(stores[plain], "order-2")
            other.rollback()
        assert positions(stores[plain]) == [1, 3]
        assert positions(stores[odd]) == []
        assert positions(EventStore(postgres_engine)) == []
        connection.commit()
    assert positions(stores[odd]) == positions(stores[odd], ORDERS) == [1, 2]
    with postgres_engine.begin() as connection:
        connection.execute(text('ALTER TABLE "Odd ""Schema""".es_events ALTER COLUMN position SET CACHE 3'))
    with pytest.raises(PositionCacheEnabled):
        list(EventStore(postgres_engine, schema=odd).read_all())
