"""The command export."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, Final

import click

from eventstore.cli.database import store_options
from eventstore.cli.output import counted
from eventstore.cli.progress import counting_events
from eventstore.filters import EventFilter
from eventstore.store import EventStore
from eventstore.transfer import Exported, Imported, export_events
from eventstore.transfer.files import Format

FORMATS: Final = click.Choice([each.value for each in Format])
FORMAT_HELP: Final = "The format of the file. Defaults to that of its suffix: .jsonl or .parquet."


@click.command("export")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
@click.option("--format", "format_", type=FORMATS, help=FORMAT_HELP)
@click.option("--category", "categories", multiple=True, help="Only streams of this category; may be repeated.")
@click.option("--stream", "stream_ids", multiple=True, help="Only this stream; may be repeated.")
@click.option("--type", "event_types", multiple=True, help="Only this event type, for analysis; may be repeated.")
@click.option("--tag", "tags", multiple=True, help="Only events with this tag, for analysis; may be repeated.")
@click.option("--after", "after_position", type=int, default=0, help="Only events after this position.")
@click.option("--resume", is_flag=True, help="Continue an existing file after its last event.")
@click.option("--snapshots", is_flag=True, help="Also export the snapshots.")
@click.option("--checkpoints", is_flag=True, help="Also export the checkpoints of projections.")
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
@store_options
def export(
    *,
    store: EventStore,
    as_json: bool,
    file: Path,
    format_: str | None,
    categories: tuple[str, ...],
    stream_ids: tuple[str, ...],
    event_types: tuple[str, ...],
    tags: tuple[str, ...],
    force: bool,
    **options: Any,
) -> None:
    """Write events to FILE as JSON Lines or Parquet; - is stdout.

    The export is complete up to a position and has each event once, even if other processes append in the meantime.
    It prints the position: pass that as --after the next time. With several of --category, --stream, --type and --tag,
    an event must match all of them, and have all tags.
    """
    named = {"categories": categories, "stream_ids": stream_ids, "event_types": event_types, "tags": tags}
    fields: dict[str, Any] = {field: values for field, values in named.items() if values}
    is_stdout = str(file) == "-"
    if is_stdout and as_json:
        raise click.UsageError("--json and the export would both write to stdout; name a file")
    if not is_stdout and file.exists() and not force and not options["resume"]:
        msg = f"{file} exists already; pass --resume to continue it, or --force to overwrite it"
        raise click.UsageError(msg)
    chosen = Format(format_) if format_ else Format.JSON_LINES if is_stdout else None
    target: Path | IO[bytes] = sys.stdout.buffer if is_stdout else file
    with counting_events("exported", quiet=as_json) as report:
        done = export_events(
            store,
            target,
            *([EventFilter(**fields)] if fields else []),
            format=chosen,
            on_progress=report and (lambda step: report(step.events, step.position, step.end)),
            **options,
        )
    if as_json:
        click.echo(json.dumps({**asdict(done), "token": None if done.token is None else str(done.token)}))
        return
    click.echo(f"exported {transfer_counts(done)}, up to position {done.position}", err=is_stdout)


def transfer_counts(done: Exported | Imported) -> str:
    """Return how many of what were exported or imported."""
    counts = {"event": done.events, "snapshot": done.snapshots, "checkpoint": done.checkpoints}
    return ", ".join(counted(count, what) for what, count in counts.items() if count or what == "event")
