"""How far the global order is settled: no event can appear at or before that position any more.

Positions are drawn in order, but transactions commit in any order. So a position that is missing may belong to an
append under way. An append locks es_events before it draws a position, and holds the lock until its rows can be seen.
So whoever looks at the newest position, and at the holders of the lock, knows: once all of these have ended, nothing
will appear at or before that position. Later holders do not matter. (docs/explanation/global-order.md)
"""

import threading
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from eventstore.backends.protocol import Dialect, Look, Run, Server
from eventstore.errors import LogWentBack, PositionBeyondLog
from eventstore.statements.global_order import closing_event_after
from eventstore.tokens import START, After, PositionToken


@dataclass(frozen=True, slots=True)
class Horizon:
    """How far one can read: what a look has shown.

    It holds for one server and as long as `event` stands at its position: pages confirm both.

    Attributes:
        server: Which server has shown it, and of which table.
        event: The last settled event: everything at or before its position is settled; None if nothing is known to be.
        newest: The newest position, at least `settled`. Between the two, appends are under way, or were a moment ago.
    """

    server: Server
    event: PositionToken | None
    newest: int

    @property
    def settled(self) -> int:
        """The position up to which everything is settled."""
        return 0 if self.event is None else self.event.position


@dataclass(slots=True)
class _Pending:
    newest: PositionToken
    waiting: frozenset[Any]
    number: int


class Settling:
    """Finds how far the global order is settled, and remembers it, for all readers of one store. Thread-safe.

    It looks when it is asked to and never waits: ask again.

    What it remembers is identified by the content of the log: pairs of a position and the event that stood there. While
    an event is at its position on a server, the server's sequence has passed it, and draws nothing at or before it.
    Each look reads what stands there now. If it is another event, or none, because of a failover, a restore, a crash
    that lost commits, or a change of history, the memory is dropped. That costs one look: false alarms do no harm.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._lock = threading.Lock()
        self._server: Server | None = None
        self._settled: PositionToken | None = None
        self._looks = 0
        self._pending: list[_Pending] = []

    def known(self) -> Horizon | None:
        """Return what is remembered, without a look; None if nothing is."""
        with self._lock:
            if self._server is None or self._settled is None:
                return None
            return Horizon(self._server, self._settled, self._settled.position)

    def forget(self) -> None:
        """Drop what is remembered."""
        with self._lock:
            self._drop()

    def horizon(self, run: Run, *, after: After = START, joined: bool = False, size: int = 1000) -> Horizon:
        """Look how far everything after a position is settled. Read by statements that start after this returns.

        Args:
            run: On a connection at READ COMMITTED or in AUTOCOMMIT.
            after: What the reader has already. Whatever is missing up to there does not matter to it.
            joined: Whether `run` is in a transaction of the caller's, which may be unsuitable.
            size: How many events after what is settled to inspect for a gap, where appends are under way.

        Raises:
            UnsuitableTransaction: The transaction would not see what others commit, or has itself appended.
            PositionCacheEnabled: The database does not draw positions one by one.
            PositionsBehind: It draws positions that come before the newest event.
            UnloggedEvents: A crash would empty the log.
            LogWentBack: The log does not have the event any more that the reader knows.
            PositionBeyondLog: The log has never come as far as the reader says to have read.
        """
        with self._lock:
            settled, looks_before = self._settled, self._looks
            pairs = [pending.newest for pending in self._pending]
        look = self._dialect.look(
            run, settled=settled, others=pairs if after.token is None else [*pairs, after.token], joined=joined
        )
        known = Horizon(
            look.server, self._learn(look, settled, looks_before), 0 if look.newest is None else look.newest.position
        )
        if not _has_come_to(run, after, look, known.settled):
            return known
        if known.settled >= known.newest or after.position >= known.newest:
            return known
        # Something is missing perhaps, but what follows without a gap is not behind anything.
        return self._extended(run, known, after, size)

    def _extended(self, run: Run, known: Horizon, after: After, size: int) -> Horizon:
        start = max(known.settled, after.position)
        following = self._dialect.following(run, after_position=start, size=size)
        last = following.last
        if last is None or following.server != known.server:
            return known
        if start == known.settled:
            if known.event is not None and following.id_before != known.event.event_id:
                return known  # the log has just gone back, and the page will find out
            with self._lock:
                if self._server == known.server and (self._settled is None or self._settled.position < last.position):
                    self._settled = last
        return Horizon(known.server, last, max(known.newest, last.position))

    def _learn(self, look: Look, settled: PositionToken | None, looks_before: int) -> PositionToken | None:
        """Take in a look that began when `settled` and so many looks were known; return what is settled by it."""
        with self._lock:
            if look.server != self._server or not _is_kept(settled, look):
                self._drop()
                self._server = look.server
            of_before = [pending for pending in self._pending if pending.number <= looks_before]
            if not all(_is_kept(pending.newest, look) for pending in of_before):
                self._pending = []
            if look.unfinished is None:  # nothing is newer than what is settled, so the locks were not read
                return self._settled
            for pending in self._pending:
                # Other threads look, too. Who is missing from this look has ended since an earlier one, but may have
                # begun since this one.
                if pending.number <= looks_before:
                    pending.waiting = look.still_unfinished(pending.waiting)
            self._looks += 1
            if look.newest is not None:
                self._pending.append(_Pending(look.newest, look.unfinished, self._looks))
            ended = [pending.newest for pending in self._pending if not pending.waiting]
            reached = [*ended, *([] if self._settled is None else [self._settled])]
            self._settled = max(reached, key=lambda token: token.position, default=None)
            # Of looks that wait for the same, the one that has seen most is enough. A later look waits for all that an
            # earlier one waits for. So there are never more looks than appends under way.
            self._pending.sort(key=lambda pending: pending.newest.position)
            by_waiting = {pending.waiting: pending for pending in self._pending}
            end = 0 if self._settled is None else self._settled.position
            self._pending = [pending for pending in by_waiting.values() if pending.newest.position > end]
            return self._settled

    def _drop(self) -> None:
        self._server, self._settled, self._pending = None, None, []


def _is_kept(token: PositionToken | None, look: Look) -> bool:
    return token is None or look.kept.get(token.position) == token.event_id


def _has_come_to(run: Run, after: After, look: Look, settled: int) -> bool:
    """Return whether the log has come as far as the reader; a standby may not have.

    On a standby an event may be missing at its position though there are later ones: positions are not committed in
    their order. What follows it must not be delivered as if nothing were missing.
    """
    token = after.token
    if token is None:
        newest = 0 if look.newest is None else look.newest.position
        if after.position > newest and not look.server.in_recovery:
            drawn = newest if look.drawn is None else max(newest, look.drawn)
            if after.position > drawn:
                raise PositionBeyondLog(after.position, drawn)
    elif not _is_kept(token, look):
        if look.server.in_recovery and settled < token.position:
            return False
        check_loss(run, token, look.kept.get(token.position))
    return True


def check_loss(run: Run, token: PositionToken, found: UUID | None) -> None:
    """Return if the log says itself why an event is gone: its stream was deleted or archived later.

    Args:
        run: Of the same server.
        token: The event that is not at its position.
        found: The id of the event that is there.

    Raises:
        LogWentBack: It does not.
    """
    if found is not None or not run(closing_event_after, stream_id=token.stream_id, version=token.version):
        raise LogWentBack(token.position, token.event_id, found)
