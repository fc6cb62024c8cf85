"""One call at a time, whose result is shared by all threads that asked before it began."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

from eventstore.common.after_fork import start_fresh_after_fork
from eventstore.common.locks import make_lock

Asked = TypeVar("Asked")
Result = TypeVar("Result")

_PATIENCE_SECONDS: Final = 1.0
"""How long to wait for another thread's call. A server that is slow or silent must not stop all because of one."""


class _Call(Generic[Asked, Result]):
    """A call that threads share.

    Attributes:
        asked: What each of the threads has asked for.
        leader: The thread that makes the call, once it has begun.
        overdue_at: When the others stop waiting for it.
        results: The result, once there is one.
        successor: The call that does what this one has not, because it has failed, or has taken too long.
    """

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.leader = 0
        self.overdue_at = 0.0
        self.results: list[Result] = []
        self.successor: _Call[Asked, Result] | None = None


class SingleFlight(Generic[Asked, Result]):
    """Makes one call at a time for all threads that ask for it. Thread-safe.

    A thread never gets the result of a call that had begun before it asked. If nothing is under way, it makes the call
    itself, as the leader. Otherwise it waits for the next call, which one of those who wait makes for all of them. If a
    leader fails, or is interrupted, only it gets the error, and one of the others leads.
    """

    def __init__(self) -> None:
        self.start_fresh()
        start_fresh_after_fork(self)

    def start_fresh(self) -> None:
        """Forget the calls of the parent's threads."""
        self._lock = make_lock()  # held by itself: Ctrl-C may come into the condition's `__exit__`
        self._changed = threading.Condition(self._lock)
        self._current: _Call[Asked, Result] | None = None
        self._next: _Call[Asked, Result] | None = None

    def __call__(self, asked: Asked, call: Callable[[Sequence[Asked]], Result]) -> Result:
        """Return the result of a call that begins after this.

        Args:
            asked: What this thread asks for.
            call: Makes the call. It takes what all have asked for who share it.
        """
        with self._lock:
            shared = self._join([asked])
            while not self._begins(shared):
                self._wait()
                if shared.results:
                    return shared.results[0]
                shared = shared.successor or shared
        result: list[Result] = []
        try:
            result.append(call(shared.asked))
        finally:
            self._end(shared, result)
        return result[0]

    def _join(self, asked: Sequence[Asked]) -> _Call[Asked, Result]:
        if self._next is None:
            self._next = _Call()
        self._next.asked.extend(asked)
        return self._next

    def _begins(self, shared: _Call[Asked, Result]) -> bool:
        """Return whether this thread makes the call, because no other is under way."""
        current = self._current
        if current is not None and current.leader == threading.get_ident():  # within its own call, by a hook
            self._abandon(current)
        if self._current is not None or shared is not self._next:
            return False
        shared.leader, shared.overdue_at = threading.get_ident(), time.monotonic() + _PATIENCE_SECONDS
        self._current, self._next = shared, None
        return True

    def _wait(self) -> None:
        current = self._current
        if current is None:
            return
        left = current.overdue_at - time.monotonic()
        if left > 0:
            self._changed.wait(left)
        else:
            self._abandon(current)

    def _abandon(self, current: _Call[Asked, Result]) -> None:
        if len(current.asked) > 1:
            current.successor = self._join(current.asked)
        self._current = None
        self._changed.notify_all()

    def _end(self, shared: _Call[Asked, Result], result: list[Result]) -> None:
        with self._lock:
            shared.results = result
            if self._current is not shared:  # it took too long
                return
            if not result:
                self._abandon(shared)
            self._current = None
            self._changed.notify_all()
