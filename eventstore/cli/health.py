"""The command health, for container probes and for people."""

from typing import Any

import click

from eventstore.cli.database import store_options
from eventstore.cli.output import Column, has_person, print_json, print_line, print_record, print_rows, printable
from eventstore.cli.reading import NOT_NEGATIVE
from eventstore.common.exit_codes import FAILED
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
    metavar="SECONDS", help="How long to wait for the database.",
)  # fmt: skip
@click.option("--projection", "projections", multiple=True, help="Check only this projection; may be repeated.")
@click.option("--max-lag", "max_lag_seconds", type=click.FloatRange(0), metavar="SECONDS", help="For each projection.")
@click.option("--max-lag-events", type=NOT_NEGATIVE, metavar="N", help="For each projection.")
@click.option("--max-dead-letters", type=NOT_NEGATIVE, metavar="N", help="For each projection.")
@click.option(
    "--max-failed", "max_failed_projections", type=NOT_NEGATIVE, metavar="N", help="How many may have stopped."
)
@click.option("-q", "--quiet", is_flag=True, help="Print only problems, on stderr.")
@store_options
def health(*, store: EventStore, as_json: bool, quiet: bool, projections: tuple[str, ...], **thresholds: Any) -> None:
    """Check that the database responds, that its tables fit, and that projections keep up. Exit code 0 or 1.

    A database that does not respond and tables that do not fit are always problems; the options add thresholds.
    """
    result = store.health(projections=projections or None, **thresholds)
    if as_json:
        print_json(result.as_dict())
    else:
        if not quiet:
            _print_health(result)
        for problem in result.problems:
            click.secho(f"problem: {printable(str(problem))}", fg="red", err=True)
    click.get_current_context().exit(0 if result.ok else FAILED)


def _print_health(result: Health) -> None:
    state = "well" if result.ok else "not well"
    version = "no tables" if result.schema.version is None else f"version {result.schema.version}"
    if result.connection.is_up:
        schema = f"{version}, fits" if result.schema.fits else f"{version}, does not fit"
    else:
        schema = "unknown"
    record = {
        "store": state,
        "connection": f"responded in {result.connection.seconds * 1000:.0f} ms" if result.connection.is_up else "down",
        "schema": schema,
    }
    if not has_person():
        for name, value in record.items():
            print_line(name, value)
        for each in result.projections:
            print_line("projection", each.name, each.position, each.lag_events, each.lag_seconds, each.dead_letters)
        return
    print_record(record, as_json=False)
    if result.projections:
        click.echo()
        rows = result.as_dict()["projections"]
        print_rows(_PROJECTIONS, rows, as_json=False, empty="")
    for each in result.projections:
        if each.failure:
            click.secho(f"{printable(each.name)} has stopped: {printable(each.failure)}", fg="red")
        elif each.retrying:
            click.secho(f"{printable(each.name)} retries an event: {printable(each.retrying)}", fg="yellow")
