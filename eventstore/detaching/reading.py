"""Reading an exported part: the same events as the store would return, checked against the manifest."""

from collections.abc import Iterator
from pathlib import Path

from eventstore.common.validation import check_flag, check_stream_id
from eventstore.detaching.manifest import Manifest, PartFile, digest
from eventstore.errors import DamagedExport
from eventstore.events import RecordedEvent
from eventstore.rows.mapper import StoredEvent
from eventstore.store import EventStore, check_store
from eventstore.transfer import Imported, import_events
from eventstore.transfer.parquet import read_parquet, read_parquet_of_stream


def read_part(
    store: EventStore, folder: str | Path, *, stream_id: str | None = None, check: bool = True, upcast: bool = True
) -> Iterator[RecordedEvent]:
    """Return the events of an exported part, in order of position, as the store would return them.

    The store decodes them, by its codecs and event types; its database is not used. So it may be another one, such as
    `EventStore.from_url("sqlite://")`. Memory holds 10,000 events, or 64 MB of them.

    Args:
        store: Whose codecs and event types decode the events.
        folder: The folder of the export.
        stream_id: Return only the events of this stream. It is found in milliseconds if the part was exported with
            `by_stream`, and `check` is False; otherwise all events are read.
        check: Whether to compare the file with its SHA-256 before the first event.
        upcast: Pass False to get the events as they were stored, without upcasters and classes.

    Raises:
        DamagedExport: The manifest or the file is missing or damaged; while it iterates, the events are not those that
            the manifest names.
        DecodingError: While it iterates, data can't be read, or does not fit the registered class.
        ExtraMissing: pyarrow is not installed.
    """
    check_store(store, may_be_joined=True)
    check_flag("check", check)
    check_flag("upcast", upcast)
    if stream_id is not None:
        stream_id = check_stream_id(stream_id)
    manifest = Manifest.read(folder)
    file = (manifest.file("stream") if stream_id is not None else None) or _by_position(manifest)
    if check:
        _check_file(Path(folder), file)
    events = stored_events(folder, manifest, file, stream_id)
    rows = (
        (
            event.position, event.stream_id, event.version, event.event_id, event.event_type, event.schema_version,
            event.codec, event.data, event.metadata, event.recorded_at,
        )
        for event in events
    )  # fmt: skip
    return store.core.mapper.recorded(rows, lambda value: value, lambda value: value, upcast=upcast)


def check_part(folder: str | Path) -> Manifest:
    """Check an exported part completely, and return its manifest.

    Each file must have the size and the SHA-256 of the manifest, and the number of events that it names. The events in
    order of position must be strictly ascending, from the first to the last one that it names.

    Raises:
        DamagedExport: Something is missing, damaged or different.
        ExtraMissing: pyarrow is not installed.
    """
    manifest = Manifest.read(folder)
    for file in manifest.files:
        _check_file(Path(folder), file)
        for _ in stored_events(folder, manifest, file):
            pass
    return manifest


def load_part(store: EventStore, folder: str | Path, *, batch_size: int = 1000) -> Imported:
    """Store the events of an exported part in another store, at the same positions, after checking the export.

    Load parts in order, from the oldest, into a store without other events: a stream that continues in the part needs
    its earlier events. It is an import, so repeat it after an interruption.

    Args:
        store: The store, without other writers. The database user must own its tables. On PostgreSQL it must not be the
            one that the part was detached from: attach the table there instead.
        folder: The folder of the export.
        batch_size: How many events to store in a transaction, at least 1.

    Raises:
        DamagedExport: The export is damaged. Nothing was stored.
        ImportConflict: An event conflicts with what is stored. Its batch was rolled back; those before are stored.
        ExtraMissing: pyarrow is not installed.
    """
    manifest = check_part(folder)
    path = Path(folder) / _by_position(manifest).name
    return import_events(store, path, keep_positions=True, batch_size=batch_size)


def stored_events(
    folder: str | Path, manifest: Manifest, file: PartFile, stream_id: str | None = None
) -> Iterator[StoredEvent]:
    """Yield the events of a file as they are stored, and check that they are all that the manifest names.

    Args:
        folder: The folder of the export.
        manifest: Its manifest.
        file: One of its files.
        stream_id: Yield only the events of this stream. If the file is sorted by stream, other events are not read.
    """
    path = Path(folder) / file.name
    try:
        if stream_id is not None and file.order == "stream":
            yield from read_parquet_of_stream(path, stream_id)
            return
        for event in _checked(manifest, file, read_parquet(path)):
            if stream_id is None or event.stream_id == stream_id:
                yield event
    except FileNotFoundError:
        raise _missing(path) from None
    except DamagedExport as error:
        raise error.of(str(path)) from None


def _checked(manifest: Manifest, file: PartFile, records: Iterator[object]) -> Iterator[StoredEvent]:
    count, last = 0, None
    for event in records:
        if not isinstance(event, StoredEvent):
            continue
        if not manifest.first_position <= event.position <= manifest.last_position:
            raise DamagedExport(f"the event at position {event.position}", "is not of the part in its manifest")
        if last is not None and _key(event, file.order) <= _key(last, file.order):
            raise DamagedExport(f"the event at position {event.position}", "is out of order")
        if event.position in {manifest.first_position, manifest.last_position} and (
            event.event_id
            != (manifest.first_event_id if event.position == manifest.first_position else manifest.last_event_id)
        ):
            raise DamagedExport(f"the event at position {event.position}", "is another one than its manifest names")
        count, last = count + 1, event
        yield event
    if count != manifest.events:
        raise DamagedExport("its end", f"comes after {count} events, but its manifest names {manifest.events}")


def _key(event: StoredEvent, order: str) -> tuple[bytes, int]:
    return (b"", event.position) if order == "position" else (event.stream_id.encode(), event.version)


def _by_position(manifest: Manifest) -> PartFile:
    file = manifest.file("position")
    if file is None:
        raise DamagedExport("its manifest", "names no file in order of position")
    return file


def _check_file(folder: Path, file: PartFile) -> None:
    path = folder / file.name
    try:
        found = digest(path)
    except FileNotFoundError:
        raise _missing(path) from None
    if found != (file.size, file.sha256):
        raise DamagedExport("the content", "is not what its manifest says (SHA-256)", file=str(path))


def _missing(path: Path) -> DamagedExport:
    return DamagedExport("a file", "is missing", file=str(path))
