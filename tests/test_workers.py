"""Workers in the background of a program, and several in one process."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine

from eventstore import ANY, NO_STREAM, EventStore, NewEvent, ProjectionBehind, ProjectionFailed, RecordedEvent
from eventstore.decisions import DecisionResult
from eventstore.errors import InvalidInput, SchemaMissing, WorkerStillRunning
from eventstore.projections import Projection, ProjectionAdmin, TenantWorkers, Worker, Workers
from eventstore.projections import workers as workers_module
from eventstore.repository import SaveResult
from tests.projection_worker import fold_of_log, folded, folding, metadata
from tests.waiting import until

PAYLOAD = "4242-4242"


@pytest.fixture
def store(any_engine: Engine) -> EventStore:
    metadata.create_all(any_engine)
    return EventStore(any_engine)


def append(store: EventStore, stream_id: str = "order-1", event_type: str = "counted") -> int:
    return store.append(stream_id, [NewEvent(event_type, {"number": 1})], expected_version=ANY).position


def failing(name: str = "failing", while_true: Callable[[], bool] = lambda: True) -> Projection:
    projection = Projection(name)

    @projection.on
    def fail(_event: RecordedEvent, _connection: Connection) -> None:
        if while_true():
            raise ValueError(PAYLOAD)

    return projection


# --- one in the background


@pytest.mark.slow
def test_a_worker_runs_while_a_block_runs(store: EventStore) -> None:
    projections = ProjectionAdmin(store)
    with Worker(store, folding()).running() as worker:
        assert isinstance(worker, Worker)
        for number in range(1, 4):
            projections.wait_for("totals", append(store))
            assert folded(store.engine) == {"order-1": (number, number)}
        assert projections.status()[0].is_running
    assert not projections.status()[0].is_running
    append(store)
    assert folded(store.engine) == {"order-1": (3, 3)}


def test_its_projection_has_begun_when_the_block_begins(store: EventStore) -> None:
    with Worker(store, folding()).running():
        assert [status.name for status in ProjectionAdmin(store).status()] == ["totals"]


def test_an_error_of_the_block_stops_it(store: EventStore) -> None:
    worker = Worker(store, folding())
    with pytest.raises(KeyError, match="mine"), worker.running():
        raise KeyError("mine")
    assert not [thread for thread in threading.enumerate() if "totals" in thread.name]


def test_its_failure_is_raised_at_the_end_of_the_block(store: EventStore, caplog: pytest.LogCaptureFixture) -> None:
    append(store)
    with pytest.raises(ProjectionFailed), Worker(store, failing()).running():
        until(lambda: "has ended after ProjectionFailed" in caplog.text)
    assert PAYLOAD not in caplog.text


def test_its_failure_is_noted_on_an_error_of_the_block(store: EventStore) -> None:
    position = append(store)
    with pytest.raises(ProjectionBehind) as behind, Worker(store, failing()).running():
        until(lambda: ProjectionAdmin(store).status()[0].failure)
        ProjectionAdmin(store).wait_for("failing", position, timeout_seconds=0.05)
    assert behind.value.__notes__ == ["the worker of 'failing' has ended after ProjectionFailed"]


def test_a_block_does_not_begin_without_tables(tmp_path: Path) -> None:
    with EventStore.from_url(f"sqlite:///{tmp_path}/empty.db") as store:
        with pytest.raises(SchemaMissing), Worker(store, folding()).running():
            pytest.fail("the block has begun")
        with pytest.raises(SchemaMissing), Workers(Worker(store, folding())).running():
            pytest.fail("the block has begun")


def test_a_handler_that_does_not_return_does_not_hang_the_program(store: EventStore) -> None:
    append(store)
    held, release = threading.Event(), threading.Event()
    projection = Projection("slow")

    @projection.on
    def hold(*_: object) -> None:
        held.set()
        assert release.wait(30)

    worker = Worker(store, projection)
    not_stopped = pytest.raises(WorkerStillRunning, match=r"worker of 'slow' has not stopped in 0\.05 seconds")
    with not_stopped, worker.running(stop_timeout_seconds=0.05):
        assert held.wait(30)
    (thread,) = [thread for thread in threading.enumerate() if "slow" in thread.name]
    assert thread.daemon
    release.set()
    thread.join(30)
    assert not thread.is_alive()


HANGING = """
import sys
from eventstore import EventStore
from eventstore.projections import Projection, Worker, Workers
store = EventStore.from_url(sys.argv[1])
worker = Worker(store, Projection("totals"))
running = (worker if sys.argv[2] == "worker" else Workers(worker)).running()
running.__enter__()
raise SystemExit(3)  # without leaving the block
"""


@pytest.mark.slow
@pytest.mark.parametrize("what", ["worker", "workers"])
def test_a_program_ends_although_its_worker_runs(sqlite_path: Path, what: str) -> None:
    url = f"sqlite:///{sqlite_path}"
    done = subprocess.run([sys.executable, "-c", HANGING, url, what], timeout=60, check=False)
    assert done.returncode == 3


def test_a_worker_that_was_stopped_says_so_if_it_is_run_again(store: EventStore) -> None:
    """It would do nothing, and its caller would wait for events that are never handled."""
    of_block, of_run, of_context = (Worker(store, folding()) for _ in range(3))
    with of_block.running():
        append(store)
    of_run.run_forever(on_batch=lambda _: of_run.stop())
    with of_context:
        of_context.run_once()
    for worker in (of_block, of_run, of_context):
        runs: list[Callable[[], object]] = [
            worker.run_forever,
            worker.run_until_caught_up,
            worker.running().__enter__,
            Workers(worker).run_forever,
            Workers(worker).run_until_caught_up,
            Workers(worker).running().__enter__,
        ]
        for run in runs:
            with pytest.raises(InvalidInput, match="this worker of projection 'totals' was stopped, which is for good"):
                run()


def test_a_worker_is_not_run_by_two_threads(store: EventStore) -> None:
    worker = Worker(store, folding())
    projections = ProjectionAdmin(store)
    with worker.running():
        projections.wait_for("totals", append(store))
        runs: list[Callable[[], object]] = [
            worker.run_until_caught_up,
            worker.running().__enter__,
            Workers(worker).run_forever,
        ]
        for run in runs:
            with pytest.raises(InvalidInput, match="this worker of projection 'totals' runs already"):
                run()
        projections.wait_for("totals", append(store))


def test_a_worker_that_is_stopped_before_its_first_run_ends_at_once(store: EventStore) -> None:
    """A signal may come just before."""
    append(store)
    worker = Worker(store, folding())
    worker.stop()
    worker.run_forever()
    assert folded(store.engine) == {}


# --- what to wait for


def test_wait_for_takes_whatever_has_a_position(store: EventStore) -> None:
    result = store.append("order-1", [NewEvent("counted", {"number": 1})], expected_version=NO_STREAM)
    (event,) = store.read_stream("order-1")
    saved = SaveResult("order-1", 1, result.position, ())
    decided = DecisionResult("order-1", 1, result.position, ())
    projections = ProjectionAdmin(store)
    for done in (result, event, saved, decided, event.token, event.position):
        with pytest.raises(ProjectionBehind) as behind:
            projections.wait_for("totals", done, timeout_seconds=0)
        assert behind.value.wanted == result.position
    Worker(store, folding()).run_until_caught_up()
    for done in (result, event, saved, decided, event.token, event.position):
        assert projections.wait_for("totals", done, timeout_seconds=0) == result.position


def test_there_is_nothing_to_wait_for_after_a_command_without_events(store: EventStore) -> None:
    assert ProjectionAdmin(store).wait_for("totals", SaveResult("order-1", 0, 0, ()), timeout_seconds=0) == 0


@pytest.mark.parametrize("wrong", ["7", None, True, 1.0, [1]])
def test_wait_for_refuses_what_has_no_position(store: EventStore, wrong: Any) -> None:
    with pytest.raises(InvalidInput, match="result_or_position must be the result of an append"):
        ProjectionAdmin(store).wait_for("totals", wrong)


# --- several


@contextmanager
def all_running(*workers: Worker) -> Iterator[Workers]:
    with Workers(*workers).running() as together:
        yield together


def test_ctrl_c_stops_workers(store: EventStore) -> None:
    """Their caller, for example in a notebook, would have no other way to stop them."""
    interrupting, handled = Projection("interrupting"), list[int]()

    @interrupting.on
    def interrupt(event: RecordedEvent, _connection: Connection) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.05)
        handled.append(event.position)

    position = append(store)
    with pytest.raises(KeyboardInterrupt):
        Workers(Worker(store, interrupting), Worker(store, folding())).run_forever()
    assert not [
        thread for thread in threading.enumerate() if thread.name in {"eventstore interrupting", "eventstore totals"}
    ]
    assert handled == [position], "the batch was finished"


@pytest.fixture
def ctrl_c_at_the_first_start(monkeypatch: pytest.MonkeyPatch) -> list[threading.Thread]:
    """Press Ctrl-C when the first thread is to start; return the threads."""
    threads: list[threading.Thread] = []
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        threads.append(thread)
        if len(threads) == 1:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0)  # where the handler runs
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    return threads


def have_ended(threads: list[threading.Thread]) -> None:
    assert threads
    assert all(thread.ident is not None for thread in threads), "Ctrl-C was not handled in the middle of a start"
    assert not any(thread.is_alive() for thread in threads)


@pytest.mark.parametrize("way", ["workers", "in the background"])
def test_ctrl_c_while_they_start_stops_them(
    store: EventStore, way: str, ctrl_c_at_the_first_start: list[threading.Thread]
) -> None:
    one, other = Worker(store, folding()), Worker(store, Projection("other"))
    with pytest.raises(KeyboardInterrupt):
        if way == "workers":
            Workers(one, other).run_forever()
        else:
            with one.running():
                pytest.fail("the block was begun")
    have_ended(ctrl_c_at_the_first_start)


def test_ctrl_c_while_workers_of_tenants_start_stops_them(
    postgres_engine: Engine, ctrl_c_at_the_first_start: list[threading.Thread]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        TenantWorkers(postgres_engine, list, lambda _: []).run_forever()
    have_ended(ctrl_c_at_the_first_start)


def test_threads_that_the_system_refuses_are_not_waited_for(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[threading.Thread] = []
    start = threading.Thread.start

    def once(thread: threading.Thread) -> None:
        if started:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", once)
    with pytest.raises(RuntimeError, match="new thread"):
        Workers(Worker(store, folding()), Worker(store, Projection("other"))).run_forever()
    assert not started[0].is_alive()


def test_workers_run_several_projections(store: EventStore) -> None:
    seen: list[int] = []
    other = Projection("other")
    other.on(lambda event, _: seen.append(event.position))
    with all_running(Worker(store, folding()), Worker(store, other)) as together:
        position = append(store)
        for name in ("totals", "other"):
            ProjectionAdmin(store).wait_for(name, position)
        assert together.failures == {}
    assert folded(store.engine) == fold_of_log(store)
    assert seen == [position]
    assert not any(status.is_running for status in ProjectionAdmin(store).status())


@pytest.mark.slow
def test_a_projection_that_fails_stops_no_other_and_is_retried(
    store: EventStore, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers_module, "_SHORTEST_BACKOFF_SECONDS", 0.05)
    broken = [True]
    with all_running(Worker(store, folding()), Worker(store, failing(while_true=lambda: bool(broken)))) as together:
        position = append(store)
        ProjectionAdmin(store).wait_for("totals", position)
        until(lambda: "failing" in together.failures)
        assert isinstance(together.failures["failing"], ProjectionFailed)
        assert "projection 'failing' has failed (ProjectionFailed)" in caplog.text
        assert PAYLOAD not in caplog.text
        broken.clear()
        ProjectionAdmin(store).wait_for("failing", position, timeout_seconds=30)
        until(lambda: together.failures == {})
        ProjectionAdmin(store).wait_for("totals", append(store))


def test_workers_catch_up_and_raise_what_has_failed_at_the_end(store: EventStore) -> None:
    append(store)
    together = Workers(Worker(store, failing()), Worker(store, folding()))
    with pytest.raises(ProjectionFailed):
        together.run_until_caught_up()
    assert list(together.failures) == ["failing"]
    assert folded(store.engine) == {"order-1": (1, 1)}
    Workers(Worker(store, folding())).run_until_caught_up()


def test_all_stop_when_one_fails_if_that_is_asked_for(store: EventStore) -> None:
    append(store)
    entered: list[str] = []

    @contextmanager
    def noting() -> Iterator[None]:
        entered.append(threading.current_thread().name)
        yield

    workers = Worker(store, failing()), Worker(store, folding())
    together = Workers(*workers, stop_on_failure=True, thread_context=noting)
    with pytest.raises(ProjectionFailed):
        together.run_forever()
    assert sorted(entered) == ["eventstore failing", "eventstore totals"]


def test_a_signal_stops_workers(store: EventStore) -> None:
    together = Workers(Worker(store, folding()))
    position = append(store)

    def send() -> None:
        ProjectionAdmin(store).wait_for("totals", position, timeout_seconds=30)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=send)
    thread.start()
    together.run_forever(handle_signals=True)
    thread.join()
    assert not ProjectionAdmin(store).status()[0].is_running


def test_workers_that_wait_to_retry_stop_at_once(store: EventStore) -> None:
    append(store)
    with all_running(Worker(store, failing())) as together:
        until(lambda: "failing" in together.failures)
        begun = time.monotonic()
    assert time.monotonic() - begun < 0.9


def test_wrong_workers_are_refused(store: EventStore, caplog: pytest.LogCaptureFixture) -> None:
    worker = Worker(store, folding())
    wrong: Any
    for wrong in ((), ([worker],), (worker, None)):
        with pytest.raises(InvalidInput, match="Workers needs at least one Worker"):
            Workers(*wrong)
    with pytest.raises(InvalidInput, match="the same Worker is given twice"):
        Workers(worker, worker)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
