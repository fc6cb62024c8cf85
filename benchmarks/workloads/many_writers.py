"""1 to 16 writers, one event an append: on streams of their own, and all on one."""

from collections.abc import Iterator
from contextlib import ExitStack

from benchmarks import raw
from benchmarks.bench import OURS, Bench
from benchmarks.peers import racer
from benchmarks.results import Comparison
from benchmarks.writers import Processes, in_threads, raw_in_threads


def run(bench: Bench) -> Iterator[Comparison]:
    """Write together."""
    database = bench.database()
    store = database.store()
    plain = bench.database(tables=False)
    peer = bench.eventsourcing("writers", plain.environment | {"POSTGRES_ENABLE_DB_FUNCTIONS": "y"})
    sourcery = bench.database(tables=False)
    other = bench.event_sourcery("writers", sourcery.url.replace("postgresql", "postgresql+psycopg"))
    pgbench = raw.PgBench(bench.server, database, bench.folder()) if raw.binaries_have_pgbench(bench.server) else None
    for writers in bench.choose((8,), (1, 2, 4, 8, 16)):
        count = bench.choose(400, 800) // writers
        with ExitStack() as stack:
            connections = [stack.enter_context(database.raw()) for _ in range(writers)]
            processes = Processes(database.url, writers, count)
            stack.callback(processes.close)
            yield bench.race(
                f"writers_{writers}",
                f"{writers} writers on streams of their own, 1 event an append",
                {
                    "pgbench INSERT": pgbench.racer(count, writers) if pgbench else None,
                    "psycopg INSERT": raw_in_threads(connections, count),
                    OURS: in_threads(store, writers, count),
                    "eventstore, processes": processes.run,
                    "eventsourcing": racer(peer, "write_together", name="writers", writers=writers, count=count),
                    "python-event-sourcery": racer(
                        other, "write_together", name="writers", writers=writers, count=max(count // 2, 1)
                    ),
                },
                per="event",
                reference="psycopg INSERT",
                durable=True,
            )
    writers, count = 8, bench.choose(40, 100)
    yield bench.race(
        "hot_stream",
        "8 writers on one stream, 1 event an append",
        {
            OURS: in_threads(store, writers, count, one_stream=True),
            "eventsourcing": racer(
                peer, "write_together", name="writers", writers=writers, count=count, one_stream=True
            ),
            "python-event-sourcery": racer(
                other, "write_together", name="writers", writers=writers, count=count, one_stream=True
            ),
        },
        per="event",
        reference=OURS,
        durable=True,
    )
