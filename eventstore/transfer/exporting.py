"""Export: the settled events of a store in the global order and, if asked for, snapshots and checkpoints."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

from eventstore.common.validation import check_flag, check_seconds
from eventstore.core.global_order import GlobalOrder
from eventstore.core.schema_version import REQUIRED_BY_HISTORY_CHANGES, SchemaGate
from eventstore.errors import InvalidInput
from eventstore.filters import TAGS, EventFilter, combine
from eventstore.rows.mapper import StoredEvent
from eventstore.statements.listing import list_streams
from eventstore.statements.projections import find_checkpoints
from eventstore.statements.transfer import page_of_snapshots
from eventstore.store import EventStore, check_store
from eventstore.streams import StreamOrder
from eventstore.tokens import After, PositionToken
from eventstore.transfer.files import Format, Writer, format_of, writer_to
from eventstore.transfer.records import Beginning, Checkpoint, End, SavedSnapshot, StreamTimes
from eventstore.transfer.resuming import FileEnd, read_end


@dataclass(frozen=True, slots=True)
class ExportProgress:
    """How far an export has come.

    Attributes:
        events: How many events were written.
        position: The position up to which events were exported.
        end: The newest position when the export began, which is where it ends.
    """

    events: int
    position: int
    end: int


@dataclass(frozen=True, slots=True)
class Exported:
    """The result of an export.

    Attributes:
        events: How many events this call exported.
        position: The file has every matching event up to here, inclusive, and none after it. The next export
            continues after it.
        streams: How many streams were exported, each with the times of its first and last event.
        snapshots: How many snapshots.
        checkpoints: How many checkpoints.
        token: The same place as `position`, together with the last event; None if no event is known.
    """

    events: int
    position: int
    streams: int = 0
    snapshots: int = 0
    checkpoints: int = 0
    token: PositionToken | None = None


def export_events(
    store: EventStore,
    target: str | Path | IO[bytes],
    *filters: EventFilter,
    format: Format | None = None,  # noqa: A002  # the word for it
    after_position: int | PositionToken = 0,
    resume: bool = False,
    snapshots: bool = False,
    checkpoints: bool = False,
    wait_seconds: float = 60.0,
    on_progress: Callable[[ExportProgress], object] | None = None,
) -> Exported:
    """Write the events of a store to a file, as they are stored.

    Only settled events are written, up to the newest event at the beginning of the export. The file is therefore
    complete up to a position and has nothing after it, even if other processes append meanwhile. Memory holds one page
    of events. An existing file is opened only after the first page was read, so wrong arguments or tables leave it
    unchanged.

    Args:
        store: The store, not joined to a transaction.
        target: A path, which is overwritten, or a binary file that is open for writing.
        filters: What to export; see `EventStore.read_all`. Defaults to none: all events. An export that is filtered by
            event type or tag has gaps in its streams and can't be imported.
        format: `json-lines` or `parquet` (extra `arrow`). Defaults to the format of the path's suffix, `.jsonl` or
            `.parquet`.
        after_position: Exclusive; export events of higher positions. Defaults to 0: from the first event.
        resume: Continue an existing file of JSON Lines after its last event, with the same filters; an incomplete line
            at its end is removed. Only the first line and the end of the file are read. A missing file is created.
        snapshots: Whether to write the snapshots, too (JSON Lines, without filters).
        checkpoints: Whether to write the checkpoints of projections, too (JSON Lines, without filters). Partitions of
            one must be at the same position.
        wait_seconds: How long to wait, in all, for appends in progress. After that, the export ends before them.
        on_progress: Called after each page.

    Raises:
        InvalidInput: An argument is not valid, or the file to resume was exported with other filters.
        UnsuitableTransaction: The store is joined to a transaction that can't read the global order.
        SchemaOutdated: The tables are older than `es_0006`.
        DamagedExport: The file to resume is not an export; it was left unchanged.
        ExtraMissing: Parquet was asked for, and pyarrow is not installed.
    """
    check_store(store, may_be_joined=True)
    after = After.of(after_position)
    for name, flag in (("resume", resume), ("snapshots", snapshots), ("checkpoints", checkpoints)):
        check_flag(name, flag)
    check_seconds("wait_seconds", wait_seconds)
    combined = combine(filters)
    chosen = format_of(target, format)
    if (snapshots or checkpoints) and (chosen is not Format.JSON_LINES or combined):
        msg = "snapshots and checkpoints are exported as JSON Lines, together with all events"
        raise InvalidInput(msg)
    filters_text = "; ".join(map(_filter_text, combined))
    end = FileEnd(position=after.position, last=after.token)
    if resume:
        if after.position or chosen is not Format.JSON_LINES or not isinstance(target, str | Path):
            msg = (
                "resume takes the path of a file of JSON Lines and no after_position: it continues after the last event"
            )
            raise InvalidInput(msg)
        end = read_end(Path(target))
        if end.filters is not None and end.filters != filters_text:
            before, now = (_without_tags(text) for text in (end.filters, filters_text))
            msg = (
                f"{str(target)!r} is an export of {before}, so an export of {now} can't continue it; pass the same "
                "filters, or name another file"
            )
            raise InvalidInput(msg)
    export = _Export(store, combined, filters_text, wait_seconds, on_progress)
    keep_bytes = end.size if resume else None
    return export.run(
        lambda: writer_to(target, chosen, store.core.mapper.codec, keep_bytes=keep_bytes),
        end.after,
        snapshots=snapshots,
        checkpoints=checkpoints,
    )


@contextmanager
def _closing(writer: Writer) -> Iterator[Writer]:
    try:
        yield writer
    finally:
        writer.close()


class _Export:
    def __init__(
        self,
        store: EventStore,
        filters: tuple[EventFilter, ...],
        filters_text: str,
        wait_seconds: float,
        on_progress: Callable[[ExportProgress], object] | None,
    ) -> None:
        self._store = store
        self._filters = filters
        self._filters_text = filters_text
        self._wait_seconds = wait_seconds
        self._on_progress = on_progress
        self._to_time = store.core.dialect.to_time

    def run(self, open_writer: Callable[[], Writer], after: After, *, snapshots: bool, checkpoints: bool) -> Exported:
        with self._store.core.execution.statement() as run:
            SchemaGate(REQUIRED_BY_HISTORY_CHANGES)(run)
        # read before the events, so that no checkpoint is ahead of the exported events
        positions = list(self._checkpoints()) if checkpoints else []
        pages = GlobalOrder(self._store.core).pages(
            self._filters, after_position=after, limit=None, wait_seconds=self._wait_seconds
        )
        first = list(islice(pages, 1))  # read before the file is opened, and so overwritten
        if snapshots:
            next(self._snapshots(), None)
        with _closing(open_writer()) as writer:
            writer.write(Beginning(after.position, self._filters_text))
            events, last = 0, after.token
            end = first[0].newest if first else 0
            for page in chain(first, pages):
                for row in page.rows:
                    writer.write(StoredEvent.of(row, self._store.core.dialect.to_uuid, self._to_time))
                if page.rows:
                    last = GlobalOrder(self._store.core).token_of(page.rows[-1])
                events, after = events + len(page.rows), page.after
                writer.flush()
                if self._on_progress is not None:
                    self._on_progress(ExportProgress(events, after.position, end))
            streams = self._write_all(writer, self._streams())
            snapshot_count = self._write_all(writer, self._snapshots()) if snapshots else 0
            reached = (checkpoint for checkpoint in positions if checkpoint.position <= after.position)
            checkpoint_count = self._write_all(writer, reached)
            writer.write(End(after.position, events, last))
        return Exported(events, after.position, streams, snapshot_count, checkpoint_count, after.token)

    def _write_all(self, writer: Writer, records: Iterator[Any]) -> int:
        count = 0
        for record in records:
            writer.write(record)
            count += 1
        return count

    def _streams(self) -> Iterator[StreamTimes]:
        if any({"event_types", TAGS} & filter_.named.keys() for filter_ in self._filters):
            return  # their streams have gaps
        by_id = list_streams(StreamOrder.ID, of_category=False, is_first=False)
        for row in self._keyset(by_id, stream_id=0):
            stream_id, version, created_at, updated_at = row
            if version and (not self._filters or any(each.matches_stream(stream_id) for each in self._filters)):
                yield StreamTimes(stream_id, version, self._to_time(created_at), self._to_time(updated_at))

    def _snapshots(self) -> Iterator[SavedSnapshot]:
        for row in self._keyset(page_of_snapshots, stream_id=0, schema_version=1):
            stream_id, schema_version, version, codec, state, created_at = row
            yield SavedSnapshot(stream_id, schema_version, version, codec, bytes(state), self._to_time(created_at))

    def _keyset(self, statement: Any, **columns: int) -> Iterator[tuple[Any, ...]]:
        after: dict[str, Any] = {f"after_{name}": "" if name == "stream_id" else 0 for name in columns}
        size = self._store.core.page_size
        while True:
            with self._store.core.execution.statement() as run:
                rows = run(statement, **after, page_size=size)
            yield from rows
            if len(rows) < size:
                return
            after = {f"after_{name}": rows[-1][column] for name, column in columns.items()}

    def _checkpoints(self) -> Iterator[Checkpoint]:
        with self._store.core.execution.statement() as run:
            rows = run(find_checkpoints)
        positions: dict[str, int] = {}
        for name, position, *_ in rows:
            if positions.setdefault(name, position) != position:
                msg = (
                    f"projection {name!r} has partitions at different positions, and an export has one for each "
                    "projection; give it one partition first (ProjectionAdmin.set_partitions)"
                )
                raise InvalidInput(msg)
        for name, position in positions.items():
            yield Checkpoint(name, position)


def _filter_text(filter_: EventFilter) -> str:
    return " and ".join(f"{field} {', '.join(names)}" for field, names in filter_.named.items())


def _without_tags(filters_text: str) -> str:
    """Return the text of filters for an error, which names no tag, because tags may be personal data."""
    return "events with tags" if f"{TAGS} " in filters_text else filters_text or "all events"
