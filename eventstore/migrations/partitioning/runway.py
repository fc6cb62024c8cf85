"""How long the parts that are there will last."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil, log10
from typing import Final

from sqlalchemy import Engine

from eventstore.migrations.partitioning.log import Log, reading
from eventstore.migrations.partitioning.parts import Part, parts_of
from eventstore.migrations.settings import Settings

_DAYS: Final = 7
"""How far back appends are counted."""


@dataclass(frozen=True, slots=True)
class Runway:
    """How many positions are left, and for how long.

    Attributes:
        drawn: The position that was drawn last.
        positions_left: How many positions are left until the end of the last part.
        per_day: How many positions a day takes, at the rate of the last seven days.
        parts_ahead: How many parts are left after the one that takes events now.
    """

    drawn: int
    positions_left: int
    per_day: float
    parts_ahead: int

    @property
    def days_left(self) -> float:
        """How many days the positions last at that rate; infinite if nothing was appended."""
        return self.positions_left / self.per_day if self.per_day else float("inf")


def runway(engine: Engine, *, schema: str | None = None) -> Runway | None:
    """Return how long the parts of the log will last; None if it is not partitioned.

    Args:
        engine: An engine of a PostgreSQL database.
        schema: As for `parts`.

    Raises:
        PartitioningRefused: As for `parts`.
        SchemaMissing: There are no tables.
        SchemaOutdated: They are older than es_0011.
    """
    with reading(engine, Settings(schema)) as log:
        there = parts_of(log)
        return runway_of(log, there) if there else None


def runway_of(log: Log, there: list[Part]) -> Runway:
    """Return how long the parts of a log will last."""
    drawn = drawn_position(log)
    ahead = sum(part.first_position > drawn + 1 for part in there)
    return Runway(drawn, max(0, there[-1].last_position - drawn), positions_per_day(log), ahead)


def drawn_position(log: Log) -> int:
    """Return the position that was drawn last; 0 if none was."""
    ((drawn,),) = log.rows(
        "SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence(:table, 'position')::regclass), 0)".replace(
            "::", r"\:\:"
        ),
        table=log.named("es_events"),
    )
    return int(drawn)


def positions_per_day(log: Log) -> float:
    """Return how many positions a day takes, over the last seven days, or since the first event, at least a day ago."""
    newest = _event_from(log, backwards=True)
    if newest is None:
        return 0.0
    ((now,),) = log.rows("SELECT statement_timestamp()")
    since = now - timedelta(days=_DAYS)
    low, high = 0, newest[0]  # times ascend with positions, but for imported events
    first = newest
    while low < high:
        middle = (low + high) // 2
        event = _event_from(log, position=middle + 1)
        if event is None or event[1] >= since:
            first, high = event or first, middle
        else:
            low = event[0]
    days = min(float(_DAYS), max(1.0, (now - first[1]) / timedelta(days=1)))
    return float((newest[0] - low) / days)


def _event_from(log: Log, *, position: int = 0, backwards: bool = False) -> tuple[int, datetime] | None:
    """Return (position, time) of the first event from a position on, or of the newest."""
    table, direction = log.named("es_events").replace(":", r"\:"), " DESC" if backwards else ""
    found = log.rows(
        f"SELECT position, recorded_at FROM {table} WHERE position >= :position ORDER BY position{direction} LIMIT 1",
        position=position,
    )
    return (found[0][0], found[0][1]) if found else None


def rounded_up(number: float) -> int:
    """Return a number of one significant digit that is at least as large."""
    unit = 10 ** int(log10(max(1.0, number)))
    return int(ceil(number / unit) * unit)
