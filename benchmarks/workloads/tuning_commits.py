"""Commits: waiting for each other, not waiting for the disk, and what a crash then loses."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Final
from uuid import uuid4

import psycopg
from sqlalchemy import text

from benchmarks import raw
from benchmarks.bench import OURS, Bench
from benchmarks.events import METADATA, event_types, new_events
from benchmarks.results import Comparison, Facts
from benchmarks.servers import Database
from benchmarks.workloads.append_one import to_new
from benchmarks.writers import in_threads
from eventstore import EventStore

_WRITERS: Final = 16
_RECOVERY_TIMEOUT_SECONDS: Final = 60.0
_OFF: Final = "SET LOCAL synchronous_commit = off"


def run(bench: Bench) -> Iterator[Comparison | Facts]:
    """Change how commits wait."""
    yield _commit_delay(bench)
    yield _one_transaction(bench)
    if hasattr(signal, "SIGKILL"):
        yield _crash(bench)


def _commit_delay(bench: Bench) -> Comparison:
    database, count = bench.database(), bench.choose(160, 1600) // _WRITERS

    def store(options: str) -> EventStore:
        engine = database.engine(pool_size=20, connect_args={"options": options})
        return EventStore(engine, event_types=event_types)

    changed = {
        f"commit_delay = {delay}": f"-c commit_delay={delay} -c commit_siblings=5"
        for delay in bench.choose((100,), (100, 1000))
    } | {"synchronous_commit = off": "-c synchronous_commit=off"}
    return bench.race(
        "tuning_commits",
        f"{_WRITERS} writers in threads, one setting changed",
        {OURS: in_threads(database.store(), _WRITERS, count)}
        | {f"{OURS}, {name}": in_threads(store(options), _WRITERS, count) for name, options in changed.items()},
        per="event",
        reference=OURS,
        durable=True,
    )


def _one_transaction(bench: Bench) -> Comparison:
    store, count = bench.database().store(), bench.choose(40, 500)
    return bench.race(
        "tuning_synchronous_commit",
        "append 1 event, with synchronous_commit off for that transaction",
        {
            OURS: to_new(store, count),
            f"{OURS}, in a transaction": _in_transactions(store, count),
            f"{OURS}, in a transaction with it off": _in_transactions(store, count, _OFF),
        },
        per="append",
        reference=OURS,
        durable=True,
    )


def _in_transactions(store: EventStore, count: int, before: str | None = None) -> Callable[[], float]:
    def run() -> float:
        work = [(f"basket-{uuid4()}", [event]) for event in new_events(count)]

        def append(part: tuple[str, list[object]]) -> None:
            with store.transaction() as transaction:
                if before:
                    transaction.connection.execute(text(before))
                transaction.append(part[0], part[1], expected_version=0, metadata=METADATA)

        return raw.seconds_of(append, work)

    return run


def _crash(bench: Bench) -> Facts:
    """Kill a process of a server of our own while one writer appends, and count what is left."""
    values = {}
    for setting in ("on", "off"):
        database = Database(bench.own_server())
        engine = database.engine(connect_args={"options": f"-c synchronous_commit={setting}"})
        stored = _append_until_crash(EventStore(engine, event_types=event_types), database, bench.choose(0.3, 1.0))
        database.close()
        values[f"synchronous_commit = {setting}: told that they are stored"] = float(stored)
        values[f"synchronous_commit = {setting}: lost"] = float(stored - _count_after_recovery(database))
    return Facts(
        "tuning_crash",
        "events that a crash of the server has lost, of those whose append had returned",
        "events",
        values,
        "One writer; then a server process is killed, and PostgreSQL recovers from its log.",
    )


def _append_until_crash(store: EventStore, database: Database, seconds: float) -> int:
    stored, end = 0, time.monotonic() + seconds
    victim = database.connect()
    while time.monotonic() < end:
        store.append(f"basket-{uuid4()}", new_events(1), expected_version=0)
        stored += 1
    os.kill(victim.info.backend_pid, signal.SIGKILL)  # the server then ends all its processes, and starts anew
    victim.close()
    return stored


def _count_after_recovery(database: Database) -> int:
    deadline = time.monotonic() + _RECOVERY_TIMEOUT_SECONDS
    while True:
        try:
            with database.raw() as connection:
                row = connection.execute("SELECT count(*), pg_postmaster_start_time() FROM es_events").fetchone()
                assert row is not None
                return int(row[0])
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
