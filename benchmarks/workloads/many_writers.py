"""1 to 16 writers, one event an append: on streams of their own, and all on one."""

from collections.abc import Iterator
from contextlib import ExitStack

from benchmarks import raw
from benchmarks.bench import OURS, Bench
from benchmarks.peers import FUNCTIONS, racer
from benchmarks.results import Comparison
from benchmarks.servers import MANY_CONNECTIONS
from benchmarks.writers import Processes, in_threads, peers_together, raw_in_threads

PROCESSES = "eventstore, processes"


def run(bench: Bench) -> Iterator[Comparison]:
    """Write together."""
    database = bench.database()
    store = database.store()
    plain, functions, sourcery = (bench.database(tables=False) for _ in range(3))
    peer = bench.eventsourcing("writers", plain.environment | MANY_CONNECTIONS)
    bench.eventsourcing("writers, functions", functions.environment | FUNCTIONS | MANY_CONNECTIONS)
    other = bench.event_sourcery("writers", sourcery)
    pgbench = raw.PgBench.of(bench.server, database, bench.folder())
    for writers in bench.choose((2, 8), (1, 2, 4, 8, 16)):
        count, fewer = bench.choose(80, 1600) // writers, max(bench.choose(16, 240) // writers, 1)
        with ExitStack() as stack:
            connections = [stack.enter_context(database.raw()) for _ in range(writers)]
            processes = Processes(database.url, writers, count)
            stack.callback(processes.close)
            contestants = {
                "pgbench INSERT": pgbench.racer(count, writers) if pgbench else None,
                "psycopg INSERT": raw_in_threads(connections, count),
                OURS: in_threads(store, writers, count),
                PROCESSES: processes.run,
                "eventsourcing": racer(peer, "write_together", name="writers", writers=writers, count=count),
                "eventsourcing, functions": racer(
                    peer, "write_together", name="writers, functions", writers=writers, count=count
                ),
                "python-event-sourcery": racer(other, "write_together", name="writers", writers=writers, count=fewer),
            }
            if writers == 8:
                theirs = [bench.eventsourcing_process("processes", plain.environment) for _ in range(writers)]
                contestants["eventsourcing, processes"] = peers_together(theirs, name="processes", count=count)
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
