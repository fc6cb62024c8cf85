"""The command `eventstore`: what it prints, where, and its exit codes."""

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Engine, text

from eventstore import EventStore, NewEvent, migrations
from eventstore.cli import main
from eventstore.tables import SCHEMA_VERSION
from tests.fix_migrations import BringTo, url_of
from tests.processes import run_python

pytestmark = pytest.mark.slow


@pytest.fixture
def runner() -> CliRunner:
    return CliRunner(env={"EVENTSTORE_URL": "", "EVENTSTORE_SCHEMA": ""})


def run(runner: CliRunner, engine: Engine, *arguments: str) -> Result:
    return runner.invoke(main, [*arguments, "--url", url_of(engine)], catch_exceptions=False)


def run_json(runner: CliRunner, engine: Engine, *arguments: str) -> tuple[int, Any]:
    result = run(runner, engine, *arguments, "--json")
    return result.exit_code, json.loads(result.stdout)


def test_migrate_from_nothing_and_again(runner: CliRunner, new_engine: Engine) -> None:
    head = migrations.head()
    done = run(runner, new_engine, "migrate")
    assert (done.exit_code, done.stdout) == (0, f"the tables are at {head} now\n")
    assert [line for line in done.stderr.splitlines() if line.startswith("applied")] == [
        f"applied es_{number:04}" for number in range(1, SCHEMA_VERSION + 1)
    ]
    again = run(runner, new_engine, "migrate")
    assert (again.exit_code, again.stdout, again.stderr) == (0, f"nothing to do: the tables are at {head}\n", "")
    assert run_json(runner, new_engine, "migrate") == (0, {"before": head, "after": head})


def test_a_dry_run_does_nothing(runner: CliRunner, new_engine: Engine) -> None:
    result = run(runner, new_engine, "migrate", "--dry-run")
    assert result.exit_code == 0
    assert "there are no tables yet" in result.stdout
    assert [line.split()[0] for line in result.stdout.splitlines()[2:]] == [
        revision for revision, _ in migrations.pending(new_engine)
    ]
    assert migrations.current(new_engine) is None
    migrations.upgrade(new_engine, "es_0003")
    expected = {"before": "es_0003", "pending": [revision for revision, _ in migrations.pending(new_engine)]}
    assert run_json(runner, new_engine, "migrate", "--dry-run") == (0, expected)


def test_check_tells_by_its_exit_code(runner: CliRunner, new_engine: Engine) -> None:
    with new_engine.connect():  # a file, if it is one, without tables
        pass
    assert run(runner, new_engine, "check").exit_code == 3
    code, told = run_json(runner, new_engine, "check")
    assert (code, told["error"], told["exit_code"]) == (3, "SchemaMissing", 3)
    run(runner, new_engine, "migrate", "--revision", "es_0002")
    assert run(runner, new_engine, "check").exit_code == 0, "old tables are good enough for this code"
    assert run(runner, new_engine, "check", "--newest").exit_code == 4
    run(runner, new_engine, "migrate")
    assert run(runner, new_engine, "check", "--newest").exit_code == 0
    with new_engine.begin() as connection:
        connection.execute(text("DROP INDEX es_events_recorded_at_idx"))
    code, told = run_json(runner, new_engine, "check")
    assert code == 6
    assert told["version"] == SCHEMA_VERSION
    assert [found["name"] for found in told["findings"]] == ["es_events_recorded_at_idx"]
    for version, breaking, expected in ((0, 0, 4), (SCHEMA_VERSION + 1, SCHEMA_VERSION + 1, 5)):
        with new_engine.begin() as connection:
            values = {"version": version, "breaking": breaking}
            connection.execute(text("UPDATE es_schema SET version = :version, breaking_version = :breaking"), values)
        assert run(runner, new_engine, "check").exit_code == expected


def test_check_finds_what_another_history_has_not_applied_yet(
    bring_to: BringTo, runner: CliRunner, new_engine: Engine
) -> None:
    bring_to(new_engine, "es_0003")
    with new_engine.begin() as connection:
        connection.execute(text("DROP TABLE es_alembic_version"))
    result = run(runner, new_engine, "check", "--newest")
    assert (result.exit_code, "es_0004" in result.stdout, "es_0003" in result.stdout) == (4, True, False)
    assert run(runner, new_engine, "migrate", "--dry-run").exit_code == 1


def test_ctrl_c_ends_it_without_a_traceback(bring_to: BringTo, new_postgres_engine: Engine) -> None:
    bring_to(new_postgres_engine, "es_0001")
    command = [sys.executable, "-m", "eventstore", "migrate", "--url", url_of(new_postgres_engine)]
    with new_postgres_engine.connect() as older:
        EventStore(new_postgres_engine).join(older).append("order-1", [NewEvent("placed")], expected_version=0)
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            said = ""
            while "waits for a lock" not in said:
                said = process.stderr.readline()
            process.send_signal(signal.SIGINT)
            rest = process.stderr.read()
            assert process.wait(30) == 1
    assert rest.splitlines()[-1] == "Aborted!"
    assert "Traceback" not in rest


def test_wrong_usage_is_told_and_ends_with_2(runner: CliRunner, new_engine: Engine) -> None:
    assert runner.invoke(main, ["migrate"]).exit_code == 2
    unknown = runner.invoke(main, ["migrate", "--url", "nonsense"])
    assert (unknown.exit_code, "postgresql://user@host/database" in unknown.stderr) == (2, True)
    assert run(runner, new_engine, "migrate", "--lock-timeout", "0").exit_code == 2
    assert run(runner, new_engine, "migrate", "--wait", "-1").exit_code == 2


def test_a_database_that_does_not_answer_is_one_line_without_the_password(runner: CliRunner) -> None:
    url = "postgresql://ada:s3cret@127.0.0.1:1/shop"
    result = runner.invoke(main, ["migrate", "--url", url])
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert "s3cret" not in result.output
    assert "Traceback" not in result.output


def test_an_unknown_revision_is_told(runner: CliRunner, new_engine: Engine) -> None:
    result = run(runner, new_engine, "migrate", "--revision", "es_9999")
    assert (result.exit_code, "es_9999" in result.stderr) == (1, True)


def test_the_url_comes_from_the_environment(new_engine: Engine) -> None:
    environment = {**os.environ, "EVENTSTORE_URL": url_of(new_engine)}
    done = run_python("-m", "eventstore", "migrate", env=environment, check=True)
    assert done.stdout == f"the tables are at {migrations.head()} now\n"
    assert EventStore(new_engine).append("order-1", [NewEvent("placed")], expected_version=0).version == 1


def test_a_schema_of_its_own(runner: CliRunner, new_postgres_engine: Engine) -> None:
    assert run(runner, new_postgres_engine, "migrate", "--schema", "events").exit_code == 0
    assert run(runner, new_postgres_engine, "check", "--schema", "events").exit_code == 0
    assert run(runner, new_postgres_engine, "check").exit_code == 3


def test_who_waits_in_vain_ends_with_7_and_says_for_whom(
    bring_to: BringTo, runner: CliRunner, new_postgres_engine: Engine
) -> None:
    bring_to(new_postgres_engine, "es_0002")
    with new_postgres_engine.connect() as reader:
        pid = reader.execute(
            text("SELECT pg_backend_pid() FROM es_streams RIGHT JOIN (SELECT 1) AS one ON true")
        ).scalar()
        options = ("--lock-timeout", "0.05", "--wait", "0.2")
        result = run(runner, new_postgres_engine, "migrate", *options)
    assert result.exit_code == 7
    assert f"pid {pid}" in result.stderr
    assert run(runner, new_postgres_engine, "migrate").exit_code == 0


def test_sql_and_versions_path_need_no_database(runner: CliRunner) -> None:
    printed = runner.invoke(main, ["sql", "es_0001:es_0002", "--schema", "events"])
    assert printed.exit_code == 0
    assert "CREATE INDEX CONCURRENTLY" in printed.stdout
    assert "CREATE TABLE" not in printed.stdout
    path = runner.invoke(main, ["versions-path"]).stdout.strip()
    assert (Path(path) / "es_0001_tables.py").is_file()
    refused = runner.invoke(main, ["sql", "--dialect", "sqlite"])
    assert (refused.exit_code, "run it online" in refused.stderr) == (1, True)


def test_a_person_sees_a_bar_while_an_index_is_built(bring_to: BringTo, new_postgres_engine: Engine) -> None:
    """The build waits for a transaction that is older than it."""
    bring_to(new_postgres_engine, "es_0001")
    command = [sys.executable, "-m", "eventstore", "migrate", "--url", url_of(new_postgres_engine)]
    leader, follower = pty.openpty()
    with new_postgres_engine.connect() as older, ThreadPoolExecutor(1) as threads:
        EventStore(new_postgres_engine).join(older).append("order-1", [NewEvent("placed")], expected_version=0)
        environment = {**os.environ, "COLUMNS": "100", "TERM": "xterm-256color"}
        with subprocess.Popen(command, env=environment, stdout=follower, stderr=follower) as process:
            os.close(follower)
            output = threads.submit(read_until, leader, b"waiting for pid")
            seen = output.result(timeout=60)
            older.commit()
            rest = threads.submit(read_until, leader, f"{migrations.head()} now".encode()).result(timeout=60)
            assert process.wait(60) == 0
    os.close(leader)
    assert b"building index" in seen
    assert f"{migrations.head()} now".encode() in rest


def read_until(file: int, wanted: bytes) -> bytes:
    seen = b""
    while wanted not in seen:
        seen += os.read(file, 4096)
    return seen


# --- a SQLite file that is not there


def a_value_for_each_argument(command: click.Command) -> list[str]:
    return ["1" for each in command.params if isinstance(each, click.Argument) and each.required]


def commands_that_need_a_database(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands_that_need_a_database(command, (*path, name))
        elif name not in {"migrate", "sql", "versions-path", "schema"}:
            yield (*path, name)


REQUIRED_OPTIONS = {
    "append": ["--expected-version", "any", "--type", "placed", "{}"],
    "rebuild": ["--projection", "tests.projections_of_shop:totals", "--yes"],
    "recode": ["--to", "json"],
    "retry": ["--projection", "tests.projections_of_shop:totals"],
    "reset": ["--yes"],
    "remove": ["--yes"],
    "views": ["--event-types", "tests.projections_of_shop:event_types"],
}


@pytest.mark.parametrize("path", list(commands_that_need_a_database(main)), ids=" ".join)
def test_a_mistyped_sqlite_file_is_told_and_not_made(runner: CliRunner, tmp_path: Path, path: tuple[str, ...]) -> None:
    command: click.Command = main
    for name in path:
        assert isinstance(command, click.Group)
        command = command.commands[name]
    file = tmp_path / "shp.db"
    arguments = a_value_for_each_argument(command)
    if path in {("export",), ("import",)}:
        arguments = [str(tmp_path / "all.jsonl")]
        (tmp_path / "all.jsonl").touch()
        arguments += ["--force"] if path == ("export",) else []
    result = runner.invoke(main, [*path, "--url", f"sqlite:///{file}", *arguments, *REQUIRED_OPTIONS.get(path[-1], [])])
    assert (result.exit_code, f"error: there is no file {str(file)!r}" in result.stderr) == (3, True), result.output
    assert f"eventstore migrate --url sqlite:///{file}" in result.stderr
    assert not file.exists()


def test_a_dry_run_makes_no_file(runner: CliRunner, tmp_path: Path) -> None:
    file = tmp_path / "new.db"
    result = runner.invoke(main, ["migrate", "--dry-run", "--url", f"sqlite:///{file}"])
    assert (result.exit_code, "es_0001" in result.stdout, file.exists()) == (0, True, False)
    assert runner.invoke(main, ["migrate", "--url", f"sqlite:///{file}"]).exit_code == 0
    assert runner.invoke(main, ["streams", "--url", f"sqlite:///{file}"]).exit_code == 0
    assert runner.invoke(main, ["streams", "--url", f"sqlite:///file:{file}?mode=ro&uri=true"]).exit_code == 0


def test_what_a_driver_says_keeps_its_lines_and_has_no_escaped_tabs(runner: CliRunner, unused_port: int) -> None:
    result = runner.invoke(main, ["streams", "--url", f"postgresql://127.0.0.1:{unused_port}/shop"])
    assert result.exit_code == 1
    assert "\\t" not in result.stderr
    assert "    Is the server running" in result.stderr


def test_a_file_that_can_not_be_written_is_told_in_a_line(runner: CliRunner, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'new.db'}"
    runner.invoke(main, ["migrate", "--url", url])
    result = runner.invoke(main, ["export", str(tmp_path / "none" / "all.jsonl"), "--url", url])
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1), result.output
    assert "all.jsonl" in result.stderr
