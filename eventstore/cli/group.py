"""The group of commands: its options, how errors are told, and the exit codes."""

import json
from collections.abc import Callable
from typing import Any, Final

import click
from alembic.util import CommandError
from sqlalchemy import Engine
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from eventstore.backends import engine_for
from eventstore.errors import (
    DatabaseBusy,
    EventStoreError,
    InvalidInput,
    MigrationInProgress,
    SchemaMissing,
    SchemaOutdated,
    SchemaTooNew,
    TableLocked,
)

FAILED: Final = 1
USAGE: Final = 2
SCHEMA_MISSING: Final = 3
SCHEMA_OUTDATED: Final = 4
SCHEMA_TOO_NEW: Final = 5
SCHEMA_DIFFERS: Final = 6
WAITED_IN_VAIN: Final = 7

_AS_JSON: Final = "eventstore.as_json"

_EXIT_CODES: Final = {
    SchemaMissing: SCHEMA_MISSING,
    SchemaOutdated: SCHEMA_OUTDATED,
    SchemaTooNew: SCHEMA_TOO_NEW,
    MigrationInProgress: WAITED_IN_VAIN,
    TableLocked: WAITED_IN_VAIN,
    DatabaseBusy: WAITED_IN_VAIN,
    InvalidInput: USAGE,
}


class _Group(click.Group):
    """Tells the errors that users meet in a line, without a traceback; all others are ours to see whole."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (EventStoreError, SQLAlchemyError, CommandError) as error:
            if _was_interrupted(error):
                raise click.Abort from None
            code = next((code for kind, code in _EXIT_CODES.items() if isinstance(error, kind)), FAILED)
            if ctx.meta.get(_AS_JSON):
                click.echo(json.dumps({"error": type(error).__name__, "message": _told(error), "exit_code": code}))
            else:
                click.secho(f"error: {_told(error)}", fg="red", err=True)
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
    return str(cause).strip()


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="sqlalchemy-eventstore")
def main() -> None:
    """An event store on SQLAlchemy Core.

    The database is named by --url or by the environment variable EVENTSTORE_URL, as
    postgresql://user@host/database or sqlite:///file.db; a PostgreSQL schema of its own by --schema or
    EVENTSTORE_SCHEMA.

    Exit codes: 0 all is well; 1 it failed; 2 wrong usage; 3 there are no tables; 4 they are outdated; 5 they are too
    new for this code; 6 they differ from what they should be; 7 it waited in vain for somebody else: try again later.
    """


def database_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --url, --schema and --json to a command, which is called with `engine`, `schema` and `as_json`.

    Where the group is mounted in a framework, which gives the engine of its own database as `obj`, that one is used.
    """

    @click.option("--url", envvar="EVENTSTORE_URL", show_envvar=True, help="Of the database.")
    @click.option("--schema", envvar="EVENTSTORE_SCHEMA", show_envvar=True, help="PostgreSQL schema of the tables.")
    @click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
    @click.pass_context
    def with_engine(
        ctx: click.Context, /, *, url: str | None, schema: str | None, as_json: bool, **options: Any
    ) -> Any:
        ctx.meta[_AS_JSON] = as_json
        engine = ctx.obj if isinstance(ctx.obj, Engine) else _engine(ctx, url)
        ctx.call_on_close(engine.dispose)
        return command(engine=engine, schema=schema, as_json=as_json, **options)

    with_engine.__doc__ = command.__doc__
    with_engine.__name__ = command.__name__
    with_engine.__click_params__ += getattr(command, "__click_params__", [])  # type: ignore[attr-defined]  # click's
    return with_engine


def _engine(ctx: click.Context, url: str | None) -> Engine:
    if url is None:
        raise click.MissingParameter(ctx=ctx, param_hint="--url", param_type="option")
    try:
        return engine_for(url)
    except ArgumentError:
        msg = "not a URL of a database; it looks like postgresql://user@host/database or sqlite:///file.db"
        raise click.BadParameter(msg, param_hint="--url") from None
