"""The same work in stores of different sizes: it should take the same time."""

from collections.abc import Iterator
from typing import Final

from benchmarks.bench import Bench
from benchmarks.loading import STREAM, stream_id
from benchmarks.results import Comparison, Facts
from benchmarks.workloads.append_one import to_new
from benchmarks.workloads.read_everything import read_page
from benchmarks.workloads.read_streams import read

_SIZES: Final = (10_000, 100_000, 1_000_000)
_QUICK: Final = [(10_000, 2_000), (1_000_000, 20_000)]
"""What stands for what in a quick run."""


def run(bench: Bench) -> Iterator[Comparison | Facts]:
    """Append, read a stream and read a page: at 10 thousand, 100 thousand and 1 million events.

    A quick run has 2,000 and 20,000, under the names of the first and the last.
    """
    stores = {}
    for named, size in bench.choose(_QUICK, [(size, size) for size in _SIZES]):
        bench.console.print(f"loading {size:,} events")
        stores[f"eventstore with {named:,} events"] = (bench.loaded(size).store(), size)
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
