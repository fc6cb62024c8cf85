"""The commands streams, show and tail: what they print for people, in a pipe and for programs."""

import json
import os
import re
import signal
import time
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import uuid4

import pytest
from sqlalchemy import Engine, update

from eventstore import EventStore, EventTypes, NewEvent
from eventstore.cli.payloads import indented, readable
from tests.fix_command_line import CommandLine, on_sqlite
from tests.fix_engines import changing_history
from tests.fix_migrations import url_of
from tests.processes import Python

EVIL = "evil-[red]x[/red]\x1b[31m\u202e\x9b\t"
EVIL_SHOWN = r"evil-[red]x[/red]\x1b[31m\u202e\x9b\t"
ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
"""What styles are made of; nothing else that begins with ESC is printed."""


@pytest.fixture
def store(command_line_store: EventStore) -> EventStore:
    store = command_line_store
    placed = NewEvent("order-placed", {"total": Decimal("1.10"), "on": date(2026, 1, 2)}, metadata={"user_id": 7})
    store.append("order-1", [placed, *[NewEvent("item-added", {"n": n}) for n in range(2, 6)]], expected_version=0)
    store.append("order-2", [NewEvent("order-placed", {"blob": b"\0\xff"})], expected_version=0)
    store.append("invoice-1", [NewEvent("opened"), NewEvent("paid")], expected_version=0)
    return store


@pytest.fixture
def evil(store: EventStore) -> EventStore:
    payload = {"[bold]key\x1b[2J": "[blink]\x1b]0;title\x07\x9b31m\u2028\x7f"}
    store.append(EVIL, [NewEvent("[b]t\x1b[0m", payload, metadata={"\x1b": "\r"})], expected_version=0)
    return store


def without_styles(text: str) -> str:
    return ESCAPE.sub("", text)


# --- streams


def test_streams_in_a_pipe_are_lines_with_tabs(command: CommandLine, store: EventStore) -> None:
    lines = command.lines("streams")
    assert [line[:2] for line in lines] == [["invoice-1", "2"], ["order-1", "5"], ["order-2", "1"]]
    first = next(store.read_stream("order-1"))
    assert abs((datetime.fromisoformat(lines[1][3]) - first.recorded_at).total_seconds()) < 5
    assert [line[0] for line in command.lines("streams", "--by", "size")] == ["order-1", "invoice-1", "order-2"]
    time.sleep(0.002)  # SQLite's clock counts milliseconds
    store.append("order-2", [NewEvent("item-added")], expected_version=1)
    assert [line[0] for line in command.lines("streams", "--by", "recent", "--category", "order")] == [
        "order-2",
        "order-1",
    ]


def test_streams_for_programs_are_json_lines(command: CommandLine, store: EventStore) -> None:
    (order,) = command.json("streams", "--category", "order", "--after", "order-1")
    assert {name: order[name] for name in ("stream_id", "category", "version")} == {
        "stream_id": "order-2", "category": "order", "version": 1,
    }  # fmt: skip
    assert datetime.fromisoformat(order["updated_at"]).utcoffset() == datetime.now(UTC).utcoffset()


@on_sqlite
def test_a_list_that_is_cut_off_says_how_to_go_on(command: CommandLine, store: EventStore) -> None:
    cut = command("streams", "-n", "2")
    assert len(cut.stdout.splitlines()) == 2
    assert cut.stderr == "there are more: continue with --after order-1, or use --all\n"
    whole = command("streams", "-n", "3")
    assert (len(whole.stdout.splitlines()), whole.stderr) == (3, "")
    assert len(command.lines("streams", "-n", "1", "--all")) == 3


@on_sqlite
@pytest.mark.parametrize("columns", [80, 200])
def test_people_see_a_table_that_fits(command: CommandLine, store: EventStore, columns: int) -> None:
    long = "customer-" + "a" * 100
    store.append(long, [NewEvent("registered")], expected_version=0)
    result = command("streams", columns=columns)
    lines = without_styles(result.stdout).splitlines()
    assert lines[0].split()[:2] == ["stream", "version"]
    assert ("first event" in lines[0]) is (columns == 200)
    assert max(map(len, lines)) <= columns
    rows = lines[1:-3]
    assert "".join(line.split("  ")[0].strip() for line in rows) == long, "folded, not cut"


@on_sqlite
def test_a_stream_that_was_deleted_has_a_version_and_not_so_many_events(
    command: CommandLine, store: EventStore
) -> None:
    store.delete_stream("order-1", expected_version=5, reason="asked for")
    assert command.lines("streams", "--by", "size")[0][:2] == ["order-1", "6"]
    assert len(command.lines("show", "order-1")) == 1
    assert "events" not in command("streams", columns=200).stdout


@on_sqlite
def test_nothing_is_told_to_people_only(command: CommandLine) -> None:
    assert (command("streams").output, command("streams", "--json").output) == ("", "")
    assert "there are no streams" in command("streams", columns=80).stderr


# --- show


def test_show_in_a_pipe_is_a_line_an_event(command: CommandLine, store: EventStore) -> None:
    first, *rest = command.lines("show", "order-1")
    event = next(store.read_stream("order-1"))
    assert first == [
        str(event.position), "order-1", "1", "order-placed", "1", event.recorded_at.isoformat(), str(event.event_id),
        '{"total": {"$decimal": "1.10"}, "on": {"$date": "2026-01-02"}}', '{"user_id": 7}', "[]",
    ]  # fmt: skip
    assert [line[2] for line in rest] == ["2", "3", "4", "5"]


@pytest.mark.slow
def test_show_takes_ranges(command: CommandLine, store: EventStore) -> None:
    def versions(*options: str) -> list[int]:
        shown = [event["version"] for event in command.json("show", "order-1", *options)]
        assert shown == [event["version"] for event in command.json("show", "order-1", "--raw", *options)]
        return shown

    assert versions("--after", "2") == [3, 4, 5]
    assert versions("--up-to", "2") == [1, 2]
    assert versions("--backwards", "-n", "2") == [5, 4]
    assert versions("--after", "1", "--up-to", "4", "--backwards") == [4, 3, 2]
    assert versions("--type", "item-added", "-n", "2") == [2, 3]
    assert versions("-t", "order-placed", "-t", "none") == [1]


def test_show_for_programs_is_exact(command: CommandLine, store: EventStore) -> None:
    (told,) = command.json("show", "order-1", "-n", "1")
    event = next(store.read_stream("order-1"))
    assert told == {
        "position": event.position, "stream_id": "order-1", "version": 1, "event_type": "order-placed",
        "schema_version": 1, "event_id": str(event.event_id), "recorded_at": event.recorded_at.isoformat(),
        "data": {"total": {"$decimal": "1.10"}, "on": {"$date": "2026-01-02"}}, "metadata": {"user_id": 7},
        "tags": [],
    }  # fmt: skip


@on_sqlite
def test_people_see_the_payload_below_its_event(command: CommandLine, store: EventStore) -> None:
    result = command("show", "order-1", "-n", "1", columns=80)
    lines = without_styles(result.stdout).splitlines()
    assert lines[0].split()[:2] == ["1", "order-placed"]
    assert [line.strip() for line in lines[1:]] == ['{"total": "1.10", "on": "2026-01-02"}', 'metadata {"user_id": 7}']
    store.append("long", [NewEvent("a", {"a": "x" * 50, "b": ["y" * 50]})], expected_version=0)
    in_lines = without_styles(command("show", "long", columns=80).stdout).splitlines()
    assert [line.strip() for line in in_lines[1:]] == ["{", f'"a": "{"x" * 50}",', '"b": [', f'"{"y" * 50}"', "]", "}"]


def test_raw_shows_what_nobody_can_read(command: CommandLine, store: EventStore) -> None:
    with changing_history(store.engine) as connection:
        events = store.tables.events
        connection.execute(update(events).where(events.c.stream_id == "order-2").values(codec=99))
    refused = command("show", "order-2")
    assert (refused.exit_code, "--raw" in refused.stderr) == (1, True)
    (raw,) = command.json("show", "order-2", "--raw")
    assert (raw["codec"], raw["data_base64"]) == (99, "gaRibG9ixAIA/w==")
    assert "81 a4 62 6c 6f 62 c4 02" in command("show", "order-2", "--raw", columns=80).stdout
    assert command.lines("show", "order-2", "--raw")[0][7:] == ["99", "gaRibG9ixAIA/w==", ""]


NONE = "there is no stream 'order-9'; `eventstore streams` lists all streams"


@on_sqlite
def test_a_stream_that_is_not_there_is_an_error(command: CommandLine, store: EventStore) -> None:
    missing = command("show", "order-9")
    assert (missing.exit_code, missing.stderr) == (1, f"error: {NONE}\n")
    told = json.loads(command("show", "order-9", "--json").stdout)
    assert told == {"error": "EventStoreError", "message": NONE, "exit_code": 1}
    assert command("show", "order-1", "--after", "5").exit_code == 0


@dataclass(frozen=True)
class SeatTaken:
    seat: str
    paid: Decimal


@on_sqlite
def test_typed_events_are_shown_as_plain_data(command: CommandLine, command_line_engine: Engine) -> None:
    types = EventTypes()
    types.register("seat-taken", SeatTaken, schema_version=2, oldest_version=2)
    typed = EventStore(command_line_engine, event_types=types)
    typed.append("flight-1", [SeatTaken("1A", Decimal("9.90"))], expected_version=0)
    (told,) = command.json("show", "flight-1")
    assert (told["event_type"], told["schema_version"]) == ("seat-taken", 2)
    assert told["data"] == {"seat": "1A", "paid": {"$decimal": "9.90"}}
    assert "schema version 2" in command("show", "flight-1", columns=80).stdout


# --- nothing is interpreted


@on_sqlite
def test_controls_and_markup_are_shown_and_not_obeyed(command: CommandLine, evil: EventStore) -> None:
    for arguments in (["streams"], ["show", EVIL], ["show", EVIL, "--raw"], ["tail"], ["streams", "-n", "1"]):
        for columns in (None, 80, 200):
            result = command(*arguments, columns=columns)
            assert result.exit_code == 0
            shown = without_styles(result.output)
            assert "[" in shown
            assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u202e]", shown)


@on_sqlite
def test_letters_that_are_joined_stay_so_in_payloads_only(command: CommandLine, store: EventStore) -> None:
    family = "\U0001f469\u200d\U0001f467"
    store.append(family, [NewEvent("a", {"who": family, "hidden": "\u200b"})], expected_version=0)
    (line,) = command.lines("show", family)
    assert line[1] == "\U0001f469\\u200d\U0001f467"
    assert line[7] == f'{{"who": "{family}", "hidden": "\\u200b"}}'


@on_sqlite
def test_what_is_evil_is_told_whole(command: CommandLine, evil: EventStore) -> None:
    assert [EVIL_SHOWN, "1"] in [line[:2] for line in command.lines("streams")]
    (line,) = command.lines("show", EVIL)
    (event,) = evil.read_stream(EVIL)
    assert (json.loads(line[7]), json.loads(line[8])) == (event.data, event.metadata)
    shown = without_styles(command("show", EVIL, columns=200).stdout)
    assert r"[b]t\x1b[0m" in shown
    assert r'{"[bold]key\u001b[2J": "[blink]\u001b]0;title\u0007\u009b31m\u2028\u007f"}' in shown
    (told,) = command.json("show", EVIL)
    assert (told["stream_id"], told["event_type"]) == (EVIL, "[b]t\x1b[0m")
    missing = command("show", "\x1b[31mred")
    assert missing.stderr.startswith("error: there is no stream '\\x1b[31mred'; ")


@on_sqlite
def test_no_color_means_no_escape_sequences(command: CommandLine, store: EventStore) -> None:
    for arguments in (["streams"], ["show", "order-1"], ["tail"], ["show", "none"]):
        assert "\x1b[" in command(*arguments, columns=80).output
        result = command(*arguments, columns=80, NO_COLOR="1")
        assert "\x1b" not in result.output
        assert result.output == without_styles(command(*arguments, columns=80).output)


# --- tail


def test_tail_begins_with_the_last_ten(command: CommandLine, store: EventStore) -> None:
    store.append("order-3", [NewEvent("item-added", {"n": n}) for n in range(9)], expected_version=0)
    positions = [event.position for event in store.read_all()]
    assert [event["position"] for event in command.json("tail")] == positions[-10:]
    assert [event["position"] for event in command.json("tail", "-n", "2")] == positions[-2:]
    assert command.json("tail", "--last", "0") == []
    assert [event["position"] for event in command.json("tail", "--after", str(positions[-4]))] == positions[-3:]
    assert [event["position"] for event in command.json("tail", "--after", "0", "--limit", "2")] == positions[:2]


def test_tail_filters(command: CommandLine, store: EventStore) -> None:
    def found(*filters: str) -> list[str]:
        return [f"{event['stream_id']}@{event['version']}" for event in command.json("tail", *filters)]

    assert found("-c", "order", "-t", "order-placed") == ["order-1@1", "order-2@1"]
    assert found("-s", "order-1", "-n", "2") == ["order-1@4", "order-1@5"]
    assert found("-t", "paid", "-t", "opened") == ["invoice-1@1", "invoice-1@2"]
    assert found("-t", "none") == []


@pytest.mark.slow
def test_tags_are_shown_and_select_events(command: CommandLine, store: EventStore) -> None:
    tagged = [NewEvent("a", tags=["é:1", "x"], metadata={"m": 1}), NewEvent("b", tags=["x"]), NewEvent("a")]
    store.append("tagged-1", tagged, expected_version=0)
    assert [line[-2:] for line in command.lines("show", "tagged-1")] == [
        ['{"m": 1}', '["é:1", "x"]'], ["{}", '["x"]'], ["{}", "[]"]
    ]  # fmt: skip
    assert [event["tags"] for event in command.json("tail", "--tag", "x")] == [["é:1", "x"], ["x"]]
    assert [event["version"] for event in command.json("tail", "--tag", "x", "--tag", "é:1")] == [1]
    assert [event["version"] for event in command.json("tail", "--tag", "x", "-t", "b", "--after", "0")] == [2]
    assert [event["version"] for event in command.json("tail", "-f", "--tag", "x", "--limit", "2")] == [1, 2]
    assert command.json("tail", "--tag", "none") == []
    for wrong in ([""], ["x" * 256], ["x", "x"], [str(number) for number in range(33)]):
        refused = command("tail", *(part for tag in wrong for part in ("--tag", tag)))
        assert (refused.exit_code, "tag" in refused.stderr, "xxx" in refused.stderr) == (2, True, False)


@on_sqlite
def test_people_see_tags_and_no_control_in_them(command: CommandLine, store: EventStore) -> None:
    store.append("tagged-1", NewEvent("a", tags=["x", "\x1b[31mred"]), expected_version=0)
    shown = without_styles(command("show", "tagged-1", columns=80).stdout).splitlines()
    assert [line.strip() for line in shown[1:]] == ["{}", r"tags x, \x1b[31mred"]
    line = without_styles(command("tail", "-n", "1", columns=120).stdout).rstrip()
    assert line.endswith(r"a  {}  x, \x1b[31mred")


@on_sqlite
def test_tail_is_a_line_an_event_that_fits(command: CommandLine, store: EventStore) -> None:
    store.append("customer-" + "a" * 100, [NewEvent("b" * 100, {"c": "d" * 300})], expected_version=0)
    for columns in (80, 200):
        lines = without_styles(command("tail", columns=columns).stdout).splitlines()
        assert len(lines) == 9
        assert max(map(len, lines)) <= columns
        assert "bb" in lines[-1]
    assert command.lines("tail") == [*command.lines("show", "order-1"), *command.lines("tail", "-n", "4")]


@on_sqlite
def test_tail_refuses_two_places_to_begin_and_filters_that_are_wrong(command: CommandLine, store: EventStore) -> None:
    assert command("tail", "--last", "1", "--after", "1").exit_code == 2
    wrong = command("tail", "-c", "a-b")
    assert (wrong.exit_code, "hyphen" in wrong.stderr) == (2, True)


def test_following_ends_with_the_limit(command: CommandLine, store: EventStore) -> None:
    assert len(command.json("tail", "-f", "--after", "0", "--limit", "3")) == 3


def start(command: CommandLine, *arguments: str) -> Python:
    return Python("-m", "eventstore", *arguments, env={**os.environ, "EVENTSTORE_URL": command.url})


@pytest.mark.slow
@on_sqlite
def test_following_tells_what_comes_and_ends_in_order(command: CommandLine, store: EventStore) -> None:
    with start(command, "tail", "-f", "-n", "1") as process:
        assert process.stdout is not None
        assert process.stdout.readline().split("\t")[1] == "invoice-1"
        store.append("order-9", [NewEvent("late", {"id": str(uuid4())})], expected_version=0)
        assert process.stdout.readline().split("\t")[1] == "order-9"
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=30)
        assert (process.returncode, output, errors) == (0, "", "")


@pytest.mark.slow
def test_a_reader_that_leaves_ends_it_without_a_traceback(sqlite_engine: Engine) -> None:
    payload = {"a": "x" * 1000}
    EventStore(sqlite_engine).append("long", [NewEvent("a", payload) for _ in range(200)], expected_version=0)
    with start(CommandLine(url_of(sqlite_engine)), "tail", "-f", "--after", "0") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(30) == 1


# --- find, and events by time


@pytest.mark.slow
def test_tail_chooses_by_time_and_position(command: CommandLine, store: EventStore) -> None:
    events = list(store.read_all())
    with changing_history(store.engine) as connection:
        for hour, event in enumerate(events):
            time = datetime(2026, 10, 25, hour, 30, tzinfo=UTC)
            value = time if connection.dialect.name == "postgresql" else time.replace(tzinfo=None)
            where = store.tables.events.c.position == event.position
            connection.execute(update(store.tables.events).where(where).values(recorded_at=value))

    def hours(*options: str) -> list[int]:
        return [datetime.fromisoformat(each["recorded_at"]).hour for each in command.json("tail", *options)]

    assert hours("--since", "2026-10-25T05:30") == [5, 6, 7]
    assert hours("--since", "2026-10-25T05:30+02:00", "--before", "2026-10-25T05:30:00Z") == [3, 4]
    assert hours("--before", "2026-10-25T06:00", "--last", "2") == [4, 5]
    assert hours("--after", "0", "--before", "2026-10-25T06:00", "--limit", "2") == [0, 1]
    assert hours("--up-to", str(events[2].position)) == [0, 1, 2]
    assert hours("--since", "2026-10-26") == []
    for wrong in (["--since", "yesterday"], ["--follow", "--since", "2026-10-25"], ["--follow", "--up-to", "3"]):
        assert command("tail", *wrong).exit_code == 2


def test_events_are_found_by_their_ids(command: CommandLine, store: EventStore) -> None:
    cause = next(store.read_stream("order-1"))
    sent = NewEvent("sent", metadata={"correlation_id": "request-19", "causation_id": str(cause.event_id)})
    store.append("mail-1", [sent], expected_version=0)
    for options in (
        ["--correlation-id", "request-19"],
        ["--causation-id", str(cause.event_id)],
        ["--event-id", str(sent.event_id)],
    ):
        (found,) = command.json("find", *options)
        assert (found["stream_id"], found["event_id"]) == ("mail-1", str(sent.event_id))
    assert command.json("find", "--correlation-id", "none") == []
    assert command("find").exit_code == 2
    assert command("find", "--event-id", "x").exit_code == 2


# --- payloads that Python has no text for


@on_sqlite
@pytest.mark.parametrize("is_for_people", [False, True])
def test_what_python_has_no_text_for_is_shown(command: CommandLine, store: EventStore, is_for_people: bool) -> None:
    deep: object = 1
    for _ in range(1000):
        deep = [deep]
    huge = 1 << 20_000
    store.append("odd-1", [NewEvent("deep", deep), NewEvent("huge", {huge: {huge}, "n": -huge})], expected_version=0)
    if is_for_people:
        assert "-0x1000" in readable({"n": -huge, huge: [huge]}) + readable(deep)
        assert "-0x1000" in indented({"n": -huge})
        return
    deep_event, huge_event = command.json("show", "odd-1")
    assert deep_event["data"] == {"$repr": "<list, nested too deeply>"}
    assert "1000000" in json.dumps(huge_event["data"])
    assert len(command.lines("show", "odd-1")) == 2
    in_notebooks = [event._repr_html_() for event in store.read_stream("odd-1")]
    assert all("nested too deeply" in html or "too many digits" in html for html in in_notebooks)
