"""Migrations without the command line of Alembic: upgrade, downgrade, check, print SQL."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect

from eventstore.backends import backend_for
from eventstore.common.locks import make_lock
from eventstore.core.execution import OwnConnections
from eventstore.core.schema_version import SchemaGate
from eventstore.errors import InvalidInput
from eventstore.migrations import environment
from eventstore.migrations.refusals import refusals
from eventstore.migrations.settings import OnProgress, Settings
from eventstore.statements.schema import schema_version

_HERE: Final = Path(__file__).parent
_OFFLINE_DIALECTS: Final = ("postgresql", "sqlite")
_one_at_a_time: Final = make_lock()
"""Needed because Alembic's `context` and `op` are globals of the process."""


def versions_path() -> Path:
    """Return the folder of the revisions, for `version_locations` of an application's Alembic."""
    return _HERE / "versions"


def head() -> str:
    """Return the newest revision of this package."""
    return str(ScriptDirectory.from_config(_config(Settings())).get_current_head())


def upgrade(
    engine: Engine,
    revision: str = "head",
    *,
    schema: str | None = None,
    lock_timeout_seconds: float = 1.0,
    wait_seconds: float = 600.0,
    on_progress: OnProgress | None = None,
) -> None:
    """Migrate the tables to a revision. Does nothing if they are at it, or are newer than this code but work with it.

    Only one process at a time migrates the tables of a schema; others wait until it is done. On PostgreSQL each
    revision is committed separately, indexes are built without blocking writers, and attempts to lock a table are
    short; the next migration completes an interrupted one. On SQLite all revisions are one transaction, and other
    writers wait for it.

    Args:
        engine: An engine of the database, whose user may create tables.
        revision: The revision to migrate to. Defaults to the newest.
        schema: The PostgreSQL schema of the tables; created if it does not exist. Defaults to None: the first schema
            of the connection's search path.
        lock_timeout_seconds: How long one attempt to lock a table may take (PostgreSQL). Other writers wait for at most
            this time; then the attempt ends, lets them pass, and is repeated. At least 0.001.
        wait_seconds: How long to retry, and how long to wait for another migration. On SQLite, how long to wait for the
            write lock.
        on_progress: Called with a `Progress` from any thread while the migration runs.

    Raises:
        UnsupportedDatabase: The engine has another database or driver.
        InvalidInput: An option is not valid.
        PermissionDenied: The database user lacks a right (PostgreSQL).
        MigrationError: The migration can't continue; see its subclasses. Remove the cause, then run it again.
        SchemaTooNew: The tables have a breaking version that this code does not know.
        DatabaseBusy: SQLite's write lock was not free in time.
        alembic.util.CommandError: There is no such revision.
    """
    settings = Settings(schema, lock_timeout_seconds, wait_seconds, on_progress)
    _check_revision(revision)

    def work(config: Config) -> None:
        connection, script = config.attributes["connection"], ScriptDirectory.from_config(config)
        environment.refuse_tables_in_another_schema(connection, schema)
        if environment.is_newer(connection, script, settings):
            script.get_revisions(revision)  # refuses a revision that does not exist
            return
        environment.refuse_other_tables(connection, schema)
        command.upgrade(config, revision)

    _run(engine, settings, work)


def downgrade(
    engine: Engine,
    revision: str,
    *,
    schema: str | None = None,
    lock_timeout_seconds: float = 1.0,
    wait_seconds: float = 600.0,
    on_progress: OnProgress | None = None,
) -> None:
    """Undo revisions, the newest first, until the tables are at `revision`.

    Args:
        engine: As for `upgrade`.
        revision: The revision to go back to, such as `es_0002` or `-1`; `base` drops all tables.
        schema: As for `upgrade`.
        lock_timeout_seconds: As for `upgrade`.
        wait_seconds: As for `upgrade`.
        on_progress: As for `upgrade`.

    Raises:
        EventsWouldBeLost: It would drop the table of the events, which has rows. Nothing was undone.
        UnknownRevision: The tables are newer than this code.
        EventStoreError: As for `upgrade`.
    """
    settings = Settings(schema, lock_timeout_seconds, wait_seconds, on_progress)
    _check_revision(revision)

    def work(config: Config) -> None:
        connection, script = config.attributes["connection"], ScriptDirectory.from_config(config)
        environment.refuse_tables_in_another_schema(connection, schema)
        environment.refuse_unknown_revision(connection, script, schema)
        if revision == "base":  # before the indexes of a large table are gone
            environment.refuse_to_lose_events(connection, schema)
        command.downgrade(config, revision)

    _run(engine, settings, work)


def current(engine: Engine, *, schema: str | None = None) -> str | None:
    """Return the revision that the tables are at; None if there are no tables.

    It is read from our own version table, so it is None also if an application's Alembic history has the tables.
    """
    with refusals(engine, schema), engine.connect() as connection:
        inspector = inspect(connection)
        if not inspector.has_table(environment.VERSION_TABLE, schema):
            return None
        return environment.current_revision(connection, schema)


def pending(engine: Engine, revision: str = "head", *, schema: str | None = None) -> list[tuple[str, str]]:
    """Return the revisions that `upgrade` would apply, in order, with their descriptions; none if the tables are newer.

    Raises:
        ForeignMigrationHistory, TableTaken, TablesElsewhere, UnknownRevision, SchemaTooNew: As for `upgrade`.
        alembic.util.CommandError: There is no such revision.
    """
    with refusals(engine, schema), engine.connect() as connection:
        environment.refuse_tables_in_another_schema(connection, schema)
        environment.refuse_tables_of_another_history(connection, schema)
        script = ScriptDirectory.from_config(_config(Settings()))
        if environment.is_newer(connection, script, Settings(schema)):
            return []
        environment.refuse_other_tables(connection, schema)
    return revisions_after(current(engine, schema=schema) or "base", revision)


def revisions_after(done: str, revision: str = "head") -> list[tuple[str, str]]:
    """Return the revisions after `done` up to `revision`, in order, with their descriptions."""
    script = ScriptDirectory.from_config(_config(Settings()))
    known = [each.revision for each in script.walk_revisions("base", revision)]
    missing = [] if done not in {"base", *known} else list(script.iterate_revisions(revision, done))
    return [(each.revision, each.doc) for each in reversed(missing)]


def check(engine: Engine, *, schema: str | None = None) -> tuple[int, int]:
    """Check that this code works with the tables, as a store does before its first use.

    This code works with a newer schema, unless that has a breaking version which it does not know. Rolling deployments
    need that.

    Returns:
        The version of the schema in the database, and its breaking version, which code must know to work with it.

    Raises:
        SchemaMissing: There are no tables.
        SchemaOutdated: They are older than this code needs.
        SchemaTooNew: Their breaking version is newer than this code.
    """
    backend = backend_for(engine, lock_timeout_seconds=0, schema=schema)
    with refusals(engine, schema), OwnConnections(engine, backend.connections, SchemaGate()).statement() as run:
        ((version, breaking_version, *_),) = run(schema_version)
    return version, breaking_version


def sql(
    revisions: str = "head",
    *,
    dialect: str = "postgresql",
    schema: str | None = None,
    lock_timeout_seconds: float = 1.0,
) -> str:
    """Return the SQL of revisions, to be reviewed and run by `psql -v ON_ERROR_STOP=1 -f FILE`.

    It has its own BEGIN and COMMIT, because indexes are built outside of a transaction. It can't look anything up in
    the database as `upgrade` does, so the database must be exactly at the first revision.

    Args:
        revisions: `head`, from an empty database to the newest revision, or a range such as `es_0001:es_0004`.
        dialect: `postgresql` or `sqlite`. SQLite's constraints can't be printed, since they are added to the table's
            definition in the file.
        schema: As for `upgrade`.
        lock_timeout_seconds: As for `upgrade`, but the SQL does not retry.

    Raises:
        InvalidInput: There is no such dialect, an option is not valid, or the range is empty.
        MigrationError: A revision can't be printed.
    """
    if dialect not in _OFFLINE_DIALECTS:
        msg = f"dialect must be one of {', '.join(_OFFLINE_DIALECTS)}, not {dialect!r}"
        raise InvalidInput(msg)
    if dialect == "sqlite" and schema is not None:
        msg = "schema is an option for PostgreSQL; SQLite has no schemas"
        raise InvalidInput(msg)
    _check_range(revisions)
    output = io.StringIO()
    config = _config(Settings(schema, lock_timeout_seconds), output)
    config.attributes["dialect"] = dialect
    with _one_at_a_time:
        command.upgrade(config, revisions, sql=True)
    return output.getvalue()


def _check_range(revisions: str) -> None:
    first, colon, last = revisions.rpartition(":")
    if not colon:
        return
    if not (first and last):
        raise InvalidInput(f"revisions must be one revision, or two with a colon between, not {revisions!r}")
    ScriptDirectory.from_config(_config(Settings())).get_revisions(first)  # refuses a revision that does not exist
    if not revisions_after(first, last):
        msg = f"there is nothing to print: {last} does not come after {first}; SQL is printed for upgrades only"
        raise InvalidInput(msg)


def _check_revision(revision: object) -> None:
    if not isinstance(revision, str):
        msg = f"revision must be a string such as 'head' or 'es_0002', not {type(revision).__name__}"
        raise InvalidInput(msg)


def _run(engine: Engine, settings: Settings, work: Callable[[Config], object]) -> None:
    config = _config(settings)
    with _one_at_a_time, refusals(engine, settings.schema), environment.opened(engine, settings) as connection:
        config.attributes["connection"] = connection
        work(config)


def _config(settings: Settings, output: io.StringIO | None = None) -> Config:
    config = Config() if output is None else Config(output_buffer=output)
    config.set_main_option("script_location", str(_HERE).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    config.attributes[Settings.ATTRIBUTE] = settings
    return config
