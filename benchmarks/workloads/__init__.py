"""What is measured: one family of workloads a module."""

from collections.abc import Callable, Iterator, Mapping
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

WORKLOADS: Final[Mapping[str, Callable[[Bench], Iterator[Result]]]] = {
    "append-one": append_one.run,
    "append-batches": append_batches.run,
    "writers": many_writers.run,
    "read-streams": read_streams.run,
    "read-all": read_everything.run,
    "delivery": delivery.run,
    "sqlite": sqlite.run,
    "state": state.run,
    "footprint": footprint.run,
    "growth": growth.run,
    "tuning": tuning.run,
}
