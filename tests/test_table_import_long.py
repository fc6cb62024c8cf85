"""A million rows of each kind of table: followed while writers go on, killed twice, cut over, equal by every column."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import Engine, create_engine, make_url, text

from eventstore import EventStore
from eventstore.backends import engine_for
from eventstore.maintenance import verify
from tests.source_tables import MAP, create_source
from tests.waiting import wait_until_it_says

pytestmark = [pytest.mark.long, pytest.mark.postgresql, pytest.mark.timeout(3600)]

ROWS: Final = int(os.environ.get("EVENTSTORE_TEST_IMPORTED_ROWS", "1000000"))
WITH_EVENTSOURCING: Final = os.environ.get("EVENTSTORE_TEST_EVENTSOURCING_PYTHON")
"""A Python with the package `eventsourcing[postgres]`, for a real application; without it, that test is skipped."""

STREAMS: Final = max(2, ROWS // 20 // 2 * 2)
PROGRAM: Final = Path(__file__).parent.parent / "benchmarks" / "peer_programs" / "eventsourcing_bank.py"

INSERTS: Final = {
    "table": """
        INSERT INTO events (kind, entity, version, name, payload, context, created_at)
        SELECT 'order', n % CAST(:streams AS bigint), n / CAST(:streams AS bigint) * 2,
            'type-' || n % 3,
            jsonb_build_object('number', n, 'price', 1.1, 'text', 'ünï'),
            CASE WHEN n % 2 = 1 THEN jsonb_build_object('user', n % 5) END,
            timestamptz '2026-01-01 00:00:00Z' + n * interval '1 ms'
        FROM generate_series(CAST(:first AS bigint), :last, :step) AS n ORDER BY n""",
    "eventsourcing": """
        INSERT INTO stored_events (originator_id, originator_version, topic, state)
        SELECT lpad(to_hex(n % CAST(:streams AS bigint)), 32, '0')::uuid, n / CAST(:streams AS bigint) + 1,
            'bank.domain:BankAccount.'
                || CASE WHEN n < CAST(:streams AS bigint) THEN 'Opened' ELSE 'Deposited' END,
            convert_to('{"timestamp":{"_type_":"datetime_iso","_data_":"'
                || to_char(timestamp '2026-01-01' + n * interval '1 ms', 'YYYY-MM-DD"T"HH24:MI:SS.US')
                || '+00:00"},"amount":{"_type_":"decimal_str","_data_":"' || n || '.10"}}', 'UTF8')
        FROM generate_series(CAST(:first AS bigint), :last, :step) AS n ORDER BY n""",
    "message-db": """
        INSERT INTO message_store.messages (position, time, stream_name, type, data, metadata)
        SELECT n / CAST(:streams AS bigint), timestamp '2026-01-01' + n * interval '1 ms',
            'account-' || n % CAST(:streams AS bigint),
            CASE WHEN n % 2 = 0 THEN 'Deposited' ELSE 'Withdrawn' END,
            jsonb_build_object('amount', n),
            CASE WHEN n % 3 = 0 THEN jsonb_build_object('correlationStreamName', 'transfer-' || n) END
        FROM generate_series(CAST(:first AS bigint), :last, :step) AS n ORDER BY n""",
}


@pytest.fixture
def source(postgres_url: str) -> Iterator[Engine]:
    engine = create_engine(engine_for(postgres_url).url, pool_size=10)
    yield engine
    engine.dispose()


def insert(source: Engine, reader: str, first: int, last: int, step: int = 1, *, commit: bool = True) -> None:
    with source.connect() as connection:
        values = {"streams": STREAMS, "first": first, "last": last, "step": step}
        connection.execute(text(INSERTS[reader]), values)
        if commit:
            connection.commit()


def write(source: Engine, reader: str, first: int, stop: threading.Event, seed: int) -> int:
    """Write on from a number, every second one, in transactions that linger, some of which are rolled back first."""
    chance = random.Random(seed)
    while not stop.is_set():
        last = first + 2 * chance.randint(0, 5)
        with source.connect() as connection:
            for number in range(first, last + 1, 2):
                values = {"streams": STREAMS, "first": number, "last": number, "step": 1}
                connection.execute(text(INSERTS[reader]), values)
                stop.wait(chance.choice([0, 0.001, 0.02]))
            if chance.random() < 0.2:
                connection.rollback()
                continue
            connection.commit()
        first = last + 2
    return first


def follow(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen([*command, "--follow"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def move(source: Engine, store: EventStore, command: list[str], stop_writers: Callable[[], Any], rows: int) -> Any:
    """Follow, kill that twice, cut over, and return the result of the last run."""
    begin, chance = time.monotonic(), random.Random()
    for share in (chance.uniform(0.1, 0.4), chance.uniform(0.5, 0.9)):
        process = follow(command)
        while count(store) < share * rows:
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        process.kill()
        process.communicate()
        print(f"killed at {count(store):,} events after {time.monotonic() - begin:.0f} s")
    process = follow(command)
    wait_until_it_says(process.stdout, "caught up")
    time.sleep(3)
    stop_writers()
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=600)
    assert process.returncode == 0, said
    print(f"followed after {time.monotonic() - begin:.0f} s: {said}")
    done = json.loads(subprocess.run([*command, "--verify", "--json"], stdout=subprocess.PIPE, check=True).stdout)
    print(f"cut over after {time.monotonic() - begin:.0f} s: {done}")
    assert done["comparison"]["is_equal"]
    assert done["comparison"]["rows"] == done["comparison"]["events"]
    again = json.loads(subprocess.run([*command, "--json"], stdout=subprocess.PIPE, check=True).stdout)
    assert (again["events"], again["repeated"]) == (0, 0)
    assert list(verify(store)) == []
    return done


def count(store: EventStore) -> int:
    with store.engine.connect() as connection:
        return int(connection.exec_driver_sql("SELECT coalesce(max(position), 0) FROM es_events").scalar_one())


@pytest.mark.parametrize("reader", INSERTS)
def test_a_live_table_is_moved(source: Engine, postgres_url: str, tmp_path: Path, reader: str) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}, {ROWS:,} rows")
    create_source(source, reader)
    insert(source, reader, 0, ROWS - 1)
    path = tmp_path / "events.toml"
    path.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in MAP.items()), "utf-8")
    command = [
        sys.executable, "-m", "eventstore", "import", "--from", postgres_url, "--reader", reader, "--url", postgres_url,
        *(["--map", str(path)] if reader == "table" else []),
    ]  # fmt: skip
    stop = threading.Event()
    with ThreadPoolExecutor() as threads:
        writers = [threads.submit(write, source, reader, ROWS + index, stop, seed + index) for index in (0, 1)]

        def stop_writers() -> None:
            stop.set()
            for writer in writers:
                writer.result(60)

        try:
            done = move(source, EventStore(source), command, stop_writers, ROWS)
        finally:
            stop.set()
    assert sum(done["comparison"]["rows"].values()) > ROWS


@pytest.mark.skipif(WITH_EVENTSOURCING is None, reason="EVENTSTORE_TEST_EVENTSOURCING_PYTHON names no Python")
def test_a_live_application_of_eventsourcing_is_moved(source: Engine, postgres_url: str) -> None:
    assert WITH_EVENTSOURCING is not None
    url = make_url(postgres_url)
    environment = {
        **os.environ, "PERSISTENCE_MODULE": "eventsourcing.postgres", "POSTGRES_DBNAME": str(url.database),
        "POSTGRES_HOST": str(url.host), "POSTGRES_PORT": str(url.port or 5432), "POSTGRES_USER": str(url.username),
        "POSTGRES_PASSWORD": str(url.password or "none"),
    }  # fmt: skip
    pairs = ROWS // 5
    write_some = [WITH_EVENTSOURCING, str(PROGRAM), "write"]
    print(subprocess.run([*write_some, "10"], env=environment, stdout=subprocess.PIPE, check=True).stdout)
    writers = [
        subprocess.Popen([*write_some, str(pairs // 2)], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    (table,) = [name for name in tables(source) if name.endswith("_events") and not name.startswith("es_")]
    command = [
        sys.executable, "-m", "eventstore", "import", "--from", postgres_url, "--reader", "eventsourcing",
        "--table", table, "--url", postgres_url,
    ]  # fmt: skip
    done = move(source, EventStore(source), command, lambda: [writer.communicate() for writer in writers], pairs * 5)
    print(f"{sum(done['comparison']['rows'].values()):,} rows")
    assert set(done["comparison"]["rows"]) >= {"__main__:BankAccount.Opened", "__main__:Dog.TrickAdded"}


def tables(source: Engine) -> list[str]:
    with source.connect() as connection:
        return list(connection.exec_driver_sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").scalars())
