"""The group under an application's own commands, completion by the shell, and passwords, which are never told."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner, Result
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import OperationalError

from eventstore import EventStore, EventTypes, InvalidInput, NewEvent
from eventstore.cli import main, make_group
from eventstore.projections import Projection, Worker
from tests.fix_migrations import url_of


@pytest.fixture
def application() -> click.Group:
    return click.Group("shop")


@pytest.fixture
def store(sqlite_engine: Engine) -> EventStore:
    store = EventStore(sqlite_engine)
    store.append("order-1", [NewEvent("placed")], expected_version=0)
    return store


@pytest.fixture
def other_url() -> Iterator[str]:
    """Of a database with the tables, and without any stream."""
    with EventStore.in_memory() as other:
        yield url_of(other.engine)


def run(group: click.Group, *arguments: str, **env: str) -> Result:
    runner = CliRunner(env={"EVENTSTORE_URL": "", "EVENTSTORE_SCHEMA": "", **env})
    return runner.invoke(group, list(arguments), catch_exceptions=False)


def streams(result: Result) -> list[str]:
    assert result.exit_code == 0, result.output
    return [line.split("\t")[0] for line in result.stdout.splitlines()]


# --- mounted


def test_the_whole_command_can_be_mounted(application: click.Group, store: EventStore) -> None:
    application.add_command(main, "events")
    url = url_of(store.engine)
    assert streams(run(application, "events", "streams", "--url", url)) == ["order-1"]
    assert streams(run(application, "events", "streams", EVENTSTORE_URL=url)) == ["order-1"]
    missing = run(application, "events", "streams")
    assert (missing.exit_code, "--url" in missing.stderr) == (2, True)


@pytest.mark.parametrize("is_called", [True, False])
def test_a_group_on_the_applications_store_needs_no_url(
    application: click.Group, store: EventStore, other_url: str, *, is_called: bool
) -> None:
    application.add_command(make_group((lambda: store) if is_called else store, name="events"))
    assert streams(run(application, "events", "streams")) == ["order-1"]
    assert streams(run(application, "events", "streams", EVENTSTORE_URL=other_url)) == ["order-1"], "theirs wins"
    assert streams(run(application, "events", "streams", "--url", other_url)) == [], "said aloud, it wins"
    assert run(application, "events", "check").exit_code == 0
    told = json.loads(run(application, "events", "show", "order-9", "--json").stdout)
    assert told["error"] == "EventStoreError"
    assert run(application, "events", "streams", "--schema", "other").exit_code == 2
    assert list(store.read_stream("order-1")), "its engine is as it was"


def test_the_store_is_asked_for_only_when_a_command_needs_it(application: click.Group) -> None:
    def fail() -> EventStore:
        raise AssertionError

    application.add_command(make_group(fail))
    assert run(application, "eventstore", "--help").exit_code == 0
    assert run(application, "eventstore", "sql").exit_code == 0
    group = make_group(fail)
    assert set(group.commands) == set(main.commands)
    group.add_command(click.Command("theirs"))
    assert "theirs" not in main.commands
    with pytest.raises(InvalidInput):
        make_group("sqlite:///shop.db")  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.postgresql
def test_the_schema_is_that_of_the_applications_store(application: click.Group, postgres_engine: Engine) -> None:
    store = EventStore(postgres_engine, schema="events")
    application.add_command(make_group(store, name="events"))
    assert run(application, "events", "streams").exit_code == 3
    assert run(application, "events", "migrate").exit_code == 0
    store.append("order-1", [NewEvent("placed")], expected_version=0)
    assert streams(run(application, "events", "streams")) == ["order-1"]
    assert streams(run(main, "streams", "--url", url_of(postgres_engine))) == []


def test_a_typed_store_shows_what_is_stored(application: click.Group, sqlite_engine: Engine) -> None:
    types = EventTypes()
    types.upcaster("placed", from_version=1)(lambda data: {**data, "new": True})
    typed = EventStore(sqlite_engine, event_types=types)
    typed.append("order-1", [NewEvent("placed", {"a": 1})], expected_version=0)
    application.add_command(make_group(typed, name="events"))
    for arguments in (["show", "order-1"], ["tail"], ["tail", "-f", "--after", "0", "--limit", "1"]):
        told = json.loads(run(application, "events", *arguments, "--json").stdout)
        assert (told["data"], told["schema_version"]) == ({"a": 1}, 1)


# --- completion


def complete(group: click.Command, arguments: list[str], incomplete: str) -> list[str]:
    return [found.value for found in ShellComplete(group, {}, "it", "_IT").get_completions(arguments, incomplete)]


def test_ids_of_streams_and_names_of_projections_are_completed(
    application: click.Group, store: EventStore, other_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for stream_id in ("order-12", "order-2", "other-1", "order-1\x1b"):
        store.append(stream_id, [NewEvent("placed")], expected_version=0)
    monkeypatch.setenv("EVENTSTORE_URL", url_of(store.engine))
    assert complete(main, ["show"], "order-1") == ["order-1", "order-12"]
    assert complete(main, ["tail", "--stream"], "ot") == ["other-1"]
    assert complete(main, ["show"], "") == ["order-1", "order-12", "order-2", "other-1"]
    assert complete(main, ["projections", "status"], "") == []
    assert complete(main, ["show", "--url", other_url], "") == []
    application.add_command(make_group(store, name="events"))
    monkeypatch.setenv("EVENTSTORE_URL", other_url)
    assert complete(application, ["events", "show"], "order-2") == ["order-2"]


def test_completing_names_of_projections_counts_no_events(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    Worker(store, Projection("totals")).run_until_caught_up()
    monkeypatch.setenv("EVENTSTORE_URL", url_of(store.engine))
    executed: list[str] = []

    def note(_conn: object, _cursor: object, statement: str, *_: object) -> None:
        executed.append(statement)

    monkeypatch.setattr(Engine, "_has_events", False)  # SQLAlchemy leaves it True when the hook is gone
    event.listen(Engine, "before_cursor_execute", note)
    try:
        assert complete(main, ["projections", "status"], "to") == ["totals"]
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    assert any("es_checkpoints" in statement for statement in executed)
    assert not [statement for statement in executed if re.search("(FROM|JOIN) es_events", statement)]


def test_completing_makes_no_sqlite_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENTSTORE_URL", f"sqlite:///{tmp_path / 'shp.db'}")
    assert complete(main, ["show"], "") == []
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_is_not_there_completes_nothing(unused_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENTSTORE_URL", f"postgresql://127.0.0.1:{unused_port}/shop")
    assert complete(main, ["show"], "") == []
    monkeypatch.setenv("EVENTSTORE_URL", "nonsense")
    assert complete(main, ["show"], "") == []
    monkeypatch.delenv("EVENTSTORE_URL")
    assert complete(main, ["show"], "") == []


# --- passwords

COMMANDS = [
    ["streams"], ["show", "a"], ["tail"], ["tail", "-f"], ["health"],
    ["append", "a", '{"event_type": "b"}', "--expected-version", "any"],
    ["projections", "status"], ["snapshots", "list"], ["migrate"], ["check"],
]  # fmt: skip


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ada:s3cret@127.0.0.1:{port}/shop",
        "postgresql://ada@127.0.0.1:{port}/shop?password=s3cret",
        "postgresql://ada:s3cret%40%2F@127.0.0.1:{port}/shop",
        "postgresql://ada:s3cret@127.0.0.1:s3cret/shop",
        "postgresql://ada:s3cret/s3cret@127.0.0.1:{port}/shop",
        "mydb://ada:s3cret@127.0.0.1/shop?password=s3cret",
        "mysql://ada:s3cret@127.0.0.1/shop",
        "s3cret",
    ],
)
def test_the_password_is_in_no_message(url: str, unused_port: int) -> None:
    url = url.format(port=unused_port)
    for arguments in COMMANDS if url.endswith("/shop") and ":s3cret@127" in url else COMMANDS[:1]:
        for more in ([], ["--json"]):
            result = run(main, *arguments, *more, "--url", url)
            assert result.exit_code in {1, 2}
            assert "s3cret" not in result.output
            assert "Traceback" not in result.output


class Talkative(EventStore):
    """Fails as a driver would that tells what it was given."""

    def list_streams(self, **_: Any) -> Any:
        """Fail."""
        raise OperationalError("SELECT 1", None, ValueError('can not connect to "ada:s3cret%21@host" with s3cret!'))


def test_the_password_is_taken_out_of_what_a_driver_says(application: click.Group) -> None:
    application.add_command(make_group(Talkative(create_engine("postgresql+psycopg://ada:s3cret%21@127.0.0.1/shop"))))
    result = run(application, "eventstore", "streams")
    assert result.stderr == 'error: can not connect to "ada:***@host" with ***\n'
