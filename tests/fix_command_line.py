"""Running the command `eventstore` in this process: in a pipe, in a terminal of so many columns, for JSON."""

import json
from typing import Any, Final

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Engine

from eventstore import EventStore
from eventstore.cli import main
from tests.fix_migrations import url_of

on_sqlite: Final = pytest.mark.parametrize("command_line_engine", ["sqlite_engine"], indirect=True)
"""Of tests of what is printed: there the database makes no difference."""


class CommandLine:
    """Runs commands on one database."""

    def __init__(self, url: str) -> None:
        self.url = url

    def __call__(
        self, *arguments: str, stdin: str | bytes | None = None, columns: int | None = None, **env: str
    ) -> Result:
        """Run a command in a pipe; or where `columns` is given, as in a terminal."""
        terminal = {} if columns is None else {"FORCE_COLOR": "1", "COLUMNS": str(columns), "TERM": "xterm-256color"}
        runner = CliRunner(env={"EVENTSTORE_URL": self.url, "EVENTSTORE_SCHEMA": "", **terminal, **env})
        color = columns is not None
        return runner.invoke(main, list(arguments), input=stdin, color=color, catch_exceptions=False)

    def lines(self, *arguments: str) -> list[list[str]]:
        """Run a command that succeeds, and return the fields of its lines."""
        result = self(*arguments)
        assert result.exit_code == 0, result.output
        return [line.split("\t") for line in result.stdout.splitlines()]

    def json(self, *arguments: str, stdin: str | None = None) -> list[Any]:
        """Run a command that succeeds, and return what its lines hold."""
        result = self(*arguments, "--json", stdin=stdin)
        assert result.exit_code == 0, result.output
        return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture(params=["sqlite_engine", pytest.param("shared_postgres_engine", marks=pytest.mark.postgresql)])
def command_line_engine(request: pytest.FixtureRequest) -> Engine:
    engine: Engine = request.getfixturevalue(request.param)
    return engine


@pytest.fixture
def command(command_line_engine: Engine) -> CommandLine:
    """The command on an empty store, of each kind of database."""
    return CommandLine(url_of(command_line_engine))


@pytest.fixture
def command_line_store(command_line_engine: Engine) -> EventStore:
    """The same store."""
    return EventStore(command_line_engine)
