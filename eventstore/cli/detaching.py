"""The commands of `partitions` for old parts of the log: export, detach."""

from pathlib import Path
from typing import Any

import click

from eventstore.cli.database import store_options
from eventstore.cli.output import counted, note, print_json
from eventstore.detaching import DetachOutcome, Manifest, PartProgress, detach_part, export_part
from eventstore.parts import Part
from eventstore.store import EventStore

_by_stream = click.option(
    "--by-stream", is_flag=True, help="Export the events a second time, by stream, so that one stream is found fast."
)
_FOLDER = click.Path(path_type=Path, file_okay=False)


@click.command("export")
@click.argument("name")
@click.argument("folder", type=_FOLDER)
@_by_stream
@store_options
def export(*, store: EventStore, as_json: bool, name: str, folder: Path, by_stream: bool) -> None:
    """Export the part NAME to a new FOLDER: Parquet, and a manifest with checksums.

    It is read back, and compared with the table. FOLDER appears when it is complete, so repeat the command after an
    interruption; if FOLDER exists, it is compared again.
    """
    manifest = export_part(store, name, folder, by_stream=by_stream, on_progress=None if as_json else _report)
    if as_json:
        print_json(_manifest(manifest))
    else:
        click.echo(f"exported {counted(manifest.events, 'event')} of {name} to {folder}")


@click.command("detach")
@click.argument("name")
@click.option("--to", "folder", type=_FOLDER, help="Export it to this folder first.")
@click.option("--without-export", is_flag=True, help="Detach it without an export.")
@click.option("--location", help="Where people find the export, for the errors of reads.  [default: the folder]")
@_by_stream
@click.option(
    "--streams-may-lose-history", is_flag=True,
    help="Go on if streams that still take events have events in it.",
)  # fmt: skip
@click.option("--drop", is_flag=True, help="Drop its table, too, also of a part that was detached before.")
@click.option("--dry-run", is_flag=True, help="Only check, and print what would be done.")
@click.option(
    "--wait", "wait_seconds", type=float, default=600.0, show_default=True, metavar="SECONDS",
    help="How long to wait for other transactions, and for a migration.",
)  # fmt: skip
@click.option(
    "--lock-timeout", "lock_timeout_seconds", type=float, default=0.5, show_default=True, metavar="SECONDS",
    help="How long one attempt to lock tables may take, during which appends wait.",
)  # fmt: skip
@store_options
def detach(
    *,
    store: EventStore,
    as_json: bool,
    name: str,
    folder: Path | None,
    without_export: bool,
    dry_run: bool,
    **options: Any,
) -> None:
    """Detach the part NAME, the oldest of the log, after exporting it. Its table is kept, unless you pass --drop.

    Reads that need it fail from then on, and name the export. It is refused if a projection has not handled the part,
    if a dead letter in it is pending, or if streams that take events have some in it. Repeat the command after an
    interruption.
    """
    if (folder is None) is not without_export:
        raise click.UsageError("pass --to FOLDER to export it first, or --without-export")
    outcome = detach_part(
        store, name, folder=folder, dry_run=dry_run, on_progress=None if as_json else _report, **options
    )
    if as_json:
        print_json(_outcome(outcome, dry_run=dry_run))
        return
    for step in outcome.steps:
        click.echo(f"{'would ' if dry_run else ''}{step}")
    part = outcome.part
    where = f"positions {part.first_position} to {part.last_position}"
    click.echo(f"{name}, {where}, {'is' if dry_run else 'is now'} {part.state.value}")


def _report(progress: PartProgress) -> None:
    if progress.of:
        if progress.events == progress.of:
            note(f"{progress.step}: {counted(progress.events, 'event')}")
    else:
        note(progress.step)


def _manifest(manifest: Manifest) -> dict[str, Any]:
    ids = {"first_event_id": str(manifest.first_event_id), "last_event_id": str(manifest.last_event_id)}
    files = [{"name": file.name, "size": file.size, "sha256": file.sha256} for file in manifest.files]
    return {
        "part": manifest.part,
        "first_position": manifest.first_position,
        "last_position": manifest.last_position,
        "events": manifest.events,
        **ids,
        "sha256": manifest.sha256,
        "files": files,
    }


def _outcome(outcome: DetachOutcome, *, dry_run: bool) -> dict[str, Any]:
    part: Part = outcome.part
    return {
        "part": part.name,
        "first_position": part.first_position,
        "last_position": part.last_position,
        "state": part.state.value,
        "dry_run": dry_run,
        "steps": list(outcome.steps),
        "location": None if part.detached is None else part.detached.location,
        "sha256": None if part.detached is None else part.detached.sha256,
    }
