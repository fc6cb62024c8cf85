"""Tags, consistency boundaries, and appends on condition that no event has come between."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Barrier
from typing import Any
from uuid import UUID, uuid4

import pytest

from eventstore import ANY, NO_STREAM, Append, ConcurrencyConflict, EventFilter, EventStore, EventTypes, NewEvent
from eventstore.boundaries import Boundary
from eventstore.errors import BoundaryChanged, InvalidEvent, InvalidFilter, InvalidInput, InvalidMetadata
from eventstore.testing._base import ContractBase, MakeStore
from eventstore.testing.boundary_oracle import Courses

COURSE, STUDENT = "course:c1", "student:s7"


@dataclass(frozen=True, slots=True)
class Enrolled:
    """An event of a registered class with tags."""

    course_id: str
    student_id: UUID | None
    number: int | float


def enrolled(*tags: str) -> NewEvent:
    """Return an event with tags."""
    return NewEvent("student-enrolled", {"n": 1}, tags=tags)


class BoundaryContract(ContractBase):
    """Tags, boundaries, conditions."""

    def test_tags_come_back_and_metadata_is_read_as_it_was_given(self, store: EventStore) -> None:
        events = [NewEvent("a", tags=["b", "é:1", "A"], metadata={"own": 1}), NewEvent("b"), NewEvent("c", tags=("x",))]
        store.append("order-1", events, expected_version=ANY, metadata={"shared": [2]})
        for read in (list(store.read_stream("order-1")), list(store.read_all())):
            assert [event.tags for event in read] == [("b", "é:1", "A"), (), ("x",)]
            assert [event.metadata for event in read] == [{"shared": [2], "own": 1}, *[{"shared": [2]}] * 2]

    def test_a_registered_class_gives_tags(self, make_store: MakeStore) -> None:
        event_types, student = EventTypes(), uuid4()
        kinds = {"course": "course_id", "student": "student_id", "number": "number"}
        event_types.register("student-enrolled", Enrolled, tags=kinds)
        store = make_store(event_types=event_types)
        given = event_types.new_event(Enrolled("c2", None, 2), tags=["x", "course:c2"])
        store.append("order-1", [Enrolled("c1", student, 1), given], expected_version=ANY)
        assert [event.tags for event in store.read_stream("order-1")] == [
            ("course:c1", f"student:{student}", "number:1"), ("x", "course:c2", "number:2")
        ]  # fmt: skip
        assert len(store.read_boundary(EventFilter(tags=["course:c2", "number:2"]))) == 1

    @pytest.mark.parametrize(
        "tags",
        [
            "course:c1", b"x", [""], ["x" * 256], ["a\0b"], ["\ud800"], [7], [None], ["a", "a"], 7, {"a": 1},
            [str(number) for number in range(33)],
        ],
    )  # fmt: skip
    def test_a_tag_that_can_not_be_stored_is_refused(self, tags: Any) -> None:
        with pytest.raises(InvalidEvent, match="tag") as refused:
            NewEvent("a", tags=tags)
        assert "c1" not in str(refused.value)
        with pytest.raises(InvalidFilter, match="tag"):
            EventFilter(tags=tags)

    def test_the_key_of_tags_in_metadata_is_reserved(self, store: EventStore) -> None:
        for tags in ((), ("a",)):
            with pytest.raises(InvalidMetadata, match="tags to NewEvent"):
                store.append("order-1", NewEvent("a", metadata={"$tags": ["x"]}, tags=tags), expected_version=ANY)
        with pytest.raises(InvalidMetadata, match="tags to NewEvent"):
            store.append("order-1", NewEvent("a"), expected_version=ANY, metadata={"$tags": ["x"]})
        assert store.stream_version("order-1") == 0

    def test_a_class_whose_tags_can_not_be_made_is_refused(self, make_store: MakeStore) -> None:
        event_types = EventTypes()
        bad: list[Any] = [["course"], {"course": "no_field"}, {"": "course_id"}, {1: "course_id"}]
        for kinds in bad:
            with pytest.raises(InvalidEvent, match=r"tag|field"):
                event_types.register("student-enrolled", Enrolled, tags=kinds)
        event_types.register("student-enrolled", Enrolled, tags={"number": "number"})
        with pytest.raises(InvalidEvent, match="'number' of Enrolled"):
            make_store(event_types=event_types).append("o-1", Enrolled("c", None, 1.5), expected_version=ANY)

    def test_a_boundary_has_the_events_that_match_a_query_each_once_in_order(self, store: EventStore) -> None:
        store.append("a-1", [enrolled(COURSE, STUDENT), enrolled(COURSE), enrolled(STUDENT)], expected_version=ANY)
        store.append("a-2", [NewEvent("opened", tags=[COURSE]), NewEvent("opened")], expected_version=ANY)

        def positions(*queries: EventFilter) -> list[int]:
            return [event.position - first for event in store.read_boundary(*queries)]

        first = next(store.read_all()).position - 1
        assert positions(EventFilter(tags=[COURSE])) == [1, 2, 4]
        assert positions(EventFilter(tags=[COURSE, STUDENT])) == [1]
        assert positions(EventFilter(tags=[COURSE], event_types=["opened", "none"])) == [4]
        assert positions(EventFilter(tags=[STUDENT]), EventFilter(tags=[COURSE], event_types=["opened"])) == [1, 3, 4]
        assert positions(EventFilter(tags=["none"])) == []

    def test_an_append_on_condition_is_stored_if_nothing_has_come_between(self, store: EventStore) -> None:
        boundary = store.read_boundary(EventFilter(tags=[COURSE]), EventFilter(tags=[STUDENT]))
        first = store.append("e-1", enrolled(COURSE, STUDENT), expected_version=NO_STREAM, condition=boundary)
        boundary = store.read_boundary(EventFilter(tags=[COURSE, STUDENT]))
        store.append("x-1", [enrolled(COURSE), enrolled(STUDENT), NewEvent("other")], expected_version=ANY)
        store.append("e-2", NewEvent("no-tags"), expected_version=NO_STREAM, condition=boundary)
        assert [event.position for event in boundary] == [first.position]

    def test_an_append_is_refused_by_the_first_event_that_has_come_between(self, store: EventStore) -> None:
        store.append("x-1", enrolled(COURSE, STUDENT), expected_version=ANY)
        boundary = store.read_boundary(EventFilter(tags=[STUDENT]), EventFilter(tags=[COURSE]))
        first = store.append("x-2", enrolled(COURSE), expected_version=ANY)
        store.append("x-3", enrolled(STUDENT), expected_version=ANY)
        with pytest.raises(BoundaryChanged) as refused:
            store.append("e-1", enrolled(STUDENT), expected_version=ANY, condition=boundary)
        error = refused.value
        assert isinstance(error, ConcurrencyConflict)
        assert (error.position, error.event_type, error.event_stream_id) == (first.position, "student-enrolled", "x-2")
        assert (error.stream_id, COURSE in str(error)) == ("e-1", False)
        assert store.stream_version("e-1") == 0

    def test_the_same_boundary_twice(self, store: EventStore) -> None:
        boundary = store.read_boundary(EventFilter(tags=[COURSE]))
        other = store.read_boundary(EventFilter(tags=[STUDENT]))
        store.append("e-1", enrolled(STUDENT), expected_version=ANY, condition=[boundary, boundary])
        store.append("e-2", enrolled(COURSE), expected_version=ANY, condition=[boundary, boundary])
        for condition in (boundary, [other, boundary], other):
            with pytest.raises(BoundaryChanged):
                store.append("e-3", enrolled("free"), expected_version=ANY, condition=condition)

    def test_two_types_under_one_tag_do_not_conflict(self, store: EventStore) -> None:
        boundary = store.read_boundary(EventFilter(tags=[COURSE], event_types=["student-enrolled"]))
        store.append("x-1", [NewEvent("renamed", tags=[COURSE]), enrolled("course:c2")], expected_version=ANY)
        store.append("e-1", enrolled(COURSE), expected_version=ANY, condition=boundary)

    def test_a_condition_and_an_expected_version(self, store: EventStore) -> None:
        boundary = store.read_boundary(EventFilter(tags=[COURSE]))
        store.append("e-1", NewEvent("a"), expected_version=NO_STREAM, condition=boundary)
        for expected in (NO_STREAM, 2):
            with pytest.raises(ConcurrencyConflict) as refused:
                store.append("e-1", enrolled(COURSE), expected_version=expected, condition=boundary)
            assert (type(refused.value), refused.value.actual) == (ConcurrencyConflict, 1)
        assert store.append("e-1", enrolled(COURSE), expected_version=1, condition=boundary).version == 2

    def test_an_append_on_condition_is_repeated_idempotently(self, store: EventStore) -> None:
        boundary, events = store.read_boundary(EventFilter(tags=[COURSE])), [enrolled(COURSE), enrolled(COURSE, "x")]
        first = store.append("e-1", events, expected_version=NO_STREAM, condition=boundary)
        again = store.append("e-1", events, expected_version=NO_STREAM, condition=boundary)
        assert (again.duplicate, again.position) == (True, first.position)
        (many,) = store.append_many([Append("e-1", events, expected_version=NO_STREAM)], condition=boundary)
        assert (many.duplicate, many.position) == (True, first.position)
        assert len(store.read_boundary(EventFilter(tags=[COURSE]))) == 2

    def test_several_streams_on_one_condition(self, store: EventStore) -> None:
        boundary = store.read_boundary(EventFilter(tags=[COURSE]))
        appends = [
            Append("e-1", [enrolled("a"), enrolled(COURSE, "b")], expected_version=ANY),
            Append("e-2", [NewEvent("x"), enrolled("b")], expected_version=ANY),
        ]
        store.append_many(appends, condition=boundary)
        by_tag = {tag: [(event.stream_id, event.version) for event in store.read_boundary(EventFilter(tags=[tag]))]
                  for tag in ("a", "b", COURSE)}  # fmt: skip
        assert by_tag == {"a": [("e-1", 1)], "b": [("e-1", 2), ("e-2", 2)], COURSE: [("e-1", 2)]}
        for atomic in (True, False):
            with pytest.raises(BoundaryChanged):
                store.append_many(
                    [Append("e-3", NewEvent("x"), expected_version=ANY)], condition=boundary, atomic=atomic
                )
        assert store.stream_version("e-3") == 0

    def test_a_refusal_leaves_the_transaction_usable(self, store: EventStore) -> None:
        boundary = store.read_boundary(EventFilter(tags=[COURSE]))
        store.append("x-1", enrolled(COURSE), expected_version=ANY)
        with store.transaction() as tx:
            tx.append("e-1", enrolled("a"), expected_version=ANY)
            with pytest.raises(BoundaryChanged):
                tx.append("e-2", enrolled("a"), expected_version=ANY, condition=boundary)
            with pytest.raises(BoundaryChanged):
                tx.append_many([Append("e-2", enrolled("a"), expected_version=ANY)], condition=boundary)
            own = tx.read_boundary(EventFilter(tags=["a"]))
            tx.append("e-3", enrolled("a"), expected_version=ANY, condition=own)
        assert [event.stream_id for event in store.read_boundary(EventFilter(tags=["a"]))] == ["e-1", "e-3"]

    def test_a_boundary_of_what_was_rolled_back_is_refused(self, store: EventStore) -> None:
        taken: list[Boundary] = []
        with pytest.raises(RuntimeError, match="stop"), store.transaction() as tx:
            tx.append("e-1", enrolled(COURSE), expected_version=ANY)
            taken.append(tx.read_boundary(EventFilter(tags=[COURSE])))
            raise RuntimeError("stop")
        with pytest.raises(BoundaryChanged, match="no longer has") as refused:
            store.append("e-2", enrolled(COURSE), expected_version=ANY, condition=taken)
        assert refused.value.position is None

    def test_a_savepoint_that_is_rolled_back_leaves_no_tags(self, store: EventStore) -> None:
        with store.transaction() as tx:
            with pytest.raises(RuntimeError, match="stop"), tx.transaction() as savepoint:
                savepoint.append("e-1", enrolled(COURSE), expected_version=ANY)
                raise RuntimeError("stop")
            tx.append("e-2", enrolled("a"), expected_version=ANY)
        assert len(store.read_boundary(EventFilter(tags=[COURSE]))) == 0
        assert len(store.read_boundary(EventFilter(tags=["a"]))) == 1

    def test_a_boundary_is_refused_after_its_event_was_deleted(self, store: EventStore) -> None:
        store.append("x-1", enrolled(COURSE), expected_version=ANY)
        store.append("x-2", enrolled(COURSE), expected_version=ANY)
        boundary = store.read_boundary(EventFilter(tags=[COURSE]))
        store.delete_stream("x-2", expected_version=1, reason="asked for")
        with pytest.raises(BoundaryChanged, match="no longer has"):
            store.append("e-1", enrolled(COURSE), expected_version=ANY, condition=boundary)
        boundary = store.read_boundary(EventFilter(tags=[COURSE]))
        store.append("e-1", enrolled(COURSE), expected_version=ANY, condition=boundary)
        assert [event.stream_id for event in boundary] == ["x-1"]

    def test_a_boundary_is_a_value_that_pickles(self, store: EventStore) -> None:
        store.append("x-1", enrolled(COURSE), expected_version=ANY)
        boundary = store.read_boundary(EventFilter(tags=[COURSE]))
        kept = pickle.loads(pickle.dumps(boundary))  # noqa: S301  # of the test itself
        assert (kept, COURSE in repr(kept)) == (boundary, False)
        store.append("e-1", enrolled(COURSE), expected_version=ANY, condition=kept)
        with pytest.raises(BoundaryChanged):
            store.append("e-2", enrolled(COURSE), expected_version=ANY, condition=kept)

    def test_a_boundary_of_another_store_is_refused_if_it_has_seen_an_event(self, store: EventStore) -> None:
        with EventStore.in_memory() as other:
            other.append("x-1", enrolled(COURSE), expected_version=ANY)
            store.append("y-1", enrolled("course:c2"), expected_version=ANY)
            foreign = other.read_boundary(EventFilter(tags=[COURSE]))
        with pytest.raises(BoundaryChanged, match="no longer has"):
            store.append("e-1", enrolled(COURSE), expected_version=ANY, condition=foreign)

    @pytest.mark.parametrize("number", [201, 20_000])
    def test_an_append_may_have_any_number_of_tags(self, store: EventStore, number: int) -> None:
        boundary = store.read_boundary(EventFilter(tags=["t:7"]))
        events = [NewEvent("a", tags=[f"t:{index}", f"u:{index % 50}"]) for index in range(number)]
        store.append("x-1", events, expected_version=ANY)
        assert len(store.read_boundary(EventFilter(tags=["u:7"]))) == number // 50 + (number % 50 > 7)
        with pytest.raises(BoundaryChanged) as refused:
            store.append("e-1", NewEvent("a"), expected_version=ANY, condition=boundary)
        assert refused.value.event_stream_id == "x-1"

    def test_what_is_no_query_is_refused(self, store: EventStore) -> None:
        bad: list[tuple[Any, ...]] = [(), (EventFilter(),), (EventFilter(event_types=["a"]),), ("course:c1",), (None,)]
        tagged: dict[str, Any] = {"tags": ["a"]}
        bad += [(EventFilter(**tagged, categories=["a"]),), ([EventFilter(**tagged)],)]
        bad += [tuple(EventFilter(tags=[str(number)]) for number in range(101))]
        for queries in bad:
            with pytest.raises(InvalidFilter):
                store.read_boundary(*queries)
        with pytest.raises(InvalidFilter, match="tags is empty"):
            EventFilter(tags=[])

    def test_a_query_without_tags_needs_the_word_that_says_what_it_locks(self, store: EventStore) -> None:
        for query in (EventFilter(event_types=["a"]), EventFilter(categories=["a"]), EventFilter()):
            with pytest.raises(InvalidFilter, match="lock_all_appends=True"):
                store.read_boundary(query)
            assert store.read_boundary(query, lock_all_appends=True).locks_all_appends
        wrong: Any = "no"
        with pytest.raises(InvalidInput, match="lock_all_appends"):
            store.read_boundary(EventFilter(tags=["a"]), lock_all_appends=wrong)
        with pytest.raises(InvalidFilter, match="expected_version"):
            store.read_boundary(EventFilter(stream_ids=["a-1"]), lock_all_appends=True)

    def test_a_boundary_without_tags_has_the_events_that_match_each_once_in_order(self, store: EventStore) -> None:
        store.append("a-1", [NewEvent("x"), NewEvent("y", tags=[COURSE]), NewEvent("x")], expected_version=ANY)
        store.append("b-1", [NewEvent("x", tags=[COURSE, STUDENT]), NewEvent("z")], expected_version=ANY)

        def positions(*queries: EventFilter) -> list[int]:
            return [event.position - first for event in store.read_boundary(*queries, lock_all_appends=True)]

        first = next(store.read_all()).position - 1
        assert positions(EventFilter()) == [1, 2, 3, 4, 5]
        assert positions(EventFilter(event_types=["x"])) == [1, 3, 4]
        assert positions(EventFilter(event_types=["x", "z"], categories=["b"])) == [4, 5]
        assert positions(EventFilter(categories=["a"]), EventFilter(event_types=["x"])) == [1, 2, 3, 4]
        assert positions(EventFilter(tags=[COURSE])) == [2, 4]
        assert positions(EventFilter(tags=[COURSE], categories=["a"]), EventFilter(tags=[STUDENT, COURSE])) == [2, 4]
        assert positions(EventFilter(tags=[COURSE], event_types=["x"])) == [4]
        assert positions(EventFilter(event_types=["none"]), EventFilter(tags=["none"])) == []

    @pytest.mark.parametrize(
        "query",
        [
            EventFilter(),
            EventFilter(event_types=["x"]),
            EventFilter(categories=["a", "b"]),
            EventFilter(event_types=["x", "y"], categories=["b"]),
            EventFilter(tags=[COURSE], categories=["b"]),
        ],
        ids=["everything", "a type", "categories", "types in a category", "a tag in a category"],
    )
    def test_an_append_on_a_condition_without_tags(self, store: EventStore, query: EventFilter) -> None:
        if self.refuses_to_lock_all_appends(store):
            return
        store.append("b-1", NewEvent("x", tags=[COURSE]), expected_version=ANY)
        boundary = store.read_boundary(query, lock_all_appends=True)
        assert len(boundary) == 1
        if query != EventFilter():
            store.append("c-1", [NewEvent("z"), NewEvent("z", tags=[COURSE])], expected_version=ANY)
        store.append("c-1", NewEvent("z"), expected_version=ANY, condition=boundary)
        first = store.append("b-1", NewEvent("x", tags=[COURSE]), expected_version=ANY)
        for atomic in (True, False):
            with pytest.raises(BoundaryChanged):
                store.append_many(
                    [Append("c-2", NewEvent("z"), expected_version=ANY)], condition=boundary, atomic=atomic
                )
        with pytest.raises(BoundaryChanged) as refused:
            store.append("c-2", NewEvent("z"), expected_version=ANY, condition=boundary)
        assert (refused.value.position, refused.value.event_stream_id) == (
            (first.position, "b-1") if query != EventFilter() else (refused.value.position, "c-1")
        )
        again = pickle.loads(pickle.dumps(store.read_boundary(query, lock_all_appends=True)))  # noqa: S301
        events = [NewEvent("x", tags=[COURSE]), NewEvent("z")]
        stored = store.append("b-2", events, expected_version=NO_STREAM, condition=again)
        repeated = store.append("b-2", events, expected_version=NO_STREAM, condition=again)
        assert (stored.duplicate, repeated.duplicate, repeated.position) == (False, True, stored.position)
        assert store.stream_version("c-2") == 0

    def refuses_to_lock_all_appends(self, store: EventStore) -> bool:
        """Return whether appends can't lock out all others, after a check that this is an error."""
        if not self.locks_all_appends:
            boundary = store.read_boundary(EventFilter(), lock_all_appends=True)
            with pytest.raises(InvalidInput, match="lock_all_appends"):
                store.append("a-1", NewEvent("x"), expected_version=ANY, condition=boundary)
        return not self.locks_all_appends

    def test_conditions_with_and_without_tags_together(self, store: EventStore) -> None:
        if self.refuses_to_lock_all_appends(store):
            return
        tagged = store.read_boundary(EventFilter(tags=[COURSE]))
        untagged = store.read_boundary(EventFilter(event_types=["x"]), lock_all_appends=True)
        store.append("e-1", NewEvent("z"), expected_version=ANY, condition=[tagged, untagged])
        store.append("a-1", enrolled(COURSE), expected_version=ANY)
        with pytest.raises(BoundaryChanged):
            store.append("e-1", NewEvent("z"), expected_version=ANY, condition=[untagged, tagged])
        tagged = store.read_boundary(EventFilter(tags=[COURSE]))
        store.append("a-1", NewEvent("x"), expected_version=ANY)
        with pytest.raises(BoundaryChanged):
            store.append("e-1", NewEvent("z"), expected_version=ANY, condition=[untagged, tagged])
        store.append("e-1", NewEvent("z"), expected_version=ANY, condition=tagged)

    def test_a_boundary_without_tags_in_a_transaction_that_has_appended(self, store: EventStore) -> None:
        if self.refuses_to_lock_all_appends(store):
            return
        store.append("a-1", NewEvent("x"), expected_version=ANY)
        kinds = EventFilter(event_types=["x"])
        with store.transaction() as tx:
            tx.append("a-1", NewEvent("x"), expected_version=ANY)
            own = tx.read_boundary(kinds, lock_all_appends=True)
            tx.append("a-2", NewEvent("x"), expected_version=ANY, condition=own)
            with pytest.raises(BoundaryChanged):
                tx.append("a-3", NewEvent("y"), expected_version=ANY, condition=own)
            tx.append("a-3", NewEvent("z"), expected_version=ANY)
        assert (len(own), store.stream_version("a-3")) == (2, 1)
        taken: list[Boundary] = []
        with pytest.raises(RuntimeError, match="stop"), store.transaction() as tx:
            tx.append("a-1", NewEvent("x"), expected_version=ANY)
            taken.append(tx.read_boundary(kinds, lock_all_appends=True))
            raise RuntimeError("stop")
        for _ in range(2):  # the second time another event may stand at the position
            with pytest.raises(BoundaryChanged):
                store.append("a-4", NewEvent("x"), expected_version=ANY, condition=taken)
            store.append("a-1", NewEvent("x"), expected_version=ANY)

    def test_what_is_no_boundary_is_refused(self, store: EventStore) -> None:
        bad: list[Any] = ["x", 7, [], iter(()), [None], EventFilter(tags=["a"]), [EventFilter(tags=["a"])]]
        for condition in bad:
            with pytest.raises(InvalidInput, match="condition"):
                store.append("e-1", NewEvent("a"), expected_version=ANY, condition=condition)
        hundred = store.read_boundary(*(EventFilter(tags=[str(number)]) for number in range(100)))
        store.append("e-1", NewEvent("a"), expected_version=ANY, condition=hundred)
        with pytest.raises(InvalidInput, match="200 queries"):
            store.append("e-1", NewEvent("a"), expected_version=ANY, condition=[hundred, hundred])

    def test_of_many_requests_against_one_boundary_one_wins(self, make_store: MakeStore) -> None:
        store, writers = make_store(), 8
        with ThreadPoolExecutor(writers) as pool:
            for number in range(20):
                tag, barrier = f"seat:{number}", Barrier(writers)
                outcomes = list(pool.map(lambda writer: take(store, barrier, tag, writer), range(writers)))  # noqa: B023
                assert sorted(outcomes) == [False] * (writers - 1) + [True]

    def test_decisions_of_many_writers_are_based_on_all_earlier_events(self, make_store: MakeStore) -> None:
        courses = Courses(make_store(), seed=7, locks_all_appends=self.locks_all_appends)
        courses.run(writers=8, seconds=1.5)
        courses.judge()


def take(store: EventStore, barrier: Barrier, tag: str, writer: int) -> bool:
    """Read a boundary together with others, and append on that condition; return whether it was stored."""
    boundary = store.read_boundary(EventFilter(tags=[tag]))
    barrier.wait()
    try:
        store.append(f"taken-{tag}-{writer}", enrolled(tag), expected_version=NO_STREAM, condition=boundary)
    except BoundaryChanged:
        return False
    return True
