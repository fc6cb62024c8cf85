"""How much a store holds, and of what; estimated if counting would take long."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Final

from eventstore.backends.maintenance import Size
from eventstore.backends.protocol import Run
from eventstore.common.validation import check_number
from eventstore.errors import PermissionDenied
from eventstore.maintenance.inspection import Inspection
from eventstore.statements.global_order import newest_position as read_newest_position
from eventstore.statements.listing import snapshot_coverage
from eventstore.statements.statistics import (
    count_events_since,
    count_rows,
    events_by_category_and_type,
    sample_categories_and_types,
    streams_by_category,
    time_now,
)
from eventstore.store import EventStore

LONG_STREAM: Final = 100
"""Streams at this version or a higher one are long enough for a snapshot."""

SAMPLED: Final = 10_000
"""How many events are sampled to estimate the shares of categories and event types."""

_WINDOWS: Final = (timedelta(minutes=1), timedelta(hours=1), timedelta(days=1), timedelta(days=7))


class Precision(Enum):
    """How exact a number is."""

    EXACT = "exact"
    ESTIMATED = "estimated"
    AT_LEAST = "at least"


@dataclass(frozen=True, slots=True)
class Count:
    """A number of rows.

    Attributes:
        value: The number.
        precision: How exact it is.
    """

    value: int
    precision: Precision = Precision.EXACT

    def __str__(self) -> str:
        sign = {Precision.EXACT: "", Precision.ESTIMATED: "about ", Precision.AT_LEAST: "at least "}[self.precision]
        return f"{sign}{self.value:,}"


@dataclass(frozen=True, slots=True)
class CategoryStatistics:
    """How much is stored of a category.

    Attributes:
        category: The category.
        streams: How many streams; None if they were not counted.
        events: How many events.
    """

    category: str
    streams: Count | None
    events: Count


@dataclass(frozen=True, slots=True)
class RecentEvents:
    """How many events were recorded recently.

    Attributes:
        window: The length of the time until now, by the database's clock.
        events: How many events.
    """

    window: timedelta
    events: Count

    @property
    def per_second(self) -> float:
        """The average number of events in a second."""
        return self.events.value / self.window.total_seconds()


@dataclass(frozen=True, slots=True)
class SnapshotStatistics:
    """How well snapshots cover streams.

    Attributes:
        snapshots: How many there are; None if the database user may not count them.
        streams: How many streams have one; None if they were not counted.
        long_streams: How many streams are at version 100 or a higher one; None if they were not counted.
        long_streams_covered: How many of these have a snapshot.
    """

    snapshots: Count | None
    streams: Count | None
    long_streams: Count | None
    long_streams_covered: Count | None


@dataclass(frozen=True, slots=True)
class Statistics:
    """How much a store holds.

    Attributes:
        taken_at: When they were counted, by the database's clock.
        events: How many events.
        streams: How many streams.
        newest_position: The position of the newest event; 0 if there is none.
        categories: One entry for each category, the largest first.
        event_types: How many events of each type, the most frequent first.
        recent: How many events were recorded within the last minute, hour, day and week.
        snapshots: How well snapshots cover streams.
        sizes: The sizes of tables and indexes; empty if the database does not report them.
        database_bytes: The size of the whole database.
        not_counted: What the database user may not count, and which right is missing; empty if all was counted.
    """

    taken_at: datetime
    events: Count
    streams: Count
    newest_position: int
    categories: tuple[CategoryStatistics, ...]
    event_types: tuple[tuple[str, Count], ...]
    recent: tuple[RecentEvents, ...]
    snapshots: SnapshotStatistics
    sizes: tuple[Size, ...]
    database_bytes: int
    not_counted: tuple[str, ...] = ()


def statistics(store: EventStore, *, exact_up_to: int = 1_000_000) -> Statistics:
    """Count what a store holds. This takes no locks.

    Args:
        store: The application's store, not joined.
        exact_up_to: Up to about this many events everything is counted, which takes about a second for each million.
            Beyond, totals come from the database's own statistics and shares from a sample of about 10,000 events;
            recent events are counted up to this number, and what can't be estimated is None.

    Raises:
        InvalidInput: An argument is not valid.
        SchemaError: The database does not have the tables that this code needs.
        PermissionDenied: The database user may not read events and streams. If only the right to read snapshots is
            missing, the rest is counted.
    """
    inspection = Inspection.of(store)
    check_number("exact_up_to", exact_up_to)
    with store.core.execution.statement() as run:
        return _Counter(inspection, run, exact_up_to).statistics()


class _Counter:
    def __init__(self, inspection: Inspection, run: Run, exact_up_to: int) -> None:
        self._inspection = inspection
        self._run = run
        self._exact_up_to = exact_up_to
        ((self._newest,),) = run(read_newest_position)
        self._estimates = inspection.maintenance.estimate_rows(run)
        events = inspection.dialect.tables.events.name
        self._estimates[events] = self._estimates[events] or self._newest  # the database has no statistics yet
        self._is_small = self._estimates[events] <= exact_up_to
        self._not_counted: list[str] = []

    def statistics(self) -> Statistics:
        run, backend, maintenance = self._run, self._inspection.dialect, self._inspection.maintenance
        taken_at = backend.to_time(run(time_now)[0][0])
        events = self._count("events")
        shares = self._shares(events)
        streams = {row[0]: row[1] for row in run(streams_by_category)} if self._is_small else {}
        categories = [
            CategoryStatistics(category, Count(streams.get(category, 0)) if self._is_small else None, count)
            for category, count in _sums((category, count) for (category, _), count in shares.items())
        ]
        snapshots = self._snapshots_if_allowed()
        return Statistics(
            taken_at=taken_at,
            events=events,
            streams=self._count("streams"),
            newest_position=self._newest,
            categories=tuple(categories),
            event_types=tuple(_sums((event_type, count) for (_, event_type), count in shares.items())),
            recent=tuple(self._recent(taken_at, window) for window in _WINDOWS),
            snapshots=snapshots,
            sizes=tuple(maintenance.sizes(run, quickly=not self._is_small)),
            database_bytes=maintenance.database_bytes(run),
            not_counted=tuple(self._not_counted),
        )

    def _count(self, name: str) -> Count:
        table = getattr(self._inspection.dialect.tables, name).name
        if self._is_small or self._estimates[table] <= self._exact_up_to:
            return Count(self._run(count_rows(name))[0][0])
        return Count(self._estimates[table], Precision.ESTIMATED)

    def _shares(self, events: Count) -> dict[tuple[str, str], Count]:
        if self._is_small:
            rows = self._run(events_by_category_and_type)
            return {(category, event_type): Count(count) for category, event_type, count in rows}
        stride = max(1, self._newest // SAMPLED)
        rows = self._run(sample_categories_and_types, stride=stride)
        sampled = sum(row[2] for row in rows)
        return {
            (category, event_type): Count(round(events.value * count / sampled), Precision.ESTIMATED)
            for category, event_type, count in rows
        }

    def _recent(self, taken_at: datetime, window: timedelta) -> RecentEvents:
        since = self._inspection.dialect.from_time(taken_at - window)
        ((count,),) = self._run(count_events_since, since=since, at_most=self._exact_up_to + 1)
        is_all = count <= self._exact_up_to
        return RecentEvents(window, Count(count) if is_all else Count(self._exact_up_to, Precision.AT_LEAST))

    def _snapshots_if_allowed(self) -> SnapshotStatistics:
        try:
            return self._snapshots()
        except PermissionDenied as denied:
            self._not_counted.append(str(denied))
            return SnapshotStatistics(None, None, None, None)

    def _snapshots(self) -> SnapshotStatistics:
        snapshots = self._count("snapshots")
        if not self._is_small:
            return SnapshotStatistics(snapshots, None, None, None)
        coverage = snapshot_coverage(of_category=False)
        _, streams, *_ = self._run(coverage, min_version=0)[0]
        long_streams, covered, *_ = self._run(coverage, min_version=LONG_STREAM)[0]
        return SnapshotStatistics(snapshots, Count(streams), Count(long_streams), Count(covered))


def _sums(counts: Iterable[tuple[str, Count]]) -> list[tuple[str, Count]]:
    """Add up by name, the largest first."""
    sums: dict[str, Count] = {}
    for name, count in counts:
        before = sums[name].value if name in sums else 0
        sums[name] = Count(before + count.value, count.precision)
    return sorted(sums.items(), key=lambda item: (-item[1].value, item[0]))
