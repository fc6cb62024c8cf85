"""How the global order is read: settled events only, in pages by position, each a separate query."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final, TypeVar

from eventstore.backends.protocol import PageHeader, Row, Run
from eventstore.common.backoff import Backoff
from eventstore.common.validation import MAX_VERSION, check_flag, check_number, check_seconds
from eventstore.core.core import Core
from eventstore.core.detached import history_detached
from eventstore.core.period import Bounds, Period, PeriodSearch
from eventstore.core.settling import Horizon, check_loss
from eventstore.errors import SeveralServers
from eventstore.events import RecordedEvent
from eventstore.filters import TAGS, EventFilter, combine
from eventstore.partitions import Partition
from eventstore.rows.mapper import EVENT_ID, POSITION, RECORDED_AT, STREAM_ID, VERSION
from eventstore.statements.global_order import first_event_from
from eventstore.tokens import START, After, PositionToken

Result = TypeVar("Result")

_SHORTEST_PAUSE_SECONDS: Final = 0.001
_LONGEST_PAUSE_SECONDS: Final = 0.05
_WINDOW_IN_PAGES: Final = 20


_ATTEMPTS_BY_SERVERS: Final = 5
"""A failover between a log view and its page costs one or two attempts. More mean that there are several servers."""


@dataclass(frozen=True, slots=True)
class Page:
    """A part of the global order.

    Attributes:
        rows: The rows of the events that match, in order of position. `GlobalOrder.recorded` makes events from them.
        after: Where to continue. All events up to there are among the rows, or do not match.
        newest: The newest position of the last log view.
    """

    rows: Sequence[Row]
    after: After
    newest: int

    @property
    def position(self) -> int:
        """The position to continue after."""
        return self.after.position


class GlobalOrder:
    """Reads the global order of one store."""

    def __init__(self, core: Core) -> None:
        self._execution = core.execution
        self._dialect = core.dialect
        self._mapper = core.mapper
        self._settling = core.settling
        self._tags_gate = core.tags_gate
        self._page_size = core.page_size
        self._observer = core.observer
        self._pause = core.driver.waiting.pause

    def settled_position(self) -> int:
        """Return how far the global order is settled, by one log view."""
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
        up_to_position: int | None = None,
        period: Period | None = None,
    ) -> Iterator[RecordedEvent]:
        """Check the arguments, and return an iterator that reads page by page."""
        check_flag("backwards", backwards)
        check_flag("upcast", upcast)
        if backwards:
            rows = self.rows_backwards(
                combine(filters),
                After.of(after_position),
                _position_or_last(up_to_position),
                MAX_VERSION if limit is None else check_number("limit", limit),
                wait_seconds=check_seconds("wait_seconds", wait_seconds),
                search=None if period is None else PeriodSearch(period),
            )
            return self._mapper.recorded(
                rows, self._dialect.to_uuid, self._dialect.to_time, upcast=upcast, newest_first=True
            )
        pages = self.pages(
            filters,
            after_position=after_position,
            limit=limit,
            wait_seconds=wait_seconds,
            up_to_position=up_to_position,
            period=period,
        )
        return (event for page in pages for event in self.recorded(page.rows, upcast=upcast))

    def pages(
        self,
        filters: Sequence[EventFilter],
        *,
        after_position: int | PositionToken | After,
        limit: int | None,
        wait_seconds: float,
        page_size: int | None = None,
        up_to_position: int | None = None,
        period: Period | None = None,
    ) -> Iterator[Page]:
        """Check the arguments, and return an iterator over pages, up to the position that is newest when it begins.

        `page_size` defaults to the store's. `newest` of the first page is the position at which it ends, unless
        `up_to_position` is lower.
        """
        combined = combine(filters)
        after = After.of(after_position)
        remaining = MAX_VERSION if limit is None else check_number("limit", limit)
        check_seconds("wait_seconds", wait_seconds)
        size = self._page_size if page_size is None else page_size
        last, search = _position_or_last(up_to_position), None if period is None else PeriodSearch(period)
        return self._pages(combined, after, remaining, size, wait_seconds=wait_seconds, end=last, search=search)

    def count(
        self,
        filters: Sequence[EventFilter],
        *,
        after_position: int | PositionToken,
        up_to_position: int | None,
        wait_seconds: float,
        period: Period | None,
    ) -> int:
        """Return how many stored events `read_all` would read with the same arguments."""
        combined, after, last = combine(filters), After.of(after_position), _position_or_last(up_to_position)
        horizon, up_to = self._settled_end(after, last, check_seconds("wait_seconds", wait_seconds))
        times = None if period is None else (period.since, period.before)

        def read(run: Run, horizon: Horizon) -> tuple[PageHeader, tuple[int, str | None]]:
            header, number = self._dialect.count_events(
                run,
                combined,
                after_position=after.position,
                up_to_position=up_to,
                settled_position=horizon.settled,
                period=times,
            )
            return header, (number, header.detached)

        if up_to <= after.position:
            return 0
        _, (number, detached) = self._confirmed(read, combined, after, horizon, up_to)
        if detached is not None:
            raise history_detached(detached)
        return number

    def horizon(self, run: Run, *, after: After = START, joined: bool | None = None, alone: bool = False) -> Horizon:
        """Return how far everything after a position is settled, by a log view; see `Settling.horizon`.

        Args:
            run: Takes the log view. Read pages by statements that start after this has returned.
            after: What the reader has already read.
            joined: Whether `run` is in a joined transaction. Defaults to None: if the store is joined.
            alone: Whether not to share the log view with other readers. A log view that is shared comes from the
                connection of one of them, so behind a pooler or in a failover it may be from another server.
        """
        joined = self._execution.is_joined if joined is None else joined
        return self._settling.horizon(
            run,
            after=after,
            joined=joined,
            shares=not joined and not alone and self._execution.shares_reads,
            size=self._page_size,
        )

    def settled_after(self, run: Run, after: After, *, alone: bool = False) -> Horizon:
        """Return how far a reader can read after a position, without a log view if more is known to be settled."""
        known = self._settling.known()
        if known is None or after.position >= known.settled:
            return self.horizon(run, after=after, alone=alone)
        return known

    def page(
        self,
        run: Run,
        filters: Sequence[EventFilter],
        *,
        after: After,
        horizon: Horizon,
        up_to_position: int = MAX_VERSION,
        page_size: int | None = None,
        search: PeriodSearch | None = None,
        partition: Partition | None = None,
    ) -> Page | None:
        """Read one page, up to the horizon.

        The statement of the page confirms that the horizon is valid, and that the reader's event is at its position.

        Args:
            run: Reads the page.
            filters: The filters, as `combine` returns them; all events match if there are none.
            after: Exclusive, and before `horizon.settled`.
            horizon: How far the order is settled.
            up_to_position: Inclusive; read no further than this.
            page_size: How many events at most. Defaults to None: the store's page size.
            search: Leave out events that are not of its period. Defaults to None: all are read.
            partition: Read only events of the streams in this partition. Defaults to None: of all streams.

        Returns:
            The page. It may be empty and end before `up_to_position`; continue after its position. None if the horizon
            is not valid, because another server has answered or the log went back; take another log view.

        Raises:
            LogWentBack: The log no longer has the event that the reader knows.
            HistoryDetached: Events after the position are in a part that was detached.
        """
        if horizon.event is None:
            return None
        if any(filter_.tags is not None for filter_ in filters):
            self._tags_gate(run)
        size = self._page_size if page_size is None else page_size
        up_to_position, end = min(horizon.settled, up_to_position), horizon.event
        start, read_to = after.position, up_to_position
        if search is not None:
            if not self._searched(run, search, horizon, start, up_to_position):
                return None
            start, read_to, up_to_position = search.bounds(start, up_to_position)
        if partition is not None or _names_two_fields(filters):
            # No index has two of the fields, or partitions. If there are few matches, the lookup of one field would
            # read to the end of the log for each page, so a window bounds it. The window ends at an event, so that the
            # next page can confirm that the log before it has not changed.
            window = self._window(run, start, up_to_position, end)
            if window is None:
                return None
            up_to_position, end = window
        with self._observer.operation("read") as observed:
            header, rows = self._dialect.read_page(
                run,
                filters,
                after_position=start,
                up_to_position=min(read_to, up_to_position),
                page_size=size,
                settled_position=horizon.settled,
                token_position=0 if after.token is None else after.token.position,
                partition=partition,
            )
            observed.note(events=len(rows))
        if header.server != horizon.server or header.settled_id != horizon.event.event_id:
            self._settling.forget()
            return None
        detached = header.detached if search is None else search.detached or header.detached
        if detached is not None:
            raise history_detached(detached)
        if after.token is not None and header.token_id != after.token.event_id:
            check_loss(run, after.token, header.token_id)
        end_of_page = self._end_of_page(rows, size, after, end, up_to_position)
        chosen = rows if search is None and partition is None else self._chosen(rows, search, partition)
        return Page(chosen, end_of_page, horizon.newest)

    def _window(
        self, run: Run, start: int, up_to_position: int, end: PositionToken
    ) -> tuple[int, PositionToken] | None:
        """Return how far to read a page at most, and the last known event there; None if the log went back."""
        window = start + self._page_size * _WINDOW_IN_PAGES
        if window >= up_to_position:
            return up_to_position, end
        first = self._first_event_from(run, window)
        if first is None:
            self._settling.forget()
            return None
        return min(up_to_position, first.position), first

    def _searched(
        self, run: Run, search: PeriodSearch, horizon: Horizon, after_position: int, up_to_position: int
    ) -> bool:
        """Search for the events of a period if that is due; return whether the horizon is still valid."""
        if not search.is_due(horizon.server, after_position, up_to_position):
            return True
        header, first, last = self._dialect.extent_of_period(
            run,
            recorded_since=search.period.since,
            recorded_before=search.period.before,
            after_position=after_position,
            up_to_position=up_to_position,
            settled_position=horizon.settled,
        )
        if not _confirms(header, horizon):
            self._settling.forget()
            return False
        search.learn(horizon.server, first, last, up_to_position, header.detached)
        return True

    def _chosen(self, rows: Sequence[Row], search: PeriodSearch | None, partition: Partition | None) -> Sequence[Row]:
        if search is not None:
            rows = self._of_period(rows, search)
        if partition is not None and not self._dialect.filters_partitions:
            rows = [row for row in rows if partition.has(row[STREAM_ID])]
        return rows

    def _of_period(self, rows: Sequence[Row], search: PeriodSearch) -> Sequence[Row]:
        covers, to_time = search.period.covers, self._dialect.to_time
        matching = [row for row in rows if covers(to_time(row[RECORDED_AT]))]
        search.note_page(rows=len(rows), matching=len(matching))
        return matching

    def _end_of_page(
        self, rows: Sequence[Row], size: int, after: After, end: PositionToken, up_to_position: int
    ) -> After:
        """Return where to continue after a page, with the last event that is known there."""
        last = after.token if not rows else self.token_of(rows[-1])
        if len(rows) == size:
            return After(rows[-1][POSITION], last)
        if up_to_position == end.position:
            return After(up_to_position, end)
        return After(max(after.position, up_to_position), last)

    def _first_event_from(self, run: Run, position: int) -> PositionToken | None:
        for at, event_id, stream_id, version in run(first_event_from, position=position):
            return PositionToken(at, self._dialect.to_uuid(event_id), stream_id, version)
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
        refresh: bool = False,
        up_to_position: int = MAX_VERSION,
        page_size: int | None = None,
        search: PeriodSearch | None = None,
    ) -> tuple[Horizon, Page | None]:
        """Read the page after a position. Take a log view first, unless more is known to be settled.

        Args:
            filters: As for `page`.
            after: Exclusive.
            refresh: Whether to take a log view in any case, to learn the newest position.
            up_to_position: As for `page`.
            page_size: As for `page`.
            search: As for `page`.

        Returns:
            The horizon, and the page; None in place of the page if nothing more is settled.

        Raises:
            SeveralServers: The log view and the page came from different servers, several times in a row.
        """
        with self._execution.global_reading() as run:
            for attempt in range(_ATTEMPTS_BY_SERVERS):
                look = self.horizon if refresh else self.settled_after
                horizon = look(run, after=after, alone=attempt > 0)
                if after.position >= min(horizon.settled, up_to_position):
                    return horizon, None
                page = self.page(
                    run,
                    filters,
                    after=after,
                    horizon=horizon,
                    up_to_position=up_to_position,
                    page_size=page_size,
                    search=search,
                )
                if page is not None:
                    return horizon, page
        raise SeveralServers(_ATTEMPTS_BY_SERVERS)

    def _pages(
        self,
        filters: Sequence[EventFilter],
        after: After,
        remaining: int,
        size: int,
        *,
        wait_seconds: float,
        end: int,
        search: PeriodSearch | None,
    ) -> Iterator[Page]:
        is_first = True
        total_wait, wait, backoff = 0.0, 0.0, Backoff(_SHORTEST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
        while remaining > 0 and (is_first or after.position < end):
            horizon, page = self.step(
                filters,
                after,
                refresh=is_first,
                up_to_position=end,
                page_size=min(size, remaining) if search is None else size,
                search=search,
            )
            if is_first:
                end, is_first = min(end, horizon.newest), False
            if wait and (page is not None or total_wait >= wait_seconds):
                self._observer.waited(wait)
                wait = 0.0
            if page is not None:
                yield page if len(page.rows) <= remaining else replace(page, rows=page.rows[:remaining])
                remaining -= len(page.rows)
                after = page.after
                backoff.reset()
            elif after.position < end:
                if total_wait >= wait_seconds:
                    return
                start = time.monotonic()
                self._pause(min(backoff.pause(), wait_seconds - total_wait))
                elapsed = time.monotonic() - start
                total_wait += elapsed
                wait += elapsed

    def rows_backwards(
        self,
        filters: Sequence[EventFilter],
        after: After,
        last: int,
        remaining: int,
        *,
        wait_seconds: float,
        search: PeriodSearch | None,
    ) -> Iterator[Row]:
        """Yield rows from the newest event backwards, once all up to it are settled, so that no event appears there.

        It ends at the position `after`, so gaps at or before that do not matter, as in a read forwards.
        """
        if remaining == 0:
            return
        horizon, up_to = self._settled_end(after, last, wait_seconds)
        while remaining > 0 and after.position < up_to:
            size = min(self._page_size, remaining) if search is None else self._page_size
            horizon, start, rows, detached = self._page_before(filters, after, horizon, up_to, size=size, search=search)
            up_to = rows[0][POSITION] - 1 if len(rows) == size else start
            matching = rows if search is None else self._of_period(rows, search)
            yield from islice(reversed(matching), remaining)
            remaining -= len(matching)
            if detached is not None and len(rows) < size and remaining > 0:
                raise history_detached(detached)

    def _settled_end(self, after: After, last: int, wait_seconds: float) -> tuple[Horizon, int]:
        """Wait until the newest event, up to the position `last`, is settled, or the time is up.

        Returns:
            The horizon, and the position of that event, or how far everything is settled.
        """
        newest, settled, elapsed, backoff = None, 0, 0.0, Backoff(_SHORTEST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
        start = time.monotonic()
        while True:
            with self._execution.global_reading() as run:
                horizon = self.horizon(run, after=after)
            newest = min(horizon.newest, last) if newest is None else newest
            if horizon.settled >= newest or elapsed >= wait_seconds:
                if elapsed:
                    self._observer.waited(elapsed)
                return horizon, min(horizon.settled, newest)
            if horizon.settled == settled:
                self._pause(min(backoff.pause(), wait_seconds - elapsed))
            settled, elapsed = horizon.settled, time.monotonic() - start

    def _page_before(
        self,
        filters: Sequence[EventFilter],
        after: After,
        horizon: Horizon,
        up_to_position: int,
        *,
        size: int,
        search: PeriodSearch | None,
    ) -> tuple[Horizon, int, Sequence[Row], str | None]:
        """Read the last rows after one position, and up to another, in ascending order.

        Returns:
            The confirmed horizon, the position after which was read, the rows, and the first part between these
            positions that was detached, in JSON.

        Raises:
            LogWentBack: The log no longer has the event that was the newest settled one when the read began.
            SeveralServers: The log view and the page came from different servers, several times in a row.
        """

        def read(run: Run, horizon: Horizon) -> tuple[PageHeader, tuple[int, Sequence[Row], str | None]] | None:
            bounds = Bounds(after.position, up_to_position, up_to_position)
            if search is not None:
                if not self._searched(run, search, horizon, after.position, up_to_position):
                    return None
                bounds = search.bounds(after.position, up_to_position)
            window = bounds.up_to - self._page_size * _WINDOW_IN_PAGES if _names_two_fields(filters) else 0
            with self._observer.operation("read") as observed:
                header, rows = self._dialect.read_page(
                    run,
                    filters,
                    after_position=max(bounds.after, window),
                    up_to_position=bounds.up_to,
                    page_size=size,
                    settled_position=horizon.settled,
                    backwards=True,
                )
                observed.note(events=len(rows))
            start, detached = after.position, header.detached
            if window > bounds.after:
                start = window
            elif search is not None:
                detached = detached or search.detached
            return header, (start, rows, detached)

        horizon, (start, rows, detached) = self._confirmed(read, filters, after, horizon, up_to_position)
        return horizon, start, rows, detached

    def _confirmed(
        self,
        read: Callable[[Run, Horizon], tuple[PageHeader, Result] | None],
        filters: Sequence[EventFilter],
        after: After,
        horizon: Horizon,
        up_to_position: int,
    ) -> tuple[Horizon, Result]:
        """Read with a horizon that covers a position; again with another one if that was not valid.

        Args:
            read: Reads on one connection. Returns a header, by which the horizon is confirmed, and what was read; None
                if the horizon is known not to be valid.
            filters: The filters.
            after: What the reader has already read.
            horizon: How far the order is settled.
            up_to_position: How far to read.

        Returns:
            The confirmed horizon, and what was read.

        Raises:
            LogWentBack: The log no longer has the event that was the newest settled one when the read began.
            SeveralServers: The log view and the page came from different servers, several times in a row.
        """
        backoff = Backoff(_SHORTEST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
        for _ in range(_ATTEMPTS_BY_SERVERS):
            with self._execution.global_reading() as run:
                if any(filter_.tags is not None for filter_ in filters):
                    self._tags_gate(run)
                if horizon.event is not None and horizon.settled >= up_to_position:
                    found = read(run, horizon)
                    if found is not None and _confirms(found[0], horizon):
                        return horizon, found[1]
                    self._settling.forget()
                # The log view raises LogWentBack if the event is gone, unless its stream was deleted.
                horizon = self.horizon(run, after=After(after.position, horizon.event), alone=True)
            self._pause(0 if horizon.settled >= up_to_position else backoff.pause())
        raise SeveralServers(_ATTEMPTS_BY_SERVERS)


def _confirms(header: PageHeader, horizon: Horizon) -> bool:
    """Return whether what was read came from the server and the log that the horizon is of."""
    return horizon.event is not None and header.server == horizon.server and header.settled_id == horizon.event.event_id


def _position_or_last(up_to_position: int | None) -> int:
    return MAX_VERSION if up_to_position is None else check_number("up_to_position", up_to_position)


def _names_two_fields(filters: Sequence[EventFilter]) -> bool:
    """Return whether a filter restricts two fields, or has two tags.

    No index has both, so a lookup may pass any number of events.
    """
    return any(len(named) > 1 or len(named.get(TAGS, ())) > 1 for named in (filter_.named for filter_ in filters))
