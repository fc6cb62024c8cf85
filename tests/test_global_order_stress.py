"""Many writers of every kind, and three kinds of readers: each delivers exactly the rows of the table, in order."""

import contextlib
import random
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text

from eventstore import ANY, Append, EventFilter, EventStore, NewEvent, RecordedEvent
from eventstore.backends import engine_for
from tests.fix_engines import sqlite_when_there_is_time
from tests.processes import clean_processes

STREAMS = 25
EVEN = EventFilter(event_types=["even"])
PATIENCE_SECONDS = 60.0

Commits = dict[tuple[str, int], float]
"""When the writer learned that an event was committed, by stream id and version: seconds of a clock that all share."""


def write(url: str, seed: int, writer: int, seconds: float) -> Commits:
    """Append in all ways, with pauses between appends and commits; roll 15 % back."""
    generator = random.Random(seed * 1000 + writer)  # repeatable, guards nothing
    engine = engine_for(url)
    store = EventStore(engine)
    commits: Commits = {}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        kind = generator.random()
        if kind < 0.35:
            results = [store.append(stream(generator), events(generator), expected_version=ANY)]
        elif kind < 0.5:
            ids = sorted({stream(generator) for _ in range(4)})
            results = store.append_many([Append(id_, events(generator), expected_version=ANY) for id_ in ids])
        else:
            with engine.connect() as connection:
                if kind < 0.7:  # an older transaction, which has written elsewhere
                    connection.execute(text("INSERT INTO notes VALUES ('first')"))
                    pause(generator)
                results = [
                    store.join(connection).append(id_, events(generator), expected_version=ANY)
                    for id_ in sorted({stream(generator) for _ in range(generator.choice([1, 1, 2]))})
                ]
                pause(generator)
                if generator.random() < 0.3:
                    connection.rollback()
                    continue
                connection.commit()
        now = time.monotonic()
        commits |= {(result.stream_id, result.version): now for result in results}
        pause(generator)
    engine.dispose()
    return commits


def stream(generator: random.Random) -> str:
    return f"order-{generator.randrange(STREAMS):02}"


def events(generator: random.Random) -> list[NewEvent]:
    count = generator.choice([1, 1, 1, 2, 20])
    return [NewEvent(generator.choice(["even", "odd"])) for _ in range(count)]


def pause(generator: random.Random) -> None:
    time.sleep(generator.choice([0, 0, 0.001, 0.005, 0.03]) * generator.random())


class Reader:
    """Notes what is delivered, and when."""

    def __init__(self) -> None:
        self.delivered: list[tuple[int, str, int]] = []
        self.times: list[float] = []
        self.end: int | None = None

    def note(self, event: RecordedEvent) -> None:
        self.times.append(time.monotonic())
        self.delivered.append((event.position, event.stream_id, event.version))

    def loop(self, store: EventStore, *filters: EventFilter) -> None:
        position, deadline = 0, float("inf")
        while time.monotonic() < deadline:
            end = self.end
            for event in store.read_all(*filters, after_position=position):
                self.note(event)
                position = event.position
            if end is not None:
                return
            time.sleep(0.002)

    def subscribe(self, store: EventStore) -> None:
        """Read on until all is delivered, and then until nothing more comes."""
        while self.end is None or (self.delivered and self.delivered[-1][0] < self.end):
            after = self.delivered[-1][0] if self.delivered else 0
            with store.subscribe(after_position=after, idle_timeout_seconds=1) as subscription:
                for event in subscription:
                    self.note(event)

    def print_lags(self, name: str, commits: Commits) -> None:
        places = [(stream_id, version) for _, stream_id, version in self.delivered]
        lags = [
            max(0.0, delivered - commits[place]) * 1000
            for place, delivered in zip(places, self.times, strict=True)
            if place in commits
        ]
        cuts = statistics.quantiles(lags, n=100)
        print(f"{name}: {len(self.delivered)} events, delivery lag p50 {cuts[49]:.1f} ms, p99 {cuts[98]:.1f} ms")


@contextlib.contextmanager
def held_open(engine: Engine, stranger: bool) -> Iterator[Connection | None]:
    """Keep a transaction open that has written to another table, all the time."""
    if not stranger:
        yield None
        return
    with engine.connect() as connection:
        connection.execute(text("INSERT INTO notes VALUES ('held')"))
        yield connection
        connection.rollback()


def run_stress(engine: Engine, url: str, seconds: float, *, writers: int, stranger: bool = False) -> None:
    seed = random.SystemRandom().randrange(10**6)
    print("seed:", seed)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE IF NOT EXISTS notes (note text)"))
    store = EventStore(engine, page_size=50)
    readers = {"read_all": Reader(), "filtered": Reader(), "subscription": Reader()}
    context: Any = clean_processes()
    with (
        held_open(engine, stranger),
        ProcessPoolExecutor(writers, mp_context=context) as processes,
        ThreadPoolExecutor(len(readers)) as threads,
    ):
        following: list[Future[None]] = [
            threads.submit(readers["read_all"].loop, store),
            threads.submit(readers["filtered"].loop, EventStore(engine, page_size=7), EVEN),
            threads.submit(readers["subscription"].subscribe, store),
        ]
        try:
            commits: Commits = {}
            for writing in [processes.submit(write, url, seed, writer, seconds) for writer in range(writers)]:
                commits |= writing.result()
            EventStore(engine).append("order-last", [NewEvent("even")], expected_version=0)
        finally:
            last = max([event.position for event in store.read_all(wait_seconds=PATIENCE_SECONDS)], default=0)
            for reader in readers.values():
                reader.end = last
        for future in following:
            future.result(timeout=PATIENCE_SECONDS)

    with engine.connect() as connection:
        rows = connection.execute(
            text("SELECT position, stream_id, version, event_type FROM es_events ORDER BY position")
        ).all()
    everything = [(position, stream_id, version) for position, stream_id, version, _ in rows]
    assert readers["read_all"].delivered == everything
    assert readers["subscription"].delivered == everything
    assert readers["filtered"].delivered == [tuple(row[:3]) for row in rows if row[3] == "even"]
    newest: dict[str, int] = {}
    for _, stream_id, version in everything:
        assert version == newest.get(stream_id, 0) + 1, "the versions of a stream are not in order"
        newest[stream_id] = version
    assert len(everything) > 100
    holes = everything[-1][0] - len(everything)
    print(f"{len(everything)} events by {writers} writers in {seconds} seconds, {holes} positions rolled back")
    for name, reader in readers.items():
        reader.print_lags(name, commits)


@pytest.mark.slow
@sqlite_when_there_is_time
def test_each_reader_delivers_the_whole_table_in_order(any_engine: Engine, any_url: str) -> None:
    run_stress(any_engine, any_url, seconds=3, writers=4)


@pytest.mark.long
@pytest.mark.timeout(400)
@pytest.mark.parametrize("stranger", [False, True])
def test_each_reader_delivers_the_whole_table_in_order_for_a_minute(
    postgres_engine: Engine, postgres_url: str, *, stranger: bool
) -> None:
    run_stress(postgres_engine, postgres_url, seconds=60, writers=10, stranger=stranger)
