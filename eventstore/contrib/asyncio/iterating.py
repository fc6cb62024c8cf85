"""Asynchronous iterators over synchronous ones. What they read is read, and awaited, by the task that iterates."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Generic, Self, TypeVar

from eventstore.backends.tasks import spawn
from eventstore.errors import ReadInterrupted
from eventstore.events import RecordedEvent
from eventstore.subscriptions import Subscription
from eventstore.tokens import After, PositionToken

Item = TypeVar("Item")

_CHUNK: Final = 100
"""How many items to take at a time; between them, other tasks can run, even if all items are from one page."""


class AsyncIteration(Generic[Item]):
    """What `read_stream`, `read_all` and `list_streams` of an `AsyncEventStore` return: an asynchronous iterator.

    Each page is a separate query, as in the synchronous store: nothing is held open between two items, and you may stop
    at any of them. If the iteration is cancelled while it reads a page, its next item raises `ReadInterrupted`.
    """

    def __init__(self, items: Iterator[Item]) -> None:
        self._items: Iterator[Item] | None = items
        self._ready: deque[Item] = deque()
        self._error: Exception | None = None
        self._is_interrupted = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Item:
        if not self._ready and self._items is not None:
            await self._read(self._items)
        if self._ready:
            return self._ready.popleft()
        if self._is_interrupted:
            raise ReadInterrupted
        error, self._error = self._error, None
        raise StopAsyncIteration if error is None else error

    async def _read(self, items: Iterator[Item]) -> None:
        """Take the next items. A generator that is interrupted can't continue, and would look like the end."""
        self._items, self._is_interrupted = None, True
        await spawn(self._take, items)

    def _take(self, items: Iterator[Item]) -> None:
        try:
            for _ in range(_CHUNK):
                self._ready.append(next(items))
        except StopIteration:
            pass
        except Exception as error:  # noqa: BLE001  # raised after the items before it
            self._error = error
        else:
            self._items = items
        self._is_interrupted = False


@dataclass(frozen=True, slots=True)
class _Fetched:
    event: RecordedEvent
    reached: After


class AsyncSubscription:
    """All events after a position, those already stored and new ones, in the global order.

    Iterate over it in one task. It does what `Subscription` does, and its task lets others run while it waits. If it is
    cancelled, the connection is back in the pool; no event is lost, and the next iteration continues after the last
    event. Use it as an asynchronous context manager, or call `aclose`. Made by `AsyncEventStore.subscribe`.

    Example:
        ```python
        async with store.subscribe(after_position=token) as subscription:
            async for event in subscription:
                token = event.token
        ```
    """

    def __init__(self, subscription: Subscription) -> None:
        self._subscription = subscription
        self._ready: deque[_Fetched] = deque()
        self._reached = After(subscription.position, subscription.token)
        self._is_stopped = False

    @property
    def position(self) -> int:
        """As for `Subscription`: the position that it has reached."""
        return self._reached.position if self._ready else self._subscription.position

    @property
    def token(self) -> PositionToken | None:
        """As for `Subscription`: the position that it has reached, with the event there."""
        return self._reached.token if self._ready else self._subscription.token

    def stop(self) -> None:
        """End the iteration, at the next event or while waiting for it.

        Can be called from any task or thread, and from a signal handler.
        """
        self._is_stopped = True
        self._subscription.stop()

    async def aclose(self) -> None:
        """Stop, and close the connection of notifications if no other subscription uses it.

        Call it in the task that iterates.
        """
        await spawn(self._subscription.close)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> RecordedEvent:
        if not self._ready and not self._is_stopped:
            await spawn(self._fetch)
        if not self._ready or self._is_stopped:
            raise StopAsyncIteration
        fetched = self._ready.popleft()
        self._reached = fetched.reached
        return fetched.event

    def _fetch(self) -> None:
        """Wait for the next event, and take with it what was read already. If it is cancelled, what it has is kept."""
        subscription = self._subscription
        self._reached = After(subscription.position, subscription.token)
        while len(self._ready) < _CHUNK and (not self._ready or subscription.is_within_page):
            try:
                event = next(subscription, None)
            except Exception:
                if self._ready:  # they come first; the next call raises it again
                    return
                raise
            if event is None:
                return
            self._ready.append(_Fetched(event, After(subscription.position, subscription.token)))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()
