"""The parts of a log that is partitioned by position (PostgreSQL)."""

import re
from dataclasses import dataclass
from typing import Final

_NUMBERED: Final = re.compile(r"es_events_(\d+)")


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the log: a table with the events in a range of positions.

    Attributes:
        name: The name of the table, without its schema.
        first_position: The lowest position that it can have.
        last_position: The highest position that it can have.
        events: How many events it has, as the server estimates; None if it has not counted them yet.
        size_bytes: The size of the table and its indexes.
    """

    name: str
    first_position: int
    last_position: int
    events: int | None
    size_bytes: int

    @property
    def number(self) -> int:
        """The number in its name; 0 if it has another name."""
        found = _NUMBERED.fullmatch(self.name)
        return 0 if found is None else int(found.group(1))


@dataclass(frozen=True, slots=True)
class Runway:
    """How many positions are left in the parts of the log, and for how long.

    Attributes:
        drawn: The position that was drawn last.
        positions_left: How many positions are left until the end of the last part.
        per_day: How many positions a day takes, at the rate of the last seven days.
        parts_ahead: How many parts are left after the one that takes the next event.
    """

    drawn: int
    positions_left: int
    per_day: float
    parts_ahead: int

    @property
    def days_left(self) -> float:
        """How many days the positions last at that rate; infinite if nothing was appended."""
        return self.positions_left / self.per_day if self.per_day else float("inf")
