"""A report on a year of flights, in SQL only: from a view of events, and from a table that several workers fill.

    pip install 'sqlalchemy-eventstore[examples,plot]'
    python examples/flights.py --days 7              # first the import: into flights.db, in the current folder
    python examples/flights_report.py --chart report.svg
    DATABASE_URL=postgresql://user@host/database python examples/flights_report.py --workers 4

A BI tool, such as Metabase or Grafana, reads the same view and the same table, with the same queries.

- The view `flight_departed` has a row for each departure and a column for each field. It is always up to date.
- The table `aircraft` has a row for each aircraft. Its projection has four partitions: all events of an aircraft are in
  the same one, so that workers never wait for each other's rows. Kill it and start it again, or start it twice.

In the end the table is compared with the file.
"""

import argparse
import csv
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flights import at_least_one
from flights_data import FlightArrived, FlightDeparted, data_folder, end_of_day, event_types, logbooks_by_file
from rich import box  # flights.py says how to install it
from rich.console import Console
from rich.table import Table
from sqlalchemy import Column, Connection, Engine, Integer, MetaData, String, text
from sqlalchemy import Table as DatabaseTable
from sqlalchemy.schema import CreateTable

from eventstore import EventFilter, EventStore, RecordedEvent, migrations
from eventstore.projections import Projection, ProjectionAdmin, Worker, Workers
from eventstore.views import EventViews

Rows = Sequence[Any]

# The view: one for each class, with a column for each field. `eventstore views` makes the same

views = EventViews(event_types)

# The table, and how an event changes it

aircraft_table = DatabaseTable(
    "aircraft",
    MetaData(),
    Column("stream_id", String(255), primary_key=True),
    Column("departures", Integer, nullable=False),
    Column("minutes_late", Integer, nullable=False),
    Column("miles", Integer, nullable=False),
)

ADD = text(
    """
    INSERT INTO aircraft (stream_id, departures, minutes_late, miles) VALUES (:aircraft, :departures, :minutes, :miles)
    ON CONFLICT (stream_id) DO UPDATE SET
        departures = aircraft.departures + excluded.departures,
        minutes_late = aircraft.minutes_late + excluded.minutes_late,
        miles = aircraft.miles + excluded.miles
    """
)

aircraft = Projection("aircraft", EventFilter(event_types=["flight-departed", "flight-arrived"]), partitions=4)


@aircraft.on(FlightDeparted)
def depart(event: RecordedEvent[FlightDeparted], connection: Connection) -> None:
    """Add a departure, and how late it was; early counts as on time."""
    late = max(event.data.delay_minutes, 0)
    connection.execute(ADD, {"aircraft": event.stream_id, "departures": 1, "minutes": late, "miles": 0})


@aircraft.on(FlightArrived)
def arrive(event: RecordedEvent[FlightArrived], connection: Connection) -> None:
    """Add the miles of a flight."""
    miles = event.data.miles
    connection.execute(ADD, {"aircraft": event.stream_id, "departures": 0, "minutes": 0, "miles": miles})


def prepare(engine: Engine) -> None:
    """Create the tables and the views, unless they are there; of those who start at once, one after the other."""
    migrations.upgrade(engine)
    with engine.connect() as connection, migrations.deploy_lock(connection):
        connection.execute(CreateTable(aircraft_table, if_not_exists=True))
        connection.commit()
    views.apply(engine)


def is_readable(engine: Engine, console: Console) -> bool:
    """Say whether there are departures, and SQL can read them all: they may be stored in another codec than JSON."""
    (departed,) = [each for each in views.count(engine) if each.name == "flight_departed"]
    if departed.other_codec:
        console.print(f"{departed.other_codec:,} departures are not stored as JSON; first run: eventstore recode")
        return False
    if not departed.shown:
        console.print("There are no departures; first run: python examples/flights.py --days 7")
    return departed.shown > 0


def project(store: EventStore, workers: int, console: Console) -> None:
    """Fill the table by several workers, and show the partitions."""
    Workers(*[Worker(store, aircraft) for _ in range(workers)]).run_until_caught_up(handle_signals=True)
    (status,) = ProjectionAdmin(store).status("aircraft")
    table = Table("Partition", "Position", "Lag", "Last worker", title="Projection aircraft", box=box.ROUNDED)
    for each in status.partitions:
        table.add_row(str(each.number), f"{each.position:,}", f"{each.lag_events:,}", each.worker)
    console.print(table)


# The report: SQL that any tool can send

BY_AIRLINE = text(
    """
    SELECT substr(flight, 1, 2) AS airline, count(*) AS departures,
        100.0 * sum(CASE WHEN delay_minutes > 15 THEN 1 ELSE 0 END) / count(*) AS percent_late
    FROM flight_departed
    GROUP BY 1 ORDER BY 3
    """
)

BY_AIRCRAFT = text(
    "SELECT stream_id, departures, miles, 1.0 * minutes_late / departures AS average FROM aircraft WHERE departures > 0"
)


FEW = 4
"""An average over fewer departures says little."""


def ask(engine: Engine, sql: Any) -> Rows:
    """Return the rows of a query."""
    with engine.connect() as connection:
        return connection.execute(sql).all()


def airline_names() -> dict[str, str]:
    """Return the names of the airlines, by their codes."""
    with (data_folder() / "airlines.csv").open(encoding="utf-8", newline="") as file:
        return {row["carrier"]: row["name"].removesuffix(" Inc.").removesuffix(" Co.") for row in csv.DictReader(file)}


def draw(engine: Engine, path: Path) -> None:
    """Draw the report into a file: airlines by the view, aircraft by the table."""
    from matplotlib.figure import Figure  # noqa: PLC0415  # only a chart needs it

    names, airlines = airline_names(), ask(engine, BY_AIRLINE)
    fleet = [row for row in ask(engine, BY_AIRCRAFT) if row.departures >= FEW]
    figure = Figure(figsize=(11, 5), layout="constrained")
    left, right = figure.subplots(1, 2)
    bars = left.barh(
        [names[row.airline] for row in airlines], [float(row.percent_late) for row in airlines], color="#3b6ea5"
    )
    left.bar_label(bars, [f"{float(row.percent_late):.0f} % of {row.departures:,}" for row in airlines], padding=4)
    left.set_title("Departures more than 15 minutes late", loc="left")
    left.set(xlabel="percent, from the view flight_departed")
    left.margins(x=0.3, y=0.01)
    right.scatter(
        [row.miles / 1000 for row in fleet], [float(row.average) for row in fleet],
        s=[4 * row.departures for row in fleet], color="#c8553d", alpha=0.35, linewidths=0,
    )  # fmt: skip
    for row in sorted(fleet, key=lambda row: row.average)[-3:]:
        point = row.miles / 1000, float(row.average)
        right.annotate(row.stream_id.removeprefix("aircraft-"), point, (8, -3), textcoords="offset points")
    right.set_title("Each aircraft with at least four departures", loc="left")
    right.set(xlabel="thousand miles, from the table aircraft", ylabel="average delay of a departure, minutes", ylim=0)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)


def compare(engine: Engine, days: int | None, console: Console) -> bool:
    """Say whether the table and the file agree about departures and miles."""
    books = logbooks_by_file(end_of_day(days))
    by_file = {name: (book.departures.total(), book.miles) for name, book in books.items() if book.departures}
    by_table = {row.stream_id: (row.departures, row.miles) for row in ask(engine, BY_AIRCRAFT)}
    wrong = sorted(name for name in by_file.keys() | by_table.keys() if by_file.get(name) != by_table.get(name))
    if not wrong:
        console.print(f"[green]✓[/] The table agrees with the file: {len(by_file):,} aircraft.")
        return True
    console.print(f"[red]✗[/] The table does not agree with the file: {len(wrong):,} of {len(by_file):,} aircraft.")
    for name in wrong[:5]:
        console.print(
            f"  {name}: (departures, miles) {by_table.get(name)} in the table, {by_file.get(name)} in the file"
        )
    return False


def main() -> int:
    """Run the projection, then draw and compare; return the exit code."""
    parser = argparse.ArgumentParser(description="Report on the flights that flights.py has stored, in SQL.")
    parser.add_argument("--days", type=at_least_one, help="compare with the first DAYS, as they were imported")
    parser.add_argument("--workers", type=at_least_one, default=2, help="workers in this process (%(default)s)")
    parser.add_argument("--chart", type=Path, help="draw a chart into this file, .svg or .png")
    options, console = parser.parse_args(), Console()
    url = os.environ.get("DATABASE_URL", "sqlite:///flights.db")
    with EventStore.from_url(url, event_types=event_types) as store:
        console.print(f"Report on flights, in {store.engine.url.render_as_string()}", markup=False, highlight=False)
        prepare(store.engine)
        if not is_readable(store.engine, console):
            return 1
        project(store, options.workers, console)
        if options.chart:
            draw(store.engine, options.chart)
            console.print(f"The chart is in {options.chart}.", markup=False, highlight=False)
        return 0 if compare(store.engine, options.days, console) else 1


if __name__ == "__main__":
    sys.exit(main())
