"""Projections: each event once and in order, failures, dead letters, rebuilding, inline."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Column, Connection, Engine, Integer, MetaData, Table, Text, select
from sqlalchemy.exc import TimeoutError as PoolTimeout

from eventstore import (
    ANY,
    Append,
    ConcurrencyConflict,
    EventFilter,
    EventStore,
    NewEvent,
    ProjectionBehind,
    ProjectionFailed,
    RecordedEvent,
)
from eventstore.backends import waiting
from eventstore.errors import UnknownProjection
from eventstore.projections import (
    Batch,
    CatchUpProgress,
    DeadLetterStatus,
    OnFailure,
    Outcome,
    Projection,
    ProjectionAdmin,
    Worker,
    inline,
)
from eventstore.testing._base import ContractBase, is_test_of

PAYLOAD = "0042-4242"

metadata = MetaData()
totals = Table(
    "eventstore_contract_totals",
    metadata,
    Column("stream_id", Text, primary_key=True),
    Column("number", Integer, nullable=False),
    Column("last", Integer, nullable=False),
)
log = Table(
    "eventstore_contract_handled",
    metadata,
    Column("place", Integer, primary_key=True),
    Column("position", Integer, nullable=False),
)


def count(event: RecordedEvent, connection: Connection) -> None:
    """Add an event to its stream's total; a version that comes twice or out of order is an error."""
    before = connection.execute(select(totals).where(totals.c.stream_id == event.stream_id)).one_or_none()
    assert event.version == (1 if before is None else before.last + 1)
    if before is None:
        connection.execute(totals.insert().values(stream_id=event.stream_id, number=1, last=event.version))
    else:
        change = totals.update().where(totals.c.stream_id == event.stream_id)
        connection.execute(change.values(number=before.number + 1, last=event.version))
    connection.execute(log.insert().values(position=event.position))


def counting(name: str = "totals", *filters: EventFilter, **options: Any) -> Projection:
    """Return a projection that counts events."""
    projection = Projection(name, *filters, **options)
    projection.on("counted")(count)
    return projection


def append(store: EventStore, stream_id: str, number: int = 1, event_type: str = "counted") -> int:
    """Append one event or more; return the last position."""
    events = [NewEvent(event_type, {"secret": PAYLOAD}) for _ in range(number)]
    return store.append(stream_id, events, expected_version=ANY).position


def counted(engine: Engine) -> dict[str, int]:
    """Return the counts by stream."""
    with engine.connect() as connection:
        return {row.stream_id: row.number for row in connection.execute(select(totals))}


def handled(engine: Engine) -> list[int]:
    """Return the positions of the counted events, in the order in which they were handled."""
    with engine.connect() as connection:
        return list(connection.execute(select(log.c.position).order_by(log.c.place)).scalars())


def failing(projection: Projection, when: Callable[[RecordedEvent], bool]) -> list[int]:
    """Make the handler fail after it has written; return the positions at which it failed."""
    failed: list[int] = []

    @projection.on("counted")
    def fail(event: RecordedEvent, connection: Connection) -> None:
        count(event, connection)
        if when(event):
            failed.append(event.position)
            raise ValueError(PAYLOAD)

    return failed


class ProjectionContract(ContractBase):
    """The contract of projections on every database."""

    @pytest.fixture(autouse=True)
    def _tables(self, request: pytest.FixtureRequest) -> None:
        if is_test_of(ProjectionContract, request):
            metadata.create_all(request.getfixturevalue("engine"))

    def test_events_are_handled_once_and_in_order(self, store: EventStore) -> None:
        positions = [append(store, f"order-{number % 3}") for number in range(10)]
        worker = Worker(store, counting(), batch_size=4)
        assert worker.run_once() == Batch(Outcome.ADVANCED, 4, positions[3])
        assert worker.run_until_caught_up() == 6
        assert worker.run_once() == Batch(Outcome.CAUGHT_UP, 0, positions[-1])
        assert handled(store.engine) == positions
        positions.append(append(store, "order-1"))
        assert Worker(store, counting()).run_until_caught_up() == 1
        assert handled(store.engine) == positions
        assert counted(store.engine) == {"order-0": 4, "order-1": 4, "order-2": 3}

    def test_a_run_until_caught_up_reports_how_far_it_has_come(self, store: EventStore) -> None:
        positions = [append(store, f"order-{number % 3}") for number in range(5)]
        steps: list[CatchUpProgress] = []
        assert Worker(store, counting(), batch_size=2).run_until_caught_up(on_progress=steps.append) == 5
        expected = [(2, positions[1]), (4, positions[3]), (5, positions[4])]
        assert [(step.handled, step.position) for step in steps[:3]] == expected
        assert {step.end for step in steps} == {positions[4]}

    def test_projections_of_other_names_are_independent(self, store: EventStore) -> None:
        append(store, "order-1", 3)
        numbers_of: dict[str, list[int]] = {"one": [], "other": []}
        for name, numbers in numbers_of.items():
            projection = Projection(name)

            @projection.on("counted")
            def see(event: RecordedEvent, _: Connection, numbers: list[int] = numbers) -> None:
                numbers.append(event.version)

            Worker(store, projection).run_until_caught_up()
        assert numbers_of == {"one": [1, 2, 3], "other": [1, 2, 3]}

    def test_filters_choose_and_the_checkpoint_passes_over_the_rest(self, store: EventStore) -> None:
        append(store, "invoice-1")
        position = append(store, "order-1")
        last = append(store, "invoice-1", 5)
        worker = Worker(store, counting("totals", EventFilter(categories=["order"])), batch_size=2)
        assert worker.run_until_caught_up() == 1
        assert handled(store.engine) == [position]
        assert ProjectionAdmin(store).position("totals") == last

    def test_what_a_handler_writes_and_the_checkpoint_commit_together(self, store: EventStore) -> None:
        append(store, "order-1", 3)
        projection = Projection("totals")
        failed = failing(projection, lambda event: event.version == 3)
        with pytest.raises(ProjectionFailed):
            Worker(store, projection).run_until_caught_up()
        assert len(failed) == 1
        assert counted(store.engine) == {"order-1": 2}
        assert ProjectionAdmin(store).position("totals") == failed[0] - 1

    def test_dead_letters_take_later_events_of_their_stream_with_them(self, store: EventStore) -> None:
        append(store, "order-1", 2)
        append(store, "order-2", 2)
        projection = Projection("totals", on_failure=OnFailure.DEAD_LETTER)
        failing(projection, lambda event: (event.stream_id, event.version) == ("order-1", 2))
        worker = Worker(store, projection)
        worker.run_until_caught_up()
        append(store, "order-1", 2)
        append(store, "order-2")
        worker.run_until_caught_up()
        assert counted(store.engine) == {"order-1": 1, "order-2": 3}
        projections = ProjectionAdmin(store)
        letters = list(projections.dead_letters.list("totals"))
        assert [(letter.stream_id, letter.version, letter.attempts, letter.error) for letter in letters] == [
            ("order-1", 2, 1, "ValueError"),
            ("order-1", 3, 0, None),
            ("order-1", 4, 0, None),
        ]
        first = list(store.read_stream("order-1"))[1]
        assert (letters[0].event_id, letters[0].position) == (first.event_id, first.position)
        assert (letters[0].event_type, letters[0].status) == ("counted", DeadLetterStatus.PENDING)
        (status,) = projections.status()
        assert (status.dead_letters, status.lag_events, status.failure) == (3, 0, None)

    def test_dead_letters_are_retried_in_order_and_then_the_stream_goes_on(self, store: EventStore) -> None:
        append(store, "order-1", 4)
        projection = Projection("totals", on_failure=OnFailure.DEAD_LETTER)
        broken = {2, 3}
        failing(projection, lambda event: event.version in broken)
        worker = Worker(store, projection)
        worker.run_until_caught_up()
        letters = ProjectionAdmin(store).dead_letters
        with pytest.raises(ProjectionFailed) as failed:
            letters.retry(projection, "order-1")
        assert (failed.value.version, failed.value.attempts) == (2, 2)
        broken.remove(2)
        with pytest.raises(ProjectionFailed) as failed:
            letters.retry(projection, "order-1")
        assert (failed.value.version, failed.value.attempts) == (3, 1)
        assert [letter.version for letter in letters.list("totals", status=DeadLetterStatus.RESOLVED)] == [2]
        assert [(letter.version, letter.attempts, letter.error) for letter in letters.list("totals")] == [
            (3, 1, "ValueError"),
            (4, 0, None),
        ]
        broken.clear()
        assert letters.retry(projection, "order-1") == 2
        assert letters.retry(projection, "order-1") == 0
        assert list(letters.list("totals")) == []
        append(store, "order-1")
        assert worker.run_until_caught_up() == 1
        assert counted(store.engine) == {"order-1": 5}

    def test_wait_for_is_exact(self, store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
        projections = ProjectionAdmin(store)
        first = store.append("order-1", [NewEvent("counted")], expected_version=0)
        with pytest.raises(ProjectionBehind) as behind:
            projections.wait_for("totals", first, timeout_seconds=0.05)
        assert isinstance(behind.value, TimeoutError)
        assert (behind.value.position, behind.value.wanted) == (0, first.position)
        Worker(store, counting()).run_until_caught_up()
        assert projections.wait_for("totals", first, timeout_seconds=0) == first.position
        second = store.append("invoice-1", [NewEvent("other")], expected_version=0)
        with pytest.raises(ProjectionBehind):
            projections.wait_for("totals", second.position, timeout_seconds=0)
        # a worker starts after the first check, while `wait_for` sleeps before the next one
        clock = SimpleNamespace(sleep=lambda _: Worker(store, counting()).run_until_caught_up())
        monkeypatch.setattr(waiting, "time", clock)
        assert projections.wait_for("totals", second, timeout_seconds=30) == second.position

    def test_reset_begins_again(self, store: EventStore) -> None:
        append(store, "order-1", 3)
        projection = Projection("totals", on_failure=OnFailure.DEAD_LETTER)
        failing(projection, lambda event: event.version == 2)
        Worker(store, projection).run_until_caught_up()
        projections = ProjectionAdmin(store)
        projections.reset("totals", in_transaction=lambda connection: connection.execute(totals.delete()))
        assert (projections.position("totals"), list(projections.dead_letters.list("totals"))) == (0, [])
        assert counted(store.engine) == {}
        Worker(store, counting()).run_until_caught_up()
        assert counted(store.engine) == {"order-1": 3}

    def test_a_rebuilt_projection_takes_the_place_of_the_old_one(self, store: EventStore) -> None:
        append(store, "order-1", 3)
        old = Projection("totals", on_failure=OnFailure.DEAD_LETTER)
        failing(old, lambda event: event.version == 2)
        Worker(store, old).run_until_caught_up()
        versions: list[int] = []
        new = Projection("totals-2")
        new.on("counted")(lambda event, _: versions.append(event.version))
        projections = ProjectionAdmin(store)
        with pytest.raises(UnknownProjection):
            projections.swap("totals", "totals-2")
        Worker(store, new, batch_size=1).run_once()
        with store.engine.begin() as connection:
            connection.execute(store.tables.checkpoints.update().values(seen_at=None))
        with pytest.raises(ProjectionBehind):
            projections.swap("totals", "totals-2")
        Worker(store, new).run_until_caught_up()
        last = append(store, "order-1")
        Worker(store, new).run_until_caught_up()
        projections.swap("totals", "totals-2", in_transaction=lambda connection: connection.execute(totals.delete()))
        (status,) = projections.status()
        assert (status.name, status.position, status.dead_letters) == ("totals", last, 0)
        assert versions == [1, 2, 3, 4]

    def test_dead_letters_of_a_rebuilt_projection_come_along(self, store: EventStore) -> None:
        append(store, "order-1", 2)
        Worker(store, Projection("totals")).run_until_caught_up()
        new = Projection("totals-2", on_failure=OnFailure.DEAD_LETTER)
        failing(new, lambda event: event.version == 2)
        Worker(store, new).run_until_caught_up()
        projections = ProjectionAdmin(store)
        projections.swap("totals", "totals-2")
        assert list(projections.dead_letters.list("totals-2")) == []
        assert projections.status()[0].dead_letters == 1
        append(store, "order-1")
        Worker(store, counting(on_failure=OnFailure.DEAD_LETTER)).run_until_caught_up()
        letters = [(letter.version, letter.attempts) for letter in projections.dead_letters.list("totals")]
        assert letters == [(2, 1), (3, 0)], "later events of the stream follow, under the new name"

    def test_what_happens_to_a_handler_elsewhere_is_its_events_failure(self, store: EventStore) -> None:
        positions = [append(store, f"order-{number}") for number in range(3)]
        projection = Projection("totals", on_failure=OnFailure.DEAD_LETTER)

        @projection.on("counted")
        def handle(event: RecordedEvent, connection: Connection) -> None:
            count(event, connection)
            if event.position == positions[1]:
                raise PoolTimeout(PAYLOAD)  # a driver's error about another database would do the same

        Worker(store, projection).run_until_caught_up()
        assert counted(store.engine) == {"order-0": 1, "order-2": 1}
        (letter,) = ProjectionAdmin(store).dead_letters.list("totals")
        assert (letter.position, letter.error) == (positions[1], "TimeoutError")

    @pytest.mark.parametrize("ending", ["commit", "rollback"])
    def test_a_handler_that_ends_the_transaction_has_failed(self, store: EventStore, ending: str) -> None:
        positions = [append(store, f"order-{number}") for number in range(3)]
        projection = Projection("totals", on_failure=OnFailure.DEAD_LETTER)

        @projection.on("counted")
        def handle(event: RecordedEvent, connection: Connection) -> None:
            if event.position == positions[1]:
                connection.exec_driver_sql(ending.upper())
                connection.exec_driver_sql("BEGIN")
            connection.execute(log.insert().values(position=event.position))

        Worker(store, projection).run_until_caught_up()
        assert {positions[0], positions[2]} <= set(handled(store.engine)) <= set(positions)
        (letter,) = ProjectionAdmin(store).dead_letters.list("totals")
        assert (letter.position, letter.error) == (positions[1], "TransactionBroken")

    def test_an_inline_projection_never_lags(self, store: EventStore) -> None:
        projecting = inline(store, counting())
        projecting.append("order-1", [NewEvent("counted"), NewEvent("other")], expected_version=0)
        assert counted(store.engine) == {"order-1": 1}
        projecting.append_many(
            [
                Append("order-2", [NewEvent("counted")], expected_version=0),
                Append("order-3", iter([NewEvent("counted"), NewEvent("counted")]), expected_version=0),
                Append("order-2", [NewEvent("counted")], expected_version=1),
            ]
        )
        assert counted(store.engine) == {"order-1": 1, "order-2": 2, "order-3": 2}
        results = projecting.append_many(
            [
                Append("order-1", [NewEvent("counted")], expected_version=0),
                Append("order-3", [NewEvent("counted")], expected_version=2),
            ],
            atomic=False,
        )
        assert isinstance(results[0], ConcurrencyConflict)
        assert counted(store.engine) == {"order-1": 1, "order-2": 2, "order-3": 3}
        assert append(store, "order-4") > 0
        assert "order-4" not in counted(store.engine), "the store without it does not know of it"

    def test_an_inline_handler_that_fails_undoes_the_append(self, store: EventStore) -> None:
        projection = Projection("totals")
        failing(projection, lambda event: event.version == 2)
        projecting = inline(store, projection)
        with pytest.raises(ValueError, match=PAYLOAD):
            projecting.append("order-1", [NewEvent("counted"), NewEvent("counted")], expected_version=0)
        assert (store.stream_version("order-1"), counted(store.engine)) == (0, {})
        with store.engine.begin() as connection:
            connection.execute(totals.insert().values(stream_id="mine", number=1, last=1))
            with pytest.raises(ValueError, match=PAYLOAD):
                projecting.join(connection).append_many(
                    [Append("order-1", [NewEvent("counted"), NewEvent("counted")], expected_version=0)]
                )
            projecting.join(connection).append("order-2", [NewEvent("counted")], expected_version=0)
        assert counted(store.engine) == {"mine": 1, "order-2": 1}
        assert store.stream_version("order-1") == 0
