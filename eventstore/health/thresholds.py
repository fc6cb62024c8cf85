"""The thresholds of a health check."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from eventstore.common.validation import check_number
from eventstore.errors import InvalidInput
from eventstore.findings import Finding, Level
from eventstore.health.report import COUNTED_AT_MOST, PoolHealth, ProjectionHealth


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Values above these are problems. None: no value is."""

    projections: tuple[str, ...] | None
    max_lag_seconds: float | None
    max_lag_events: int | None
    max_dead_letters: int | None
    max_failed_projections: int | None
    max_pool_use: float | None

    @classmethod
    def checked(
        cls,
        *,
        projections: Iterable[str] | None,
        max_lag_seconds: float | None,
        max_lag_events: int | None,
        max_dead_letters: int | None,
        max_failed_projections: int | None,
        max_pool_use: float | None,
    ) -> "Thresholds":
        """Validate thresholds, and return them.

        Raises:
            InvalidInput: A threshold is not valid.
        """
        if projections is not None:
            projections = _names(projections)
        if max_lag_seconds is not None and not (_is_number(max_lag_seconds) and max_lag_seconds >= 0):
            msg = f"max_lag_seconds must be a number of seconds that is at least 0, or None, not {max_lag_seconds!r}"
            raise InvalidInput(msg)
        counted = {"max_lag_events": max_lag_events, "max_dead_letters": max_dead_letters}
        for name, value in {**counted, "max_failed_projections": max_failed_projections}.items():
            if value is not None and check_number(name, value) >= COUNTED_AT_MOST:
                msg = f"{name} must be less than {COUNTED_AT_MOST}, because no more are counted, not {value}"
                raise InvalidInput(msg)
        if max_pool_use is not None and not (_is_number(max_pool_use) and 0 <= max_pool_use <= 1):
            msg = f"max_pool_use must be the part of the pool that may be in use, between 0 and 1, not {max_pool_use!r}"
            raise InvalidInput(msg)
        names = None if projections is None else tuple(projections)
        return cls(names, max_lag_seconds, max_lag_events, max_dead_letters, max_failed_projections, max_pool_use)

    def of_projections(self, projections: tuple[ProjectionHealth, ...]) -> list[Finding]:
        """Return a finding for each value of a projection that is above its threshold."""
        known = {projection.name for projection in projections}
        findings = [_of_projection(name, "has never run") for name in self.projections or () if name not in known]
        for each in projections:
            if _exceeds(each.lag_seconds, self.max_lag_seconds):
                findings.append(_of_projection(each.name, f"{each.lag_seconds:.0f} s behind"))
            if _exceeds(each.lag_events, self.max_lag_events):
                findings.append(_of_projection(each.name, f"{_counted(each.lag_events)} events behind"))
            if _exceeds(each.dead_letters, self.max_dead_letters):
                findings.append(_of_projection(each.name, f"{_counted(each.dead_letters)} pending dead letters"))
        findings += [
            _of_projection(
                each.name,
                "the event of its checkpoint is gone from the log, which went back",
                "rebuild the projection",
            )
            for each in projections
            if each.log_went_back
        ]
        failed = [each for each in projections if each.failure is not None]
        if _exceeds(len(failed), self.max_failed_projections):
            findings += [_of_projection(each.name, f"has stopped: {each.failure}") for each in failed]
        return findings

    def of_pool(self, pool: PoolHealth) -> list[Finding]:
        """Return a finding if the use of the pool is above its threshold."""
        if not pool.limit or pool.checked_out is None or not _exceeds(pool.checked_out / pool.limit, self.max_pool_use):
            return []
        return [Finding(Level.ERROR, "pool", f"{pool.checked_out} of {pool.limit} connections are in use")]


def _of_projection(name: str, found: str, remedy: str = "") -> Finding:
    return Finding(Level.ERROR, f"projection {name!r}", found, remedy, name=name)


def _names(projections: object) -> tuple[str, ...]:
    names = tuple(projections) if isinstance(projections, Iterable) and not isinstance(projections, str) else None
    if names is None or not all(isinstance(name, str) for name in names):
        msg = f"projections must be a list of names, not {type(projections).__name__}"
        raise InvalidInput(msg)
    return names


def _exceeds(value: float, limit: float | None) -> bool:
    return limit is not None and value > limit


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)


def _counted(number: int) -> str:
    return f"{number:,}" + (" or more" if number >= COUNTED_AT_MOST else "")
