"""What a look at PostgreSQL's global order has seen, and which appends it has to wait for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from eventstore.backends.protocol import Server
from eventstore.tokens import PositionToken

_RECOVERED: Final = "-1/"
"""How the virtual transaction of a prepared transaction begins, if it has lost the one it was begun with."""


@dataclass(frozen=True, slots=True)
class _Look:
    """What both kinds of looks have seen: see `protocol.Look`."""

    server: Server
    newest: PositionToken | None
    kept: Mapping[int, UUID]
    drawn: int | None


@dataclass(frozen=True, slots=True)
class PrimaryLook(_Look):
    """A look at the locks of appends.

    Attributes:
        unfinished: The virtual transactions that hold the lock; None if the locks were not read.
    """

    unfinished: frozenset[str] | None

    def still_unfinished(self, waiting: frozenset[str]) -> frozenset[str]:
        """Return those that still hold the lock, under whichever name.

        PREPARE TRANSACTION may rename a holder, from `3/45` to `-1/<transaction id>`; newer servers do so only when
        they are started again. So where one has vanished, it may be any of the renamed. They are not renamed again.
        """
        if self.unfinished is None:
            return waiting
        remaining = waiting & self.unfinished
        if any(not name.startswith(_RECOVERED) for name in waiting - remaining):
            remaining |= {name for name in self.unfinished if name.startswith(_RECOVERED)}
        return remaining


@dataclass(frozen=True, slots=True)
class StandbyLook(_Look):
    """A look at transaction ids, on a standby, where the primary's locks do not show.

    An append has its transaction id before its position: it writes or locks the head first. So whoever drew a position
    below the newest one, visible here, has an id below the next one, known here.

    Attributes:
        oldest: The oldest transaction that is under way, as far as the standby has come.
        next_id: The id that follows the newest one it has heard of.
    """

    oldest: int
    next_id: int

    @property
    def unfinished(self) -> frozenset[Any]:
        """The next transaction id, unless all before it have ended: wait until the oldest one has reached it."""
        return frozenset({self.next_id} if self.oldest < self.next_id else ())

    def still_unfinished(self, waiting: frozenset[Any]) -> frozenset[Any]:
        """Return those that the oldest transaction has not reached."""
        return frozenset(next_id for next_id in waiting if self.oldest < next_id)
