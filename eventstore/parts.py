"""The parts of a log that is partitioned by position (PostgreSQL)."""

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

_NUMBERED: Final = re.compile(r"es_events_(\d+)")


class PartState(Enum):
    """What has become of a part of the log."""

    ATTACHED = "attached"
    """It is a partition of es_events."""

    LISTED = "listed"
    """It is a partition, and already in the list of detached parts: a run was interrupted before its DETACH."""

    DETACHING = "detaching"
    """Its DETACH was interrupted. Statements that began since do not read it."""

    DETACHED = "detached"
    """It is no partition any more, but its table exists."""

    DROPPED = "dropped"
    """Its table is gone, too."""


@dataclass(frozen=True, slots=True)
class Detached:
    """A row of es_detached_parts.

    Attributes:
        events: How many events the part had.
        location: Where it was exported to, for people; None if nowhere.
        sha256: The SHA-256 of the manifest of the export; None if there is none.
    """

    events: int
    location: str | None
    sha256: str | None


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the log: a table with the events in a range of positions.

    Attributes:
        name: The name of the table, without its schema.
        first_position: The lowest position that it can have.
        last_position: The highest position that it can have.
        events: How many events it has, as the server estimates; None if it has not counted them yet. If it was
            detached, how many it had.
        size_bytes: The size of the table and its indexes; 0 if it was dropped.
        state: What has become of it.
        detached: Its row in the list of detached parts; None if it is not listed.
    """

    name: str
    first_position: int
    last_position: int
    events: int | None
    size_bytes: int
    state: PartState = PartState.ATTACHED
    detached: Detached | None = None

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
