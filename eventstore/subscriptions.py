"""Subscriptions: the global order as an iterator that continues with new events."""

import logging
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from sqlalchemy.exc import TimeoutError as PoolTimeout

from eventstore.backends.protocol import Driver
from eventstore.common.backoff import LONGEST_WITHOUT_CONNECTION, Backoff
from eventstore.common.error_type import error_type
from eventstore.core.global_order import GlobalOrder, Page
from eventstore.core.idle import IdleReader, IdleReaders
from eventstore.errors import DatabaseBusy, InvalidInput
from eventstore.events import RecordedEvent
from eventstore.filters import EventFilter
from eventstore.observer import Observer
from eventstore.tokens import After, PositionToken

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PollInterval:
    """How often a subscription polls, and after how long without events it ends; all in seconds."""

    shortest: float
    longest: float
    idle_timeout: float

    def __post_init__(self) -> None:
        if self.shortest > self.longest:
            msg = (
                f"shortest_interval_seconds ({self.shortest:g}) is longer than "
                f"longest_interval_seconds ({self.longest:g})"
            )
            raise InvalidInput(msg)


class Subscription:
    """All events after a position, those already stored and new ones, in the global order.

    Iterate over it in one thread. It ends after `stop`, or after a timeout if there is one; as a context manager it is
    closed at the end of the block. While it waits for events, one of the store's subscriptions polls for all. If the
    connection is lost or the server restarts, it retries until it succeeds, and continues where it was. Made by
    `EventStore.subscribe`.

    An event that can't be read raises `DecodingError` and is not skipped: the next iteration raises the same error
    until its cause is removed.
    """

    def __init__(
        self,
        order: GlobalOrder,
        driver: Driver,
        filters: Sequence[EventFilter],
        *,
        after: After,
        interval: PollInterval,
        idle_readers: IdleReaders,
        observer: Observer,
    ) -> None:
        self._order = order
        self._driver = driver
        self._filters = filters
        self._after = after
        self._last: RecordedEvent | None = None  # the last event yielded of an unfinished page
        self._newest = 0
        self._interval = interval
        self._backoff = Backoff(interval.shortest, interval.longest)
        self._idle_readers = idle_readers
        self._idle = IdleReader(self._backoff, lambda: self._stopped, driver.waiting.waker())
        self._observer = observer
        self._waiting_since: float | None = None
        self._stopped = self._has_worked = self._is_lost = False
        self._rows_left = 0
        self._events = self._read()

    @property
    def position(self) -> int:
        """The position that it has reached: that of the last event, or of a later one that did not match."""
        return self._after.position if self._last is None else self._last.position

    @property
    def token(self) -> PositionToken | None:
        """The position that it has reached, with the event there: the last event, or a later one that did not match.

        Keep it when you have handled an event, and subscribe after it next time. None if the subscription began after a
        bare position and has not read an event yet.
        """
        return self._after.token if self._last is None else self._last.token

    @property
    def is_within_page(self) -> bool:
        """Whether more events were read already; for the package itself, without any promise."""
        return self._rows_left > 0

    def stop(self) -> None:
        """End the iteration, at the next event or while waiting for it.

        Can be called from any thread, and from a signal handler.
        """
        self._stopped = True
        self._idle.waker.wake()

    def close(self) -> None:
        """Stop, and close the connection of notifications if no other subscription uses it.

        Call it from the thread that iterates.
        """
        self.stop()
        self._events.close()
        self._idle.waker.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> RecordedEvent:
        try:
            return next(self._events)
        except StopIteration:
            raise
        except BaseException:
            # A generator that has raised is exhausted, so the next call would look like the end. A new one continues.
            self._events = self._read()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _read(self) -> Generator[RecordedEvent]:
        with self._idle_readers.attending():
            yield from self._pages()

    def _pages(self) -> Iterator[RecordedEvent]:
        self._backoff.reset()
        self._rows_left = 0
        idle_since = time.monotonic()
        if self._last is not None:  # an error has ended the iteration within a page
            self._after, self._last = After(self._last.position, self._last.token), None
        while not self._stopped:
            page = self._next_page()
            if page is None:
                idle = time.monotonic() - idle_since
                if idle >= self._interval.idle_timeout:
                    return
                self._pause(self._interval.idle_timeout - idle)
                continue
            self._rows_left = len(page.rows)
            for row in page.rows:
                self._rows_left -= 1
                events = list(self._order.recorded([row]))
                for left, event in zip(range(len(events), 0, -1), events, strict=True):
                    if self._stopped:
                        return
                    if left == 1:  # the last of those that a splitter has made of the stored event
                        self._last = event
                    yield event
            self._after, self._last = page.after, None
            self._backoff.reset()
            if page.rows:
                idle_since = time.monotonic()

    def _next_page(self) -> Page | None:
        """Return the next page, None if there is nothing settled to read, or no connection."""
        try:
            horizon, page = self._order.step(self._filters, self._after)
        except Exception as error:
            # A first connection is not retried: a wrong password looks like a server that is starting.
            is_first = not self._has_worked and not isinstance(error, DatabaseBusy | PoolTimeout)
            if is_first or not self._driver.is_transient(error):
                raise
            if not self._is_lost:
                kind = error_type(error)
                _log.warning(
                    "a subscription has lost its connection (%s), and retries", kind, extra={"error_type": kind}
                )
            self._is_lost = True
            return None
        if self._is_lost:
            _log.info("a subscription has its connection back")
        self._has_worked, self._is_lost, self._newest = True, False, horizon.newest
        self._observe_waiting(is_over=page is not None)
        return page

    def _observe_waiting(self, *, is_over: bool) -> None:
        if is_over and self._waiting_since is not None:
            self._observer.waited(time.monotonic() - self._waiting_since)
            self._waiting_since = None
        elif not is_over and self._waiting_since is None and self._is_held_back:
            self._waiting_since = time.monotonic()

    @property
    def _is_held_back(self) -> bool:
        """Whether appends under way hold stored events back."""
        return self._newest > self._after.position

    def _pause(self, seconds_left: float) -> None:
        """Wait until there may be something to read, for at most the seconds that are left."""
        if self._is_lost:
            self._idle.waker.wait(min(self._backoff.pause(LONGEST_WITHOUT_CONNECTION), seconds_left))
            return
        self._idle_readers.wait(self._idle, self._after, newest=self._newest, seconds=seconds_left)
        if self._waiting_since is None:
            self._waiting_since = self._idle.held_back_since
