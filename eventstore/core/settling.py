"""How far the global order is settled: no event can appear at or before that position any more.

Positions are drawn in order, but transactions commit in any order, so a gap may belong to an append under way. An
append locks es_events before it draws a position, and holds the lock until its rows are visible. A log view reads the
newest position and the holders of that lock. Once all these holders have ended, no event can appear at or before that
position. Later holders do not matter. (docs/explanation/global-order.md)
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any
from uuid import UUID

from eventstore.backends.protocol import Dialect, LogView, Run, Server
from eventstore.common.after_fork import start_fresh_after_fork
from eventstore.common.locks import make_lock
from eventstore.common.single_flight import SingleFlight
from eventstore.core.detached import is_detached
from eventstore.errors import LogWentBack, PositionBeyondLog
from eventstore.statements.global_order import tombstone_after
from eventstore.tokens import START, After, PositionToken


@dataclass(frozen=True, slots=True)
class Horizon:
    """How far readers can read, from a log view.

    It is valid for one server, and as long as `event` stands at its position. Pages confirm both.

    Attributes:
        server: Which server has answered, from which table.
        event: The last event that is known to be settled, as is everything before it; None if there is none.
        newest: The newest position, at least `settled`. Between the two, appends are under way, or were a moment ago.
    """

    server: Server
    event: PositionToken | None
    newest: int

    @property
    def settled(self) -> int:
        """The position up to which everything is settled."""
        return 0 if self.event is None else self.event.position


@dataclass(frozen=True, slots=True)
class Look:
    """A log view, and the horizon that follows from it. Immutable, so that readers can share it."""

    view: LogView
    known: Horizon


class _Reach(Enum):
    """Whether the log has the event that a reader knows."""

    REACHED = "reached"
    NOT_YET = "not yet"
    """A standby has not replayed it."""

    MISSING = "missing"


@dataclass(slots=True)
class _Pending:
    newest: PositionToken
    waiting: frozenset[Any]
    number: int


class Settling:
    """Finds how far the global order is settled, and remembers it, for all readers of one store. Thread-safe.

    It takes a log view when it is called, and never waits for appends; the caller retries. Readers whose connections
    are alike share log views: one that asks while another's is under way uses the next one, together with all who have
    asked before it begins. It confirms the events of all of them.

    It remembers pairs of a position and the event at it. While an event is at its position on a server, the server's
    sequence is past it, and draws no position at or before it. Each log view reads which event is there now. If it is
    another event, or none, because of a failover, a restore, a crash that has lost commits, or a change of history, the
    memory is dropped. That costs one more log view, so a false alarm does no harm.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._shared: SingleFlight[Sequence[PositionToken | None], Look] = SingleFlight()
        self.start_fresh()
        start_fresh_after_fork(self)

    def start_fresh(self) -> None:
        """Forget everything, also the lock that another thread may have held when this process was forked."""
        self._lock = make_lock()
        self._server: Server | None = None
        self._settled: PositionToken | None = None
        self._views = 0
        self._pending: list[_Pending] = []

    def known(self) -> Horizon | None:
        """Return what is remembered, without a log view; None if nothing is."""
        with self._lock:
            if self._server is None or self._settled is None:
                return None
            return Horizon(self._server, self._settled, self._settled.position)

    def forget(self) -> None:
        """Drop what is remembered."""
        with self._lock:
            self._drop()

    def horizon(
        self, run: Run, *, after: After = START, joined: bool = False, shares: bool = False, size: int = 1000
    ) -> Horizon:
        """Return how far everything after a position is settled. Read by statements that start after this returns.

        Args:
            run: On a connection at READ COMMITTED or in AUTOCOMMIT.
            after: What the reader has already read. Gaps up to there do not matter to it.
            joined: Whether `run` is in the caller's transaction, which may be unsuitable.
            shares: Whether to share a log view with other readers, because `run` would see the same on the connection
                of each of them. Only a log view of its own says that the reader's event is missing.
            size: How many events after what is settled to inspect for a gap, if appends are under way.

        Raises:
            UnsuitableTransaction: The transaction does not see what others commit, or has itself appended.
            PositionCacheEnabled: The database does not draw positions one by one.
            PositionsBehind: The database draws positions that come before the newest event.
            UnloggedEvents: A crash would empty the log.
            LogWentBack: The log no longer has the event that the reader knows.
            PositionBeyondLog: The log has never reached the reader's position.
        """
        known, reach = self._reached(run, after, joined=joined, shares=shares)
        if reach is _Reach.NOT_YET or known.settled >= known.newest or after.position >= known.newest:
            return known
        # There may be a gap, but events that follow what is settled without a gap are settled, too.
        return self._extended(run, known, after, size)

    def find(self, run: Run, token: PositionToken, *, shares: bool, size: int = 1000) -> tuple[bool, Horizon]:
        """Return whether the log has an event, and how far it is settled.

        An event whose stream was deleted or archived later counts as one that the log has.

        Args:
            run: As for `horizon`.
            token: The event.
            shares: As for `horizon`.
            size: As for `horizon`.

        Raises:
            LogWentBack: The log does not have the event, and never will.
        """
        known, reach = self._reached(run, After(token.position, token), joined=False, shares=shares)
        if reach is not _Reach.NOT_YET and known.settled < token.position:
            known = self._extended(run, known, START, size)
        return reach is not _Reach.NOT_YET, known

    def _reached(self, run: Run, after: After, *, joined: bool, shares: bool) -> tuple[Horizon, _Reach]:
        """Take a log view, and return whether the log has the event that a reader knows.

        Raises:
            LogWentBack: The log no longer has it.
            PositionBeyondLog: The log has never reached the reader's position.
        """
        tokens = [after.token]
        look = self._shared_look(run, tokens) if shares else self._look(run, tokens, joined=joined)
        reach = _reach(after, look)
        if reach is _Reach.MISSING:
            # Only a second log view says so. A shared one may come from another server. And one that is taken during a
            # promotion may have the snapshot of a standby, from before the last replayed commits, and say "primary".
            look = self._look(run, tokens, joined=joined)
            reach = _reach(after, look)
        if reach is _Reach.MISSING:
            _check_missing(run, after, look)
        return look.known, reach

    def look_for(self, run: Run, readers: Sequence[After], *, shares: bool) -> tuple[Horizon, list[bool]]:
        """Take one log view for readers who wait for events.

        Args:
            run: As for `horizon`.
            readers: What each of them has already read.
            shares: As for `horizon`.

        Returns:
            The horizon, and for each reader whether to call `horizon` or read on: whether an event after its position
            may be settled, or its own event is missing.
        """
        tokens = [after.token for after in readers]
        look = self._shared_look(run, tokens) if shares else self._look(run, tokens)
        behind_gap: dict[int, bool] = {}
        ready = []
        for after in readers:
            reach, position = _reach(after, look), after.position
            is_held_back = reach is _Reach.REACHED and look.known.settled <= position < look.known.newest
            if is_held_back and position not in behind_gap:
                behind_gap[position] = self._dialect.following(run, after_position=position, size=1).last is None
            ready.append(
                reach is _Reach.MISSING
                or (reach is _Reach.REACHED and look.known.settled > position)
                or (is_held_back and not behind_gap[position])
            )
        return look.known, ready

    def _shared_look(self, run: Run, tokens: Sequence[PositionToken | None]) -> Look:
        return self._shared(tuple(tokens), lambda asked: self._look(run, [each for some in asked for each in some]))

    def _look(self, run: Run, tokens: Iterable[PositionToken | None], *, joined: bool = False) -> Look:
        """Take a log view that confirms all pairs in memory, and the events that readers know."""
        with self._lock:
            settled, views_before = self._settled, self._views
            pairs = [pending.newest for pending in self._pending]
        others = dict.fromkeys([*pairs, *(token for token in tokens if token is not None)])
        view = self._dialect.view_log(run, settled=settled, others=list(others), joined=joined)
        newest = 0 if view.newest is None else view.newest.position
        return Look(view, Horizon(view.server, self._learn(view, settled, views_before), newest))

    def _extended(self, run: Run, known: Horizon, after: After, size: int) -> Horizon:
        start = max(known.settled, after.position)
        following = self._dialect.following(run, after_position=start, size=size)
        last = following.last
        if last is None or following.server != known.server:
            return known
        if start == known.settled:
            if known.event is not None and following.id_before != known.event.event_id:
                return known  # the log has just gone back, which the page will detect
            with self._lock:
                if self._server == known.server and (self._settled is None or self._settled.position < last.position):
                    self._settled = last
        return Horizon(known.server, last, max(known.newest, last.position))

    def _learn(self, view: LogView, settled: PositionToken | None, views_before: int) -> PositionToken | None:
        """Remember a log view, and return the last event that is settled by it.

        Args:
            view: The log view.
            settled: The last settled event that was known when the view began.
            views_before: How many views were known by then.
        """
        with self._lock:
            if view.server != self._server or not _is_in_place(settled, view):
                self._drop()
                self._server = view.server
            earlier = [pending for pending in self._pending if pending.number <= views_before]
            if not all(_is_in_place(pending.newest, view) for pending in earlier):
                self._pending = []
            if view.unfinished is None:  # nothing is newer than what is settled, so the locks were not read
                return self._settled
            for pending in self._pending:
                # Other threads take log views, too. An append that is missing from this view has ended if an earlier
                # view has seen it; if only a later view has seen it, it may have begun since this one.
                if pending.number <= views_before:
                    pending.waiting = view.still_unfinished(pending.waiting)
            self._views += 1
            if view.newest is not None:
                self._pending.append(_Pending(view.newest, view.unfinished, self._views))
            ended = [pending.newest for pending in self._pending if not pending.waiting]
            settled_events = [*ended, *([] if self._settled is None else [self._settled])]
            self._settled = max(settled_events, key=lambda token: token.position, default=None)
            # Of several views that wait for the same appends, the one with the newest event is enough. A later view
            # waits for all appends that an earlier one waits for, so there are never more views than appends under way.
            self._pending.sort(key=lambda pending: pending.newest.position)
            by_waiting = {pending.waiting: pending for pending in self._pending}
            end = 0 if self._settled is None else self._settled.position
            self._pending = [pending for pending in by_waiting.values() if pending.newest.position > end]
            return self._settled

    def _drop(self) -> None:
        self._server, self._settled, self._pending = None, None, []


def _is_in_place(token: PositionToken | None, view: LogView) -> bool:
    return token is None or view.event_ids.get(token.position) == token.event_id


def _reach(after: After, look: Look) -> _Reach:
    """Return whether the log has reached the reader's position, as far as a look shows.

    On a standby an event may be missing at its position although there are later ones, because positions are not
    committed in order. The events after it must not be delivered as if nothing were missing.
    """
    view, token = look.view, after.token
    if token is None:
        is_beyond = after.position > look.known.newest and after.position > _drawn(look)
        return _Reach.MISSING if is_beyond and not view.server.in_recovery else _Reach.REACHED
    if _is_in_place(token, view):
        return _Reach.REACHED
    is_coming = view.server.in_recovery and look.known.settled < token.position
    return _Reach.NOT_YET if is_coming else _Reach.MISSING


def _drawn(look: Look) -> int:
    return max(look.known.newest, look.view.drawn or 0)


def _check_missing(run: Run, after: After, look: Look) -> None:
    """Return if the log explains why it has not reached the reader's position.

    Raises:
        LogWentBack: The event of the reader's token is gone.
        PositionBeyondLog: No event has ever had the reader's position.
    """
    if after.token is None:
        raise PositionBeyondLog(after.position, _drawn(look))
    check_loss(run, after.token, look.view.event_ids.get(after.token.position))


def check_loss(run: Run, token: PositionToken, found_id: UUID | None) -> None:
    """Return if the log explains why an event is gone: its stream was deleted or archived later, or it was detached.

    Args:
        run: On the same server.
        token: The event that is not at its position.
        found_id: The id of the event that is there; None if there is none.

    Raises:
        LogWentBack: The log does not explain it.
    """
    if found_id is None and (
        run(tombstone_after, stream_id=token.stream_id, version=token.version) or is_detached(run, token.position)
    ):
        return
    raise LogWentBack(token.position, token.event_id, found_id)
