"""Workers in processes and threads: competing, killed, restarted, and before events that are not settled."""

import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, Engine, text

from eventstore import ANY, EventStore, NewEvent, ProjectionBehind, RecordedEvent
from eventstore.backends import engine_for
from eventstore.common.waker import Waker
from eventstore.errors import ProjectionRunning
from eventstore.projections import Outcome, Projection, ProjectionAdmin, Worker, batches
from eventstore.statements.projections import lock_checkpoint
from eventstore.tables import Tables
from tests.fix_engines import sqlite_when_there_is_time
from tests.postgresql.launcher import PostgreSQLServer, find_binaries
from tests.processes import Python
from tests.projection_worker import fold, fold_of_log, folded, folding, metadata
from tests.waiting import stands_in, start_reading, start_waiting, until, wait_until_it_says

pytestmark = pytest.mark.slow


@pytest.fixture
def store(any_engine: Engine) -> EventStore:
    metadata.create_all(any_engine)
    return EventStore(any_engine)


@pytest.fixture
def on_postgresql(postgres_engine: Engine) -> EventStore:
    metadata.create_all(postgres_engine)
    return EventStore(postgres_engine)


@pytest.fixture
def start_worker() -> Iterator[Callable[..., "Process"]]:
    started: list[Process] = []

    def start(engine: Engine, *arguments: str) -> Process:
        started.append(Process(engine, *arguments))
        return started[-1]

    yield start
    for process in started:
        process.send(signal.SIGKILL)
        process.end()


def append(store: EventStore, stream_id: str, number: int = 1) -> int:
    return store.append(stream_id, [NewEvent("counted", {"number": number})], expected_version=ANY).position


class Process:
    """A worker in a process of its own."""

    def __init__(self, engine: Engine, *arguments: str) -> None:
        url = engine.url.render_as_string(hide_password=False)
        self.process = Python("-m", "tests.projection_worker", url, *arguments)
        assert self.process.stdout.readline() == "ready\n"

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self) -> tuple[int, str]:
        output, _ = self.process.communicate(timeout=30)
        return self.process.wait(), output


@contextmanager
def running(worker: Worker) -> Iterator[None]:
    """Run a worker in a thread."""
    with ThreadPoolExecutor(1) as threads:
        future = threads.submit(worker.run_forever)
        try:
            yield
        finally:
            worker.stop()
            future.result(timeout=30)


# --- running for ever


def test_a_worker_handles_events_as_they_come(store: EventStore) -> None:
    append(store, "order-1")
    with running(Worker(store, folding())):
        for number in range(2, 6):
            ProjectionAdmin(store).wait_for("totals", append(store, "order-1"))
            assert folded(store.engine) == {"order-1": (number, number)}
        assert ProjectionAdmin(store).status()[0].is_running
    assert not ProjectionAdmin(store).status()[0].is_running


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_worker_after_its_batch(
    store: EventStore, start_worker: Callable[..., Process], number: int
) -> None:
    worker = start_worker(store.engine)
    ProjectionAdmin(store).wait_for("totals", append(store, "order-1"), timeout_seconds=30)
    worker.send(number)
    assert worker.end() == (0, "stopped\n")
    assert not ProjectionAdmin(store).status()[0].is_running
    ProjectionAdmin(store).reset("totals")


def send_when_it_waits(thread_id: int) -> None:
    until(lambda: stands_in(thread_id, Waker.wait))
    os.kill(os.getpid(), signal.SIGTERM)


def test_signals_are_given_back(store: EventStore) -> None:
    before = signal.getsignal(signal.SIGTERM)
    worker = Worker(store, folding())
    with ThreadPoolExecutor(1) as threads:
        sent = threads.submit(send_when_it_waits, threading.get_ident())
        worker.run_forever(handle_signals=True)
        sent.result()
    assert signal.getsignal(signal.SIGTERM) is before


def test_two_workers_compete_and_each_event_is_handled_once(store: EventStore) -> None:
    """Both at once, in threads: the handler would notice an event that comes twice."""
    with running(Worker(store, folding(), batch_size=3)), running(Worker(store, folding(), batch_size=3)):
        for number in range(100):
            last = append(store, f"order-{number % 7}", number)
        ProjectionAdmin(store).wait_for("totals", last, timeout_seconds=60)
    assert folded(store.engine) == fold_of_log(store)


def test_a_worker_that_finds_another_at_work_leaves_it_alone(on_postgresql: EventStore) -> None:
    append(on_postgresql, "order-1")
    held, release = threading.Event(), threading.Event()
    slow = Projection("totals")

    @slow.on("counted")
    def hold(*_: object) -> None:
        held.set()
        assert release.wait(30)

    with running(Worker(on_postgresql, slow)):
        assert held.wait(30)
        assert Worker(on_postgresql, folding()).run_once().outcome is Outcome.BUSY
        with pytest.raises(ProjectionRunning):
            ProjectionAdmin(on_postgresql).reset("totals")
        with pytest.raises(ProjectionBehind):
            ProjectionAdmin(on_postgresql).wait_for("totals", 1, timeout_seconds=0.05)
        release.set()
    assert ProjectionAdmin(on_postgresql).position("totals") == 1


def test_a_batch_by_a_worker_that_nobody_has_seen_yet_is_respected(on_postgresql: EventStore) -> None:
    append(on_postgresql, "order-1")
    held, release = threading.Event(), threading.Event()
    slow = Projection("totals")

    @slow.on("counted")
    def hold(*_: object) -> None:
        held.set()
        assert release.wait(30)

    with ThreadPoolExecutor(1) as threads:
        batch = threads.submit(Worker(on_postgresql, slow).run_once)
        assert held.wait(30)
        for call in (ProjectionAdmin(on_postgresql).reset, ProjectionAdmin(on_postgresql).remove):
            with pytest.raises(ProjectionRunning) as running_:
                call("totals")
            assert running_.value.worker is None
        release.set()
        assert batch.result(timeout=30).handled == 1


def test_a_checkpoint_that_has_moved_on_since_the_statement_began_is_no_loss(
    on_postgresql: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL locks the newest checkpoint, but the same statement reads the log as when it began."""
    first, second = (Worker(on_postgresql, folding()) for _ in range(2))
    append(on_postgresql, "order-1")
    assert first.run_once().position == 1
    append(on_postgresql, "order-1")

    def locking_late(tables: Tables) -> Any:
        statement: Any = lock_checkpoint(tables)
        return statement.where(text("CAST(pg_advisory_xact_lock(7) AS TEXT) IS NOT NULL"))

    with on_postgresql.engine.connect() as holder, ThreadPoolExecutor(1) as threads:
        holder.execute(text("SELECT pg_advisory_xact_lock(7)"))
        monkeypatch.setattr(batches, "lock_checkpoint", locking_late)
        late = start_waiting(threads, holder, second.run_once)
        monkeypatch.undo()
        assert first.run_once().position == 2
        append(on_postgresql, "order-1")
        assert first.run_once().position == 3
        holder.commit()
        assert late.result(timeout=30).outcome is Outcome.CAUGHT_UP
    append(on_postgresql, "order-1")
    assert second.run_once().position == 4


def test_another_worker_takes_over_at_once_when_one_dies(
    store: EventStore, start_worker: Callable[..., Process]
) -> None:
    """It is killed in the midst of a batch, which therefore never happened."""
    for number in range(30):
        append(store, "order-1", number)
    first = start_worker(store.engine, "60")
    wait_until_it_says(first.process.stdout, "handled")
    first.send(signal.SIGKILL)
    first.end()
    assert folded(store.engine) == {}
    with running(Worker(store, folding())):
        ProjectionAdmin(store).wait_for("totals", append(store, "order-1"), timeout_seconds=30)
    assert folded(store.engine) == fold_of_log(store)


@sqlite_when_there_is_time
def test_workers_killed_at_random_points_apply_each_event_once(
    store: EventStore, start_worker: Callable[..., Process]
) -> None:
    """Two workers compete while events arrive; one of them is killed with SIGKILL, again and again."""
    seed = random.randrange(2**32)
    print(f"\nseed {seed}")
    chooser = random.Random(seed)
    finished = threading.Event()
    kills = int(os.environ.get("EVENTSTORE_TEST_KILLS", "4"))

    def write() -> int:
        writer, count = random.Random(seed + 1), 0
        while not finished.is_set():
            append(store, f"order-{writer.randrange(10)}", writer.randrange(100))
            count += 1
            time.sleep(0.01)
        return count

    with ThreadPoolExecutor(1) as threads:
        writing = threads.submit(write)
        workers = [start_worker(store.engine, "0.004") for _ in range(2)]
        try:
            for _ in range(kills):
                time.sleep(chooser.uniform(0, 0.4))
                victim = chooser.randrange(2)
                workers[victim].send(signal.SIGKILL)
                workers[victim].end()
                workers[victim] = start_worker(store.engine, "0.004")
        finally:
            finished.set()
        count = writing.result(timeout=30)
        for worker in workers:
            worker.send(signal.SIGTERM)
        # one that was started a moment ago ends by the signal itself: it has not come to handling it
        assert {worker.end()[0] for worker in workers} <= {0, -signal.SIGTERM}
        Worker(store, folding()).run_until_caught_up()
    print(f"{kills} kills, {count} events")
    assert count > 50
    assert folded(store.engine) == fold_of_log(store)
    assert sum(last for last, _ in folded(store.engine).values()) == count


# --- events that are not settled


@pytest.mark.parametrize("ending", ["commit", "rollback"])
def test_nothing_behind_a_hole_is_handled_until_it_is_closed(on_postgresql: EventStore, ending: str) -> None:
    append(on_postgresql, "order-1")
    with running(Worker(on_postgresql, folding())):
        with on_postgresql.engine.connect() as connection:
            on_postgresql.join(connection).append("held-1", [NewEvent("counted", {"number": 7})], expected_version=0)
            behind = append(on_postgresql, "order-1")
            with pytest.raises(ProjectionBehind) as projection:
                ProjectionAdmin(on_postgresql).wait_for("totals", behind, timeout_seconds=0.5)
            assert projection.value.position == behind - 2
            assert folded(on_postgresql.engine) == {"order-1": (1, 1)}
            getattr(connection, ending)()
        ProjectionAdmin(on_postgresql).wait_for("totals", behind)
    held = {"held-1": (1, 7)} if ending == "commit" else {}
    assert folded(on_postgresql.engine) == {"order-1": (2, 2), **held}


def test_a_run_until_caught_up_waits_for_what_was_stored_before_it(on_postgresql: EventStore) -> None:
    with ThreadPoolExecutor(1) as threads, on_postgresql.engine.connect() as connection:
        on_postgresql.join(connection).append("held-1", [NewEvent("counted", {"number": 7})], expected_version=0)
        append(on_postgresql, "order-1")
        worker = Worker(on_postgresql, folding())
        caught_up = start_reading(threads, on_postgresql.engine, worker.run_until_caught_up)
        connection.commit()
        assert caught_up.result(timeout=30) == 2


def test_strangers_do_not_hold_a_projection_back(on_postgresql: EventStore) -> None:
    with on_postgresql.engine.connect() as stranger:
        stranger.execute(text("INSERT INTO totals VALUES ('mine', 1, 1)"))
        append(on_postgresql, "order-1")
        assert Worker(on_postgresql, folding()).run_until_caught_up() == 1
        stranger.rollback()


# --- lost connections


def test_a_worker_survives_the_termination_of_its_connections(
    on_postgresql: EventStore, postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    separate = engine_for(postgres_url, connect_args={"application_name": "the worker"})
    with running(Worker(EventStore(separate), folding())):
        for number in range(5):
            ProjectionAdmin(on_postgresql).wait_for("totals", append(on_postgresql, "order-1", number))
            with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as connection:
                of_worker = "FROM pg_stat_activity WHERE application_name = 'the worker'"
                connection.execute(f"SELECT pg_terminate_backend(pid, 5000) {of_worker}")
        ProjectionAdmin(on_postgresql).wait_for("totals", append(on_postgresql, "order-1"))
    separate.dispose()
    assert folded(on_postgresql.engine) == fold_of_log(on_postgresql)
    assert "retries after AdminShutdown" in caplog.text


def test_a_connection_lost_in_a_handler_is_not_the_events_failure(on_postgresql: EventStore) -> None:
    first, last = append(on_postgresql, "order-1"), append(on_postgresql, "order-1")
    projection = Projection("totals")
    lost: list[int] = []

    @projection.on("counted")
    def handle(event: RecordedEvent, connection: Connection) -> None:
        fold(event, connection)
        if event.position == last and not lost:
            lost.append(event.position)
            connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    with running(Worker(on_postgresql, projection, batch_seconds=0)):
        ProjectionAdmin(on_postgresql).wait_for("totals", last)
    assert first < lost[0]
    assert folded(on_postgresql.engine) == {"order-1": (2, 2)}


def test_projections_go_on_after_a_restore_into_a_new_cluster(on_postgresql: EventStore) -> None:
    """pg_dump, a new cluster, pg_restore: checkpoints hold, and new events are handled."""
    for number in range(20):
        append(on_postgresql, f"order-{number % 3}", number)
    with on_postgresql.engine.connect() as connection:  # a hole before the last position
        on_postgresql.join(connection).append("order-1", [NewEvent("counted", {"number": 0})], expected_version=ANY)
        connection.rollback()
    Worker(on_postgresql, folding(), batch_size=12).run_once()
    before = ProjectionAdmin(on_postgresql).position("totals")
    last = append(on_postgresql, "order-1")
    binaries = find_binaries()
    source = on_postgresql.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    dumped = subprocess.run(
        [str(binaries / "pg_dump"), "--format=custom", "--dbname", source], check=True, capture_output=True
    ).stdout
    with PostgreSQLServer(binaries) as server:
        target = server.url.replace("+psycopg", "")
        subprocess.run(
            [str(binaries / "pg_restore"), "--no-owner", "--dbname", target],
            input=dumped, check=True, capture_output=True,
        )  # fmt: skip
        engine = engine_for(server.url)
        restored = EventStore(engine)
        assert ProjectionAdmin(restored).position("totals") == before
        assert append(restored, "order-1") > last
        Worker(restored, folding()).run_until_caught_up()
        assert folded(engine) == fold_of_log(restored)
        engine.dispose()
