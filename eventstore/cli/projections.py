"""The commands below `projections`: status, reset, rebuild, remove."""

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
from eventstore.event_types import EventTypes
from eventstore.projections import Projection, ProjectionAdmin, Worker
from eventstore.store import EventStore

_STATUS: Final = (
    Column("name", "projection", "cyan"),
    Column("state", "state", "bold"),
    Column("position", "position"),
    Column("lag_events", "behind"),
    Column("lag_seconds", "seconds"),
    Column("dead_letters", "dead letters"),
    Column("updated_at", "came forward (UTC)", is_optional=True),
    Column("worker", "worker", is_optional=True),
)
_FAILURE: Final = Column("failure", "failure")  # too long for a table

IN_TRANSACTION: Final = imported(None, "a function")
PROJECTION: Final = imported(Projection, "a Projection, or a function that makes one")
EVENT_TYPES: Final = imported(EventTypes, "an EventTypes, or a function that makes one")


@click.group()
def projections() -> None:
    """Look after projections: how far they are, and what they could not handle."""


@projections.command()
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=complete_projections)
@store_options
def status(*, store: EventStore, as_json: bool, names: tuple[str, ...]) -> None:
    """Say how projections are doing: all of them, or those named.

    The state is running, stopped, failed (stopped at an event that a handler could not deal with), retrying (it tries
    an event again), or "log went back": the log does not have an event any more that the projection has handled, so
    build the projection again.

    In a pipe, the lines have: name, state, position, events behind, seconds behind, dead letters, when it last came
    forward, worker, failure: also the one after which an event is tried again.
    """
    found = ProjectionAdmin(store).status(*names)
    rows = [{**asdict(each), "state": each.state} for each in found]
    is_table = has_person() and not as_json
    if as_json or is_table:
        print_rows(_STATUS, rows, as_json=as_json, empty="no projection has ever run")
    else:
        with_failures = [row | {"failure": row["failure"] or row["retrying"]} for row in rows]
        print_rows((*_STATUS, _FAILURE), with_failures, as_json=False, empty="")
    for each in found if is_table else ():
        if each.failure:
            click.secho(f"{printable(each.name)} has stopped: {printable(each.failure)}", fg="red")
        elif each.retrying:
            click.secho(f"{printable(each.name)} tries an event again: {printable(each.retrying)}", fg="yellow")


def _confirmed(question: str, *, yes: bool) -> None:
    if not yes:
        click.confirm(question, abort=True, err=True)


yes_option: Final = click.option("-y", "--yes", is_flag=True, help="Do not ask.")
in_transaction_option: Final = click.option(
    "--in-transaction", callback=IN_TRANSACTION, metavar="MODULE:FUNCTION",
    help="Called with the SQLAlchemy connection in which it happens: empty, rename or drop your tables there.",
)  # fmt: skip
projection_option: Final = click.option(
    "--projection", required=True, callback=PROJECTION, metavar="MODULE:ATTRIBUTE",
    help="The definition with its handlers, or a function that makes it; as shop.projections:totals.",
)  # fmt: skip
event_types_option: Final = click.option(
    "--event-types", callback=EVENT_TYPES, metavar="MODULE:ATTRIBUTE",
    help="The registry, where handlers take objects of your classes.",
)  # fmt: skip
name_argument: Final = click.argument("name", shell_complete=complete_projections)


@projections.command()
@name_argument
@in_transaction_option
@yes_option
@store_options
def reset(*, store: EventStore, as_json: bool, name: str, in_transaction: Any, yes: bool) -> None:
    """Let the projection NAME begin again from the first event; its dead letters are forgotten.

    Its worker has to be stopped. Your tables are not emptied, unless --in-transaction does it: otherwise events are
    counted into what is there.
    """
    empties = "" if in_transaction else " Your tables are left as they are!"
    _confirmed(f"Reset {printable(name)} to the first event?{empties}", yes=yes)
    ProjectionAdmin(store).reset(name, in_transaction=in_transaction)
    _tell({"projection": name, "done": "reset"}, as_json=as_json)


@projections.command()
@name_argument
@in_transaction_option
@yes_option
@store_options
def remove(*, store: EventStore, as_json: bool, name: str, in_transaction: Any, yes: bool) -> None:
    """Forget the projection NAME, its checkpoint and its dead letters. Your tables stay."""
    _confirmed(f"Forget {printable(name)}, its checkpoint and its dead letters?", yes=yes)
    ProjectionAdmin(store).remove(name, in_transaction=in_transaction)
    _tell({"projection": name, "done": "removed"}, as_json=as_json)


@projections.command()
@name_argument
@projection_option
@in_transaction_option
@event_types_option
@click.option("--batch-size", type=POSITIVE, default=5000, show_default=True, help="Events in one transaction.")
@yes_option
@store_options
def rebuild(
    *, store: EventStore, as_json: bool, name: str, projection: Projection, in_transaction: Any,
    event_types: EventTypes | None, batch_size: int, yes: bool,
) -> None:  # fmt: skip
    """Compute the projection NAME anew, from the first event.

    Where the definition has another name, it is run beside the old one until it has caught up, and then takes its name:
    --in-transaction swaps your tables. Interrupted, it goes on where it was when it is started again.

    Where the definition has the same name, the projection is reset and run: --in-transaction empties your tables.

    Workers of both have to be stopped: before the swap, or before the reset.
    """
    found = ProjectionAdmin(store)
    is_beside = projection.name != name
    new = printable(projection.name)
    how = f"Run {new} until it has caught up, and put it in the place of" if is_beside else "Reset and run"
    _confirmed(f"{how} {printable(name)}?", yes=yes)
    if is_beside:
        found.position(name)  # refuses one that has never run, before the work is done
    else:
        found.reset(name, in_transaction=in_transaction)
    with _progress(quiet=as_json) as report:
        worker = Worker(typed(store, event_types), projection, batch_size=batch_size)
        handled = worker.run_until_caught_up(on_progress=lambda step: report(step.position, step.end))
    if is_beside:
        found.swap(name, projection.name, in_transaction=in_transaction)
    _tell({"projection": name, "done": "rebuilt", "handled": handled}, as_json=as_json)


def typed(store: EventStore, event_types: EventTypes | None) -> EventStore:
    """Return the store, with other event types where they are given."""
    return store if event_types is None else store.with_core(store.core.with_event_types(event_types))


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[int, int], object]]:
    """Yield what to call with position and end: it moves a bar where a person looks at stderr."""
    where = console(stderr=True)
    if quiet or not where.is_terminal:
        yield lambda _position, _end: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=where, transient=True) as bars:
        task = bars.add_task("position", total=None)
        yield lambda position, end: bars.update(task, completed=position, total=end)


def _tell(done: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(done)
    elif has_person():
        handled = f", {done['handled']:,} events handled" if "handled" in done else ""
        click.echo(f"{printable(done['projection'])}: {done['done']}{handled}")
    else:
        print_line(*done.values())
