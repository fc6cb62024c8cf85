"""Decisions by events of several streams: read, fold, decide, append on condition, with retries."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from eventstore import ANY, NO_STREAM, ConcurrencyConflict, EventFilter, EventStore, EventTypes, NewEvent, RecordedEvent
from eventstore.decisions import Decision
from eventstore.errors import BoundaryChanged, DatabaseMismatch, InvalidFilter, InvalidInput, NotInTransaction
from eventstore.testing.scenario import given

event_types = EventTypes()


@event_types.register("course-opened", tags={"course": "course_id"})
@dataclass(frozen=True, slots=True)
class CourseOpened:
    course_id: str
    seats: int


@event_types.register("student-enrolled", tags={"course": "course_id", "student": "student_id"})
@dataclass(frozen=True, slots=True)
class StudentEnrolled:
    course_id: str
    student_id: str


class CourseFull(Exception):
    pass


@dataclass(slots=True)
class Enrolment:
    seats: int = 0
    students: tuple[str, ...] = ()

    def after(self, event: RecordedEvent) -> "Enrolment":
        match event.data:
            case CourseOpened(seats=seats):
                return Enrolment(seats, self.students)
            case StudentEnrolled(student_id=student_id):
                return Enrolment(self.seats, (*self.students, student_id))
        return self

    def enrol(self, course: str, student: str) -> Iterator[StudentEnrolled]:
        if student in self.students:
            return
        if len(self.students) >= self.seats:
            raise CourseFull
        yield StudentEnrolled(course, student)


def queries(course: str, student: str) -> list[EventFilter]:
    return [
        EventFilter(tags=[f"course:{course}"]),
        EventFilter(tags=[f"student:{student}"], event_types=["student-enrolled"]),
    ]


def enrolment(store: EventStore, **options: Any) -> Decision[Enrolment, str, str]:
    return Decision(
        store, queries=queries, initial=Enrolment, evolve=Enrolment.after, decide=Enrolment.enrol, **options
    )


@pytest.fixture
def store(any_engine: Engine) -> EventStore:
    store = EventStore(any_engine, event_types=event_types)
    store.append("course-c1", CourseOpened("c1", 2), expected_version=NO_STREAM)
    return store


def test_a_decision_is_appended_to_a_stream_of_its_own_or_to_a_named_one(store: EventStore) -> None:
    result = enrolment(store).execute("c1", "s1", metadata={"user": 7})
    (event,) = store.read_stream(result.stream_id or "")
    assert (event.data, event.tags, event.metadata) == (
        StudentEnrolled("c1", "s1"), ("course:c1", "student:s1"), {"user": 7}
    )  # fmt: skip
    assert (result.version, result.position, result.attempts, result.token) == (1, event.position, 1, event.token)
    assert store.wait_for(result) is store
    named = enrolment(store, stream=lambda course, _: f"course-{course}").execute("c1", "s2")
    assert (named.stream_id, named.version, named.events) == ("course-c1", 2, (StudentEnrolled("c1", "s2"),))


def test_there_may_be_nothing_to_do_or_a_refusal(store: EventStore) -> None:
    enrol = enrolment(store)
    enrol.execute("c1", "s1")
    again = enrol.execute("c1", "s1")
    assert (again.stream_id, again.version, again.position, again.events, again.token) == (None, 0, 0, (), None)
    enrol.execute("c1", "s2")
    with pytest.raises(CourseFull):
        enrol.execute("c1", "s3")
    assert len(store.read_boundary(EventFilter(tags=["course:c1"]))) == 3


def test_a_decision_is_retried_after_an_event_has_come_between(store: EventStore) -> None:
    others = iter(["s8", "s9"])

    def decide(state: Enrolment, course: str, student: str) -> Iterator[StudentEnrolled]:
        for other in others:
            store.append("other-1", StudentEnrolled(course, other), expected_version=ANY)
            break
        return state.enrol(course, student)

    enrol = Decision(store, queries=queries, initial=Enrolment, evolve=Enrolment.after, decide=decide)
    with pytest.raises(CourseFull):
        enrol.execute("c1", "s1")
    store.append("course-c2", CourseOpened("c2", 9), expected_version=NO_STREAM)
    others = iter(["s8", "s9"])
    assert enrol.execute("c2", "s1").attempts == 3
    others = iter(["s10"] * 9)
    with pytest.raises(BoundaryChanged):
        Decision(store, queries=queries, initial=Enrolment, evolve=Enrolment.after, decide=decide, attempts=1).execute(
            "c2", "s2"
        )


@pytest.mark.slow
def test_many_at_once_never_overbook(store: EventStore) -> None:
    enrol, barrier = enrolment(store, attempts=50), Barrier(8)

    def execute(number: int) -> bool:
        barrier.wait()
        try:
            enrol.execute("c1", f"s{number}")
        except CourseFull:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(execute, range(8))) == 2


@pytest.mark.slow
def test_a_decision_by_events_without_tags_locks_all_appends(store: EventStore) -> None:
    def of(**options: Any) -> Decision[int, str]:
        return Decision(
            store,
            queries=lambda _: [EventFilter(event_types=["course-opened"])],
            initial=int,
            evolve=lambda count, _: count + 1,
            decide=lambda count, course: [CourseOpened(course, 9)] if count < 3 else [],
            **options,
        )

    with pytest.raises(InvalidFilter, match="lock_all_appends"):
        of().execute("c2")
    with pytest.raises(InvalidInput, match="lock_all_appends"):
        of(lock_all_appends="no")
    opens, barrier = of(lock_all_appends=True, attempts=50), Barrier(4)

    def execute(number: int) -> bool:
        barrier.wait()
        return opens.execute(f"c{number}").events != ()

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(execute, range(4))) == 2
    given(opens, CourseOpened("c1", 1)).when("c2").then(CourseOpened("c2", 9))


def test_a_decision_in_a_transaction_has_one_attempt(store: EventStore, any_engine: Engine) -> None:
    enrol = enrolment(store)
    with store.transaction() as tx:
        enrol.join(tx).execute("c1", "s1")
        assert enrol.join(tx).execute("c1", "s1").events == ()
    if any_engine.dialect.name == "postgresql":
        with Session(any_engine) as session, session.begin():
            enrol.join(session).execute("c1", "s2")
    with pytest.raises(NotInTransaction):
        enrol.join(store)
    with EventStore.in_memory() as other, other.transaction() as tx, pytest.raises(DatabaseMismatch):
        enrol.join(tx)
    taken = Decision(
        store,
        queries=lambda tag: [EventFilter(tags=[tag])],
        initial=int,
        evolve=lambda count, _: count + 1,
        decide=lambda _, tag: [NewEvent("x", tags=[tag])],
        stream=lambda tag: f"taken-{tag}",
        expected_version=NO_STREAM,
    )
    taken.execute("a")
    with store.transaction() as tx, pytest.raises(ConcurrencyConflict) as refused:
        taken.join(tx).execute("a")
    assert refused.value.actual == 1


def test_what_the_functions_return_is_checked(store: EventStore) -> None:
    def of(**options: Any) -> Decision[int, str]:
        usual: dict[str, Any] = {
            "queries": lambda tag: [EventFilter(tags=[tag])],
            "initial": int,
            "evolve": lambda count, _: count + 1,
            "decide": lambda *_: [NewEvent("x")],
        }
        return Decision(store, **{**usual, **options})

    store.append("a-1", NewEvent("x", tags=["a"]), expected_version=ANY)
    for options, error in (
        ({"queries": lambda _: None}, InvalidInput),
        ({"queries": lambda tag: EventFilter(tags=[tag])}, InvalidInput),
        ({"queries": lambda _: []}, InvalidFilter),
        ({"queries": lambda tag: [[EventFilter(tags=[tag])]]}, InvalidFilter),
        ({"evolve": lambda *_: None}, InvalidInput),
        ({"decide": lambda *_: NewEvent("x")}, InvalidInput),
    ):
        with pytest.raises(error):
            of(**options).execute("a")
    bad: list[dict[str, Any]] = [{"queries": 1}, {"evolve": None}, {"stream": "x"}, {"attempts": 0}, {"initial": None}]
    for each in bad:
        with pytest.raises(InvalidInput):
            of(**each)
    with pytest.raises(InvalidInput, match="EventStore"):
        enrolment("x")  # type: ignore[arg-type]


@pytest.mark.slow
def test_scenarios() -> None:
    with EventStore.in_memory(event_types=event_types) as unused:
        enrol = enrolment(unused)
        opened = CourseOpened("c1", 1)
        given(enrol, opened).when("c1", "s1").then(StudentEnrolled("c1", "s1")).when("c1", "s1").then_nothing()
        given(enrol, opened, StudentEnrolled("c1", "s2")).when("c1", "s1").then_raises(CourseFull)
        given(enrol).when("c1", "s1").then_raises(CourseFull)
        with pytest.raises(AssertionError, match="other events than expected"):
            given(enrol, opened).when("c1", "s1").then()
        assert list(unused.read_all()) == []
