"""How far the global order is settled: no event can appear at or before that position any more.

Positions are drawn in order, but transactions commit in any order. So a position that is missing may belong to an
append under way. An append locks es_events before it draws a position, and holds the lock until its rows can be seen.
So whoever looks at the newest position, and at the holders of the lock, knows: once all of these have ended, nothing
will appear at or before that position. Later holders do not matter. (docs/explanation/global-order.md)
"""

import threading
from dataclasses import dataclass
from typing import Any

from eventstore import statements
from eventstore.backends.protocol import Backend, Look, Run


@dataclass(frozen=True, slots=True)
class Horizon:
    """How far one can read.

    Attributes:
        settled: The position up to which everything is settled, for whoever has read up to some position.
        newest: The newest position. Between the two, appends are under way, or were a moment ago.
    """

    settled: int
    newest: int


@dataclass(slots=True)
class _Pending:
    newest: int
    waiting: frozenset[Any]
    number: int


class Settling:
    """Finds how far the global order is settled, and remembers it, for all readers of one store. Thread-safe.

    It asks when it is asked and never waits: ask again.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._lock = threading.Lock()
        self._positions_are_checked = False
        self._server: object = None
        self._settled = 0
        self._looks = 0
        self._pending: list[_Pending] = []

    def horizon(self, run: Run, *, after_position: int = 0, joined: bool = False, size: int = 1000) -> Horizon:
        """Look how far everything after a position is settled. Read by statements that start after this returns.

        Args:
            run: On a connection at READ COMMITTED or in AUTOCOMMIT.
            after_position: What the reader has already. Whatever is missing up to there does not matter to it.
            joined: Whether `run` is in a transaction of the caller's, which may be unsuitable.
            size: How many events after what is settled to inspect for a hole, where appends are under way.

        Raises:
            UnsuitableTransaction: The transaction would not see what others commit, or has itself appended.
            CachedPositions: The database does not draw positions one by one.
        """
        if not self._positions_are_checked:
            self._backend.check_positions(run)
            self._positions_are_checked = True
        with self._lock:
            before, looks_before = self._settled, self._looks
        look = self._backend.look(run, settled=before, joined=joined)
        settled = self._learn(look, before, looks_before)
        if settled >= look.newest or after_position >= look.newest:
            return Horizon(settled, look.newest)
        # Something is missing perhaps, but what follows without a hole is not behind anything.
        start = max(settled, after_position)
        ((end,),) = run(statements.end_of_run, after_position=start, size=size)
        if start == settled:
            self._advance(look.server, end)
        return Horizon(end, look.newest)

    def _learn(self, look: Look, before: int, looks_before: int) -> int:
        """Take in a look that began when `before` was settled and so many looks were known; return what is settled."""
        with self._lock:
            if look.server != self._server or look.newest < before:  # another server, or one that has lost events
                self._server, self._settled, self._pending = look.server, 0, []
            for pending in self._pending:
                # Other threads look, too. Who is missing from this look has ended since an earlier one, but may have
                # begun since this one.
                if pending.number <= looks_before:
                    pending.waiting = look.still_unfinished(pending.waiting)
            self._looks += 1
            self._pending.append(_Pending(look.newest, look.unfinished, self._looks))
            self._settled = max([self._settled, *[seen.newest for seen in self._pending if not seen.waiting]])
            # Of looks that wait for the same, the one that has seen most is enough. A later look waits for all that an
            # earlier one waits for. So there are never more looks than appends under way.
            self._pending.sort(key=lambda seen: seen.newest)
            by_waiting = {seen.waiting: seen for seen in self._pending}
            self._pending = [seen for seen in by_waiting.values() if seen.newest > self._settled]
            return self._settled

    def _advance(self, server: object, position: int) -> None:
        with self._lock:
            if server == self._server:
                self._settled = max(self._settled, position)
