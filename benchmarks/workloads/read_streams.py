"""Read a stream into typed objects."""

from collections.abc import Callable, Iterator

from benchmarks import raw
from benchmarks.bench import OURS, Bench
from benchmarks.events import METADATA, ItemAdded, new_events
from benchmarks.peers import racer
from benchmarks.results import Comparison
from eventstore import EventStore


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
        for size in bench.choose((100, 10_000), (100, 10_000, 100_000)):
            times, fewer = max(1, bench.choose(1000, 20_000) // size), max(1, 2000 // size)
            slowest = other if size <= bench.choose(100, 10_000) else None  # more would take minutes
            store.append(f"basket-{size}", new_events(size), expected_version=0, metadata=METADATA)
            if peer:
                peer.call("prepare_stream", name="reads", size=size)
            if slowest:
                slowest.call("prepare_stream", name="reads", size=size)
            connection.execute("VACUUM ANALYZE es_events")
            yield bench.race(
                f"read_stream_{size}",
                f"read a stream of {size:,} events into objects",
                {
                    "psycopg fetch + msgpack": raw.fetch_stream(connection, f"basket-{size}", size, times),
                    OURS: read(store, f"basket-{size}", size, times),
                    "eventsourcing": racer(peer, "read_stream", name="reads", size=size, times=times),
                }
                | (
                    {"python-event-sourcery": racer(slowest, "read_stream", name="reads", size=size, times=fewer)}
                    if slowest
                    else {}
                ),
                per="event",
                reference="psycopg fetch + msgpack",
            )
