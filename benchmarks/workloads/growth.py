"""The same work in stores of different sizes: it should take the same time."""

from collections.abc import Iterator

from benchmarks.bench import Bench
from benchmarks.loading import STREAM, stream_id
from benchmarks.results import Comparison, Facts
from benchmarks.workloads.append_one import to_new
from benchmarks.workloads.read_everything import read_page
from benchmarks.workloads.read_streams import read


def run(bench: Bench) -> Iterator[Comparison | Facts]:
    """Append, read a stream and read a page: at 10 thousand, 1 million and 10 million events (quick: to 50,000)."""
    stores = {}
    for size in bench.choose((2_000, 10_000, 50_000), (10_000, 1_000_000, 10_000_000)):
        bench.console.print(f"loading {size:,} events")
        stores[f"eventstore with {size:,} events"] = (bench.loaded(size).store(), size)
    yield Facts(
        "loading",
        "events a second that COPY straight into the tables has stored",
        "events a second",
        {f"{count:,} events": count / seconds for count, seconds in bench.loading_seconds.items()},
        "The rows that the store would write, without checks and foreign keys; synchronous_commit off.",
    )
    first = next(iter(stores))
    count = bench.choose(100, 1000)
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
        f"read a stream of {STREAM} events, in stores of different sizes",
        {
            name: read(store, stream_id(size // STREAM // 2), STREAM, bench.choose(10, 100))
            for name, (store, size) in stores.items()
        },
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
