"""The commands verify, repair, doctor and stats: what they print, where, and their exit codes."""

import json
import os
import pty
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Engine

from eventstore import EventStore, EventTypes, NewEvent, maintenance
from eventstore.cli import main
from eventstore.maintenance import Part, Place, Progress
from tests.damage import DAMAGES, fill
from tests.fix_leaks import SECRET
from tests.fix_migrations import url_of

pytestmark = pytest.mark.slow

event_types = EventTypes()
event_types.drop("noted", from_version=1)


@event_types.register("opened")
@dataclass
class Opened:
    card: str


def run(engine: Engine, *arguments: str, **options: Any) -> Result:
    runner = CliRunner(env={"EVENTSTORE_URL": "", "EVENTSTORE_SCHEMA": ""})
    return runner.invoke(main, [*arguments, "--url", url_of(engine)], catch_exceptions=False, **options)


def damage(engine: Engine, *kinds: str) -> None:
    fill(engine)
    for kind in kinds:
        DAMAGES[kind](engine)


def test_verify_counts_in_the_singular_and_in_the_plural(any_engine: Engine) -> None:
    store = EventStore(any_engine)
    store.append("order-1", NewEvent("placed"), expected_version=0)
    assert run(any_engine, "verify").stderr.startswith("no problems found: 1 stream and 1 event in ")
    store.append("order-1", NewEvent("paid"), expected_version=1)
    assert run(any_engine, "verify").stderr.startswith("no problems found: 1 stream and 2 events in ")


def test_verify_of_a_healthy_store_prints_nothing_and_ends_with_0(any_engine: Engine) -> None:
    fill(any_engine)
    result = run(any_engine, "verify")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.startswith("no problems found: 4 streams and 14 events in ")
    told = json.loads(run(any_engine, "verify", "--json").stdout)
    assert (told["findings"], told["streams"], told["events"], told["kinds"]) == (0, 4, 14, {})


def test_verify_prints_a_line_for_each_finding_and_ends_with_9(any_engine: Engine) -> None:
    damage(any_engine, "a hole", "a head that is behind", "bytes that are none of a codec")
    result = run(any_engine, "verify")
    assert result.exit_code == 9
    lines = [line.split("\t") for line in result.stdout.splitlines()]
    assert {line[0] for line in lines} == {"error"}
    assert [(line[1], line[2]) for line in lines] == [
        ("versions-missing", "stream 'order-1', version 4, position 12"),
        ("head-behind", "stream 'order-2', version 2"),
        ("event-unreadable", "noted, stream 'order-2', version 2, position 6, schema version 1"),
    ]
    assert all(len(line) == 6 for line in lines)
    assert "3 findings, of which `eventstore repair` can repair 1:" in result.stderr
    *findings, summary = [json.loads(line) for line in run(any_engine, "verify", "--json").stdout.splitlines()]
    assert [finding["kind"] for finding in findings] == [line[1] for line in lines]
    assert summary["kinds"] == {"versions-missing": 1, "head-behind": 1, "event-unreadable": 1}
    assert run(any_engine, "verify", "--no-payloads").stdout.count("\n") == 2
    assert SECRET not in result.output


def test_verify_goes_on_after_a_place(sqlite_engine: Engine) -> None:
    damage(sqlite_engine, "a hole", "a snapshot beyond its head")
    result = run(sqlite_engine, "verify", "--after", "streams:0:order-1")
    assert [line.split("\t")[1] for line in result.stdout.splitlines()] == ["snapshot-beyond-head"]
    refused = run(sqlite_engine, "verify", "--after", "order-1")
    assert (refused.exit_code, "a place looks like" in refused.stderr) == (2, True)


def test_verify_that_ends_too_early_says_where_to_go_on(sqlite_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, on_progress: Any, **__: Any) -> Any:
        on_progress(Progress(Place(Part.STREAMS, key="order-o'neill"), 1, 4))
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(maintenance, "verify", interrupted)
    result = run(sqlite_engine, "verify")
    assert result.exit_code == 1
    assert "--after 'streams:0:order-o'\\''neill'" in result.stderr


def test_verify_takes_the_event_types_of_the_application(sqlite_engine: Engine) -> None:
    store = fill(sqlite_engine)
    name = f"{__name__}:event_types"
    assert run(sqlite_engine, "verify", "--event-types", name).exit_code == 0
    store.append("order-1", [NewEvent("paid", {"amount": 3})], expected_version=5)
    assert run(sqlite_engine, "verify").exit_code == 0
    found = run(sqlite_engine, "verify", "--event-types", name)
    assert found.stdout.startswith("error\tevent-type-unknown\tpaid, stream 'order-1', version 6,")
    assert run(sqlite_engine, "verify", "--event-types", "json:JSONDecoder").exit_code == 2


def test_without_tables_verify_ends_with_3(new_engine: Engine) -> None:
    assert run(new_engine, "verify").exit_code == 3
    with new_engine.connect():  # a file, if it is one, without tables
        pass
    told = run(new_engine, "doctor")
    assert (told.exit_code, "error\t\tschema\t" in told.stdout) == (9, True)
    assert run(new_engine, "stats").exit_code == 3


MENDABLE = ("a head that is behind", "a head that is gone", "a snapshot beyond its head", "an index that is gone")


def test_repair_does_nothing_unless_told_to(any_engine: Engine) -> None:
    damage(any_engine, *MENDABLE)
    before = run(any_engine, "verify").stdout
    for options in (["--dry-run"], ["--dry-run", "--yes"], []):
        result = run(any_engine, "repair", *options)
        assert result.exit_code == 9
        assert result.stdout.startswith(before)
        assert [line.split("\t")[0] for line in result.stdout[len(before) :].splitlines()] == ["would"] * 4
    assert "nothing was done; --yes repairs without asking" in result.stderr
    assert run(any_engine, "verify").stdout == before


def test_repair_does_what_it_says_and_verifies(any_engine: Engine) -> None:
    damage(any_engine, *MENDABLE)
    result = run(any_engine, "repair", "--yes")
    assert result.exit_code == 0
    lines = [line.split("\t") for line in result.stdout.splitlines()]
    assert [line[1] for line in lines if line[0] == "done"] == [line[1] for line in lines if line[0] == "would"]
    assert [line[1] for line in lines if line[0] == "done"] == [
        "build the index es_events_category_position_idx",
        "delete the snapshots of stream 'order-1' that are beyond its head",
        "set the head of stream 'order-2' from its events",
        "create a head for stream 'order-3' from its events",
    ]
    assert result.stderr.rstrip().rpartition("\n")[2].startswith("no problems found: 4 streams and 14 events")
    assert run(any_engine, "repair", "--yes").exit_code == 0


def test_repair_ends_with_9_where_something_is_left(sqlite_engine: Engine) -> None:
    damage(sqlite_engine, "a hole", "a head that is behind")
    told = json.loads(run(sqlite_engine, "repair", "--json").stdout)
    assert (len(told["planned"]), told["done"], len(told["findings"])) == (1, [], 2)
    result = run(sqlite_engine, "repair", "--json", "--yes")
    told = json.loads(result.stdout)
    assert (result.exit_code, told["done"]) == (9, ["set the head of stream 'order-2' from its events"])
    assert [finding["kind"] for finding in told["findings"]] == ["versions-missing"]


def test_a_person_is_asked_and_sees_what_is_wrong_in_blocks(sqlite_engine: Engine) -> None:
    damage(sqlite_engine, "a head that is behind")
    sqlite_engine.dispose()
    assert run_in_terminal(sqlite_engine, "n").endswith(
        "Do it? [y/N]: n\nnothing was done; --yes repairs without asking"
    )
    told = run_in_terminal(sqlite_engine, "y")
    assert "error    head-behind  stream 'order-2', version 2\n  found     a head at version 2\n" in told
    assert "done: set the head of stream 'order-2' from its events" in told
    assert "no problems found: 4 streams and 14 events" in told
    assert max(map(len, told.splitlines())) <= 80


def run_in_terminal(engine: Engine, answer: str) -> str:
    """Return what a terminal of 80 columns has seen of `eventstore repair`, without colours."""
    command = [sys.executable, "-m", "eventstore", "repair", "--url", url_of(engine)]
    environment = {**os.environ, "COLUMNS": "80", "TERM": "dumb", "NO_COLOR": "1"}
    leader, follower = pty.openpty()
    with subprocess.Popen(command, env=environment, stdin=follower, stdout=follower, stderr=follower):
        os.close(follower)
        seen, is_asked = b"", False
        while True:
            try:
                more = os.read(leader, 4096)
            except OSError:  # Linux: nobody has the other end any more
                break
            if not more:
                break
            seen += more
            if b"[y/N]" in seen and not is_asked:
                is_asked = True
                os.write(leader, f"{answer}\n".encode())
    os.close(leader)
    return "\n".join(line.rstrip() for line in seen.decode().splitlines()).rstrip()


def test_doctor_prints_a_line_for_each_thing_and_its_worst_level(any_engine: Engine) -> None:
    fill(any_engine)
    lines = [line.split("\t") for line in run(any_engine, "doctor").stdout.splitlines()]
    assert {len(line) for line in lines} == {6}
    told = json.loads(run(any_engine, "doctor", "--json").stdout)
    assert [found["subject"] for found in told["findings"]] == [line[2] for line in lines]
    is_durable = {line[2] for line in lines if line[0] == "error"} == set()
    assert told["level"] == ("warning" if is_durable else "error")
    DAMAGES["an index that is gone"](any_engine)
    result = run(any_engine, "doctor")
    missing = "error\tindex-missing\tes_events.es_events_category_position_idx\tis missing\t"
    assert missing in result.stdout
    assert result.exit_code == 9


def test_stats_prints_what_it_has_counted(any_engine: Engine) -> None:
    fill(any_engine)
    lines = [tuple(line.split("\t")) for line in run(any_engine, "stats").stdout.splitlines()]
    for line in (
        ("events", "", "14", "exact"),
        ("streams", "", "4", "exact"),
        ("events of category", "order", "12", "exact"),
        ("streams of category", "user", "1", "exact"),
        ("events of type", "noted", "10", "exact"),
        ("events within seconds", "3600", "14", "exact"),
        ("streams with a snapshot", "", "2", "exact"),
    ):
        assert line in lines
    told = json.loads(run(any_engine, "stats", "--json", "--exact-up-to", "3").stdout)
    assert told["recent"][1]["events"] == {"value": 3, "precision": "at least"}
    assert told["database_bytes"] > 0
