"""Courses with a limited number of seats, and students who take at most five courses: rules that no single stream has.

Run it:                 python examples/courses.py
On PostgreSQL:          DATABASE_URL=postgresql://user@host/database python examples/courses.py

Without DATABASE_URL it writes to courses.db in the current folder. Run it as often as you like: every run opens courses
of its own.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from uuid import uuid4

from eventstore import EventFilter, EventStore, EventTypes, RecordedEvent, migrations
from eventstore.decisions import Decision

SEATS = 30
MOST_COURSES = 5
WRITERS = 8

event_types = EventTypes()


# --- what can happen: each event has a tag for its course, and one for its student


@event_types.register("course-opened", tags={"course": "course_id"})
@dataclass(frozen=True)
class CourseOpened:
    """Students can enrol."""

    course_id: str
    seats: int


@event_types.register("seats-changed", tags={"course": "course_id"})
@dataclass(frozen=True)
class SeatsChanged:
    """The course has moved to another room."""

    course_id: str
    seats: int


@event_types.register("student-enrolled", tags={"course": "course_id", "student": "student_id"})
@dataclass(frozen=True)
class StudentEnrolled:
    """A student has a seat."""

    course_id: str
    student_id: str


@event_types.register("student-withdrew", tags={"course": "course_id", "student": "student_id"})
@dataclass(frozen=True)
class StudentWithdrew:
    """A student has given up a seat."""

    course_id: str
    student_id: str


# --- what a decision knows: this is computed from the events that it has read


class Refused(Exception):
    """A rule forbids it."""


@dataclass(frozen=True)
class Enrolments:
    """The seats of courses, and who has one."""

    seats: dict[str, int]
    taken: frozenset[tuple[str, str]] = frozenset()

    def after(self, event: RecordedEvent) -> "Enrolments":
        """Return the state after the next event."""
        match event.data:
            case CourseOpened(course_id, seats) | SeatsChanged(course_id, seats):
                return replace(self, seats={**self.seats, course_id: seats})
            case StudentEnrolled(course_id, student_id):
                return replace(self, taken=self.taken | {(course_id, student_id)})
            case StudentWithdrew(course_id, student_id):
                return replace(self, taken=self.taken - {(course_id, student_id)})
        return self

    def students_of(self, course: str) -> int:
        """Return how many seats of a course are taken."""
        return sum(each == course for each, _ in self.taken)

    def enrol(self, course: str, student: str) -> Iterable[StudentEnrolled]:
        """Enrol a student. If the student has a seat already, there is nothing to do."""
        if course not in self.seats:
            raise Refused("there is no such course")
        if (course, student) in self.taken:
            return
        if self.students_of(course) >= self.seats[course]:
            raise Refused("the course is full")
        if sum(each == student for _, each in self.taken) >= MOST_COURSES:
            raise Refused(f"the student takes {MOST_COURSES} courses")
        yield StudentEnrolled(course, student)

    def withdraw(self, course: str, student: str) -> Iterable[StudentWithdrew]:
        """Give up a seat, if the student has one."""
        if (course, student) in self.taken:
            yield StudentWithdrew(course, student)

    def change_seats(self, course: str, seats: int) -> Iterable[SeatsChanged]:
        """Move to another room, if all students fit into it."""
        if self.students_of(course) > seats:
            raise Refused(f"{self.students_of(course)} students are enrolled")
        yield SeatsChanged(course, seats)


# --- which events each decision depends on


def of_course(course: str, *_: object) -> list[EventFilter]:
    """Return the queries for a decision about a course."""
    return [EventFilter(tags=[f"course:{course}"])]


def of_both(course: str, student: str) -> list[EventFilter]:
    """Return the queries for a decision about a course and a student."""
    about_student = EventFilter(tags=[f"student:{student}"], event_types=["student-enrolled", "student-withdrew"])
    return [*of_course(course), about_student]


def of_seat(course: str, student: str) -> list[EventFilter]:
    """Return the queries for a decision about one seat: events with both tags."""
    return [EventFilter(tags=[f"course:{course}", f"student:{student}"])]


class Courses:
    """The decisions. Their events go into the stream of the course."""

    def __init__(self, store: EventStore) -> None:
        self.enrol = Decision(
            store,
            queries=of_both,
            initial=nothing,
            evolve=Enrolments.after,
            decide=Enrolments.enrol,
            stream=stream_of,
            attempts=100,
        )
        self.withdraw = Decision(
            store,
            queries=of_seat,
            initial=nothing,
            evolve=Enrolments.after,
            decide=Enrolments.withdraw,
            stream=stream_of,
        )
        self.change_seats = Decision(
            store,
            queries=of_course,
            initial=nothing,
            evolve=Enrolments.after,
            decide=Enrolments.change_seats,
            stream=stream_of,
            attempts=100,
        )
        self.open = Decision(
            store, queries=of_course, initial=nothing, evolve=Enrolments.after, decide=opened, stream=stream_of
        )


def nothing() -> Enrolments:
    """Return the state before the first event."""
    return Enrolments({})


def opened(state: Enrolments, course: str, seats: int) -> Iterable[CourseOpened]:
    """Open a course, once."""
    if course not in state.seats:
        yield CourseOpened(course, seats)


def stream_of(course: str, _: object) -> str:
    """Return the stream of a course."""
    return f"course-{course}"


# --- the program


def outcome(decide: Callable[[], object]) -> str:
    """Decide, and return what came of it."""
    try:
        decide()
    except Refused as refused:
        return str(refused)
    return "done"


def at_once(calls: Iterable[Callable[[], object]]) -> Counter[str]:
    """Let several threads decide at the same time; return how often each outcome occurred."""
    with ThreadPoolExecutor(WRITERS) as threads:
        return Counter(threads.map(outcome, calls))


def show(title: str, outcomes: Counter[str]) -> None:
    """Print what came of decisions."""
    print(f"\n{title}")
    for what, number in sorted(outcomes.items()):
        print(f"  {number:3}  {what}")


def run(store: EventStore, name: str) -> None:
    """Enrol more students than there are seats, and a student in too many courses; then change the seats."""
    courses = Courses(store)
    full, others = f"{name}-0", [f"{name}-{number}" for number in range(1, 8)]
    for course in (full, *others):
        courses.open.execute(course, SEATS)

    students = [f"{name}-s{number}" for number in range(40)]
    enrolled = at_once(lambda student=student: courses.enrol.execute(full, student) for student in students)  # type: ignore[misc]
    show(f"40 students want one of {SEATS} seats, {WRITERS} of them at a time", enrolled)

    enrolled = at_once(lambda course=course: courses.enrol.execute(course, f"{name}-ada") for course in others)  # type: ignore[misc]
    show(f"Ada wants to take {len(others)} courses, all at once", enrolled)

    moves = [lambda seats=seats: courses.change_seats.execute(full, seats) for seats in (20, 35)]
    late = [lambda student=student: courses.enrol.execute(full, student) for student in students]
    show("The course moves to a room of 20 seats, or of 35, while students enrol", at_once([*moves, *late]))

    leaving = [lambda student=student: courses.withdraw.execute(full, student) for student in students[:8]]
    show("Eight students give up their seats, or have none", at_once(leaving))
    read = store.read_boundary(*of_course(full))
    state = nothing()
    for event in read:
        state = state.after(event)
    print(f"\n{full}: {state.students_of(full)} of {state.seats[full]} seats are taken, after {len(read)} events.")


def main() -> None:
    """Run it."""
    url = os.environ.get("DATABASE_URL", "sqlite:///courses.db")
    with EventStore.from_url(url, event_types=event_types) as store:
        migrations.upgrade(store.engine)  # a deployment step in a real application
        print(f"An event store on {store.engine.dialect.name}: {store.engine.url}")
        run(store, uuid4().hex[:6])


if __name__ == "__main__":
    main()
