"""How the global order is read: settled events only, in keyset pages, each a query of its own."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import nlargest
from itertools import product
from typing import Final

from eventstore import statements
from eventstore.backends.protocol import Backend, Row, Run
from eventstore.events import RecordedEvent
from eventstore.execution import Execution
from eventstore.filters import EventFilter, combine
from eventstore.observing import Observer
from eventstore.rows import POSITION, EventMapper
from eventstore.settling import Horizon, Settling
from eventstore.streams import MAX_VERSION, check_flag, check_number, check_seconds

_FIRST_PAUSE_SECONDS: Final = 0.001
_LONGEST_PAUSE_SECONDS: Final = 0.05
_WINDOW_IN_PAGES: Final = 20


@dataclass(frozen=True, slots=True)
class Page:
    """A part of the global order.

    Attributes:
        rows: The rows of the events that match, in order of position; `GlobalOrder.recorded` makes events of them.
        position: Everything up to here is among the rows, or does not match: read on after it.
    """

    rows: Sequence[Row]
    position: int


class GlobalOrder:
    """Reads the global order of one store."""

    def __init__(
        self,
        execution: Execution,
        backend: Backend,
        mapper: EventMapper,
        settling: Settling,
        page_size: int,
        *,
        observer: Observer,
    ) -> None:
        self._execution = execution
        self._backend = backend
        self._mapper = mapper
        self._settling = settling
        self._page_size = page_size
        self._observer = observer

    def settled_position(self) -> int:
        """Look once, and return how far the global order is settled."""
        with self._execution.global_reading() as run:
            return self.horizon(run).settled

    def read_all(
        self,
        filters: Sequence[EventFilter],
        *,
        after_position: int,
        limit: int | None,
        wait_seconds: float,
        upcast: bool,
    ) -> Iterator[RecordedEvent]:
        """Check the arguments, and return an iterator that reads as it goes."""
        check_flag("upcast", upcast)
        pages = self.pages(filters, after_position=after_position, limit=limit, wait_seconds=wait_seconds)
        return (event for page in pages for event in self.recorded(page.rows, upcast=upcast))

    def pages(
        self,
        filters: Sequence[EventFilter],
        *,
        after_position: int,
        limit: int | None,
        wait_seconds: float,
        page_size: int | None = None,
    ) -> Iterator[Page]:
        """Check the arguments, and return an iterator over pages; `page_size` defaults to the store's own."""
        combined = combine(filters)
        check_number("after_position", after_position)
        remaining = MAX_VERSION if limit is None else check_number("limit", limit)
        check_seconds("wait_seconds", wait_seconds)
        size = self._page_size if page_size is None else page_size
        return self._pages(combined, after_position, remaining, size, wait_seconds)

    def position_before_last(self, count: int, filters: Sequence[EventFilter]) -> int:
        """Look up the newest of each value that the filters name, and of all these find the first of the last `count`.

        An event that several filters match has one position, and counts once.
        """
        check_number("count", count, minimum=1)
        newest: set[int] = set()
        with self._execution.statement() as run:
            for filter_ in combine(filters) or (EventFilter(),):
                fields = tuple(filter_.named)
                for values in product(*filter_.named.values()):
                    named = dict(zip(fields, values, strict=True))
                    rows = run(
                        statements.newest_matching(fields),
                        after_position=filter_.after_position,
                        page_size=count,
                        **named,
                    )
                    newest.update(row[0] for row in rows)
                    newest = set(nlargest(count, newest))
        return min(newest) - 1 if newest else 0

    def horizon(self, run: Run, *, after_position: int = 0, joined: bool | None = None) -> Horizon:
        """Look how far everything after a position is settled; see `Settling.horizon`.

        Args:
            run: Where to look; then read pages by statements that start after this has returned.
            after_position: What the reader has already.
            joined: Whether `run` is in a transaction that others may have begun and used. Defaults to None: as the
                store itself is.
        """
        return self._settling.horizon(
            run,
            after_position=after_position,
            joined=self._execution.is_joined if joined is None else joined,
            size=self._page_size,
        )

    def page(
        self,
        run: Run,
        filters: Sequence[EventFilter],
        *,
        after_position: int,
        up_to_position: int,
        page_size: int | None = None,
    ) -> Page:
        """Read one page.

        Args:
            run: Where to read.
            filters: What to read, as `combine` returns it; all events where there are none.
            after_position: Exclusive.
            up_to_position: Inclusive; a position that `horizon` has called settled.
            page_size: How many events at most. Defaults to None: the store's own.

        Returns:
            The page. It may be empty, and not have come to `up_to_position`: go on after its position.
        """
        size = self._page_size if page_size is None else page_size
        if any(len(filter_.named) > 1 for filter_ in filters):
            # No index has two of the fields. Where matches are few, the lookup of one field would go to the end, for
            # every page anew.
            up_to_position = min(up_to_position, after_position + self._page_size * _WINDOW_IN_PAGES)
        bounds = {"after_position": after_position, "up_to_position": up_to_position, "page_size": size}
        with self._observer.operation("read") as observed:
            rows = (
                self._backend.read_matching(run, filters, **bounds)
                if filters
                else run(statements.read_everything, **bounds)
            )
            observed.note(events=len(rows))
        return Page(rows, rows[-1][POSITION] if len(rows) == size else max(after_position, up_to_position))

    def recorded(self, rows: Sequence[Row], *, upcast: bool = True) -> Iterator[RecordedEvent]:
        """Yield the events of rows. Where upcasters split or drop events, a row has several, or none.

        Raises:
            DecodingError: The data can't be read, or does not fit the registered class.
        """
        return self._mapper.recorded(rows, self._backend.to_uuid, self._backend.to_time, upcast=upcast)

    def step(
        self,
        filters: Sequence[EventFilter],
        position: int,
        horizon: Horizon | None,
        *,
        up_to_position: int = MAX_VERSION,
        page_size: int | None = None,
    ) -> tuple[Horizon, Page | None]:
        """Read the page after a position; look at the horizon again where that has been reached, or is not known.

        Returns:
            The horizon, for the next step, and the page, None where nothing more is settled.
        """
        with self._execution.global_reading() as run:
            if horizon is None or position >= horizon.settled:
                horizon = self.horizon(run, after_position=position)
            end = min(horizon.settled, up_to_position)
            if position >= end:
                return horizon, None
            return horizon, self.page(run, filters, after_position=position, up_to_position=end, page_size=page_size)

    def _pages(
        self, filters: Sequence[EventFilter], position: int, remaining: int, size: int, wait_seconds: float
    ) -> Iterator[Page]:
        """Read up to what is the newest position now: the end does not move away while it is being read."""
        horizon, end = None, MAX_VERSION
        waited, paused, pause = 0.0, 0.0, _FIRST_PAUSE_SECONDS
        while remaining > 0 and position < end:
            horizon, page = self.step(filters, position, horizon, up_to_position=end, page_size=min(size, remaining))
            end = min(end, horizon.newest)
            if paused and (page is not None or waited >= wait_seconds):
                self._observer.waited(paused)
                paused = 0.0
            if page is not None:
                yield page
                remaining -= len(page.rows)
                position, pause = page.position, _FIRST_PAUSE_SECONDS
            elif position < end:
                if waited >= wait_seconds:
                    return
                begun = time.monotonic()
                time.sleep(min(pause, wait_seconds - waited))
                elapsed = time.monotonic() - begun
                waited += elapsed
                paused += elapsed
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
