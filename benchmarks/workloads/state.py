"""What is computed of events: state by replay or by snapshot, and projections."""

import itertools
import time
from collections.abc import Callable, Iterator
from typing import Final

from sqlalchemy import Connection, text

from benchmarks.bench import OURS, Bench
from benchmarks.events import METADATA, ItemAdded, new_events
from benchmarks.loading import load
from benchmarks.peers import Peer, PeerMissing, racer
from benchmarks.results import Comparison
from benchmarks.workloads.read_everything import read
from eventstore import EventStore, RecordedEvent
from eventstore.projections import Projection, Worker

READ: Final = "eventstore, read_all: no projection"
_names = itertools.count(1)
_AFTER: Final = 10


def replay(store: EventStore, stream_id: str) -> Callable[[], float]:
    """Return a contestant that reads a whole stream."""

    def run() -> float:
        begun = time.perf_counter()
        assert _total(store, stream_id, 0) > 0
        return time.perf_counter() - begun

    return run


def from_snapshot(store: EventStore, stream_id: str) -> Callable[[], float]:
    """Return a contestant that loads a snapshot, and reads what came after it."""

    def run() -> float:
        begun = time.perf_counter()
        snapshot = store.snapshots.load(stream_id, schema_version=1)
        assert snapshot is not None
        assert snapshot.state["total"] + _total(store, stream_id, snapshot.version) > 0
        return time.perf_counter() - begun

    return run


def _total(store: EventStore, stream_id: str, after: int) -> int:
    events = store.read_stream(stream_id, after_version=after)
    return sum(event.data.price_in_cents for event in events if isinstance(event.data, ItemAdded))


def project(store: EventStore, count: int) -> Callable[[], float]:
    """Return a contestant whose handler counts in Python, and writes a total once a batch of events is through."""

    def run() -> float:
        projection = Projection(f"counted-{next(_names)}")
        seen = 0

        @projection.on()
        def count_it(_event: object, _connection: object) -> None:
            nonlocal seen
            seen += 1

        begun = time.perf_counter()
        Worker(store, projection).run_until_caught_up()
        assert seen == count
        return (time.perf_counter() - begun) / count

    return run


def project_rows(store: EventStore, count: int) -> Callable[[], float]:
    """Return a contestant whose handler writes a row for each event."""

    def run() -> float:
        projection = Projection(f"rows-{next(_names)}")
        statement = text(
            "INSERT INTO totals VALUES (:stream_id, 1) ON CONFLICT (stream_id) DO UPDATE SET events = totals.events + 1"
        )

        @projection.on()
        def add(event: RecordedEvent, connection: Connection) -> None:
            connection.execute(statement, {"stream_id": event.stream_id})

        begun = time.perf_counter()
        Worker(store, projection).run_until_caught_up()
        return (time.perf_counter() - begun) / count

    return run


def run(bench: Bench) -> Iterator[Comparison]:
    """Replay and snapshot; project."""
    size, count = bench.choose(1_000, 10_000), bench.choose(2_000, 20_000)
    store = bench.database().store()
    store.append("basket-long", new_events(size), expected_version=0, metadata=METADATA)
    assert store.snapshots.save("basket-long", version=size - _AFTER, state={"total": 1999 * (size - _AFTER)})
    peer = _prepared(bench, "long", size)
    yield bench.race(
        "snapshot",
        f"the state of a stream of {size:,} events, with and without a snapshot that {_AFTER} events came after",
        {
            f"{OURS}, replay": replay(store, "basket-long"),
            OURS: from_snapshot(store, "basket-long"),
            "eventsourcing, replay": racer(peer, "load_state", name="long", snapshot=False),
            "eventsourcing": racer(peer, "load_state", name="long", snapshot=True),
        },
        per="state",
        reference=f"{OURS}, replay",
    )
    database = bench.database()
    store = database.store()
    load(database, count)
    with store.engine.begin() as connection:
        connection.execute(text("CREATE TABLE totals (stream_id text PRIMARY KEY, events bigint NOT NULL)"))
    fewer = count // 10
    peer = _prepared(bench, "projected", fewer)
    yield bench.race(
        "projection",
        f"project {count:,} events",
        {
            READ: read(store, count),
            OURS: project(store, count),
            f"{OURS}, a row written for each event": project_rows(store, count),
            f"eventsourcing, {fewer:,} events": racer(peer, "project", name="projected"),
        },
        per="event",
        reference=READ,
        durable=True,
    )


def _prepared(bench: Bench, name: str, size: int) -> Peer | None:
    """Return the peer with an aggregate of so many events, None where it can't have one."""
    environment = bench.database(tables=False).environment
    peer = bench.eventsourcing(name, environment)
    try:
        if peer is not None:
            peer.call("prepare_state", name=name, environment=environment, size=size, after=_AFTER)
    except PeerMissing as error:
        bench.console.print(f"eventsourcing can't prepare: {error}", style="red", markup=False)
        return None
    return peer
