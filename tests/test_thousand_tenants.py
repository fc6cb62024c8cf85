"""A thousand tenants, each in a schema: they are provisioned, used, polled, and migrated by a run that is killed once.

`pytest -n 0 -s -m long tests/test_thousand_tenants.py` prints times and memory.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import URL, Engine, create_engine, text

from eventstore import ANY, NO_STREAM, EventStore, NewEvent, migrations
from eventstore.backends.schema_watch import SchemaWatch
from eventstore.projections import Projection, TenantWorkers, Worker
from tests.fix_migrations import ROOT, url_of

pytestmark = [pytest.mark.postgresql, pytest.mark.long, pytest.mark.timeout(1800)]
COUNT = int(os.environ.get("EVENTSTORE_TEST_TENANTS", "1000"))
NAMES = [f"tenant_{number:04}" for number in range(COUNT)]


def memory(process: int | str = "self") -> float:
    """Return the private memory of a process in megabytes: what is not shared with others, or read from a file."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon"))


def use(store: EventStore) -> None:
    store.append("order-1", [NewEvent("placed")], expected_version=NO_STREAM)
    store.append("order-1", [NewEvent("paid")], expected_version=1)
    store.append("order-1", [NewEvent("paid"), NewEvent("sent")], expected_version=ANY)
    assert [event.position for event in store.read_all()] == [1, 2, 3, 4]
    assert store.stream_version("order-1") == len(list(store.read_stream("order-1")))
    store.snapshots.save("order-1", version=4, state={})


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_a_thousand_tenants(new_postgres_engine: Engine, tracked_engine: Callable[[URL], Engine]) -> None:
    began = time.monotonic()
    for name in NAMES:
        migrations.provision(new_postgres_engine, name)
    print(f"\nprovisioned in {time.monotonic() - began:.0f} s")

    engine = create_engine(new_postgres_engine.url, pool_size=1, max_overflow=0)
    with engine.connect() as connection:
        server = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    use(EventStore(new_postgres_engine, schema=NAMES[0]))
    before, before_on_server = memory(), memory(server)
    stores = [EventStore(engine, schema=name) for name in NAMES[1:]]
    for store in stores:
        use(store)
    grown, grown_on_server = memory() - before, memory(server) - before_on_server
    print(f"used by one process: {grown:.0f} MB more there, {grown_on_server:.0f} MB in the server's process")
    assert grown < 50
    engine.dispose()

    handled: list[int] = []

    def make_workers(schema: str) -> list[Worker]:
        projection = Projection("totals")
        projection.on("placed")(lambda event, _: handled.append(event.position))
        return [Worker(EventStore(new_postgres_engine, schema=schema), projection)]

    began = time.monotonic()
    TenantWorkers(new_postgres_engine, lambda: NAMES, make_workers).run_until_caught_up()
    print(f"a projection of each has caught up in {time.monotonic() - began:.0f} s")
    assert handled == [1] * COUNT
    with SchemaWatch(new_postgres_engine).looking() as look:
        look.drawn(NAMES)
        began = time.monotonic()
        assert len(look.drawn(NAMES)) == COUNT
        print(f"one look at all: {(time.monotonic() - began) * 1000:.0f} ms")

    migrate_killed_and_resumed(new_postgres_engine)


def downgrade_all(engine: Engine) -> None:
    """Bring all schemas to an old revision, by the script that Alembic writes for one of them."""
    environment = {**os.environ, "EVENTSTORE_URL": url_of(engine), "EVENTSTORE_SCHEMA": NAMES[0]}
    command = [sys.executable, "-m", "alembic", "downgrade", f"{migrations.head()}:es_0007", "--sql"]
    made = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    with psycopg.connect(url_of(engine).replace("+psycopg", ""), autocommit=True) as connection:
        for name in NAMES:
            connection.execute(made.stdout.replace(NAMES[0], name).encode())


def migrate_killed_and_resumed(engine: Engine) -> None:
    downgrade_all(engine)

    def done() -> int:
        return list(migrations.find_schemas(engine, "tenant_*").values()).count(migrations.head())

    assert done() == 0
    options = ["--url", url_of(engine), "--schemas", "tenant_*", "--jobs", "2", "--json"]
    command = [sys.executable, "-m", "eventstore", "migrate", *options]
    began = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while done() < COUNT // 10:
            assert process.poll() is None, "it has ended"
        process.kill()
    after_kill = done()
    assert COUNT // 10 <= after_kill < COUNT
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    summary = json.loads(result.stdout)
    print(f"{after_kill} migrated before the kill, all in {time.monotonic() - began:.0f} s")
    assert summary["failed"] == []
    assert len(summary["migrated"]) + summary["unchanged"] == COUNT
    assert summary["unchanged"] >= after_kill
    assert done() == COUNT
    began = time.monotonic()
    assert {outcome.error for outcome in migrations.upgrade_schemas(engine, "tenant_*")} == {None}
    print(f"nothing to do: {time.monotonic() - began:.1f} s")
