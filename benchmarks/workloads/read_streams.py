"""Read a stream into typed objects."""

from collections.abc import Callable, Iterator
from typing import Final

from benchmarks import raw
from benchmarks.bench import OURS, Bench
from benchmarks.events import METADATA, ItemAdded, new_events
from benchmarks.peers import racer
from benchmarks.results import Comparison
from eventstore import EventStore

_SIZES: Final = (100, 10_000, 100_000)
_QUICK: Final = [(100, 100), (10_000, 2_000)]
"""What stands for what in a quick run."""


def read(store: EventStore, stream_id: str, size: int, times: int = 1) -> Callable[[], float]:
    """Return us, reading a stream, so many times."""

    def read_once(_: int) -> None:
        events = list(store.read_stream(stream_id))
        assert len(events) == size
        assert isinstance(events[-1].data, ItemAdded)

    return lambda: raw.seconds_of(read_once, range(times)) / size


def run(bench: Bench) -> Iterator[Comparison]:
    """Read streams of 100 to 100,000 events."""
    database = bench.database(durable=False)
    store = database.store()
    peer = bench.eventsourcing("reads", bench.database(durable=False, tables=False).environment)
    other = bench.event_sourcery("reads", bench.database(durable=False, tables=False))
    with database.raw() as connection:
        for named, size in bench.choose(_QUICK, [(size, size) for size in _SIZES]):
            times, fewer = max(1, bench.choose(1000, 20_000) // size), max(1, 2000 // size)
            largest = bench.choose(100, 10_000)
            slowest = other if size <= largest else None
            store.append(f"basket-{size}", new_events(size), expected_version=0, metadata=METADATA)
            if peer:
                peer.call("prepare_stream", name="reads", size=size)
            if slowest:
                slowest.call("prepare_stream", name="reads", size=size)
            connection.execute("VACUUM ANALYZE es_events")
            yield bench.race(
                f"read_stream_{named}",
                f"read a stream of {size:,} events into objects",
                {
                    "psycopg fetch + msgpack": raw.fetch_stream(connection, f"basket-{size}", size, times),
                    OURS: read(store, f"basket-{size}", size, times),
                    "eventsourcing": racer(peer, "read_stream", name="reads", size=size, times=times),
                    "python-event-sourcery": racer(slowest, "read_stream", name="reads", size=size, times=fewer)
                    if size <= largest
                    else "left out: it takes longer than all others together",
                },
                per="event",
                reference="psycopg fetch + msgpack",
            )
