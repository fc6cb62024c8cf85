"""Subscriptions: catching up, live, stopped, cut off, notified."""

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from eventstore import (
    ANY,
    Append,
    DecodingError,
    EventFilter,
    EventStore,
    InvalidInput,
    NewEvent,
    Subscription,
    migrations,
)
from eventstore.common.waker import Waker
from eventstore.errors import InvalidFilter, SchemaMissing
from eventstore.statements.postgresql.notifications import notification_channel
from tests.fix_clusters import Cluster
from tests.fix_engines import changing_history
from tests.fix_leaks import SECRET
from tests.processes import Python
from tests.waiting import stands_in, until

pytestmark = pytest.mark.slow

TIMEOUT_SECONDS = 30


@pytest.fixture
def store(any_engine: Engine) -> EventStore:
    return EventStore(any_engine, page_size=3)


def append(store: EventStore, count: int = 1, stream_id: str = "order-1", event_type: str = "counted") -> int:
    """Return the position of the last event."""
    events = [NewEvent(event_type, {"card": SECRET}) for _ in range(count)]
    return store.append(stream_id, events, expected_version=ANY).position


class Follower:
    """Iterates over a subscription in a thread of its own."""

    def __init__(self, subscription: Subscription) -> None:
        self.subscription = subscription
        self.positions: list[int] = []
        self._threads = ThreadPoolExecutor(1)
        self._thread_id = 0
        self._following = self._threads.submit(self._follow)

    def _follow(self) -> None:
        self._thread_id = threading.get_ident()
        for event in self.subscription:
            assert self.subscription.position == event.position
            self.positions.append(event.position)

    def wait_for(self, position: int) -> None:
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while self.subscription.position < position:
            assert time.monotonic() < deadline, f"came to {self.subscription.position}, not to {position}"
            assert not self._following.done(), self._following.result()
            time.sleep(0.002)

    def wait_until_it_sleeps(self) -> None:
        until(lambda: stands_in(self._thread_id, Waker.wait), self._following)

    def end(self) -> None:
        """Wait for the end of the iteration."""
        with self._threads:
            self._following.result(timeout=TIMEOUT_SECONDS)
        self.subscription.close()


@contextmanager
def following(subscription: Subscription) -> Iterator[Follower]:
    follower = Follower(subscription)
    try:
        yield follower
    finally:
        subscription.stop()
        follower.end()


def stored(store: EventStore, *filters: EventFilter) -> list[int]:
    return [event.position for event in store.read_all(*filters)]


def test_it_catches_up_and_goes_on_live(store: EventStore) -> None:
    append(store, 10)
    with following(store.subscribe(after_position=2)) as follower:
        follower.wait_for(10)
        for _ in range(5):
            follower.wait_for(append(store, 2))
    assert follower.positions == stored(store)[2:]


def test_its_position_passes_over_what_does_not_match(store: EventStore) -> None:
    paid = EventFilter(event_types=["paid"])
    append(store, 5)
    with following(store.subscribe(paid, after_position=0)) as follower:
        follower.wait_for(5)
        append(store, 1, event_type="paid")
        follower.wait_for(append(store, 3))
    assert follower.positions == stored(store, paid) == [6]
    assert follower.subscription.position == 9


def test_who_keeps_the_position_and_subscribes_again_gets_each_event_once(store: EventStore) -> None:
    append(store, 10)
    position, positions = 0, []
    for _ in range(4):
        with store.subscribe(after_position=position) as subscription:
            for event, _ in zip(subscription, range(2), strict=False):
                positions.append(event.position)
                position = subscription.position
    assert positions == stored(store)[: len(positions)]
    assert len(positions) == 8


def test_it_ends_when_nothing_has_come_for_a_while(store: EventStore) -> None:
    append(store, 4)
    with store.subscribe(after_position=0, idle_timeout_seconds=0.1) as subscription:
        assert [event.version for event in subscription] == [1, 2, 3, 4]
        assert list(subscription) == []
    assert list(store.subscribe(after_position=4, idle_timeout_seconds=0)) == []


def test_it_can_be_stopped_while_it_waits(store: EventStore) -> None:
    subscription = store.subscribe(after_position=0, shortest_interval_seconds=3600, longest_interval_seconds=3600)
    follower = Follower(subscription)
    follower.wait_until_it_sleeps()
    subscription.stop()
    follower.end()
    assert follower.positions == []


def test_a_stopped_one_delivers_nothing_more_and_stopping_twice_is_fine(store: EventStore) -> None:
    append(store, 10)
    with store.subscribe(after_position=0) as subscription:
        assert next(subscription).version == 1
        subscription.stop()
        subscription.stop()
        assert list(subscription) == []
    subscription.stop()
    subscription.close()
    assert subscription.position == 1
    never_used = store.subscribe(after_position=0)
    never_used.stop()
    assert list(never_used) == []


SIGNALLED = """
import signal, sys
from eventstore import EventStore
from eventstore.common.waker import Waker
wait = Waker.wait
def say_and_wait(waker, seconds, *others):
    print("waits", round(seconds), flush=True)
    return wait(waker, seconds, *others)
Waker.wait = say_and_wait
subscription = EventStore.from_url(sys.argv[1]).subscribe(after_position=0, longest_interval_seconds=3600,
                                                          shortest_interval_seconds=3600)
signal.signal(signal.SIGTERM, lambda *_: subscription.stop())
print("ready", flush=True)
for event in subscription:
    print(event.position, flush=True)
print("stopped at", subscription.position, flush=True)
subscription.close()
"""


def state_of(process_id: int) -> str:
    """Return what the main thread of a process does: R if it runs, S if it sleeps."""
    return Path(f"/proc/{process_id}/stat").read_text(encoding="utf-8").rpartition(") ")[2][0]


def test_the_handler_of_a_signal_can_stop_it(store: EventStore, any_url: str) -> None:
    append(store, 2)
    with Python("-c", SIGNALLED, any_url) as process:
        try:
            assert [process.stdout.readline().strip() for _ in range(3)] == ["ready", "1", "2"]
            assert process.stdout.readline() == "waits 3600\n"
            until(lambda: state_of(process.pid) == "S")  # it is in the midst of it
            process.send_signal(signal.SIGTERM)
            assert process.wait(TIMEOUT_SECONDS) == 0
            assert process.stdout.readline() == "stopped at 2\n"
        finally:
            process.kill()


@pytest.mark.parametrize("broken", [1, 2, 3, 4, 5])
def test_an_event_that_cannot_be_read_is_raised_and_not_passed_over(
    store: EventStore, any_engine: Engine, broken: int
) -> None:
    append(store, 5)
    with changing_history(any_engine) as connection:
        connection.execute(text(f"UPDATE es_events SET codec = 99 WHERE position = {broken}"))
    with store.subscribe(after_position=0) as subscription:
        assert [next(subscription).position for _ in range(broken - 1)] == list(range(1, broken))
        for _ in range(3):  # it is raised again, and does not look like the end
            with pytest.raises(DecodingError) as error:
                next(subscription)
            assert (error.value.version, subscription.position) == (broken, broken - 1)
        assert SECRET not in str(error.value)
        with changing_history(any_engine) as connection:
            connection.execute(
                text(f"UPDATE es_events SET codec = (SELECT min(codec) FROM es_events) WHERE position = {broken}")
            )
        assert [next(subscription).position for _ in range(6 - broken)] == list(range(broken, 6))


def test_a_subscription_goes_on_after_it_was_interrupted(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    append(store, 3)
    with store.subscribe(after_position=0, idle_timeout_seconds=0) as subscription:
        assert next(subscription).position == 1
        recorded = subscription._order.recorded

        def interrupt(*_: object) -> None:
            monkeypatch.setattr(subscription._order, "recorded", recorded)
            raise KeyboardInterrupt

        monkeypatch.setattr(subscription._order, "recorded", interrupt)
        with pytest.raises(KeyboardInterrupt):
            next(subscription)
        assert [event.position for event in subscription] == [2, 3]


def test_after_the_end_there_is_nothing_more(store: EventStore) -> None:
    append(store, 2)
    with store.subscribe(after_position=0, idle_timeout_seconds=0) as subscription:
        assert len(list(subscription)) == 2
        append(store)
        assert list(subscription) == []


def test_a_full_pool_is_waited_out(any_url: str, store: EventStore, caplog: pytest.LogCaptureFixture) -> None:
    engine = create_engine(any_url, pool_size=1, max_overflow=0, pool_timeout=0.02)
    append(store)
    taken = engine.connect()
    with following(EventStore(engine).subscribe(after_position=0)) as follower:
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while "lost its connection (TimeoutError)" not in caplog.text:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        assert follower.positions == []
        taken.close()
        follower.wait_for(1)
    engine.dispose()


def test_missing_tables_are_not_waited_for(empty_postgres_url: str) -> None:
    engine = create_engine(empty_postgres_url)
    with EventStore(engine).subscribe(after_position=0) as subscription, pytest.raises(SchemaMissing):
        next(subscription)
    engine.dispose()


def test_the_first_connection_has_to_succeed() -> None:
    engine = create_engine("postgresql+psycopg://nobody@127.0.0.1:1/nowhere")
    with EventStore(engine).subscribe(after_position=0) as subscription, pytest.raises(OperationalError):
        next(subscription)


BAD_OPTIONS: list[dict[str, Any]] = [
    {"after_position": -1},
    {"after_position": None},
    {"after_position": True},
    {"idle_timeout_seconds": -1},
    {"idle_timeout_seconds": "1"},
    {"shortest_interval_seconds": 0},
    {"shortest_interval_seconds": 0.0001},
    {"shortest_interval_seconds": 1, "longest_interval_seconds": 0.5},
    {"longest_interval_seconds": 10**6},
    {"longest_interval_seconds": float("nan")},
]


@pytest.mark.parametrize("options", BAD_OPTIONS)
def test_bad_options(store: EventStore, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        store.subscribe(**{"after_position": 0, **options})


def test_what_is_no_filter(store: EventStore) -> None:
    bad: Any = "order"
    with pytest.raises(InvalidFilter):
        store.subscribe(bad, after_position=0)


# --- cut off


def terminate_all(engine: Engine) -> None:
    """End all other sessions in this database."""
    with engine.connect() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )


@pytest.mark.parametrize("notify", [False, True])
def test_lost_connections_lose_and_repeat_nothing(
    postgres_engine: Engine, postgres_url: str, caplog: pytest.LogCaptureFixture, *, notify: bool
) -> None:
    writing = create_engine(postgres_url, poolclass=NullPool)  # no append takes a connection that was ended
    writer = EventStore(writing, notify=notify)
    reading = create_engine(postgres_url)
    with following(EventStore(reading).subscribe(after_position=0, notify=notify)) as follower:
        for _ in range(4):
            follower.wait_for(append(writer))
            with caplog.at_level(logging.WARNING):
                terminate_all(postgres_engine)
                follower.wait_for(append(writer))
    assert follower.positions == stored(writer)
    reading.dispose()
    messages = [record.getMessage() for record in caplog.records if record.name == "eventstore.subscriptions"]
    assert any("lost its connection" in message for message in messages)
    assert not any(SECRET in message or "SELECT" in message for message in messages)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "notify"),
    [
        (signal.SIGINT, True),
        (signal.SIGQUIT, False),
        pytest.param(signal.SIGINT, False, marks=pytest.mark.long),
        pytest.param(signal.SIGQUIT, True, marks=pytest.mark.long),
    ],
)
def test_it_survives_restarts_of_the_server(cluster: Cluster, how: signal.Signals, *, notify: bool) -> None:
    engine, writing = create_engine(cluster.url), create_engine(cluster.url, pool_pre_ping=True)
    migrations.provision(engine, "public")
    writer = EventStore(writing, notify=notify)
    with following(EventStore(engine).subscribe(after_position=0, notify=notify)) as follower:
        for _ in range(3):
            follower.wait_for(append(writer, 3))
            cluster.stop(how)
            until(lambda: follower.subscription._is_lost)  # called at once
            cluster.start()
            follower.wait_for(append(writer, 3))
    assert follower.positions == stored(writer)
    engine.dispose()
    writing.dispose()


# --- notifications


@pytest.fixture
def notifying(postgres_engine: Engine) -> EventStore:
    return EventStore(postgres_engine, notify=True)


APPENDS: list[Callable[[EventStore], object]] = [
    append,
    lambda store: store.append("order-new", [NewEvent("placed")], expected_version=0),
    lambda store: store.append("order-0", [NewEvent("placed")], expected_version=1),
    lambda store: store.append_many(
        [Append(f"order-{number}", [NewEvent("x")], expected_version=ANY) for number in "ab"]
    ),
    lambda store: store.append_many([Append("order-c", [NewEvent("x")], expected_version=ANY)], atomic=False),
]


@pytest.mark.parametrize("appending", APPENDS)
def test_a_notification_wakes_one_that_would_sleep_for_an_hour(
    notifying: EventStore, appending: Callable[[EventStore], object]
) -> None:
    append(notifying, stream_id="order-0")
    subscription = notifying.subscribe(after_position=0, shortest_interval_seconds=3600, longest_interval_seconds=3600)
    with following(subscription) as follower:
        follower.wait_for(1)
        follower.wait_until_it_sleeps()
        appending(notifying)
        follower.wait_for(2)


def test_a_joined_append_notifies_when_it_is_committed(notifying: EventStore, postgres_engine: Engine) -> None:
    subscription = notifying.subscribe(
        after_position=0, notify=True, shortest_interval_seconds=3600, longest_interval_seconds=3600
    )
    with following(subscription) as follower, postgres_engine.connect() as connection, listening(notifying) as heard:
        follower.wait_until_it_sleeps()
        append(notifying.join(connection))
        assert heard() == 0
        connection.commit()
        assert heard() == 1
        follower.wait_for(1)


@contextmanager
def listening(store: EventStore) -> Iterator[Callable[[], int]]:
    """Yield what returns how many notifications of a store have come since it was asked before.

    They come in the order of the commits. So one more, on another channel, tells that all before it are there.
    """
    url = store.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as listener:
        ((channel,),) = listener.execute(*store.core.dialect.sql(notification_channel)).fetchall()
        for name in (channel, "the_end"):
            listener.execute(f'LISTEN "{name}"')

        def count() -> int:
            listener.execute("NOTIFY the_end")
            come = []
            while "the_end" not in come:
                come += [each.channel for each in listener.notifies(timeout=TIMEOUT_SECONDS, stop_after=1)]
            return come.count(channel)

        yield count


def test_without_notifications_from_the_writer_it_polls(postgres_engine: Engine) -> None:
    store = EventStore(postgres_engine)
    with following(store.subscribe(after_position=0, notify=True)) as follower:
        follower.wait_for(append(store))


def test_its_connection_is_closed_and_the_pool_is_whole(notifying: EventStore, postgres_engine: Engine) -> None:
    listening = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'"
    )
    for _ in range(3):
        with notifying.subscribe(after_position=0, idle_timeout_seconds=0.05, notify=True) as subscription:
            assert list(subscription) == []
    ended = notifying.subscribe(after_position=0, idle_timeout_seconds=0.05, notify=True)
    assert list(ended) == []  # its end is enough
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while True:  # a session ends a moment after its connection
        with postgres_engine.connect() as connection:
            if connection.execute(listening).scalar_one() == 0:
                break
        assert time.monotonic() < deadline
    assert postgres_engine.pool.checkedout() == 0  # type: ignore[attr-defined]  # of a QueuePool


def test_sqlite_has_no_notifications(sqlite_engine: Engine) -> None:
    with pytest.raises(InvalidInput, match="PostgreSQL"):
        EventStore(sqlite_engine, notify=True)
    with pytest.raises(InvalidInput, match="PostgreSQL"):
        EventStore(sqlite_engine).subscribe(after_position=0, notify=True)


def test_many_threads_can_stop_it_at_once(store: EventStore) -> None:
    append(store, 3)
    for _ in range(20):
        subscription = store.subscribe(after_position=0)
        follower = Follower(subscription)
        stoppers = [threading.Thread(target=subscription.stop) for _ in range(4)]
        for stopper in stoppers:
            stopper.start()
        follower.end()
        for stopper in stoppers:
            stopper.join()
        assert follower.positions == [1, 2, 3][: len(follower.positions)]
