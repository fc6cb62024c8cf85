"""Import: the records of an export, stored in batches of one transaction each. An import can be repeated."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from eventstore.backends.protocol import Run
from eventstore.backends.running import check_positions
from eventstore.common.validation import check_flag, check_number
from eventstore.core.loading import EventLoader
from eventstore.core.schema_version import REQUIRED_BY_HISTORY_CHANGES, SchemaGate
from eventstore.errors import DamagedExport, InvalidInput
from eventstore.rows.mapper import StoredEvent
from eventstore.statements.projections import create_checkpoint
from eventstore.statements.transfer import insert_snapshot, set_times_of_stream
from eventstore.store import EventStore, check_store
from eventstore.transfer.files import Format, format_of, records_of
from eventstore.transfer.records import Beginning, Checkpoint, End, Record, SavedSnapshot, StreamTimes


@dataclass(frozen=True, slots=True)
class ImportProgress:
    """How far an import has come.

    Attributes:
        events: How many events were stored.
        repeated: How many were stored before.
        position: The position, in the export, of the last event so far.
    """

    events: int
    repeated: int
    position: int


@dataclass(frozen=True, slots=True)
class Imported:
    """The result of an import.

    Attributes:
        events: How many events were stored.
        repeated: How many were stored before, exactly as in the file.
        position: The position, in the exported store, up to which events were imported.
        snapshots: How many snapshots the file has.
        checkpoints: How many checkpoints it has.
    """

    events: int
    repeated: int
    position: int
    snapshots: int = 0
    checkpoints: int = 0


def import_events(
    store: EventStore,
    source: str | Path | IO[bytes],
    *,
    format: Format | None = None,  # noqa: A002  # the word for it
    keep_positions: bool = False,
    batch_size: int = 1000,
    on_progress: Callable[[ImportProgress], object] | None = None,
) -> Imported:
    """Store the events of an export with their ids, versions, times and, if asked, their positions.

    Each batch is one transaction. The import is idempotent: events that are stored already are recognised and left out,
    so repeat the call after an interruption. A conflict is refused: another event with the same id or version, or a
    version that does not follow. If an event says that its stream was deleted or archived, the import deletes the
    stream's earlier events, too.

    With `keep_positions`, each event keeps its place in the global order, including gaps, and checkpoints keep their
    meaning. This needs a database without other writers, and the database user must own the tables. Otherwise events
    get the next positions, in the order of the export, possibly between events of other writers.

    Args:
        store: The store to import into, not joined to a transaction.
        source: A path, or a binary file that is open for reading.
        format: As for `export_events`.
        keep_positions: Whether events keep their positions.
        batch_size: How many events to store in a transaction, at least 1.
        on_progress: Called after each batch.

    Raises:
        ImportConflict: An event conflicts with a stored one. Its batch was rolled back; the batches before are stored.
        DamagedExport: The file can't be read, or is not complete. The batches before are stored.
        InvalidInput: An argument is not valid, or the file has checkpoints and `keep_positions` is False.
        SchemaOutdated: The tables are older than `es_0006`.
        GlobalOrderError: New positions would not follow all stored ones; see `EventStore.append`.
        ExtraMissing: It is Parquet, and pyarrow is not installed.
    """
    check_store(store)
    check_number("batch_size", batch_size, minimum=1)
    check_flag("keep_positions", keep_positions)
    if store.engine.dialect.is_async:
        msg = "an import needs a store on a synchronous engine, made by sqlalchemy.create_engine"
        raise InvalidInput(msg)
    chosen = format_of(source, format)
    work = _Import(store, batch_size, on_progress, keep_positions=keep_positions)
    with records_of(source, chosen, store.core.mapper.codec) as records:
        return work.run(records)


class _Import:
    def __init__(
        self,
        store: EventStore,
        batch_size: int,
        on_progress: Callable[[ImportProgress], object] | None,
        *,
        keep_positions: bool,
    ) -> None:
        self._core = store.core
        self._batch_size = batch_size
        self._on_progress = on_progress
        self._keep_positions = keep_positions
        self._part = 0
        self._position: int | None = None
        self._events = self._repeated = self._snapshots = self._checkpoints = 0

    def run(self, records: Iterator[Record]) -> Imported:
        with self._core.execution.statement() as run:
            SchemaGate(REQUIRED_BY_HISTORY_CHANGES, suit=self._core.dialect.suit)(run)
        is_complete = False
        for batch in _batches(self._checked(records), self._batch_size):
            is_complete = isinstance(batch[-1], End)
            self._store_batch(batch)
        if not is_complete:
            raise DamagedExport("the last line", "is not its end; export the rest (resume), and import it again")
        return Imported(self._events, self._repeated, self._position or 0, self._snapshots, self._checkpoints)

    def _checked(self, records: Iterator[Record]) -> Iterator[Record]:
        """Yield the records, and refuse an export that lacks some or has them out of order."""
        for record in records:
            match record:
                case Beginning(after_position=after):
                    if self._position is not None and after != self._position:
                        raise DamagedExport(
                            "a part", f"begins after position {after}, but the part before it ends at {self._position}"
                        )
                    self._position, self._part = after, 0
                case _ if self._position is None:
                    raise DamagedExport("the first line", "is not the beginning of one")
                case StoredEvent(position=position):
                    if position <= self._position:
                        raise DamagedExport(
                            "some event", f"at position {position} follows one at position {self._position}"
                        )
                    self._position, self._part = position, self._part + 1
                case End(position=position, events=events):
                    if events != self._part or position < self._position:
                        raise DamagedExport("its end", f"says {events} events, but there are {self._part}")
                    self._position = position
            yield record

    def _store_batch(self, batch: list[Record]) -> None:
        events = [record for record in batch if isinstance(record, StoredEvent)]
        with self._core.begin() as core, core.execution.statement() as run:
            if not self._keep_positions:  # otherwise positions come from the file, and the sequence is advanced
                check_positions(run, core.dialect)
            loader = EventLoader(core, positions=self._keep_positions, in_order=True)
            stored = loader.load(run, events) if events else 0
            self._store_others(run, batch)
        self._events += stored
        self._repeated += len(events) - stored
        if events and self._on_progress is not None:
            self._on_progress(ImportProgress(self._events, self._repeated, events[-1].position))

    def _store_others(self, run: Run, batch: list[Record]) -> None:
        """Store the records that follow all events in an export: times of streams, snapshots, checkpoints."""
        from_time = self._core.dialect.from_time
        times: list[dict[str, Any]] = []
        snapshots: list[dict[str, Any]] = []
        for record in batch:
            match record:
                case StreamTimes():
                    times.append(
                        {
                            "of_stream": record.stream_id,
                            "at_version": record.version,
                            "created_at": from_time(record.created_at),
                            "updated_at": from_time(record.updated_at),
                        }
                    )
                case SavedSnapshot():
                    snapshots.append(
                        {
                            "stream_id": record.stream_id,
                            "schema_version": record.schema_version,
                            "version": record.version,
                            "codec": record.codec,
                            "state": record.state,
                            "created_at": from_time(record.created_at),
                        }
                    )
                case Checkpoint():
                    if not self._keep_positions:
                        msg = (
                            "the export has checkpoints, which are meaningful only with its positions; "
                            "pass keep_positions=True"
                        )
                        raise InvalidInput(msg)
                    run(create_checkpoint, name=record.name, position=record.position)
                    self._checkpoints += 1
        if times:
            run.many(set_times_of_stream, times)
        if snapshots:
            self._check_snapshots(run, snapshots)
            run.many(insert_snapshot, snapshots)
            self._snapshots += len(snapshots)

    def _check_snapshots(self, run: Run, snapshots: list[dict[str, Any]]) -> None:
        """Refuse a snapshot beyond the head of its stream: later it would hide events that are not in its state."""
        stream_ids = list({each["stream_id"]: None for each in snapshots})
        versions = self._core.dialect.lock_heads(run, stream_ids, create=())
        for each in snapshots:
            if each["version"] > versions.get(each["stream_id"], 0):
                problem = f"is at version {each['version']}, which the stream {each['stream_id']!r} has not reached"
                raise DamagedExport("a snapshot", problem)


def _batches(records: Iterator[Record], size: int) -> Iterator[list[Record]]:
    """Yield records in lists that have either events only, or no events."""
    batch: list[Record] = []
    for record in records:
        if batch and (len(batch) == size or isinstance(record, StoredEvent) is not isinstance(batch[-1], StoredEvent)):
            yield batch
            batch = []
        batch.append(record)
    if batch:
        yield batch
