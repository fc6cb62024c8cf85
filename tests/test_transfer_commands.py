"""`eventstore export` and `eventstore import`: what they print, where, and their exit codes."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Engine, create_engine

from eventstore import EventStore, NewEvent
from eventstore.cli import main
from tests.fix_migrations import url_of
from tests.source_tables import create_source, insert


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


@pytest.fixture
def old_url(tmp_path: Path) -> Iterator[str]:
    """The URL of another program's database, with thirty rows."""
    url = f"sqlite:///{tmp_path / 'old.db'}"
    engine = create_engine(url)
    create_source(engine, "eventsourcing")
    with engine.begin() as connection:
        for number in range(30):
            insert(connection, "eventsourcing", number)
    yield url
    engine.dispose()


def test_a_table_of_another_program(old_url: str, sqlite_engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "events.toml"
    path.write_text(
        'stream = "account-{originator_id}"\n[types]\n"bank.domain:BankAccount.Opened" = "opened"\n', "utf-8"
    )
    command = ("import", "--from", old_url, "--reader", "eventsourcing", "--map", str(path), "--verify")
    checked = run(sqlite_engine, *command[:-1], "--dry-run")
    assert (checked.exit_code, checked.stdout) == (0, "checked: 0 rows can't be stored; nothing was written\n")
    done = run(sqlite_engine, *command)
    assert done.exit_code == 0
    assert done.stdout.splitlines() == [
        "imported 30 events in 7 new streams, up to 30",
        "  23 bank.domain:BankAccount.Deposited",
        "  7 opened",
        "  bank.domain:BankAccount.Deposited: 23 rows, 23 events",
        "  opened: 7 rows, 7 events",
        "compared 30 rows with the events of 7 streams: equal",
    ]
    repeated = run(sqlite_engine, *command[:-1])
    assert repeated.stdout == "imported 0 events in 0 new streams\n"
    again = run(sqlite_engine, *command, "--json")
    result = json.loads(again.stdout)
    assert (result["events"], result["resumed_after"], result["comparison"]["is_equal"]) == (0, 30, True)


def test_rows_that_can_not_be_stored_are_listed(old_url: str, sqlite_engine: Engine) -> None:
    engine = create_engine(old_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE stored_events SET state = 'secret' WHERE rowid IN (3, 5)")
    engine.dispose()
    command = ("import", "--from", old_url, "--reader", "eventsourcing")
    checked = run(sqlite_engine, *command, "--dry-run")
    assert (checked.exit_code, checked.stdout) == (1, "checked: 2 rows can't be stored; nothing was written\n")
    assert "row rowid=3, column 'state'," in checked.stderr
    refused = run(sqlite_engine, *command)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "secret" not in checked.output + refused.output
    assert not list(EventStore(sqlite_engine).read_all())
    skipping = run(sqlite_engine, *command, "--skip-invalid")
    assert skipping.exit_code == 0
    assert "  2 left out, because they can't be stored" in skipping.stdout


def test_differences_are_a_failure(old_url: str, sqlite_engine: Engine) -> None:
    command = ("import", "--from", old_url, "--reader", "eventsourcing", "--verify")
    run(sqlite_engine, *command)
    engine = create_engine(old_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE stored_events SET topic = 'bank.domain:BankAccount.Closed' WHERE rowid = 3")
    engine.dispose()
    compared = run(sqlite_engine, *command)
    assert compared.exit_code == 1
    assert "differs in event_type" in compared.stderr
    assert compared.stdout.endswith("1 difference, in 1 stream\n")


def test_wrong_usage_with_a_table(old_url: str, sqlite_engine: Engine, tmp_path: Path) -> None:
    file = tmp_path / "all.jsonl"
    file.write_text("", "utf-8")
    for arguments, said in (
        ([], "name either the FILE"),
        ([str(file), "--from", old_url], "name either the FILE"),
        ([str(file), "--follow"], "--follow is for a table"),
        ([str(file), "--map", str(file)], "--map is for a table"),
        (["--from", old_url, "--keep-positions"], "--keep-positions is for a FILE"),
        (["--from", old_url, "--format", "parquet"], "--format is for a FILE"),
        (["--from", "nonsense"], "not a URL"),
    ):
        refused = run(sqlite_engine, "import", *arguments)
        assert refused.exit_code == 2
        assert said in refused.stderr
    no_map = run(sqlite_engine, "import", "--from", old_url)
    assert (no_map.exit_code, "missing required field" in no_map.stderr) == (2, True)


def test_the_password_of_a_source_is_not_shown(sqlite_engine: Engine) -> None:
    url = "postgresql://shop:ge%20heim@127.0.0.1:1/old"
    refused = run(sqlite_engine, "import", "--from", url, "--reader", "message-db")
    assert refused.exit_code == 1
    assert "heim" not in refused.output
