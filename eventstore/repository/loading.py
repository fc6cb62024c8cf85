"""How an aggregate is loaded: the snapshot and the first events after it in one round trip, then page by page."""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Generic

from eventstore.backends.protocol import Row, Statement
from eventstore.codecs.exactness import difference
from eventstore.common.validation import MAX_VERSION
from eventstore.core.detached import check_page, check_stream
from eventstore.errors import DecodingError, InvalidInput
from eventstore.events import TOMBSTONE_ERRORS, RecordedEvent, tombstone_error
from eventstore.repository.states import State, StateCodec
from eventstore.rows.mapper import POSITION, VERSION
from eventstore.statements.aggregates import load_aggregate, version_as_of
from eventstore.statements.deletion import find_tombstone
from eventstore.statements.reading import read_page_forwards
from eventstore.store import EventStore

_log = logging.getLogger("eventstore.repository")

_CODEC, _DATA = 6, 7


class AggregateLoader(Generic[State]):
    """Computes the states of aggregates from their streams.

    Args:
        store: The store that it reads from.
        initial: Makes the state before the first event. If that is None, any state may be None.
        evolve: Makes the next state.
        states: Reads snapshots; None if no snapshots are read.
        schema_version: The schema version of the snapshots.
        warned: The streams for which a warning was logged that events have not changed the state. All loaders of a
            repository share it, and log only one.
    """

    def __init__(
        self,
        store: EventStore,
        initial: Callable[[], State],
        evolve: Callable[[State, RecordedEvent], State],
        states: StateCodec[State] | None,
        schema_version: int,
        *,
        warned: set[str],
    ) -> None:
        self._store = store
        self._initial = initial
        self._may_be_none = initial() is None
        self._evolve = evolve
        self._states = states
        self._schema_version = schema_version
        self._warned = warned

    def load(self, stream_id: str, up_to_version: int = MAX_VERSION) -> tuple[State, int, int]:
        """Return the state, the version that it was computed at, and the version of the snapshot or 0."""
        if self._store.core.loaded_streams is not None:
            self._store.core.loaded_streams.add(stream_id)
        with self._store.core.observer.operation("load", stream_id=stream_id) as observed:
            state, version, snapshot_version = self._load(stream_id, up_to_version)
            observed.note(events=version - snapshot_version, snapshot_version=snapshot_version)
        if version > 0 == snapshot_version and not self._warned and not self._store.event_types.classes:
            self._warn_if_unchanged(stream_id, state, version)
        return state, version, snapshot_version

    def _warn_if_unchanged(self, stream_id: str, state: State, version: int) -> None:
        """Log a warning if events have not changed the state, because `evolve` may expect objects of event classes.

        It is not an error, because `evolve` may ignore these events on purpose.
        """
        first = self._initial()
        now, before = (vars(each) if hasattr(each, "__dict__") else each for each in (state, first))
        if type(state) is not type(first) or difference(before, now, self._store.core.mapper.codec.encode) is not None:
            return
        self._warned.add(stream_id)
        extra = {"stream_id": stream_id, "version": version}
        _log.warning(
            "%r is loaded at version %d in its initial state: evolve has ignored all its events, which it gets as "
            "plain data, because the store has no event types; if it expects objects, give the store event_types",
            stream_id, version, extra=extra,
        )  # fmt: skip

    def _load(self, stream_id: str, up_to_version: int) -> tuple[State, int, int]:
        if self._states is None:
            return *self._replay(stream_id, self._initial(), 0, up_to_version), 0
        unsorted, part = self._read(
            load_aggregate,
            stream_id=stream_id,
            schema_version=self._schema_version,
            up_to_version=up_to_version,
        )
        rows = sorted(unsorted, key=lambda row: row[VERSION])
        state, snapshot_version = self._initial(), 0
        if rows and rows[0][POSITION] is None:
            snapshot = rows.pop(0)
            try:
                state, snapshot_version = self._states.decode(snapshot[_CODEC], snapshot[_DATA]), snapshot[VERSION]
            except DecodingError as error:
                extra = {"stream_id": stream_id, "version": snapshot[VERSION], "error_type": type(error).__name__}
                _log.warning(
                    "snapshot of %r at version %d is ignored: %s", stream_id, snapshot[VERSION], error, extra=extra
                )
                return *self._replay(stream_id, state, 0, up_to_version), 0
        if part is not None:
            check_page(stream_id, rows, part, after_version=snapshot_version, up_to_version=up_to_version)
        state = self._evolved(state, rows)
        version = rows[-1][VERSION] if rows else snapshot_version
        if len(rows) == self._store.core.page_size:
            state, version = self._replay(stream_id, state, version, up_to_version)
        return state, version, snapshot_version

    def version_as_of(self, stream_id: str, as_of: datetime) -> int:
        """Return the version that a stream had at a time."""
        with self._store.core.execution.statement() as run:
            rows = run(version_as_of, stream_id=stream_id, as_of=self._store.core.dialect.from_time(as_of))
            if not rows:
                check_stream(run, stream_id)
        return int(rows[0][0]) if rows else 0

    def refuse_closed(self, stream_id: str) -> None:
        """Check that a stream was not deleted or archived, so that its earlier states can be computed.

        Raises:
            StreamClosed: The stream was deleted or archived.
        """
        with self._store.core.execution.statement() as run:
            rows = run(find_tombstone, stream_id=stream_id)
        if rows and rows[0][1] is not None:
            _, event_type, codec, data = rows[0]
            tombstone = None if codec is None else self._store.core.mapper.codec.decode(codec, data)
            error = tombstone_error(event_type, tombstone)
            if error is not None:
                raise error(stream_id)

    def _replay(self, stream_id: str, state: State, version: int, up_to_version: int) -> tuple[State, int]:
        """Continue from a version, page by page.

        The resulting version is that of the last row, because upcasters may drop the last event.
        """
        while True:
            of_page = {"after_version": version, "up_to_version": up_to_version}
            rows, part = self._read(read_page_forwards, stream_id=stream_id, **of_page)
            if part is not None:
                check_page(stream_id, rows, part, **of_page)
            state = self._evolved(state, rows)
            version = rows[-1][VERSION] if rows else version
            if len(rows) < self._store.core.page_size:
                return state, version

    def _read(self, statement: Statement, **parameters: Any) -> tuple[Sequence[Row], str | None]:
        """Return a page, and the part that may have had older events.

        The connection is returned to the pool before the application's code handles the events.
        """
        with self._store.core.execution.statement() as run:
            core = self._store.core
            return core.dialect.read_stream_page(run, statement, **parameters, page_size=core.page_size)

    def _evolved(self, state: State, rows: Sequence[Row]) -> State:
        backend = self._store.core.dialect
        for event in self._store.core.mapper.recorded(rows, backend.to_uuid, backend.to_time):
            if event.event_type in TOMBSTONE_ERRORS:
                error = tombstone_error(event.event_type, event.data)
                if error is not None:
                    raise error(event.stream_id)
                state = self._initial()  # the events before the tombstone are gone
                continue
            state = self._evolve(state, event)
            if state is None and not self._may_be_none:
                msg = f"evolve has returned None for {event.event_type!r}; it must return the new state"
                raise InvalidInput(msg)
        return state
