"""The shop in Django: its own tests, started with one command, and under gunicorn.

All in processes of their own: a process has the settings of one Django project, and this one those of tests/.
"""

import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from decimal import Decimal
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import pytest
from django_shop.orders import Order, event_types
from sqlalchemy import Engine, create_engine, make_url, text

from eventstore import EventFilter, EventStore
from tests.processes import run_python

SHOP = Path(__file__).parent.parent / "examples" / "django_shop"
MANAGE = str(SHOP / "manage.py")
NO_PYTEST = {"PYTEST_ADDOPTS": "", "PYTEST_XDIST_WORKER": ""}


def environment(url: str | None, **more: str) -> dict[str, str]:
    """Return an environment in which the shop is on a database: a URL as psycopg knows it, None for SQLite."""
    kept = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "DJANGO_SETTINGS_MODULE"}}
    if url is not None:
        kept["DATABASE_URL"] = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    return kept | more


def run(*arguments: str, folder: Path, url: str | None, **more: str) -> str:
    done = run_python(*arguments, cwd=folder, env=environment(url, **more))
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
def test_its_own_tests_pass_with_pytest_on_sqlite(tmp_path: Path) -> None:
    options = ("-c", str(SHOP / "tests" / "pytest.ini"), "-q", "-p", "no:cacheprovider")
    said = run("-m", "pytest", *options, str(SHOP / "tests"), folder=tmp_path, url=None, **NO_PYTEST)
    assert re.search(r"\d\d passed", said)


@pytest.mark.slow
def test_its_own_tests_pass_with_djangos_runner_on_postgresql(tmp_path: Path, empty_postgres_url: str) -> None:
    tests = ("django_shop.tests.test_shop", "django_shop.tests.test_sales")
    said = run(MANAGE, "test", *tests, folder=tmp_path, url=empty_postgres_url)
    assert re.search(r"Ran \d\d tests", said)


# --- clients


class Client:
    """A browser, as far as needed: one connection, a CSRF cookie, and it tries again where it got no answer."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._token = ""
        self._connection: HTTPConnection | None = None
        self.retries = 0

    def get(self, path: str) -> str:
        return self._answer("GET", path, None)[1]

    def post(self, path: str, **form: object) -> int:
        if not self._token:
            self.get("/")
        return self._answer("POST", path, urlencode({**form, "csrfmiddlewaretoken": self._token}))[0]

    def _answer(self, method: str, path: str, body: str | None) -> tuple[int, str]:
        deadline = time.monotonic() + 60
        while True:
            try:
                status, text_ = self._once(method, path, body)
                if status < 500:
                    return status, text_
            except (OSError, HTTPException):
                self.close()
            assert time.monotonic() < deadline, f"no answer to {method} {path}"
            self.retries += 1
            time.sleep(0.02)

    def _once(self, method: str, path: str, body: str | None) -> tuple[int, str]:
        connection = self._connection = self._connection or HTTPConnection("127.0.0.1", self._port, timeout=30)
        headers = {"Cookie": f"csrftoken={self._token}"} if self._token else {}
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        found = re.search(r"csrftoken=(\w+)", response.headers.get("Set-Cookie", ""))
        if found:
            self._token = found.group(1)
        return response.status, response.read().decode()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@contextmanager
def started(command: list[str], folder: Path, url: str | None, log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Start a process; at the end let it stop by SIGTERM."""
    with (
        log.open("ab") as output,
        subprocess.Popen(
            command, cwd=folder, env=environment(url), stdout=output, stderr=output, start_new_session=True
        ) as process,
    ):
        try:
            yield process
            process.terminate()
            process.wait(30)
        finally:
            process.kill()


def wait_for(condition: Callable[[], object], process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@pytest.mark.slow
def test_it_starts_with_one_command_on_sqlite(tmp_path: Path, unused_port: int) -> None:
    log = tmp_path / "log"
    with started([sys.executable, MANAGE, "start", f"127.0.0.1:{unused_port}"], tmp_path, None, log) as process:
        wait_for(lambda: answers(unused_port), process, log)
        client = Client(unused_port)
        assert client.post("/orders/", order_id="1", customer="<script>", article="tea", quantity=2) == 302
        assert client.post("/orders/1/pay/") == 302
        page = client.get("/orders/1/")
        assert "order-paid" in page
        assert "&lt;script&gt;" in page
        assert "<script>" not in page
        wait_for(lambda: "8.40 EUR" in client.get("/").split("Sold")[1], process, log)
        client.close()
        (worker,) = children(process.pid)
        process.terminate()
        process.wait(30)
    assert not Path(f"/proc/{worker}").exists()
    assert "Traceback" not in log.read_text()
    assert (tmp_path / "django_shop.sqlite3").exists()


# --- under gunicorn


@pytest.mark.slow
def test_under_gunicorn_a_killed_worker_loses_and_doubles_nothing(
    tmp_path: Path, empty_postgres_url: str, unused_port: int
) -> None:
    under_gunicorn(tmp_path, empty_postgres_url, unused_port, orders=64, clients=8, workers=2, threads=4)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_under_gunicorn_10000_orders_of_16_clients(tmp_path: Path, empty_postgres_url: str, unused_port: int) -> None:
    under_gunicorn(tmp_path, empty_postgres_url, unused_port, orders=10_000, clients=16, workers=4, threads=4)


def under_gunicorn(folder: Path, url: str, port: int, *, orders: int, clients: int, workers: int, threads: int) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chosen = random.Random(seed)
    kill_at = chosen.randrange(orders // 4, orders // 2)
    wanted = [
        {
            "order_id": UUID(int=chosen.getrandbits(128), version=4),
            "customer": chosen.choice(["Ada", "Grace", "Barbara"]),
            "article": chosen.choice(["tea", "teapot", "kettle"]),
            "quantity": chosen.randint(1, 9),
        }
        for _ in range(orders)
    ]
    run(MANAGE, "migrate", "--verbosity", "0", folder=folder, url=url)
    engine = create_engine(url, pool_size=1, max_overflow=0)  # so that there is one that is not theirs
    gunicorn = [
        sys.executable, "-m", "gunicorn", "--chdir", str(SHOP.parent), "--bind", f"127.0.0.1:{port}",
        "--workers", str(workers), "--threads", str(threads), "django_shop.wsgi",
    ]  # fmt: skip
    log = folder / "log"
    with (
        started(gunicorn, folder, url, log) as server,
        started([sys.executable, MANAGE, "run_projections"], folder, url, log),
    ):
        wait_for(lambda: answers(port) and len(children(server.pid)) == workers, server, log)
        open_sessions: list[int] = []
        at: dict[int, Callable[[], object]] = {
            number: lambda: open_sessions.append(sessions(engine)) for number in range(0, orders, orders // 8)
        }
        killed: list[int] = []
        at[kill_at] = lambda: killed.append(kill_the_busiest(server.pid))
        begun = time.monotonic()
        retries = send(wanted, port, clients, at)
        seconds = time.monotonic() - begun
        wait_for(lambda: sold(engine) == orders, server, log)
        # each thread of each worker keeps one, and so does the projection; none is left of the killed worker
        assert sessions(engine) <= workers * threads + 1
    print(
        f"{orders} orders placed and paid in {seconds:.1f} s, {2 * orders / seconds:.0f} requests/s; worker "
        f"{killed[0]} killed after {kill_at} orders, {retries} retries; at most {max(open_sessions)} connections"
    )
    wait_until_gone(engine)
    check(engine, wanted)
    engine.dispose()
    assert retries > 0, "nobody has noticed that a worker was killed"
    assert "Traceback" not in log.read_text()


def send(wanted: list[dict[str, Any]], port: int, clients: int, at: dict[int, Callable[[], object]]) -> int:
    """Place and pay all orders; on the way, call what is to be called at an order's number. Return the retries."""
    lock, waiting, retries = threading.Lock(), iter(enumerate(wanted)), []

    def client() -> None:
        browser = Client(port)
        try:
            while True:
                with lock:
                    number, order = next(waiting, (-1, None))
                    at.get(number, bool)()
                if order is None:
                    return
                assert browser.post("/orders/", **order) == 302
                assert browser.post(f"/orders/{order['order_id']}/pay/") == 302
        finally:
            browser.close()
            retries.append(browser.retries)

    with ThreadPoolExecutor(clients) as pool:
        for done in [pool.submit(client) for _ in range(clients)]:
            done.result()
    return sum(retries)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def kill_the_busiest(pid: int) -> int:
    """Kill the child that has used most of the processor, so that requests go without an answer; return which."""

    def ticks(child: int) -> int:
        fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])  # in user and in system mode

    busiest = max(children(pid), key=ticks)
    os.kill(busiest, signal.SIGKILL)
    return busiest


def sessions(engine: Engine) -> int:
    """Return how many sessions others have on this database."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    with engine.connect() as connection:
        return int(connection.execute(text(query)).scalar_one())


def wait_until_gone(engine: Engine) -> None:
    deadline = time.monotonic() + 10
    while sessions(engine) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert sessions(engine) == 0


def sold(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.execute(text("SELECT coalesce(sum(orders), 0) FROM django_shop_sales")).scalar_one())


def check(engine: Engine, wanted: list[dict[str, Any]]) -> None:
    """Compare what was wanted, the streams, and the two read models."""
    folded: dict[str, Order] = {}
    happened: dict[str, list[str]] = {}
    for event in EventStore(engine, event_types=event_types).read_all(EventFilter(categories=["order"])):
        order_id = event.stream_id.removeprefix("order-")
        folded[order_id] = folded.get(order_id, Order()).after(event)
        happened.setdefault(order_id, []).append(f"{event.version} {event.event_type}")
    assert set(folded) == {str(order["order_id"]) for order in wanted}
    assert all(events == ["1 order-placed", "2 order-paid"] for events in happened.values())
    with engine.connect() as connection:
        rows = connection.execute(
            text("SELECT order_id, customer, article, total, status, version FROM django_shop_ordersummary")
        ).all()
        sales = connection.execute(text("SELECT article, orders, revenue FROM django_shop_sales")).all()
    fold = {
        (order_id, order.placed.customer, order.placed.article, order.total, order.status, len(happened[order_id]))
        for order_id, order in folded.items()
        if order.placed is not None
    }
    assert {tuple(row) for row in rows} == fold
    assert len(rows) == len(wanted)
    expected: dict[str, tuple[int, Decimal]] = {}
    for order in folded.values():
        assert order.placed is not None
        count, revenue = expected.get(order.placed.article, (0, Decimal(0)))
        expected[order.placed.article] = (count + 1, revenue + order.total)
    assert {row[0]: (row[1], row[2]) for row in sales} == expected
