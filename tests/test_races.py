"""Races on both databases: steered to the dangerous moment first, then at random, with threads and with processes."""

import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import pytest
from sqlalchemy import Connection, Engine

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
from tests.processes import clean_processes
from tests.waiting import start_waiting

pytestmark = pytest.mark.slow


def attempt(append: Callable[[], AppendResult]) -> AppendResult | ConcurrencyConflict:
    try:
        return append()
    except ConcurrencyConflict as conflict:
        return conflict


class SecondWriter:
    """A writer that waits for the first one's transaction, as the database says."""

    def __init__(self, first: Connection, append: Callable[[], AppendResult]) -> None:
        self._threads = ThreadPoolExecutor(1)
        self._outcome = start_waiting(self._threads, first, attempt, append)

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
        writer = SecondWriter(connection, second)
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
        writer = SecondWriter(
            connection, lambda: store.append("order-1", [NewEvent("second")], expected_version=existing)
        )
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
        writer = SecondWriter(
            connection, lambda: store.append("order-1", [NewEvent("second")], expected_version=expected)
        )
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


@pytest.mark.parametrize("count", [1_000, pytest.param(5_000, marks=pytest.mark.long)])
@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_contended_appends_lose_and_double_nothing(any_url: str, kind: str, count: int) -> None:
    seed = random.SystemRandom().randrange(10**6)
    print("seed:", seed)
    writers, each = 4, count // 4
    pool = (
        ThreadPoolExecutor(writers) if kind == "threads" else ProcessPoolExecutor(writers, mp_context=clean_processes())
    )
    with pool:
        futures = [pool.submit(contend, any_url, seed, each, writer) for writer in range(writers)]
        outcomes = [future.result() for future in futures]
    check_contention(any_url, outcomes, writers * each)


STREAM_IDS = [f"order-{number}" for number in range(6)]
Outcomes = Sequence[AppendResult | ConcurrencyConflict]


def alone(store: EventStore, appends: list[Append]) -> Outcomes:
    first = appends[0]
    return [store.append(first.stream_id, first.events, expected_version=first.expected_version)]


def together(store: EventStore, appends: list[Append]) -> Outcomes:
    return store.append_many(appends)


def each_for_itself(store: EventStore, appends: list[Append]) -> Outcomes:
    return store.append_many(appends, atomic=False)


def joined(store: EventStore, appends: list[Append]) -> Outcomes:
    with store.engine.begin() as connection:
        results = store.join(connection).append_many(appends)
        time.sleep(0.002)  # others come, and wait
    return results


def rolled_back(store: EventStore, appends: list[Append]) -> Outcomes:
    with store.engine.connect() as connection:
        store.join(connection).append_many(appends)
        time.sleep(0.002)
        connection.rollback()
    return []


def append_at_random(store: EventStore, chooser: random.Random, stop: float) -> list[tuple[str, int]]:
    """Append to few streams in all ways, until it is time; return (stream, version) of each event that was stored."""
    stored: list[tuple[str, int]] = []
    while time.monotonic() < stop:
        stream_ids = chooser.sample(STREAM_IDS, chooser.randint(1, 4))
        appends = [random_append(store, chooser, stream_id) for stream_id in stream_ids]
        way = chooser.choice([alone, together, each_for_itself, joined, rolled_back])
        try:
            outcomes = way(store, appends)
        except ConcurrencyConflict:
            continue
        for append, result in zip(appends, outcomes, strict=False):  # of all, of the first or of none
            if isinstance(result, AppendResult):
                first = result.version - len(list(append.events)) + 1
                stored += [(append.stream_id, version) for version in range(first, result.version + 1)]
    return stored


def random_append(store: EventStore, chooser: random.Random, stream_id: str) -> Append:
    expected: list[ExpectedVersion] = [ANY, store.stream_version(stream_id)]
    return Append(stream_id, numbered(0, chooser.randint(1, 3)), expected_version=chooser.choice(expected))


def test_appends_of_all_kinds_at_random(any_engine: Engine) -> None:
    """What is stored is what the calls have returned, each event once; heads and events stay in step."""
    seed, stop = random.SystemRandom().randrange(10**6), time.monotonic() + 1.5
    print("seed:", seed)
    store = EventStore(any_engine)
    with ThreadPoolExecutor(6) as pool:
        choosers = [random.Random(seed * 1000 + writer) for writer in range(6)]
        writers = [pool.submit(append_at_random, store, chooser, stop) for chooser in choosers]
        stored = [event for writer in writers for event in writer.result()]
    assert len(stored) > 100
    for stream_id in STREAM_IDS:
        events = list(store.read_stream(stream_id))
        versions = sorted(version for id_, version in stored if id_ == stream_id)
        assert versions == [event.version for event in events] == list(range(1, len(events) + 1))
        assert store.stream_version(stream_id) == len(events)
        positions = [event.position for event in events]
        assert positions == sorted(set(positions))
