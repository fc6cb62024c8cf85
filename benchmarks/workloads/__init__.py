"""What is measured: one family of workloads a module, each with the time it may take."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from benchmarks.bench import Bench
from benchmarks.results import Result
from benchmarks.workloads import (
    append_batches,
    append_one,
    boundaries,
    delivery,
    footprint,
    frames,
    growth,
    idle,
    looks,
    many_writers,
    processor_time,
    read_everything,
    read_streams,
    sqlite,
    sqlite_writers,
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
        only_named: Whether a full run has it only if it is named: it takes long, and much room on disk.
    """

    run: Callable[[Bench], Iterator[Result]]
    what: str
    quick_seconds: float
    full_seconds: float
    only_named: bool = False


WORKLOADS: Final = {
    "append-one": Workload(append_one.run, "1 event an append, durable and not", 8, 70),
    "append-batches": Workload(append_batches.run, "10 to 50,000 events an append; many streams at once", 12, 65),
    "writers": Workload(many_writers.run, "1 to 64 threads, 8 processes; one hot stream", 14, 115),
    "processors": Workload(processor_time.run, "what an append costs the processors of server and client", 3, 25),
    "read-streams": Workload(read_streams.run, "a stream into typed objects", 3, 25),
    "read-all": Workload(read_everything.run, "the global order, all and one event type", 6, 65),
    "frames": Workload(frames.run, "a whole store into Arrow", 5, 80),
    "delivery": Workload(delivery.run, "lag of a live subscriber, with and without strangers", 12, 90),
    "idle": Workload(idle.run, "what 50 subscriptions cost that have nothing to read", 5, 55),
    "looks": Workload(looks.run, "20 readers beside 1,000 connections in transactions", 4, 25),
    "sqlite": Workload(sqlite.run, "SQLite: append and read", 4, 30),
    "sqlite-writers": Workload(sqlite_writers.run, "SQLite: 8 and 32 threads", 3, 25),
    "state": Workload(state.run, "snapshot against replay; projections", 5, 30),
    "footprint": Workload(footprint.run, "bytes on disk, memory, import time", 5, 35),
    "boundaries": Workload(boundaries.run, "appends on condition of tags; a hot tag; the table without use", 5, 85),
    "growth": Workload(
        growth.run,
        "the same work in logs of up to 10 million events, plain and in parts; 14 GB",
        10,
        1500,
        only_named=True,
    ),
    "tuning": Workload(tuning.run, "what settings change", 11, 55),
}
