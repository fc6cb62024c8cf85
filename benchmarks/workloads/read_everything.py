"""Read the global order, all of it and one event type of many."""

import time
from collections.abc import Callable, Iterator
from typing import Final

from benchmarks import raw
from benchmarks.bench import OURS, Bench
from benchmarks.loading import PAID_EVERY
from benchmarks.peers import racer
from benchmarks.results import Comparison
from eventstore import EventFilter, EventStore

_PAGE: Final = 1000
_OF_EVENT_SOURCERY: Final = 20_000
"""It takes some ten times as long for an event as the others: of a million it would read for minutes."""


OF_EVENTSOURCING: Final = 100_000
"""It takes three times as long for an event, and to store them is the longest part."""


def read(store: EventStore, count: int, *filters: EventFilter) -> Callable[[], float]:
    """Return us, reading everything that matches, of the first `count` of them."""

    def run() -> float:
        begun, seen = time.perf_counter(), 0
        for _ in store.read_all(*filters, limit=count):
            seen += 1
        assert seen == count, f"{seen} of {count} were read"
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


def _named(count: int) -> str:
    return f"eventsourcing, of {count:,} events"


def run(bench: Bench) -> Iterator[Comparison]:
    """Read a million events in order (full) or 20,000 (quick)."""
    count = bench.choose(20_000, 1_000_000)
    paid, few = count // PAID_EVERY, bench.choose(2_000, _OF_EVENT_SOURCERY)
    database = bench.loaded(count)
    store = database.store()
    theirs = min(count, OF_EVENTSOURCING)
    peer = bench.filled_eventsourcing(theirs)
    other = bench.event_sourcery("all", bench.database(durable=False, tables=False))
    if other:
        other.call("fill", name="all", count=few)
    with database.raw() as connection:
        yield bench.race(
            "read_all",
            f"read {count:,} events in global order",
            {
                "psycopg pages": raw.fetch_all(connection, count, _PAGE, unpack=False),
                "psycopg pages + msgpack": raw.fetch_all(connection, count, _PAGE, unpack=True),
                OURS: read(store, count),
                _named(theirs): racer(peer, "read_all", name="filled", count=theirs, page_size=_PAGE),
                f"python-event-sourcery, {few:,} events": racer(
                    other, "read_all", name="all", count=few, page_size=_PAGE
                ),
            },
            per="event",
            reference="psycopg pages",
        )
        yield bench.race(
            "read_filtered",
            f"read one event type, {paid:,} of {count:,} events, in global order",
            {
                "psycopg pages + msgpack": raw.fetch_all(connection, paid, _PAGE, unpack=True, one_type=True),
                OURS: read(store, paid, EventFilter(event_types=["basket-paid"])),
                _named(theirs): racer(
                    peer,
                    "read_all",
                    name="filled",
                    count=theirs // PAID_EVERY,
                    page_size=_PAGE,
                    topic="BasketPaid",
                ),
            },
            per="event that is found",
            reference="psycopg pages + msgpack",
        )
