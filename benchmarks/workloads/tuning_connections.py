"""Connections: how many, tested before use or not, through PgBouncer or not; and what notifications cost."""

from collections.abc import Iterator
from typing import Any, Final

from benchmarks.bench import OURS, Bench
from benchmarks.events import event_types
from benchmarks.pgbouncer import PgBouncer, find_pgbouncer
from benchmarks.results import Comparison
from benchmarks.writers import in_threads
from eventstore import EventStore
from eventstore.backends import engine_for

WRITERS: Final = 8
_UNPREPARED: Final = {"prepare_threshold": None}


def run(bench: Bench) -> Iterator[Comparison]:
    """Let 8 writers append, or one, with one setting changed."""
    yield _pool(bench)
    yield from _notify(bench)
    yield from _pgbouncer(bench)


def _pool(bench: Bench) -> Comparison:
    database, count = bench.database(), bench.choose(80, 1600) // WRITERS

    def store(pool_size: int, **options: Any) -> EventStore:
        engine = database.engine(pool_size=pool_size, max_overflow=0, **options)
        return EventStore(engine, event_types=event_types)

    contestants = {
        f"a pool of {size}": in_threads(store(size), WRITERS, count)
        for size in bench.choose((2, WRITERS), (1, 2, 4, WRITERS, 16))
    }
    reference = f"a pool of {WRITERS}"
    contestants[f"{reference}, pool_pre_ping"] = in_threads(store(WRITERS, pool_pre_ping=True), WRITERS, count)
    return bench.race(
        "tuning_pool",
        f"{WRITERS} writers in threads, pools of different sizes",
        {f"{OURS}, {name}": run for name, run in contestants.items()},
        per="event",
        reference=f"{OURS}, {reference}",
        durable=True,
    )


def _notify(bench: Bench) -> Iterator[Comparison]:
    database = bench.database()
    silent, telling = database.store(), database.store(notify=True)
    for writers in (1, WRITERS):
        count = bench.choose(80, 1600) // writers
        yield bench.race(
            f"tuning_notify_{writers}",
            f"{writers} writer{'s' * (writers > 1)}, without and with notifications",
            {
                OURS: in_threads(silent, writers, count),
                f"{OURS}, notify=True": in_threads(telling, writers, count),
            },
            per="event",
            reference=OURS,
            durable=True,
        )


def _pgbouncer(bench: Bench) -> Iterator[Comparison]:
    database, program = bench.database(), find_pgbouncer()
    options: dict[str, Any] = {"pool_size": 20, "connect_args": _UNPREPARED}
    direct, unprepared = database.store(), EventStore(database.engine(**options), event_types=event_types)
    through: EventStore | None = None
    if program:
        bouncer = bench.enter(PgBouncer(program, bench.folder(), database.port))
        engine = bench.enter_engine(engine_for(bouncer.url(database.name), **options))
        through = EventStore(engine, event_types=event_types)
    for writers in (1, WRITERS):
        count = bench.choose(80, 1600) // writers
        yield bench.race(
            f"tuning_pgbouncer_{writers}",
            f"{writers} writer{'s' * (writers > 1)}, directly and through PgBouncer in transaction mode",
            {
                OURS: in_threads(direct, writers, count),
                f"{OURS}, nothing prepared": in_threads(unprepared, writers, count),
                f"{OURS}, PgBouncer, nothing prepared": in_threads(through, writers, count)
                if through
                else "PgBouncer is not installed",
            },
            per="event",
            reference=OURS,
            durable=True,
        )
