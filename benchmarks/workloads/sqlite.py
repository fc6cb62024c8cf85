"""SQLite, each commit synced to disk, with a write-ahead log: one event, many events, a stream."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import msgpack

from benchmarks import raw
from benchmarks.bench import OURS, Bench
from benchmarks.events import METADATA, event_types, new_events
from benchmarks.peers import racer
from benchmarks.results import Comparison
from benchmarks.workloads.append_batches import batch
from benchmarks.workloads.append_one import to_new
from benchmarks.workloads.read_streams import read
from eventstore import EventStore, migrations

INSERT = (
    "INSERT INTO es_events (stream_id, version, event_id, event_type, schema_version, codec, data, metadata) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
HEAD = "INSERT INTO es_streams (stream_id, version) VALUES (?, ?)"
_READ = (
    "SELECT position, stream_id, version, event_id, event_type, schema_version, codec, data, metadata, recorded_at "
    "FROM es_events WHERE stream_id = ? ORDER BY version"
)


def rows(stream_id: str, count: int) -> list[tuple[object, ...]]:
    """Return the rows of a stream's events, encoded."""
    return [(row[0], row[1], row[2].hex, *row[3:]) for row in raw.rows(stream_id, count)]


def insert(connection: sqlite3.Connection, count: int, size: int) -> Callable[[], float]:
    """Return the driver alone, inserting so many rows a transaction; their streams are there already."""

    def run() -> float:
        stream_ids = [f"raw-{uuid4()}" for _ in range(count)]
        with connection:
            connection.executemany(HEAD, [(stream_id, size) for stream_id in stream_ids])
        made = [rows(stream_id, size) for stream_id in stream_ids]
        begun = time.perf_counter()
        for each in made:
            with connection:
                connection.executemany(INSERT, each)
        return (time.perf_counter() - begun) / count / size

    return run


def fetch(connection: sqlite3.Connection, stream_id: str, size: int) -> Callable[[], float]:
    """Return the driver alone, reading a stream."""

    def run() -> float:
        begun = time.perf_counter()
        values = [msgpack.unpackb(row[7]) for row in connection.execute(_READ, [stream_id]).fetchall()]
        assert len(values) == size
        return (time.perf_counter() - begun) / size

    return run


def connect(path: Path, *, across_threads: bool = False) -> sqlite3.Connection:
    """Return a connection of the driver, each of whose commits is synced to disk."""
    connection = sqlite3.connect(path, timeout=60, check_same_thread=not across_threads)
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def run(bench: Bench) -> Iterator[Comparison]:
    """Append 1 and 1,000 events, read 10,000."""
    folder, count = bench.folder(), bench.choose(30, 500)
    fewer, size = bench.choose(10, 100), bench.choose(2000, 10_000)
    url = f"sqlite:///{folder / 'events.db'}"
    store = EventStore.from_url(url, event_types=event_types)
    migrations.upgrade(store.engine)
    peer = bench.eventsourcing(
        "sqlite", {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": str(folder / "eventsourcing.db")}
    )
    other = bench.event_sourcery("sqlite", f"sqlite:///{folder / 'sourcery.db'}")
    bench.ask_for_durability(peer, "eventsourcing on SQLite (2 is FULL)", "sqlite")
    bench.ask_for_durability(other, "python-event-sourcery on SQLite (2 is FULL)", "sqlite")
    connection = connect(folder / "events.db")
    try:
        yield bench.race(
            "sqlite_append_one",
            "SQLite: append 1 event to a new stream",
            {
                "sqlite3 INSERT": insert(connection, count, 1),
                OURS: to_new(store, count),
                "eventsourcing": racer(peer, "append_to_new", name="sqlite", count=count),
                "python-event-sourcery": racer(other, "append_to_new", name="sqlite", count=fewer),
            },
            per="append",
            reference="sqlite3 INSERT",
            durable=True,
        )
        times = bench.choose(1, 4)
        yield bench.race(
            "sqlite_append_1000",
            "SQLite: append 1,000 events to a new stream",
            {
                "sqlite3 executemany": insert(connection, times, 1000),
                OURS: batch(store, 1000, times),
                "eventsourcing": racer(peer, "append_batch", name="sqlite", size=1000, times=times),
                "python-event-sourcery": racer(other, "append_batch", name="sqlite", size=1000, times=1),
            },
            per="event",
            reference="sqlite3 executemany",
            durable=True,
        )
        store.append("basket-read", new_events(size), expected_version=0, metadata=METADATA)
        for each in (peer, other):
            if each:
                each.call("prepare_stream", name="sqlite", size=size)
        yield bench.race(
            "sqlite_read_stream",
            f"SQLite: read a stream of {size:,} events into objects",
            {
                "sqlite3 fetch + msgpack": fetch(connection, "basket-read", size),
                OURS: read(store, "basket-read", size),
                "eventsourcing": racer(peer, "read_stream", name="sqlite", size=size),
                "python-event-sourcery": racer(other, "read_stream", name="sqlite", size=size),
            },
            per="event",
            reference="sqlite3 fetch + msgpack",
        )
    finally:
        connection.close()
        store.close()
