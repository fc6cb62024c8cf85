"""A whole store into Arrow, as a stream of batches, each contestant in a process of its own."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Final

from benchmarks.arrow import DRIVER, JSON, TYPED
from benchmarks.bench import Bench
from benchmarks.loading import load
from benchmarks.race import Contestant
from benchmarks.results import Comparison


def run(bench: Bench) -> Iterator[Comparison]:
    """Read a million events into Arrow (quick: 10,000)."""
    count = bench.choose(10_000, 1_000_000)
    database = bench.database(durable=False)
    load(database, count, one_type=True)
    yield bench.race(
        "frames",
        f"read {count:,} events into Arrow, as a stream",
        {name: _in_a_process(name, database.url, count) for name in _CONTESTANTS},
        per="event",
        reference=DRIVER,
        rounds=bench.choose(1, 3),
        warm_up=False,
    )


_CONTESTANTS: Final = (DRIVER, JSON, TYPED)


def _in_a_process(name: str, url: str, count: int) -> Contestant:
    command = [sys.executable, "-m", "benchmarks.arrow", "--events", str(count), "--measure", name, url]

    def run() -> float:
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        seconds, _, _ = map(float, output.split())
        return seconds / count

    return run
