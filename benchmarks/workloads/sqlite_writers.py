"""SQLite with many threads: each commit synced to disk, one file, one writer at a time."""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import Final
from uuid import uuid4

from benchmarks.bench import OURS, Bench
from benchmarks.events import event_types
from benchmarks.peers import racer
from benchmarks.results import Comparison
from benchmarks.workloads.sqlite import HEAD, INSERT, connect, rows
from benchmarks.writers import in_threads
from eventstore import EventStore, migrations

ALONE: Final = "eventstore, group_commit=False"
_TIMEOUT_SECONDS: Final = 120.0


def run(bench: Bench) -> Iterator[Comparison]:
    """Append with 8 and with 32 threads."""
    folder = bench.folder()
    url = f"sqlite:///{folder / 'events.db'}"
    peer = bench.eventsourcing(
        "sqlite writers",
        {
            "PERSISTENCE_MODULE": "eventsourcing.sqlite",
            "SQLITE_DBNAME": str(folder / "eventsourcing.db"),
            "SQLITE_LOCK_TIMEOUT": "60",
        },
    )
    with ExitStack() as stack:
        store, alone = (
            stack.enter_context(EventStore.from_url(url, event_types=event_types, group_commit=grouping))
            for grouping in (None, False)
        )
        migrations.upgrade(store.engine)
        for writers in (8, 32):
            count = max(bench.choose(64, 1600) // writers, 2)
            slowly = max(bench.choose(32, 400) // writers, 2)
            connections = [
                stack.enter_context(closing(connect(folder / "events.db", across_threads=True))) for _ in range(writers)
            ]
            yield bench.race(
                f"sqlite_writers_{writers}",
                f"SQLite: {writers} threads on streams of their own, 1 event an append",
                {
                    "sqlite3 INSERT": insert_together(connections, slowly),
                    OURS: in_threads(store, writers, count),
                    ALONE: in_threads(alone, writers, slowly),
                    "eventsourcing": racer(
                        peer, "write_together", name="sqlite writers", writers=writers, count=slowly
                    ),
                },
                per="event",
                reference="sqlite3 INSERT",
                durable=True,
            )


def insert_together(connections: Sequence[sqlite3.Connection], count: int) -> Callable[[], float]:
    """Return the driver alone, with a thread for each connection; the streams are there already."""

    def run() -> float:
        barrier = threading.Barrier(len(connections) + 1)
        stream_ids = [[f"raw-{uuid4()}" for _ in range(count)] for _ in connections]
        with connections[0] as first:
            first.executemany(HEAD, [(stream_id, 1) for each in stream_ids for stream_id in each])

        def write(connection: sqlite3.Connection, ids: list[str]) -> None:
            made = [rows(stream_id, 1)[0] for stream_id in ids]
            barrier.wait(_TIMEOUT_SECONDS)
            for row in made:
                with connection:
                    connection.execute("BEGIN IMMEDIATE")
                    connection.execute(INSERT, row)

        with ThreadPoolExecutor(len(connections)) as threads:
            running = [threads.submit(write, *each) for each in zip(connections, stream_ids, strict=True)]
            barrier.wait(_TIMEOUT_SECONDS)
            begun = time.perf_counter()
            for each in running:
                each.result()
            return (time.perf_counter() - begun) / (len(connections) * count)

    return run
