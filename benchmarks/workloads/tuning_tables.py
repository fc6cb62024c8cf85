"""Tables: room for new versions of heads, and vacuum of a table that is only inserted into."""

import random
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import psycopg
from sqlalchemy import text

from benchmarks import loading, raw
from benchmarks.bench import Bench
from benchmarks.events import METADATA, new_events
from benchmarks.results import Comparison, Facts
from benchmarks.servers import Database
from eventstore import ANY, Append, EventStore

_VACUUM_TIMEOUT_SECONDS: Final = 30.0
_REPORTED_AFTER_SECONDS: Final = 1.2
"""Sessions report what they have done to the statistics no more often than each second."""

_NEWEST: Final = "SELECT count(*) FROM es_events WHERE position > %s"
"""Looks at the index of positions only, as far as the visibility map says that it may: so does each look for holes."""


def run(bench: Bench) -> Iterator[Comparison | Facts]:
    """Change how tables are stored and vacuumed."""
    yield from _fillfactor(bench)
    yield from _autovacuum(bench)


def _fillfactor(bench: Bench) -> Iterator[Comparison | Facts]:
    """Append to many streams in any order: each append writes a new version of a head."""
    streams, count = bench.choose(500, 20_000), bench.choose(100, 4000)
    databases, contestants = {}, {}
    for factor in (80, 100):
        name = f"es_streams with fillfactor {factor}"
        databases[name] = database = bench.database(durable=False)
        store = database.store()
        with store.engine.begin() as connection:
            connection.execute(text(f"ALTER TABLE es_streams SET (fillfactor = {factor})"))
        for first in range(0, streams, 1000):
            numbers = range(first, min(first + 1000, streams))
            store.append_many([Append(f"basket-{number}", new_events(1), expected_version=0) for number in numbers])
        contestants[name] = _to_any(store, streams, count)
    first_name = next(iter(contestants))
    yield bench.race(
        "tuning_fillfactor",
        f"append 1 event to any of {streams:,} streams",
        contestants,
        per="append",
        reference=first_name,
        durable=False,
    )
    values = {}
    for name, database in databases.items():
        with database.raw() as connection:
            time.sleep(_REPORTED_AFTER_SECONDS)
            (updates, hot, size) = _row(
                connection,
                "SELECT n_tup_upd, n_tup_hot_upd, pg_table_size(relid) FROM pg_stat_user_tables "
                "WHERE relname = 'es_streams'",
            )
            values[f"{name}: updates that touch no index, percent"] = 100.0 * hot / max(updates, 1)
            values[f"{name}: table, kB"] = size / 1024
    yield Facts("tuning_hot_updates", "heads after these appends", "", values)


def _to_any(store: EventStore, streams: int, count: int) -> Callable[[], float]:
    def run() -> float:
        work = [(f"basket-{random.randrange(streams)}", [event]) for event in new_events(count)]
        return raw.seconds_of(
            lambda part: store.append(part[0], part[1], expected_version=ANY, metadata=METADATA), work
        )

    return run


def _autovacuum(bench: Bench) -> Iterator[Comparison | Facts]:
    """Add a tenth to a table of events, with PostgreSQL's own settings and with a lower scale factor."""
    count = bench.choose(20_000, 200_000)
    server = bench.own_server()
    databases = {"as PostgreSQL has it": Database(server), "insert_scale_factor = 0.01": Database(server)}
    tuned = "insert_scale_factor = 0.01"
    with databases[tuned].raw() as connection:
        connection.execute("ALTER TABLE es_events SET (autovacuum_vacuum_insert_scale_factor = 0.01)")
    for database in databases.values():
        loading.load(database, count)
    before = {name: _autovacuums(database) for name, database in databases.items()}
    for database in databases.values():
        loading.load(database, count // 10, first=count, vacuum=False)
    _wait_for_vacuum(databases[tuned], before[tuned])
    values, contestants = {}, {}
    connections = {name: bench.enter(database.connect()) for name, database in databases.items()}
    for name, connection in connections.items():
        connection.execute("SET enable_seqscan = off")
        connection.execute("SET enable_bitmapscan = off")
        values[f"{name}: autovacuum has come, times"] = _autovacuums(databases[name]) - before[name]
        values[f"{name}: rows of the table looked at"] = _heap_fetches(connection, count)
        contestants[name] = _count_newest(connection, count)
    yield bench.race(
        "tuning_autovacuum",
        f"count the newest {count // 10:,} positions in the index, after a tenth was added to {count:,} events",
        contestants,
        per="count",
        reference="as PostgreSQL has it",
    )
    yield Facts(
        "tuning_heap_fetches",
        "the same: what autovacuum has done, and rows looked at because the visibility map does not cover them",
        "",
        values,
        "autovacuum_naptime is a second here, so that autovacuum comes while we wait.",
    )
    for database in databases.values():
        database.close()


def _wait_for_vacuum(database: Database, before: int) -> None:
    """Wait until autovacuum has been here once more; if it does not come, the figures show that."""
    deadline = time.monotonic() + _VACUUM_TIMEOUT_SECONDS
    time.sleep(_REPORTED_AFTER_SECONDS)
    while _autovacuums(database) == before and time.monotonic() < deadline:
        time.sleep(0.25)


def _autovacuums(database: Database) -> int:
    with database.raw() as connection:
        (count,) = _row(connection, "SELECT autovacuum_count FROM pg_stat_user_tables WHERE relname = 'es_events'")
        return int(count)


def _heap_fetches(connection: psycopg.Connection, after: int) -> int:
    (plan,) = _row(connection, "EXPLAIN (ANALYZE, FORMAT JSON) " + _NEWEST % after)
    found = [node["Heap Fetches"] for node in _nodes(plan[0]["Plan"]) if "Heap Fetches" in node]
    return int(sum(found))


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


def _count_newest(connection: psycopg.Connection, after: int) -> Callable[[], float]:
    return lambda: raw.seconds_of(lambda _: connection.execute(_NEWEST, [after]).fetchone(), range(10))


def _row(connection: psycopg.Connection, statement: str) -> tuple[Any, ...]:
    row = connection.execute(statement).fetchone()
    assert row is not None
    return row
