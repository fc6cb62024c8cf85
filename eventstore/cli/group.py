"""The group of commands: how it prints errors, its exit codes, and how an application mounts it."""

import json
import os
from collections.abc import Callable
from typing import Any, Final

import click
from alembic.util import CommandError
from sqlalchemy.exc import SQLAlchemyError

from eventstore.backends import without_password
from eventstore.cli.output import printable
from eventstore.common.exit_codes import exit_code
from eventstore.errors import EventStoreError, InvalidInput
from eventstore.store import EventStore

AS_JSON: Final = "eventstore.as_json"
URL_IN_USE: Final = "eventstore.url"
SOURCE_URL: Final = "eventstore.source_url"

GivenStore = EventStore | Callable[[], EventStore]


class EventStoreGroup(click.Group):
    """Prints errors that users can act on in a line, without a traceback; other errors keep theirs."""

    store: GivenStore | None = None
    """The application's store, if an application mounted the group."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        if os.environ.get("NO_COLOR"):
            ctx.color = False
        try:
            return super().invoke(ctx)
        except (EventStoreError, SQLAlchemyError, CommandError, OSError) as error:
            if isinstance(error, OSError) and not isinstance(error, EventStoreError) and error.filename is None:
                raise  # such as a closed pipe
            if _was_interrupted(error):
                raise click.Abort from None
            code = exit_code(error)
            message = _message(error)
            for name in (URL_IN_USE, SOURCE_URL):
                if name in ctx.meta:
                    message = without_password(message, ctx.meta[name])
            if ctx.meta.get(AS_JSON):
                click.echo(json.dumps({"error": type(error).__name__, "message": message, "exit_code": code}))
            else:
                click.secho(f"error: {printable(message, keep_lines=True)}", fg="red", err=True)
            ctx.exit(code)


def _was_interrupted(error: BaseException | None) -> bool:
    """Return whether Ctrl-C caused the error: a rollback after it can fail, which hides it."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__context__
    return False


def _message(error: Exception) -> str:
    """Return the text of an error without SQL, parameters and links."""
    cause = getattr(error, "orig", None) or error
    return str(cause).strip().expandtabs(4)  # a driver's message may have several lines, which stay


@click.group(cls=EventStoreGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="sqlalchemy-eventstore")
def main() -> None:
    """An event store on SQLAlchemy Core.

    Name the database with --url or the environment variable EVENTSTORE_URL, such as
    postgresql://user@host/database or sqlite:///file.db, and a PostgreSQL schema with --schema or EVENTSTORE_SCHEMA.

    Output is a table with colours in a terminal (no colours with NO_COLOR), tab-separated lines in a pipe, and JSON
    with --json.

    Exit codes: 0 success; 1 failure; 2 wrong usage; 3 there are no tables; 4 the tables are outdated; 5 they are too
    new for this code; 6 they differ from what the migrations create; 7 timed out waiting for another migration or a
    lock, try again later; 8 the stream is not at the expected version; 9 stored data is damaged, or the server has a
    problem.
    """


def make_group(store: GivenStore, *, name: str = "eventstore") -> click.Group:
    """Return the commands as a group for an application's command line, on the application's store.

    Its users need no --url, and EVENTSTORE_URL is ignored; a --url on the command line takes precedence. An application
    can also mount `eventstore.cli.main`, which needs --url or EVENTSTORE_URL.

    Args:
        store: The application's store, or a function that returns it. The function is called when a command needs the
            store, so the group can be mounted before there is an engine. The store is not closed.
        name: The name of the group.

    Example:
        ```python
        application.add_command(make_group(lambda: connect().event_store))
        ```
    """
    if not isinstance(store, EventStore) and not callable(store):
        msg = f"store must be an EventStore, or a function that returns one, not {type(store).__name__}"
        raise InvalidInput(msg)
    group = EventStoreGroup(
        name,
        dict(main.commands),
        help="Inspect and maintain the event store.",
        context_settings=main.context_settings,
    )
    group.store = store
    return group
