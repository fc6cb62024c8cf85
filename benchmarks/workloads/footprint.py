"""Bytes on disk for each event, memory while a million is read, and the time that the import takes."""

import os
import subprocess
import sys
from collections.abc import Iterator
from multiprocessing import get_context
from statistics import median
from typing import Any

import psycopg

from benchmarks import raw
from benchmarks.bench import Bench
from benchmarks.events import event_types
from benchmarks.results import Facts
from benchmarks.workloads.read_everything import OF_EVENTSOURCING
from eventstore import EventStore
from tests.memory import peak_bytes


def run(bench: Bench) -> Iterator[Facts]:
    """Look at what the store takes."""
    count = bench.choose(20_000, 1_000_000)
    theirs = min(count, OF_EVENTSOURCING)
    database = bench.loaded(count)
    with database.raw() as connection:
        values = {
            "eventstore: table": _size(connection, "pg_table_size('es_events')") / count,
            "eventstore: table and indexes": _size(connection, "pg_total_relation_size('es_events')") / count,
            "the data alone": sum(len(row[6]) for row in raw.rows("basket-1", 100)) / 100,
        }
    if bench.filled_eventsourcing(theirs) and bench.filled:
        with bench.filled.raw() as connection:
            connection.execute("VACUUM ANALYZE")
            size = "sum(pg_total_relation_size(oid)) FROM pg_class WHERE relname LIKE '%events' AND relkind = 'r'"
            values["eventsourcing: tables and indexes"] = _size(connection, size) / theirs
    yield Facts("bytes", f"bytes on disk for each of {count:,} events, after VACUUM", "bytes", values)
    yield Facts(
        "memory",
        f"most memory that a process has had, reading {count:,} events one by one",
        "MB",
        _memory(database.url, count),
        "Bounded by a page: what is read after the first pages adds nothing.",
    )
    yield Facts(
        "import",
        "what `import eventstore` takes beyond `import sqlalchemy`",
        "seconds",
        _import_time(bench.choose(3, 11)),
        "Medians of new interpreters, in turns.",
    )


def _size(connection: psycopg.Connection, what: str) -> float:
    row = connection.execute(f"SELECT {what}").fetchone()
    assert row is not None
    return float(row[0])


def _memory(url: str, count: int) -> dict[str, float]:
    """Measure in processes of their own: the most memory that a process ever had never falls."""
    context, values = get_context("spawn"), {}
    for label, limit in (("before", 0), ("after 10,000", 10_000), ("after all", count)):
        ours, theirs = context.Pipe()
        process = context.Process(target=_read, args=(url, limit, theirs))
        process.start()
        assert ours.poll(120), "the reader does not answer"
        values[label] = ours.recv() / 1e6
        process.join(30)
    return values


def _read(url: str, limit: int, pipe: Any) -> None:
    with EventStore.from_url(url, event_types=event_types) as store:
        for _ in store.read_all(limit=limit) if limit else store.read_stream("none-1"):
            pass
    pipe.send(peak_bytes())


def _import_time(rounds: int) -> dict[str, float]:
    """Take turns, each in a new interpreter."""
    times: dict[str, list[float]] = {"sqlalchemy": [], "sqlalchemy, eventstore": []}
    for _ in range(rounds):
        for modules, taken in times.items():
            code = f"import time; begun = time.perf_counter(); import {modules}; print(time.perf_counter() - begun)"
            environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
            done = subprocess.run(
                [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
            )
            taken.append(float(done.stdout))
    alone, with_eventstore = (median(taken) for taken in times.values())
    return {"import sqlalchemy": alone, "import eventstore, beyond SQLAlchemy": with_eventstore - alone}
