"""Partitions of a projection: workers share them, and their number changes while workers run."""

import math
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from io import BytesIO
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, select, text

from eventstore import (
    ANY,
    EventFilter,
    EventStore,
    NewEvent,
    ProjectionBehind,
    ProjectionFailed,
    RecordedEvent,
    migrations,
)
from eventstore.common.validation import MAX_VERSION
from eventstore.core.global_order import GlobalOrder
from eventstore.decisions import DecisionResult
from eventstore.errors import (
    InvalidInput,
    PositionBeyondLog,
    ProjectionRunning,
    ProjectionsHavePartitions,
    UnknownProjection,
)
from eventstore.partitions import Partition, partition_of
from eventstore.projections import CatchUpProgress, OnFailure, Outcome, Projection, ProjectionAdmin, Worker, Workers
from eventstore.projections import worker as worker_module
from eventstore.projections.changing_partitions import plan
from eventstore.statements.projections import find_partitions, stop_partition
from eventstore.tokens import START, After
from eventstore.transfer import Format, export_events
from tests.fix_engines import sqlite_when_there_is_time
from tests.projection_worker import fold, fold_of_log, folded, folding, metadata
from tests.test_projection_workers import Process
from tests.waiting import start_waiting, until

STREAMS = [f"order-{number}" for number in range(12)]


@pytest.fixture
def store(any_engine: Engine) -> EventStore:
    metadata.create_all(any_engine)
    return EventStore(any_engine)


@pytest.fixture
def on_postgresql(postgres_engine: Engine) -> EventStore:
    metadata.create_all(postgres_engine)
    return EventStore(postgres_engine)


def append(store: EventStore, stream_id: str = "order-1", number: int = 1) -> int:
    return store.append(stream_id, [NewEvent("counted", {"number": number})], expected_version=ANY).position


def fill(store: EventStore, count: int = 60) -> None:
    for number in range(count):
        append(store, STREAMS[number % len(STREAMS)], number)


def positions_of(store: EventStore, name: str = "totals") -> list[int]:
    return [partition.position for partition in ProjectionAdmin(store).status(name)[0].partitions]


def stream_in(number: int, partitions: int, *, other_than: str = "") -> str:
    return next(each for each in STREAMS if partition_of(each, partitions) == number and each != other_than)


# --- which streams are in which


def test_the_hash_of_a_stream_never_changes() -> None:
    """Checkpoints depend on it: with another one, events would be missed, or handled twice."""
    known = {"order-1": (1, 3), "order-42": (2, 6), "": (1, 5), "größe-1": (1, 1), "a" * 255: (2, 4)}
    assert {each: (partition_of(each, 2), partition_of(each, 8)) for each in known} == known


@pytest.mark.slow
def test_streams_are_spread_evenly() -> None:
    for partitions in (2, 3, 7, 64, 256):
        counts = [0] * partitions
        for number in range(200 * partitions):
            counts[partition_of(f"order-{number}", partitions) - 1] += 1
        assert 120 < min(counts) <= max(counts) < 280


FILTERS = {
    "all": (),
    "category": (EventFilter(categories=["order"]),),
    "type": (EventFilter(event_types=["a"]),),
    "streams": (EventFilter(stream_ids=["order-1", "order-2", "größe-3"]),),
    "two fields": (EventFilter(event_types=["a"], categories=["order"]),),
    "tags": (EventFilter(tags=["blue"]),),
    "tags and type": (EventFilter(tags=["blue", "big"], event_types=["a"]),),
    "several": (EventFilter(event_types=["b"]), EventFilter(tags=["big"]), EventFilter(stream_ids=["order-5"])),
}


@pytest.mark.slow
def test_sql_and_python_agree_with_every_filter(store: EventStore) -> None:
    seed = random.randrange(2**32)
    print(f"\nseed {seed}")
    chooser = random.Random(seed)
    names = [f"{category}-{chooser.choice(['', 'ß', '中', '🦆', chr(39), '%', ':x'])}{number}"
             for category in ("order", "größe") for number in range(10)]  # fmt: skip
    for number in range(150):
        tags = [tag for tag in ("blue", "big") if chooser.random() < 0.5]
        event = NewEvent(chooser.choice("ab"), {"number": number}, tags=tags)
        store.append(chooser.choice(names), [event], expected_version=ANY)
    order = GlobalOrder(store.core)
    events = list(store.read_all())
    for filters in FILTERS.values():
        matching = [event for event in events if not filters or any(each.matches(event) for each in filters)]
        for partitions in (2, 5):
            for number in range(1, partitions + 1):
                partition, after, found = Partition(number, partitions), START, list[int]()
                with store.core.execution.global_reading() as run:
                    horizon = order.horizon(run)
                    while after.position < horizon.settled:
                        page = order.page(run, filters, after=after, horizon=horizon, page_size=7, partition=partition)
                        assert page is not None
                        found += [row[0] for row in page.rows]
                        after = page.after
                expected = [event.position for event in matching if partition.has(event.stream_id)]
                assert found == expected, (filters, partition)


@pytest.mark.slow
def test_a_partition_without_events_is_passed_in_windows(on_postgresql: EventStore) -> None:
    """No statement of a batch reads more than 20 pages of events, however few are in the partition."""
    store = EventStore(on_postgresql.engine, page_size=10)
    one = stream_in(1, 2)
    store.append(one, [NewEvent("counted", {"number": number}) for number in range(900)], expected_version=0)
    order = GlobalOrder(store.core)
    with store.core.execution.global_reading() as run:
        page = order.page(run, (), after=START, horizon=order.horizon(run), partition=Partition(2, 2))
    assert page is not None
    assert (page.rows, page.position) == ([], 200)
    Worker(store, folding(partitions=2)).run_until_caught_up()
    assert positions_of(store) == [900, 900]


# --- handling


@pytest.mark.slow
def test_each_event_is_handled_once_and_in_the_order_of_its_stream(store: EventStore) -> None:
    fill(store)
    assert Worker(store, folding(partitions=4), batch_size=7).run_until_caught_up() == 60
    assert folded(store.engine) == fold_of_log(store)
    assert positions_of(store) == [60, 60, 60, 60]
    fill(store, 7)
    worker = Worker(store, folding(partitions=4))
    assert worker.run_until_caught_up() == 7
    assert worker.run_once().outcome is Outcome.CAUGHT_UP
    assert folded(store.engine) == fold_of_log(store)


@pytest.mark.slow
def test_the_number_that_is_stored_counts(store: EventStore) -> None:
    fill(store)
    Worker(store, folding(partitions=3)).run_until_caught_up()
    fill(store)
    Worker(store, folding(partitions=8)).run_until_caught_up()
    Worker(store, folding()).run_until_caught_up()
    assert len(positions_of(store)) == 3
    assert folded(store.engine) == fold_of_log(store)


@pytest.mark.slow
def test_a_slow_stream_delays_no_other_partition(on_postgresql: EventStore) -> None:
    slow_stream, store = stream_in(1, 2), on_postgresql
    held, release = threading.Event(), threading.Event()
    projection = Projection("totals", partitions=2)

    @projection.on("counted")
    def handle(event: RecordedEvent, connection: Connection) -> None:
        fold(event, connection)
        if event.stream_id == slow_stream and event.version == 1:
            held.set()
            assert release.wait(30)

    projections = ProjectionAdmin(store)
    with Workers(*(Worker(store, projection) for _ in range(2))).running():
        slow = store.append(slow_stream, [NewEvent("counted", {"number": 1})], expected_version=0)
        assert held.wait(30)
        for number in range(1, 6):
            other = store.append(stream_in(2, 2), [NewEvent("counted", {"number": 1})], expected_version=number - 1)
            projections.wait_for("totals", other)
            assert folded(store.engine) == {stream_in(2, 2): (number, number)}
        for done in (slow, other.position, DecisionResult(other.stream_id, 1, other.position, ())):
            with pytest.raises(ProjectionBehind):
                projections.wait_for("totals", done, timeout_seconds=0)
        release.set()
        projections.wait_for("totals", slow)
        projections.wait_for("totals", other.position)
    assert folded(store.engine) == fold_of_log(store)


@pytest.mark.slow
def test_workers_share_partitions_and_take_over_from_each_other(on_postgresql: EventStore) -> None:
    """Three are in a batch at the same moment; then one alone goes on with all partitions."""
    store, together, met = on_postgresql, threading.Barrier(3), set[int]()
    projection = Projection("totals", partitions=4)

    @projection.on("counted")
    def handle(event: RecordedEvent, connection: Connection) -> None:
        fold(event, connection)
        if threading.get_ident() not in met:
            met.add(threading.get_ident())
            together.wait(30)

    fill(store)
    workers = [Worker(store, projection, name=f"w{number}") for number in range(3)]
    with ExitStack() as stack:
        for worker in workers:
            stack.enter_context(worker.running())
        until(lambda: len(met) == 3)
        workers[0].stop()
        workers[1].stop()
        for name in STREAMS:
            ProjectionAdmin(store).wait_for("totals", append(store, name))
        until(lambda: {each.worker for each in ProjectionAdmin(store).status()[0].partitions} == {"w2"})
    assert folded(store.engine) == fold_of_log(store)
    assert not ProjectionAdmin(store).status()[0].is_running


# --- events that fail


def failing_at(stream_id: str, broken: list[bool], **options: Any) -> Projection:
    projection = Projection("totals", partitions=4, **options)

    @projection.on("counted")
    def handle(event: RecordedEvent, connection: Connection) -> None:
        fold(event, connection)
        if event.stream_id == stream_id and broken:
            raise ValueError

    return projection


@pytest.mark.slow
def test_dead_letters_block_their_stream_only(store: EventStore) -> None:
    fill(store)
    broken = [True]
    projection = failing_at("order-1", broken, on_failure=OnFailure.DEAD_LETTER)
    Worker(store, projection).run_until_caught_up()
    expected = fold_of_log(store)
    of_failed = expected.pop("order-1")
    assert folded(store.engine) == expected
    projections = ProjectionAdmin(store)
    assert projections.status()[0].dead_letters == 5
    projections.set_partitions("totals", 3)
    fill(store, 12)
    Worker(store, projection).run_until_caught_up()
    assert [letter.version for letter in projections.dead_letters.list("totals")] == [1, 2, 3, 4, 5, 6]
    broken.clear()
    assert projections.dead_letters.retry(projection, "order-1") == 6
    assert folded(store.engine) == fold_of_log(store)
    assert of_failed[0] == 5


@pytest.mark.slow
def test_a_retry_of_a_dead_letter_keeps_workers_from_its_partition_only(on_postgresql: EventStore) -> None:
    store = on_postgresql
    fill(store)
    projection = failing_at("order-1", [True], on_failure=OnFailure.DEAD_LETTER)
    Worker(store, projection).run_until_caught_up()
    held, release = threading.Event(), threading.Event()
    retrying = Projection("totals")

    @retrying.on("counted")
    def hold(*_: object) -> None:
        held.set()
        assert release.wait(30)

    letters = ProjectionAdmin(store).dead_letters
    with ThreadPoolExecutor(1) as threads:
        retry = threads.submit(letters.retry, retrying, "order-1")
        assert held.wait(30)
        with pytest.raises(ProjectionRunning):
            letters.retry(retrying, "order-1")
        fill(store)
        worker = Worker(store, projection)
        until(lambda: worker.run_once().outcome is not Outcome.ADVANCED)
        behind = [number for number, position in enumerate(positions_of(store), 1) if position < 120]
        assert behind == [partition_of("order-1", 4)]
        release.set()
        assert retry.result(timeout=30) == 5


@pytest.mark.slow
def test_a_partition_that_stops_stops_no_other(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "_SHORTEST_PAUSE_OF_FAILED_SECONDS", 0.05)
    fill(store)
    broken = [True]
    with pytest.raises(ProjectionFailed):
        Worker(store, failing_at("order-1", broken)).run_until_caught_up()
    failed = partition_of("order-1", 4)
    assert [number for number, position in enumerate(positions_of(store), 1) if position < 60] == [failed]
    (status,) = ProjectionAdmin(store).status()
    assert (status.state, status.position) == ("failed", 1)
    assert status.failure is not None
    assert "stream 'order-1'" in status.failure
    assert [each.number for each in status.partitions if each.failure] == [failed]
    with Worker(store, failing_at("order-1", broken)).running():
        ProjectionAdmin(store).wait_for(
            "totals", store.append("order-0", NewEvent("counted", {"number": 1}), expected_version=ANY)
        )
        broken.clear()
        ProjectionAdmin(store).wait_for("totals", append(store, "order-1"), timeout_seconds=30)
    assert folded(store.engine) == fold_of_log(store)


def broken_in(streams: set[str]) -> Projection:
    projection = Projection("totals", partitions=4)

    @projection.on("counted")
    def handle(event: RecordedEvent, connection: Connection) -> None:
        fold(event, connection)
        if event.stream_id in streams:
            raise ValueError

    return projection


def test_each_of_several_partitions_that_have_failed_is_retried(store: EventStore) -> None:
    """The first one, which still fails, keeps no run from the second one."""
    first, second = stream_in(1, 4), stream_in(2, 4)
    append(store, first)
    last = append(store, second)
    broken = {first, second}
    with pytest.raises(ProjectionFailed) as failed:
        Worker(store, broken_in(broken)).run_until_caught_up()
    assert failed.value.stream_id == first
    assert [each.number for each in ProjectionAdmin(store).status()[0].partitions if each.failure] == [1, 2]
    broken.remove(second)
    worker = Worker(store, broken_in(broken))
    with pytest.raises(ProjectionFailed):
        worker.run_until_caught_up()
    assert positions_of(store) == [0, last, last, last]
    broken.clear()
    worker.run_until_caught_up()
    assert positions_of(store) == [last] * 4
    assert folded(store.engine) == fold_of_log(store)


def test_partitions_that_have_failed_take_turns(store: EventStore) -> None:
    """Each batch is that of another worker, as with `TenantWorkers`, so none remembers what it has tried."""
    first, second = stream_in(1, 4), stream_in(2, 4)
    append(store, first)
    append(store, second)
    projection, failed = broken_in({first, second}), list[str]()
    while len(failed) < 5:
        try:
            Worker(store, projection).run_once()
        except ProjectionFailed as failure:
            failed.append(failure.stream_id)
            time.sleep(0.002)  # SQLite's clock counts milliseconds
    assert failed == [first, second, first, second, first]


@pytest.mark.slow
def test_a_retry_in_the_background_tries_each_partition_that_has_failed(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "_SHORTEST_PAUSE_OF_FAILED_SECONDS", 0.05)
    first, second = stream_in(1, 4), stream_in(2, 4)
    append(store, first)
    last = append(store, second)
    broken = {first, second}
    with Worker(store, broken_in(broken)).running():
        until(lambda: sum(each.failure is not None for each in ProjectionAdmin(store).status()[0].partitions) == 2)
        broken.remove(second)
        until(lambda: positions_of(store) == [0, last, last, last])
        broken.clear()
        until(lambda: positions_of(store) == [last] * 4)
    assert folded(store.engine) == fold_of_log(store)


@pytest.mark.slow
def test_a_run_until_caught_up_waits_for_a_change_of_the_number(on_postgresql: EventStore) -> None:
    """All partitions have stopped at the common position, and a lock delays their replacement for a moment."""
    store = on_postgresql
    fill(store)
    Worker(store, folding(partitions=2)).run_until_caught_up()
    plan(store, "totals", 3)
    with store.core.execution.statement() as run:
        for number in (1, 2):
            run(stop_partition, name=f"totals/{number}of2", stop_position=60)
    fill(store, 12)
    with store.engine.connect() as holder, ThreadPoolExecutor(1) as threads:
        holder.execute(text("SELECT FROM es_checkpoints WHERE partition_number = 2 FOR UPDATE"))
        polls: list[CatchUpProgress] = []
        waiting = threads.submit(Worker(store, folding()).run_until_caught_up, on_progress=polls.append)
        until(lambda: len(polls) > 3 or waiting.done())
        assert not waiting.done()
        holder.commit()
        assert waiting.result(timeout=30) == 12
    assert positions_of(store) == [72] * 3
    assert folded(store.engine) == fold_of_log(store)


def test_wait_for_does_not_take_a_partition_of_another_number_for_its_own(store: EventStore) -> None:
    """Between its two statements the number changes, and the new partition 1 has handled what the stream's has not."""
    stream = next(each for each in STREAMS if partition_of(each, 2) == 1 and partition_of(each, 8) != 1)
    fill(store)
    Worker(store, folding(partitions=2)).run_until_caught_up()
    result = store.append(stream, [NewEvent("counted", {"number": 1})], expected_version=ANY)
    changed: list[int] = []

    def change(_connection: object, _cursor: object, sql: str, *_: object) -> None:
        if "next_partitions" in sql and sql.startswith("SELECT") and not changed:
            changed.append(8)
            ProjectionAdmin(store).set_partitions("totals", 8)
            Worker(store, folding()).run_once()

    event.listen(store.engine, "after_cursor_execute", change)
    with pytest.raises(ProjectionBehind):
        ProjectionAdmin(store).wait_for("totals", result, timeout_seconds=0)
    assert changed
    assert [each for each in positions_of(store) if each == result.position] == [result.position]


# --- another number


@pytest.mark.slow
@pytest.mark.parametrize("numbers", [(1, 2), (2, 8), (8, 3), (3, 1)])
def test_the_number_changes_between_runs(store: EventStore, numbers: tuple[int, int]) -> None:
    fill(store)
    Worker(store, folding(partitions=numbers[0])).run_until_caught_up()
    fill(store, 24)
    Worker(store, folding(), batch_size=3).run_once()
    projections = ProjectionAdmin(store)
    if numbers[0] > 1:
        with pytest.raises(ProjectionBehind) as behind:
            projections.set_partitions("totals", numbers[1], timeout_seconds=0)
        (status,) = projections.status()
        assert (status.next_partitions, len(status.partitions)) == (numbers[1], numbers[0])
        assert behind.value.wanted == max(positions_of(store))
        until(lambda: len(positions_of(store)) == numbers[1] or not Worker(store, folding()).run_once())
    else:
        projections.set_partitions("totals", numbers[1])
    assert len(positions_of(store)) == numbers[1]
    assert projections.status()[0].next_partitions is None
    if numbers[0] > 1:
        begun = [position for position in positions_of(store) if position != behind.value.wanted]
        assert len(begun) <= 1, "all begin at one common position; the last run may have handled a batch of one"
        assert min(begun, default=math.inf) > behind.value.wanted
    else:
        assert len(set(positions_of(store))) == 1
    Worker(store, folding()).run_until_caught_up()
    assert folded(store.engine) == fold_of_log(store)


@pytest.mark.slow
def test_a_change_is_cancelled_by_the_present_number(store: EventStore) -> None:
    fill(store)
    Worker(store, folding(partitions=3)).begin()
    Worker(store, folding(), batch_size=3).run_once()
    projections = ProjectionAdmin(store)
    with pytest.raises(ProjectionBehind):
        projections.set_partitions("totals", 5, timeout_seconds=0)
    projections.set_partitions("totals", 3)
    assert projections.status()[0].next_partitions is None
    Worker(store, folding()).run_until_caught_up()
    assert positions_of(store) == [60, 60, 60]
    assert folded(store.engine) == fold_of_log(store)


@pytest.mark.slow
def test_a_change_that_was_interrupted_is_completed_by_workers(store: EventStore) -> None:
    """The command was killed when it had stopped some of the partitions, and two commands at different positions."""
    fill(store)
    Worker(store, folding(partitions=3)).begin()
    for target, stops in ((4, []), (5, [30]), (6, [100, 90]), (2, [130, 110, 125, 120])):
        Worker(store, folding(), batch_size=2).run_once()
        plan(store, "totals", target)
        with store.core.execution.statement() as run:
            for row, stop in zip(run(find_partitions, projection="totals"), stops, strict=False):
                run(stop_partition, name=row[0], stop_position=stop)
        with Worker(store, folding()).running():
            until(lambda target=target: len(positions_of(store)) == target)  # type: ignore[misc]  # bound here
        fill(store, 24)
    Worker(store, folding()).run_until_caught_up()
    assert folded(store.engine) == fold_of_log(store)


@pytest.mark.slow
def test_a_batch_of_the_whole_projection_ends_before_it_gets_partitions(on_postgresql: EventStore) -> None:
    """The worker runs a definition without partitions, and follows the change."""
    store = on_postgresql
    fill(store)
    held, release = threading.Event(), threading.Event()
    slow = Projection("totals")

    @slow.on("counted")
    def hold(event: RecordedEvent, connection: Connection) -> None:
        fold(event, connection)
        held.set()
        assert release.wait(30)

    with ThreadPoolExecutor(2) as threads, Worker(store, slow, batch_size=10).running():
        assert held.wait(30)
        change = threads.submit(ProjectionAdmin(store).set_partitions, "totals", 4)
        # in a transaction, pg_stat_activity stays as it was at the first look
        with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            waits = text(
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            )
            until(lambda: connection.execute(waits).scalar_one())
        release.set()
        change.result(timeout=30)
        until(lambda: positions_of(store) == [60, 60, 60, 60])
    assert folded(store.engine) == fold_of_log(store)


@pytest.mark.slow
def test_a_slow_batch_stops_no_other_partition_while_the_number_changes(on_postgresql: EventStore) -> None:
    """Other partitions go on up to the common position, and the change waits for the slow one."""
    store, slow_stream = on_postgresql, stream_in(1, 2)
    held, release = threading.Event(), threading.Event()
    projection = Projection("totals", partitions=2)

    @projection.on("counted")
    def handle(event: RecordedEvent, connection: Connection) -> None:
        fold(event, connection)
        if event.stream_id == slow_stream and not held.is_set():
            held.set()
            assert release.wait(30)

    with Workers(*(Worker(store, projection) for _ in range(2))).running(), ThreadPoolExecutor(1) as threads:
        append(store, slow_stream)
        assert held.wait(30)
        other = store.append(stream_in(2, 2), [NewEvent("counted", {"number": 1})], expected_version=0)
        ProjectionAdmin(store).wait_for("totals", other)
        change = threads.submit(ProjectionAdmin(store).set_partitions, "totals", 8)
        until(lambda: ProjectionAdmin(store).status()[0].next_partitions == 8)
        time.sleep(0.1)
        assert not change.done()
        release.set()
        change.result(timeout=30)
        fill(store)
        for each in STREAMS:
            ProjectionAdmin(store).wait_for("totals", next(store.read_stream(each, backwards=True, limit=1)))
    assert folded(store.engine) == fold_of_log(store)


@pytest.mark.slow
def test_a_worker_with_an_older_snapshot_handles_nothing_after_the_change(on_postgresql: EventStore) -> None:
    """It has looked for a partition before the change, and locks it afterwards."""
    store = on_postgresql
    fill(store)
    late, other = (Worker(store, folding(partitions=2), batch_size=5) for _ in range(2))
    late.run_once()
    with store.engine.connect() as holder, ThreadPoolExecutor(2) as threads:
        holder.execute(text("SELECT FROM es_checkpoints WHERE partition_number = 2 FOR UPDATE"))
        holder.execute(text("SELECT FROM es_checkpoints WHERE partition_number = 1 FOR UPDATE"))
        waiting = start_waiting(threads, holder, ProjectionAdmin(store).set_partitions, "totals", 3)
        assert late.run_once().outcome is Outcome.BUSY
        holder.commit()
        until(lambda: other.run_once() and waiting.done())
        waiting.result()
    assert late.run_once().outcome is Outcome.ADVANCED
    late.run_until_caught_up()
    assert folded(store.engine) == fold_of_log(store)


@pytest.mark.slow
def test_code_that_knows_no_partitions_handles_nothing(store: EventStore) -> None:
    """It takes the row of the projection for a checkpoint beyond the log: `LogWentBack`, before it calls a handler."""
    fill(store)
    Worker(store, folding(partitions=2)).begin()
    with store.engine.connect() as connection:
        checkpoints = store.tables.checkpoints
        position = connection.execute(select(checkpoints.c.position).where(checkpoints.c.name == "totals")).scalar_one()
    assert position == MAX_VERSION
    order = GlobalOrder(store.core)
    with store.core.execution.global_reading() as run, pytest.raises(PositionBeyondLog):
        order.settled_after(run, After(position))


def test_wrong_numbers_are_refused(store: EventStore) -> None:
    wrong: Any
    projections = ProjectionAdmin(store)
    for wrong in (0, -1, 257, 1.5, "2", True, None):
        with pytest.raises(InvalidInput, match="partitions must be"):
            Projection("totals", partitions=wrong)
        with pytest.raises(InvalidInput, match="partitions must be"):
            projections.set_partitions("totals", wrong)
    with pytest.raises(UnknownProjection):
        projections.set_partitions("totals", 2)
    Projection("t" * 255)
    with pytest.raises(InvalidInput, match="name of a projection"):
        Projection("t" * 255, partitions=2)


@pytest.mark.slow
def test_a_name_of_a_partition_that_another_projection_has_is_refused(store: EventStore) -> None:
    fill(store)
    Worker(store, Projection("totals/2of3")).begin()
    with pytest.raises(InvalidInput, match="needs the name 'totals/2of3', which another projection has"):
        Worker(store, folding(partitions=3)).begin()
    Worker(store, folding()).run_until_caught_up()
    with pytest.raises(InvalidInput, match="needs the name 'totals/2of3'"):
        ProjectionAdmin(store).set_partitions("totals", 3)
    assert positions_of(store) == [60]


# --- administration


@pytest.mark.slow
def test_reset_remove_and_position(store: EventStore) -> None:
    fill(store)
    Worker(store, folding(partitions=3)).run_until_caught_up()
    append(store)
    projections = ProjectionAdmin(store)
    with Worker(store, folding()) as worker:
        worker.run_once()
        with pytest.raises(ProjectionRunning):
            projections.reset("totals")
    assert projections.position("totals") in {60, 61}
    projections.reset("totals", in_transaction=lambda connection: connection.execute(text("DELETE FROM totals")))
    assert positions_of(store) == [0, 0, 0]
    Worker(store, folding()).run_until_caught_up()
    assert folded(store.engine) == fold_of_log(store)
    projections.remove("totals")
    assert projections.status() == []
    with store.engine.connect() as connection:
        assert connection.execute(select(store.tables.checkpoints)).all() == []


@pytest.mark.slow
@pytest.mark.parametrize("numbers", [(1, 3), (3, 3), (3, 1), (2, 4)])
def test_a_rebuilt_projection_takes_the_place_of_the_old_one(store: EventStore, numbers: tuple[int, int]) -> None:
    fill(store)
    Worker(store, Projection("totals", partitions=numbers[0])).run_until_caught_up()
    new = Projection("totals-2", partitions=numbers[1])
    new.on("counted")(fold)
    Worker(store, new, batch_size=5).run_once()
    projections = ProjectionAdmin(store)
    with store.engine.begin() as connection:
        connection.execute(store.tables.checkpoints.update().values(seen_at=None))
    with pytest.raises(ProjectionBehind):
        projections.swap("totals", "totals-2")
    Worker(store, new).run_until_caught_up()
    projections.swap("totals", "totals-2")
    (status,) = projections.status()
    assert (status.name, len(status.partitions)) == ("totals", numbers[1])
    fill(store)
    Worker(store, folding()).run_until_caught_up()
    assert folded(store.engine) == fold_of_log(store)
    assert positions_of(store) == [120] * numbers[1]


@pytest.mark.slow
def test_health_shows_the_partition_that_is_furthest_behind(store: EventStore) -> None:
    fill(store)
    with pytest.raises(ProjectionFailed):
        Worker(store, failing_at("order-1", [True])).run_until_caught_up()
    health = store.health()
    (projection,) = health.projections
    assert (projection.name, projection.position, projection.lag_events) == ("totals", 1, 59)
    assert projection.failure is not None
    assert not projection.log_went_back


@pytest.mark.slow
def test_checkpoints_are_exported_if_partitions_are_at_the_same_position(store: EventStore) -> None:
    fill(store)
    Worker(store, folding(partitions=3)).run_until_caught_up()
    assert export_events(store, BytesIO(), format=Format.JSON_LINES, checkpoints=True).checkpoints == 1
    append(store)
    Worker(store, folding(), batch_size=1).run_once()
    with pytest.raises(InvalidInput, match="'totals' has partitions at different positions"):
        export_events(store, BytesIO(), format=Format.JSON_LINES, checkpoints=True)


@pytest.mark.slow
def test_tables_with_partitions_are_not_downgraded(any_engine: Engine) -> None:
    store = EventStore(any_engine)
    Worker(store, Projection("totals", partitions=2)).begin()
    with pytest.raises(ProjectionsHavePartitions):
        migrations.downgrade(any_engine, "es_0011")
    ProjectionAdmin(store).set_partitions("totals", 1)
    migrations.downgrade(any_engine, "es_0011")


# --- under load


@pytest.fixture
def start_worker() -> Iterator[Callable[..., Process]]:
    started: list[Process] = []

    def start(engine: Engine, *arguments: str) -> Process:
        started.append(Process(engine, *arguments))
        return started[-1]

    yield start
    for process in started:
        process.send(signal.SIGKILL)
        process.end()


def write(store: EventStore, seed: int, finished: threading.Event) -> int:
    """Append events, hold some open for a while, and roll some back; return how many are stored."""
    chooser, count = random.Random(seed), 0
    while not finished.is_set():
        with store.engine.connect() as connection:
            event = NewEvent("counted", {"number": chooser.randrange(100)})
            store.join(connection).append(chooser.choice(STREAMS), [event], expected_version=ANY)
            time.sleep(chooser.uniform(0, 0.02))
            if chooser.random() < 0.1:
                connection.rollback()
            else:
                connection.commit()
                count += 1
    return count


def change_number(store: EventStore, seed: int, finished: threading.Event) -> list[int]:
    """Change the number of partitions from 2 to 8, and then to others; return the numbers."""
    chooser, numbers = random.Random(seed), [2]
    while not finished.is_set():
        wanted = 8 if len(numbers) == 1 else chooser.choice([1, 2, 3, 5, 8])
        with suppress(ProjectionBehind):
            ProjectionAdmin(store).set_partitions("totals", wanted, timeout_seconds=1)
            numbers.append(wanted)
            finished.wait(chooser.uniform(0, 1))
    return numbers


def kill_at_random(store: EventStore, start_worker: Callable[..., Process], kills: int) -> None:
    """Kill workers at random moments, while events are appended and the number of partitions changes."""
    seed = random.randrange(2**32)
    print(f"\nseed {seed}")
    chooser, finished = random.Random(seed), threading.Event()
    Worker(store, folding(partitions=2)).begin()
    with ThreadPoolExecutor(2) as threads:
        writing = threads.submit(write, store, seed + 1, finished)
        workers = [start_worker(store.engine, "0.004", "2") for _ in range(3)]
        changing = threads.submit(change_number, store, seed + 2, finished)
        try:
            for kill in range(kills):
                print(f"\rkill {kill + 1}", end="", flush=True)
                time.sleep(chooser.uniform(0, 0.4))
                victim = chooser.randrange(3)
                workers[victim].send(signal.SIGKILL)
                workers[victim].end()
                workers[victim] = start_worker(store.engine, "0.004", "2")
            until(lambda: changing.done() or len(positions_of(store)) != 2)
        finally:
            finished.set()
        count, numbers = writing.result(timeout=60), changing.result(timeout=60)
        for worker in workers:
            worker.send(signal.SIGTERM)
            worker.end()
    Worker(store, folding()).run_until_caught_up()
    print(f"{kills} kills, {count} events, partitions: {numbers}")
    assert folded(store.engine) == fold_of_log(store)
    assert sum(last for last, _ in folded(store.engine).values()) == count
    assert len(numbers) > 1


@pytest.mark.slow
def test_workers_killed_at_random_while_the_number_changes(
    on_postgresql: EventStore, start_worker: Callable[..., Process]
) -> None:
    kill_at_random(on_postgresql, start_worker, int(os.environ.get("EVENTSTORE_TEST_KILLS", "3")))


@pytest.mark.long
@pytest.mark.timeout(1800)
@sqlite_when_there_is_time
def test_workers_killed_200_times(store: EventStore, start_worker: Callable[..., Process]) -> None:
    kill_at_random(store, start_worker, int(os.environ.get("EVENTSTORE_TEST_KILLS", "200")))


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_throughput_of_two_workers(on_postgresql: EventStore, start_worker: Callable[..., Process]) -> None:
    """Two processes against one, with a handler that upserts a row and sums some; prints the ratio."""
    store, rows = on_postgresql, 6_000
    for start in range(0, rows // 100, 20):
        for stream in range(100):
            events = [NewEvent("counted", {"number": number}) for number in range(start, start + 20)]
            store.append(f"order-{stream}", events, expected_version=ANY)
    last, projections = store.settled_position(), ProjectionAdmin(store)
    seconds: dict[int, float] = {}
    for number in (1, 2, 1, 2):
        with store.engine.begin() as connection:
            connection.execute(text("DELETE FROM totals"))
        Worker(store, folding(partitions=8)).begin()
        with ExitStack() as stack:
            workers = [start_worker(store.engine, "0", "8") for _ in range(number)]
            begun = time.monotonic()
            projections.wait_for("totals", last, timeout_seconds=300)
            elapsed = time.monotonic() - begun
            for worker in workers:
                stack.callback(worker.end)
                stack.callback(worker.send, signal.SIGTERM)
        assert folded(store.engine) == fold_of_log(store)
        seconds[number] = min(seconds.get(number, elapsed), elapsed)
        projections.remove("totals")
    print(f"\n{rows} events: two workers take {seconds[2] / seconds[1]:.2f} of the time of one")
