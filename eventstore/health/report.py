"""What is found of a store's health: values, without I/O."""

from dataclasses import asdict, dataclass
from typing import Any, Final

from eventstore.findings import Finding

COUNTED_AT_MOST: Final = 10_000
"""How far events behind and dead letters are counted."""


@dataclass(frozen=True, slots=True)
class ConnectionHealth:
    """Whether the database answers.

    Attributes:
        is_up: Whether it has.
        seconds: How long the whole check has taken.
        error: The type of the error and the first line of what it says, without the password; None where all is well.
    """

    is_up: bool
    seconds: float
    error: str | None


@dataclass(frozen=True, slots=True)
class SchemaHealth:
    """Whether the tables fit this code.

    Attributes:
        fits: Whether they do.
        version: Their version; None where there are none, or nobody could look.
        error: What is wrong; None where nothing is known to be.
    """

    fits: bool
    version: int | None
    error: str | None


@dataclass(frozen=True, slots=True)
class ProjectionHealth:
    """How far a projection is behind.

    Attributes:
        name: The projection.
        position: Everything up to here has been handled.
        lag_events: How many events come after that, counted up to 10,000.
        lag_seconds: How long ago the first of these was stored; 0 where there is none.
        dead_letters: How many are pending, counted up to 10,000.
        failure: The event at which it has stopped and the type of the error; None if it has not.
        log_went_back: Whether the log does not have the event any more that it has come to: see `LogWentBack`.
        retrying: The event that its worker tries again, the type of the last error and how often it was tried; None if
            it goes well.
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
    """How the engine's pool is used, when the check began. None where its kind of pool does not count.

    Attributes:
        kind: The class of the pool.
        size: How many connections it keeps.
        checked_out: How many are in use.
        overflow: How many are open beyond `size`.
        limit: How many can be in use at the same time; None also where there is no limit.
    """

    kind: str
    size: int | None
    checked_out: int | None
    overflow: int | None
    limit: int | None


@dataclass(frozen=True, slots=True)
class Health:
    """How a store is doing: `EventStore.health`.

    Attributes:
        problems: What is not as it should be; none if all is well. No payloads, no password.
        connection: Whether the database answers.
        schema: Whether the tables fit this code.
        projections: Those that were looked at, by name.
        pool: How the engine's pool is used.
    """

    problems: tuple[Finding, ...]
    connection: ConnectionHealth
    schema: SchemaHealth
    projections: tuple[ProjectionHealth, ...]
    pool: PoolHealth

    @property
    def ok(self) -> bool:
        """Whether there are no problems."""
        return not self.problems

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as values that JSON has."""
        return {"ok": self.ok, **asdict(self), "problems": [problem.as_dict() for problem in self.problems]} | {
            "projections": [asdict(projection) for projection in self.projections]
        }
