"""Periods of time, and where their events are in the global order.

Times do not ascend like positions: an import keeps the times of its events, and a clock can be set back. So the
database is asked for the lowest and the highest position of the period's events, by its index of times. Between these,
pages are read as always, and events of other times are left out.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple, Self

from eventstore.backends.protocol import Server
from eventstore.errors import InvalidInput

_ALWAYS: Final = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))


@dataclass(frozen=True, slots=True)
class Period:
    """A period of time.

    Attributes:
        since: Inclusive.
        before: Exclusive.
    """

    since: datetime
    before: datetime

    @classmethod
    def of(cls, recorded_since: object, recorded_before: object) -> Self | None:
        """Return the period; None if neither end is given.

        Raises:
            InvalidInput: One is not a datetime with a time zone, or nothing could be between them.
        """
        since, before = _checked("recorded_since", recorded_since), _checked("recorded_before", recorded_before)
        if since is None and before is None:
            return None
        period = cls(since or _ALWAYS[0], before or _ALWAYS[1])
        if period.since >= period.before:
            msg = "recorded_since must be before recorded_before, or else no event could match"
            raise InvalidInput(msg)
        return period

    def covers(self, time: datetime) -> bool:
        """Return whether a time is in the period."""
        return self.since <= time < self.before


def _checked(name: str, time: object) -> datetime | None:
    if time is not None and (not isinstance(time, datetime) or time.tzinfo is None):
        msg = f"{name} must be a datetime with a time zone, such as datetime.now(UTC)"
        raise InvalidInput(msg)
    return time


class Bounds(NamedTuple):
    """What to read.

    Attributes:
        after: Exclusive.
        up_to: Inclusive. Lower than `after` if there is nothing to read.
        reach: The position up to which there is nothing else of the period.
    """

    after: int
    up_to: int
    reach: int


class PeriodSearch:
    """What one read knows about where the events of its period are.

    A search reads all times of the period. So the read searches once, and again only where pages had no event of the
    period, so that the next one may be far away: after 1 such page, then after 2, 4, …, as searching may be futile.
    """

    def __init__(self, period: Period) -> None:
        self.period = period
        self._first, self._last = 1, 0
        self._reach: int | None = None
        self._server: Server | None = None
        self._detached: str | None = None
        self._patience, self._pages_without = 1, 0

    def is_due(self, server: Server, after: int, up_to: int) -> bool:
        """Return whether to search between two positions before the next page is read.

        What was found on another server is forgotten, because the log may have gone back.
        """
        is_beyond = self._reach is None or (up_to > self._reach and after >= self._last)
        return is_beyond or server != self._server or self._pages_without >= self._patience

    @property
    def detached(self) -> str | None:
        """The first part that was detached where the last search has searched, as JSON; None if there is none."""
        return self._detached

    def learn(self, server: Server, first: int | None, last: int | None, up_to: int, detached: str | None) -> None:
        """Remember the lowest and the highest position that were found, or that there are none."""
        self._detached = detached
        if self._pages_without:
            self._patience *= 2
        self._pages_without, self._reach, self._server = 0, up_to, server
        self._first, self._last = (1, 0) if first is None or last is None else (first, last)

    def bounds(self, after: int, up_to: int) -> Bounds:
        """Return which part to read of what is between two positions."""
        reach = up_to if self._reach is None else min(up_to, self._reach)
        return Bounds(max(after, self._first - 1), min(reach, self._last), reach)

    def note_page(self, *, rows: int, matching: int) -> None:
        """Note how many of the rows of a page are of the period."""
        if matching:
            self._pages_without = 0
        elif rows:
            self._pages_without += 1
