"""The shop under gunicorn on PostgreSQL, with a crowd of clients, and a worker of gunicorn killed on the way."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest
from sqlalchemy import text

from eventstore.projections import Worker
from flask_shop import create_app
from flask_shop.agreement import customers_in_events, customers_in_table, orders_in_events, orders_in_table
from flask_shop.database import db, events
from flask_shop.read_models import customers
from flask_shop.tests.crowd import Crowd
from tests.postgresql.supervisor import free_port

SHOP = Path(__file__).parent.parent
CLIENTS = 16
THREADS = 4
WAIT_SECONDS = 60


@contextmanager
def running(
    name: str, command: list[str], folder: Path, environment: dict[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program until the end of the block; then it has to end well by itself."""
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *command], cwd=folder, env=os.environ | environment, stdout=output, stderr=output
        )
    try:
        yield process
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_SECONDS) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


def wait_until(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def answers(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=WAIT_SECONDS)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == 200
    except ConnectionError:
        return False
    finally:
        connection.close()


def kill_a_worker(master: subprocess.Popen[bytes]) -> int:
    """Kill the busiest of the processes that serve, so that requests go without an answer; return which."""
    children = Path(f"/proc/{master.pid}/task/{master.pid}/children").read_text().split()
    worker = int(max(children, key=time_used))
    os.kill(worker, signal.SIGKILL)
    return worker


def time_used(process_id: str) -> int:
    """Return the time that a process has computed, in ticks of the system's clock."""
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def states_of_connections() -> list[str]:
    """Return what the connections of all others are doing."""
    db.session.remove()
    db.engine.dispose()
    others = text(
        "SELECT state FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        " AND backend_type = 'client backend'"
    )
    with db.engine.connect() as connection:
        return list(connection.execute(others).scalars())


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="gunicorn's workers are found by Linux's /proc")
@pytest.mark.parametrize(
    ("orders", "workers"),
    [
        pytest.param(200, 2, marks=pytest.mark.slow),
        pytest.param(10_000, 4, marks=[pytest.mark.long, pytest.mark.timeout(1800)]),
    ],
)
def test_every_order_is_stored_once_though_a_worker_is_killed(
    postgres_url: str, tmp_path: Path, orders: int, workers: int
) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    port = free_port()
    environment = {"DATABASE_URL": postgres_url, "BIND": f"127.0.0.1:{port}", "WEB_CONCURRENCY": str(workers)}
    app = create_app(postgres_url)
    killed: list[int] = []
    with app.app_context(), ExitStack() as stack:
        db.create_all()
        gunicorn = ["gunicorn", "-c", str(SHOP / "gunicorn_settings.py")]
        master = stack.enter_context(running("gunicorn", gunicorn, tmp_path, environment))
        stack.enter_context(running("work", ["flask", "--app", str(SHOP), "work"], tmp_path, environment))
        wait_until(lambda: answers(port), "gunicorn does not answer")

        began = time.perf_counter()
        crowd = Crowd(port, orders, seed, lambda: killed.append(kill_a_worker(master))).run(CLIENTS)
        seconds = time.perf_counter() - began

        assert orders_in_table() == orders_in_events() == crowd.expected
        assert len(crowd.expected) == orders
        assert len(killed) == 1
        assert crowd.retries > 0, "its clients had no answer"
        with Worker(events.store, customers) as worker:
            worker.run_until_caught_up()
        assert customers_in_table() == customers_in_events()

        wait_until(lambda: "active" not in states_of_connections(), "a connection is at work for nobody")
        states = states_of_connections()
        print(
            f"{orders} orders placed and paid in {seconds:.1f} s by {workers} workers with {THREADS} threads each;",
            f"{crowd.retries} requests sent again for want of an answer, {crowd.repeated} on purpose;",
            f"{len(states)} connections afterwards",
        )
        assert "idle in transaction" not in states
        assert len(states) <= workers * THREADS + 2, "one for each thread; and the worker of the projection"
    with app.app_context():
        wait_until(lambda: states_of_connections() == [], "a connection is left behind")
        db.engine.dispose()
