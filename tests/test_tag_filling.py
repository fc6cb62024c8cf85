"""Tags for events that were stored without: by classes, by a function, from metadata; beside writers."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError

from eventstore import ANY, EventFilter, EventStore, EventTypes, NewEvent, RecordedEvent, maintenance, migrations
from eventstore.errors import BoundaryChanged, DecodingError, InvalidEvent, InvalidInput, SchemaOutdated
from eventstore.maintenance import FilledTags, fill_tags, verify
from tests.fix_command_line import CommandLine
from tests.waiting import start_waiting, until

SECRET = "payload-9f3c"  # noqa: S105  # not one
METADATA = {"large": 1e22, "small": 1.5, "nested": [1, {"é": None, "text": '"\n'}], "": ""}


@dataclass(frozen=True)
class Enrolled:
    course_id: str
    student_id: str | None = None
    grade: Any = None


def types() -> EventTypes:
    """Return types of which the first version had other names, and one event for two."""
    event_types = EventTypes()
    kinds = {"course": "course_id", "student": "student_id"}
    event_types.register("enrolled", Enrolled, schema_version=2, tags=kinds)

    @event_types.upcaster("enrolled", from_version=1)
    def rename(data: dict[str, Any]) -> dict[str, Any]:
        return {"course_id": data["course"], "student_id": data.get("student")}

    @event_types.splitter("both-enrolled", from_version=1, into=[("enrolled", 1)])
    def split(data: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        for student in data["students"]:
            yield "enrolled", {"course": data["course"], "student": student}

    return event_types


OLD = (
    NewEvent("enrolled", {"course": "c1", "student": "s1"}, metadata=METADATA),
    NewEvent("enrolled", {"course": "c1"}, tags=["é:1", "course:c1"]),
    NewEvent("both-enrolled", {"course": "c2", "students": ["s2", "s3"]}, tags=["x"]),
    NewEvent("noted", {"course": "c1"}),
)
FILLED = [("course:c1", "student:s1"), ("é:1", "course:c1"), ("x", "course:c2", "student:s2", "student:s3"), ()]


@pytest.fixture
def store(any_engine: Engine) -> EventStore:
    """A store with events of before; one of its streams is deleted."""
    EventStore(any_engine).append("a-1", OLD, expected_version=ANY)
    EventStore(any_engine).append("a-2", OLD[:1], expected_version=ANY)
    EventStore(any_engine).delete_stream("a-2", expected_version=1, reason="test")
    return EventStore(any_engine, event_types=types())


def tags_in(store: EventStore) -> list[tuple[str, ...]]:
    return [event.tags for event in EventStore(store.engine).read_stream("a-1")]


def found(store: EventStore, *tags: str) -> list[int]:
    return [event.version for event in EventStore(store.engine).read_all(EventFilter(tags=tags))]


def is_right(store: EventStore) -> bool:
    return not list(verify(EventStore(store.engine)))


@pytest.mark.parametrize("batch_size", [1, 2, 1000])
def test_old_events_get_the_tags_of_their_classes_and_are_found_by_them(store: EventStore, batch_size: int) -> None:
    before = [(each.event_id, each.position, each.recorded_at, each.data) for each in store.read_all()]
    assert (tags_in(store)[0], found(store, "student:s1")) == ((), [])
    done = fill_tags(store, batch_size=batch_size)
    newest = before[-1][1]
    assert done == FilledTags(newest, newest, events=5, tagged=2)
    assert tags_in(store) == FILLED
    assert (found(store, "course:c1"), found(store, "student:s3", "course:c2")) == ([1, 2], [3])
    assert next(store.read_stream("a-1")).metadata == METADATA
    assert [(each.event_id, each.position, each.recorded_at, each.data) for each in store.read_all()] == before
    assert is_right(store)
    assert fill_tags(store) == FilledTags(newest, newest, events=5)


def test_a_dry_run_counts_and_writes_nothing(store: EventStore) -> None:
    with store.engine.begin() as connection:
        connection.execute(text("DELETE FROM es_event_tags WHERE tag = 'é:1'"))
    before = tags_in(store)
    done = fill_tags(store, dry_run=True)
    assert (done.events, done.tagged, done.restored) == (5, 2, 1)
    assert (tags_in(store), found(store, "é:1")) == (before, [])
    assert fill_tags(store) == done


def test_a_function_gives_tags_to_events_without_a_class(store: EventStore) -> None:
    seen: list[RecordedEvent] = []

    def tags_of(event: RecordedEvent) -> list[str]:
        seen.append(event)
        return ["noted", "x"] if event.event_type == "noted" else []

    assert fill_tags(store, tags_of=tags_of).tagged == 3
    assert tags_in(store) == [*FILLED[:3], ("noted", "x")]
    assert all(isinstance(each.data, Enrolled) for each in seen if each.event_type == "enrolled")
    assert [each.version for each in seen] == [1, 2, 3, 3, 4]  # not the tombstone


BAD: list[Any] = ["course:c1", [""], ["x" * 256], ["a\0"], [7], ["a", "a"], [str(each) for each in range(33)], None]


@pytest.mark.slow
def test_a_tag_that_an_append_would_refuse_is_refused_and_the_event_named(store: EventStore) -> None:
    for tags in BAD:

        def tags_of(event: RecordedEvent, tags: Any = tags) -> Any:
            return tags if event.event_type == "noted" else []

        with pytest.raises(InvalidEvent, match="position 4, version 4 of stream 'a-1': ") as refused:
            fill_tags(store, tags_of=tags_of, batch_size=1)
        assert "course" not in str(refused.value)
        assert tags_in(store) == FILLED  # the batches before are stored


def test_a_field_that_gives_no_tag_is_named_without_its_value(any_engine: Engine) -> None:
    event_types = EventTypes()
    event_types.register("enrolled", Enrolled, tags={"grade": "grade"})
    store = EventStore(any_engine, event_types=event_types)
    EventStore(any_engine).append(
        "a-1", NewEvent("enrolled", {"course_id": "c", "grade": [SECRET]}), expected_version=0
    )
    with pytest.raises(InvalidEvent, match=r"version 1 of stream 'a-1'.*'grade' of Enrolled") as refused:
        fill_tags(store)
    assert SECRET not in str(refused.value)


def test_an_event_that_can_not_be_read_ends_it(store: EventStore) -> None:
    store.append("b-1", NewEvent("enrolled", {"course": SECRET, "student": 7}), expected_version=ANY)
    with pytest.raises(DecodingError, match="b-1"):
        fill_tags(store, batch_size=1)
    assert tags_in(store) == FILLED


def test_an_interrupted_run_is_continued(store: EventStore) -> None:
    steps: list[FilledTags] = []

    def interrupt(step: FilledTags) -> None:
        steps.append(step)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fill_tags(store, batch_size=1, on_progress=interrupt)
    assert [(step.position, step.events, step.tagged) for step in steps] == [(1, 1, 1)]
    assert tags_in(store)[:3] == [FILLED[0], FILLED[1], ("x",)]
    token = next(store.read_all()).token
    assert fill_tags(store, after_position=token).tagged == 1
    assert fill_tags(store, after_position=1) == FilledTags(6, 6, events=4)
    assert tags_in(store) == FILLED


@pytest.mark.slow
def test_the_table_is_filled_from_metadata_alone(store: EventStore) -> None:
    plain = EventStore(store.engine)
    with store.engine.begin() as connection:
        connection.execute(text("DELETE FROM es_event_tags"))
    assert fill_tags(plain, batch_size=1) == FilledTags(6, 6, events=5, restored=2)
    assert (found(store, "x"), found(store, "course:c1"), tags_in(store)[0]) == ([3], [2], ())
    assert is_right(store)


def test_a_boundary_of_before_is_refused_and_one_of_after_holds(store: EventStore) -> None:
    course = EventFilter(tags=["course:c1"])
    boundary = store.read_boundary(course)
    fill_tags(store)
    with pytest.raises(BoundaryChanged, match="tags were added to old events"):
        store.append("b-1", NewEvent("x"), expected_version=ANY, condition=boundary)
    again = store.read_boundary(course)
    fill_tags(store)  # has nothing to do
    store.append("b-1", NewEvent("x"), expected_version=ANY, condition=again)
    assert [event.version for event in again] == [1, 2]


def test_history_is_protected_afterwards(store: EventStore) -> None:
    fill_tags(store)
    with pytest.raises(DBAPIError, match="events are never changed"), store.engine.begin() as connection:
        connection.execute(text("UPDATE es_events SET metadata = NULL"))


@pytest.mark.slow
def test_what_it_can_not_do_is_refused(store: EventStore) -> None:
    with store.transaction() as tx, pytest.raises(InvalidInput, match="joined"):
        fill_tags(tx)
    bad: list[dict[str, Any]] = [{"batch_size": 0}, {"tags_of": 7}, {"after_position": -1}, {"dry_run": 1}]
    for options in bad:
        with pytest.raises(InvalidInput, match=next(iter(options))):
            fill_tags(store, **options)
    migrations.downgrade(store.engine, "es_0008")
    with pytest.raises(SchemaOutdated, match="eventstore migrate"):
        fill_tags(EventStore(store.engine))


def test_an_empty_store_has_nothing_to_fill(any_engine: Engine) -> None:
    assert fill_tags(EventStore(any_engine)) == FilledTags(0, 0)


def test_what_another_run_has_changed_meanwhile_is_left(store: EventStore) -> None:
    runs: list[FilledTags] = []

    def tags_of(_: RecordedEvent) -> list[str]:
        if not runs:
            runs.append(FilledTags(0, 0))
            runs.append(fill_tags(store, tags_of=lambda _: ["other"]))
        return ["mine"]

    assert fill_tags(store, tags_of=tags_of).tagged == 0
    assert [("other" in tags, "mine" in tags) for tags in tags_in(store)] == [(True, False)] * 4
    assert is_right(store)


# --- beside writers


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as executor:
        yield executor


@pytest.fixture
def postgres_store(postgres_engine: Engine) -> EventStore:
    engine = create_engine(postgres_engine.url, connect_args={"options": "-c lock_timeout=20s"})
    EventStore(engine).append("a-1", OLD, expected_version=ANY)
    return EventStore(engine, event_types=types())


@pytest.mark.slow
@pytest.mark.postgresql
def test_a_decision_that_read_before_the_tags_were_there_waits_and_is_refused(
    postgres_store: EventStore, threads: ThreadPoolExecutor
) -> None:
    boundary = postgres_store.read_boundary(EventFilter(tags=["course:c1"]))
    with postgres_store.transaction() as tx:
        tx.core.dialect.lock_heads(tx.core.execution.statement().__enter__(), ["a-1"], create=())
        filling = start_waiting(threads, tx.connection, fill_tags, postgres_store)  # has all tags locked
        deciding = start_waiting(
            threads,
            tx.connection,
            postgres_store.append,
            "b-1",
            NewEvent("n"),
            expected_version=ANY,
            condition=boundary,
        )
        postgres_store.append("c-1", NewEvent("n"), expected_version=ANY)  # without tags, to another stream
    assert filling.result().tagged == 2
    with pytest.raises(BoundaryChanged, match="tags were added to old events"):
        deciding.result()
    postgres_store.engine.dispose()


@pytest.mark.postgresql
def test_it_waits_for_an_append_with_a_tag_under_way(postgres_store: EventStore, threads: ThreadPoolExecutor) -> None:
    with postgres_store.transaction() as tx:
        tx.append("b-1", NewEvent("n", tags=["course:c1"]), expected_version=ANY)
        filling = start_waiting(threads, tx.connection, fill_tags, postgres_store)
    assert filling.result().tagged == 2
    assert [event.stream_id for event in postgres_store.read_boundary(EventFilter(tags=["course:c1"]))] == [
        "a-1", "a-1", "b-1"
    ]  # fmt: skip
    postgres_store.engine.dispose()


@pytest.mark.postgresql
def test_the_events_of_an_append_under_way_at_the_start_are_not_missed(
    postgres_store: EventStore, threads: ThreadPoolExecutor
) -> None:
    """As of a process of the old code, which gives no tags."""
    first = Event()
    with postgres_store.transaction() as tx:
        EventStore(tx.engine).join(tx.connection).append("b-1", OLD[0], expected_version=ANY)
        postgres_store.append("c-1", NewEvent("n"), expected_version=ANY)
        filling = threads.submit(fill_tags, postgres_store, on_progress=lambda _: first.set())
        until(first.is_set, filling)
    done = filling.result()
    assert (done.events, done.tagged) == (6, 3)
    assert next(postgres_store.read_stream("b-1")).tags == FILLED[0]
    postgres_store.engine.dispose()


@pytest.mark.slow
@pytest.mark.postgresql
def test_an_append_that_does_not_end_is_said(postgres_store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maintenance.tag_filling, "_WAIT_SECONDS", 0.1)
    url = postgres_store.engine.url.render_as_string(hide_password=False)
    with postgres_store.transaction() as tx:
        tx.append("b-1", NewEvent("n"), expected_version=ANY)
        postgres_store.append("c-1", NewEvent("n"), expected_version=ANY)
        result = CommandLine(url)("fill-tags", "--json", "--event-types", f"{__name__}:types")
    assert result.exit_code == 1
    assert "run this again with --after 4" in result.stderr
    assert json.loads(result.stdout) == {"position": 4, "end": 6, "events": 4, "tagged": 2, "restored": 0}
    postgres_store.engine.dispose()


@pytest.mark.slow
@pytest.mark.postgresql
def test_a_stream_that_is_deleted_meanwhile_leaves_no_tags(
    postgres_store: EventStore, threads: ThreadPoolExecutor
) -> None:
    with postgres_store.transaction() as tx:
        tx.delete_stream("a-1", expected_version=4, reason="test")
        filling = start_waiting(threads, tx.connection, fill_tags, postgres_store)
    assert filling.result().tagged == 0
    assert is_right(postgres_store)
    postgres_store.engine.dispose()


@pytest.mark.slow
@pytest.mark.postgresql
def test_a_deletion_that_begins_before_the_tags_are_committed_deletes_them(
    postgres_store: EventStore, threads: ThreadPoolExecutor
) -> None:
    plain, deleting = EventStore(create_engine(postgres_store.engine.url)), []

    def delete(connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if "max(tag.position), 0) + 1" in statement:  # the last one
            options: dict[str, Any] = {"expected_version": 4, "reason": "test"}
            deleting.append(start_waiting(threads, connection, plain.delete_stream, "a-1", **options))

    event.listen(postgres_store.engine, "before_cursor_execute", delete)
    assert fill_tags(postgres_store).tagged == 2
    assert deleting[0].result().version == 5
    event.remove(postgres_store.engine, "before_cursor_execute", delete)
    assert is_right(postgres_store)
    for store in (plain, postgres_store):
        store.engine.dispose()


# --- on the command line


def tag_noted(event: RecordedEvent) -> list[str]:
    """Return the tags of an event, for the tests of the command line."""
    return ["noted"] if event.event_type == "noted" else []


def a_text(event: RecordedEvent) -> str | list[str]:
    """Return what is no list of tags, for one event."""
    return "noted" if event.event_type == "noted" else []


@pytest.mark.slow
def test_the_command(store: EventStore) -> None:
    run = CommandLine(store.engine.url.render_as_string(hide_password=False))
    alone = run("fill-tags")
    assert alone.stdout == "gave tags to 0 of 5 events, up to position 6\n"
    assert "--event-types" in alone.stderr
    options = ("--event-types", f"{__name__}:types", "--tags-of", f"{__name__}:tag_noted")
    dry = run("fill-tags", *options, "--dry-run")
    assert (dry.exit_code, dry.stdout) == (0, "would give tags to 3 of 5 events, up to position 6\n")
    assert json.loads(run("fill-tags", *options, "--json", "--after", "2").stdout) == {
        "position": 6, "end": 6, "events": 3, "tagged": 2, "restored": 0
    }  # fmt: skip
    assert run("fill-tags", *options).stdout == "gave tags to 1 of 5 events, up to position 6\n"
    assert tags_in(store) == [*FILLED[:3], ("noted",)]
    bad = run("fill-tags", "--tags-of", f"{__name__}:a_text", "--batch-size", "1")
    assert bad.exit_code == 2
    assert "everything up to position 3 is done: continue with --after 3" in bad.stderr
    again = run("fill-tags", "--tags-of", f"{__name__}:a_text", "--after", "3")
    assert (again.exit_code, "continue" in again.stderr) == (2, False)
