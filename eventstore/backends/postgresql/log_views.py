"""What PostgreSQL shows of the end of the log, and which appends a reader has to wait for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from eventstore.backends.protocol import Server
from eventstore.tokens import PositionToken

RECOVERED: Final = "-1/"
"""How the virtual transaction id of a prepared transaction begins once it has lost its original one."""


@dataclass(frozen=True, slots=True)
class LogViewParts:
    """What all kinds of log views have; see `protocol.LogView`."""

    server: Server
    newest: PositionToken | None
    event_ids: Mapping[int, UUID]
    drawn: int | None


@dataclass(frozen=True, slots=True)
class PrimaryView(LogViewParts):
    """A log view on the primary: the locks of appends.

    Attributes:
        unfinished: The virtual transactions that hold the lock; None if the locks were not read.
    """

    unfinished: frozenset[str] | None

    def still_unfinished(self, waiting: frozenset[str]) -> frozenset[str]:
        """Return those that still hold the lock, under their old name or a new one.

        PREPARE TRANSACTION may rename a holder, from `3/45` to `-1/<transaction id>`; newer servers do so only when
        they are restarted. So if a holder has vanished, it may be any of the renamed ones. They are not renamed again.
        """
        if self.unfinished is None:
            return waiting
        remaining = waiting & self.unfinished
        if any(not name.startswith(RECOVERED) for name in waiting - remaining):
            remaining |= {name for name in self.unfinished if name.startswith(RECOVERED)}
        return remaining


@dataclass(frozen=True, slots=True)
class StandbyView(LogViewParts):
    """A log view on a standby: transaction ids, because the primary's locks are not visible there.

    An append gets its transaction id before its position, because it writes or locks the head first. So every append
    that has drawn a position below the newest visible one has an id below the next one that the standby knows.

    Attributes:
        oldest: The oldest transaction that is under way, as far as the standby has replayed.
        next_id: The id after the newest one that the standby has seen.
    """

    oldest: int
    next_id: int

    @property
    def unfinished(self) -> frozenset[Any]:
        """The next transaction id, which the oldest one has to reach; empty if it has, because all have ended then."""
        return frozenset({self.next_id} if self.oldest < self.next_id else ())

    def still_unfinished(self, waiting: frozenset[Any]) -> frozenset[Any]:
        """Return those that the oldest transaction has not reached."""
        return frozenset(next_id for next_id in waiting if self.oldest < next_id)
