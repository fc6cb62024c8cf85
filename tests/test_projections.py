"""Projections on both databases, beyond what the contract says."""

import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, scoped_session, sessionmaker

from eventstore import (
    ConcurrencyConflict,
    EventFilter,
    EventStore,
    EventTypes,
    InvalidInput,
    NewEvent,
    ProjectionBehind,
    ProjectionFailed,
    RecordedEvent,
)
from eventstore.errors import (
    NotInTransaction,
    ProjectionRunning,
    SchemaOutdated,
    TransactionBroken,
    UnknownProjection,
    UnregisteredEventType,
)
from eventstore.projections import (
    DeadLetterStatus,
    OnFailure,
    Projection,
    ProjectionAdmin,
    Worker,
    inline,
)
from eventstore.testing.projection_contract import (
    PAYLOAD,
    append,
    count,
    counted,
    counting,
    failing,
    handled,
    log,
    metadata,
    totals,
)
from tests.fix_engines import changing_history
from tests.fix_migrations import BringTo


@pytest.fixture
def store(any_engine: Engine) -> EventStore:
    metadata.create_all(any_engine)
    return EventStore(any_engine)


# --- each event once, in order


def test_types_without_a_handler_are_passed_over_unless_there_is_one_for_all_others(store: EventStore) -> None:
    append(store, "order-1")
    append(store, "order-1", event_type="renamed")
    assert Worker(store, counting()).run_until_caught_up() == 1
    seen = []
    others = counting("others")
    others.on()(lambda event, _: seen.append(event.event_type))
    with store.engine.begin() as connection:
        connection.execute(totals.delete())
    assert Worker(store, others).run_until_caught_up() == 2
    assert seen == ["renamed"]


@pytest.mark.parametrize("ending", ["commit", "rollback"])
@pytest.mark.parametrize("last", [True, False])
def test_a_handler_that_ends_the_transaction_is_told_so(store: EventStore, ending: str, *, last: bool) -> None:
    position = append(store, "order-1", 2)
    projection = Projection("totals")

    @projection.on("counted")
    def end(_: RecordedEvent, connection: Connection) -> None:
        getattr(connection, ending)()
        if not last:
            connection.execute(select(totals))

    for _ in range(2):
        with pytest.raises(ProjectionFailed) as failed:
            Worker(store, projection).run_until_caught_up()
        assert failed.value.position == position - 1
        if last:
            assert isinstance(failed.value.__cause__, TransactionBroken)
            assert "a handler must neither commit nor roll back" in str(failed.value.__cause__)


def test_a_session_of_the_orm_is_flushed_and_committed_with_the_checkpoint(store: EventStore) -> None:
    class Base(DeclarativeBase):
        pass

    class Order(Base):
        __tablename__ = "orders"
        stream_id: Mapped[str] = mapped_column(primary_key=True)
        count: Mapped[int]

    Base.metadata.create_all(store.engine)
    append(store, "order-1", 2)
    append(store, "order-2", 3)
    projection = Projection("orders", session=lambda connection: Session(bind=connection))

    @projection.on("counted")
    def add(event: RecordedEvent, session: Session) -> None:
        order = session.get(Order, event.stream_id) or Order(stream_id=event.stream_id, count=0)
        order.count += 1
        session.add(order)
        if event.version == 3:
            raise ValueError(PAYLOAD)

    with pytest.raises(ProjectionFailed):
        Worker(store, projection).run_until_caught_up()
    with Session(store.engine) as session:
        assert {order.stream_id: order.count for order in session.scalars(select(Order))} == {
            "order-1": 2,
            "order-2": 2,
        }


def test_what_the_database_refuses_at_flush_is_that_events_failure(store: EventStore) -> None:
    class Base(DeclarativeBase):
        pass

    class Order(Base):
        __tablename__ = "orders"
        stream_id: Mapped[str] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(nullable=False)

    Base.metadata.create_all(store.engine)
    append(store, "order-1")
    bad = append(store, "order-2")
    append(store, "order-3")
    projection = Projection(
        "orders", session=lambda connection: Session(bind=connection), on_failure=OnFailure.DEAD_LETTER
    )

    @projection.on("counted")
    def add(event: RecordedEvent, session: Session) -> None:
        session.add(Order(stream_id=event.stream_id, name=None if event.position == bad else "x"))

    Worker(store, projection).run_until_caught_up()
    with Session(store.engine) as session:
        assert sorted(session.scalars(select(Order.stream_id))) == ["order-1", "order-3"]
    assert [letter.position for letter in ProjectionAdmin(store).dead_letters.list("orders")] == [bad]


def test_a_handler_may_append_with_the_connection_of_its_batch(store: EventStore) -> None:
    append(store, "order-1", 5)
    projection = Projection("process", EventFilter(categories=["order"]))

    @projection.on("counted")
    def react(event: RecordedEvent, connection: Connection) -> None:
        store.join(connection).append(f"parcel-{event.version}", [NewEvent("sent")], expected_version=0)

    worker = Worker(store, projection, batch_size=2)
    assert worker.run_until_caught_up() == 5
    assert [store.stream_version(f"parcel-{number}") for number in range(1, 7)] == [1, 1, 1, 1, 1, 0]


def test_a_batch_is_committed_after_its_time(store: EventStore) -> None:
    append(store, "order-1", 5)
    assert Worker(store, counting(), batch_seconds=0).run_once().handled == 1


def test_events_that_an_upcaster_has_split_are_handled_together(store: EventStore) -> None:
    types = EventTypes()

    @types.splitter("counted", from_version=1, into=[("first", 1), ("second", 1)])
    def split(data: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
        return [("first", data), ("second", data)]

    append(store, "order-1", 3)
    seen = []
    projection = Projection("parts")
    projection.on("first", "second")(lambda event, _: seen.append((event.version, event.event_type)))
    assert Worker(EventStore(store.engine, event_types=types), projection, batch_seconds=0).run_until_caught_up() == 6
    assert seen == [(version, part) for version in (1, 2, 3) for part in ("first", "second")]


# --- handlers by class


@dataclass(frozen=True)
class Added:
    price: int


@dataclass(frozen=True)
class Removed:
    price: int


def with_types(store: EventStore) -> EventStore:
    types = EventTypes()
    types.register("added", Added)
    return EventStore(store.engine, event_types=types)


def test_handlers_of_registered_classes(store: EventStore) -> None:
    typed = with_types(store)
    typed.append("order-1", [Added(3), NewEvent("other"), Added(4)], expected_version=0)
    projection = Projection("typed")
    seen: list[object] = []
    projection.on(Added)(lambda event, _: seen.append(event.data))
    projection.on()(lambda event, _: seen.append(event.event_type))
    assert Worker(typed, projection).run_until_caught_up() == 3
    assert seen == [Added(3), "other", Added(4)]
    inline(typed, projection).append("order-2", [Added(5)], expected_version=0)
    assert seen[-1] == Added(5)


def test_a_class_that_the_store_does_not_know_is_an_error_before_anything_is_handled(store: EventStore) -> None:
    typed = with_types(store)
    typed.append("order-1", [Added(3)], expected_version=0)
    projection = Projection("typed")
    seen: list[object] = []
    projection.on(Added, Removed)(lambda event, _: seen.append(event.data))
    with pytest.raises(UnregisteredEventType, match="Removed"):
        Worker(typed, projection).run_until_caught_up()
    with pytest.raises(UnregisteredEventType, match="Removed"):
        inline(typed, projection)
    assert seen == []
    twice = Projection("twice")
    twice.on(Added)(lambda *_: None)
    twice.on("added")(lambda *_: None)
    with pytest.raises(InvalidInput, match=r"two handlers for 'added', one of them for Added"):
        Worker(typed, twice).run_once()
    with pytest.raises(InvalidInput, match="already has a handler for Added"):
        twice.on(Added)(lambda *_: None)


def test_a_decorator_without_parentheses_is_for_all_other_events(store: EventStore) -> None:
    projection = Projection("seen")
    seen: list[tuple[str, str]] = []
    projection.on("counted")(lambda event, _: seen.append(("counted", event.event_type)))

    @projection.on
    def others(event: RecordedEvent, _: Connection) -> None:
        seen.append(("others", event.event_type))

    assert callable(others)
    with pytest.raises(InvalidInput, match="already has a handler for all other event types"):
        projection.on(others)
    append(store, "order-1")
    append(store, "order-1", event_type="noted")
    Worker(store, projection).run_until_caught_up()
    assert seen == [("counted", "counted"), ("others", "noted")]


def test_a_handler_that_is_none_is_refused() -> None:
    wrong: Any = Projection("totals").on("counted")
    with pytest.raises(InvalidInput, match="a handler of projection 'totals' must be a function, not NoneType"):
        wrong(None)


async def _coroutine_function(_event: object, _connection: object) -> None:
    """Its calls alone would do nothing, and the checkpoint would pass its events."""


def _generator(_event: object, _connection: object) -> Iterator[None]:
    yield


async def _asynchronous_generator(_event: object, _connection: object) -> AsyncIterator[None]:
    yield


class _Coroutines:
    async def __call__(self, _event: object, _connection: object) -> None:
        """As above."""


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        (_coroutine_function, r"a coroutine function \(async def\)"),
        (partial(_coroutine_function), "a coroutine function"),
        (_Coroutines(), "a coroutine function"),
        (_asynchronous_generator, "a coroutine function"),
        (_generator, r"a generator \(with yield\)"),
    ],
)
def test_a_handler_that_a_call_does_not_run_is_refused(wrong: Any, what: str) -> None:
    projection = Projection("totals")
    match = f"a handler of projection 'totals' must be a plain function, not {what}, which a call does not run"
    with pytest.raises(InvalidInput, match=match if "(" in what else what):
        projection.on("counted")(wrong)
    with pytest.raises(InvalidInput, match="outside effects, must be a plain function"):
        projection.on("counted", outside=True)(wrong)
    projection.on("counted")(print)


def test_a_handler_that_is_refused_is_for_none_of_its_types() -> None:
    projection = Projection("totals")
    projection.on("b")(print)
    for event_types in (("a", "b"), ("a", "a")):
        with pytest.raises(InvalidInput, match="already has a handler"):
            projection.on(*event_types)(print)
    projection.on("a")(print)


# --- events that fail


@pytest.mark.slow
@pytest.mark.parametrize("place", [0, 3, 9])
def test_it_stops_before_an_event_that_fails_and_says_which(store: EventStore, place: int) -> None:
    positions = [append(store, f"order-{number}") for number in range(10)]
    projection = Projection("totals")
    failing(projection, lambda event: event.position == positions[place])
    for _ in range(2):
        with pytest.raises(ProjectionFailed) as failed:
            Worker(store, projection).run_until_caught_up()
    assert (failed.value.projection, failed.value.position) == ("totals", positions[place])
    assert (failed.value.stream_id, failed.value.version, failed.value.event_type) == (f"order-{place}", 1, "counted")
    assert failed.value.event_id == next(store.read_stream(f"order-{place}")).event_id
    assert isinstance(failed.value.__cause__, ValueError)
    assert PAYLOAD not in str(failed.value)
    assert handled(store.engine) == positions[:place]
    (status,) = ProjectionAdmin(store).status()
    assert (
        status.failure == f"ValueError at position {positions[place]}: 'counted', version 1 of stream 'order-{place}'"
    )
    assert status.failed_at is not None
    assert not status.is_running
    assert Worker(store, counting()).run_until_caught_up() == 10 - place
    assert handled(store.engine) == positions
    assert ProjectionAdmin(store).status()[0].failure is None


@pytest.mark.slow
def test_it_is_tried_again_as_often_as_was_asked(store: EventStore, caplog: pytest.LogCaptureFixture) -> None:
    positions = [append(store, f"order-{number}") for number in range(5)]
    projection = Projection("totals", attempts=3, backoff_seconds=0.001)
    failed = failing(projection, lambda event: event.position == positions[2] and len(failed) < 2)
    assert Worker(store, projection).run_until_caught_up() == 5
    assert failed == [positions[2]] * 2
    assert handled(store.engine) == positions
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert PAYLOAD not in caplog.text
    again = Projection("again", attempts=3, backoff_seconds=0.001)
    with store.engine.begin() as connection:
        connection.execute(totals.delete())
    always = failing(again, lambda event: event.position == positions[2])
    with pytest.raises(ProjectionFailed) as given_up:
        Worker(store, again).run_until_caught_up()
    assert (given_up.value.attempts, always) == (3, [positions[2]] * 3)


def test_backing_off_ends_when_it_is_stopped(store: EventStore) -> None:
    append(store, "order-1")
    projection = Projection("totals", attempts=2, backoff_seconds=60)
    worker = Worker(store, projection)

    @projection.on("counted")
    def fail(_: RecordedEvent, __: Connection) -> None:
        worker.stop()
        raise ValueError(PAYLOAD)

    assert worker.run_until_caught_up() == 0
    assert counted(store.engine) == {}


def test_an_event_that_can_not_be_decoded_fails_like_any_other(store: EventStore) -> None:
    append(store, "order-1")
    bad = append(store, "order-2")
    append(store, "order-3")
    with changing_history(store.engine) as connection:
        events = store.tables.events
        connection.execute(events.update().where(events.c.position == bad).values(data=b"\xc1"))
    with pytest.raises(ProjectionFailed) as failed:
        Worker(store, counting()).run_until_caught_up()
    assert (failed.value.position, failed.value.error_type) == (bad, "DecodingError")
    assert counted(store.engine) == {"order-1": 1}
    Worker(store, counting(on_failure=OnFailure.DEAD_LETTER)).run_until_caught_up()
    assert counted(store.engine) == {"order-1": 1, "order-3": 1}


@pytest.mark.slow
def test_no_event_before_a_dead_letter_is_lost_though_time_is_up_in_between(store: EventStore) -> None:
    positions = [append(store, f"order-{number}") for number in range(5)]
    projection = Projection("totals", on_failure=OnFailure.DEAD_LETTER)
    passes: list[int] = []

    @projection.on("counted")
    def handle(event: RecordedEvent, connection: Connection) -> None:
        passes.append(event.position)
        if passes.count(positions[1]) == 2:  # the second time, it takes longer than a batch may take
            time.sleep(0.3)
        count(event, connection)
        if event.position == positions[3]:
            raise ValueError(PAYLOAD)

    Worker(store, projection, batch_seconds=0.2).run_until_caught_up()
    assert handled(store.engine) == [position for position in positions if position != positions[3]]
    assert [letter.position for letter in ProjectionAdmin(store).dead_letters.list("totals")] == [positions[3]]


def test_a_worker_that_was_stopped_before_it_ran_does_not_run(store: EventStore) -> None:
    append(store, "order-1")
    projection = counting()
    worker = Worker(store, projection)
    worker.stop()
    worker.run_forever()
    with pytest.raises(InvalidInput, match="was stopped, which is for good"):
        worker.run_until_caught_up()
    another = Worker(store, projection)
    another.stop()
    assert another.run_until_caught_up() == 0


def test_events_without_a_handler_do_not_follow_a_dead_letter(store: EventStore) -> None:
    append(store, "order-1")
    append(store, "order-1", event_type="other")
    append(store, "order-1")
    projection = Projection("totals", on_failure=OnFailure.DEAD_LETTER)
    failing(projection, lambda _: True)
    Worker(store, projection).run_until_caught_up()
    assert [letter.version for letter in ProjectionAdmin(store).dead_letters.list("totals")] == [1, 3]


def test_a_discarded_dead_letter_is_not_tried_again(store: EventStore) -> None:
    append(store, "order-1", 3)
    projection = Projection("seen", on_failure=OnFailure.DEAD_LETTER)

    @projection.on("counted")
    def see(event: RecordedEvent, connection: Connection) -> None:
        if event.version == 2:
            raise ValueError(PAYLOAD)
        connection.execute(log.insert().values(position=event.version))

    Worker(store, projection).run_until_caught_up()
    letters = ProjectionAdmin(store).dead_letters
    second, third = letters.list("seen")
    assert letters.discard("seen", second.position, note="a test order")
    assert not letters.discard("seen", second.position)
    assert not letters.discard("seen", 999_999)
    assert letters.retry(projection, "order-1") == 1
    assert handled(store.engine) == [1, 3]
    (discarded,) = letters.list("seen", status=DeadLetterStatus.DISCARDED)
    assert (discarded.version, discarded.note) == (2, "a test order")
    assert discarded.closed_at is not None
    assert discarded.closed_at >= discarded.first_failed_at
    assert [letter.position for letter in letters.list("seen", status=DeadLetterStatus.RESOLVED)] == [third.position]


@pytest.mark.slow
def test_many_dead_letters_are_read_page_by_page(store: EventStore) -> None:
    append(store, "order-1", 1203)
    projection = Projection("totals", on_failure=OnFailure.DEAD_LETTER)
    failing(projection, lambda _: True)
    Worker(store, projection).run_until_caught_up()
    letters = ProjectionAdmin(store).dead_letters
    versions = [letter.version for letter in letters.list("totals")]
    assert versions == list(range(1, 1204))
    fifth = next(store.read_stream("order-1", after_version=4)).position
    assert next(letters.list("totals", after_position=fifth)).version == 6


# --- looking after projections


def test_the_status_tells_how_far_behind(store: EventStore) -> None:
    assert ProjectionAdmin(store).status() == []
    append(store, "order-1", 7)
    Worker(store, counting(), batch_size=3, name="host:1").run_once()
    Worker(store, Projection("another")).run_until_caught_up()
    another, one = ProjectionAdmin(store).status()
    assert (another.name, another.lag_events, another.lag_seconds) == ("another", 0, 0.0)
    assert (one.name, one.lag_events, one.worker, one.dead_letters) == ("totals", 4, "host:1", 0)
    assert 0 < one.lag_seconds < 600
    assert one.is_running, "it was seen a moment ago, and has not stopped"


def test_wait_for_says_why_it_waited_in_vain(store: EventStore) -> None:
    position = append(store, "order-1")
    projection = Projection("totals")
    failing(projection, lambda _: True)
    with pytest.raises(ProjectionFailed):
        Worker(store, projection).run_until_caught_up()
    with pytest.raises(ProjectionBehind, match="it has stopped: ValueError at position"):
        ProjectionAdmin(store).wait_for("totals", position, timeout_seconds=0)


def test_the_status_of_some(store: EventStore) -> None:
    for name in ("one", "other"):
        Worker(store, Projection(name)).run_until_caught_up()
    assert [status.name for status in ProjectionAdmin(store).status("other", "unknown")] == ["other"]


def test_a_worker_used_as_a_context_manager_says_when_it_is_gone(store: EventStore) -> None:
    append(store, "order-1")
    with Worker(store, counting()) as worker:
        worker.run_once()
        with pytest.raises(ProjectionRunning):
            ProjectionAdmin(store).reset("totals")
    ProjectionAdmin(store).reset("totals")


def test_a_worker_goes_on_being_seen_when_another_has_stopped(store: EventStore) -> None:
    append(store, "order-1")
    idle = Worker(store, counting(), name="host:1")
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(idle.run_forever)
        ProjectionAdmin(store).wait_for("totals", 1)
        Worker(store, counting(), name="host:2").run_until_caught_up()
        deadline = time.monotonic() + 4  # less than it takes until it would say so by itself
        while (
            ProjectionAdmin(store).status()[0].worker != "host:1" or not ProjectionAdmin(store).status()[0].is_running
        ):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        idle.stop()
        running.result(timeout=30)
    assert not ProjectionAdmin(store).status()[0].is_running


def test_a_reset_that_fails_changes_nothing(store: EventStore) -> None:
    position = append(store, "order-1", 3)
    Worker(store, counting()).run_until_caught_up()

    def fail(connection: Connection) -> None:
        connection.execute(totals.delete())
        raise RuntimeError

    for call in (ProjectionAdmin(store).reset, ProjectionAdmin(store).remove):
        with pytest.raises(RuntimeError):
            call("totals", in_transaction=fail)
    assert (ProjectionAdmin(store).position("totals"), counted(store.engine)) == (position, {"order-1": 3})


def test_a_removed_projection_is_unknown(store: EventStore) -> None:
    append(store, "order-1", 2)
    projection = Projection("totals", on_failure=OnFailure.DEAD_LETTER)
    failing(projection, lambda event: event.version == 2)
    Worker(store, projection).run_until_caught_up()
    ProjectionAdmin(store).remove("totals")
    assert ProjectionAdmin(store).status() == []
    for call in (ProjectionAdmin(store).position, ProjectionAdmin(store).reset, ProjectionAdmin(store).remove):
        with pytest.raises(UnknownProjection, match="'totals'"):
            call("totals")
    with pytest.raises(UnknownProjection):
        ProjectionAdmin(store).dead_letters.retry(projection, "order-1")


def test_what_is_running_is_not_touched(store: EventStore) -> None:
    append(store, "order-1")
    Worker(store, counting("one"), name="host:7").run_once()
    with store.engine.begin() as connection:
        connection.execute(totals.delete())
    Worker(store, counting("other")).run_until_caught_up()
    projections = ProjectionAdmin(store)
    calls: list[Callable[[], None]] = [
        lambda: projections.reset("one"),
        lambda: projections.remove("one"),
        lambda: projections.swap("one", "other"),
        lambda: projections.swap("other", "one"),
    ]
    for call in calls:
        with pytest.raises(ProjectionRunning) as running:
            call()
        assert running.value.worker == "host:7"
    with store.engine.begin() as connection:  # it was killed a while ago
        connection.execute(store.tables.checkpoints.update().values(seen_at=text("'2001-01-01 00:00:00.000000'")))
    projections.reset("one")


# --- inline


def test_a_repeated_append_is_projected_once(store: EventStore) -> None:
    projecting = inline(store, counting())
    events = [NewEvent("counted")]
    projecting.append("order-1", events, expected_version=0)
    assert projecting.append("order-1", events, expected_version=0).duplicate
    assert counted(store.engine) == {"order-1": 1}


def test_inline_conflicts_and_bad_input_are_those_of_the_append(store: EventStore) -> None:
    projecting = inline(store, counting())
    with pytest.raises(ConcurrencyConflict):
        projecting.append("order-1", [NewEvent("counted")], expected_version=4)
    wrong: list[Any] = [[], "counted", 7, {"event_type": "counted"}]
    for events in wrong:
        with pytest.raises(InvalidInput):
            projecting.append("order-1", events, expected_version=0)
    with pytest.raises(InvalidInput):
        inline(store)


def test_inline_filters_and_sessions(store: EventStore) -> None:
    projection = Projection(
        "totals",
        EventFilter(categories=["order"], event_types=["counted"]),
        EventFilter(stream_ids=["invoice-1"]),
        session=lambda connection: Session(bind=connection),
    )
    projection.on("counted")(lambda event, session: count(event, session.connection()))
    projecting = inline(store, projection)
    for stream_id in ("order-1", "invoice-1", "invoice-2"):
        append(projecting, stream_id)
    assert counted(store.engine) == {"order-1": 1, "invoice-1": 1}


# --- sessions


def on_savepoint(connection: Connection) -> Session:
    """Return a session as SQLAlchemy's documentation makes them for tests."""
    return Session(bind=connection, join_transaction_mode="create_savepoint")


def leaving_a_savepoint_open(event: RecordedEvent, session: Session) -> None:
    session.begin_nested()
    count(event, session.connection())


SESSIONS: dict[str, tuple[Callable[[Connection], Session], Callable[[RecordedEvent, Session], None]]] = {
    "on a savepoint of its own": (on_savepoint, lambda event, session: count(event, session.connection())),
    "with a savepoint left open": (lambda connection: Session(bind=connection), leaving_a_savepoint_open),
}


@pytest.mark.parametrize(("session", "handler"), SESSIONS.values(), ids=SESSIONS)
def test_what_is_written_by_a_session_is_committed_with_the_checkpoint(
    store: EventStore, session: Callable[[Connection], Session], handler: Callable[[RecordedEvent, Session], None]
) -> None:
    append(store, "order-1", 3)
    projection = Projection("totals", session=session)
    projection.on("counted")(handler)
    assert Worker(store, projection).run_until_caught_up() == 3
    assert counted(store.engine) == {"order-1": 3}


@pytest.mark.parametrize(("session", "handler"), SESSIONS.values(), ids=SESSIONS)
def test_what_is_written_by_a_session_is_committed_with_the_append(
    store: EventStore, session: Callable[[Connection], Session], handler: Callable[[RecordedEvent, Session], None]
) -> None:
    projection = Projection("totals", session=session)
    projection.on("counted")(handler)
    append(inline(store, projection), "order-1", 3)
    assert counted(store.engine) == {"order-1": 3}


def test_an_inline_session_within_a_savepoint_of_the_callers_keeps_what_it_writes(store: EventStore) -> None:
    projection = Projection("totals", session=lambda connection: Session(bind=connection))
    projection.on("counted")(lambda event, session: count(event, session.connection()))
    with store.engine.begin() as connection, connection.begin_nested():
        append(inline(store.join(connection), projection), "order-1", 3)
    assert counted(store.engine) == {"order-1": 3}


@pytest.mark.parametrize(
    "session",
    [
        lambda connection: scoped_session(sessionmaker(bind=connection)),
        lambda connection: Session(bind=connection.engine),
        lambda connection: Session(binds={totals: connection}),
        lambda connection: connection,
    ],
    ids=["scoped", "on the engine", "bound in part", "none"],
)
def test_a_session_that_would_not_be_committed_is_refused(store: EventStore, session: Callable[..., Any]) -> None:
    append(store, "order-1")
    projection = Projection("totals", session=session, on_failure=OnFailure.DEAD_LETTER)
    projection.on("counted")(count)
    with pytest.raises(InvalidInput, match=r"Session\(bind=connection\)"):
        Worker(store, projection).run_until_caught_up()
    with pytest.raises(InvalidInput, match=r"Session\(bind=connection\)"):
        append(inline(store, projection), "order-1")
    assert store.stream_version("order-1") == 1
    assert list(ProjectionAdmin(store).dead_letters.list("totals")) == []


# --- bad input


def test_definitions_that_can_not_be_right(store: EventStore) -> None:
    projection = counting()
    joined = store.transaction()
    calls: list[Callable[[], object]] = [
        lambda: Projection(""),
        lambda: Projection("x" * 256),
        lambda: Projection("a\0"),
        lambda: Projection(7),  # type: ignore[arg-type]
        lambda: Projection("a", "order"),  # type: ignore[arg-type]
        lambda: Projection("a", attempts=0),
        lambda: Projection("a", backoff_seconds=-1),
        lambda: Projection("a", on_failure="stop"),  # type: ignore[arg-type]
        lambda: projection.on("counted")(count),
        lambda: projection.on("")(count),
        lambda: Worker(store, "totals"),  # type: ignore[arg-type]
        lambda: Worker(store.engine, projection),  # type: ignore[arg-type]
        lambda: Worker(store, projection, batch_size=0),
        lambda: Worker(store, projection, batch_seconds=-1),
        lambda: Worker(store, projection, longest_interval_seconds=0.001),
        lambda: ProjectionAdmin(store).wait_for("totals", -1),
        lambda: ProjectionAdmin(store).wait_for("totals", "7"),  # type: ignore[arg-type]
        lambda: ProjectionAdmin(store).wait_for("totals", 1, timeout_seconds=-1),
        lambda: ProjectionAdmin(store).swap("totals", "totals"),
        lambda: ProjectionAdmin(store).dead_letters.list("totals", status="pending"),  # type: ignore[arg-type]
        lambda: ProjectionAdmin(store).dead_letters.discard("totals", 0),
        lambda: ProjectionAdmin(store).dead_letters.discard("totals", 1, note="\0"),
        lambda: ProjectionAdmin(store).dead_letters.retry("totals", "order-1"),  # type: ignore[arg-type]
    ]
    for place, call in enumerate(calls):
        with pytest.raises(InvalidInput):
            print(place, call())
    with joined as transaction:
        for call in (lambda: Worker(transaction, projection), lambda: ProjectionAdmin(transaction)):
            with pytest.raises(InvalidInput, match="joined"):
                call()
    assert ProjectionAdmin(store).status() == []


def test_only_a_joined_store_has_a_connection(store: EventStore) -> None:
    with pytest.raises(NotInTransaction, match="not joined"):
        _ = store.connection
    with store.transaction() as transaction:
        transaction.connection.execute(totals.insert().values(stream_id="mine", number=1, last=1))
    assert counted(store.engine) == {"mine": 1}


@pytest.mark.slow
def test_an_older_schema_says_what_to_run(bring_to: BringTo, new_engine: Engine) -> None:
    bring_to(new_engine, "es_0004")
    store = EventStore(new_engine)
    append(store, "order-1")
    for call in (
        Worker(store, counting()).run_once,
        ProjectionAdmin(store).status,
        lambda: ProjectionAdmin(store).reset("totals"),
    ):
        with pytest.raises(SchemaOutdated) as outdated:
            call()
        assert (outdated.value.found, outdated.value.required) == (4, 12)


def test_nothing_is_logged_where_all_is_well(store: EventStore, caplog: pytest.LogCaptureFixture) -> None:
    append(store, "order-1", 3)
    with caplog.at_level(logging.DEBUG, "eventstore"):
        Worker(store, counting()).run_until_caught_up()
    assert caplog.records == []
