"""How the global order is read: settled events only, in keyset pages, each a query of its own."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from eventstore.backends.protocol import Row, Run
from eventstore.common.backoff import Backoff
from eventstore.common.validation import MAX_VERSION, check_flag, check_number, check_seconds
from eventstore.core.core import Core
from eventstore.core.settling import Horizon, check_loss
from eventstore.errors import SeveralServers
from eventstore.events import RecordedEvent
from eventstore.filters import EventFilter, combine
from eventstore.rows.mapper import EVENT_ID, POSITION, STREAM_ID, VERSION
from eventstore.statements.global_order import first_event_from
from eventstore.tokens import START, After, PositionToken

_SHORTEST_PAUSE_SECONDS: Final = 0.001
_LONGEST_PAUSE_SECONDS: Final = 0.05
_WINDOW_IN_PAGES: Final = 20


_ATTEMPTS_BY_SERVERS: Final = 5
"""A failover between a look and its page costs one or two attempts; more of them are no accident."""


@dataclass(frozen=True, slots=True)
class Page:
    """A part of the global order.

    Attributes:
        rows: The rows of the events that match, in order of position; `GlobalOrder.recorded` makes events of them.
        after: Everything up to here is among the rows, or does not match: read on after it.
        newest: The newest position when it was last looked how far the order is settled.
    """

    rows: Sequence[Row]
    after: After
    newest: int

    @property
    def position(self) -> int:
        """The position to read on after."""
        return self.after.position


class GlobalOrder:
    """Reads the global order of one store."""

    def __init__(self, core: Core) -> None:
        self._execution = core.execution
        self._dialect = core.dialect
        self._mapper = core.mapper
        self._settling = core.settling
        self._page_size = core.page_size
        self._observer = core.observer

    def settled_position(self) -> int:
        """Look once, and return how far the global order is settled."""
        with self._execution.global_reading() as run:
            return self.horizon(run).settled

    def read_all(
        self,
        filters: Sequence[EventFilter],
        *,
        after_position: int | PositionToken,
        limit: int | None,
        backwards: bool,
        wait_seconds: float,
        upcast: bool,
    ) -> Iterator[RecordedEvent]:
        """Check the arguments, and return an iterator that reads as it goes."""
        check_flag("backwards", backwards)
        check_flag("upcast", upcast)
        if backwards:
            rows = self._rows_backwards(
                combine(filters),
                After.of(after_position),
                MAX_VERSION if limit is None else check_number("limit", limit),
                check_seconds("wait_seconds", wait_seconds),
            )
            return self._mapper.recorded(
                rows, self._dialect.to_uuid, self._dialect.to_time, upcast=upcast, newest_first=True
            )
        pages = self.pages(filters, after_position=after_position, limit=limit, wait_seconds=wait_seconds)
        return (event for page in pages for event in self.recorded(page.rows, upcast=upcast))

    def pages(
        self,
        filters: Sequence[EventFilter],
        *,
        after_position: int | PositionToken | After,
        limit: int | None,
        wait_seconds: float,
        page_size: int | None = None,
    ) -> Iterator[Page]:
        """Check the arguments, and return an iterator over pages up to what is the newest position as it begins.

        `page_size` defaults to the store's own. `newest` of the first page is where it ends.
        """
        combined = combine(filters)
        after = After.of(after_position)
        remaining = MAX_VERSION if limit is None else check_number("limit", limit)
        check_seconds("wait_seconds", wait_seconds)
        size = self._page_size if page_size is None else page_size
        return self._pages(combined, after, remaining, size, wait_seconds)

    def horizon(self, run: Run, *, after: After = START, joined: bool | None = None) -> Horizon:
        """Look how far everything after a position is settled; see `Settling.horizon`.

        Args:
            run: Where to look; then read pages by statements that start after this has returned.
            after: What the reader has already.
            joined: Whether `run` is in a transaction that others may have begun and used. Defaults to None: as the
                store itself is.
        """
        return self._settling.horizon(
            run,
            after=after,
            joined=self._execution.is_joined if joined is None else joined,
            size=self._page_size,
        )

    def settled_after(self, run: Run, after: After) -> Horizon:
        """Return how far one can read after a position: without a look, if more than that is known to be settled."""
        known = self._settling.known()
        return self.horizon(run, after=after) if known is None or after.position >= known.settled else known

    def page(
        self,
        run: Run,
        filters: Sequence[EventFilter],
        *,
        after: After,
        horizon: Horizon,
        up_to_position: int = MAX_VERSION,
        page_size: int | None = None,
    ) -> Page | None:
        """Read one page, up to what a horizon has shown to be settled.

        The page's own statement confirms that the horizon holds, and that the reader's event is at its position.

        Args:
            run: Where to read.
            filters: What to read, as `combine` returns it; all events if there are none.
            after: Exclusive, and before `horizon.settled`.
            horizon: How far it is settled.
            up_to_position: Inclusive; read no further than this.
            page_size: How many events at most. Defaults to None: the store's own.

        Returns:
            The page. It may be empty, and not have come to `up_to_position`: go on after its position. None if the
            horizon does not hold here: another server has answered, or the log went back. Look again.

        Raises:
            LogWentBack: The log does not have the event any more that the reader knows.
        """
        if horizon.event is None:
            return None
        size = self._page_size if page_size is None else page_size
        up_to_position, end = min(horizon.settled, up_to_position), horizon.event
        if _names_two_fields(filters):
            # No index has two of the fields. If matches are few, the lookup of one field would go to the end, for every
            # page again. It ends at an event, by which the next page knows that what was passed is still what it was.
            window = after.position + self._page_size * _WINDOW_IN_PAGES
            if window < up_to_position:
                first = self._first_event_from(run, window)
                if first is None:  # the log went back
                    self._settling.forget()
                    return None
                up_to_position, end = min(up_to_position, first.position), first
        with self._observer.operation("read") as observed:
            header, rows = self._dialect.read_page(
                run,
                filters,
                after_position=after.position,
                up_to_position=up_to_position,
                page_size=size,
                settled_position=horizon.settled,
                token_position=0 if after.token is None else after.token.position,
            )
            observed.note(events=len(rows))
        if header.server != horizon.server or header.settled_id != horizon.event.event_id:
            self._settling.forget()
            return None
        if after.token is not None and header.token_id != after.token.event_id:
            check_loss(run, after.token, header.token_id)
        return Page(rows, self._end_of_page(rows, size, after, end, up_to_position), horizon.newest)

    def _end_of_page(
        self, rows: Sequence[Row], size: int, after: After, end: PositionToken, up_to_position: int
    ) -> After:
        """Return where to go on after a page, with the last event that is known there."""
        last = after.token if not rows else self.token_of(rows[-1])
        if len(rows) == size:
            return After(rows[-1][POSITION], last)
        if up_to_position == end.position:
            return After(up_to_position, end)
        return After(max(after.position, up_to_position), last)

    def _first_event_from(self, run: Run, position: int) -> PositionToken | None:
        for found, event_id, stream_id, version in run(first_event_from, position=position):
            return PositionToken(found, self._dialect.to_uuid(event_id), stream_id, version)
        return None

    def token_of(self, row: Row) -> PositionToken:
        """Return the token of an event's row."""
        return PositionToken(row[POSITION], self._dialect.to_uuid(row[EVENT_ID]), row[STREAM_ID], row[VERSION])

    def recorded(self, rows: Sequence[Row], *, upcast: bool = True) -> Iterator[RecordedEvent]:
        """Yield the events of rows. If upcasters split or drop events, a row has several, or none.

        Raises:
            DecodingError: The data can't be read, or does not fit the registered class.
        """
        return self._mapper.recorded(rows, self._dialect.to_uuid, self._dialect.to_time, upcast=upcast)

    def step(
        self,
        filters: Sequence[EventFilter],
        after: After,
        *,
        looks: bool = False,
        up_to_position: int = MAX_VERSION,
        page_size: int | None = None,
    ) -> tuple[Horizon, Page | None]:
        """Read the page after a position. Look how far it is settled, unless enough is known to be.

        Args:
            filters: As for `page`.
            after: Exclusive.
            looks: Whether to look in any case, to learn what is newest now.
            up_to_position: As for `page`.
            page_size: As for `page`.

        Returns:
            What was known of the horizon or seen by the look; and the page, None if nothing more is settled.

        Raises:
            SeveralServers: Look and page do not come to the same server.
        """
        with self._execution.global_reading() as run:
            for _ in range(_ATTEMPTS_BY_SERVERS):
                horizon = self.horizon(run, after=after) if looks else self.settled_after(run, after)
                if after.position >= min(horizon.settled, up_to_position):
                    return horizon, None
                page = self.page(
                    run, filters, after=after, horizon=horizon, up_to_position=up_to_position, page_size=page_size
                )
                if page is not None:
                    return horizon, page
        raise SeveralServers(_ATTEMPTS_BY_SERVERS)

    def _pages(
        self, filters: Sequence[EventFilter], after: After, remaining: int, size: int, wait_seconds: float
    ) -> Iterator[Page]:
        end, looks = MAX_VERSION, True
        waited, paused, backoff = 0.0, 0.0, Backoff(_SHORTEST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
        while remaining > 0 and (looks or after.position < end):
            horizon, page = self.step(filters, after, looks=looks, up_to_position=end, page_size=min(size, remaining))
            if looks:
                end, looks = horizon.newest, False
            if paused and (page is not None or waited >= wait_seconds):
                self._observer.waited(paused)
                paused = 0.0
            if page is not None:
                yield page
                remaining -= len(page.rows)
                after = page.after
                backoff.reset()
            elif after.position < end:
                if waited >= wait_seconds:
                    return
                begun = time.monotonic()
                time.sleep(min(backoff.pause(), wait_seconds - waited))
                elapsed = time.monotonic() - begun
                waited += elapsed
                paused += elapsed

    def _rows_backwards(
        self, filters: Sequence[EventFilter], after: After, remaining: int, wait_seconds: float
    ) -> Iterator[Row]:
        """Read down from the newest event, once everything up to it is settled: nothing appears there any more.

        It ends at a position, `after`, so a gap at or before that does not matter, as in a read forwards.
        """
        if remaining == 0:
            return
        horizon, up_to = self._settled_end(after, wait_seconds)
        while remaining > 0 and after.position < up_to:
            size = min(self._page_size, remaining)
            horizon, start, rows = self._page_before(filters, after, horizon, up_to, size)
            yield from reversed(rows)
            remaining -= len(rows)
            up_to = rows[0][POSITION] - 1 if len(rows) == size else start

    def _settled_end(self, after: After, wait_seconds: float) -> tuple[Horizon, int]:
        """Wait until what is newest now is settled, or the time is up; return where a read backwards begins."""
        newest, settled, waited, backoff = None, 0, 0.0, Backoff(_SHORTEST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
        began = time.monotonic()
        while True:
            with self._execution.global_reading() as run:
                horizon = self.horizon(run, after=after)
            newest = horizon.newest if newest is None else newest
            if horizon.settled >= newest or waited >= wait_seconds:
                if waited:
                    self._observer.waited(waited)
                return horizon, min(horizon.settled, newest)
            if horizon.settled == settled:
                time.sleep(min(backoff.pause(), wait_seconds - waited))
            settled, waited = horizon.settled, time.monotonic() - began

    def _page_before(
        self, filters: Sequence[EventFilter], after: After, horizon: Horizon, up_to_position: int, size: int
    ) -> tuple[Horizon, int, Sequence[Row]]:
        """Read the last rows after one position and up to another, in ascending order.

        Returns:
            The horizon that was confirmed, after which position was read, and the rows.

        Raises:
            LogWentBack: The log does not have the newest event any more that was settled when the read began.
            SeveralServers: Look and page do not come to the same server.
        """
        start = after.position
        if _names_two_fields(filters):
            start = max(start, up_to_position - self._page_size * _WINDOW_IN_PAGES)
        backoff = Backoff(_SHORTEST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
        for _ in range(_ATTEMPTS_BY_SERVERS):
            with self._execution.global_reading() as run:
                if horizon.event is not None and horizon.settled >= up_to_position:
                    with self._observer.operation("read") as observed:
                        header, rows = self._dialect.read_page(
                            run,
                            filters,
                            after_position=start,
                            up_to_position=up_to_position,
                            page_size=size,
                            settled_position=horizon.settled,
                            backwards=True,
                        )
                        observed.note(events=len(rows))
                    if header.server == horizon.server and header.settled_id == horizon.event.event_id:
                        return horizon, start, rows
                    self._settling.forget()
                # The look refuses if the event is gone, unless its stream was deleted.
                horizon = self.horizon(run, after=After(after.position, horizon.event))
            time.sleep(0 if horizon.settled >= up_to_position else backoff.pause())
        raise SeveralServers(_ATTEMPTS_BY_SERVERS)


def _names_two_fields(filters: Sequence[EventFilter]) -> bool:
    """Return whether no index has all that a filter names, so that a lookup may pass any number of events."""
    return any(len(filter_.named) > 1 for filter_ in filters)
