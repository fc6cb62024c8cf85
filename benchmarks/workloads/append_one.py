"""One event an append, one writer: what a round trip and a commit cost."""

from collections.abc import Callable, Iterator
from uuid import uuid4

from benchmarks import raw
from benchmarks.bench import OURS, UMADB, UNCHECKED, Bench
from benchmarks.events import METADATA, new_events
from benchmarks.peers import FUNCTIONS, racer
from benchmarks.pgbench import INSERT, inserting
from benchmarks.results import Comparison
from eventstore import EventStore


def to_new(store: EventStore, count: int) -> Callable[[], float]:
    """Return us, appending one event to each of many new streams."""

    def run() -> float:
        work = [(f"basket-{uuid4()}", [event]) for event in new_events(count)]
        return raw.seconds_of(lambda part: store.append(part[0], part[1], expected_version=0, metadata=METADATA), work)

    return run


def to_existing(store: EventStore, count: int) -> Callable[[], float]:
    """Return us, appending one event after the other to one stream."""

    def run() -> float:
        stream_id = f"basket-{uuid4()}"
        store.append(stream_id, new_events(1), expected_version=0)
        work = [(number + 1, [event]) for number, event in enumerate(new_events(count))]
        return raw.seconds_of(
            lambda part: store.append(stream_id, part[1], expected_version=part[0], metadata=METADATA), work
        )

    return run


def run(bench: Bench) -> Iterator[Comparison]:
    """Append one event, with durable commits and without."""
    for durable in (True, False):
        yield from _compare(bench, durable=durable)


def _compare(bench: Bench, *, durable: bool) -> Iterator[Comparison]:
    count, fewer = bench.choose(40, 1000), bench.choose(10, 150)
    kind = "durable" if durable else "not_durable"
    database = bench.database(durable=durable)
    store = database.store()
    plain, functions, sourcery = (bench.database(durable=durable, tables=False) for _ in range(3))
    name, name_of_functions = f"one {kind}", f"one {kind} functions"
    peer = bench.eventsourcing(name, plain.environment)
    bench.eventsourcing(name_of_functions, functions.environment | FUNCTIONS)
    other = bench.event_sourcery(name, sourcery)
    if durable:
        bench.ask_for_durability(peer, "eventsourcing", name)
        bench.ask_for_durability(peer, "eventsourcing, functions", name_of_functions)
        bench.ask_for_durability(other, "python-event-sourcery", name)
    pgbench = inserting(bench.server, database, bench.folder())
    uma = bench.umadb()
    always = "left out: it always flushes"
    with database.raw() as connection:
        yield bench.race(
            f"append_one_new_{kind}",
            "append 1 event to a new stream",
            {
                "psycopg INSERT": raw.insert_one(connection, count),
                INSERT: pgbench.racer(count) if pgbench else None,
                OURS: to_new(store, count),
                "eventsourcing recorder": racer(peer, "append_to_new", name=name, count=count, recorder_only=True),
                "eventsourcing": racer(peer, "append_to_new", name=name, count=count),
                "eventsourcing recorder, functions": racer(
                    peer, "append_to_new", name=name_of_functions, count=count, recorder_only=True
                ),
                "eventsourcing, functions": racer(peer, "append_to_new", name=name_of_functions, count=count),
                "python-event-sourcery": racer(other, "append_to_new", name=name, count=fewer),
                UMADB: (uma.to_new(count) if uma else None) if durable else always,
                UNCHECKED: (uma.to_new(count, checked=False) if uma else None) if durable else always,
            },
            per="append",
            reference="psycopg INSERT",
            durable=durable,
        )
        yield bench.race(
            f"append_one_existing_{kind}",
            "append 1 event to an existing stream",
            {
                "psycopg INSERT": raw.insert_one(connection, count),
                OURS: to_existing(store, count),
                "eventsourcing": racer(peer, "append_to_existing", name=name, count=count),
                "eventsourcing, functions": racer(peer, "append_to_existing", name=name_of_functions, count=count),
                "python-event-sourcery": racer(other, "append_to_existing", name=name, count=fewer),
            },
            per="append",
            reference="psycopg INSERT",
            durable=durable,
        )
