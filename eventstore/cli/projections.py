"""The commands of `projections`: status, partitions, reset, rebuild, remove."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, Final

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from eventstore.cli.completion import complete_projections
from eventstore.cli.database import store_options
from eventstore.cli.imports import imported
from eventstore.cli.output import Column, console, has_person, print_json, print_line, print_rows, printable
from eventstore.cli.reading import POSITIVE
from eventstore.errors import InvalidInput
from eventstore.event_types import EventTypes
from eventstore.partitions import MAX_PARTITIONS
from eventstore.projections import Projection, ProjectionAdmin, Worker
from eventstore.store import EventStore

_STATUS: Final = (
    Column("name", "projection", "cyan"),
    Column("state", "state", "bold"),
    Column("position", "position"),
    Column("lag_events", "behind"),
    Column("lag_seconds", "seconds"),
    Column("dead_letters", "dead letters"),
    Column("updated_at", "advanced (UTC)", is_optional=True),
    Column("worker", "worker", is_optional=True),
)
_MORE: Final = (Column("started_after", "started after"), Column("partitions", "partitions"))
_FAILURE: Final = Column("failure", "failure")  # too long for a table

IN_TRANSACTION: Final = imported(None, "a function")
PROJECTION: Final = imported(Projection, "a Projection, or a function that makes one")
EVENT_TYPES: Final = imported(EventTypes, "an EventTypes, or a function that makes one")


@click.group()
def projections() -> None:
    """Manage projections: their state, lag and dead letters."""


@projections.command()
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=complete_projections)
@store_options
def status(*, store: EventStore, as_json: bool, names: tuple[str, ...]) -> None:
    """Print the state of the projections NAME, or of all.

    The state is running, stopped, failed (stopped at an event that a handler could not handle), retrying (it retries
    an event), or "log went back": an event that the projection has handled is gone from the log, so rebuild the
    projection.

    Of a projection with partitions, the position and the lag are those of the partition that is furthest behind.

    In a pipe, the lines have: name, state, position, lag in events, lag in seconds, dead letters, time of the last
    advance, worker, the position after which it began, partitions, failure (also that of an event being retried).
    """
    statuses = ProjectionAdmin(store).status(*names)
    rows = [{**asdict(each), "state": each.state} for each in statuses]
    is_table = has_person() and not as_json
    if as_json or is_table:
        print_rows(_STATUS, rows, as_json=as_json, empty="no projection has ever run")
    else:
        with_failures = [
            row | {"failure": row["failure"] or row["retrying"], "partitions": len(row["partitions"])} for row in rows
        ]
        print_rows((*_STATUS, *_MORE, _FAILURE), with_failures, as_json=False, empty="")
    for each in statuses if is_table else ():
        if len(each.partitions) > 1:
            positions = ", ".join(f"{one.number}: {one.position}" for one in each.partitions)
            following = "" if each.next_partitions is None else f", soon {each.next_partitions}"
            click.echo(f"{printable(each.name)} has {len(each.partitions)} partitions{following}, at {positions}")
        if each.failure:
            click.secho(f"{printable(each.name)} has stopped: {printable(each.failure)}", fg="red")
        elif each.retrying:
            click.secho(f"{printable(each.name)} retries an event: {printable(each.retrying)}", fg="yellow")


def _confirmed(question: str, *, yes: bool) -> None:
    if not yes:
        click.confirm(question, abort=True, err=True)


yes_option: Final = click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")
in_transaction_option: Final = click.option(
    "--in-transaction", callback=IN_TRANSACTION, metavar="MODULE:FUNCTION",
    help="A function called with the SQLAlchemy connection of the same transaction: change your tables there.",
)  # fmt: skip
projection_option: Final = click.option(
    "--projection", required=True, callback=PROJECTION, metavar="MODULE:ATTRIBUTE",
    help="The projection, or a function that returns it; such as shop.projections:totals.",
)  # fmt: skip
event_types_option: Final = click.option(
    "--event-types", callback=EVENT_TYPES, metavar="MODULE:ATTRIBUTE",
    help="The registry, needed if handlers take objects of your classes.",
)  # fmt: skip
name_argument: Final = click.argument("name", shell_complete=complete_projections)


@projections.command()
@name_argument
@click.option(
    "--after-position", type=click.IntRange(0), metavar="N", help="Set it back to this position, not to where it began."
)
@in_transaction_option
@yes_option
@store_options
def reset(
    *, store: EventStore, as_json: bool, name: str, after_position: int | None, in_transaction: Any, yes: bool
) -> None:
    """Reset the projection NAME to where it began, or to a position, and delete its dead letters after that.

    Stop its worker first. Your tables are emptied only if --in-transaction does it; otherwise the events are applied
    again to the existing rows. A relay sends the events after the position again.
    """
    empties = "" if in_transaction else " Your tables are left as they are!"
    place = "where it began" if after_position is None else f"position {after_position}"
    _confirmed(f"Reset {printable(name)} to {place}?{empties}", yes=yes)
    ProjectionAdmin(store).reset(name, after_position=after_position, in_transaction=in_transaction)
    _print_done({"projection": name, "done": "reset"}, as_json=as_json)


@projections.command()
@name_argument
@in_transaction_option
@yes_option
@store_options
def remove(*, store: EventStore, as_json: bool, name: str, in_transaction: Any, yes: bool) -> None:
    """Remove the projection NAME, with its checkpoint and its dead letters. Your tables stay."""
    _confirmed(f"Remove {printable(name)}, its checkpoint and its dead letters?", yes=yes)
    ProjectionAdmin(store).remove(name, in_transaction=in_transaction)
    _print_done({"projection": name, "done": "removed"}, as_json=as_json)


@projections.command()
@name_argument
@click.argument("number", type=click.IntRange(1, MAX_PARTITIONS))
@click.option("--timeout", type=float, default=60.0, show_default=True, help="How many seconds to wait.")
@store_options
def partitions(*, store: EventStore, as_json: bool, name: str, number: int, timeout: float) -> None:
    """Change the number of partitions of the projection NAME, while its workers run.

    The workers stop at one common position, and continue with NUMBER partitions. If that takes longer than --timeout,
    the change stays planned, and the workers complete it. The present number cancels it.
    """
    ProjectionAdmin(store).set_partitions(name, number, timeout_seconds=timeout)
    _print_done({"projection": name, "done": f"has {number} partition{'' if number == 1 else 's'}"}, as_json=as_json)


@projections.command()
@name_argument
@projection_option
@in_transaction_option
@event_types_option
@click.option("--batch-size", type=POSITIVE, default=5000, show_default=True, help="Events in each transaction.")
@yes_option
@store_options
def rebuild(
    *, store: EventStore, as_json: bool, name: str, projection: Projection, in_transaction: Any,
    event_types: EventTypes | None, batch_size: int, yes: bool,
) -> None:  # fmt: skip
    """Rebuild the projection NAME from the first event.

    If the definition has another name, it runs next to the old projection until it has caught up, and then takes over
    its name: --in-transaction swaps your tables. After an interruption, start it again and it continues.

    If the definition has the same name, the projection is reset and run: --in-transaction empties your tables.

    Stop the workers of both before the swap or the reset.
    """
    admin = ProjectionAdmin(store)
    is_beside = projection.name != name
    if is_beside and not projection.outside_handlers.is_empty and projection.rebuilds != name:
        msg = (
            f"{projection.name!r} has handlers with outside effects, which would be called again for all events; make "
            f"it with rebuilds={name!r}"
        )
        raise InvalidInput(msg)
    new = printable(projection.name)
    how = f"Run {new} until it has caught up, and let it replace" if is_beside else "Reset and run"
    _confirmed(f"{how} {printable(name)}?", yes=yes)
    if is_beside:
        admin.position(name)  # refuses a projection that has never run, before the work is done
    else:
        admin.reset(name, in_transaction=in_transaction)
    with _progress(quiet=as_json) as report:
        worker = Worker(typed(store, event_types), projection, batch_size=batch_size)
        handled = worker.run_until_caught_up(on_progress=lambda step: report(step.position, step.end))
    if is_beside:
        admin.swap(name, projection.name, in_transaction=in_transaction)
    _print_done({"projection": name, "done": "rebuilt", "handled": handled}, as_json=as_json)


def typed(store: EventStore, event_types: EventTypes | None) -> EventStore:
    """Return the store, with other event types if there are any."""
    return store if event_types is None else store.with_core(store.core.with_event_types(event_types))


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[int, int], object]]:
    """Yield a function to call with position and end, which moves a bar if stderr is a terminal."""
    where = console(stderr=True)
    if quiet or not where.is_terminal:
        yield lambda _position, _end: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=where, transient=True) as bars:
        task = bars.add_task("position", total=None)
        yield lambda position, end: bars.update(task, completed=position, total=end)


def _print_done(done: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(done)
    elif has_person():
        handled = f", {done['handled']:,} events handled" if "handled" in done else ""
        click.echo(f"{printable(done['projection'])}: {done['done']}{handled}")
    else:
        print_line(*done.values())
