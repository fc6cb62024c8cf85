"""What settings change: of commits, of the pool, of notifications, of the table of heads."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import text

from benchmarks.bench import OURS, Bench
from benchmarks.events import event_types
from benchmarks.results import Comparison, Facts
from benchmarks.workloads.append_one import to_existing
from benchmarks.writers import in_threads
from eventstore import EventStore

_WRITERS = 8


def run(bench: Bench) -> Iterator[Comparison | Facts]:
    """Let 8 writers append with one setting changed at a time, and one writer update heads."""
    database = bench.database()
    count = bench.choose(400, 1600) // _WRITERS

    def store(options: str | None = None, **engine: Any) -> EventStore:
        arguments = {"connect_args": {"options": options}} if options else {}
        return EventStore(database.engine(**{"pool_size": 20, **arguments, **engine}), event_types=event_types)

    told = EventStore(database.engine(pool_size=20), event_types=event_types, notify=True)
    yield bench.race(
        "tuning_writers",
        f"{_WRITERS} writers, 1 event an append, one setting changed",
        {
            OURS: in_threads(store(), _WRITERS, count),
            "eventstore, commit_delay = 100": in_threads(
                store("-c commit_delay=100 -c commit_siblings=3"), _WRITERS, count
            ),
            "eventstore, synchronous_commit = off": in_threads(store("-c synchronous_commit=off"), _WRITERS, count),
            "eventstore, a pool of 2": in_threads(store(pool_size=2, max_overflow=0), _WRITERS, count),
            "eventstore, pool_pre_ping": in_threads(store(pool_pre_ping=True), _WRITERS, count),
            "eventstore, notify=True": in_threads(told, _WRITERS, count),
        },
        per="event",
        reference=OURS,
        durable=True,
    )
    yield from _fillfactor(bench)


def _fillfactor(bench: Bench) -> Iterator[Comparison | Facts]:
    """Append to one stream: each append updates its head."""
    contestants, shares = {}, {}
    databases = {"es_streams as it is": bench.database(), "es_streams with fillfactor 100": bench.database()}
    for name, database in databases.items():
        store = database.store()
        if "100" in name:
            with store.engine.begin() as connection:
                connection.execute(text("ALTER TABLE es_streams SET (fillfactor = 100)"))
        contestants[name] = to_existing(store, bench.choose(200, 500))
    first = next(iter(contestants))
    yield bench.race(
        "tuning_fillfactor",
        "append 1 event to an existing stream",
        contestants,
        per="append",
        reference=first,
        durable=True,
    )
    for name, database in databases.items():
        with database.raw() as connection:
            connection.execute("SELECT pg_sleep(1)")  # the figures come late
            row = connection.execute(
                "SELECT 100.0 * n_tup_hot_upd / n_tup_upd FROM pg_stat_user_tables WHERE relname = 'es_streams'"
            ).fetchone()
            shares[name] = float(row[0]) if row else 0.0
    yield Facts("hot", "updates of heads that touch no index", "percent", shares)
