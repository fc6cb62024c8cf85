"""The commands of `partitions`: enable, add, list."""

import math
from dataclasses import asdict

import click
from sqlalchemy import Engine

from eventstore.cli.database import database_options
from eventstore.cli.output import Column, note, print_json, print_rows
from eventstore.cli.progress import reporting
from eventstore.cli.reading import POSITIVE
from eventstore.health.parts import describe
from eventstore.migrations import partitioning
from eventstore.parts import Part, PartState, Runway

_COLUMNS = (
    Column("name", "part", "cyan"),
    Column("first_position", "from"),
    Column("last_position", "to"),
    Column("events", "events (about)"),
    Column("size_bytes", "bytes"),
    Column("state", "state"),
    Column("location", "exported to"),
)
_lock_timeout = click.option(
    "--lock-timeout", type=float, default=0.2, show_default=True, metavar="SECONDS",
    help="How long one attempt to lock the tables may take, during which appends wait.",
)  # fmt: skip
_wait = click.option(
    "--wait", type=float, default=600.0, show_default=True, metavar="SECONDS",
    help="How long to retry, and to wait for a migration.",
)  # fmt: skip
_days = click.option(
    "--days", type=click.IntRange(min=0), default=90, show_default=True,
    help="For how many days there are parts afterwards, at the rate of the last seven.",
)  # fmt: skip
_size = click.option("--size", type=POSITIVE, help="How many positions each new part has.  [default: by the rate]")


@click.group()
def partitions() -> None:
    """Divide a large log into parts by position, and add parts for the next events (PostgreSQL)."""


@partitions.command()
@_size
@click.option(
    "--margin", type=POSITIVE,
    help="How many positions the first part takes beyond those of today.  [default: those of seven days]",
)  # fmt: skip
@_days
@_lock_timeout
@_wait
@database_options
def enable(
    *,
    engine: Engine,
    schema: str | None,
    as_json: bool,
    size: int | None,
    margin: int | None,
    days: int,
    lock_timeout: float,
    wait: float,
) -> None:
    """Partition the log: what is there becomes the first part. Nothing is copied, and appends go on.

    It can be interrupted and repeated, but not undone. From then on, run `eventstore partitions add` every day.
    """
    with reporting(quiet=as_json) as report:
        parts = partitioning.enable(
            engine,
            size=size,
            margin=margin,
            days=days,
            schema=schema,
            lock_timeout_seconds=lock_timeout,
            wait_seconds=wait,
            on_progress=report,
        )
    runway = partitioning.runway(engine, schema=schema)
    if as_json:
        print_json({"parts": [_part(part) for part in parts], "runway": _as_dict(runway)})
    elif runway is not None:
        click.echo(f"the log has {len(parts)} parts now; {describe(runway)}")
        click.echo("run `eventstore partitions add` every day from now on")


@partitions.command()
@_days
@_size
@_lock_timeout
@_wait
@database_options
def add(
    *,
    engine: Engine,
    schema: str | None,
    as_json: bool,
    days: int,
    size: int | None,
    lock_timeout: float,
    wait: float,
) -> None:
    """Add parts for the next events. Run it every day: without a part, appends fail.

    It does nothing if there are enough.
    """
    with reporting(quiet=as_json) as report:
        added = partitioning.add(
            engine,
            days=days,
            size=size,
            schema=schema,
            lock_timeout_seconds=lock_timeout,
            wait_seconds=wait,
            on_progress=report,
        )
    if as_json:
        print_json({"added": [_part(part) for part in added.parts], "runway": _as_dict(added.runway)})
    else:
        number = len(added.parts)
        what = "no part was needed" if not number else f"added {number} part{'' if number == 1 else 's'}"
        click.echo(f"{what}; {describe(added.runway)}")


@partitions.command("list")
@database_options
def list_(*, engine: Engine, schema: str | None, as_json: bool) -> None:
    """List the parts of the log in the order of their positions, also those detached, and how long they last.

    In a pipe, the lines have: name, first position, last position, estimated events, bytes, state, export.
    """
    parts = partitioning.parts(engine, schema=schema)
    runway = partitioning.runway(engine, schema=schema)
    rows = [_row(part, runway) for part in parts]
    print_rows(_COLUMNS, rows, as_json=as_json, empty="the log is not partitioned")
    if runway is not None and not as_json:
        note(describe(runway))


def _row(part: Part, runway: Runway | None) -> dict[str, object]:
    location = None if part.detached is None else part.detached.location
    return _part(part) | {"state": _state(part, runway), "location": location}


def _part(part: Part) -> dict[str, object]:
    row = asdict(part)
    del row["state"], row["detached"]
    return row


def _state(part: Part, runway: Runway | None) -> str:
    if part.state is not PartState.ATTACHED:
        return str(part.state.value)
    next_position = 1 if runway is None else runway.drawn + 1
    if part.last_position < next_position:
        return "full"
    return "unused" if part.first_position > next_position else "current"


def _as_dict(runway: Runway | None) -> dict[str, object] | None:
    if runway is None:
        return None
    days = None if math.isinf(runway.days_left) else round(runway.days_left, 1)
    return asdict(runway) | {"days_left": days}
