"""Imports: how many events an append, and how many streams."""

from collections.abc import Callable, Iterator
from uuid import uuid4

from benchmarks import raw
from benchmarks.bench import OURS, Bench
from benchmarks.events import METADATA, new_events
from benchmarks.results import Comparison
from benchmarks.workloads.append_batches import batch
from eventstore import Append, EventStore

_STREAM = 100


def run(bench: Bench) -> Iterator[Comparison]:
    """Import the same events in appends of different sizes."""
    store, count = bench.database().store(), bench.choose(10_000, 20_000)
    single = bench.choose(20, 500)
    reference = f"{OURS}, 1,000 an append"
    contestants = {f"{OURS}, 1 an append": batch(store, 1, single)}
    for size in bench.choose((1000, 10_000), (100, 1000, 5000, 10_000, 20_000)):
        contestants[f"{OURS}, {size:,} an append"] = batch(store, size, count // size)
    contestants[f"{OURS}, append_many of 10 streams of {_STREAM}"] = _many(store, 10, count // 10 // _STREAM)
    yield bench.race(
        "tuning_imports",
        f"import {count:,} events into new streams",
        contestants,
        per="event",
        reference=reference,
        durable=True,
        rounds=bench.choose(3, None),
    )


def _many(store: EventStore, streams: int, times: int) -> Callable[[], float]:
    def run() -> float:
        work = [
            [
                Append(f"basket-{uuid4()}", new_events(_STREAM), expected_version=0, metadata=METADATA)
                for _ in range(streams)
            ]
            for _ in range(times)
        ]
        return raw.seconds_of(store.append_many, work) / streams / _STREAM

    return run
