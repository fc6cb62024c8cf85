"""Deleting and archiving streams: what is left of them, and what is refused."""

from functools import partial
from typing import Any

import pytest
from sqlalchemy import Engine, func, select
from sqlalchemy.exc import IntegrityError

from eventstore import (
    ANY,
    NO_STREAM,
    STREAM_EXISTS,
    AggregateNotFound,
    Append,
    ConcurrencyConflict,
    EventFilter,
    EventStore,
    EventTypes,
    InvalidInput,
    NewEvent,
    RecordedEvent,
    Repository,
    StreamClosed,
)
from eventstore.errors import InvalidEvent, InvalidExpectedVersion, StreamDeleted
from eventstore.events import STREAM_DELETED_EVENT
from eventstore.projections import DeadLetterStatus, OnFailure, Projection, ProjectionAdmin, Worker, inline
from eventstore.testing._base import ContractBase, MakeStore, numbered, numbers

REASON = "asked for by the customer, ticket 7"


def delete(store: EventStore, stream_id: str = "order-1", **options: Any) -> int:
    """Delete a stream, and return the position of its tombstone."""
    options = {"expected_version": STREAM_EXISTS, "reason": REASON, **options}
    return store.delete_stream(stream_id, **options).position


class DeletionContract(ContractBase):
    """The contract of deleted and archived streams."""

    @pytest.fixture
    def two(self, store: EventStore) -> EventStore:
        """Return the store with two streams of three events each."""
        store.append_many([Append(f"order-{number}", numbered(3), expected_version=0) for number in (1, 2)])
        return store

    def test_of_a_deleted_stream_one_event_is_left(self, two: EventStore) -> None:
        before = two.settled_position()
        result = two.delete_stream("order-1", expected_version=3, reason=REASON, metadata={"user_id": 7})
        (left,) = two.read_stream("order-1")
        assert (left.event_type, left.version, left.position) == (STREAM_DELETED_EVENT, 4, result.position)
        assert (left.data, left.metadata) == ({"reason": REASON, "reusable": False}, {"user_id": 7})
        assert (result.version, two.stream_version("order-1")) == (4, 4)
        assert [event.position for event in two.read_all(after_position=before)] == [result.position]
        assert [event.stream_id for event in two.read_all()] == ["order-2"] * 3 + ["order-1"]
        assert list(two.read_stream("order-1", backwards=True)) == [left]
        assert numbers(two.read_stream("order-2")) == [1, 2, 3]

    @pytest.mark.parametrize("count", [1, 2])
    def test_a_deleted_stream_takes_no_more_events(self, two: EventStore, count: int) -> None:
        delete(two)
        expectations: list[Any] = [NO_STREAM, 3, 4, 5, ANY, STREAM_EXISTS]
        for expected in expectations:
            appends = [
                Append("order-2", numbered(1, 4), expected_version=3),
                Append("order-1", numbered(count), expected_version=expected),
            ]
            for attempt in (
                partial(two.append, "order-1", numbered(count), expected_version=expected),
                partial(two.append_many, appends),
                partial(two.append_many, appends, atomic=False),
            ):
                with pytest.raises(StreamDeleted, match="its last event says when and why") as error:
                    attempt()
                assert error.value.stream_id == "order-1"
        assert (two.stream_version("order-1"), two.stream_version("order-2")) == (4, 3)

    def test_a_refusal_leaves_the_callers_transaction_usable(self, two: EventStore) -> None:
        delete(two)
        expectations: list[Any] = [NO_STREAM, 3, 4, 5, ANY, STREAM_EXISTS]
        with two.transaction() as tx:
            for expected in expectations:
                for count in (1, 2):
                    appends = [
                        Append("order-1", numbered(count), expected_version=expected),
                        Append("order-2", numbered(1, 4), expected_version=3),
                    ]
                    for refused in (
                        partial(tx.append, "order-1", numbered(count), expected_version=expected),
                        partial(tx.append_many, appends),
                        partial(tx.append_many, appends, atomic=False),
                        partial(tx.append_many, appends[:1]),
                    ):
                        with pytest.raises(StreamDeleted):
                            refused()
            with pytest.raises(StreamDeleted):
                tx.delete_stream("order-1", expected_version=4, reason=REASON)
            tx.append("order-2", numbered(1, 4), expected_version=3)
        assert (two.stream_version("order-1"), two.stream_version("order-2")) == (4, 4)

    def test_so_does_the_end_of_a_stream_in_the_same_transaction(self, two: EventStore) -> None:
        expectations: list[Any] = [4, ANY, STREAM_EXISTS]
        with two.transaction() as tx:
            delete(tx)
            for expected in expectations:
                with pytest.raises(StreamDeleted):
                    tx.append("order-1", numbered(1), expected_version=expected)
            tx.append("order-2", numbered(1, 4), expected_version=3)
        assert (two.stream_version("order-1"), two.stream_version("order-2")) == (4, 4)

    def test_a_stream_that_may_be_used_again_goes_on_after_its_end(self, two: EventStore) -> None:
        two.snapshots.save("order-1", version=3, state="old")
        delete(two, reusable=True)
        for expected in (NO_STREAM, 3):
            with pytest.raises(ConcurrencyConflict) as conflict:
                two.append("order-1", numbered(1), expected_version=expected)
            assert conflict.value.actual == 4
        assert two.append("order-1", numbered(2), expected_version=4).version == 6
        assert [event.version for event in two.read_stream("order-1")] == [4, 5, 6]
        assert two.snapshots.load("order-1") is None
        assert two.delete_stream("order-1", expected_version=6, reason=REASON).version == 7
        assert [event.version for event in two.read_stream("order-1")] == [7]

    def test_a_stream_at_another_version_is_not_deleted(self, two: EventStore) -> None:
        others: list[tuple[str, Any]] = [("order-1", 2), ("order-1", 4), ("order-9", STREAM_EXISTS), ("order-9", 1)]
        for stream_id, expected in others:
            with pytest.raises(ConcurrencyConflict):
                two.delete_stream(stream_id, expected_version=expected, reason=REASON)
        assert numbers(two.read_stream("order-1")) == [1, 2, 3]
        assert two.stream_version("order-9") == 0

    def test_to_delete_it_again_says_that_it_was_done(self, two: EventStore) -> None:
        delete(two)
        again: list[Any] = [3, 4, STREAM_EXISTS]
        for expected in again:
            with pytest.raises(StreamDeleted):
                two.delete_stream("order-1", expected_version=expected, reason=REASON)
        assert len(list(two.read_stream("order-1"))) == 1

    def test_its_snapshots_go_and_none_comes_after(self, two: EventStore, engine: Engine) -> None:
        two.snapshots.save("order-1", version=3, state="secret")
        two.snapshots.save("order-2", version=3, state="kept")
        delete(two)
        for version in (1, 3):  # as a writer that has read the events before
            assert two.snapshots.save("order-1", version=version, state="secret") is False
        with engine.connect() as connection:
            snapshots = two.tables.snapshots
            assert connection.execute(select(snapshots.c.stream_id)).scalars().all() == ["order-2"]

    def test_it_is_undone_with_the_callers_transaction(self, two: EventStore) -> None:
        two.snapshots.save("order-1", version=3, state="kept")
        with pytest.raises(ZeroDivisionError), two.transaction() as tx:
            tx.append("order-2", numbered(1, 4), expected_version=3)
            delete(tx)
            assert len(list(tx.read_stream("order-1"))) == 1
            raise ZeroDivisionError
        assert numbers(two.read_stream("order-1")) == [1, 2, 3]
        assert two.snapshots.load("order-1") is not None
        assert two.append("order-1", numbered(1, 4), expected_version=3).version == 4

    def test_history_is_protected_all_the_same(self, two: EventStore) -> None:
        with two.transaction() as tx:
            delete(tx)
            with pytest.raises(IntegrityError, match="never changed"), tx.transaction() as inner:
                inner.connection.execute(two.tables.events.delete())
        assert numbers(two.read_stream("order-2")) == [1, 2, 3]

    def test_a_stream_of_several_pages(self, make_store: MakeStore, engine: Engine) -> None:
        store = make_store(page_size=2)
        store.append("order-1", numbered(7), expected_version=0)
        delete(store)
        assert [event.version for event in store.read_stream("order-1")] == [8]
        with engine.connect() as connection:
            assert connection.execute(select(func.count()).select_from(store.tables.events)).scalar() == 1

    def test_what_can_not_be_asked_of_a_deletion_is_refused(self, two: EventStore) -> None:
        bad: list[tuple[type[Exception], dict[str, Any]]] = [
            (InvalidExpectedVersion, {"expected_version": ANY}),
            (InvalidExpectedVersion, {"expected_version": NO_STREAM}),
            (InvalidExpectedVersion, {"expected_version": -1}),
            (InvalidInput, {"reason": " "}),
            (InvalidInput, {"reason": "a\0b"}),
            (InvalidInput, {"reason": None}),
            (InvalidInput, {"metadata": {"a": object()}}),
            (InvalidInput, {"reusable": 1}),
            (InvalidInput, {"stream_id": ""}),
        ]
        for error, options in bad:
            with pytest.raises(error):
                delete(two, **options)
        assert numbers(two.read_stream("order-1")) == [1, 2, 3]

    def test_applications_can_not_append_such_an_event(self, two: EventStore) -> None:
        with pytest.raises(InvalidEvent, match="delete_stream"):
            two.append("order-1", [NewEvent("a"), NewEvent(STREAM_DELETED_EVENT)], expected_version=3)

    def test_strict_event_types_know_it(self, two: EventStore, make_store: MakeStore) -> None:
        delete(two)
        strict = make_store(event_types=EventTypes(unregistered="error"))
        assert [event.event_type for event in strict.read_stream("order-1")] == [STREAM_DELETED_EVENT]

    def test_projections_get_the_event(self, two: EventStore) -> None:
        handled: list[tuple[str, int]] = []
        projection = Projection("deletion-contract", EventFilter(categories=["order"]))

        @projection.on()
        def see(event: RecordedEvent, _: object) -> None:
            handled.append((event.event_type, event.version))

        Worker(two, projection).run_until_caught_up()
        delete(two)
        Worker(two, projection).run_until_caught_up()
        assert handled[6:] == [(STREAM_DELETED_EVENT, 4)]
        deleted: list[str] = []
        on_the_spot = Projection("deletion-contract-inline")
        on_the_spot.on(STREAM_DELETED_EVENT)(lambda event, _: deleted.append(event.stream_id))
        delete(inline(two, on_the_spot), "order-2")
        assert deleted == ["order-2"]

    def test_its_dead_letters_are_discarded(self, two: EventStore) -> None:
        deleted: list[str] = []
        projection = Projection("deletion-contract-strict", on_failure=OnFailure.DEAD_LETTER)

        @projection.on("counted")
        def refuse(event: RecordedEvent, _: object) -> None:
            if event.data["number"] == 2:
                raise ZeroDivisionError

        projection.on(STREAM_DELETED_EVENT)(lambda event, _: deleted.append(event.stream_id))
        Worker(two, projection).run_until_caught_up()
        projections = ProjectionAdmin(two)
        assert len(list(projections.dead_letters.list("deletion-contract-strict"))) == 4
        delete(two)
        Worker(two, projection).run_until_caught_up()
        assert deleted == ["order-1"]
        letters = list(projections.dead_letters.list("deletion-contract-strict", status=DeadLetterStatus.DISCARDED))
        assert [letter.stream_id for letter in letters] == ["order-1"] * 2
        assert all(REASON in (letter.note or "") for letter in letters)

    def test_a_repository_knows_it_as_ended(self, two: EventStore) -> None:
        orders = Repository(
            two, category="order", initial=int, evolve=lambda state, event: state + int(event.data["number"])
        )
        assert orders.load("1").state == 6
        delete(two)
        delete(two, "order-2", reusable=True)
        for load in (
            lambda: orders.load("1"),
            lambda: orders.load("1", must_exist=False),
            lambda: orders.load("1", version=2),
            lambda: orders.execute("1", lambda _: [NewEvent("counted", {"number": 1})]),
        ):
            with pytest.raises(StreamClosed):
                load()
        with pytest.raises(AggregateNotFound):
            orders.load("9")
        orders.execute("2", lambda state: [NewEvent("counted", {"number": state + 5})])
        assert (orders.load("2").state, orders.load("2").version) == (5, 5)
