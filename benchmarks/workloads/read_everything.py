"""Read the global order, all of it and one event type of many."""

import time
from collections.abc import Callable, Iterator
from itertools import islice

from benchmarks import raw
from benchmarks.bench import OURS, Bench
from benchmarks.events import METADATA, event_types, item
from benchmarks.peers import racer
from benchmarks.results import Comparison
from eventstore import Append, EventFilter, EventStore, NewEvent

_STREAM = 100
_EVERY = 20
"""Each so many-th event is of the type that is filtered by."""


def fill(store: EventStore, count: int) -> None:
    """Store many events, in streams of 100."""
    streams = iter(range(count // _STREAM))
    while numbers := list(islice(streams, 50)):
        store.append_many(
            [
                Append(f"basket-{number}", [_event(at) for at in range(_STREAM)], expected_version=0, metadata=METADATA)
                for number in numbers
            ]
        )


def _event(number: int) -> NewEvent:
    if number % _EVERY == 0:
        return NewEvent("basket-paid", {"amount": number})
    return event_types.new_event(item(number))


def read(store: EventStore, count: int, *filters: EventFilter) -> Callable[[], float]:
    """Return us, reading everything that matches."""

    def run() -> float:
        begun, seen = time.perf_counter(), 0
        for _ in store.read_all(*filters):
            seen += 1
        assert seen == count
        return (time.perf_counter() - begun) / count

    return run


def read_page(store: EventStore, position: int) -> Callable[[], float]:
    """Return us, reading 1,000 events after a position, ten times."""

    def run() -> float:
        begun = time.perf_counter()
        for _ in range(10):
            assert sum(1 for _ in store.read_all(after_position=position, limit=1000)) == 1000
        return (time.perf_counter() - begun) / 10_000

    return run


def run(bench: Bench) -> Iterator[Comparison]:
    """Read a million events in order (full) or 100,000 (quick)."""
    count = bench.choose(100_000, 1_000_000)
    database = bench.database(durable=False)
    store = database.store()
    peer = bench.eventsourcing("all", bench.database(durable=False, tables=False).environment)
    fill(store, count)
    if peer:
        peer.call("fill", name="all", count=count)
    rounds = bench.choose(bench.rounds, 5)
    with database.raw() as connection:
        connection.execute("VACUUM ANALYZE es_events")
        yield bench.race(
            "read_all",
            f"read {count:,} events in global order",
            {
                "psycopg pages": raw.fetch_all(connection, count, 1000, unpack=False),
                "psycopg pages + msgpack": raw.fetch_all(connection, count, 1000, unpack=True),
                OURS: read(store, count),
                "eventsourcing": racer(peer, "read_all", name="all", count=count, page_size=1000),
            },
            per="event",
            reference="psycopg pages + msgpack",
            rounds=rounds,
        )
        yield bench.race(
            "read_filtered",
            f"read one event type, {count // _EVERY:,} of {count:,} events, in global order",
            {
                "psycopg pages + msgpack": raw.fetch_all(connection, count // _EVERY, 1000, unpack=True, one_type=True),
                OURS: read(store, count // _EVERY, EventFilter(event_types=["basket-paid"])),
            },
            per="event that is found",
            reference="psycopg pages + msgpack",
            rounds=rounds,
        )
