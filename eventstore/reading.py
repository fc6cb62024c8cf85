"""How events are read: in keyset pages, each a query of its own."""

from collections.abc import Iterator

from eventstore import statements
from eventstore.backends.protocol import Backend
from eventstore.events import RecordedEvent
from eventstore.execution import Execution
from eventstore.observing import Observer
from eventstore.rows import VERSION, EventMapper
from eventstore.streams import MAX_VERSION, check_number, check_stream_id


class Reader:
    """Reads the events of one store."""

    def __init__(
        self, execution: Execution, backend: Backend, mapper: EventMapper, page_size: int, observer: Observer
    ) -> None:
        self._execution = execution
        self._backend = backend
        self._mapper = mapper
        self._page_size = page_size
        self._observer = observer

    def stream_version(self, stream_id: str) -> int:
        """Return the version of a stream, 0 where it does not exist."""
        check_stream_id(stream_id)
        with self._execution.statement() as run:
            rows = run(statements.stream_version, stream_id=stream_id)
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
        """Check the arguments, and return an iterator that reads as it goes."""
        check_stream_id(stream_id)
        check_number("after_version", after_version)
        last = MAX_VERSION if up_to_version is None else check_number("up_to_version", up_to_version)
        remaining = MAX_VERSION if limit is None else check_number("limit", limit)
        return self._pages(stream_id, after_version, last, remaining, backwards=backwards, upcast=upcast)

    def _pages(
        self, stream_id: str, after_version: int, up_to_version: int, remaining: int, *, backwards: bool, upcast: bool
    ) -> Iterator[RecordedEvent]:
        statement = statements.read_backwards if backwards else statements.read_forwards
        to_uuid, to_time = self._backend.to_uuid, self._backend.to_time
        while remaining > 0:
            page_size = min(self._page_size, remaining)
            with self._observer.operation("read", stream_id=stream_id) as observed, self._execution.statement() as run:
                rows = run(
                    statement,
                    stream_id=stream_id,
                    after_version=after_version,
                    up_to_version=up_to_version,
                    page_size=page_size,
                )
                observed.note(events=len(rows))
            yield from self._mapper.recorded(rows, to_uuid, to_time, upcast=upcast, newest_first=backwards)
            if len(rows) < page_size:
                return
            remaining -= page_size
            if backwards:
                up_to_version = rows[-1][VERSION] - 1
            else:
                after_version = rows[-1][VERSION]
