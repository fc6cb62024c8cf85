"""The commands of `projections dead-letters`: list, show, retry, discard."""

from collections.abc import Iterator
from dataclasses import asdict
from itertools import chain
from typing import Any, Final

import click

from eventstore.cli.completion import complete_projections, complete_streams
from eventstore.cli.database import store_options
from eventstore.cli.events import EventPrinter
from eventstore.cli.events import as_json as event_as_json
from eventstore.cli.output import (
    Column,
    Limited,
    has_person,
    note,
    print_json,
    print_line,
    print_record,
    print_rows,
    printable,
)
from eventstore.cli.projections import event_types_option, projection_option, typed
from eventstore.cli.reading import NOT_NEGATIVE, POSITIVE
from eventstore.common.exit_codes import FAILED
from eventstore.errors import EventStoreError, ProjectionFailed
from eventstore.event_types import EventTypes
from eventstore.projections import DeadLetter, DeadLetters, DeadLetterStatus, Projection, ProjectionAdmin
from eventstore.store import EventStore

_COLUMNS: Final = (
    Column("projection", "projection", is_optional=True),
    Column("position", "position"),
    Column("stream_id", "stream", "cyan"),
    Column("version", "version"),
    Column("event_type", "event type"),
    Column("attempts", "attempts"),
    Column("error", "error", "red"),
    Column("last_failed_at", "last failed (UTC)", is_optional=True),
    Column("note", "note", is_optional=True),
)


@click.group("dead-letters")
def dead_letters() -> None:
    """List, retry and discard events that a projection could not handle, and later events of the same streams."""


@dead_letters.command("list")
@click.argument("projection", shell_complete=complete_projections)
@click.option(
    "--status", type=click.Choice([status.value for status in DeadLetterStatus]), default="pending", show_default=True,
    help="Pending ones wait for a retry; the others are done.",
)  # fmt: skip
@click.option("--after", type=NOT_NEGATIVE, default=0, metavar="POSITION", help="Continue after this position.")
@click.option("-n", "--limit", type=POSITIVE, default=100, show_default=True, help="The maximum number.")
@click.option("--all", "without_limit", is_flag=True, help="All of them, without a limit.")
@store_options
def list_(
    *, store: EventStore, as_json: bool, projection: str, status: str, after: int, limit: int, without_limit: bool
) -> None:
    """List the dead letters of PROJECTION, in the order of their events.

    A dead letter with 0 attempts was not tried: it follows an earlier one of its stream.

    In a pipe, the lines have: projection, position, stream id, version, event type, attempts, error, time, note.
    """
    letters = ProjectionAdmin(store).dead_letters
    matching = letters.list(projection, status=DeadLetterStatus(status), after_position=after)
    page = Limited(matching, None if without_limit else limit)
    print_rows(_COLUMNS, map(_record, page), as_json=as_json, empty=f"none is {status}")
    if page.has_more and page.last is not None:
        note(f"there are more: continue with --after {page.last.position}, or use --all")


def _record(letter: DeadLetter) -> dict[str, Any]:
    return {**asdict(letter), "status": letter.status.value}


@dead_letters.command()
@click.argument("projection", shell_complete=complete_projections)
@click.argument("position", type=POSITIVE)
@store_options
def show(*, store: EventStore, as_json: bool, projection: str, position: int) -> None:
    """Print the dead letter of PROJECTION at POSITION, and its event with the stored payload."""
    letter = _letter(ProjectionAdmin(store).dead_letters, projection, position)
    event = next(store.read_all(after_position=position - 1, limit=1, upcast=False))
    if as_json:
        print_json({**_record(letter), "event": event_as_json(event)})
        return
    print_record(_record(letter), as_json=False)
    if has_person():
        click.echo()
    EventPrinter(as_json=False, in_blocks=True)(event)


def _letter(letters: DeadLetters, projection: str, position: int) -> DeadLetter:
    letters_from_position = chain.from_iterable(
        letters.list(projection, status=status, after_position=position - 1) for status in DeadLetterStatus
    )
    for letter in letters_from_position:
        if letter.position == position:
            return letter
    msg = (
        f"projection {projection!r} has no dead letter at position {position}; `dead-letters list` has their positions"
    )
    raise EventStoreError(msg)


@dead_letters.command()
@click.argument("stream_ids", nargs=-1, metavar="[STREAM]...", shell_complete=complete_streams)
@click.option("--all", "every_stream", is_flag=True, help="Every stream that has pending dead letters.")
@projection_option
@event_types_option
@store_options
def retry(
    *, store: EventStore, as_json: bool, stream_ids: tuple[str, ...], every_stream: bool, projection: Projection,
    event_types: EventTypes | None,
) -> None:  # fmt: skip
    """Retry the pending events of each STREAM in order, with the projection's current handlers.

    If an event fails again, its stream stays as it is, the other streams continue, and the exit code is 1.

    In a pipe, the lines have: stream id, number of resolved events, failure.
    """
    if every_stream == bool(stream_ids):
        msg = "name the streams, or give --all"
        raise click.UsageError(msg)
    letters = ProjectionAdmin(typed(store, event_types)).dead_letters
    has_failed = False
    for stream_id in _pending(letters, projection.name) if every_stream else stream_ids:
        failure: str | None = None
        resolved: int | None = None
        try:
            resolved = letters.retry(projection, stream_id)
        except ProjectionFailed as failed:
            has_failed, failure = True, str(failed)
        if as_json:
            print_json({"stream_id": stream_id, "resolved": resolved, "failure": failure})
        elif not has_person():
            print_line(stream_id, resolved, failure)
        else:
            outcome = f"{resolved} resolved" if failure is None else failure
            click.secho(f"{printable(stream_id)}: {printable(outcome)}", fg=None if failure is None else "red")
    click.get_current_context().exit(FAILED if has_failed else 0)


def _pending(letters: DeadLetters, projection: str) -> Iterator[str]:
    """Yield each stream with pending dead letters once; one that is resolved meanwhile may be left out."""
    return iter(dict.fromkeys(letter.stream_id for letter in letters.list(projection)))


@dead_letters.command()
@click.argument("projection", shell_complete=complete_projections)
@click.argument("position", type=POSITIVE)
@click.option("--note", help="The reason, kept with the dead letter.")
@store_options
def discard(*, store: EventStore, as_json: bool, projection: str, position: int, note: str | None) -> None:
    """Discard the dead letter at POSITION: its event is not retried. Later events of its stream stay pending."""
    if not ProjectionAdmin(store).dead_letters.discard(projection, position, note=note):
        msg = (
            f"projection {projection!r} has no pending dead letter at position {position}; "
            "`dead-letters list` shows them"
        )
        raise EventStoreError(msg)
    record = {"projection": projection, "position": position, "status": "discarded"}
    if as_json:
        print_json(record)
    else:
        print_line(*record.values())
