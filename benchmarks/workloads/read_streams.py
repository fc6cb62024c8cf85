"""Read a stream into typed objects."""

import time
from collections.abc import Callable, Iterator

from benchmarks import raw
from benchmarks.bench import OURS, Bench
from benchmarks.events import METADATA, ItemAdded, new_events
from benchmarks.peers import racer
from benchmarks.results import Comparison
from eventstore import EventStore


def read(store: EventStore, stream_id: str, size: int) -> Callable[[], float]:
    """Return us, reading a stream."""

    def run() -> float:
        begun = time.perf_counter()
        events = list(store.read_stream(stream_id))
        seconds = time.perf_counter() - begun
        assert len(events) == size
        assert isinstance(events[-1].data, ItemAdded)
        return seconds / size

    return run


def run(bench: Bench) -> Iterator[Comparison]:
    """Read streams of 100 to 100,000 events."""
    database = bench.database()
    store = database.store()
    peer = bench.eventsourcing("reads", bench.database(tables=False).environment)
    other = bench.event_sourcery("reads", bench.database(tables=False).url.replace("postgresql", "postgresql+psycopg"))
    with database.raw() as connection:
        for size in bench.choose((100, 10_000), (100, 10_000, 100_000)):
            store.append(f"basket-{size}", new_events(size), expected_version=0, metadata=METADATA)
            if peer:
                peer.call("prepare_stream", name="reads", size=size)
            if other:
                other.call("prepare_stream", name="reads", size=size)
            connection.execute("VACUUM ANALYZE es_events")
            yield bench.race(
                f"read_stream_{size}",
                f"read a stream of {size:,} events into objects",
                {
                    "psycopg fetch + msgpack": raw.fetch_stream(connection, f"basket-{size}", size),
                    OURS: read(store, f"basket-{size}", size),
                    "eventsourcing": racer(peer, "read_stream", name="reads", size=size),
                    "python-event-sourcery": racer(other, "read_stream", name="reads", size=size),
                },
                per="event",
                reference="psycopg fetch + msgpack",
            )
