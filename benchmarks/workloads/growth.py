"""The same work in a small and in a large store: it should take the same time."""

from collections.abc import Iterator

from benchmarks.bench import Bench
from benchmarks.events import METADATA, new_events
from benchmarks.results import Comparison
from benchmarks.workloads.append_one import to_new
from benchmarks.workloads.read_everything import fill, read_page
from benchmarks.workloads.read_streams import read


def run(bench: Bench) -> Iterator[Comparison]:
    """Append, read a stream and read a page; at 10,000 events, and at 100,000 (quick) or a million."""
    stores = {}
    for size in bench.choose((10_000, 100_000), (10_000, 1_000_000)):
        database = bench.database(durable=False)
        store = database.store()
        fill(store, size)
        store.append("basket-read", new_events(1000), expected_version=0, metadata=METADATA)
        with database.raw() as connection:
            connection.execute("VACUUM ANALYZE")
        stores[f"eventstore with {size:,} events"] = (store, size)
    first = next(iter(stores))
    count = bench.choose(200, 500)
    yield bench.race(
        "growth_append",
        "append 1 event to a new stream, in stores of different sizes",
        {name: to_new(store, count) for name, (store, _) in stores.items()},
        per="append",
        reference=first,
        durable=False,
    )
    yield bench.race(
        "growth_stream",
        "read a stream of 1,000 events, in stores of different sizes",
        {name: read(store, "basket-read", 1000) for name, (store, _) in stores.items()},
        per="event",
        reference=first,
    )
    yield bench.race(
        "growth_page",
        "read a page of 1,000 from the middle of the global order, in stores of different sizes",
        {name: read_page(store, size // 2) for name, (store, size) in stores.items()},
        per="event",
        reference=first,
    )
