"""Many events an append."""

from collections.abc import Callable, Iterator
from typing import Final
from uuid import uuid4

from benchmarks import raw
from benchmarks.bench import OURS, UMADB, Bench
from benchmarks.events import METADATA, new_events
from benchmarks.peers import FUNCTIONS, racer
from benchmarks.results import Comparison
from eventstore import Append, EventStore

_SIZES: Final = (10, 100, 1000, 10_000, 50_000)
_QUICK: Final = [(1000, 500), (50_000, 10_000)]
"""What stands for what in a quick run."""

_SOURCERY_UP_TO: Final = 1_000
_PIPELINE_UP_TO: Final = 10_000
"""`eventsourcing` 9.5.6 without functions, on psycopg 3.3.9: 30,000 events at once are stored, with 50,000 it hangs."""

_UMADB_UP_TO: Final = 10_000
"""Its server refuses requests of more than 4 MiB: with 20,000 of these events, "decoded message length too large"."""

_UNNEST_UP_TO: Final = 10_000
"""The limit is what is quickest: from here on the driver copies."""


def batch(store: EventStore, size: int, times: int = 1) -> Callable[[], float]:
    """Return us, appending many events to a new stream, so many times."""

    def run() -> float:
        work = [(f"basket-{uuid4()}", new_events(size)) for _ in range(times)]
        return (
            raw.seconds_of(lambda part: store.append(part[0], part[1], expected_version=0, metadata=METADATA), work)
            / size
        )

    return run


def to_many(store: EventStore, streams: int, times: int) -> Callable[[], float]:
    """Return us, appending one event to each of many new streams at once, so many times."""

    def run() -> float:
        work = [
            [
                Append(f"basket-{uuid4()}", [event], expected_version=0, metadata=METADATA)
                for event in new_events(streams)
            ]
            for _ in range(times)
        ]
        return raw.seconds_of(store.append_many, work) / streams

    return run


def run(bench: Bench) -> Iterator[Comparison]:
    """Append 10 to 50,000 events at once; to many streams at once."""
    database = bench.database()
    store = database.store()
    plain, functions, sourcery = (bench.database(tables=False) for _ in range(3))
    peer = bench.eventsourcing("batches", plain.environment)
    bench.eventsourcing("batches, functions", functions.environment | FUNCTIONS)
    other = bench.event_sourcery("batches", sourcery)
    uma = bench.umadb()
    with database.raw() as connection:
        for named, size in bench.choose(_QUICK, [(size, size) for size in _SIZES]):
            times = max(1, bench.choose(1000, 4000) // size)
            fewer = max(1, 1000 // size)
            yield bench.race(
                f"append_{named}",
                f"append {size:,} events to a new stream",
                {
                    "psycopg unnest": raw.insert_unnested(connection, size, times),
                    "psycopg COPY": raw.copy(connection, size, times),
                    OURS: batch(store, size, times),
                    "eventsourcing": racer(peer, "append_batch", name="batches", size=size, times=times)
                    if named <= _PIPELINE_UP_TO
                    else "it hangs: its pipeline does not send so much at once",
                    "eventsourcing, functions": racer(
                        peer, "append_batch", name="batches, functions", size=size, times=times
                    ),
                    "python-event-sourcery": racer(other, "append_batch", name="batches", size=size, times=fewer)
                    if named <= _SOURCERY_UP_TO
                    else "left out: a row at a time, it takes longer than all others together",
                    UMADB: (uma.to_new(times, size=size) if uma else None)
                    if named <= _UMADB_UP_TO
                    else "left out: its server refuses requests of more than 4 MiB",
                },
                per="event",
                reference="psycopg COPY" if named > _UNNEST_UP_TO else "psycopg unnest",
                durable=True,
                rounds=bench.choose(3, None),
            )
        for streams in bench.choose((100,), (10, 100, 1000)):
            times = max(1, bench.choose(300, 2000) // streams)
            yield bench.race(
                f"append_many_{streams}",
                f"append 1 event to each of {streams:,} new streams, all or nothing",
                {
                    "psycopg unnest, one stream": raw.insert_unnested(connection, streams, times),
                    OURS: to_many(store, streams, times),
                },
                per="event",
                reference="psycopg unnest, one stream",
                durable=True,
            )
