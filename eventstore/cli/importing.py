"""The command import: of the file of an export, or of another program's table."""

import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import click
from sqlalchemy import Engine, make_url
from sqlalchemy.exc import ArgumentError

from eventstore.cli.database import store_options
from eventstore.cli.group import SOURCE_URL
from eventstore.cli.imports import imported
from eventstore.cli.output import counted, note, print_json
from eventstore.cli.progress import counting_events
from eventstore.cli.signals import ended_by_ctrl_c
from eventstore.cli.transfer import FORMAT_HELP, FORMATS, transfer_counts
from eventstore.common.exit_codes import FAILED
from eventstore.event_types import EventTypes
from eventstore.store import EventStore
from eventstore.transfer import (
    TableComparison,
    TableImported,
    TableMap,
    TableProgress,
    compare_table,
    import_events,
    import_table,
    open_source,
)
from eventstore.transfer.files import Format
from eventstore.transfer.sources.table_map import Reader

_OF_FILES: Final = ("format_", "keep_positions")
_OF_TABLES: Final = ("reader", "map_", "table", "event_types", "follow", "verify", "dry_run", "skip_invalid")
_OPTIONS: Final = {"format_": "--format", "map_": "--map"}


@click.command("import")
@click.argument("file", required=False, type=click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True))
@click.option("--format", "format_", type=FORMATS, help=FORMAT_HELP)
@click.option("--keep-positions", is_flag=True, help="Keep the positions: for a database without other events.")
@click.option(
    "--from", "source_url", metavar="URL", envvar="EVENTSTORE_IMPORT_FROM", show_envvar=True,
    help="Import a table of another program, in the database with this URL, instead of a file.",
)  # fmt: skip
@click.option(
    "--reader", type=click.Choice(["table", "eventsourcing", "message-db"]), default="table", show_default=True,
    help="Whose table it is: what the map does not say is as usual there.",
)  # fmt: skip
@click.option("--map", "map_", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="The map, in TOML.")
@click.option("--table", metavar="NAME", help="The table, if the map does not name it.")
@click.option(
    "--event-types", metavar="MODULE:ATTRIBUTE", callback=imported(EventTypes, "an EventTypes registry"),
    help="The application's event types: rows must fit them, and get the tags that they give.",
)  # fmt: skip
@click.option("--follow", is_flag=True, help="Go on importing new rows until Ctrl-C or SIGTERM.")
@click.option("--verify", is_flag=True, help="At the end, compare each row with its event, column by column.")
@click.option("--dry-run", is_flag=True, help="Only check the rows, and list those that can't be stored.")
@click.option("--skip-invalid", is_flag=True, help="Leave out rows that can't be stored, and list them at the end.")
@click.option("--batch-size", type=int, default=1000, show_default=True, help="How many events to store at a time.")
@store_options
def import_(*, store: EventStore, as_json: bool, file: Path | None, source_url: str | None, **options: Any) -> None:
    """Store the events of an export, or of another program's table.

    FILE is the file of an export; - is stdin. With --from, rows of a table are imported instead.

    From a file, events keep their ids, versions and times. From a table, a map says how rows become events; they get
    the same ids in each import, and keep their order and times. Rows that are committed late are not missed.

    The import is idempotent: events that are stored already are left out, so repeat it after an interruption.
    Conflicting events are refused.
    """
    _refuse_mixed(source_url is not None, file is not None)
    if source_url is None:
        assert file is not None  # noqa: S101  # for type checkers: one of them is given
        _import_file(store, file, as_json=as_json, **{name: options[name] for name in (*_OF_FILES, "batch_size")})
        return
    event_types = options.pop("event_types")
    target = store if event_types is None else store.with_core(store.core.with_event_types(event_types))
    of_tables = {name: value for name, value in options.items() if name not in _OF_FILES}
    with _opened(source_url) as source:
        _import_table(target, source, as_json=as_json, **of_tables)


def _refuse_mixed(from_table: bool, from_file: bool) -> None:
    ctx = click.get_current_context()
    if from_table is from_file:
        msg = "name either the FILE of an export, or, with --from, the database of a table"
        raise click.UsageError(msg)
    for name in _OF_FILES if from_table else _OF_TABLES:
        if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            option = _OPTIONS.get(name, f"--{name.replace('_', '-')}")
            raise click.UsageError(f"{option} is for {'a FILE' if from_table else 'a table, with --from'}")


def _import_file(
    store: EventStore, file: Path, *, as_json: bool, format_: str | None, keep_positions: bool, batch_size: int
) -> None:
    is_stdin = str(file) == "-"
    chosen = Format(format_) if format_ else Format.JSON_LINES if is_stdin else None
    with counting_events("imported", quiet=as_json) as report:
        done = import_events(
            store,
            sys.stdin.buffer if is_stdin else file,
            format=chosen,
            keep_positions=keep_positions,
            batch_size=batch_size,
            on_progress=report and (lambda step: report(step.events + step.repeated, step.position, None)),
        )
    if as_json:
        click.echo(json.dumps(asdict(done)))
        return
    repeated = f"; {counted(done.repeated, 'event')} stored before" if done.repeated else ""
    click.echo(f"imported {transfer_counts(done)}{repeated}")


@contextmanager
def _opened(url: str) -> Iterator[Engine]:
    try:
        click.get_current_context().meta[SOURCE_URL] = make_url(url)
    except (ArgumentError, ValueError):  # a ValueError quotes a part of the URL, possibly of the password
        msg = "not a URL of a database; it looks like postgresql://user@host/database or sqlite:///file.db"
        raise click.BadParameter(msg, param_hint="--from") from None
    source = open_source(url)
    try:
        yield source
    finally:
        source.dispose()


def _import_table(
    store: EventStore, source: Engine, *, as_json: bool, reader: Reader, map_: Path | None, table: str | None,
    follow: bool, verify: bool, dry_run: bool, skip_invalid: bool, batch_size: int,
) -> None:  # fmt: skip
    table_map = TableMap.from_toml(map_, reader=reader, **({} if table is None else {"table": table}))
    stop = threading.Event()
    with _reporting(quiet=as_json, follow=follow) as on_progress, ended_by_ctrl_c(stop.set):
        done = import_table(
            store, source, table_map, follow=follow, stop=stop, skip_invalid=skip_invalid, dry_run=dry_run,
            batch_size=batch_size, on_progress=on_progress,
        )  # fmt: skip
    compared = None
    if verify and not dry_run:
        with counting_events("compared", quiet=as_json) as report:
            compared = compare_table(
                store, source, table_map, batch_size=batch_size,
                on_progress=report and (lambda rows: report(rows, rows, None)),
            )  # fmt: skip
    if as_json:
        print_json({**_as_json(done), **({} if compared is None else {"comparison": _comparison_as_json(compared)})})
    else:
        _print(done, dry_run=dry_run)
        if compared is not None:
            _print_comparison(compared)
    is_refused = dry_run and done.skipped > 0
    if is_refused or not done.is_complete or (compared is not None and not compared.is_equal):
        click.get_current_context().exit(FAILED)


@contextmanager
def _reporting(*, quiet: bool, follow: bool) -> Iterator[Callable[[TableProgress], object]]:
    """Yield what moves a bar in a terminal; elsewhere and with --follow, it prints a line when the phase changes."""
    last = ""
    with counting_events("imported", quiet=quiet or follow) as move:

        def report(step: TableProgress) -> None:
            nonlocal last
            if move is not None:
                order, end = (each if isinstance(each, int) else 0 for each in (step.order, step.end))
                move(step.rows, order, end or None)
            elif step.phase != last and not quiet:
                last = step.phase
                if line := _line(step):
                    note(line)

        yield report


def _line(step: TableProgress) -> str | None:
    match step.phase:
        case "checking":
            return "checking all rows first"
        case "following":
            return f"caught up at {step.order}, after {counted(step.rows, 'row')}; following new rows"
        case "waiting":
            transactions = counted(step.writers, "transaction")
            return f"waiting for {transactions} of the source that may insert rows before others"
        case _:
            return None


def _print(done: TableImported, *, dry_run: bool) -> None:
    for error in done.refusals:
        note(str(error))
    if len(done.refusals) < done.skipped:
        note(f"and {done.skipped - len(done.refusals):,} more")
    if dry_run:
        click.echo(f"checked: {counted(done.skipped, 'row')} can't be stored; nothing was written")
        return
    if done.resumed_after is not None:
        note(f"continued after {done.resumed_after}")
    end = "" if done.order is None else f", up to {done.order}"
    click.echo(f"imported {counted(done.events, 'event')} in {counted(done.streams, 'new stream')}{end}")
    counts = {
        "repeated": "stored before", "renumbered": "with another version than in the table",
        "left_out": "left out by the map", "ended": "left out, because their stream has ended here",
        "skipped": "left out, because they can't be stored",
    }  # fmt: skip
    for name, what in counts.items():
        if getattr(done, name):
            click.echo(f"  {getattr(done, name):,} {what}")
    for event_type, count in done.by_type.items():
        click.echo(f"  {count:,} {event_type}")
    if not done.is_complete:
        note("transactions that insert rows have not ended, so rows are missing; import again")


def _print_comparison(compared: TableComparison) -> None:
    for event_type in sorted({*compared.rows, *compared.events}):
        rows, events = compared.rows.get(event_type, 0), compared.events.get(event_type, 0)
        mark = "" if rows == events else " (!)"
        click.echo(f"  {event_type}: {counted(rows, 'row')}, {counted(events, 'event')}{mark}")
    for each in compared.shown:
        note(f"{each.order}, stream {each.stream_id!r}: {each.problem}")
    compared_rows, streams = counted(sum(compared.rows.values()), "row"), counted(compared.streams, "stream")
    result = "equal"
    if not compared.is_equal:
        wrong = counted(sum(compared.differences.values()), "difference")
        result = f"{wrong}, in {counted(len(compared.differences), 'stream')}"
    click.echo(f"compared {compared_rows} with the events of {streams}: {result}")


def _as_json(done: TableImported) -> dict[str, Any]:
    return {**{name: getattr(done, name) for name in done.__slots__}, "refusals": [str(each) for each in done.refusals]}


def _comparison_as_json(compared: TableComparison) -> dict[str, Any]:
    return {**asdict(compared), "is_equal": compared.is_equal}
