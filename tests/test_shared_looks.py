"""Looks that readers share, and those that they must not share."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, StaticPool, create_engine, event

from eventstore import EventStore, LogWentBack, PositionToken, migrations
from eventstore.common import single_flight
from eventstore.common.single_flight import SingleFlight
from tests.readers import append, opened
from tests.waiting import stands_in, until

pytestmark = pytest.mark.slow

TIMEOUT_SECONDS = 60


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread takes over from a leader that is held, however slow the machine."""
    monkeypatch.setattr(single_flight, "_PATIENCE_SECONDS", 10 * TIMEOUT_SECONDS)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(25) as made:
        yield made


class Looks:
    """Counts a store's looks, and can hold the answer of the next one."""

    def __init__(self, store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self._hold: threading.Event | None = None
        self._answered = threading.Event()
        look = store.core.dialect.view_log

        def counted(*args: Any, **named: Any) -> Any:
            self.count += 1
            held, self._hold = self._hold, None
            view = look(*args, **named)
            if held is not None:
                self._answered.set()
                assert held.wait(TIMEOUT_SECONDS)
            return view

        monkeypatch.setattr(store.core.dialect, "view_log", counted)

    @contextmanager
    def held(self, threads: ThreadPoolExecutor, read: Callable[[], Any]) -> Iterator[Future[Any]]:
        """Start a reader; the database has answered its look, and it does not have the answer until the block ends."""
        self._hold = release = threading.Event()
        running = threads.submit(read)
        try:
            assert self._answered.wait(TIMEOUT_SECONDS)
            yield running
        finally:
            release.set()


def positions(store: EventStore, after: PositionToken | int = 0) -> list[int]:
    return [event.position for event in store.read_all(after_position=after)]


def sharing(threads: ThreadPoolExecutor, count: int, read: Callable[[], Any]) -> list[Future[Any]]:
    """Start readers; return when all of them wait for the look of another."""
    waiting: list[int] = []

    def note_and_read() -> Any:
        waiting.append(threading.get_ident())
        return read()

    running = [threads.submit(note_and_read) for _ in range(count)]
    until(lambda: len(waiting) == count and all(stands_in(each, SingleFlight._wait) for each in waiting), *running)
    return running


def test_a_look_is_paid_once_by_all_who_asked_before_it_began(
    postgres_url: str, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(postgres_url, pool_size=25) as engine:
        store = EventStore(engine)
        last = append(store)
        looks = Looks(store, monkeypatch)
        with looks.held(threads, store.settled_position) as first:
            readers = sharing(threads, 20, store.settled_position)
        assert {each.result(TIMEOUT_SECONDS) for each in [first, *readers]} == {last}
        assert looks.count == 2


def test_a_reader_does_not_use_a_look_that_began_before_it_asked(
    postgres_engine: Engine, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first look has not seen the event, which was committed before the second reader asked."""
    store = EventStore(postgres_engine)
    looks = Looks(store, monkeypatch)
    with looks.held(threads, lambda: positions(store)) as early:
        last = append(store)
        (late,) = sharing(threads, 1, lambda: positions(store))
    assert early.result(TIMEOUT_SECONDS) == []
    assert late.result(TIMEOUT_SECONDS) == [last]


def test_each_reader_has_its_own_event_confirmed(
    postgres_engine: Engine, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of them has an event that the log never had at this position; the others do not suffer from that."""
    store = EventStore(postgres_engine)
    append(store, count=3)
    first, second, third = (event.token for event in store.read_all())
    lost = PositionToken(second.position, uuid4(), second.stream_id, second.version)
    looks = Looks(store, monkeypatch)
    with looks.held(threads, lambda: positions(store)):
        running = [
            each for after in (first, lost, second) for each in sharing(threads, 1, partial(positions, store, after))
        ]
    assert running[0].result(TIMEOUT_SECONDS) == [second.position, third.position]
    with pytest.raises(LogWentBack):
        running[1].result(TIMEOUT_SECONDS)
    assert running[2].result(TIMEOUT_SECONDS) == [third.position]
    assert looks.count == 3, "the first, the shared one, and one by which the log itself says that the event is gone"


def test_a_joined_reader_looks_by_itself(
    postgres_engine: Engine, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = EventStore(postgres_engine)
    last = append(store)
    looks = Looks(store, monkeypatch)
    with looks.held(threads, store.settled_position) as running, store.transaction() as joined:
        assert joined.settled_position() == last
        assert not running.done()


def test_readers_whose_connections_lead_to_other_tenants_look_by_themselves(
    empty_postgres_url: str, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = threading.local()

    def choose(connection: Any, *_: object) -> None:
        connection.execute(f"SET search_path TO {tenant.name}")
        connection.commit()

    with opened(empty_postgres_url) as engine:
        for name in ("one", "two"):
            migrations.provision(engine, name)
        append(EventStore(engine, schema="one"), count=3)
        event.listen(engine, "checkout", choose)
        store = EventStore(engine)

        def read_as(name: str) -> list[int]:
            tenant.name = name
            return positions(store)

        assert read_as("two") == []
        looks = Looks(store, monkeypatch)
        with looks.held(threads, lambda: read_as("two")) as held:
            assert threads.submit(read_as, "one").result(TIMEOUT_SECONDS) == [1, 2, 3]
            assert not held.done()
        assert held.result(TIMEOUT_SECONDS) == []


def test_which_stores_share(postgres_url: str) -> None:
    def listened(engine: Engine, name: str) -> Engine:
        event.listen(engine, name, lambda *_: None)
        return engine

    def shares(engine: Engine, **options: Any) -> bool:
        store = EventStore(engine, **options)
        return store.core.execution.shares_reads

    assert shares(create_engine(postgres_url))
    assert shares(listened(create_engine(postgres_url), "connect"))
    for name in ("checkout", "engine_connect", "begin", "before_cursor_execute"):
        assert not shares(listened(create_engine(postgres_url), name))
        assert shares(listened(create_engine(postgres_url), name), schema="shop")
    assert not shares(create_engine(postgres_url, poolclass=StaticPool), schema="shop")
    assert not shares(create_engine(postgres_url.replace("+psycopg", "+psycopg_async")), schema="shop")
