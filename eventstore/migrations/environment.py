"""The Alembic environment of our revisions, for `alembic` in a checkout, our command and `migrations.upgrade`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from alembic import context
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, func, inspect, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateSchema

from eventstore.backends import backend_for, engine_for
from eventstore.backends.running import refuse_other_schema
from eventstore.core.schema_version import check_version
from eventstore.errors import (
    EventsWouldBeLost,
    ForeignMigrationHistory,
    InvalidInput,
    MigratedMeanwhile,
    NoSchema,
    UnknownRevision,
)
from eventstore.migrations.lock import deploy_lock
from eventstore.migrations.name_clashes import refuse_name_clashes
from eventstore.migrations.place import refuse_elsewhere, refuse_elsewhere_in_script
from eventstore.migrations.refusals import refusals, refuse_encoding
from eventstore.migrations.settings import Progress, Settings
from eventstore.tables import SCHEMA_VERSION, define_tables

VERSION_TABLE: Final = "es_alembic_version"
"""Our own version table. In a shared alembic_version, each of the two histories would find unknown revisions."""


@contextmanager
def opened(engine: Engine, settings: Settings) -> Iterator[Connection]:
    """Open a connection for a migration: on SQLite in one transaction, on PostgreSQL with the migration lock."""
    backend = backend_for(engine, lock_timeout_seconds=settings.wait_seconds, schema=settings.schema)
    if engine.dialect.name == "sqlite":
        with backend.connections.transaction(engine) as connection:
            yield connection
        return
    with engine.connect().execution_options(isolation_level="READ COMMITTED") as connection:
        refuse_encoding(connection)
        with deploy_lock(
            connection,
            schema=settings.schema,
            wait_seconds=settings.wait_seconds,
            on_progress=settings.on_progress,
        ):
            _create_schema(connection, settings.schema)
            yield connection


def refuse_to_lose_events(connection: Connection, schema: str | None) -> None:
    """Refuse to drop the table of the events if it has rows.

    Raises:
        EventsWouldBeLost: It has rows.
    """
    events = define_tables(schema=schema).events
    if inspect(connection).has_table(events.name, schema):
        event = connection.execute(select(events.c.position).limit(1)).first()
        if event is not None:
            raise EventsWouldBeLost
    _end_reading(connection)


def run(connection: Connection, settings: Settings) -> None:
    """Run the revisions that were asked for: each in its own transaction, on SQLite all in the open one."""
    refuse_other_schema(connection, settings.schema)
    refuse_without_schema(connection, settings.schema)
    refuse_tables_in_another_schema(connection, settings.schema)
    refuse_tables_of_another_history(connection, settings.schema)
    applied = _revisions(connection, settings.schema)

    def note(heads: set[str], **_: Any) -> None:
        nonlocal applied
        applied = ", ".join(sorted(heads))

    _configure(settings, note, connection=connection)
    try:
        with context.begin_transaction():
            context.run_migrations()
    except (CommandError, DBAPIError) as error:
        is_lost = isinstance(error, DBAPIError) and error.connection_invalidated
        if connection.dialect.name == "sqlite" or is_lost:  # no other migration could run; or the outcome is unknown
            raise
        connection.rollback()
        stamped = _revisions(connection, settings.schema)
        if stamped != applied:
            raise MigratedMeanwhile(applied, stamped) from error
        raise


def run_on_url(url: str, settings: Settings, *, command: str = "", revision: str = "") -> None:
    """Run the revisions that were asked for on a database named by a URL.

    Args:
        url: The URL of the database.
        settings: How to run them.
        command: The command of Alembic, such as `upgrade`.
        revision: The revision that the command was given.
    """
    engine = engine_for(url)
    try:
        with refusals(engine, settings.schema), opened(engine, settings) as connection:
            context.config.attributes.setdefault(Settings.ATTRIBUTE, settings)
            if command == "upgrade" and is_newer(connection, context.script, settings):
                context.script.get_revisions(revision)  # refuses a revision that does not exist
                known = context.script.get_current_head()
                context.config.print_stdout("nothing to do: the tables are newer than this code (%s)", known)
                return
            if command == "downgrade":
                refuse_unknown_revision(connection, context.script, settings.schema)
            run(connection, settings)
    finally:
        engine.dispose()


def is_newer(connection: Connection, script: ScriptDirectory, settings: Settings) -> bool:
    """Return whether the tables are newer than this code but work with it, so that there is nothing to upgrade.

    Raises:
        SchemaTooNew: They are newer, and this code does not work with them.
        UnknownRevision: The version table names a revision that is not ours, and es_schema is not newer.
    """
    revision = _unknown_revision(connection, script, settings.schema)
    if revision is None:
        return False
    tables = define_tables(schema=settings.schema)
    row = None
    if inspect(connection).has_table(tables.schema.name, settings.schema):
        row = connection.execute(select(tables.schema.c.version, tables.schema.c.breaking_version)).one_or_none()
    _end_reading(connection)
    if row is None or row.version <= SCHEMA_VERSION:
        raise UnknownRevision(revision, str(script.get_current_head()))
    check_version(row.version, row.breaking_version)
    head = script.get_current_head()
    settings.report(Progress(f"the tables are at {revision}, newer than this code ({head}), which works with them"))
    return True


def refuse_unknown_revision(connection: Connection, script: ScriptDirectory, schema: str | None) -> None:
    """Refuse tables at a revision that this code does not have.

    Raises:
        UnknownRevision: This code does not have it.
    """
    revision = _unknown_revision(connection, script, schema)
    if revision is not None:
        raise UnknownRevision(revision, str(script.get_current_head()))


def _unknown_revision(connection: Connection, script: ScriptDirectory, schema: str | None) -> str | None:
    """Return the revision of the tables if this code does not have it; otherwise None."""
    revision = current_revision(connection, schema)
    _end_reading(connection)
    known = {each.revision for each in script.walk_revisions()}
    return None if revision is None or revision in known else revision


def run_offline(dialect: str, settings: Settings) -> None:
    """Print the SQL of the revisions instead of running it.

    Args:
        dialect: The name of SQLAlchemy's dialect, such as `postgresql`.
        settings: The settings, of which only the schema and the lock timeout are used.
    """
    if settings.schema is not None and "%" in settings.schema:
        msg = (
            f"SQL can't be printed for schema {settings.schema!r}, because SQLAlchemy would print its percent sign "
            "twice; migrate on a connection instead"
        )
        raise InvalidInput(msg)
    context.config.attributes.setdefault(Settings.ATTRIBUTE, settings)
    _configure(settings, dialect_name=dialect, literal_binds=True)
    with context.begin_transaction():
        if settings.schema is None and dialect == "postgresql":
            context.execute(refuse_elsewhere_in_script())
        if settings.schema is not None and dialect == "postgresql" and _begins_at_nothing():
            context.execute(CreateSchema(settings.schema, if_not_exists=True))
        context.run_migrations()


def current_revision(connection: Connection, schema: str | None) -> str | None:
    """Return the revision in our version table."""
    options = {"version_table": VERSION_TABLE, "version_table_schema": schema}
    return MigrationContext.configure(connection, opts=options).get_current_revision()


def _revisions(connection: Connection, schema: str | None) -> str:
    """Return all revisions in the store's version table, which may be several after a manual change."""
    options = {"version_table": VERSION_TABLE, "version_table_schema": schema}
    heads = MigrationContext.configure(connection, opts=options).get_current_heads()
    _end_reading(connection)
    return ", ".join(sorted(heads))


def _begins_at_nothing() -> bool:
    return context.get_context()._start_from_rev is None  # noqa: SLF001  # Alembic has no public name for it


def _configure(settings: Settings, *listeners: Callable[..., None], **what: Any) -> None:
    def applied(*_: Any, **step: Any) -> None:
        for listener in (_reporter(settings), *listeners):
            listener(**step)

    context.configure(
        **what,
        version_table=VERSION_TABLE,
        version_table_schema=settings.schema,
        transaction_per_migration=True,
        transactional_ddl=True,
        on_version_apply=applied,
    )


def _reporter(settings: Settings) -> Callable[..., None]:
    def report(step: Any, **_: Any) -> None:
        revision = step.up_revision_id
        verb = "applied" if step.is_upgrade else "undone"
        settings.report(Progress(f"{verb} {revision}", applied=revision))

    return report


def _create_schema(connection: Connection, schema: str | None) -> None:
    """Create the schema for the version table, which Alembic creates before the first revision."""
    if schema is not None and not inspect(connection).has_schema(schema):
        connection.execute(CreateSchema(schema, if_not_exists=True))
        connection.commit()
    _end_reading(connection)


def refuse_tables_of_another_history(connection: Connection, schema: str | None) -> None:
    """Refuse tables without our version table.

    Raises:
        ForeignMigrationHistory: There are tables, but no version table.
    """
    inspector = inspect(connection)
    if inspector.has_table("es_schema", schema) and not inspector.has_table(VERSION_TABLE, schema):
        raise ForeignMigrationHistory
    _end_reading(connection)


def refuse_tables_in_another_schema(connection: Connection, schema: str | None) -> None:
    """Refuse to create new tables in another schema than the one of the present tables.

    Raises:
        TablesElsewhere: They would be created there.
    """
    refuse_elsewhere(connection, schema)
    _end_reading(connection)


def refuse_without_schema(connection: Connection, schema: str | None) -> None:
    """Refuse a search path without an existing schema, if no schema was named.

    Raises:
        NoSchema: No schema of the search path exists.
    """
    if schema is None and connection.dialect.name == "postgresql":
        current, path = connection.execute(select(func.current_schema(), func.current_setting("search_path"))).one()
        if current is None:
            raise NoSchema(path)
        _end_reading(connection)


def refuse_other_tables(connection: Connection, schema: str | None) -> None:
    """Refuse tables of the application that have the name of a table that is still to be created.

    Raises:
        TableTaken: There is such a table.
    """
    refuse_name_clashes(connection, schema)
    _end_reading(connection)


def _end_reading(connection: Connection) -> None:
    """End a transaction that only read: Alembic begins its own. On SQLite it is the migration's and stays open."""
    if connection.dialect.name != "sqlite":
        connection.rollback()
