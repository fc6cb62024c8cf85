"""Waiting for events: one of the readers who wait looks for all of them."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from eventstore.backends.protocol import Driver, Listener
from eventstore.backends.waiting import Wakes
from eventstore.common.after_fork import start_fresh_after_fork
from eventstore.common.backoff import Backoff
from eventstore.common.error_type import error_type
from eventstore.common.locks import make_lock
from eventstore.core.execution import Execution
from eventstore.core.settling import Horizon, Settling
from eventstore.tokens import START, After

_log = logging.getLogger("eventstore.subscriptions")

_LONGEST_PAUSE_FOR_APPENDS: Final = 0.05
"""How long to wait between two polls, in seconds, while an append under way holds stored events back."""

_PAUSE_BEFORE_LISTENING_AGAIN: Final = 5.0

_PATIENCE_SECONDS: Final = 5.0
"""How long a poll may be overdue before another reader polls instead, because the one who should hangs."""

_left_by_parents: Final[list[Listener]] = []
"""Listeners of parent processes. If they were collected here, they would end the parents' sessions."""


class IdleReader:
    """A reader that has read all that is settled, and waits for more.

    Args:
        backoff: How long to wait between two polls.
        is_stopped: Returns whether the wait is to end. Wake the reader by its `waker` when that has changed.
        waker: Ends the wait.

    Attributes:
        waker: The same.
        after: What it has read.
        is_ready: Whether there may be something to read.
        due: When it asks for the next poll, by `time.monotonic`.
        held_back_since: Since when appends under way hold stored events back; None if they don't.
    """

    def __init__(self, backoff: Backoff, is_stopped: Callable[[], bool], waker: Wakes) -> None:
        self.backoff = backoff
        self.is_stopped = is_stopped
        self.waker = waker
        self.after = START
        self.is_ready = False
        self.due = 0.0
        self.held_back_since: float | None = None
        self._ready_at = 0  # how far the order was settled when it became ready

    def begin(self, after: After, newest: int, known: Horizon | None) -> None:
        """Begin a wait. It is over at once if more has been settled since the reader has looked.

        What has made the reader ready before does not do so again: it has found nothing to read, on another server.
        """
        self.after, self.is_ready, self.held_back_since = after, False, None
        self.schedule(newest)
        if known is not None and known.settled > after.position and known.settled != self._ready_at:
            self.make_ready(known.settled)

    def make_ready(self, settled: int) -> None:
        """End the wait.

        Args:
            settled: How far the order is known to be settled.
        """
        self.is_ready, self._ready_at = True, settled
        self.waker.wake()

    def schedule(self, newest: int) -> None:
        """Set when the next poll is due."""
        now, is_held_back = time.monotonic(), newest > self.after.position
        if is_held_back and self.held_back_since is None:
            self.held_back_since = now
        self.due = now + self.backoff.pause(_LONGEST_PAUSE_FOR_APPENDS if is_held_back else None)


class IdleReaders:
    """The readers of a store in one process who wait for events. Thread-safe.

    One of them, the leader, polls for all, in its own thread, as often as the one that asks for the shortest interval.
    It wakes those after whose position an event has been settled. A reader that leaves while it leads hands over to
    another. If a poll fails, all are woken, so that each meets the error by itself.

    Args:
        execution: Runs the polls.
        settling: Finds how far the order is settled.
        driver: Knows the meaning of errors.
        listen: Opens a connection on which the database notifies of appends, so that the leader polls at once; None to
            poll only.
    """

    def __init__(
        self, execution: Execution, settling: Settling, driver: Driver, listen: Callable[[], Listener] | None
    ) -> None:
        self._execution = execution
        self._settling = settling
        self._driver = driver
        self._listen = listen
        self._listener: Listener | None = None
        self.start_fresh()
        start_fresh_after_fork(self)

    def start_fresh(self) -> None:
        """Forget the parent's readers, and leave its listener alone."""
        if self._listener is not None:
            _left_by_parents.append(self._listener)
        self._listener = None
        self._lock = make_lock()
        self._waiting: set[IdleReader] = set()
        self._leader: IdleReader | None = None
        self._next_poll = 0.0
        self._attending = 0
        self._listen_again_at = 0.0
        self._is_lost = False  # since the last poll that has succeeded

    @contextmanager
    def attending(self) -> Iterator[None]:
        """Keep the connection of notifications open while at least one reader is in this block."""
        with self._lock:
            self._attending += 1
        try:
            yield
        finally:
            with self._lock:
                self._attending = max(self._attending - 1, 0)  # a child process does not count those of its parent
                unused, self._listener = (None, self._listener) if self._attending else (self._listener, None)
            if unused is not None:
                unused.close()

    def wait(self, reader: IdleReader, after: After, *, newest: int, seconds: float) -> None:
        """Wait until events after a position may be read.

        It also ends if the reader's own event is missing, if a poll has failed, if the reader is stopped, or after some
        time. So read on by `GlobalOrder.step` in any case.

        Args:
            reader: The reader, which attends.
            after: What it has read.
            newest: The newest position at its last look. If that is higher, appends under way hold it back.
            seconds: How long to wait at most.
        """
        end = time.monotonic() + seconds
        try:
            with self._lock:
                self._waiting.add(reader)
                reader.begin(after, newest, self._settling.known())
                if self._leader is not None and reader.due < self._next_poll:
                    self._leader.waker.wake()
            while not (reader.is_ready or reader.is_stopped() or time.monotonic() >= end):
                self._take_turn(reader, end)
        finally:
            self._leave(reader)

    def _take_turn(self, reader: IdleReader, end: float) -> None:
        """Poll once for all, when it is time, if no other reader does; otherwise sleep until woken."""
        with self._lock:
            now = time.monotonic()
            if self._leader is None or now > self._next_poll + _PATIENCE_SECONDS:
                self._leader = reader
            leads = self._leader is reader
            if leads:
                self._next_poll = min(each.due for each in self._waiting)
            poll_at = self._next_poll
        if not leads:
            reader.waker.wait(min(end, poll_at + _PATIENCE_SECONDS) - now)
            return
        if self._sleep(reader, min(end, poll_at) - now):
            poll_at = 0.0
            with self._lock:  # should this reader leave instead, its successor polls
                for each in self._waiting:
                    each.backoff.reset()
                    each.due = poll_at
        if not reader.is_stopped() and time.monotonic() >= poll_at:
            self._poll()

    def _leave(self, reader: IdleReader) -> None:
        with self._lock:
            self._waiting.discard(reader)
            if self._leader is reader:
                self._leader = None
            if self._leader is None:
                successor = next((each for each in self._waiting if not each.is_ready), None)
                if successor is not None:
                    successor.waker.wake()

    def _poll(self) -> None:
        with self._lock:
            readers = list(self._waiting)
            asked = [reader.after for reader in readers]
        found = self._look(asked)
        with self._lock:
            if found is None:
                for reader in self._waiting:
                    reader.make_ready(0)
                return
            known, ready = found
            for reader in self._waiting:  # those that have begun since, too: soon, if they have not read the newest
                reader.schedule(known.newest)
            for reader in [reader for reader, is_ready in zip(readers, ready, strict=True) if is_ready]:
                reader.make_ready(known.settled)

    def _look(self, asked: Sequence[After]) -> tuple[Horizon, list[bool]] | None:
        """Return what `Settling.look_for` does; None if it has failed."""
        try:
            with self._execution.global_reading() as run:
                found = self._settling.look_for(run, asked, shares=self._execution.shares_reads)
        except Exception as error:  # noqa: BLE001  # each reader reads on, meets it by itself, and decides
            if not self._is_lost and self._driver.is_transient(error):
                kind = error_type(error)
                _log.warning(
                    "the poll of the subscriptions has lost its connection (%s), and retries",
                    kind,
                    extra={"error_type": kind},
                )
                self._is_lost = True
            return None
        self._is_lost = False
        return found

    # --- notifications

    def _sleep(self, reader: IdleReader, seconds: float) -> bool:
        """Sleep, unless woken; return whether a notification has come, or may have come before there was a listener."""
        before, listener = self._listener, self._listening()
        if listener is not before:
            return True
        if listener is None:
            reader.waker.wait(seconds)
            return False
        try:
            reader.waker.wait(seconds, listener)
            return listener.drain()
        except Exception as error:
            if not self._driver.is_transient(error):
                raise
            kind = error_type(error)
            _log.warning(
                "subscriptions have lost their notifications (%s), and poll until they have reconnected",
                kind,
                extra={"error_type": kind},
            )
            self._listener = None
            listener.close()
            return False

    def _listening(self) -> Listener | None:
        """Return the listener; if it was lost some time ago, open a new one. Polling continues meanwhile."""
        if self._listen is not None and self._listener is None and time.monotonic() >= self._listen_again_at:
            self._listen_again_at = time.monotonic() + _PAUSE_BEFORE_LISTENING_AGAIN
            try:
                listener = self._listen()
            except Exception as error:
                if not self._driver.is_transient(error):
                    raise
            else:
                self._listener = listener
        return self._listener
