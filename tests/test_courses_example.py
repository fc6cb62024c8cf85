"""The example of decisions across streams."""

import os
import re
import runpy
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import Engine

from eventstore import EventFilter, EventStore
from eventstore.testing.scenario import given
from tests.processes import run_python

EXAMPLE = Path(__file__).parent.parent / "examples" / "courses.py"


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    module = runpy.run_path(str(EXAMPLE))
    return SimpleNamespace(**module)


def check(output: str) -> None:
    assert re.search(r"40 students .*\n +30  done\n +10  the course is full\n", output)
    assert re.search(r"Ada .*\n +5  done\n +2  the student takes 5 courses\n", output)
    (taken,) = re.findall(r"(\d+) of 35 seats are taken", output)
    assert 30 - 8 <= int(taken) <= 35, (
        "eight of those who were enrolled first may have left after all others were refused"
    )


@pytest.mark.slow
def test_it_runs_on_an_embedded_file_again_and_again(tmp_path: Path) -> None:
    inherited = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    for _ in range(2):
        check(run_python(str(EXAMPLE), cwd=tmp_path, env=inherited, check=True).stdout)
    assert [path.name for path in tmp_path.iterdir()] == ["courses.db"]


@pytest.mark.slow
def test_no_course_is_ever_overbooked_and_no_student_takes_too_many(
    example: SimpleNamespace, any_engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    """The log, replayed event by event, by a program of its own."""
    with EventStore(any_engine, event_types=example.event_types) as store:
        example.run(store, "c")
        check(capsys.readouterr().out)
        seats: dict[str, int] = {}
        of_course, of_student = Counter[str](), Counter[str]()
        for event in store.read_all():
            of = dict(tag.split(":") for tag in event.tags)
            if event.event_type in ("course-opened", "seats-changed"):
                seats[of["course"]] = event.data.seats
            else:
                by = 1 if event.event_type == "student-enrolled" else -1
                of_course[of["course"]] += by
                of_student[of["student"]] += by
            assert all(0 <= number <= seats[course] for course, number in of_course.items())
            assert all(0 <= number <= example.MOST_COURSES for number in of_student.values())
        assert seats["c-0"] == 35
        assert len(store.read_boundary(EventFilter(tags=["student:c-ada"]))) == 5


@pytest.mark.slow
def test_each_decision(example: SimpleNamespace) -> None:
    e = example
    with EventStore.in_memory(event_types=e.event_types) as unused:
        courses = e.Courses(unused)
        opened, ada = e.CourseOpened("c1", 1), e.StudentEnrolled("c1", "ada")
        given(courses.open).when("c1", 1).then(opened)
        given(courses.open, opened).when("c1", 9).then_nothing()
        given(courses.enrol).when("c1", "ada").then_raises(e.Refused, match="no such course")
        given(courses.enrol, opened).when("c1", "ada").then(ada).when("c1", "ada").then_nothing()
        given(courses.enrol, opened, ada).when("c1", "bob").then_raises(e.Refused, match="full")
        left = e.StudentWithdrew("c1", "ada")
        given(courses.enrol, opened, ada, left).when("c1", "bob").then(e.StudentEnrolled("c1", "bob"))
        given(courses.enrol, opened, ada, e.SeatsChanged("c1", 2)).when("c1", "bob").then(
            e.StudentEnrolled("c1", "bob")
        )
        taken = [e.StudentEnrolled(f"c{number}", "ada") for number in range(2, 7)]
        given(courses.enrol, opened, *taken).when("c1", "ada").then_raises(e.Refused, match="takes 5 courses")
        given(courses.withdraw, ada).when("c1", "ada").then(left)
        given(courses.withdraw).when("c1", "ada").then_nothing()
        given(courses.change_seats, opened, ada).when("c1", 0).then_raises(e.Refused, match="1 students")
        given(courses.change_seats, opened, ada).when("c1", 5).then(e.SeatsChanged("c1", 5))
