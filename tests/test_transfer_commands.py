"""`eventstore export` and `eventstore import`: what they print, where, and their exit codes."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Engine

from eventstore import EventStore, NewEvent
from eventstore.cli import main
from tests.fix_migrations import url_of


@pytest.fixture
def store(sqlite_engine: Engine) -> EventStore:
    store = EventStore(sqlite_engine)
    store.append("order-1", [NewEvent("placed", {"n": 1}), NewEvent("paid")], expected_version=0)
    store.append("invoice-1", [NewEvent("opened")], expected_version=0)
    return store


def run(engine: Engine, *arguments: str, given: bytes = b"") -> Result:
    runner = CliRunner(env={"EVENTSTORE_URL": "", "EVENTSTORE_SCHEMA": ""})
    return runner.invoke(main, [*arguments, "--url", url_of(engine)], input=given, catch_exceptions=False)


@pytest.mark.slow
def test_a_file_from_one_store_into_another(store: EventStore, shared_postgres_engine: Engine, tmp_path: Path) -> None:
    path = str(tmp_path / "all.jsonl")
    exported = run(store.engine, "export", path)
    assert (exported.exit_code, exported.output) == (0, "exported 3 events, up to position 3\n")
    imported = run(shared_postgres_engine, "import", path, "--keep-positions")
    assert (imported.exit_code, imported.output) == (0, "imported 3 events\n")
    again = run(shared_postgres_engine, "import", path, "--json")
    assert json.loads(again.stdout) == {"events": 0, "repeated": 3, "position": 3, "snapshots": 0, "checkpoints": 0}
    assert list(EventStore(shared_postgres_engine).read_all()) == list(store.read_all())


def test_a_pipe(store: EventStore, shared_postgres_engine: Engine) -> None:
    exported = run(store.engine, "export", "-", "--category", "order")
    assert exported.stderr == "exported 2 events, up to position 3\n"
    imported = run(shared_postgres_engine, "import", "-", given=exported.stdout_bytes)
    assert imported.output == "imported 2 events\n"
    cut_off = run(shared_postgres_engine, "import", "-", given=exported.stdout_bytes[:-20])
    assert cut_off.exit_code == 1
    assert "of the export is cut off" in cut_off.stderr


def test_only_what_is_asked_for(store: EventStore, tmp_path: Path) -> None:
    for options, wanted in (
        (["--category", "order"], ["placed", "paid"]),
        (["--stream", "invoice-1", "--stream", "order-1"], ["placed", "paid", "opened"]),
        (["--type", "paid", "--category", "order"], ["paid"]),
        (["--after", "1"], ["paid", "opened"]),
    ):
        path = tmp_path / "some.jsonl"
        assert run(store.engine, "export", str(path), "--force", *options).exit_code == 0
        lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        assert [line["event_type"] for line in lines if line["kind"] == "event"] == wanted


def test_a_file_that_is_there_is_not_written_over(store: EventStore, tmp_path: Path) -> None:
    path = tmp_path / "all.jsonl"
    run(store.engine, "export", str(path), "--after", "2")
    refused = run(store.engine, "export", str(path))
    assert refused.exit_code == 2
    assert "--resume" in refused.stderr
    store.append("order-1", [NewEvent("shipped")], expected_version=2)
    assert run(store.engine, "export", str(path), "--resume").output == "exported 1 event, up to position 4\n"
    forced = run(store.engine, "export", str(path), "--force", "--json")
    assert json.loads(forced.stdout)["events"] == 4


def test_what_does_not_fit_is_told_in_a_line(store: EventStore, shared_postgres_engine: Engine, tmp_path: Path) -> None:
    EventStore(shared_postgres_engine).append("order-1", [NewEvent("other")], expected_version=0)
    run(store.engine, "export", str(tmp_path / "all.jsonl"))
    refused = run(shared_postgres_engine, "import", str(tmp_path / "all.jsonl"))
    assert refused.exit_code == 1
    assert refused.stderr.startswith(
        "error: version 1 of stream 'order-1' can't be imported: another event is stored there"
    )


def test_wrong_usage(store: EventStore, tmp_path: Path) -> None:
    for arguments in (
        ["export", "-", "--json"],
        ["export", str(tmp_path / "all.csv")],
        ["export", str(tmp_path / "a.jsonl"), "--snapshots", "--category", "order"],
        ["import", str(tmp_path / "missing.jsonl")],
    ):
        assert run(store.engine, *arguments).exit_code == 2
