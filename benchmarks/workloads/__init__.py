"""What is measured: one family of workloads a module, each with the time it may take."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from benchmarks.bench import Bench
from benchmarks.results import Result
from benchmarks.workloads import (
    append_batches,
    append_one,
    delivery,
    footprint,
    growth,
    many_writers,
    read_everything,
    read_streams,
    sqlite,
    state,
    tuning,
)


@dataclass(frozen=True)
class Workload:
    """A family of workloads.

    Attributes:
        run: Runs them, one result after the other.
        what: What is looked at.
        quick_seconds: How long it may take in a quick run, about.
        full_seconds: The same of a full one. When it is over, no further round begins, once there are three
            (quick: one).
    """

    run: Callable[[Bench], Iterator[Result]]
    what: str
    quick_seconds: float
    full_seconds: float


WORKLOADS: Final = {
    "append-one": Workload(append_one.run, "1 event an append, durable and not", 10, 110),
    "append-batches": Workload(append_batches.run, "10 to 50,000 events an append; many streams at once", 15, 150),
    "writers": Workload(many_writers.run, "1 to 16 writers, threads and processes; one hot stream", 15, 180),
    "read-streams": Workload(read_streams.run, "a stream into typed objects", 5, 70),
    "read-all": Workload(read_everything.run, "the global order, all and one event type", 10, 260),
    "delivery": Workload(delivery.run, "lag of a live subscriber, with and without strangers", 20, 260),
    "sqlite": Workload(sqlite.run, "SQLite: append and read", 6, 60),
    "state": Workload(state.run, "snapshot against replay; projections", 6, 60),
    "footprint": Workload(footprint.run, "bytes on disk, memory, import time", 6, 60),
    "growth": Workload(growth.run, "the same work in small and large stores", 4, 180),
    "tuning": Workload(tuning.run, "what settings change", 15, 200),
}
