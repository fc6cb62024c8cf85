"""The database of a command: named by its options, or chosen by the application that mounted the group."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource
from sqlalchemy import Engine
from sqlalchemy.exc import ArgumentError

from eventstore.backends import engine_for, without_password
from eventstore.cli.group import AS_JSON, URL_IN_USE, EventStoreGroup
from eventstore.errors import DatabaseMissing, EventStoreError
from eventstore.store import EventStore

Command = Callable[..., Any]


def database_options(command: Command, *, creates_file: bool = False) -> Command:
    """Add --url, --schema and --json to a command, and call it with `engine`, `schema` and `as_json`.

    Args:
        command: The command.
        creates_file: Whether it also works if there is no file yet (SQLite).
    """

    def on_engine(store: EventStore, **options: Any) -> Any:
        return command(engine=store.engine, schema=store.tables.metadata.schema, **options)

    return _with_options(command, on_engine, creates_file=creates_file)


def store_options(command: Command) -> Command:
    """Add the same options to a command, and call it with `store` and `as_json`."""
    return _with_options(command, command, creates_file=False)


def _with_options(command: Command, call: Command, *, creates_file: bool) -> Command:
    @click.option("--url", envvar="EVENTSTORE_URL", show_envvar=True, help="The URL of the database.")
    @click.option("--schema", envvar="EVENTSTORE_SCHEMA", show_envvar=True, help="The PostgreSQL schema of the tables.")
    @click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
    @click.pass_context
    def with_store(ctx: click.Context, /, *, url: str | None, schema: str | None, as_json: bool, **options: Any) -> Any:
        ctx.meta[AS_JSON] = as_json
        store = store_of(ctx, url, schema)
        ctx.meta[URL_IN_USE] = store.engine.url
        if not creates_file:
            refuse_missing_file(store.engine)
        return call(store=store, as_json=as_json, **options)

    with_store.__doc__ = command.__doc__
    with_store.__name__ = command.__name__
    with_store.__click_params__ += getattr(command, "__click_params__", [])  # type: ignore[attr-defined]  # click's
    return with_store


def missing_file(engine: Engine) -> Path | None:
    """Return the file of a SQLite database if it does not exist: SQLite would create it on the first connection."""
    url = engine.url
    if engine.dialect.name != "sqlite" or url.database in {None, "", ":memory:"}:
        return None
    name = str(url.database)
    if name.startswith("file:"):  # a URI, whose `mode` says whether SQLite creates the file
        return None
    path = Path(name).absolute()
    return None if path.exists() else path


def refuse_missing_file(engine: Engine) -> None:
    """Refuse a SQLite database whose file does not exist.

    Raises:
        DatabaseMissing: The file does not exist.
    """
    path = missing_file(engine)
    if path is not None:
        raise DatabaseMissing(str(path), without_password(str(engine.url), engine.url))


def store_of(ctx: click.Context, url: str | None, schema: str | None) -> EventStore:
    """Return the store of a command: that of --url, otherwise the application's, otherwise that of the environment.

    Raises:
        click.UsageError: None of them is given.
    """
    is_named = ctx.get_parameter_source("url") is ParameterSource.COMMANDLINE
    mounted = None if is_named else mounted_store(ctx)
    if mounted is not None:
        if ctx.get_parameter_source("schema") is ParameterSource.COMMANDLINE:
            raise click.UsageError("--schema needs --url: otherwise the application chooses the database", ctx)
        return mounted
    if not url:
        raise click.UsageError("Missing option '--url' (env var: 'EVENTSTORE_URL').", ctx)
    store = _store_at(url, schema)
    ctx.call_on_close(store.engine.dispose)
    return store


def mounted_store(ctx: click.Context | None) -> EventStore | None:
    """Return the store of the application that has mounted the group; None if there is none."""
    while ctx is not None:
        if isinstance(ctx.command, EventStoreGroup) and ctx.command.store is not None:
            store = ctx.command.store
            return store if isinstance(store, EventStore) else store()
        ctx = ctx.parent
    return None


def _store_at(url: str, schema: str | None) -> EventStore:
    try:
        engine = engine_for(url)
    except (ArgumentError, ValueError) as error:  # a ValueError quotes a part of the URL, possibly of the password
        if isinstance(error, EventStoreError):
            raise
        msg = "not a URL of a database; it looks like postgresql://user@host/database or sqlite:///file.db"
        raise click.BadParameter(msg, param_hint="--url") from None
    try:
        return EventStore(engine, schema=schema)
    except EventStoreError:
        engine.dispose()
        raise
