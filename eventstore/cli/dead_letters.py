"""The commands below `projections dead-letters`: list, show, retry, discard."""

from collections.abc import Iterator
from dataclasses import asdict
from itertools import chain
from typing import Any, Final

import click

from eventstore.cli.completion import complete_projections, complete_streams
from eventstore.cli.database import store_options
from eventstore.cli.events import EventPrinter
from eventstore.cli.events import as_json as event_as_json
from eventstore.cli.group import FAILED
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
    """Look after events that a projection could not handle, and those that wait behind them."""


@dead_letters.command("list")
@click.argument("projection", shell_complete=complete_projections)
@click.option(
    "--status", type=click.Choice([status.value for status in DeadLetterStatus]), default="pending", show_default=True,
    help="Those that wait, or those that were.",
)  # fmt: skip
@click.option("--after", type=NOT_NEGATIVE, default=0, metavar="POSITION", help="Go on after this position.")
@click.option("-n", "--limit", type=POSITIVE, default=100, show_default=True, help="At most so many.")
@click.option("--all", "without_limit", is_flag=True, help="All, however many.")
@store_options
def list_(
    *, store: EventStore, as_json: bool, projection: str, status: str, after: int, limit: int, without_limit: bool
) -> None:
    """List the dead letters of PROJECTION, in the order of their events.

    One with 0 attempts only follows an earlier one of its stream.

    In a pipe, the lines have: projection, position, stream id, version, event type, attempts, error, time, note.
    """
    letters = ProjectionAdmin(store).dead_letters
    found = letters.list(projection, status=DeadLetterStatus(status), after_position=after)
    shown = Limited(found, None if without_limit else limit)
    print_rows(_COLUMNS, map(_told, shown), as_json=as_json, empty=f"none is {status}")
    if shown.has_more and shown.last is not None:
        note(f"there are more: --after {shown.last.position}, or --all")


def _told(letter: DeadLetter) -> dict[str, Any]:
    return {**asdict(letter), "status": letter.status.value}


@dead_letters.command()
@click.argument("projection", shell_complete=complete_projections)
@click.argument("position", type=POSITIVE)
@store_options
def show(*, store: EventStore, as_json: bool, projection: str, position: int) -> None:
    """Print one dead letter of PROJECTION, and its event with the payload as it is stored."""
    letter = _letter(ProjectionAdmin(store).dead_letters, projection, position)
    event = next(store.read_all(after_position=position - 1, limit=1, upcast=False))
    if as_json:
        print_json({**_told(letter), "event": event_as_json(event)})
        return
    print_record(_told(letter), as_json=False)
    if has_person():
        click.echo()
    EventPrinter(as_json=False, in_blocks=True)(event)


def _letter(letters: DeadLetters, projection: str, position: int) -> DeadLetter:
    found = chain.from_iterable(
        letters.list(projection, status=status, after_position=position - 1) for status in DeadLetterStatus
    )
    for letter in found:
        if letter.position == position:
            return letter
    msg = (
        f"projection {projection!r} has no dead letter at position {position}; `dead-letters list` has their positions"
    )
    raise EventStoreError(msg)


@dead_letters.command()
@click.argument("stream_ids", nargs=-1, metavar="[STREAM]...", shell_complete=complete_streams)
@click.option("--all", "every_stream", is_flag=True, help="Of every stream that has pending ones.")
@projection_option
@event_types_option
@store_options
def retry(
    *, store: EventStore, as_json: bool, stream_ids: tuple[str, ...], every_stream: bool, projection: Projection,
    event_types: EventTypes | None,
) -> None:  # fmt: skip
    """Let the projection try the pending events of each STREAM again, in order, with its handlers as they are now.

    A stream whose event fails again stays where it is, the others go on; then the exit code is 1.

    In a pipe, the lines have: stream id, how many were resolved, and what failed.
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
            told = f"{resolved} resolved" if failure is None else failure
            click.secho(f"{printable(stream_id)}: {printable(told)}", fg=None if failure is None else "red")
    click.get_current_context().exit(FAILED if has_failed else 0)


def _pending(letters: DeadLetters, projection: str) -> Iterator[str]:
    """Yield each stream once; those that resolve meanwhile are gone from the list, and need not be there."""
    return iter(dict.fromkeys(letter.stream_id for letter in letters.list(projection)))


@dead_letters.command()
@click.argument("projection", shell_complete=complete_projections)
@click.argument("position", type=POSITIVE)
@click.option("--note", help="Why, for those who come later.")
@store_options
def discard(*, store: EventStore, as_json: bool, projection: str, position: int, note: str | None) -> None:
    """Do without the event at POSITION: it is not tried again. Those behind it still wait for retry."""
    if not ProjectionAdmin(store).dead_letters.discard(projection, position, note=note):
        msg = (
            f"projection {projection!r} has no pending dead letter at position {position}; `dead-letters list` has them"
        )
        raise EventStoreError(msg)
    told = {"projection": projection, "position": position, "status": "discarded"}
    if as_json:
        print_json(told)
    else:
        print_line(*told.values())
