"""Export of a part of the log: a folder of Parquet files and a manifest, which appears only when it is complete."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Final

from eventstore.backends.protocol import Row
from eventstore.common.validation import check_flag
from eventstore.detaching.manifest import BY_POSITION, BY_STREAM, MANIFEST, Manifest, file_of, to_disk
from eventstore.detaching.partition import check_full, find_part, parts_of_store
from eventstore.detaching.reading import check_part, stored_events
from eventstore.errors import DamagedExport, InvalidInput
from eventstore.parts import Part, PartState
from eventstore.rows.mapper import POSITION, STREAM_ID, VERSION, StoredEvent
from eventstore.statements.parts import ends_of_part, page_of_part, page_of_part_by_stream
from eventstore.statements.schema import schema_version
from eventstore.store import EventStore
from eventstore.transfer.parquet import ParquetWriter
from eventstore.transfer.records import Beginning, End

_ORDERS: Final = {"position": BY_POSITION, "stream": BY_STREAM}


@dataclass(frozen=True, slots=True)
class PartProgress:
    """How far an export of a part has come.

    Attributes:
        step: `export`, or `compare` while what was written is read back, and compared with the table.
        events: How many events it has passed in this step.
        of: How many it has to.
    """

    step: str
    events: int
    of: int


OnProgress = Callable[[PartProgress], object]


def export_part(
    store: EventStore,
    name: str,
    folder: str | Path,
    *,
    by_stream: bool = False,
    on_progress: OnProgress | None = None,
) -> Manifest:
    """Write the events of a partition of es_events to a new folder, read them back, and compare them with the table.

    The folder gets `events.parquet`, in order of position, and `manifest.json`, with the SHA-256 of each file. It
    appears under its name when it is complete, compared and on disk; until then, its name ends in `.partial`. So repeat
    an export that was interrupted: what it has left is removed. If the folder already has an export of the same events,
    that is compared again, and left unchanged.

    `events.parquet` is also an export that `import_events` reads. Memory holds a page of events, and a row group of at
    most 10,000 events or 64 MB. Appends and reads go on: it takes no lock that they wait for.

    Args:
        store: The store, on PostgreSQL, not joined to a transaction.
        name: The name of the partition, such as `es_events_1`; also of one that was detached and kept.
        folder: The folder to create.
        by_stream: Whether to write the events a second time, in order of stream and version, to
            `events-by-stream.parquet`: twice the space, and `read_part` finds a stream in milliseconds.
        on_progress: Called after each page.

    Raises:
        InvalidInput: There is no such partition, or it has no events, or it is not full, so that events may still be
            appended to it; or the folder has an export of other events.
        DamagedExport: What was written can't be read back, or differs from the table.
        SchemaOutdated: The tables are older than `es_0011`.
        ExtraMissing: pyarrow is not installed.
        OSError: The folder can't be written.
    """
    check_flag("by_stream", by_stream)
    partition = find_part(parts_of_store(store), name)
    if partition.state is PartState.DROPPED:
        msg = f"the table {name} was dropped after it was detached, so it can't be exported any more"
        raise InvalidInput(msg)
    check_full(store, partition)
    target = Path(folder)
    if not target.exists():
        partial = target.with_name(f"{target.name}.partial")
        if partial.exists():
            shutil.rmtree(partial)
        partial.mkdir(parents=True)
        manifest = _write(store, partition, partial, by_stream=by_stream, on_progress=on_progress)
        compare_part(store, partition, partial, on_progress=on_progress)
        to_disk(partial)
        partial.rename(target)
        to_disk(target.parent)
        return manifest
    manifest = compare_part(store, partition, target, on_progress=on_progress)
    if by_stream and manifest.file("stream") is None:
        msg = f"{str(target)!r} is an export of {name} without its events by stream; name another folder"
        raise InvalidInput(msg)
    return manifest


def compare_part(
    store: EventStore, partition: Part, folder: str | Path, *, on_progress: OnProgress | None = None
) -> Manifest:
    """Read an export back completely, and compare it with the table, event by event and column by column.

    Raises:
        DamagedExport: It is damaged, or has other events than the table.
    """
    manifest = check_part(folder)
    if manifest.part != partition.name:
        msg = f"{str(folder)!r} is an export of {manifest.part}, not of {partition.name}; name another folder"
        raise InvalidInput(msg)
    for file in manifest.files:
        exported = stored_events(folder, manifest, file)
        for number, (written, stored) in enumerate(zip_longest(exported, _events(store, partition, file.order)), 1):
            if written != stored:
                position = (written or stored).position
                problem = (
                    f"differs from the table {partition.name}, or is only in one of both; if events were deleted since "
                    "the export, remove the folder and export again"
                )
                raise DamagedExport(f"the event at position {position}", problem, file=str(Path(folder) / file.name))
            _report(on_progress, store, "compare", number, manifest.events)
    return manifest


def ends_of(store: EventStore, partition: Part) -> tuple[int, int, int]:
    """Return how many events a partition has, and the first and last position of these; (0, 0, 0) if it has none."""
    with store.core.execution.statement() as run:
        ((events, first, last),) = run(ends_of_part(partition.name))
    return events, first or 0, last or 0


def _write(
    store: EventStore, partition: Part, folder: Path, *, by_stream: bool, on_progress: OnProgress | None
) -> Manifest:
    count, first_position, last_position = ends_of(store, partition)
    if not count:
        msg = f"the partition {partition.name} has no events, so there is nothing to export"
        raise InvalidInput(msg)
    ids = {}
    files = []
    for order in ("position", "stream") if by_stream else ("position",):
        path = folder / _ORDERS[order]
        with path.open("wb") as file:
            writer = ParquetWriter(file, store.core.mapper.codec)
            writer.write(Beginning(first_position - 1))
            number = 0
            for number, event in enumerate(_events(store, partition, order), 1):
                if event.position in {first_position, last_position}:
                    ids[event.position] = event.event_id
                writer.write(event)
                _report(on_progress, store, "export", number, count)
            writer.write(End(last_position, number))
            writer.close()
        to_disk(path)
        files.append(file_of(path, order))
    with store.core.execution.statement() as run:
        version = run(schema_version)[0][0]
    manifest = Manifest(
        partition.name, first_position, last_position, count, ids[first_position], ids[last_position], version,
        tuple(files),
    )  # fmt: skip
    path = folder / MANIFEST
    path.write_text(manifest.text, "utf-8")
    to_disk(path)
    return manifest


def _events(store: EventStore, partition: Part, order: str) -> Iterator[StoredEvent]:
    dialect = store.core.dialect
    for row in _rows(store, partition, order):
        yield StoredEvent.of(row, dialect.to_uuid, dialect.to_time)


def _rows(store: EventStore, partition: Part, order: str) -> Iterator[Row]:
    is_by_position, size = order == "position", store.core.page_size
    statement = page_of_part(partition.name) if is_by_position else page_of_part_by_stream(partition.name)
    after: dict[str, object] = {"after_position": 0} if is_by_position else {"after_stream_id": "", "after_version": 0}
    while True:
        with store.core.execution.statement() as run:
            rows = run(statement, **after, page_size=size)
        yield from rows
        if len(rows) < size:
            return
        last = rows[-1]
        after = (
            {"after_position": last[POSITION]}
            if is_by_position
            else {"after_stream_id": last[STREAM_ID], "after_version": last[VERSION]}
        )


def _report(on_progress: OnProgress | None, store: EventStore, step: str, number: int, of: int) -> None:
    if on_progress is not None and (number % store.core.page_size == 0 or number == of):
        on_progress(PartProgress(step, number, of))
