"""Where projections begin, beside writers; and handlers with outside effects, which rebuilds do not repeat."""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Engine
from sqlalchemy.orm import Session

from eventstore import ANY, EventStore, NewEvent, ProjectionBehind, ProjectionFailed, RecordedEvent
from eventstore.errors import (
    DeadLettersPending,
    InvalidInput,
    LogWentBack,
    PositionBeyondLog,
    UnknownProjection,
)
from eventstore.projections import OnFailure, Projection, ProjectionAdmin, Start, Worker
from eventstore.tokens import PositionToken
from tests.projection_worker import fold_of_log, folded, folding, metadata


@pytest.fixture
def store(any_engine: Engine) -> EventStore:
    metadata.create_all(any_engine)
    return EventStore(any_engine)


@pytest.fixture
def on_postgresql(postgres_engine: Engine) -> EventStore:
    return EventStore(postgres_engine)


def append(store: EventStore, stream_id: str = "order-1") -> int:
    return store.append(stream_id, [NewEvent("counted", {"number": 1})], expected_version=ANY).position


def seeing(name: str = "seen", **options: Any) -> tuple[Projection, list[int]]:
    projection, seen = Projection(name, **options), list[int]()
    projection.on(lambda event, _: seen.append(event.position))
    return projection, seen


# --- where it begins


def test_it_begins_now(store: EventStore) -> None:
    append(store)
    last = append(store)
    projection, seen = seeing(start=Start.NOW)
    worker = Worker(store, projection)
    assert worker.run_until_caught_up() == 0
    (status,) = ProjectionAdmin(store).status()
    assert (status.position, status.started_after, status.lag_events) == (last, last, 0)
    added = append(store)
    assert worker.run_until_caught_up() == 1
    assert seen == [added]


def test_where_it_began_is_stored(store: EventStore) -> None:
    first = append(store)
    Worker(store, seeing(start=Start.NOW)[0]).begin()
    added = append(store)
    projection, seen = seeing(start=Start.BEGINNING)
    Worker(store, projection).run_until_caught_up()
    assert seen == [added]
    projections = ProjectionAdmin(store)
    projections.reset("seen")
    assert (projections.position("seen"), projections.status()[0].started_after) == (first, first)
    projections.remove("seen")
    Worker(store, projection).run_until_caught_up()
    assert seen == [added, first, added]


@pytest.mark.parametrize("partitions", [1, 3])
def test_it_begins_after_a_position_or_a_token(store: EventStore, partitions: int) -> None:
    for number in range(4):
        append(store, f"order-{number}")
    events = list(store.read_all())
    for name, start in {"position": events[1].position, "token": events[1].token}.items():
        projection, seen = seeing(name, start=start, partitions=partitions)
        Worker(store, projection).run_until_caught_up()
        assert sorted(seen) == [event.position for event in events[2:]]
        assert ProjectionAdmin(store).status(name)[0].started_after == events[1].position


def test_it_begins_at_a_time(store: EventStore) -> None:
    for _ in range(4):
        append(store)
        time.sleep(0.01)
    events = list(store.read_all())
    starts = {
        "exactly": (events[1].recorded_at, events[1:]),
        "a moment later": (events[1].recorded_at + timedelta(microseconds=1000), events[2:]),
        "long ago": (datetime(2001, 1, 1, tzinfo=UTC), events),
        "in the future": (datetime.now(UTC) + timedelta(days=1), []),
    }
    for name, (start, expected) in starts.items():
        projection, seen = seeing(name, start=start)
        Worker(store, projection).run_until_caught_up()
        assert seen == [event.position for event in expected], name
    assert append(store)
    projection, seen = seeing("in the future")
    assert Worker(store, projection).run_until_caught_up() == 1


def test_wrong_starts_are_refused(store: EventStore) -> None:
    wrong: Any
    for wrong in (None, "now", True, 1.5, datetime(2026, 1, 1), -1):  # noqa: DTZ001  # a naive time is wrong
        with pytest.raises(InvalidInput, match="start"):
            Projection("totals", start=wrong)
    last = append(store)
    (event,) = store.read_all()
    with pytest.raises(PositionBeyondLog):
        Worker(store, Projection("totals", start=last + 1000)).begin()
    other = PositionToken(last, NewEvent("other").event_id, "order-1", 1)
    with pytest.raises(LogWentBack):
        Worker(store, Projection("totals", start=other)).begin()
    assert ProjectionAdmin(store).status() == []
    Worker(store, Projection("totals", start=event.token)).begin()


@pytest.mark.parametrize("start", [Start.NOW, "time"])
@pytest.mark.parametrize("partitions", [1, 4])
def test_what_is_open_at_the_first_run_is_delivered(on_postgresql: EventStore, start: Any, partitions: int) -> None:
    """An append has drawn a lower position than one that is committed already."""
    append(on_postgresql)
    with on_postgresql.engine.connect() as connection:
        of_open = on_postgresql.join(connection).append("open-1", [NewEvent("counted")], expected_version=0).position
        behind = append(on_postgresql, "order-2")
        if start == "time":
            start = datetime.now(UTC) + timedelta(days=1)
        projection, seen = seeing(start=start, partitions=partitions)
        worker = Worker(on_postgresql, projection)
        worker.begin()
        assert ProjectionAdmin(on_postgresql).status()[0].started_after < of_open < behind
        connection.commit()
    worker.run_until_caught_up()
    assert of_open in seen


@pytest.mark.slow
def test_nothing_that_is_committed_after_the_first_run_is_missing(on_postgresql: EventStore) -> None:
    """Writers hold their appends open for random times, and roll some back, while projections begin."""
    seed = random.randrange(2**32)
    print(f"\nseed {seed}")
    finished = threading.Event()
    committed: list[tuple[float, int]] = []

    def write(number: int) -> None:
        chooser = random.Random(seed + number)
        while not finished.is_set():
            with on_postgresql.engine.connect() as connection:
                joined = on_postgresql.join(connection)
                position = joined.append(f"order-{number}", [NewEvent("counted")], expected_version=ANY).position
                time.sleep(chooser.choice([0, 0, 0.003, 0.01]))
                if chooser.random() < 0.2:
                    connection.rollback()
                    continue
                before = time.monotonic()  # the commit comes after this time
                connection.commit()
                committed.append((before, position))

    begun: list[tuple[float, list[int], Worker]] = []
    with ThreadPoolExecutor(4) as threads:
        writers = [threads.submit(write, number) for number in range(4)]
        try:
            for number in range(12):
                projection, seen = seeing(f"seen-{number}", start=Start.NOW, partitions=1 + 3 * (number % 2))
                worker = Worker(on_postgresql, projection)
                worker.begin()
                begun.append((time.monotonic(), seen, worker))
                worker.run_once()
        finally:
            finished.set()
        for writer in writers:
            writer.result(timeout=30)
    for since, seen, worker in begun:
        worker.run_until_caught_up()
        expected = {position for before, position in committed if before >= since}
        assert expected <= set(seen)
        assert len(seen) == len(set(seen))
    print(f"{len(committed)} appends")
    assert len(committed) > 20


# --- handlers with outside effects


class Shop:
    """A projection with a table, and mails that it sends."""

    def __init__(self, name: str = "totals", **options: Any) -> None:
        self.projection = Projection(name, **options)
        self.mails: list[int] = []
        self.broken: set[int] = set()
        self.projection.on("counted")(self.count)
        self.projection.on("counted", outside=True)(self.send)
        self.counted: list[int] = []

    def count(self, event: RecordedEvent, _: Connection) -> None:
        self.counted.append(event.position)
        if event.position in self.broken:
            raise ValueError

    def send(self, event: RecordedEvent, _: Connection) -> None:
        self.mails.append(event.position)


def test_a_batch_ends_after_outside_effects(store: EventStore) -> None:
    positions = [append(store) for _ in range(3)]
    shop = Shop(attempts=2, backoff_seconds=0)
    shop.broken = {positions[2]}
    worker = Worker(store, shop.projection)
    assert (worker.run_once().handled, worker.run_once().position) == (1, positions[1])
    with pytest.raises(ProjectionFailed):
        worker.run_once()
    assert shop.mails == positions[:2], "the failure of an event repeats no effects of the events before it"


@pytest.mark.slow
def test_of_an_event_the_table_comes_first(store: EventStore) -> None:
    """What may fail comes before what can't be undone; a session is flushed in between."""
    done: list[str] = []

    class Noting(Session):
        def flush(self, objects: Any = None) -> None:
            done.append("flush")
            super().flush(objects)

    projection = Projection("totals", session=lambda connection: Noting(bind=connection))
    projection.on("counted", outside=True)(lambda *_: done.append("outside"))
    projection.on("counted")(lambda *_: done.append("inside"))
    append(store)
    Worker(store, projection).run_until_caught_up()
    assert done[:3] == ["inside", "flush", "outside"]


def test_a_reset_does_not_repeat_outside_effects(store: EventStore) -> None:
    positions = [append(store) for _ in range(3)]
    shop = Shop()
    Worker(store, shop.projection).run_until_caught_up()
    ProjectionAdmin(store).reset("totals")
    positions.append(append(store))
    Worker(store, shop.projection).run_until_caught_up()
    assert shop.mails == positions
    assert shop.counted == positions[:3] + positions


def test_handlers_that_are_new_have_effects_from_then_on(store: EventStore) -> None:
    first = append(store)
    Worker(store, seeing("totals")[0]).run_until_caught_up()
    second = append(store)
    shop = Shop()
    Worker(store, shop.projection).run_until_caught_up()
    assert shop.mails == [second]
    ProjectionAdmin(store).reset("totals")
    Worker(store, shop.projection).run_until_caught_up()
    assert (shop.mails, shop.counted) == ([second], [second, first, second])


@pytest.mark.slow
@pytest.mark.parametrize("partitions", [(1, 1), (4, 4), (1, 3), (3, 1)])
def test_a_rebuild_loses_and_repeats_no_outside_effects(store: EventStore, partitions: tuple[int, int]) -> None:
    positions = [append(store, f"order-{number % 5}") for number in range(10)]
    old = Shop(partitions=partitions[0])
    Worker(store, old.projection).run_until_caught_up()
    positions += [append(store, f"order-{number}") for number in range(3)]
    new = Shop("totals-2", rebuilds="totals", partitions=partitions[1])
    Worker(store, new.projection).run_until_caught_up()
    projections = ProjectionAdmin(store)
    assert (projections.position("totals-2"), new.mails) == (positions[9], []), "it does not pass the old one"
    Worker(store, old.projection).run_until_caught_up()
    with pytest.raises(ProjectionBehind):
        projections.swap("totals", "totals-2")
    Worker(store, new.projection).run_until_caught_up()
    projections.swap("totals", "totals-2")
    positions += [append(store, f"order-{number}") for number in range(3)]
    swapped = Shop()
    Worker(store, swapped.projection).run_until_caught_up()
    assert sorted(old.mails + new.mails + swapped.mails) == positions
    assert sorted(new.counted + swapped.counted) == positions


@pytest.mark.slow
def test_no_outside_effects_are_lost_or_repeated_across_swaps_under_load(on_postgresql: EventStore) -> None:
    """While events are appended, a projection is rebuilt again and again, and its workers stopped at random moments."""
    seed = random.randrange(2**32)
    print(f"\nseed {seed}")
    chooser, finished, store = random.Random(seed), threading.Event(), on_postgresql
    projections, mails, positions = ProjectionAdmin(store), list[int](), list[int]()

    def write() -> None:
        while not finished.is_set():
            positions.append(append(store, f"order-{len(positions) % 7}"))
            time.sleep(0.002)

    def shop(name: str = "totals", **options: Any) -> Projection:
        made = Shop(name, **options)
        made.mails = mails
        return made.projection

    with ThreadPoolExecutor(1) as threads:
        writer = threads.submit(write)
        try:
            for _ in range(4):
                partitions = chooser.choice([1, 2])
                with Worker(store, shop(partitions=partitions)).running():
                    time.sleep(chooser.uniform(0.05, 0.3))
                    number = len(projections.status("totals")[0].partitions)
                    rebuild = shop("totals-2", rebuilds="totals", partitions=number)
                    with Worker(store, rebuild).running():
                        time.sleep(chooser.uniform(0.05, 0.3))
                Worker(store, rebuild).run_until_caught_up()
                projections.swap("totals", "totals-2")
        finally:
            finished.set()
        writer.result(timeout=30)
    Worker(store, shop()).run_until_caught_up()
    assert sorted(mails) == positions


def test_a_rebuild_with_outside_effects_needs_the_old_projection(store: EventStore) -> None:
    append(store)
    new = Shop("totals-2", rebuilds="totals")
    for run in (Worker(store, new.projection).run_once, Worker(store, new.projection).run_until_caught_up):
        with pytest.raises(UnknownProjection):
            run()
    with pytest.raises(InvalidInput, match="can't rebuild itself"):
        Projection("totals", rebuilds="totals")


def test_dead_letters_keep_their_outside_effects(store: EventStore) -> None:
    positions = [append(store) for _ in range(2)]
    shop = Shop(on_failure=OnFailure.DEAD_LETTER)
    shop.broken = {positions[0]}
    Worker(store, shop.projection).run_until_caught_up()
    projections = ProjectionAdmin(store)
    assert shop.mails == []
    Worker(store, Shop("totals-2", rebuilds="totals").projection).run_until_caught_up()
    with pytest.raises(DeadLettersPending, match="2 pending dead letters"):
        projections.reset("totals")
    with pytest.raises(DeadLettersPending, match="2 pending dead letters"):
        projections.swap("totals", "totals-2")
    shop.broken = set()
    assert projections.dead_letters.retry(shop.projection, "order-1") == 2
    assert shop.mails == positions
    projections.reset("totals")
    shop.broken = {positions[0]}
    Worker(store, shop.projection).run_until_caught_up()
    shop.broken = set()
    assert projections.dead_letters.retry(shop.projection, "order-1") == 2
    assert shop.mails == positions, "the retry after a reset does not repeat them"


def test_projections_without_outside_effects_are_reset_with_their_dead_letters(store: EventStore) -> None:
    position = append(store)
    projection = Projection("totals", on_failure=OnFailure.DEAD_LETTER)

    @projection.on
    def fail(*_: object) -> None:
        raise ValueError

    Worker(store, projection).run_until_caught_up()
    projections = ProjectionAdmin(store)
    assert [letter.position for letter in projections.dead_letters.list("totals")] == [position]
    projections.reset("totals")
    assert list(projections.dead_letters.list("totals")) == []
    Worker(store, folding()).run_until_caught_up()
    assert folded(store.engine) == fold_of_log(store)
