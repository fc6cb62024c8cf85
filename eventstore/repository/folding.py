"""How an aggregate is loaded: its snapshot and the first events after it in one round trip, then page by page."""

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any, Generic

from eventstore.backends.protocol import Row, Statement
from eventstore.codecs.exactness import difference
from eventstore.common.validation import MAX_VERSION
from eventstore.errors import DecodingError, InvalidInput
from eventstore.events import TOMBSTONE_ERRORS, RecordedEvent, tombstone_error
from eventstore.repository.states import State, StateCodec
from eventstore.rows.mapper import POSITION, VERSION
from eventstore.statements.aggregates import load_aggregate, version_as_of
from eventstore.statements.deletion import find_tombstone
from eventstore.statements.reading import read_forwards
from eventstore.store import EventStore

_log = logging.getLogger("eventstore.repository")

_CODEC, _DATA = 6, 7


class Folder(Generic[State]):
    """Makes states of streams.

    Args:
        store: Where to read.
        initial: Makes the state before the first event. If that is None, any state may be.
        evolve: Makes the next state.
        states: Reads snapshots; None if there are none to be read.
        schema_version: Of the snapshots.
        warned: Filled once it was logged that events make no difference; of all folders of a repository the same.
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

    def fold(self, stream_id: str, up_to_version: int = MAX_VERSION) -> tuple[State, int, int]:
        """Return the state, the version of the stream that it was computed at, and that of the snapshot, or 0."""
        with self._store.core.observer.operation("load", stream_id=stream_id) as observed:
            state, version, snapshot_version = self._fold(stream_id, up_to_version)
            observed.note(events=version - snapshot_version, snapshot_version=snapshot_version)
        if version > 0 == snapshot_version and not self._warned and not self._store.event_types.classes:
            self._warn_if_untouched(stream_id, state, version)
        return state, version, snapshot_version

    def _warn_if_untouched(self, stream_id: str, state: State, version: int) -> None:
        """Log that events have made no difference: without event types `evolve` may not have known any of them.

        It is no error: it may mean to pass over these.
        """
        first = self._initial()
        now, before = (vars(each) if hasattr(each, "__dict__") else each for each in (state, first))
        if type(state) is not type(first) or difference(before, now, self._store.core.mapper.codec.encode) is not None:
            return
        self._warned.add(stream_id)
        told = {"stream_id": stream_id, "version": version}
        _log.warning(
            "%r is loaded at version %d in its initial state: evolve has passed over all of its events, which it gets "
            "as plain data, because the store has no event types; if it expects objects, give the store event_types",
            stream_id, version, extra=told,
        )  # fmt: skip

    def _fold(self, stream_id: str, up_to_version: int) -> tuple[State, int, int]:
        if self._states is None:
            return *self._replay(stream_id, self._initial(), 0, up_to_version), 0
        rows = sorted(
            self._read(
                load_aggregate,
                stream_id=stream_id,
                schema_version=self._schema_version,
                up_to_version=up_to_version,
            ),
            key=lambda row: row[VERSION],
        )
        state, snapshot_version = self._initial(), 0
        if rows and rows[0][POSITION] is None:
            snapshot = rows.pop(0)
            try:
                state, snapshot_version = self._states.decode(snapshot[_CODEC], snapshot[_DATA]), snapshot[VERSION]
            except DecodingError as error:
                told = {"stream_id": stream_id, "version": snapshot[VERSION], "error_type": type(error).__name__}
                _log.warning(
                    "snapshot of %r at version %d is ignored: %s", stream_id, snapshot[VERSION], error, extra=told
                )
                return *self._replay(stream_id, state, 0, up_to_version), 0
        state = self._evolved(state, rows)
        version = rows[-1][VERSION] if rows else snapshot_version
        if len(rows) == self._store.core.page_size:
            state, version = self._replay(stream_id, state, version, up_to_version)
        return state, version, snapshot_version

    def version_as_of(self, stream_id: str, as_of: datetime) -> int:
        """Return the version that a stream had at a time."""
        with self._store.core.execution.statement() as run:
            rows = run(version_as_of, stream_id=stream_id, as_of=self._store.core.dialect.from_time(as_of))
        return int(rows[0][0]) if rows else 0

    def refuse_ended(self, stream_id: str) -> None:
        """Look whether a stream has ended, so that its past can't be told any more.

        Raises:
            StreamClosed: It has.
        """
        with self._store.core.execution.statement() as run:
            rows = run(find_tombstone, stream_id=stream_id)
        if rows and rows[0][1] is not None:
            _, event_type, codec, data = rows[0]
            closing = None if codec is None else self._store.core.mapper.codec.decode(codec, data)
            error = tombstone_error(event_type, closing)
            if error is not None:
                raise error(stream_id)

    def _replay(self, stream_id: str, state: State, version: int, up_to_version: int) -> tuple[State, int]:
        """Go on from a version, page by page.

        The version is that of the rows, never of the events: upcasters drop events, and the last may be among them.
        """
        while True:
            rows = self._read(read_forwards, stream_id=stream_id, after_version=version, up_to_version=up_to_version)
            state = self._evolved(state, rows)
            version = rows[-1][VERSION] if rows else version
            if len(rows) < self._store.core.page_size:
                return state, version

    def _read(self, statement: Statement, **parameters: Any) -> list[Row]:
        """Return a page. The connection is back in its pool before the application's code runs on what was read."""
        with self._store.core.execution.statement() as run:
            return list(run(statement, **parameters, page_size=self._store.core.page_size))

    def _evolved(self, state: State, rows: list[Row]) -> State:
        backend = self._store.core.dialect
        for event in self._store.core.mapper.recorded(rows, backend.to_uuid, backend.to_time):
            if event.event_type in TOMBSTONE_ERRORS:
                closed = tombstone_error(event.event_type, event.data)
                if closed is not None:
                    raise closed(event.stream_id)
                state = self._initial()  # what was before it is gone
                continue
            state = self._evolve(state, event)
            if state is None and not self._may_be_none:
                msg = f"evolve has returned None for {event.event_type!r}; it returns the new state"
                raise InvalidInput(msg)
        return state
