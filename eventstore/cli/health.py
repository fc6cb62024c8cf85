"""The command health, for probes of containers and for people."""

from typing import Any

import click

from eventstore.cli.database import store_options
from eventstore.cli.group import FAILED
from eventstore.cli.output import Column, has_person, print_json, print_line, print_record, print_rows, printable
from eventstore.cli.reading import NOT_NEGATIVE
from eventstore.health import Health
from eventstore.store import EventStore

_PROJECTIONS = (
    Column("name", "projection", "cyan"),
    Column("position", "position"),
    Column("lag_events", "behind"),
    Column("lag_seconds", "seconds"),
    Column("dead_letters", "dead letters"),
)


@click.command()
@click.option(
    "--timeout", "timeout_seconds", type=click.FloatRange(0.001, 86_400), default=2.0, show_default=True,
    metavar="SECONDS", help="How long to wait for an answer.",
)  # fmt: skip
@click.option("--projection", "projections", multiple=True, help="Look at this one only; may be repeated.")
@click.option("--max-lag", "max_lag_seconds", type=click.FloatRange(0), metavar="SECONDS", help="Of a projection.")
@click.option("--max-lag-events", type=NOT_NEGATIVE, metavar="N", help="Of a projection.")
@click.option("--max-dead-letters", type=NOT_NEGATIVE, metavar="N", help="Of a projection.")
@click.option(
    "--max-failed", "max_failed_projections", type=NOT_NEGATIVE, metavar="N", help="Projections that stopped."
)
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but problems, on stderr.")
@store_options
def health(*, store: EventStore, as_json: bool, quiet: bool, projections: tuple[str, ...], **thresholds: Any) -> None:
    """Say whether the database answers, its tables fit, and projections keep up. Exit code 0 or 1.

    Only a database that does not answer and tables that don't fit are problems by themselves; the options say what else
    is.
    """
    found = store.health(projections=projections or None, **thresholds)
    if as_json:
        print_json(found.as_dict())
    else:
        if not quiet:
            _tell(found)
        for problem in found.problems:
            click.secho(f"problem: {printable(str(problem))}", fg="red", err=True)
    click.get_current_context().exit(0 if found.ok else FAILED)


def _tell(found: Health) -> None:
    state = "well" if found.ok else "not well"
    version = "no tables" if found.schema.version is None else f"version {found.schema.version}"
    if found.connection.is_up:
        schema = f"{version}, fits" if found.schema.fits else f"{version}, does not fit"
    else:
        schema = "unknown"
    told = {
        "store": state,
        "connection": f"answered in {found.connection.seconds * 1000:.0f} ms" if found.connection.is_up else "down",
        "schema": schema,
    }
    if not has_person():
        for name, value in told.items():
            print_line(name, value)
        for each in found.projections:
            print_line("projection", each.name, each.position, each.lag_events, each.lag_seconds, each.dead_letters)
        return
    print_record(told, as_json=False)
    if found.projections:
        click.echo()
        rows = found.as_dict()["projections"]
        print_rows(_PROJECTIONS, rows, as_json=False, empty="")
    for each in found.projections:
        if each.failure:
            click.secho(f"{printable(each.name)} has stopped: {printable(each.failure)}", fg="red")
        elif each.retrying:
            click.secho(f"{printable(each.name)} tries an event again: {printable(each.retrying)}", fg="yellow")
