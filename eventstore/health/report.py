"""The health of a store: values, without I/O."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Final

from eventstore.findings import Finding, Level
from eventstore.parts import Runway

COUNTED_AT_MOST: Final = 10_000
"""The limit to which lag in events and dead letters are counted."""


@dataclass(frozen=True, slots=True)
class ConnectionHealth:
    """Whether the database answers.

    Attributes:
        is_up: Whether it answered.
        seconds: How long the whole check has taken.
        error: The type of the error and the first line of its message, without the password; None if it answered.
    """

    is_up: bool
    seconds: float
    error: str | None


@dataclass(frozen=True, slots=True)
class SchemaHealth:
    """Whether the tables fit this code.

    Attributes:
        fits: Whether this code works with them.
        version: Their version; None if there are no tables, or it could not be read.
        error: What is wrong; None if no problem is known.
    """

    fits: bool
    version: int | None
    error: str | None


@dataclass(frozen=True, slots=True)
class ProjectionHealth:
    """How far a projection is behind.

    Attributes:
        name: The name of the projection.
        position: Every event up to here, inclusive, has been handled.
        lag_events: How many events follow, counted up to 10,000.
        lag_seconds: How long ago the first of them was stored; 0 if there is none.
        dead_letters: How many are pending, counted up to 10,000.
        failure: The event at which it stopped and the type of the error; None if it did not stop.
        log_went_back: Whether the event of its checkpoint is gone from the log; see `LogWentBack`.
        retrying: The event that its worker retries, the type of the last error and the number of attempts; None if
            it retries nothing.
    """

    name: str
    position: int
    lag_events: int
    lag_seconds: float
    dead_letters: int
    failure: str | None
    log_went_back: bool = False
    retrying: str | None = None


@dataclass(frozen=True, slots=True)
class PoolHealth:
    """How the engine's pool was used when the check began. Numbers are None if this kind of pool does not count them.

    Attributes:
        kind: The class of the pool.
        size: How many connections it keeps.
        checked_out: How many are in use.
        overflow: How many connections are open beyond `size`.
        limit: How many can be in use at the same time; None also if there is no limit.
    """

    kind: str
    size: int | None
    checked_out: int | None
    overflow: int | None
    limit: int | None


@dataclass(frozen=True, slots=True)
class Health:
    """The result of `EventStore.health`.

    Attributes:
        problems: What is wrong; empty if the store is healthy. They contain no payloads and no password.
        connection: Whether the database answers.
        schema: Whether the tables fit this code.
        projections: The projections that were checked, by name.
        pool: How the engine's pool is used.
        runway: How long the parts of a partitioned log last; None if it is not partitioned.
    """

    problems: tuple[Finding, ...]
    connection: ConnectionHealth
    schema: SchemaHealth
    projections: tuple[ProjectionHealth, ...]
    pool: PoolHealth
    runway: Runway | None = None

    @property
    def ok(self) -> bool:
        """Whether there are no problems but warnings."""
        return all(problem.level is Level.WARNING for problem in self.problems)

    def as_dict(self) -> dict[str, Any]:
        """Return everything as values that JSON has."""
        values = {"ok": self.ok, **asdict(self), "problems": [problem.as_dict() for problem in self.problems]}
        if self.runway is None:
            del values["runway"]
        elif not math.isinf(self.runway.days_left):
            values["runway"]["days_left"] = round(self.runway.days_left, 1)
        return values | {"projections": [asdict(projection) for projection in self.projections]}
