"""Group commit: appends of several threads that wait are stored together, by one of these threads, the leader.

An append that finds a free place is stored at once, in the way of a single append. The others wait in a queue. A thread
that has finished hands its leadership on to the first that waits, which takes with it whatever else waits by then: the
longer a commit takes, the larger are the groups. No append waits for others to come.
"""

import threading
from collections.abc import Callable, Sequence
from copy import copy
from enum import Enum, auto
from typing import Final

from eventstore.backends.protocol import Grouping, GroupRefused
from eventstore.common.after_fork import start_fresh_after_fork
from eventstore.common.locks import make_lock
from eventstore.errors import AppendInterrupted
from eventstore.events import AppendResult
from eventstore.rows.mapper import PendingAppend

_MOST_EVENTS: Final = 10
_MOST_BYTES: Final = 65_536
"""The limits of one append; a larger one is stored alone, so that others do not wait for it."""

_MOST_EVENTS_OF_GROUP: Final = 200
_MOST_BYTES_OF_GROUP: Final = 1_048_576

Alone = Callable[[PendingAppend], AppendResult]
Together = Callable[[Sequence[PendingAppend]], Sequence[AppendResult | None]]


class _State(Enum):
    WAITING = auto()
    LEADING = auto()  # it has a place; if it has waited, it may not know that yet
    TAKEN = auto()  # a leader stores it, and wakes it in any case
    DONE = auto()
    GONE = auto()  # Ctrl-C has interrupted its thread; a leader stores it nevertheless


class _Member:
    """One append on its way through the queue."""

    __slots__ = ("awake", "group", "outcome", "pending", "size", "state", "stream_id")

    size: int
    """In bytes. Only those that may wait have this and the next."""

    awake: threading.Lock
    """Released to wake the thread."""

    def __init__(self, pending: PendingAppend) -> None:
        self.pending = pending
        self.stream_id = pending.stream_id
        self.state = _State.WAITING
        self.outcome: AppendResult | BaseException | None = None  # None: it is to be stored alone
        self.group = [self]  # what it stores as a leader

    def result(self) -> AppendResult | None:
        """Return the outcome, or raise it if it is an error."""
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome


class GroupCommit:
    """Stores the appends of one store's threads, those that wait for each other together.

    Appends to one stream are stored in the order in which their threads came, one in each group.

    Args:
        grouping: How many leaders the database can have, and how long an append waits for them.
        can_share: Returns whether another thread can store an append on its own connection. Called if it has to wait.
    """

    def __init__(self, grouping: Grouping, can_share: Callable[[], bool]) -> None:
        self._grouping = grouping
        self._can_share = can_share
        self.start_fresh()
        start_fresh_after_fork(self)

    def start_fresh(self) -> None:
        """Forget the parent's threads, whose appends wait: they are not in this process."""
        self._queue = _Queue(self._grouping)

    @property
    def waiting(self) -> int:
        """How many appends wait for a leader."""
        return len(self._queue.waiting)

    def append(self, pending: PendingAppend, *, alone: Alone, together: Together) -> AppendResult:
        """Store an append, alone or in a group; return its result.

        Args:
            pending: The append.
            alone: Stores one append, and raises what is wrong with it.
            together: Stores several appends to different streams. For each it returns the result, or None if it was not
                stored and is to be tried alone. It raises `GroupRefused` if all are to be tried alone.

        Raises:
            AppendInterrupted: The leader was interrupted, so that it is unknown whether the append was stored.
            Exception: What `alone` raises for this append, or what `together` has raised for the group.
        """
        queue, member = self._queue, _Member(pending)
        error: BaseException | None = None
        try:
            if queue.enter(member) or not (_is_small(member) and self._can_share()):
                return alone(pending)
            queue.wait(member)
            if len(member.group) > 1:
                queue.finish(member, _stored_together(member.group, together))
            result = member.result()
            return alone(pending) if result is None else result
        except BaseException as raised:
            error = raised
            raise
        finally:
            try:
                queue.leave(member, error)
            except BaseException:
                queue.leave(member, error)  # Ctrl-C has come while it left; to leave twice does no harm
                raise
            finally:
                del error  # its traceback refers to this frame


def _stored_together(group: Sequence[_Member], together: Together) -> Sequence[AppendResult | None]:
    try:
        return together([member.pending for member in group])
    except GroupRefused:
        return [None] * len(group)


def _is_small(member: _Member) -> bool:
    pending = member.pending
    if len(pending) > _MOST_EVENTS:
        return False
    member.size = sum(map(len, pending.data)) + sum(len(text) for text in pending.metadata if text is not None)
    return member.size <= _MOST_BYTES


class _Queue:
    """Who waits, who leads, and to which streams appends are under way.

    As long as a place is free, an append waits only for another one to the same stream. Each method leaves it like
    that.
    """

    def __init__(self, grouping: Grouping) -> None:
        self._places = grouping.leaders
        self._patience = grouping.patience_seconds
        self._lock = make_lock()
        self.waiting: dict[_Member, None] = {}  # in the order in which they came
        self._leaders: set[_Member] = set()
        self._under_way: dict[str, _Member] = {}

    def enter(self, member: _Member) -> bool:
        """Return whether the append can be stored at once. Then its thread is a leader until it leaves."""
        with self._lock:
            is_free = len(self._leaders) < self._places and member.stream_id not in self._under_way
            if is_free:
                self._lead(member)
        return is_free

    def wait(self, member: _Member) -> None:
        """Wait until the append has an outcome, or its thread is to store it.

        A leader may wait itself, for example for a head that a transaction of the application has locked, whose next
        step may wait in this very queue. So no append depends on the leaders for longer than its patience.
        """
        member.awake = threading.Lock()
        member.awake.acquire()
        with self._lock:
            self.waiting[member] = None
            self._hand_on()
        has_come = False
        while not has_come:
            is_awake = member.awake.acquire(timeout=self._patience)
            with self._lock:
                has_come = self._has_come(member, is_impatient=not is_awake)

    def _has_come(self, member: _Member, *, is_impatient: bool) -> bool:
        """Return whether the wait is over. A leader takes its group."""
        if member.state is _State.WAITING and is_impatient:
            if member.stream_id in self._under_way:  # as long as that one waits for the head, so will this one
                del self.waiting[member]
                return True
            self._leaders.clear()  # they have their appends to finish, but no places any more
            self._lead(member)
        if member.state is _State.LEADING:
            self.waiting.pop(member, None)
            self._take(member)
            self._hand_on()
            return True
        return member.state is _State.DONE

    def finish(self, leader: _Member, outcomes: Sequence[AppendResult | BaseException | None]) -> None:
        """Give the members of a group their outcomes, and hand the leadership on.

        A stream remains under way if its append is to be tried alone, so that the next one does not overtake it.
        """
        with self._lock:
            self._leaders.discard(leader)
            for member, outcome in zip(leader.group, outcomes, strict=True):
                self._settle(member, outcome)
            self._hand_on()
        for member in leader.group[1:]:
            _wake(member)

    def leave(self, member: _Member, error: BaseException | None) -> None:
        """Remove an append whose thread has its result or an error. It may have come to any point.

        Args:
            member: The append.
            error: What was raised. Those that the thread has taken and not stored get it, too.
        """
        if error is None and member.state is _State.DONE and member.outcome is not None:
            return  # nothing is left of it: its leader has seen to that
        with self._lock:
            if member.state is _State.TAKEN:
                member.state = _State.GONE
                return
            self._leaders.discard(member)
            self.waiting.pop(member, None)
            self._free(member)
            for each in member.group[1:]:
                if each.state in (_State.TAKEN, _State.GONE):
                    self.waiting.pop(each, None)
                    self._settle(each, _error_for(each, error))
            if self.waiting:
                self._hand_on()
        for each in member.group[1:]:
            _wake(each)

    def _lead(self, member: _Member) -> None:
        member.state = _State.LEADING
        self._leaders.add(member)
        self._under_way[member.stream_id] = member

    def _take(self, leader: _Member) -> None:
        """Add to the leader's group what waits, but for appends to streams to which one is under way."""
        events, size = len(leader.pending), leader.size
        for each in list(self.waiting):
            if each.state is not _State.WAITING or each.stream_id in self._under_way:
                continue
            events, size = events + len(each.pending), size + each.size
            if events > _MOST_EVENTS_OF_GROUP or size > _MOST_BYTES_OF_GROUP:
                return
            leader.group.append(each)  # first: who is TAKEN depends on its leader
            each.state = _State.TAKEN
            self._under_way[each.stream_id] = each
            del self.waiting[each]

    def _hand_on(self) -> None:
        """Appoint leaders for the places that are free, and wake them."""
        while len(self._leaders) < self._places and self.waiting:
            for each in self.waiting:
                if each.state is _State.WAITING and each.stream_id not in self._under_way:
                    self._lead(each)
                    _wake(each)
                    break
            else:
                return

    def _settle(self, member: _Member, outcome: AppendResult | BaseException | None) -> None:
        if outcome is not None or member.state is _State.GONE:
            self._free(member)
        member.outcome = outcome
        member.state = _State.DONE  # last: if Ctrl-C comes before, it is settled once more

    def _free(self, member: _Member) -> None:
        if self._under_way.get(member.stream_id) is member:
            del self._under_way[member.stream_id]


def _wake(member: _Member) -> None:
    if member.awake.locked():
        member.awake.release()


def _error_for(member: _Member, error: BaseException | None) -> BaseException:
    """Return an error of its own for a member of a group: each thread adds its traceback to the one that it raises."""
    if not isinstance(error, Exception):
        return AppendInterrupted(member.stream_id)
    try:
        own = copy(error)
    except Exception:  # noqa: BLE001  # an error that can't be copied is shared
        return error
    own.__cause__ = error.__cause__
    return own
