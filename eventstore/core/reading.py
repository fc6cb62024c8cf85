"""How the events of a stream are read: in pages by version, each a separate query."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final, cast
from uuid import UUID

from eventstore.backends.protocol import Row, Statement
from eventstore.common.validation import (
    MAX_VERSION,
    check_category,
    check_event_type,
    check_flag,
    check_number,
    check_stream_id,
)
from eventstore.core.core import Core
from eventstore.core.detached import check_history, check_page, check_stream
from eventstore.errors import InvalidInput
from eventstore.events import TOMBSTONE_ERRORS, RecordedEvent
from eventstore.rows.mapper import EVENT_TYPE, POSITION, VERSION
from eventstore.statements.listing import find_stream, list_streams
from eventstore.statements.lookups import find_by_event_id, find_by_metadata, first_and_last
from eventstore.statements.reading import (
    read_forwards,
    read_page_backwards,
    read_page_forwards,
    read_page_of_types,
    stream_version,
)
from eventstore.streams import StreamInfo, StreamOrder

_MOST_TYPES: Final = 1000


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
        event_types: Iterable[str] | None = None,
    ) -> Iterator[RecordedEvent]:
        """Check the arguments, and return an iterator that reads page by page."""
        check_flag("backwards", backwards)
        check_flag("upcast", upcast)
        pages = self.pages(
            stream_id,
            after_version=after_version,
            up_to_version=up_to_version,
            limit=limit,
            backwards=backwards,
            event_types=event_types,
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
        event_types: Iterable[str] | None = None,
    ) -> Iterator[Sequence[Row]]:
        """Check the arguments, and return an iterator over pages of rows. `page_size` defaults to the store's."""
        stream_id = check_stream_id(stream_id)
        check_number("after_version", after_version)
        last = MAX_VERSION if up_to_version is None else check_number("up_to_version", up_to_version)
        remaining = MAX_VERSION if limit is None else check_number("limit", limit)
        size = self._page_size if page_size is None else page_size
        types = () if event_types is None else checked_types(event_types)
        return self._pages(stream_id, after_version, last, remaining, size, event_types=types, backwards=backwards)

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
        event_types: Sequence[str],
        backwards: bool,
    ) -> Iterator[Sequence[Row]]:
        statement: Statement = read_page_backwards if backwards else read_page_forwards
        if event_types:
            statement = read_page_of_types(len(event_types), backwards=backwards)
        types = {f"event_type_{number}": event_type for number, event_type in enumerate(event_types)}
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
                    **types,
                )
                observed.note(events=len(rows))
            if part is not None and not backwards:
                oldest = rows if not event_types else self._oldest(stream_id, after_version, up_to_version)
                check_page(stream_id, oldest, part, after_version=after_version, up_to_version=up_to_version)
            yield rows
            if len(rows) < page_size:
                if part is not None and backwards:
                    oldest = rows[::-1] if not event_types else self._oldest(stream_id, after_version, up_to_version)
                    check_page(stream_id, oldest, part, after_version=after_version, up_to_version=up_to_version)
                return
            remaining -= page_size
            if backwards:
                up_to_version = rows[-1][VERSION] - 1
            else:
                after_version = rows[-1][VERSION]

    def _oldest(self, stream_id: str, after_version: int, up_to_version: int) -> Sequence[Row]:
        """Return the row of the oldest event of a stream, of any type, between two versions."""
        with self._execution.statement() as run:
            versions = {"after_version": after_version, "up_to_version": up_to_version}
            return run(read_forwards, stream_id=stream_id, **versions, page_size=1)

    def first_and_last(self, stream_id: str, *, upcast: bool) -> tuple[RecordedEvent, RecordedEvent] | None:
        """Return the first and the last event of a stream; None if it has no events."""
        stream_id = check_stream_id(stream_id)
        check_flag("upcast", upcast)
        with self._observer.operation("read", stream_id=stream_id) as observed, self._execution.statement() as run:
            rows = sorted(run(first_and_last, stream_id=stream_id), key=itemgetter(VERSION))
            if not rows or (rows[0][VERSION] != 1 and rows[0][EVENT_TYPE] not in TOMBSTONE_ERRORS):
                self._dialect.look_again(run)
                check_stream(run, stream_id)
            observed.note(events=len({row[VERSION] for row in rows}))
        to_uuid, to_time = self._dialect.to_uuid, self._dialect.to_time
        ends = [
            next(self._mapper.recorded([row], to_uuid, to_time, upcast=upcast, newest_first=newest_first), None)
            for row, newest_first in zip(rows, (False, True), strict=False)
        ]
        everything: dict[str, Any] = {"after_version": 0, "up_to_version": None, "limit": None, "upcast": upcast}
        for index, end in enumerate(ends):
            if end is None:  # an upcaster has dropped it
                ends[index] = next(self.read_stream(stream_id, **everything, backwards=index == 1), None)
        match ends:
            case [RecordedEvent() as first, RecordedEvent() as last]:
                return first, last
        return None

    def find(
        self,
        *,
        event_id: UUID | None,
        correlation_id: object,
        causation_id: object,
        after_position: int,
        upcast: bool,
    ) -> Iterator[RecordedEvent]:
        """Check the arguments, and return an iterator that reads page by page."""
        check_flag("upcast", upcast)
        ids = {"event_id": event_id, "correlation_id": correlation_id, "causation_id": causation_id}
        given = [name for name, value in ids.items() if value is not None]
        after_position = check_number("after_position", after_position)
        if len(given) != 1:
            msg = "pass one of event_id, correlation_id and causation_id to find events by"
            raise InvalidInput(msg)
        (name,) = given
        value = ids[name]
        if name == "event_id" and not isinstance(value, UUID):
            msg = f"event_id must be a uuid.UUID, not {type(value).__name__}"
            raise InvalidInput(msg)
        if not isinstance(value, str | UUID):
            msg = f"{name} must be a string or a uuid.UUID, not {type(value).__name__}"
            raise InvalidInput(msg)
        if name == "event_id":
            own_id = self._dialect.from_uuid(cast("UUID", value))
            return self._found(find_by_event_id, own_id, after_position, is_unique=True, upcast=upcast)
        return self._found(find_by_metadata(name), str(value), after_position, is_unique=False, upcast=upcast)

    def _found(
        self, statement: Statement, value: object, after: int, *, is_unique: bool, upcast: bool
    ) -> Iterator[RecordedEvent]:
        while True:
            with self._observer.operation("read") as observed, self._execution.statement() as run:
                rows = run(statement, value=value, after_position=after, page_size=self._page_size)
                observed.note(events=len(rows))
                if not (is_unique and rows):  # what was not found may be in a part that was detached
                    self._dialect.look_again(run)
                    check_history(run, after)
            yield from self._mapper.recorded(rows, self._dialect.to_uuid, self._dialect.to_time, upcast=upcast)
            if len(rows) < self._page_size:
                return
            after = rows[-1][POSITION]

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


def checked_types(event_types: object) -> list[str]:
    """Return event types, sorted, each once.

    Raises:
        InvalidInput: They are no list of 1 to 1,000 names.
    """
    if isinstance(event_types, str | bytes | Mapping) or not isinstance(event_types, Iterable):
        msg = f"event_types must be a list of strings, not {type(event_types).__name__}"
        raise InvalidInput(msg)
    checked = sorted({check_event_type(event_type) for event_type in event_types})
    if not 1 <= len(checked) <= _MOST_TYPES:
        msg = f"event_types must name 1 to {_MOST_TYPES} types, not {len(checked)}; leave it out to read all"
        raise InvalidInput(msg)
    return checked
