"""Commands for migrations: migrate, check, sql, versions-path."""

import json
from typing import Any

import click
from sqlalchemy import Engine

from eventstore import migrations
from eventstore.cli.database import database_options
from eventstore.cli.group import SCHEMA_DIFFERS, SCHEMA_OUTDATED
from eventstore.cli.progress import reporting
from eventstore.migrations.commands import revisions_after


@click.command()
@click.option("--revision", default="head", show_default=True, help="Where to go.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option(
    "--lock-timeout", type=float, default=1.0, show_default=True, metavar="SECONDS",
    help="How long one try to lock a table may take; other writers wait no longer than that.",
)  # fmt: skip
@click.option(
    "--wait", type=float, default=600.0, show_default=True, metavar="SECONDS",
    help="How long to try again, and to wait for another migration.",
)  # fmt: skip
@database_options
def migrate(
    *, engine: Engine, schema: str | None, as_json: bool, revision: str, dry_run: bool, lock_timeout: float, wait: float
) -> None:
    """Create the tables, or bring them to the newest revision.

    Run it as a step of your deployment, before the new code starts. It can be repeated, and interrupted.
    """
    before = migrations.current(engine, schema=schema)
    if dry_run:
        _tell_pending(before, migrations.pending(engine, revision, schema=schema), as_json=as_json)
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
        click.echo(f"nothing to do: the tables are at {after}")
    else:
        click.echo(f"the tables are at {after} now" + ("" if before is None else f", before at {before}"))


def _tell_pending(before: str | None, missing: list[tuple[str, str]], *, as_json: bool) -> None:
    if as_json:
        _print_json({"before": before, "pending": [revision for revision, _ in missing]})
    elif not missing:
        click.echo(f"nothing to do: the tables are at {before}")
    else:
        click.echo("there are no tables yet" if before is None else f"the tables are at {before}")
        click.echo("would apply, in this order:")
        for revision, description in missing:
            click.echo(f"  {revision}  {description}")


@click.command()
@click.option("--newest", is_flag=True, help="Fail, with 4, also where there are newer revisions to apply.")
@database_options
def check(*, engine: Engine, schema: str | None, as_json: bool, newest: bool) -> None:
    """Say whether this code works with the tables, and whether they are what they should be."""
    version, breaking_version = migrations.check(engine, schema=schema)
    current = migrations.current(engine, schema=schema)
    missing = [revision for revision, _ in revisions_after(f"es_{version:04}")]
    findings = migrations.verify(engine, schema=schema)
    if as_json:
        _print_json(
            {
                "version": version,
                "breaking_version": breaking_version,
                "revision": current,
                "pending": missing,
                "findings": [
                    {"table": found.table, "name": found.name, "problem": found.problem, "remedy": found.remedy}
                    for found in findings
                ],
            }
        )
    else:
        by = f"revision {current}" if current else "kept by another Alembic history"
        click.echo(f"schema version {version} ({by}): this code works with it")
        if missing:
            click.echo(f"newer revisions to apply: {', '.join(missing)}")
        for finding in findings:
            click.secho(str(finding), fg="yellow")
    code = SCHEMA_OUTDATED if missing and newest else SCHEMA_DIFFERS if findings and not missing else 0
    click.get_current_context().exit(code)


@click.command()
@click.argument("revisions", default="head")
@click.option("--dialect", type=click.Choice(["postgresql", "sqlite"]), default="postgresql", show_default=True)
@click.option("--schema", envvar="EVENTSTORE_SCHEMA", show_envvar=True, help="PostgreSQL schema of the tables.")
@click.option("--lock-timeout", type=float, default=1.0, show_default=True, metavar="SECONDS", help="As for migrate.")
def sql(*, revisions: str, dialect: str, schema: str | None, lock_timeout: float) -> None:
    """Print the SQL of REVISIONS instead of running it, for somebody to review and run.

    REVISIONS is head (from nothing to the newest) or, as es_0001:es_0004, from one to another.
    Run it by: psql -v ON_ERROR_STOP=1 -f FILE
    """
    printed = migrations.sql(revisions, dialect=dialect, schema=schema, lock_timeout_seconds=lock_timeout)
    click.echo(printed, nl=False)


@click.command("versions-path")
def versions_path() -> None:
    """Print the folder of the revisions, for version_locations of your own Alembic."""
    click.echo(migrations.versions_path())


def _print_json(value: dict[str, Any]) -> None:
    click.echo(json.dumps(value))
