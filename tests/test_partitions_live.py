"""A log is partitioned, killed at each step and run again, beside writers, a reader and a projection; none is missed.

The writers roll some appends back, keep some open in joined transactions, and prepare some, which stay prepared for
moments. Reader and projection run all the time; what they got is compared with what is stored.
"""

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, Final

import pytest
from sqlalchemy import Connection, Engine, create_engine, text

from eventstore import ANY, EventStore, NewEvent, Projection, RecordedEvent, Worker, migrations
from eventstore.migrations import partitioning
from eventstore.tokens import PositionToken
from tests.processes import run_python

pytestmark = [pytest.mark.postgresql, pytest.mark.slow]

WRITERS: Final = 6
EVENTS: Final = int(os.environ.get("EVENTSTORE_TEST_PARTITIONED_EVENTS", "3000000"))
STEPS: Final = 7
"""More than `enable` reports, so that the last run is completed."""

LONGEST_LOCK: Final = float(os.environ.get("EVENTSTORE_TEST_LONGEST_LOCK", "0.5"))
"""For how many seconds both tables may be locked."""

KILLED_AT: Final = """
import os, signal, sys, time
from sqlalchemy import create_engine
from eventstore.migrations import partitioning
left = int(sys.argv[2])
def kill(progress):
    global left
    if progress.waiting_for:
        return
    left -= 1
    print(time.monotonic(), progress.step, flush=True)
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
partitioning.enable(
    create_engine(sys.argv[1]), size=int(sys.argv[3]), margin=int(sys.argv[4]), days=0, on_progress=kill
)
"""


class Writing:
    """Writers, until `stop`; they keep how long the longest append took."""

    def __init__(self, engine: Engine, seed: int, pause_seconds: float) -> None:
        self._engine = engine
        self._seed = seed
        self._pause_seconds = pause_seconds
        self._stopped = threading.Event()
        self.longest = 0.0
        self.stored = 0
        self.prepared = 0
        with engine.connect() as connection:
            self._prepares = connection.execute(text("SHOW max_prepared_transactions")).scalar_one() != "0"

    def stop(self) -> None:
        self._stopped.set()

    def run(self, number: int) -> None:
        chance, store, appended = random.Random(self._seed + number), EventStore(self._engine), 0
        while not self._stopped.is_set():
            stream_id, kind = f"w{number}-{chance.randrange(20)}", chance.random()
            began = time.monotonic()
            if kind < 0.7:
                store.append(stream_id, NewEvent("written"), expected_version=ANY)
                appended += 1
            else:
                appended += self._in_transaction(store, stream_id, chance, kind, f"{number}-{appended}")
            self.longest = max(self.longest, time.monotonic() - began)
            time.sleep(chance.random() * self._pause_seconds)
        self.stored += appended

    def _in_transaction(self, store: EventStore, stream_id: str, chance: random.Random, kind: float, name: str) -> int:
        """Append, and roll back, commit, or prepare and commit."""
        with self._engine.connect() as connection:
            store.join(connection).append(stream_id, [NewEvent("joined"), NewEvent("joined")], expected_version=ANY)
            if kind < 0.85:
                connection.rollback()
                return 0
            if kind < 0.95 or not self._prepares:
                connection.commit()
                return 2
            connection.execute(text(f"PREPARE TRANSACTION 'part-{name}'"))
            connection.connection.dbapi_connection.rollback()  # type: ignore[union-attr]  # it has ended
            time.sleep(chance.random() * 0.03)
        self.prepared += 1
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(f"COMMIT PREPARED 'part-{name}'"))
        return 2


class Reading:
    """A reader that keeps what it receives, in order."""

    def __init__(self, engine: Engine, after: int, pause_seconds: float) -> None:
        self._store = EventStore(engine)
        self._pause_seconds = pause_seconds
        self._after: int | PositionToken = after
        self._stopped = threading.Event()
        self.received: list[int] = []

    def stop(self) -> None:
        self._stopped.set()

    def run(self) -> None:
        while not self._stopped.is_set():
            self.read()
            time.sleep(self._pause_seconds)

    def read(self) -> None:
        for event in self._store.read_all(after_position=self._after, wait_seconds=0):
            self.received.append(event.position)
            self._after = PositionToken(event.position, event.event_id, event.stream_id, event.version)


class Projecting:
    """A projection that keeps the positions of its events in a table, in the transactions of its batches."""

    def __init__(self, engine: Engine, after: int, pause_seconds: float) -> None:
        self._pause_seconds = pause_seconds
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE counted (place bigserial, position bigint)"))
        counted = Projection("counted", start=after)
        for event_type in ("written", "joined"):
            counted.on(event_type)(self._count)
        self._engine = engine
        self._worker = Worker(EventStore(engine), counted)
        self._stopped = threading.Event()
        self.while_others_wrote = 0

    @staticmethod
    def _count(event: RecordedEvent, connection: Connection) -> None:
        connection.execute(text("INSERT INTO counted (position) VALUES (:position)"), {"position": event.position})

    def stop(self) -> None:
        self._stopped.set()

    def run(self) -> None:
        while not self._stopped.is_set():
            self._worker.run_once()
            time.sleep(self._pause_seconds)
        self.while_others_wrote = len(self.positions())

    def positions(self) -> list[int]:
        with self._engine.connect() as connection:
            return list(connection.execute(text("SELECT position FROM counted ORDER BY place")).scalars())

    def finish(self) -> list[int]:
        self._worker.run_until_caught_up()
        return self.positions()


def longest_lock(reports: list[tuple[float, str]]) -> float:
    """Return for how long both tables were locked: from the report of that to the next one, after the commit."""
    return max(
        (after - at for (at, step), (after, _) in pairwise(reports) if step == "both tables are locked"),
        default=0.0,
    )


def fill(engine: Engine, events: int) -> None:
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))  # no foreign key is looked up
        connection.execute(
            text("INSERT INTO es_streams (stream_id, version) SELECT 'f-' || n, 3 FROM generate_series(1, :n / 3) n"),
            {"n": events},
        )
        connection.execute(
            text(
                "INSERT INTO es_events (stream_id, version, event_id, event_type, schema_version, codec, data) "
                "SELECT 'f-' || (n - 1) / 3 + 1, (n - 1) % 3 + 1, gen_random_uuid(), 'filled', 1, 1, '\\x80' "
                "FROM generate_series(CAST(1 AS bigint), :n / 3 * 3) n"
            ),
            {"n": events},
        )


def partition_beside_others(
    url: str, events: int, *, size: int, margin: int, steps: range, pause_seconds: float
) -> tuple[Writing, float]:
    engine = create_engine(url, pool_size=WRITERS + 6)
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    fill(engine, events)
    writing = Writing(engine, seed, pause_seconds)
    filled = events // 3 * 3
    reading, projecting = Reading(engine, filled, pause_seconds), Projecting(engine, filled, pause_seconds)
    tasks: list[Callable[[], Any]] = [
        *(lambda n=n: writing.run(n) for n in range(WRITERS)), reading.run, projecting.run,
    ]  # fmt: skip
    locked = 0.0
    with ThreadPoolExecutor(len(tasks)) as threads:
        futures = [threads.submit(task) for task in tasks]
        try:
            for step in steps:
                done = run_python("-c", KILLED_AT, url, str(step), str(size), str(margin), timeout=1200)
                assert done.returncode in {0, -signal.SIGKILL}, done.stderr
                lines = [line.partition(" ") for line in done.stdout.splitlines()]
                locked = max(locked, longest_lock([(float(at), what) for at, _, what in lines]))
                time.sleep(0.2)
            began = time.monotonic()
            reports: list[tuple[float, str]] = []

            def report(progress: migrations.Progress) -> None:
                if not progress.waiting_for:
                    reports.append((time.monotonic(), progress.step))

            partitioning.enable(engine, size=size, margin=margin, days=0, on_progress=report)
            locked = max(locked, longest_lock(reports))
            partitioning.add(engine, size=size, days=0)
            print(f"the last run took {time.monotonic() - began:.2f} s")
            time.sleep(0.5)
        finally:
            writing.stop()
            for future in futures[:WRITERS]:
                future.result()
            reading.stop()
            projecting.stop()
            for future in futures:
                future.result()
    reading.read()
    with engine.connect() as connection:
        query = text("SELECT position FROM es_events WHERE position > :after ORDER BY position")
        stored = list(connection.execute(query, {"after": filled}).scalars())
    assert reading.received == stored, "missed, doubled or inverted"
    assert len(stored) == writing.stored
    assert projecting.while_others_wrote > 0
    assert projecting.finish() == stored, "missed, doubled or inverted"
    assert len(partitioning.parts(engine)) >= 2
    assert migrations.verify(engine) == []
    print(
        f"{len(stored)} events beside it, {writing.prepared} transactions prepared; both tables were locked for "
        f"{locked:.3f} s, the longest append took {writing.longest:.2f} s, and the projection had handled "
        f"{projecting.while_others_wrote} when the writers stopped"
    )
    assert locked > 0
    engine.dispose()
    return writing, locked


def test_a_log_is_partitioned_beside_writers_and_readers(postgres_url: str) -> None:
    partition_beside_others(postgres_url, 300, size=5_000, margin=100_000, steps=range(2, 7, 2), pause_seconds=0.1)


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_three_million_events_are_partitioned_beside_writers_and_readers(postgres_url: str) -> None:
    steps = range(1, STEPS)
    writing, locked = partition_beside_others(
        postgres_url, EVENTS, size=5_000_000, margin=200_000, steps=steps, pause_seconds=0.004
    )
    assert locked <= LONGEST_LOCK
    assert writing.longest < float(os.environ.get("EVENTSTORE_TEST_LONGEST_APPEND", "5"))
