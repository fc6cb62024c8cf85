"""The command append: events from JSON, and what is said about those that can't be appended."""

import json
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from eventstore import EventFilter, EventStore
from tests.fix_command_line import CommandLine, on_sqlite

EVENT_ID = "01890a5d-ac96-774b-bcce-b302099a8057"


@pytest.fixture
def store(command_line_store: EventStore) -> EventStore:
    return command_line_store


def append(command: CommandLine, *arguments: str, stdin: str | None = None) -> Any:
    (told,) = command.json("append", *arguments, stdin=stdin)
    return told


def test_one_event_from_the_argument(command: CommandLine, store: EventStore) -> None:
    event = {
        "event_type": "order-placed", "data": {"total": {"$decimal": "1.10"}}, "metadata": {"a": 2},
        "event_id": EVENT_ID, "schema_version": 3,
    }  # fmt: skip
    shared = ("--metadata", '{"a": 1, "b": 1}', "--expected-version", "no-stream")
    told = append(command, "order-1", json.dumps(event), *shared)
    (stored,) = store.read_stream("order-1")
    assert told == {"stream_id": "order-1", "version": 1, "position": stored.position, "duplicate": False}
    assert (stored.event_type, stored.event_id, stored.schema_version) == ("order-placed", UUID(EVENT_ID), 3)
    assert (stored.data, stored.metadata) == ({"total": Decimal("1.10")}, {"a": 2, "b": 1})
    assert append(command, "order-1", json.dumps(event), *shared) == {**told, "duplicate": True}


def test_many_from_standard_input(command: CommandLine, store: EventStore) -> None:
    lines = '{"event_type": "a"}\n\n{"event_type": "b", "data": [1, null], "metadata": null}\n'
    assert append(command, "order-1", "--expected-version", "0", stdin=lines)["version"] == 2
    assert append(command, "order-1", "-", "--expected-version", "2", stdin=lines)["version"] == 4
    assert [(event.event_type, event.data) for event in store.read_stream("order-1", up_to_version=2)] == [
        ("a", {}), ("b", [1, None]),
    ]  # fmt: skip


def test_with_a_type_json_is_the_data(command: CommandLine, store: EventStore) -> None:
    append(command, "order-1", '{"event_type": 1}', "--type", "odd", "--expected-version", "any")
    append(command, "order-1", "--type", "odd", "--expected-version", "stream-exists", stdin='{\n"n": 2\n}\n')
    assert [event.data for event in store.read_stream("order-1")] == [{"event_type": 1}, {"n": 2}]


def test_events_get_tags(command: CommandLine, store: EventStore) -> None:
    append(command, "order-1", "{}", "--type", "a", "--tag", "x", "--tag", "é:1", "--expected-version", "0")
    lines = '{"event_type": "a", "tags": ["own", "x"]}\n{"event_type": "b", "tags": null}\n{"event_type": "c"}'
    append(command, "order-1", "--tag", "x", "--expected-version", "1", stdin=lines)
    assert [event.tags for event in store.read_stream("order-1")] == [("x", "é:1"), ("own", "x"), ("x",), ("x",)]
    assert len(store.read_boundary(EventFilter(tags=["x"]))) == 4


def test_a_conflict_has_an_exit_code_of_its_own(command: CommandLine, store: EventStore) -> None:
    event = '{"event_type": "a"}'
    append(command, "order-1", event, "--expected-version", "no-stream")
    late = command("append", "order-1", event, "--expected-version", "no-stream", "--json")
    assert late.exit_code == 8
    assert json.loads(late.stdout)["error"] == "ConcurrencyConflict"
    other = '{"event_type": "b", "event_id": "%s"}'
    append(command, "order-1", other % EVENT_ID, "--expected-version", "1")
    reused = command("append", "order-1", other.replace("b", "c", 1) % EVENT_ID, "--expected-version", "1")
    assert reused.exit_code == 8
    assert store.stream_version("order-1") == 2


@on_sqlite
def test_people_and_pipes_see_a_line(command: CommandLine, store: EventStore) -> None:
    event = ("append", "order-1", '{"event_type": "a"}', "--expected-version", "any")
    assert command(*event).stdout == "order-1\t1\t1\tno\n"
    assert command(*event, columns=80).stdout == "order-1 is at version 2, position 2\n"
    again = ("append", "order-1", f'{{"event_type": "a", "event_id": "{EVENT_ID}"}}', "--expected-version", "2")
    assert command(*again).stdout == "order-1\t3\t3\tno\n"
    assert command(*again, columns=80).stdout == "order-1 is at version 3, position 3 (stored before)\n"


@on_sqlite
@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("", "order-1"),
        ('{"event_type": "a"}\n{"event_type', "line 2 is not JSON"),
        (b'{"event_type": "\xff"}', "line 1 is not UTF-8"),
        ("[]", "line 1 must be a JSON object such as"),
        ('{"data": {}}', "line 1 has no event_type"),
        ('{"event_type": 7}', "line 1: an event type must be a string"),
        ('{"event_type": "a", "type": "SECRET"}', "line 1 has unknown fields: 'type'"),
        ('{"event_type": "a", "event_id": "SECRET"}', "line 1: the event_id is not a UUID"),
        ('{"event_type": "a", "event_id": 7}', "line 1: the event_id is not a UUID"),
        ('{"event_type": "a", "schema_version": 0}', "line 1: a schema version must be between"),
        ('{"event_type": "a", "metadata": ["SECRET"]}', "line 1: metadata at $"),
        ('{"event_type": "a", "tags": "SECRET"}', "line 1: tags must be a list"),
        ('{"event_type": "a", "tags": ["SECRET", "SECRET"]}', "line 1: tags[1] is the same as tags[0]"),
        ('{"event_type": "a", "tags": [{"SECRET": 1}]}', "line 1: tags[0] must be a string"),
        ('{"event_type": "a", "data": {"$decimal": "SECRET"}}', "(InvalidOperation)"),
        ('{"event_type": "a", "data": ' + "[" * 5000 + "]" * 5000 + "}", "line 1"),
    ],
)
def test_what_is_wrong_is_told_by_line_and_nothing_is_stored(
    command: CommandLine, store: EventStore, given: str | bytes, problem: str
) -> None:
    result = command("append", "order-1", "--expected-version", "any", stdin=given)
    assert (result.exit_code, problem in result.stderr) == (2, True), result.output
    assert "SECRET" not in result.output
    assert "Traceback" not in result.output
    assert store.stream_version("order-1") == 0


@on_sqlite
@pytest.mark.parametrize(
    "arguments",
    [
        ["order-1", '{"event_type": "a"}'],
        ["order-1", '{"event_type": "a"}', "--expected-version", "-1"],
        ["order-1", '{"event_type": "a"}', "--expected-version", "newest"],
        ["order-1", '{"event_type": "a"}', "--expected-version", str(2**63)],
        ["order-1", '{"event_type": "a"}', "--expected-version", "any", "--metadata", "[]"],
        ["order-1", '{"event_type": "a"}', "--expected-version", "any", "--metadata", "{"],
        ["order-1", '{"event_type": "a"}', "--expected-version", "any", "--tag", ""],
        ["order-1", '{"event_type": "a"}', "--expected-version", "any", "--tag", "x", "--tag", "x"],
        ["", '{"event_type": "a"}', "--expected-version", "any"],
    ],
)
def test_wrong_usage_ends_with_2(command: CommandLine, store: EventStore, arguments: list[str]) -> None:
    result = command("append", *arguments)
    assert (result.exit_code, "Traceback" in result.output) == (2, False)
    assert list(store.list_streams()) == []


def test_what_show_prints_of_the_data_comes_back_the_same(command: CommandLine, store: EventStore) -> None:
    data = {"a": {"$tuple": [1, {"$set": [2]}]}, "b": {"$bytes": "AP8="}, "c": {"$dict": [[1, "é"]]}, "d": 1.5}
    append(command, "one", json.dumps(data), "--type", "odd", "--expected-version", "0")
    (shown,) = command.json("show", "one")
    assert shown["data"] == data
    append(command, "two", json.dumps(shown["data"]), "--type", "odd", "--expected-version", "0")
    (one,), (two,) = store.read_stream("one"), store.read_stream("two")
    assert one.data == two.data == {"a": (1, {2}), "b": b"\0\xff", "c": {1: "é"}, "d": 1.5}
