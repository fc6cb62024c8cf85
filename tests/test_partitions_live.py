"""A log is partitioned, killed at each step and run again, beside writers, a reader and a projection; none is missed.

The writers roll some appends back, keep some open in joined transactions, and prepare some.
"""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import pytest
from sqlalchemy import Engine, create_engine, text

from eventstore import ANY, EventStore, NewEvent, Projection, Worker, migrations
from eventstore.migrations import partitioning
from eventstore.tokens import PositionToken

pytestmark = [pytest.mark.postgresql, pytest.mark.slow]

WRITERS: Final = 6
EVENTS: Final = int(os.environ.get("EVENTSTORE_TEST_PARTITIONED_EVENTS", "3000000"))
STEPS: Final = 7
"""More than `enable` reports, so that the last run is completed."""

KILLED_AT: Final = """
import os, signal, sys
from sqlalchemy import create_engine
from eventstore.migrations import partitioning
left = int(sys.argv[2])
def kill(progress):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
partitioning.enable(
    create_engine(sys.argv[1]), size=int(sys.argv[3]), margin=int(sys.argv[4]), days=0, on_progress=kill
)
"""


class Writing:
    """Writers, until `stop`; they keep how long the longest append took."""

    def __init__(self, engine: Engine, seed: int) -> None:
        self._engine = engine
        self._seed = seed
        self._stopped = threading.Event()
        self.longest = 0.0
        self.stored = 0
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
                appended += self._in_transaction(store, stream_id, kind, f"{number}-{appended}")
            self.longest = max(self.longest, time.monotonic() - began)
            time.sleep(chance.random() * 0.004)
        self.stored += appended

    def _in_transaction(self, store: EventStore, stream_id: str, kind: float, name: str) -> int:
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
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(f"COMMIT PREPARED 'part-{name}'"))
        return 2


class Reading:
    """A reader that keeps what it receives, in order."""

    def __init__(self, engine: Engine, after: int) -> None:
        self._store = EventStore(engine)
        self._after: int | PositionToken = after
        self._stopped = threading.Event()
        self.received: list[int] = []

    def stop(self) -> None:
        self._stopped.set()

    def run(self) -> None:
        while not self._stopped.is_set():
            self.read()
            time.sleep(0.005)

    def read(self) -> None:
        for event in self._store.read_all(after_position=self._after, wait_seconds=0):
            self.received.append(event.position)
            self._after = PositionToken(event.position, event.event_id, event.stream_id, event.version)


def fill(engine: Engine, events: int) -> None:
    with engine.begin() as connection:
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


def partition_beside_others(url: str, events: int, *, size: int, margin: int, steps: range) -> Writing:
    engine = create_engine(url, pool_size=WRITERS + 6)
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    fill(engine, events)
    writing, reading = Writing(engine, seed), Reading(engine, events // 3 * 3)
    counted = Projection("counted")
    rows: list[int] = []
    counted.on("written")(lambda event, _: rows.append(event.position))
    counted.on("joined")(lambda event, _: rows.append(event.position))
    tasks: list[Callable[[], Any]] = [*(lambda n=n: writing.run(n) for n in range(WRITERS)), reading.run]
    with ThreadPoolExecutor(len(tasks)) as threads:
        futures = [threads.submit(task) for task in tasks]
        try:
            for step in steps:
                arguments = [url, str(step), str(size), str(margin)]
                done = subprocess.run([sys.executable, "-c", KILLED_AT, *arguments], check=False, capture_output=True)
                assert done.returncode in {0, -signal.SIGKILL}, done.stderr.decode()
                time.sleep(0.2)
            began = time.monotonic()
            partitioning.enable(engine, size=size, margin=margin, days=0)
            partitioning.add(engine, size=size, days=0)
            print(f"the last run took {time.monotonic() - began:.2f} s")
            time.sleep(0.5)
        finally:
            writing.stop()
            reading.stop()
            for future in futures:
                future.result()
    reading.read()
    with engine.connect() as connection:
        query = text("SELECT position FROM es_events WHERE position > :after ORDER BY position")
        stored = list(connection.execute(query, {"after": events // 3 * 3}).scalars())
    assert reading.received == stored, "missed, doubled or inverted"
    assert len(stored) == writing.stored
    Worker(EventStore(engine), counted).run_until_caught_up()
    assert rows == stored
    assert len(partitioning.parts(engine)) >= 2
    assert migrations.verify(engine) == []
    print(f"{len(stored)} events beside it, the longest append {writing.longest:.2f} s")
    engine.dispose()
    return writing


def test_a_log_is_partitioned_beside_writers_and_readers(postgres_url: str) -> None:
    partition_beside_others(postgres_url, 300, size=5_000, margin=100_000, steps=range(2, 7, 2))


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_three_million_events_are_partitioned_beside_writers_and_readers(postgres_url: str) -> None:
    writing = partition_beside_others(postgres_url, EVENTS, size=5_000_000, margin=200_000, steps=range(1, STEPS))
    assert writing.longest < float(os.environ.get("EVENTSTORE_TEST_LONGEST_APPEND", "5"))
