"""1 to 64 writers, one event an append: on streams of their own, and all on one."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final

from benchmarks.bench import OURS, UMADB, UNCHECKED, Bench
from benchmarks.peers import FUNCTIONS, racer
from benchmarks.pgbench import INSERT, inserting
from benchmarks.race import Contestant
from benchmarks.results import Comparison
from benchmarks.servers import MANY_CONNECTIONS
from benchmarks.writers import Processes, in_threads, peers_together, raw_in_threads

PROCESSES: Final = "eventstore, processes"
GROUPED: Final = "eventstore, group_commit=True"
_IN_PROCESSES: Final = 8
_SOURCERY_UP_TO: Final = 8
"""It takes ten times as long as the others."""


def run(bench: Bench) -> Iterator[Comparison]:
    """Write together."""
    database = bench.database()
    store = database.store()
    plain, functions, sourcery = (bench.database(tables=False) for _ in range(3))
    peer = bench.eventsourcing("writers", plain.environment | MANY_CONNECTIONS)
    bench.eventsourcing("writers, functions", functions.environment | FUNCTIONS | MANY_CONNECTIONS)
    other = bench.event_sourcery("writers", sourcery)
    pgbench = inserting(bench.server, database, bench.folder())
    grouping, uma = database.store(group_commit=True), bench.umadb()
    for writers in bench.choose((1, 8, 64), (1, 8, 16, 64)):
        count = max(bench.choose(80, 800 if writers == 1 else 1600) // writers, 2)
        slowly, fewer = max(bench.choose(16, 800) // writers, 2), max(bench.choose(16, 160) // writers, 1)
        with ExitStack() as stack:
            connections = [stack.enter_context(database.raw()) for _ in range(writers)]
            contestants: dict[str, Contestant | str | None] = {
                INSERT: pgbench.racer(count, writers) if pgbench else None,
                "psycopg INSERT": raw_in_threads(connections, count),
                OURS: in_threads(store, writers, count),
                GROUPED: in_threads(grouping, writers, count),
                "eventsourcing": racer(peer, "write_together", name="writers", writers=writers, count=slowly),
                "eventsourcing, functions": racer(
                    peer, "write_together", name="writers, functions", writers=writers, count=count
                ),
                "python-event-sourcery": racer(other, "write_together", name="writers", writers=writers, count=fewer)
                if writers <= _SOURCERY_UP_TO
                else "left out: it takes longer than all others together",
                UMADB: uma.together(writers, count) if uma else None,
                UNCHECKED: uma.together(writers, count, checked=False) if uma else None,
            }
            if writers == _IN_PROCESSES:
                processes = Processes(database.url, writers, count)
                stack.callback(processes.close)
                contestants[PROCESSES] = processes.run
                theirs = [bench.eventsourcing_process("processes", plain.environment) for _ in range(writers)]
                contestants["eventsourcing, processes"] = peers_together(theirs, name="processes", count=slowly)
            yield bench.race(
                f"writers_{writers}",
                f"{writers} writer{'s' * (writers > 1)} on streams of their own, 1 event an append",
                contestants,
                per="event",
                reference="psycopg INSERT",
                durable=True,
            )
    yield _hot_stream(bench)


def _hot_stream(bench: Bench) -> Comparison:
    writers, count, fewer = 8, bench.choose(10, 100), bench.choose(3, 20)
    store = bench.database().store()
    peer = bench.eventsourcing("hot", bench.database(tables=False).environment | FUNCTIONS | MANY_CONNECTIONS)
    other = bench.event_sourcery("hot", bench.database(tables=False))
    return bench.race(
        "hot_stream",
        "8 writers on one stream, 1 event an append",
        {
            OURS: in_threads(store, writers, count, one_stream=True),
            "eventsourcing, functions": racer(
                peer, "write_together", name="hot", writers=writers, count=count, one_stream=True
            ),
            "python-event-sourcery": racer(
                other, "write_together", name="hot", writers=writers, count=fewer, one_stream=True
            ),
        },
        per="event",
        reference=OURS,
        durable=True,
    )
