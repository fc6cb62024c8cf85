"""Random decisions of many writers, and a judge of what they have stored, who knows nothing of how it is made right.

Courses have a capacity that changes, students take at most three courses. Writers enrol and withdraw students, change
capacities, audit courses without writing to them, and append without a condition; some in transactions that linger, or
are rolled back; some with more tags than are locked one by one. A few depend on events without tags, and lock out all
appends.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from random import Random
from threading import Lock
from uuid import UUID, uuid4

from eventstore import ANY, NO_STREAM, Append, EventFilter, EventStore, NewEvent, RecordedEvent
from eventstore.boundaries import Boundary
from eventstore.errors import BoundaryChanged

LIMIT = 3
"""How many courses a student takes at most."""

COURSES, STUDENTS = 4, 10


class RolledBack(Exception):
    """Rolls a transaction back."""


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision that was stored, or refused.

    Attributes:
        queries: What it depends on.
        read: The positions of the events that it has read.
        event_id: The id of the event that it has stored; None if it was refused.
        changed: If it was refused, the position of the event that has come between.
    """

    queries: tuple[EventFilter, ...]
    read: frozenset[int]
    event_id: UUID | None
    changed: int | None = None


class Courses:
    """Decisions about courses and students.

    Args:
        store: The store, without events of the types used here.
        seed: Of the random choices.
        read: Reads a boundary; replaced to see that a wrong one is caught. Defaults to None: as the store does.
        others: Stores of the same tables, which the writers use in turn.
    """

    def __init__(
        self,
        store: EventStore,
        *,
        seed: int,
        read: Callable[[EventStore, Sequence[EventFilter]], Boundary] | None = None,
        others: Sequence[EventStore] = (),
        locks_all_appends: bool = True,
    ) -> None:
        self._store = store
        self._stores = (store, *others)
        self._seed = seed
        self._read = read or (lambda store, queries: store.read_boundary(*queries))
        self._lock = Lock()
        self._decisions = [self.enrol] * 6 + [self.withdraw] * 3 + [self.resize, self.audit, self.note, self.remark]
        if locks_all_appends:
            self._decisions.append(self.survey)
        self.decided: list[Decided] = []

    def run(self, *, writers: int, seconds: float) -> None:
        """Let writers decide for some time."""
        end = time.monotonic() + seconds
        for course in range(COURSES):
            self._store.append(f"course-{uuid4()}", opened(course, 3), expected_version=NO_STREAM)
        with ThreadPoolExecutor(writers) as pool:
            list(pool.map(lambda writer: self._write(writer, end), range(writers)))

    def _write(self, writer: int, end: float) -> None:
        random, own = Random(self._seed + writer), self._stores[writer % len(self._stores)]
        while time.monotonic() < end:
            course, student = f"course:{random.randrange(COURSES)}", f"student:{random.randrange(STUDENTS)}"
            decide = random.choice(self._decisions)
            how = random.random()
            try:
                if how < 0.7:
                    decide(own, course, student, random)
                    continue
                with own.transaction() as tx:
                    before = decide(tx, course, student, random)
                    time.sleep(random.random() / 200)
                    roll_back(if_true=how > 0.85)
            except RolledBack:
                with self._lock:
                    self.decided = [each for each in self.decided if each is not before]

    # --- decisions

    def enrol(self, store: EventStore, course: str, student: str, random: Random) -> Decided | None:
        """Enrol a student if there is a seat, and the student takes few courses."""
        queries = (
            EventFilter(tags=[course]),
            EventFilter(tags=[student], event_types=["student-enrolled", "student-withdrawn"]),
        )
        boundary = self._read(store, queries)
        state = State(boundary)
        if state.is_full(course) or (course, student) in state.enrolled or state.courses_of(student) >= LIMIT:
            return None
        many = [f"extra:{random.randrange(1000)}-{number}" for number in range(30)] if random.random() < 0.1 else []
        return self.decide(store, queries, boundary, [course, student, *many], "student-enrolled")

    def withdraw(self, store: EventStore, course: str, student: str, _: Random) -> Decided | None:
        """Withdraw a student who is enrolled. The only query has two tags."""
        queries = (EventFilter(tags=[course, student]),)
        boundary = self._read(store, queries)
        if (course, student) not in State(boundary).enrolled:
            return None
        return self.decide(store, queries, boundary, [student, course], "student-withdrawn")

    def resize(self, store: EventStore, course: str, _: str, random: Random) -> Decided | None:
        """Change the capacity of a course, not below the number of its students."""
        queries = (EventFilter(tags=[course]),)
        boundary = self._read(store, queries)
        state, capacity = State(boundary), random.randrange(2, 6)
        if state.students_of(course) > capacity:
            return None
        return self.decide(store, queries, boundary, [course], "capacity-changed", capacity)

    def audit(self, store: EventStore, course: str, student: str, _: Random) -> Decided | None:
        """Append to a tag of its own what depends on a course and a student."""
        queries = (EventFilter(tags=[course], event_types=["student-enrolled"]), EventFilter(tags=[student]))
        boundary = self._read(store, queries)
        return self.decide(store, queries, boundary, [f"audit:{uuid4()}"], "course-audited")

    def note(self, store: EventStore, course: str, student: str, random: Random) -> None:
        """Append without a condition, to one stream or two."""
        events = [NewEvent("noted", tags=[course]), NewEvent("noted", tags=[student, "notes"])]
        if random.random() < 0.5:
            store.append(f"notes-{random.randrange(3)}", events, expected_version=ANY)
        else:
            store.append_many([Append(f"notes-{uuid4()}", each, expected_version=ANY) for each in events])

    def remark(self, store: EventStore, _: str, student: str, random: Random) -> None:
        """Append an event without tags."""
        store.append(f"remarks-{random.randrange(3)}", NewEvent("remarked", student), expected_version=ANY)

    def survey(self, store: EventStore, course: str, _: str, random: Random) -> Decided:
        """Append what depends on events without tags, and on those of a course."""
        of_all = [EventFilter(event_types=["remarked", "surveyed"]), EventFilter(categories=["remarks"]), EventFilter()]
        queries = (random.choice(of_all), EventFilter(tags=[course], categories=["decision"]))
        boundary = store.read_boundary(*queries, lock_all_appends=True)
        return self.decide(store, queries, boundary, [], "surveyed")

    def decide(
        self,
        store: EventStore,
        queries: tuple[EventFilter, ...],
        boundary: Boundary,
        tags: Sequence[str],
        event_type: str,
        capacity: int = 0,
    ) -> Decided:
        """Append on condition, and note what has become of it."""
        read = frozenset(event.position for event in boundary)
        event = NewEvent(event_type, capacity, tags=tags)
        try:
            store.append(f"decision-{event.event_id}", event, expected_version=NO_STREAM, condition=boundary)
        except BoundaryChanged as refused:
            decided = Decided(queries, read, None, refused.position)
        else:
            decided = Decided(queries, read, event.event_id)
        with self._lock:
            self.decided.append(decided)
        return decided

    # --- the judge

    def judge(self) -> None:
        """Check the log.

        Raises:
            AssertionError: A decision did not know an earlier event that its queries match; or it was refused without
                such an event; or a course has more students than seats, or a student too many courses.
        """
        log = list(self._store.read_all())
        positions = {event.event_id: event.position for event in log}
        tags = {event.position: set(event.tags) for event in log}
        for each in self.decided:
            matching = {
                event.position
                for event in log
                if any(set(query.tags or ()) <= tags[event.position] and query.matches(event) for query in each.queries)
            }
            if each.event_id is None:
                assert each.changed in matching - each.read, f"refused without a reason, seed {self._seed}: {each}"
            else:
                earlier = {position for position in matching if position < positions[each.event_id]}
                assert earlier <= each.read, f"decided blindly, seed {self._seed}: {each}, {earlier - each.read}"
        state = State(())
        for event in log:
            state.apply(event)
            if event.event_type in ("student-enrolled", "capacity-changed"):
                state.check(f"seed {self._seed}")

    @property
    def counts(self) -> Counter[str]:
        """How many decisions were stored, and refused."""
        return Counter("refused" if each.event_id is None else "stored" for each in self.decided)


def roll_back(*, if_true: bool) -> None:
    """Raise the error that rolls the transaction back, or not."""
    if if_true:
        raise RolledBack


def opened(course: int, capacity: int) -> NewEvent:
    """Return the first event of a course."""
    return NewEvent("capacity-changed", capacity, tags=[f"course:{course}"])


class State:
    """Who is enrolled where, by some events."""

    def __init__(self, events: Iterable[RecordedEvent]) -> None:
        self.enrolled: set[tuple[str, str]] = set()
        self.capacities: dict[str, int] = {}
        for event in events:
            self.apply(event)

    def apply(self, event: RecordedEvent) -> None:
        """Take the next event into account."""
        tags = {tag.partition(":")[0]: tag for tag in event.tags}
        match event.event_type:
            case "capacity-changed":
                self.capacities[tags["course"]] = event.data
            case "student-enrolled":
                self.enrolled.add((tags["course"], tags["student"]))
            case "student-withdrawn":
                self.enrolled.discard((tags["course"], tags["student"]))

    def students_of(self, course: str) -> int:
        """Return how many students a course has."""
        return sum(each == course for each, _ in self.enrolled)

    def courses_of(self, student: str) -> int:
        """Return how many courses a student takes."""
        return sum(each == student for _, each in self.enrolled)

    def is_full(self, course: str) -> bool:
        """Return whether a course has no free seat."""
        return self.students_of(course) >= self.capacities.get(course, 0)

    def check(self, note: str) -> None:
        """Check the limits."""
        for course, capacity in self.capacities.items():
            assert self.students_of(course) <= capacity, f"{course} is overbooked, {note}"
        for student, number in Counter(student for _, student in self.enrolled).items():
            assert number <= LIMIT, f"{student} takes {number} courses, {note}"
