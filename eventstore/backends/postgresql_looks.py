"""What a look at PostgreSQL's global order has seen, and which appends it has to wait for."""

from dataclasses import dataclass
from typing import Final

_RECOVERED: Final = "-1/"
"""How the virtual transaction of a prepared transaction begins, where it has lost the one it was begun with."""


@dataclass(frozen=True, slots=True)
class PrimaryLook:
    """A look at the locks of appends.

    Attributes:
        newest: The largest position that could be seen.
        server: When the server was started.
        unfinished: The virtual transactions that hold the lock.
    """

    newest: int
    server: object
    unfinished: frozenset[str]

    def still_unfinished(self, waiting: frozenset[str]) -> frozenset[str]:
        """Return those that still hold the lock, under whichever name.

        PREPARE TRANSACTION may rename a holder, from `3/45` to `-1/<transaction id>`; newer servers do so only when
        they are started again. So where one has vanished, it may be any of the renamed. They are not renamed again.
        """
        remaining = waiting & self.unfinished
        if any(not name.startswith(_RECOVERED) for name in waiting - remaining):
            remaining |= {name for name in self.unfinished if name.startswith(_RECOVERED)}
        return remaining


@dataclass(frozen=True, slots=True)
class StandbyLook:
    """A look at transaction ids, on a standby, where the primary's locks do not show.

    An append has its transaction id before its position: it writes or locks the head first. So whoever drew a position
    below the newest one, visible here, has an id below the next one, known here.

    Attributes:
        newest: The largest position that could be seen.
        server: When the standby was started.
        oldest: The oldest transaction that is under way, as far as the standby has come.
        next_id: The id that follows the newest one it has heard of.
    """

    newest: int
    server: object
    oldest: int
    next_id: int

    @property
    def unfinished(self) -> frozenset[int]:
        """The next transaction id, unless all before it have ended: wait until the oldest one has reached it."""
        return frozenset({self.next_id} if self.oldest < self.next_id else ())

    def still_unfinished(self, waiting: frozenset[int]) -> frozenset[int]:
        """Return those that the oldest transaction has not reached."""
        return frozenset(next_id for next_id in waiting if self.oldest < next_id)
