"""How the events of a stream are read: in pages by version, each a separate query."""

from collections.abc import Iterator, Sequence
from typing import Any

from eventstore.backends.protocol import Row
from eventstore.common.validation import MAX_VERSION, check_category, check_flag, check_number, check_stream_id
from eventstore.core.core import Core
from eventstore.core.detached import check_page
from eventstore.errors import InvalidInput
from eventstore.events import RecordedEvent
from eventstore.rows.mapper import VERSION
from eventstore.statements.listing import find_stream, list_streams
from eventstore.statements.reading import read_page_backwards, read_page_forwards, stream_version
from eventstore.streams import StreamInfo, StreamOrder


class Reader:
    """Reads the streams of one store."""

    def __init__(self, core: Core) -> None:
        self._execution = core.execution
        self._dialect = core.dialect
        self._mapper = core.mapper
        self._page_size = core.page_size
        self._observer = core.observer

    def stream_version(self, stream_id: str) -> int:
        """Return the version of a stream; 0 if it does not exist."""
        stream_id = check_stream_id(stream_id)
        with self._execution.statement() as run:
            rows = run(stream_version, stream_id=stream_id)
        return int(rows[0][0]) if rows else 0

    def read_stream(
        self,
        stream_id: str,
        *,
        after_version: int,
        up_to_version: int | None,
        limit: int | None,
        backwards: bool,
        upcast: bool,
    ) -> Iterator[RecordedEvent]:
        """Check the arguments, and return an iterator that reads page by page."""
        check_flag("backwards", backwards)
        check_flag("upcast", upcast)
        pages = self.pages(
            stream_id, after_version=after_version, up_to_version=up_to_version, limit=limit, backwards=backwards
        )
        return self._events(pages, backwards=backwards, upcast=upcast)

    def pages(
        self,
        stream_id: str,
        *,
        after_version: int,
        up_to_version: int | None,
        limit: int | None,
        backwards: bool,
        page_size: int | None = None,
    ) -> Iterator[Sequence[Row]]:
        """Check the arguments, and return an iterator over pages of rows. `page_size` defaults to the store's."""
        stream_id = check_stream_id(stream_id)
        check_number("after_version", after_version)
        last = MAX_VERSION if up_to_version is None else check_number("up_to_version", up_to_version)
        remaining = MAX_VERSION if limit is None else check_number("limit", limit)
        size = self._page_size if page_size is None else page_size
        return self._pages(stream_id, after_version, last, remaining, size, backwards=backwards)

    def _events(self, pages: Iterator[Sequence[Row]], *, backwards: bool, upcast: bool) -> Iterator[RecordedEvent]:
        to_uuid, to_time = self._dialect.to_uuid, self._dialect.to_time
        for rows in pages:
            yield from self._mapper.recorded(rows, to_uuid, to_time, upcast=upcast, newest_first=backwards)

    def _pages(
        self,
        stream_id: str,
        after_version: int,
        up_to_version: int,
        remaining: int,
        size: int,
        *,
        backwards: bool,
    ) -> Iterator[Sequence[Row]]:
        statement = read_page_backwards if backwards else read_page_forwards
        while remaining > 0:
            page_size = min(size, remaining)
            with self._observer.operation("read", stream_id=stream_id) as observed, self._execution.statement() as run:
                rows, part = self._dialect.read_stream_page(
                    run,
                    statement,
                    stream_id=stream_id,
                    after_version=after_version,
                    up_to_version=up_to_version,
                    page_size=page_size,
                )
                observed.note(events=len(rows))
            if part is not None and not backwards:
                check_page(stream_id, rows, part, after_version=after_version, up_to_version=up_to_version)
            yield rows
            if len(rows) < page_size:
                if part is not None and backwards:
                    check_page(stream_id, rows[::-1], part, after_version=after_version, up_to_version=up_to_version)
                return
            remaining -= page_size
            if backwards:
                up_to_version = rows[-1][VERSION] - 1
            else:
                after_version = rows[-1][VERSION]

    def streams(
        self, *, category: str | None, order: StreamOrder, after_stream_id: str | None, limit: int | None
    ) -> Iterator[StreamInfo]:
        """Check the arguments, and return an iterator that reads page by page."""
        if category is not None:
            category = check_category(category)
        if not isinstance(order, StreamOrder):
            msg = f"order must be a StreamOrder, such as StreamOrder.RECENT, not {order!r}"
            raise InvalidInput(msg)
        if after_stream_id is not None:
            after_stream_id = check_stream_id(after_stream_id)
        remaining = MAX_VERSION if limit is None else check_number("limit", limit)
        return self._streams(category, order, after_stream_id, remaining)

    def _streams(
        self, category: str | None, order: StreamOrder, after_stream_id: str | None, remaining: int
    ) -> Iterator[StreamInfo]:
        of_category: dict[str, Any] = {} if category is None else {"category": category}
        after = {} if after_stream_id is None else self._after_stream(after_stream_id, order)
        while remaining > 0:
            page_size = min(self._page_size, remaining)
            statement = list_streams(order, of_category=category is not None, is_first=not after)
            with self._execution.statement() as run:
                rows = run(statement, **of_category, **after, page_size=page_size)
            streams = [self._stream_info(row) for row in rows]
            yield from streams
            if len(rows) < page_size:
                return
            remaining -= page_size
            after = self._after(streams[-1], order)

    def _after_stream(self, stream_id: str, order: StreamOrder) -> dict[str, Any]:
        if order is StreamOrder.ID:
            return {"after_stream_id": stream_id}
        with self._execution.statement() as run:
            rows = run(find_stream, stream_id=stream_id)
        if not rows:
            msg = f"there is no stream {stream_id!r} to continue after; only in order of ids it need not exist"
            raise InvalidInput(msg)
        return self._after(self._stream_info(rows[0]), order)

    def _after(self, last: StreamInfo, order: StreamOrder) -> dict[str, Any]:
        keys: dict[StreamOrder, dict[str, Any]] = {
            StreamOrder.ID: {},
            StreamOrder.SIZE: {"after_version": last.version},
            StreamOrder.RECENT: {"after_time": self._dialect.from_time(last.updated_at)},
        }
        return {"after_stream_id": last.stream_id, **keys[order]}

    def _stream_info(self, row: Row) -> StreamInfo:
        stream_id, version, created_at, updated_at = row
        return StreamInfo(stream_id, version, self._dialect.to_time(created_at), self._dialect.to_time(updated_at))
