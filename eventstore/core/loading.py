"""Storing events that were stored elsewhere. Duplicates are recognised, and contradicting events are refused."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from eventstore.backends.protocol import EventKey, ImportedHead, Row, Run
from eventstore.codecs.metadata import tags_of
from eventstore.common.validation import MAX_VERSION, check_event_type, check_stream_id
from eventstore.core.core import Appended, Core
from eventstore.core.deletion import remove_events
from eventstore.core.detached import check_stream
from eventstore.errors import DamagedExport, DecodingError, ImportConflict
from eventstore.events import STREAM_DELETED_EVENT, TOMBSTONE_ERRORS, tombstone_error
from eventstore.rows.mapper import EVENT_TYPE, StoredEvent
from eventstore.statements.global_order import newest_position
from eventstore.statements.reading import read_forwards
from eventstore.statements.transfer import begin_stream_before


@dataclass(slots=True)
class _Head:
    version: int
    position: int
    created_at: datetime
    updated_at: datetime
    newest: StoredEvent


class EventLoader:
    """Stores batches of events in one store.

    Args:
        core: The core of the store, in the transaction to store them in.
        positions: Whether events keep their positions.
        in_order: Whether positions must be above all stored ones, so that no reader has passed them.
    """

    def __init__(self, core: Core, *, positions: bool, in_order: bool) -> None:
        self._core = core
        self._dialect = core.dialect
        self._positions = positions
        self._in_order = in_order

    def load(self, run: Run, events: Sequence[StoredEvent]) -> int:
        """Store a batch, in its order, and call the hooks; return how many events were new.

        Raises:
            ImportConflict: An event contradicts what is stored.
            HistoryDetached: An event was here, and may have been detached, so it can't be compared.
        """
        return self.store(run, events, self.lock(run, events))

    def lock(self, run: Run, events: Sequence[StoredEvent]) -> dict[str, int]:
        """Lock what a batch needs until the transaction ends; return the versions of its streams."""
        if any(tags_of(event.metadata) for event in events):
            self._core.tags_gate(run)
            self._dialect.lock_tags(run, None)  # before any other lock, as in every append
        if self._positions:
            self._dialect.loader.keep_appends_out(run)
        stream_ids = list(dict.fromkeys(check_stream_id(event.stream_id) for event in events))
        return self._dialect.lock_heads(run, stream_ids, create=stream_ids)

    def store(self, run: Run, events: Sequence[StoredEvent], versions: Mapping[str, int]) -> int:
        """Store a batch whose streams are locked at these versions, and call the hooks; return how many were new.

        Raises:
            ImportConflict: An event contradicts what is stored.
        """
        new = self._new(run, events, versions)
        if not new:
            return 0
        if self._positions and self._in_order:
            self._check_order(run, new)
        heads = _heads(new)
        self._dialect.loader.set_heads(run, [self._head(head) for head in heads.values()])
        if self._positions and self._dialect.layout.has_after_position:
            first = [{"of_stream": stream_id, "position": head.position} for stream_id, head in heads.items()]
            run.many(begin_stream_before, first)
        self._dialect.loader.store(run, new, positions=self._positions)
        self._store_tags(run, new)
        if self._positions:
            self._dialect.loader.continue_positions(run)
        if self._core.after_append:
            self._core.call_hooks(_spans(new))
        return len(new)

    def _store_tags(self, run: Run, new: Sequence[StoredEvent]) -> None:
        rows = [(event.stream_id, event.version, tag) for event in new for tag in tags_of(event.metadata)]
        if not rows:
            return
        self._dialect.insert_tags(run, rows)
        if self._positions and not self._in_order:
            self._dialect.raise_generation(run)

    def _new(self, run: Run, events: Sequence[StoredEvent], versions: Mapping[str, int]) -> list[StoredEvent]:
        old = [
            (event.stream_id, event.version) for event in events if event.version <= versions.get(event.stream_id, 0)
        ]
        stored: dict[EventKey, Row] = {}
        if old:
            stored = {(row[0], row[1]): row for row in self._dialect.loader.find(run, old)}
        heads = dict(versions)
        new: list[StoredEvent] = []
        for event in events:
            head = heads.get(event.stream_id, 0)
            if event.version <= head:
                self._check_same(run, event, stored.get((event.stream_id, event.version)))
                continue
            check_event_type(event.event_type)
            is_tombstone = event.event_type in TOMBSTONE_ERRORS
            if event.version > head + 1 and not is_tombstone:
                msg = (
                    f"the stream is at version {head} here, so the versions in between are missing; import the whole "
                    "stream, because an export that was filtered by event type or tag, or that begins later, has gaps"
                )
                raise ImportConflict(event.stream_id, event.version, msg)
            if is_tombstone and head:
                new = self._remove_before(run, event, new)
            heads[event.stream_id] = event.version
            new.append(event)
        return new

    def _remove_before(self, run: Run, tombstone: StoredEvent, new: list[StoredEvent]) -> list[StoredEvent]:
        """Remove the events of a stream before an imported tombstone, as in the store that it comes from."""
        note = "the import has a tombstone of the stream"
        remove_events(self._dialect, run, tombstone.stream_id, before_version=tombstone.version, note=note)
        return [event for event in new if event.stream_id != tombstone.stream_id]

    def _check_same(self, run: Run, event: StoredEvent, row: Row | None) -> None:
        if row is None:
            if self._is_before_tombstone(run, event):
                return
            check_stream(run, event.stream_id)
            msg = "the stream is at a higher version here, but does not have this event"
            raise ImportConflict(event.stream_id, event.version, msg)
        _, _, event_id, event_type, schema_version, codec, data, position, _ = row
        if self._dialect.to_uuid(event_id) != event.event_id:
            msg = f"another event is stored there, with the id {self._dialect.to_uuid(event_id)}, not {event.event_id}"
            raise ImportConflict(event.stream_id, event.version, msg)
        if (event_type, schema_version) != (event.event_type, event.schema_version) or not self._has_same_data(
            event, codec, bytes(data)
        ):
            msg = f"event {event.event_id} is already stored with other content"
            raise ImportConflict(event.stream_id, event.version, msg)
        if self._positions and position != event.position:
            msg = f"event {event.event_id} is already stored at position {position}, not {event.position}"
            raise ImportConflict(event.stream_id, event.version, msg)

    def _is_before_tombstone(self, run: Run, event: StoredEvent) -> bool:
        """Return whether the next event here is a tombstone, so that this event is gone, and is not stored again."""
        later = {"stream_id": event.stream_id, "after_version": event.version, "up_to_version": MAX_VERSION}
        rows = run(read_forwards, **later, page_size=1)
        return bool(rows) and rows[0][EVENT_TYPE] in TOMBSTONE_ERRORS

    def _has_same_data(self, event: StoredEvent, codec: int, data: bytes) -> bool:
        try:
            return self._core.mapper.codec.holds_same_value((codec, data), (event.codec, event.data))
        except DecodingError:
            return False

    def _check_order(self, run: Run, new: Sequence[StoredEvent]) -> None:
        """Check that no reader can have passed the positions, because it would never receive these events."""
        ((newest,),) = run(newest_position)
        for event in new:
            if event.position <= newest:
                msg = (
                    f"its position {event.position} is not above {newest}, the newest here; import into a database "
                    "without other events, or without positions"
                )
                raise ImportConflict(event.stream_id, event.version, msg)
            newest = event.position

    def _head(self, head: _Head) -> ImportedHead:
        event = head.newest
        error_of_stream = None
        if event.event_type in TOMBSTONE_ERRORS:
            try:
                data = self._core.mapper.codec.decode(event.codec, event.data)
            except DecodingError as error:
                raise DamagedExport(f"the event at position {event.position}", f"can't be read: {error}") from None
            error_of_stream = tombstone_error(event.event_type, data)
        is_closed, is_deleted = error_of_stream is not None, event.event_type == STREAM_DELETED_EVENT
        return ImportedHead(
            event.stream_id, head.version, head.created_at, head.updated_at,
            head.version if is_closed and is_deleted else None, head.version if is_closed and not is_deleted else None,
        )  # fmt: skip


def _spans(new: Sequence[StoredEvent]) -> list[Appended]:
    """Return what was stored, in order, with consecutive events of one stream as one span."""
    spans: list[Appended] = []
    for event in new:
        last = spans[-1] if spans else None
        if last is not None and (last.stream_id, last.version + 1) == (event.stream_id, event.version):
            spans[-1] = Appended(event.stream_id, last.after_version, event.version, None)
        else:
            spans.append(Appended(event.stream_id, event.version - 1, event.version, None))
    return spans


def _heads(new: Sequence[StoredEvent]) -> dict[str, _Head]:
    heads: dict[str, _Head] = {}
    for event in new:
        head = heads.get(event.stream_id)
        created_at = event.recorded_at if head is None else head.created_at
        position = event.position if head is None else min(head.position, event.position)
        heads[event.stream_id] = _Head(event.version, position, created_at, event.recorded_at, event)
    return heads
