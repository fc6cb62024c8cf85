"""Commands for migrations: migrate, check, sql, versions-path."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import click
from click.core import ParameterSource
from sqlalchemy import Engine, create_engine

from eventstore import migrations
from eventstore.cli.database import database_options, missing_file, mounted_store
from eventstore.cli.findings import print_finding
from eventstore.cli.many_schemas import migrate_schemas
from eventstore.cli.output import console
from eventstore.cli.progress import reporting
from eventstore.common.exit_codes import FAILED, SCHEMA_DIFFERS, SCHEMA_OUTDATED
from eventstore.errors import PermissionDenied
from eventstore.findings import FindingKind
from eventstore.migrations.commands import revisions_after
from eventstore.tables import SCHEMA_VERSION

Result = TypeVar("Result")


@click.command()
@click.option("--revision", default="head", show_default=True, help="The revision to migrate to.")
@click.option("--dry-run", is_flag=True, help="Print what would be done, and do nothing.")
@click.option(
    "--lock-timeout", type=float, default=1.0, show_default=True, metavar="SECONDS",
    help="How long one attempt to lock a table may take, during which other writers may wait.",
)  # fmt: skip
@click.option(
    "--wait", type=float, default=600.0, show_default=True, metavar="SECONDS",
    help="How long to retry, and to wait for another migration.",
)  # fmt: skip
@click.option(
    "--schemas", "patterns", multiple=True, metavar="PATTERN",
    help="Migrate all schemas with such a name that have tables, such as 'tenant_*'. Can be repeated.",
)  # fmt: skip
@click.option(
    "--jobs", type=click.IntRange(min=1), default=1, show_default=True,
    help="With --schemas: how many to migrate at the same time.",
)  # fmt: skip
@partial(database_options, creates_file=True)
def migrate(
    *,
    engine: Engine,
    schema: str | None,
    as_json: bool,
    revision: str,
    dry_run: bool,
    lock_timeout: float,
    wait: float,
    patterns: tuple[str, ...],
    jobs: int,
) -> None:
    """Create the tables, or bring them to the newest revision.

    Run it as a step of your deployment, before the new code starts. It can be interrupted and repeated.

    With --schemas, a schema that can't be migrated does not stop the others. The exit code is then that of the error,
    or 1 if there were different ones.
    """
    if jobs > 1 and not patterns:
        raise click.UsageError("--jobs needs --schemas")
    if patterns:
        _refuse_other_choices(schema, jobs)
        options = {"lock_timeout_seconds": lock_timeout, "wait_seconds": wait}
        migrate_schemas(engine, patterns, revision, jobs=jobs, dry_run=dry_run, as_json=as_json, **options)
        return
    if dry_run and missing_file(engine) is not None:
        engine = create_engine("sqlite://")  # empty, as the file would be, which is not created
    before = migrations.current(engine, schema=schema)
    if dry_run:
        _print_pending(before, migrations.pending(engine, revision, schema=schema), as_json=as_json)
        return
    with reporting(quiet=as_json) as report:
        migrations.upgrade(
            engine,
            revision,
            schema=schema,
            lock_timeout_seconds=lock_timeout,
            wait_seconds=wait,
            on_progress=report,
        )
    after = migrations.current(engine, schema=schema)
    if as_json:
        _print_json({"before": before, "after": after})
    elif before == after:
        click.echo(f"nothing to do: the tables are at {after}{_newer(after)}")
    else:
        click.echo(f"the tables are at {after} now" + ("" if before is None else f", before at {before}"))


def _refuse_other_choices(schema: str | None, jobs: int) -> None:
    context = click.get_current_context()
    is_given = ParameterSource.COMMANDLINE
    if schema is not None:
        raise click.UsageError("--schemas and --schema (or EVENTSTORE_SCHEMA) exclude each other")
    if jobs > 1 and context.get_parameter_source("url") is not is_given and mounted_store(context) is not None:
        raise click.UsageError("--jobs needs --url: other processes can't use the application's engine")


def _newer(revision: str | None) -> str:
    """Return a note for tables that are newer than this code; otherwise an empty text."""
    is_known = revision is None or revision in {known for known, _ in revisions_after("base")}
    return "" if is_known else f", newer than this code ({migrations.head()}), which works with them"


def _print_pending(before: str | None, missing: list[tuple[str, str]], *, as_json: bool) -> None:
    if as_json:
        _print_json({"before": before, "pending": [revision for revision, _ in missing]})
    elif not missing:
        click.echo(f"nothing to do: the tables are at {before}{_newer(before)}")
    else:
        click.echo("there are no tables yet" if before is None else f"the tables are at {before}")
        click.echo("would apply, in this order:")
        for revision, description in missing:
            click.echo(f"  {revision}  {description}")


@click.command()
@click.option("--newest", is_flag=True, help="Exit with code 4 if there are newer revisions to apply.")
@database_options
def check(*, engine: Engine, schema: str | None, as_json: bool, newest: bool) -> None:
    """Check that this code works with the tables, and that they are what the migrations create.

    If the database user may not read something, it is named, the rest is checked, and the exit code is 1.
    """
    version, breaking_version = migrations.check(engine, schema=schema)
    missing = [revision for revision, _ in revisions_after(f"es_{version:04}")]
    denied: list[PermissionDenied] = []
    current = _unless_denied(denied, lambda: migrations.current(engine, schema=schema))
    by = (
        f"revision {current}"
        if current
        else "its revision can't be seen"
        if denied
        else "kept by another Alembic history"
    )
    findings = _unless_denied(denied, lambda: migrations.verify(engine, schema=schema)) or []
    if as_json:
        _print_json(
            {
                "version": version,
                "breaking_version": breaking_version,
                "revision": current,
                "pending": missing,
                "not_looked_at": [str(error) for error in denied],
                "findings": [finding.as_dict() for finding in findings],
            }
        )
    else:
        click.echo(f"schema version {version} ({by}): this code works with it")
        if missing:
            click.echo(f"newer revisions to apply: {', '.join(missing)}")
        if version > SCHEMA_VERSION:
            click.echo("the tables are newer than this code, so they were not compared; run check of the newer code")
        for finding in findings:
            print_finding(finding, console())
        for problem in dict.fromkeys(map(str, denied)):
            click.secho(f"could not be checked: {problem}", fg="red", err=True)
    differs = any(finding.kind is not FindingKind.SCHEMA_PENDING for finding in findings)
    code = SCHEMA_OUTDATED if missing and newest else SCHEMA_DIFFERS if differs else 0
    if denied and not code:
        code = FAILED
    click.get_current_context().exit(code)


def _unless_denied(denied: list[PermissionDenied], look: Callable[[], Result]) -> Result | None:
    """Return the result of a check; if the database user lacks a right, add the error to `denied` and return None."""
    try:
        return look()
    except PermissionDenied as error:
        denied.append(error)
        return None


@click.command()
@click.argument("revisions", default="head")
@click.option("--dialect", type=click.Choice(["postgresql", "sqlite"]), default="postgresql", show_default=True)
@click.option("--schema", envvar="EVENTSTORE_SCHEMA", show_envvar=True, help="The PostgreSQL schema of the tables.")
@click.option("--lock-timeout", type=float, default=1.0, show_default=True, metavar="SECONDS", help="As for migrate.")
def sql(*, revisions: str, dialect: str, schema: str | None, lock_timeout: float) -> None:
    """Print the SQL of REVISIONS instead of running it, for a database administrator to review and run.

    REVISIONS is head (from an empty database to the newest revision) or a range such as es_0001:es_0004.
    Run the SQL by: psql -v ON_ERROR_STOP=1 -f FILE
    """
    script = migrations.sql(revisions, dialect=dialect, schema=schema, lock_timeout_seconds=lock_timeout)
    click.echo(script, nl=False)


@click.command("versions-path")
def versions_path() -> None:
    """Print the folder of the revisions, for version_locations of your Alembic."""
    click.echo(migrations.versions_path())


def _print_json(value: dict[str, Any]) -> None:
    click.echo(json.dumps(value))
