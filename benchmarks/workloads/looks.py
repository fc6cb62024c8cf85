"""How readers find what is settled while many connections have transactions open, which all hold locks."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Final

from benchmarks.bench import OURS, Bench
from benchmarks.events import event_types, new_events
from benchmarks.race import Contestant
from benchmarks.results import Comparison
from benchmarks.servers import Database
from eventstore import ANY, EventStore

READERS: Final = 20
ALONE: Final = "eventstore, 1 reader"
TOGETHER: Final = f"eventstore, {READERS} readers at once"
_TIMEOUT_SECONDS: Final = 60.0


def run(bench: Bench) -> Iterator[Comparison]:
    """Look beside 1,000 connections in transactions (quick: 50), by 1 reader and by 20."""
    connections = bench.choose(50, 1000)
    times = bench.choose(3, 20)
    with ExitStack() as stack:
        server = stack.enter_context(bench.busy_server(connections))
        database = Database(server)
        stack.callback(database.close)
        store = EventStore(database.engine(pool_size=READERS + 1, max_overflow=0), event_types=event_types)
        store.append("basket-1", new_events(1), expected_version=ANY)
        quiet = _look(store, 1, times)()
        for _ in range(connections):
            connection = stack.enter_context(database.connect())
            connection.autocommit = False
            connection.execute("SELECT FROM es_events JOIN es_streams USING (stream_id) LIMIT 1")
        yield bench.race(
            "looks",
            f"find the settled position after an append, beside {connections:,} connections in transactions",
            {
                ALONE: _look(store, 1, times),
                TOGETHER: _look(store, READERS, times),
                "eventstore, 1 reader, before these connections": lambda: quiet,
            },
            per=f"look of {OURS}, until all have it",
            reference=ALONE,
        )


def _look(store: EventStore, readers: int, times: int) -> Contestant:
    def run() -> float:
        barrier = threading.Barrier(readers + 1)

        def look() -> None:
            for _ in range(times):
                barrier.wait(_TIMEOUT_SECONDS)
                store.settled_position()
                barrier.wait(_TIMEOUT_SECONDS)

        seconds = 0.0
        with ThreadPoolExecutor(readers) as threads:
            running = [threads.submit(look) for _ in range(readers)]
            for _ in range(times):
                store.append("basket-1", new_events(1), expected_version=ANY)
                barrier.wait(_TIMEOUT_SECONDS)
                begun = time.perf_counter()
                barrier.wait(_TIMEOUT_SECONDS)
                seconds += time.perf_counter() - begun
            for each in running:
                each.result()
        return seconds / times

    return run
