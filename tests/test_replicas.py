"""Reading one's own writes on a standby of PostgreSQL, by real streaming replication: `EventStore.wait_for`."""

import asyncio
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from typing import NamedTuple

import pytest
from sqlalchemy.exc import OperationalError

from eventstore import (
    ANY,
    Append,
    AppendResult,
    EventStore,
    InvalidInput,
    LogWentBack,
    NewEvent,
    PositionToken,
    Repository,
    migrations,
)
from eventstore.contrib.asyncio import AsyncEventStore
from eventstore.errors import EventNotReached, ReadOnlyDatabase
from eventstore.projections import Projection, ProjectionAdmin, Worker
from eventstore.tokens import HasToken
from tests.fix_clusters import Cluster, clusters
from tests.postgresql import supervisor
from tests.readers import append, opened, unfinished

pytestmark = pytest.mark.slow

PATIENT = 60.0
"""Longer than anything here takes, in seconds."""


class Pair(NamedTuple):
    """A primary and its standby, with a store on each."""

    primary: Cluster
    standby: Cluster
    store: EventStore
    replica: EventStore


@contextmanager
def made(new: Callable[[], Cluster]) -> Iterator[Pair]:
    primary, standby = new(), new()
    primary.create()
    primary.start()
    with opened(primary.url) as engine, opened(standby.url, pool_pre_ping=True) as standby_engine:
        migrations.provision(engine, "public")
        standby.follow(primary)
        yield Pair(primary, standby, EventStore(engine), EventStore(standby_engine))


@pytest.fixture(scope="module")
def shared_pair() -> Iterator[Pair]:
    """Return a pair for tests that end it as it was, and have streams of their own."""
    with clusters() as new, made(new) as pair:
        yield pair


@pytest.fixture
def pair(new_cluster: Callable[[], Cluster]) -> Iterator[Pair]:
    with made(new_cluster) as pair:
        yield pair


@contextmanager
def paused(standby: Cluster) -> Iterator[None]:
    """Let the standby replay nothing until the end of the block."""
    standby.query("SELECT pg_wal_replay_pause()")
    standby.wait_until("SELECT pg_get_wal_replay_pause_state() = 'paused'")
    try:
        yield
    finally:
        standby.query("SELECT CASE WHEN pg_is_in_recovery() THEN pg_wal_replay_resume() END")


@contextmanager
def waiting_for(
    store: EventStore, token: PositionToken, *, fallback: EventStore | None = None
) -> Iterator[list[object]]:
    """Wait in another thread, which has looked for the event in vain when the block begins; it ends with the block."""
    outcome: list[object] = []
    has_looked = threading.Event()
    look = store.core.settling.find

    def wait() -> None:
        try:
            outcome.append(store.wait_for(token, timeout_seconds=PATIENT, fallback=fallback))
        except Exception as error:  # noqa: BLE001  # whatever it is, the test compares it
            outcome.append(error)

    def find(*arguments: object, **options: object) -> object:
        found = look(*arguments, **options)  # type: ignore[arg-type]  # passed on as they are
        assert has_looked.is_set() or not found[0]
        has_looked.set()
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store.core.settling, "find", find)
        thread = threading.Thread(target=wait)
        thread.start()
        assert has_looked.wait(PATIENT)
        yield outcome
        thread.join(PATIENT)
    assert not thread.is_alive()


# --- a standby that replays nothing


def test_a_standby_that_replays_nothing_is_waited_for_given_up_or_replaced_by_the_primary(shared_pair: Pair) -> None:
    store, replica = shared_pair.store, shared_pair.replica
    first = store.append("paused-1", NewEvent("placed"), expected_version=0)
    replica.wait_for(first, timeout_seconds=PATIENT)
    with paused(shared_pair.standby):
        result = store.append("paused-1", NewEvent("paid"), expected_version=1)
        assert replica.stream_version("paused-1") == 1
        with pytest.raises(EventNotReached, match="was not replayed within") as raised:
            replica.wait_for(result, timeout_seconds=0.05)
        assert isinstance(raised.value, TimeoutError)
        assert (raised.value.position, raised.value.stream_id, raised.value.version) == (result.position, "paused-1", 2)
        assert (raised.value.newest, raised.value.settled, raised.value.is_visible) == (
            first.position,
            first.position,
            False,
        )
        assert raised.value.waited_seconds >= 0.05
        assert replica.wait_for(result, timeout_seconds=0, fallback=store) is store
        with store.transaction() as joined:
            assert replica.wait_for(result, timeout_seconds=0, fallback=joined) is joined
        with pytest.raises(EventNotReached):
            replica.wait_for(result, timeout_seconds=0, fallback=replica)
    with paused(shared_pair.standby):
        later = store.append("paused-1", NewEvent("sent"), expected_version=2)
        with waiting_for(replica, later.token, fallback=store) as outcome:
            shared_pair.standby.query("SELECT pg_wal_replay_resume()")
    assert outcome == [replica]
    assert [event.version for event in replica.read_stream("paused-1")] == [1, 2, 3]


def test_a_task_waits_for_a_standby_or_falls_back_as_a_thread_does(shared_pair: Pair) -> None:
    async def wait() -> None:
        async with (
            AsyncEventStore.from_url(shared_pair.primary.url) as store,
            AsyncEventStore.from_url(shared_pair.standby.url) as replica,
        ):
            result = await store.append("task-1", NewEvent("placed"), expected_version=0)
            assert await replica.wait_for(result, timeout_seconds=PATIENT, fallback=store) is replica
            assert await replica.wait_for(result, timeout_seconds=PATIENT, settled=True) is replica
            with paused(shared_pair.standby):
                later = await store.append("task-1", NewEvent("paid"), expected_version=1)
                assert await replica.wait_for(later, timeout_seconds=0.05, fallback=store) is store
                with pytest.raises(EventNotReached):
                    await replica.wait_for(later.token, timeout_seconds=0.05)
                with pytest.raises(ReadOnlyDatabase):
                    await replica.append("task-1", NewEvent("sent"), expected_version=1)
                with pytest.raises(InvalidInput, match="AsyncEventStore"):
                    await replica.wait_for(later, fallback=shared_pair.store)  # type: ignore[arg-type]  # wrong on purpose

    asyncio.run(wait())


def test_what_may_be_waited_for(shared_pair: Pair) -> None:
    """Results of appends, of repositories, of projections, and events that were read elsewhere."""
    store, replica = shared_pair.store, shared_pair.replica
    orders = Repository(store, category="waited", initial=int, evolve=lambda count, _: count + 1)
    saved = orders.execute("1", lambda _: [NewEvent("placed")])
    assert saved.token is not None
    results: list[AppendResult] = [
        *store.append_many([Append("waited-2", NewEvent("placed"), expected_version=0)]),
        store.append("waited-3", [NewEvent("placed"), NewEvent("paid")], expected_version=ANY),
        store.delete_stream("waited-2", expected_version=1, reason="test"),
    ]
    everything: list[HasToken | PositionToken] = [saved, saved.token, *results]
    for waited_for in (*everything, *store.read_stream("waited-3")):
        assert replica.wait_for(waited_for, timeout_seconds=PATIENT) is replica
    assert orders.with_store(replica).load("1", version=saved.version).state == 1
    assert replica.wait_for(results[1], timeout_seconds=PATIENT, settled=True) is replica
    assert replica.wait_for(results[0], timeout_seconds=PATIENT) is replica, "deleted later: the log says so"
    projection = Projection("counting")
    projection.on()(lambda *_: None)
    Worker(store, projection).run_until_caught_up()
    assert ProjectionAdmin(replica).wait_for("counting", results[-1], timeout_seconds=PATIENT)


# --- a lower position that is still open on the primary


def test_an_event_is_read_from_its_stream_while_one_before_it_is_open_but_not_in_the_global_order(
    shared_pair: Pair,
) -> None:
    store, replica = shared_pair.store, shared_pair.replica
    first = append(store, "before-1")
    with unfinished(store.engine, "held-1") as (connection, held):
        result = store.append("open-1", NewEvent("counted"), expected_version=0)
        assert replica.wait_for(result, timeout_seconds=PATIENT) is replica
        assert [event.position for event in replica.read_stream("open-1")] == [result.position]
        assert [event.position for event in replica.read_all(after_position=first - 1, wait_seconds=0)] == [first]
        with pytest.raises(EventNotReached, match="is there, but") as raised:
            replica.wait_for(result, timeout_seconds=0.05, settled=True)
        assert (raised.value.settled, raised.value.newest, raised.value.is_visible) == (first, result.position, True)
        with pytest.raises(EventNotReached):
            replica.wait_for(result, timeout_seconds=0.05, settled=True, fallback=store)
        connection.commit()
    assert replica.wait_for(result, timeout_seconds=PATIENT, settled=True) is replica
    assert [event.position for event in replica.read_all(after_position=first, wait_seconds=0)] == [
        held,
        result.position,
    ]


# --- promotion, and another primary


def test_a_wait_lives_through_the_promotion_of_the_standby(pair: Pair) -> None:
    store, replica = pair.store, pair.replica
    with paused(pair.standby):
        result = store.append("order-1", NewEvent("placed"), expected_version=0)
        pair.standby.wait_until(  # it has received the event, and not replayed it
            "SELECT pg_last_wal_receive_lsn() > pg_last_wal_replay_lsn()"
        )
        with waiting_for(replica, result.token) as outcome:
            pair.primary.kill()
            pair.standby.promote()
    assert outcome == [replica]
    assert replica.append("order-1", NewEvent("paid"), expected_version=1).position > result.position


@pytest.mark.long
def test_what_a_promotion_has_lost_is_not_waited_for(pair: Pair) -> None:
    """The fallback does not hide it: what was written is not there any more."""
    store, replica = pair.store, pair.replica
    append(store)
    pair.standby.catch_up(pair.primary)
    pair.standby.stop_receiving()
    result = store.append("order-1", NewEvent("lost"), expected_version=1)
    with waiting_for(replica, result.token, fallback=store) as outcome:
        pair.standby.promote()
    assert [type(error) for error in outcome] == [LogWentBack]
    replica.append("order-1", NewEvent("another"), expected_version=1)
    with pytest.raises(LogWentBack):
        replica.wait_for(result.token, timeout_seconds=0, fallback=store)


@pytest.mark.long
@pytest.mark.parametrize("is_lost", [False, True])
def test_a_wait_goes_on_while_the_standby_follows_another_primary(
    pair: Pair, new_cluster: Callable[[], Cluster], is_lost: bool
) -> None:
    """The new primary has another timeline. An event that it does not have is replaced by another one."""
    successor = new_cluster()
    successor.follow(pair.primary)
    append(pair.store)
    for standby in (successor, pair.standby):
        standby.catch_up(pair.primary)
    pair.standby.stop_receiving()
    if is_lost:
        successor.stop_receiving()
    result = pair.store.append("order-1", NewEvent("counted"), expected_version=1)
    if not is_lost:
        successor.catch_up(pair.primary)
    with waiting_for(pair.replica, result.token) as outcome, opened(successor.url) as engine:
        pair.primary.kill()
        successor.promote()
        append(EventStore(engine), "order-2", count=40)
        follow = f"host=127.0.0.1 port={successor.port} user=postgres"
        pair.standby.query(f"ALTER SYSTEM SET primary_conninfo = '{follow}'")
        pair.standby.query("SELECT pg_reload_conf()")
    assert pair.standby.query("SELECT pg_is_in_recovery()") == [(True,)]
    assert outcome == [pair.replica] if not is_lost else [type(error) for error in outcome] == [LogWentBack]


def test_a_standby_that_does_not_answer_is_replaced_by_the_fallback(shared_pair: Pair) -> None:
    result = shared_pair.store.append("down-1", NewEvent("placed"), expected_version=0)
    with opened(f"postgresql+psycopg://postgres@127.0.0.1:{supervisor.free_port()}/postgres") as engine:
        assert EventStore(engine).wait_for(result, fallback=shared_pair.store) is shared_pair.store
        with pytest.raises(OperationalError):
            EventStore(engine).wait_for(result)


# --- an append on a standby


def test_an_append_on_a_standby_is_refused_by_name_and_draws_no_position(shared_pair: Pair) -> None:
    store, replica = shared_pair.store, shared_pair.replica
    first = store.append("refused-1", NewEvent("placed"), expected_version=0)
    replica.wait_for(first, timeout_seconds=PATIENT)

    def in_a_transaction() -> None:
        with replica.transaction() as transaction:
            transaction.append("refused-1", NewEvent("paid"), expected_version=1)

    def in_a_joined_one() -> None:
        with replica.engine.connect() as connection:
            replica.join(connection).append("refused-1", NewEvent("paid"), expected_version=1)

    def counting(on: EventStore) -> Repository[int]:
        return Repository(on, category="refused", initial=int, evolve=lambda count, _: count + 1)

    for refused in (
        lambda: replica.append("refused-1", NewEvent("paid"), expected_version=1),
        lambda: replica.append("refused-1", NewEvent("paid"), expected_version=7),  # no conflict is found out
        lambda: replica.append("refused-2", [NewEvent("paid") for _ in range(10_000)], expected_version=0),
        lambda: replica.append_many([Append("refused-1", NewEvent("paid"), expected_version=1)]),
        lambda: replica.append_many([Append("refused-1", NewEvent("paid"), expected_version=1)], atomic=False),
        lambda: replica.delete_stream("refused-1", expected_version=1, reason="test"),
        lambda: replica.snapshots.save("refused-1", version=1, state=1),
        lambda: counting(replica).execute("1", lambda _: [NewEvent("paid")]),
        Worker(replica, Projection("refused")).run_once,
        in_a_transaction,
        in_a_joined_one,
    ):
        with pytest.raises(ReadOnlyDatabase, match="use the URL of the primary"):
            refused()
    assert replica.stream_version("refused-1") == counting(replica).load("1").version == 1
    assert store.append("refused-1", NewEvent("paid"), expected_version=1).position == first.position + 1


# --- how many reads are stale without it, and with it


@pytest.mark.long
def test_no_read_is_stale_that_has_waited(pair: Pair) -> None:
    """Ten writers append and read at once on the standby: 10,000 times without waiting, and 10,000 times after it."""
    store, replica = pair.store, pair.replica

    def write(waits: bool, number: int) -> list[int]:
        stale = [0, 0]
        for turn in range(1000):
            result = append_to(store, f"order-{number}")
            if turn % 7 == 0:
                with store.engine.connect() as connection:  # gaps
                    append(store.join(connection), f"other-{number}")
            before = result.position - 1
            if waits:
                assert replica.wait_for(result, timeout_seconds=PATIENT) is replica
            stale[0] += replica.stream_version(result.stream_id) < result.version
            if waits:
                replica.wait_for(result, timeout_seconds=PATIENT, settled=True)
            found = [event.position for event in replica.read_all(after_position=before, limit=1, wait_seconds=0)]
            stale[1] += found != [result.position]
        return stale

    for waits in (False, True):
        with ThreadPoolExecutor(10) as threads:
            counts = list(threads.map(partial(write, waits), range(10)))
        streams, everything = (sum(column) for column in zip(*counts, strict=True))
        print(f"of 10,000 reads each, {'after' if waits else 'without'} waiting: {streams} stale of a stream,", end=" ")
        print(f"{everything} stale of all streams")
        assert (streams, everything) == (0, 0) if waits else streams > 0


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3))
def test_whatever_happens_to_the_standby_the_store_that_is_returned_shows_the_event(pair: Pair, seed: int) -> None:
    """Replay is paused and goes on, and the standby restarts, at random, while ten write, some of them slowly."""
    store, replica = pair.store, pair.replica
    is_over = threading.Event()

    def write(number: int) -> tuple[int, int]:
        chance, on_replica, on_primary = random.Random(f"{seed} {number}"), 0, 0
        while not is_over.is_set():
            stream_id = f"order-{chance.randrange(5)}"
            with store.engine.connect() as connection:
                result = store.join(connection).append(stream_id, NewEvent("counted"), expected_version=ANY)
                is_over.wait(chance.choice([0, 0, 0, 0.01, 0.05]))
                commits = chance.random() < 0.8
                connection.commit() if commits else connection.rollback()
            settled, seconds = chance.random() < 0.5, chance.choice([0, 0.01, 0.2])
            reader: EventStore | None = None
            is_late = False
            with suppress(LogWentBack):
                try:
                    reader = replica.wait_for(result, timeout_seconds=seconds, settled=settled, fallback=store)
                except EventNotReached:  # on the primary, too, others hold the order back
                    is_late = True
            if reader is None:
                assert not commits or (is_late and settled)
                continue
            assert commits
            on_replica, on_primary = on_replica + (reader is replica), on_primary + (reader is store)
            try:
                assert reader.stream_version(stream_id) >= result.version
                if settled:
                    read = reader.read_all(after_position=result.position - 1, limit=1, wait_seconds=0)
                    assert [event.event_id for event in read] == [result.event_id]
            except OperationalError:
                assert reader is replica  # it restarts
        return on_replica, on_primary

    chance = random.Random(seed)
    with ThreadPoolExecutor(10) as threads:
        writing = [threads.submit(write, number) for number in range(10)]
        for _ in range(20):
            if chance.random() < 0.3:
                pair.standby.stop()
                pair.standby.start()
            else:
                with paused(pair.standby):
                    time.sleep(chance.uniform(0, 0.3))
            time.sleep(chance.uniform(0, 0.5))
        is_over.set()
        counts = [done.result() for done in writing]
    on_replica, on_primary = (sum(column) for column in zip(*counts, strict=True))
    print(f"seed {seed}: {on_replica} read on the standby, {on_primary} on the primary")
    assert on_replica > 100
    assert on_primary > 10


def append_to(store: EventStore, stream_id: str) -> AppendResult:
    return store.append(stream_id, NewEvent("counted"), expected_version=ANY)
