"""The group of commands: how errors are told, the exit codes, and how an application mounts it."""

import json
import os
from collections.abc import Callable
from typing import Any, Final

import click
from alembic.util import CommandError
from sqlalchemy.exc import SQLAlchemyError

from eventstore.backends import without_password
from eventstore.cli.output import printable
from eventstore.errors import (
    ConcurrencyConflict,
    DatabaseBusy,
    EncodingError,
    EventIdReused,
    EventStoreError,
    InvalidInput,
    MigrationInProgress,
    ProjectionBehind,
    ProjectionRunning,
    SchemaMissing,
    SchemaOutdated,
    SchemaTooNew,
    TableLocked,
)
from eventstore.store import EventStore

FAILED: Final = 1
USAGE: Final = 2
SCHEMA_MISSING: Final = 3
SCHEMA_OUTDATED: Final = 4
SCHEMA_TOO_NEW: Final = 5
SCHEMA_DIFFERS: Final = 6
WAITED_IN_VAIN: Final = 7
CONFLICT: Final = 8
DAMAGED: Final = 9

AS_JSON: Final = "eventstore.as_json"
URL_IN_USE: Final = "eventstore.url"

_EXIT_CODES: Final = {
    SchemaMissing: SCHEMA_MISSING,
    SchemaOutdated: SCHEMA_OUTDATED,
    SchemaTooNew: SCHEMA_TOO_NEW,
    MigrationInProgress: WAITED_IN_VAIN,
    TableLocked: WAITED_IN_VAIN,
    DatabaseBusy: WAITED_IN_VAIN,
    ProjectionRunning: WAITED_IN_VAIN,
    ProjectionBehind: WAITED_IN_VAIN,
    InvalidInput: USAGE,
    EncodingError: USAGE,
    ConcurrencyConflict: CONFLICT,
    EventIdReused: CONFLICT,
}

GivenStore = EventStore | Callable[[], EventStore]


class EventStoreGroup(click.Group):
    """Tells the errors that users meet in a line, without a traceback; all others are ours to see whole."""

    store: GivenStore | None = None
    """The application's, where it has mounted the group."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        if os.environ.get("NO_COLOR"):
            ctx.color = False
        try:
            return super().invoke(ctx)
        except (EventStoreError, SQLAlchemyError, CommandError, OSError) as error:
            if isinstance(error, OSError) and not isinstance(error, EventStoreError) and error.filename is None:
                raise  # such as a reader of the output that has left
            if _was_interrupted(error):
                raise click.Abort from None
            code = next((code for kind, code in _EXIT_CODES.items() if isinstance(error, kind)), FAILED)
            told = _told(error)
            if URL_IN_USE in ctx.meta:
                told = without_password(told, ctx.meta[URL_IN_USE])
            if ctx.meta.get(AS_JSON):
                click.echo(json.dumps({"error": type(error).__name__, "message": told, "exit_code": code}))
            else:
                click.secho(f"error: {printable(told, keep_lines=True)}", fg="red", err=True)
            ctx.exit(code)


def _was_interrupted(error: BaseException | None) -> bool:
    """Return whether Ctrl-C came first: what rolls back after it fails, and hides it."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__context__
    return False


def _told(error: Exception) -> str:
    """Return the error without SQL, parameters and links."""
    cause = getattr(error, "orig", None) or error
    return str(cause).strip().expandtabs(4)  # of drivers, whose lines are kept


@click.group(cls=EventStoreGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="sqlalchemy-eventstore")
def main() -> None:
    """An event store on SQLAlchemy Core.

    The database is named by --url or by the environment variable EVENTSTORE_URL, as
    postgresql://user@host/database or sqlite:///file.db; a PostgreSQL schema of its own by --schema or
    EVENTSTORE_SCHEMA.

    In a terminal there are tables and colours (not with NO_COLOR); in a pipe, lines with tabs; with --json, JSON.

    Exit codes: 0 all is well; 1 it failed; 2 wrong usage; 3 there are no tables; 4 they are outdated; 5 they are too
    new for this code; 6 they differ from what they should be; 7 it waited in vain for somebody else: try again later;
    8 the stream is not at the expected version; 9 something is wrong with what is stored, or with the server.
    """


def make_group(store: GivenStore, *, name: str = "eventstore") -> click.Group:
    """Return the commands as a group for an application's own command line, on the application's store.

    Its users need no --url, and EVENTSTORE_URL is not looked at; a --url given on the command line still wins.
    `eventstore.cli.main` can be mounted as well: then --url or EVENTSTORE_URL is needed.

    Args:
        store: The application's store; or what returns it, called when a command needs it, so that the group can be
            mounted before there is an engine. It is not closed.
        name: Of the group.

    Example:
        ```python
        application.add_command(make_group(lambda: connect().event_store))
        ```
    """
    if not isinstance(store, EventStore) and not callable(store):
        msg = f"store is an EventStore, or what returns one, not {type(store).__name__}"
        raise InvalidInput(msg)
    group = EventStoreGroup(
        name,
        dict(main.commands),
        help="Look after the event store.",
        context_settings=main.context_settings,
    )
    group.store = store
    return group
