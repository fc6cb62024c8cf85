"""Races on both databases: steered to the dangerous moment first, then at random, with threads and with processes."""

import multiprocessing
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, wait

import pytest
from sqlalchemy import Engine

from eventstore import (
    ANY,
    NO_STREAM,
    STREAM_EXISTS,
    Append,
    AppendResult,
    ConcurrencyConflict,
    EventStore,
    ExpectedVersion,
    NewEvent,
)

pytestmark = pytest.mark.slow

CONTENDED_APPENDS = 10_000


def attempt(append: Callable[[], AppendResult]) -> AppendResult | ConcurrencyConflict:
    try:
        return append()
    except ConcurrencyConflict as conflict:
        return conflict


class SecondWriter:
    """A writer that has started while the first one's transaction is open, and must be waiting for it."""

    def __init__(self, append: Callable[[], AppendResult]) -> None:
        self._threads = ThreadPoolExecutor(1)
        self._outcome: Future[AppendResult | ConcurrencyConflict] = self._threads.submit(attempt, append)
        done, _ = wait([self._outcome], timeout=0.3)
        assert not done, "the second writer has not waited"

    def outcome(self) -> AppendResult | ConcurrencyConflict:
        with self._threads:
            return self._outcome.result(timeout=30)


@pytest.fixture
def store(any_engine: Engine) -> EventStore:
    return EventStore(any_engine)


@pytest.mark.parametrize("existing", [0, 2])
@pytest.mark.parametrize("many", [False, True])
def test_a_writer_waits_for_the_first_and_loses_if_it_commits(
    store: EventStore, any_engine: Engine, existing: int, *, many: bool
) -> None:
    for version in range(existing):
        store.append("order-1", [NewEvent("earlier")], expected_version=version)

    def second() -> AppendResult:
        if many:
            return store.append_many([Append("order-1", [NewEvent("second")], expected_version=existing)])[0]
        return store.append("order-1", [NewEvent("second")], expected_version=existing)

    with any_engine.begin() as connection:
        store.join(connection).append("order-1", [NewEvent("first")], expected_version=existing)
        writer = SecondWriter(second)
    outcome = writer.outcome()
    assert isinstance(outcome, ConcurrencyConflict)
    assert (outcome.expected, outcome.actual) == (existing, existing + 1)


@pytest.mark.parametrize("existing", [0, 2])
def test_a_writer_waits_for_the_first_and_wins_if_it_rolls_back(
    store: EventStore, any_engine: Engine, existing: int
) -> None:
    for version in range(existing):
        store.append("order-1", [NewEvent("earlier")], expected_version=version)
    with any_engine.connect() as connection:
        store.join(connection).append("order-1", [NewEvent("first")], expected_version=existing)
        writer = SecondWriter(lambda: store.append("order-1", [NewEvent("second")], expected_version=existing))
        connection.rollback()
    outcome = writer.outcome()
    assert isinstance(outcome, AppendResult)
    assert outcome.version == existing + 1
    assert [event.event_type for event in store.read_stream("order-1", after_version=existing)] == ["second"]


@pytest.mark.parametrize("expected", [ANY, STREAM_EXISTS])
def test_a_writer_who_expects_no_version_follows_the_first(
    store: EventStore, any_engine: Engine, expected: ExpectedVersion
) -> None:
    store.append("order-1", [NewEvent("earlier")], expected_version=NO_STREAM)
    with any_engine.begin() as connection:
        store.join(connection).append("order-1", [NewEvent("first"), NewEvent("first")], expected_version=1)
        writer = SecondWriter(lambda: store.append("order-1", [NewEvent("second")], expected_version=expected))
    outcome = writer.outcome()
    assert isinstance(outcome, AppendResult)
    assert outcome.version == 4
    events = list(store.read_stream("order-1"))
    assert [event.event_type for event in events] == ["earlier", "first", "first", "second"]
    assert [event.position for event in events] == sorted(event.position for event in events)


def test_readers_wait_for_nobody(store: EventStore, any_engine: Engine) -> None:
    store.append("order-1", [NewEvent("earlier")], expected_version=NO_STREAM)
    with any_engine.begin() as connection:
        store.join(connection).append("order-1", [NewEvent("first")], expected_version=1)
        assert store.stream_version("order-1") == 1
        assert len(list(store.read_stream("order-1"))) == 1


def contend(url: str, seed: int, appends: int, writer: int) -> tuple[list[int], int]:
    """Append to one stream, each time at the version just read; return the versions written and how often it lost."""
    generator = random.Random(seed * 1000 + writer)  # repeatable, guards nothing
    written: list[int] = []
    conflicts = 0
    with EventStore.from_url(url) as store:
        while len(written) < appends:
            version = store.stream_version("order-1")
            size = min(generator.choice([1, 1, 1, 2, 5]), appends - len(written))
            try:
                result = store.append("order-1", numbered(writer, size), expected_version=version)
            except ConcurrencyConflict as conflict:
                if conflict.expected != version or conflict.actual is None or conflict.actual <= version:
                    raise
                conflicts += 1
                continue
            assert result.version == version + size
            written += range(version + 1, result.version + 1)
    return written, conflicts


def numbered(writer: int, count: int) -> list[NewEvent]:
    return [NewEvent("written", {"writer": writer}) for _ in range(count)]


def check_contention(url: str, outcomes: list[tuple[list[int], int]], total: int) -> None:
    with EventStore.from_url(url) as store:
        events = list(store.read_stream("order-1"))
        assert [event.version for event in events] == list(range(1, total + 1)), "a version is missing or doubled"
        positions = [event.position for event in events]
        assert positions == sorted(set(positions))
        for writer, (written, _) in enumerate(outcomes):
            assert [event.version for event in events if event.data["writer"] == writer] == written
        assert store.stream_version("order-1") == total
    print("conflicts:", sum(conflicts for _, conflicts in outcomes))


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_contended_appends_lose_and_double_nothing(any_url: str, kind: str) -> None:
    """Half of 10,000 by threads and half by processes, on each database."""
    seed = random.SystemRandom().randrange(10**6)
    print("seed:", seed)
    writers, each = 5, CONTENDED_APPENDS // 2 // 5
    pool = (
        ThreadPoolExecutor(writers)
        if kind == "threads"
        else ProcessPoolExecutor(writers, mp_context=multiprocessing.get_context("spawn"))
    )
    with pool:
        futures = [pool.submit(contend, any_url, seed, each, writer) for writer in range(writers)]
        outcomes = [future.result() for future in futures]
    check_contention(any_url, outcomes, writers * each)


def test_appends_of_all_kinds_at_random(any_engine: Engine) -> None:
    """Single, joined and multi-stream appends, some rolled back, on few streams: heads and events stay in step."""
    seed = random.SystemRandom().randrange(10**6)
    print("seed:", seed)
    store = EventStore(any_engine)
    stream_ids = [f"order-{number}" for number in range(6)]
    stop = time.monotonic() + 3
    stored: list[tuple[str, int]] = []
    lock = threading.Lock()

    def work(writer: int) -> None:
        generator = random.Random(seed * 1000 + writer)  # repeatable, guards nothing
        while time.monotonic() < stop:
            chosen = generator.sample(stream_ids, generator.randint(1, 4))
            choices: dict[str, list[ExpectedVersion]] = {id_: [ANY, store.stream_version(id_)] for id_ in chosen}
            expected = {id_: generator.choice(choices[id_]) for id_ in chosen}
            sizes = {id_: generator.randint(1, 3) for id_ in chosen}
            appends = [Append(id_, numbered(writer, sizes[id_]), expected_version=expected[id_]) for id_ in chosen]
            results: list[AppendResult] = []
            try:
                if generator.random() < 0.4:
                    with any_engine.connect() as connection:
                        results = store.join(connection).append_many(appends)
                        time.sleep(generator.random() / 200)
                        if generator.random() < 0.3:
                            results = []
                            connection.rollback()
                        else:
                            connection.commit()
                elif generator.random() < 0.5:
                    outcomes = store.append_each(appends)
                    results = [outcome for outcome in outcomes if isinstance(outcome, AppendResult)]
                else:
                    results = store.append_many(appends)
            except ConcurrencyConflict:
                continue
            with lock:
                for result in results:
                    size = sizes[result.stream_id]
                    stored.extend(
                        (result.stream_id, version) for version in range(result.version - size + 1, result.version + 1)
                    )

    with ThreadPoolExecutor(6) as pool:
        for future in [pool.submit(work, writer) for writer in range(6)]:
            future.result()
    assert len(stored) == len(set(stored)) > 100
    for stream_id in stream_ids:
        events = list(store.read_stream(stream_id))
        count = sum(id_ == stream_id for id_, _ in stored)
        assert [event.version for event in events] == list(range(1, count + 1))
        assert store.stream_version(stream_id) == count
        positions = [event.position for event in events]
        assert positions == sorted(set(positions))
