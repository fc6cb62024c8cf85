"""How late which airline leaves, day by day: a table that follows the flights while they are being imported.

    pip install 'sqlalchemy-eventstore[examples]'
    python examples/flights_projection.py            # reads flights.db, in the current folder
    python examples/flights.py                       # in another terminal: the import
    DATABASE_URL=postgresql://user@host/database python examples/flights_projection.py

Start it before, during or after the import. A worker reads the departures in the order in which they were stored, and
counts each into the table `flight_delays`, in the transaction that also remembers how far it has come. So stop it when
you like and how you like, and start it again; start it twice, and one works while the other waits. In the end the
table is compared with the file: with the delays of the departures themselves, not with their events.
"""

import argparse
import csv
import os
import sys
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from threading import Event

from flights import Rate, at_least_one
from flights_data import NEW_YORK, FlightDeparted, data_folder, end_of_day, event_types, read_flights
from rich import box, progress  # flights.py says how to install it
from rich.console import Console
from rich.table import Table
from sqlalchemy import Column, Connection, Date, Engine, Integer, MetaData, String, bindparam, func, select, text
from sqlalchemy import Table as DatabaseTable
from sqlalchemy.exc import OperationalError
from sqlalchemy.schema import CreateTable

from eventstore import EventFilter, EventStore, RecordedEvent, migrations
from eventstore.projections import Projection, ProjectionAdmin, ProjectionStatus, Worker

Figures = dict[tuple[str, date], tuple[int, int]]
"""By airline and day: how many departures, and how many minutes late they were, all in all."""

LOOK_EVERY_SECONDS = 0.5

# The read model: a table of our own, and how a departure changes it

flight_delays = DatabaseTable(
    "flight_delays",
    MetaData(),
    Column("airline", String(2), primary_key=True),
    Column("day", Date, primary_key=True),
    Column("departures", Integer, nullable=False),
    Column("minutes_late", Integer, nullable=False),
)

COUNT = text(
    """
    INSERT INTO flight_delays (airline, day, departures, minutes_late) VALUES (:airline, :day, 1, :minutes)
    ON CONFLICT (airline, day) DO UPDATE SET
        departures = flight_delays.departures + 1,
        minutes_late = flight_delays.minutes_late + excluded.minutes_late
    """
).bindparams(bindparam("day", type_=Date))

delays = Projection("flight-delays", EventFilter(event_types=["flight-departed"]))


@delays.on("flight-departed")
def count_departure(event: RecordedEvent, connection: Connection) -> None:
    """Count a departure. The worker commits, this and the projection's position together."""
    departure: FlightDeparted = event.data
    day = departure.happened_at.astimezone(NEW_YORK).date()
    values = {"airline": departure.flight[:2], "day": day, "minutes": departure.delay_minutes}
    connection.execute(COUNT, values)


def create_table(engine: Engine) -> None:
    """Create the read model, unless it is there; of those who start at once, one after the other."""
    with engine.connect() as connection, migrations.deploy_lock(connection):
        connection.execute(CreateTable(flight_delays, if_not_exists=True))
        connection.commit()


# What must come of it


def figures_by_file(until: datetime) -> Figures:
    """Compute the same from the file, up to a moment, without any event."""
    found: Figures = defaultdict(lambda: (0, 0))
    for flight in read_flights(until):
        if flight.departed_at is not None and flight.departure_delay is not None and flight.departed_at < until:
            key = flight.name[:2], flight.departed_at.astimezone(NEW_YORK).date()
            departures, minutes = found[key]
            found[key] = departures + 1, minutes + flight.departure_delay
    return dict(found)


def figures_by_table(engine: Engine, days: int | None) -> Figures:
    """Read the table, as far as the first days."""
    wanted = select(flight_delays)
    if days is not None:
        wanted = wanted.where(flight_delays.c.day < date(2013, 1, 1) + timedelta(days=days))
    with engine.connect() as connection:
        return {(row.airline, row.day): (row.departures, row.minutes_late) for row in connection.execute(wanted)}


def count_departures(figures: Figures) -> int:
    """Return how many departures there are."""
    return sum(departures for departures, _ in figures.values())


# Running it


@dataclass(frozen=True, slots=True)
class Lag:
    """How far the projection is behind."""

    events: int = 0
    seconds: float = 0.0

    def or_longer(self, other: "Lag") -> "Lag":
        """Return the longer of each."""
        return Lag(max(self.events, other.events), max(self.seconds, other.seconds))


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the program: its store, and what to wait for."""

    store: EventStore
    days: int | None
    by_file: Figures

    def is_complete(self) -> bool:
        """Look whether all departures of the file are stored, and the projection has handled all that are."""
        events = self.store.tables.events.c
        departed = events.event_type == "flight-departed"
        with self.store.engine.connect() as connection:
            stored, newest = connection.execute(select(func.count(), func.max(events.position)).where(departed)).one()
        status = self.status()
        return stored >= count_departures(self.by_file) and status is not None and status.position >= newest

    def status(self) -> ProjectionStatus | None:
        """Return how the projection is doing; None before it was ever run."""
        return next((status for status in ProjectionAdmin(self.store).status() if status.name == delays.name), None)

    def project(self, batch_size: int, console: Console) -> bool:
        """Run the worker until everything is counted or it is stopped; return whether everything is counted."""
        worker, ended = Worker(self.store, delays, batch_size=batch_size), Event()
        before, began = self.counted(), time.perf_counter()
        with progress_bar(console) as bar, ThreadPoolExecutor(1) as threads:
            watching = threads.submit(self.watch, worker, ended, bar)
            try:
                worker.run_forever(handle_signals=True)
            finally:
                ended.set()
            longest = watching.result()
        counted, seconds = self.counted() - before, time.perf_counter() - began
        console.print(f"Counted {counted:,} departures in {seconds:.1f} s: {counted / seconds:,.0f} per second.")
        console.print(f"It was at most {longest.events:,} events and {longest.seconds:.1f} s behind.")
        return self.is_complete()

    def watch(self, worker: Worker, ended: Event, bar: progress.Progress) -> Lag:
        """Show how far it is, stop the worker when all is done, and return the longest lag that was seen.

        It looks into the database only: of two programs, the one that waits shows what the other does.
        """
        task = bar.add_task("", total=count_departures(self.by_file), completed=self.counted(), told="")
        longest = Lag()
        try:
            while not ended.wait(LOOK_EVERY_SECONDS):
                try:
                    longest = longest.or_longer(self.show(bar, task))
                    if self.is_complete():
                        worker.stop()
                except OperationalError:
                    bar.update(task, told="the database does not answer; trying again")
            return longest.or_longer(self.show(bar, task))
        finally:
            worker.stop()

    def show(self, bar: progress.Progress, task: progress.TaskID) -> Lag:
        """Show position and lag, and return the lag."""
        status = self.status()
        if status is None:  # the worker has not begun
            return Lag()
        counted = self.counted()
        told = f"position {status.position:,}, lag {status.lag_events:,}, {status.lag_seconds:.1f} s"
        if not status.lag_events and counted < count_departures(self.by_file):
            told = f"position {status.position:,}, waiting for flights.py"
        bar.update(task, completed=counted, told=told)
        return Lag(status.lag_events, status.lag_seconds)

    def counted(self) -> int:
        """Return how many departures the table has, of those that we want."""
        return count_departures(figures_by_table(self.store.engine, self.days))


# On the screen


def progress_bar(console: Console) -> progress.Progress:
    """Return a bar with how far it is, how fast, and how far behind."""
    return progress.Progress(
        progress.BarColumn(bar_width=10),
        progress.TextColumn("{task.completed:,} of {task.total:,}", style="progress.download"),
        Rate(),
        progress.TextColumn("{task.fields[told]}"),
        console=console,
    )


def by_airline(engine: Engine) -> Table:
    """Ask the read model; that is what it is for."""
    departures, minutes = func.sum(flight_delays.c.departures), func.sum(flight_delays.c.minutes_late)
    totals = select(flight_delays.c.airline, departures, minutes).group_by(flight_delays.c.airline)
    average = flight_delays.c.minutes_late * 1.0 / flight_delays.c.departures
    table = Table("Airline", box=box.ROUNDED)
    table.add_column("Departures", justify="right")
    table.add_column("Average delay", justify="right")
    table.add_column("Worst day")
    with (data_folder() / "airlines.csv").open(encoding="utf-8", newline="") as file:
        names = {row["carrier"]: row["name"] for row in csv.DictReader(file)}
    with engine.connect() as connection:
        for airline, count, late in connection.execute(totals.order_by(departures.desc())).all():
            of_airline = select(flight_delays.c.day, average).where(flight_delays.c.airline == airline)
            day, worst = connection.execute(of_airline.order_by(average.desc(), flight_delays.c.day).limit(1)).one()
            table.add_row(
                names[airline], f"{count:,}", f"{late / count:+.1f} min", f"{day:%d %b}: {float(worst):+.0f} min"
            )
    return table


def compare(by_table: Figures, by_file: Figures, console: Console) -> bool:
    """Say whether the table and the file agree."""
    wrong = sorted(key for key in by_table.keys() | by_file.keys() if by_table.get(key) != by_file.get(key))
    figures = f"{len(by_file):,} figures (airline and day), {count_departures(by_file):,} departures"
    if not wrong:
        console.print(f"[green]✓[/] The table agrees with the file: {figures}.")
        return True
    console.print(f"[red]✗[/] The table does not agree with the file: of {figures}, {len(wrong):,} are different.")
    for airline, day in wrong[:5]:
        found, expected = by_table.get((airline, day)), by_file.get((airline, day))
        console.print(f"  {airline}, {day}: (departures, minutes) {found} in the table, {expected} in the file")
    return False


def main() -> int:
    """Run the projection, then print and compare; return the exit code."""
    parser = argparse.ArgumentParser(description="Count the delays of flights while they are being imported.")
    parser.add_argument("--days", type=at_least_one, help="end with the departures of the first DAYS of the year")
    parser.add_argument("--batch-size", type=at_least_one, default=500, help="events in a transaction (%(default)s)")
    options, console = parser.parse_args(), Console()
    url = os.environ.get("DATABASE_URL", "sqlite:///flights.db")
    try:
        with EventStore.from_url(url, event_types=event_types) as store:
            console.print(f"Delays of 2013, in {store.engine.url.render_as_string()}", markup=False, highlight=False)
            migrations.upgrade(store.engine)
            create_table(store.engine)
            with console.status("Reading the file …"):
                run = Run(store, options.days, figures_by_file(end_of_day(options.days)))
            if not run.project(options.batch_size, console):
                console.print("Stopped. What is counted is counted once; start it again to go on.")
                return 130
            console.print(by_airline(store.engine))
            return 0 if compare(figures_by_table(store.engine, options.days), run.by_file, console) else 1
    except KeyboardInterrupt:
        console.print("Stopped before it began.")
        return 130


if __name__ == "__main__":
    sys.exit(main())
