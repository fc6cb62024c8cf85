"""Many events an append."""

import time
from collections.abc import Callable, Iterator
from uuid import uuid4

from benchmarks import raw
from benchmarks.bench import OURS, Bench
from benchmarks.events import METADATA, new_events
from benchmarks.peers import racer
from benchmarks.results import Comparison
from eventstore import Append, EventStore

_PEERS_UP_TO = 10_000
"""`python-event-sourcery` writes a row at a time: more would take the time of all other contestants together."""


def batch(store: EventStore, size: int) -> Callable[[], float]:
    """Return us, appending many events to a new stream."""

    def run() -> float:
        events, stream_id = new_events(size), f"basket-{uuid4()}"
        begun = time.perf_counter()
        store.append(stream_id, events, expected_version=0, metadata=METADATA)
        return (time.perf_counter() - begun) / size

    return run


def to_many(store: EventStore, streams: int) -> Callable[[], float]:
    """Return us, appending one event to each of many new streams at once."""

    def run() -> float:
        appends = [
            Append(f"basket-{uuid4()}", [event], expected_version=0, metadata=METADATA) for event in new_events(streams)
        ]
        begun = time.perf_counter()
        store.append_many(appends)
        return (time.perf_counter() - begun) / streams

    return run


def run(bench: Bench) -> Iterator[Comparison]:
    """Append 10 to 50,000 events at once; to many streams at once."""
    database = bench.database()
    store = database.store()
    functions = bench.database(tables=False)
    peer = bench.eventsourcing("batches", functions.environment | {"POSTGRES_ENABLE_DB_FUNCTIONS": "y"})
    sourcery = bench.database(tables=False)
    other = bench.event_sourcery("batches", sourcery.url.replace("postgresql", "postgresql+psycopg"))
    with database.raw() as connection:
        for size in bench.choose((1000, 50_000), (10, 100, 1000, 5000, 10_000, 50_000)):
            yield bench.race(
                f"append_{size}",
                f"append {size:,} events to a new stream",
                {
                    "psycopg unnest": raw.insert_unnested(connection, size),
                    "psycopg COPY": raw.copy(connection, size),
                    OURS: batch(store, size),
                    "eventsourcing": racer(peer, "append_batch", name="batches", size=size),
                    "python-event-sourcery": racer(other, "append_batch", name="batches", size=size)
                    if size <= _PEERS_UP_TO
                    else None,
                },
                per="event",
                reference="psycopg COPY" if size > _PEERS_UP_TO else "psycopg unnest",
                durable=True,
            )
        for streams in bench.choose((100,), (10, 100, 1000)):
            yield bench.race(
                f"append_many_{streams}",
                f"append 1 event to each of {streams:,} new streams, all or nothing",
                {"psycopg unnest": raw.insert_unnested(connection, streams), OURS: to_many(store, streams)},
                per="event",
                reference="psycopg unnest",
                durable=True,
            )
