"""`eventstore migrate --schemas`: the schemas of many tenants, with a line for each, and a summary."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, NoReturn

import click
from sqlalchemy import Engine

from eventstore import migrations
from eventstore.backends import without_password
from eventstore.cli.output import printable
from eventstore.cli.progress import reporting
from eventstore.common.exit_codes import FAILED, exit_code
from eventstore.migrations import Progress, SchemaOutcome


def migrate_schemas(
    engine: Engine,
    patterns: Sequence[str],
    revision: str,
    *,
    jobs: int,
    dry_run: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Migrate the schemas, print what became of them, and end with the exit code; or print what would be done.

    Args:
        engine: As for `migrations.upgrade_schemas`, like the other options.
        patterns: Likewise.
        revision: Likewise.
        jobs: Likewise.
        dry_run: Whether to do nothing.
        as_json: Whether to print JSON.
        options: The lock timeout and the time to wait.
    """
    if dry_run:
        _print_pending(migrations.find_schemas(engine, patterns), revision, as_json=as_json)
        return
    with reporting(quiet=as_json) as report:

        def print_outcome(outcome: SchemaOutcome, done: int, total: int) -> None:
            is_worth_a_line = outcome.error is not None or outcome.before != outcome.after
            if report is not None and is_worth_a_line:
                report(Progress(f"[{done}/{total}] {printable(outcome.schema)}: {_became(outcome, engine)}"))

        outcomes = migrations.upgrade_schemas(
            engine, patterns, revision, jobs=jobs, on_outcome=print_outcome, on_progress=report, **options
        )
    _print_summary(outcomes, engine, as_json=as_json)
    _exit(outcomes)


def _became(outcome: SchemaOutcome, engine: Engine) -> str:
    if outcome.error is not None:
        return f"failed: {_text(outcome.error, engine)}"
    return f"{outcome.after} now" + ("" if outcome.before is None else f", before {outcome.before}")


def _text(error: Exception, engine: Engine) -> str:
    cause = getattr(error, "orig", None) or error
    return printable(" ".join(without_password(str(cause), engine.url).split()))


def _print_summary(outcomes: Sequence[SchemaOutcome], engine: Engine, *, as_json: bool) -> None:
    failed = [outcome for outcome in outcomes if outcome.error is not None]
    migrated = [outcome for outcome in outcomes if outcome.error is None and outcome.before != outcome.after]
    same = len(outcomes) - len(failed) - len(migrated)
    if as_json:
        errors = [
            {
                "schema": outcome.schema,
                "error": type(outcome.error).__name__,
                "message": _text(outcome.error, engine),
                "exit_code": exit_code(outcome.error),
            }
            for outcome in failed
            if outcome.error is not None
        ]
        names = [outcome.schema for outcome in migrated]
        click.echo(json.dumps({"schemas": len(outcomes), "migrated": names, "unchanged": same, "failed": errors}))
        return
    for outcome in failed:
        click.secho(f"{printable(outcome.schema)}: {_became(outcome, engine)}", fg="red", err=True)
    click.echo(f"{len(outcomes)} schemas: {len(migrated)} migrated, {same} with nothing to do, {len(failed)} failed")


def _exit(outcomes: Sequence[SchemaOutcome]) -> NoReturn:
    codes = {exit_code(outcome.error) for outcome in outcomes if outcome.error is not None}
    click.get_current_context().exit(0 if not codes else codes.pop() if len(codes) == 1 else FAILED)


def _print_pending(found: dict[str, str | None], revision: str, *, as_json: bool) -> None:
    target = migrations.head() if revision in {"head", "heads"} else revision
    behind = {name: at for name, at in found.items() if at != target}
    if as_json:
        click.echo(json.dumps({"schemas": len(found), "pending": behind}))
        return
    click.echo(f"{len(found)} schemas: {len(found) - len(behind)} at {target}, {len(behind)} to migrate")
    for at, number in sorted(Counter(map(str, behind.values())).items()):
        click.echo(f"  {number} from {'no known revision' if at == 'None' else at}")
