"""Comparison of a table with what was imported from it, column by column."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from sqlalchemy import Engine

from eventstore.codecs.metadata import TAGS_KEY, decode_metadata
from eventstore.common.validation import check_number
from eventstore.core.global_order import GlobalOrder
from eventstore.errors import DecodingError
from eventstore.events import TOMBSTONE_ERRORS
from eventstore.rows.mapper import StoredEvent
from eventstore.store import EventStore, check_store
from eventstore.transfer.incoming import Order, Origin, Prepared, Preparer
from eventstore.transfer.loading import Counts
from eventstore.transfer.sources.rows import RowReader
from eventstore.transfer.sources.source_table import SourceTable
from eventstore.transfer.sources.table_map import TableMap

_SHOWN: Final = 100
_WAIT_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class TableDifference:
    """A row that is not stored as it is in the table, or an event whose row is gone.

    Attributes:
        order: The place of the row in the order of the table.
        stream_id: The stream.
        problem: What differs: `is not stored`, `is not in the table`, or the names of columns.
    """

    order: Order | None
    stream_id: str
    problem: str


@dataclass(frozen=True, slots=True)
class TableComparison:
    """The result of a comparison.

    Attributes:
        rows: How many rows of the table were to be stored, by event type.
        events: How many events are stored that were imported from the table, by event type.
        streams: How many streams they are in.
        differences: How many rows or events differ, by stream.
        shown: The first 100 differences.
        left_out: How many rows the map leaves out.
        skipped: How many rows can't be stored.
        ended: How many rows are of streams that were deleted or archived in the store.
    """

    rows: Mapping[str, int] = field(default_factory=dict)
    events: Mapping[str, int] = field(default_factory=dict)
    streams: int = 0
    differences: Mapping[str, int] = field(default_factory=dict)
    shown: tuple[TableDifference, ...] = ()
    left_out: int = 0
    skipped: int = 0
    ended: int = 0

    @property
    def is_equal(self) -> bool:
        """Whether all rows are stored as they are."""
        return not self.differences


def compare_table(
    store: EventStore,
    source: Engine,
    table_map: TableMap,
    *,
    batch_size: int = 1000,
    on_progress: Callable[[int], object] | None = None,
) -> TableComparison:
    """Compare each row of a table with the event that it was imported as: every column, and the order.

    It reads the whole table and the whole log, and writes nothing. Do it when the writers of the table have stopped:
    rows that are not imported yet are differences.

    Args:
        store: The store that the table was imported into.
        source: The engine of the table's database.
        table_map: The map that it was imported by.
        batch_size: How many rows to read at a time, at least 1.
        on_progress: Called after each batch with the number of rows so far.

    Raises:
        InvalidTableMap: The map does not fit the table.
        UnsuitableSource: As for `import_table`.
    """
    check_store(store)
    check_number("batch_size", batch_size, minimum=1)
    table = SourceTable(source, table_map)
    comparison = _Comparison(store, table)
    table.check_order(follow=False)
    return comparison.run(batch_size, on_progress)


class _Comparison:
    def __init__(self, store: EventStore, table: SourceTable) -> None:
        self._store = store
        self._table = table
        self._reader = RowReader(table.table_map, table.described.types)
        self._source = table.table_map.source_name
        self._skipped = Counts()
        self._rows: Counter[str] = Counter()
        self._events: Counter[str] = Counter()
        self._differences: Counter[str] = Counter()
        self._shown: list[TableDifference] = []
        self._ended_streams: dict[str, bool] = {}
        self._streams = self._ended = 0

    def run(self, batch_size: int, on_progress: Callable[[int], object] | None) -> TableComparison:
        stored = self._imported()
        event = next(stored, None)
        for row in self._prepared(batch_size, on_progress):
            while event is not None and self._is_before(event[1].order, row.order):
                self._differ(event[1].order, event[0].stream_id, "is not in the table")
                event = next(stored, None)
            if event is None or event[1].order != row.order:
                self._missing(row)
                continue
            problems = self._problems(row, *event)
            if problems:
                self._differ(row.order, row.stored.stream_id, f"differs in {', '.join(problems)}")
            event = next(stored, None)
        while event is not None:
            self._differ(event[1].order, event[0].stream_id, "is not in the table")
            event = next(stored, None)
        return TableComparison(
            dict(sorted(self._rows.items())), dict(sorted(self._events.items())), self._streams,
            dict(self._differences), tuple(self._shown), self._reader.left_out, self._skipped.skipped, self._ended,
        )  # fmt: skip

    def _prepared(self, batch_size: int, on_progress: Callable[[int], object] | None) -> Iterator[Prepared]:
        counted = self._table.count()
        last, after, count = self._table.look().last, None, 0
        while last is not None:
            page = self._table.rows(self._reader.selected, after=after, up_to=last, limit=batch_size)
            preparer = Preparer(self._store.core, self._source)
            for row in page:
                prepared = self._reader.prepare(row, preparer, self._skipped.note)
                if prepared is not None:
                    self._rows[prepared.stored.event_type] += 1
                    yield prepared
            count += len(page)
            if on_progress is not None and page:
                on_progress(count)
            if len(page) < batch_size:
                break
            after = self._table.key_of(self._reader.order_of(page[-1]))
        self._table.check_all_read(count, counted)

    def _imported(self) -> Iterator[tuple[StoredEvent, Origin]]:
        """Yield the events that were imported from the table, in the order of the log, which is that of the table."""
        core = self._store.core
        pages = GlobalOrder(core).pages((), after_position=0, limit=None, wait_seconds=_WAIT_SECONDS)
        for page in pages:
            for row in page.rows:
                event = StoredEvent.of(row, core.dialect.to_uuid, core.dialect.to_time)
                origin = Origin.of(event.metadata)
                if origin is not None and origin.source == self._source:
                    self._events[event.event_type] += 1
                    self._streams += event.version == 1
                    yield event, origin

    def _is_before(self, one: Order | None, other: Order | None) -> bool:
        """Return whether a place is before another one, as far as this can be said without the database."""
        return type(one) is int and type(other) is int and one < other

    def _problems(self, row: Prepared, event: StoredEvent, origin: Origin) -> list[str]:
        wanted = row.stored
        same = {
            "stream_id": wanted.stream_id == event.stream_id,
            "version": row.source_version == origin.version,
            "event_id": wanted.event_id == event.event_id,
            "event_type": wanted.event_type == event.event_type,
            "schema_version": wanted.schema_version == event.schema_version,
            "recorded_at": self._table.table_map.time is None or wanted.recorded_at == event.recorded_at,
            "data": self._has_same_data(wanted, event),
            "metadata": _metadata(wanted, event),
        }
        return [name for name, is_same in same.items() if not is_same]

    def _has_same_data(self, one: StoredEvent, other: StoredEvent) -> bool:
        try:
            return self._store.core.mapper.codec.holds_same_value((one.codec, one.data), (other.codec, other.data))
        except DecodingError:
            return False

    def _missing(self, row: Prepared) -> None:
        stream_id = row.stored.stream_id
        if stream_id not in self._ended_streams:
            ends = self._store.first_and_last(stream_id)
            self._ended_streams[stream_id] = ends is not None and ends[1].event_type in TOMBSTONE_ERRORS
        if self._ended_streams[stream_id]:
            self._ended += 1
        else:
            self._differ(row.order, stream_id, "is not stored")

    def _differ(self, order: Order | None, stream_id: str, problem: str) -> None:
        self._differences[stream_id] += 1
        if len(self._shown) < _SHOWN:
            self._shown.append(TableDifference(order, stream_id, problem))


def _metadata(wanted: StoredEvent, event: StoredEvent) -> bool:
    """Return whether the metadata is the same; tags may have been added."""
    one, other = decode_metadata(wanted.metadata), decode_metadata(event.metadata)
    tags, stored_tags = one.pop(TAGS_KEY, []), other.pop(TAGS_KEY, [])
    return _exact(one) == _exact(other) and set(tags) <= set(stored_tags)


def _exact(value: Any) -> bytes:
    return msgspec.json.encode(value, order="sorted")
