"""The same work in logs of different sizes, plain and partitioned: it should take the same time.

Their server has no autovacuum, which would come while something is measured.
"""

import random
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final
from uuid import uuid4

from benchmarks import raw
from benchmarks.bench import Bench
from benchmarks.events import METADATA, new_events
from benchmarks.loading import PAID_EVERY, SHORT, short_stream_id
from benchmarks.logs import PART, SIZES, Log, load_all, log_name
from benchmarks.race import Contestant
from benchmarks.results import Comparison, Facts
from benchmarks.workloads.append_one import to_new
from benchmarks.workloads.growth_counts import FILTERED, PAGE, PAID, bytes_on_disk, pages_of_memory, wal
from eventstore import ANY, EventFilter
from tests.postgresql.launcher import PostgreSQLServer

_QUICK: Final = (1_000, 2_500, 3_500, 6_500)
"""What stands for the sizes in a quick run."""

_QUICK_PART: Final = 1_000
_LATE: Final = 50
"""One in so many streams, the newest, counts as late."""


def run(bench: Bench) -> Iterator[Comparison | Facts]:
    """Append and read in logs of 10 thousand to 10 million events, and look at their bytes, WAL and pages of memory.

    A quick run has 1,000 to 6,500 events under the same names.
    """
    with bench.quiet_server() as server:
        yield from _grown(bench, server)


def _grown(bench: Bench, server: PostgreSQLServer) -> Iterator[Comparison | Facts]:
    bench.console.print("loading logs …", style="dim", highlight=False)
    sizes = dict(zip(SIZES, bench.choose(_QUICK, SIZES), strict=True))
    logs = load_all(server, sizes, part=bench.choose(_QUICK_PART, PART))
    yield Facts(
        "loading",
        "events a second that COPY straight into the tables has stored, two logs at a time",
        "events a second",
        {name: log.events / log.loading_seconds for name, log in logs.items()},
        "The rows that the store would write, without checks and foreign keys; synchronous_commit off.",
    )
    yield from _races(bench, logs)
    yield bytes_on_disk(logs)
    yield pages_of_memory(bench, server, logs)
    yield from wal(bench, {name: log for name, log in logs.items() if log.events >= bench.choose(0, SIZES[1])})
    for log in logs.values():
        log.database.close()


def _races(bench: Bench, logs: Mapping[str, Log]) -> Iterator[Comparison]:
    appends, reads, pages = bench.choose(20, 500), bench.choose(20, 300), bench.choose(2, 20)
    works: dict[str, tuple[str, str, Callable[[Log], Contestant]]] = {
        "append": ("append 1 event to a new stream", "append", lambda log: to_new(log.store, appends)),
        "append_old": ("append 1 event to any stream", "append", lambda log: _to_any(log, appends)),
        "stream": (
            f"read a stream of {SHORT} events, one of the newest 2 percent",
            "stream",
            lambda log: _streams(log, reads, late=True),
        ),
        "stream_old": (f"read any stream of {SHORT} events", "stream", lambda log: _streams(log, reads, late=False)),
        "page": (
            f"read a page of {PAGE:,} of all events, in the newest 2 percent",
            "page",
            lambda log: _pages(log, pages, late=True),
        ),
        "page_old": (
            f"read any page of {PAGE:,} of all events",
            "page",
            lambda log: _pages(log, pages, late=False),
        ),
        "filtered": (
            f"read a page of {FILTERED} of one event type, 1 of 20 events, in the newest 2 percent",
            "page",
            lambda log: _pages(log, pages, PAID, limit=FILTERED, late=True),
        ),
        "filtered_old": (
            f"read any page of {FILTERED} of one event type, 1 of 20 events",
            "page",
            lambda log: _pages(log, pages, PAID, limit=FILTERED, late=False),
        ),
        "look": ("find the settled position after an append", "look", lambda log: _looks(log, bench.choose(10, 200))),
    }
    for key, (what, per, work) in works.items():
        yield bench.race(
            f"growth_{key}",
            f"{what}, in logs of different sizes",
            {name: work(log) for name, log in logs.items()},
            per=per,
            reference=log_name(SIZES[1], is_partitioned=False),
            durable=False if per in {"append", "look"} else None,
        )


def _to_any(log: Log, count: int) -> Contestant:
    def run() -> float:
        work = [(short_stream_id(random.randrange(log.streams)), [event]) for event in new_events(count)]
        return raw.seconds_of(
            lambda part: log.store.append(part[0], part[1], expected_version=ANY, metadata=METADATA), work
        )

    return run


def _streams(log: Log, count: int, *, late: bool) -> Contestant:
    """Return us, reading streams; those that `_to_any` has appended to have more than three events."""
    first = log.streams - max(1, log.streams // _LATE) if late else 0

    def read(stream_id: str) -> None:
        assert sum(1 for _ in log.store.read_stream(stream_id)) >= SHORT

    return lambda: raw.seconds_of(read, [short_stream_id(random.randrange(first, log.streams)) for _ in range(count)])


def _pages(log: Log, count: int, *filters: EventFilter, limit: int = PAGE, late: bool) -> Contestant:
    room = 2 * PAID_EVERY * limit if filters else limit  # so that each page is full
    last = max(1, log.events - room)
    first = max(0, last - log.events // _LATE) if late else 0

    def read(after: int) -> None:
        found = sum(1 for _ in log.store.read_all(*filters, after_position=after, limit=limit))
        assert found == limit or last == 1, f"{found} of {limit}"

    return lambda: raw.seconds_of(read, [random.randrange(first, last) for _ in range(count)])


def _looks(log: Log, count: int) -> Contestant:
    def run() -> float:
        seconds = 0.0
        for event in new_events(count):
            log.store.append(f"basket-{uuid4()}", [event], expected_version=0)
            begun = time.perf_counter()
            log.store.settled_position()
            seconds += time.perf_counter() - begun
        return seconds / count

    return run
