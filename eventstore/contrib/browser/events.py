"""Events as they are shown: what is stored, and beside it what the application reads. One bad row hides no other."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from eventstore.backends.protocol import Row
from eventstore.codecs.metadata import decode_metadata, pop_tags
from eventstore.contrib.browser.plain import plain
from eventstore.contrib.browser.redaction import Hidden, Redact, Shown, redacted
from eventstore.errors import DecodingError, HistoryDetached, StreamDeleted
from eventstore.events import TOMBSTONE_ERRORS, RecordedEvent
from eventstore.rows.mapper import StoredEvent
from eventstore.store import EventStore

_CODECS: Final = {1: "MessagePack", 2: "JSON"}
_ZSTD: Final = 256
_BYTES_SHOWN: Final = 256


@dataclass(frozen=True, slots=True)
class ReadEvent:
    """An event that the application reads from a stored one.

    Attributes:
        event_type: Its type.
        schema_version: Its schema version.
        data: Its data, as plain data, redacted.
    """

    event_type: str
    schema_version: int
    data: Any


@dataclass(frozen=True, slots=True)
class ShownEvent:
    """A stored event, with what is shown of it.

    Attributes:
        position: Its position in the global order.
        stream_id: The stream.
        version: Its version in the stream.
        event_id: Its id.
        event_type: The stored type.
        schema_version: The stored schema version.
        recorded_at: When the database stored it, in UTC.
        encoding: The codec of the payload, and its size.
        stored: The stored data, redacted; None if it can't be read.
        problem: Why the stored data can't be read, or the metadata; None if they can.
        excerpt: The first bytes of data that can't be read; None if it can, or if the application redacts.
        read: The events that the application reads from it, if these are not just what is stored; a splitter makes
            several or none.
        read_problem: Why the application can't read it; None if it can.
        is_changed: Whether the application reads something else than what is stored.
        metadata: The metadata without the tags, redacted.
        tags: The tags.
    """

    position: int
    stream_id: str
    version: int
    event_id: UUID
    event_type: str
    schema_version: int
    recorded_at: datetime
    encoding: str
    stored: Any
    problem: str | None
    excerpt: str | None
    read: tuple[ReadEvent, ...]
    read_problem: str | None
    is_changed: bool
    metadata: Any
    tags: tuple[str, ...]

    @property
    def recorded(self) -> RecordedEvent:
        """The stored event, with the metadata that is shown."""
        metadata = self.metadata if isinstance(self.metadata, dict) else {}
        return RecordedEvent(
            self.position, self.stream_id, self.version, self.event_id, self.event_type, self.schema_version,
            self.stored, metadata, self.recorded_at, self.tags,
        )  # fmt: skip

    @property
    def is_tombstone(self) -> bool:
        """Whether it says that the stream was deleted or archived."""
        return self.event_type in TOMBSTONE_ERRORS

    @property
    def tombstone(self) -> str:
        """What happened to the stream."""
        return "deleted" if TOMBSTONE_ERRORS[self.event_type] is StreamDeleted else "archived"


def shown_events(store: EventStore, redact: Redact | None, rows: Iterable[Row]) -> list[ShownEvent]:
    """Return what is shown of rows of events."""
    return [_shown(store, redact, row) for row in rows]


def until_detached(rows: Iterable[Row]) -> tuple[list[Row], HistoryDetached | None]:
    """Return rows, and the error that has ended them if those that follow were detached."""
    found: list[Row] = []
    try:
        found.extend(rows)
    except HistoryDetached as error:
        return found, error
    return found, None


def _shown(store: EventStore, redact: Redact | None, row: Row) -> ShownEvent:
    dialect, mapper = store.core.dialect, store.core.mapper
    event = StoredEvent.of(tuple(row), dialect.to_uuid, dialect.to_time)
    stored, problem, excerpt = None, None, None
    try:
        decoded = mapper.codec.decode(event.codec, event.data)
        stored = redacted(redact, Shown("data", event.stream_id, event.event_type, decoded))
    except DecodingError as error:
        problem = error.problem
        excerpt = _excerpt(event.data) if redact is None else None
    read: tuple[ReadEvent, ...] = ()
    read_problem = None
    is_changed = False
    if problem is None:
        try:
            events = list(mapper.recorded([row], dialect.to_uuid, dialect.to_time))
        except DecodingError as error:
            read_problem = error.problem
        else:
            as_plain = [plain(each.data, is_redacted=redact is not None) for each in events]
            is_changed = [(each.event_type, each.schema_version) for each in events] != [
                (event.event_type, event.schema_version)
            ] or not _is_same(as_plain[0], decoded)
            read = tuple(
                ReadEvent(
                    each.event_type,
                    each.schema_version,
                    redacted(redact, Shown("data", event.stream_id, each.event_type, data)),
                )
                for each, data in zip(events, as_plain, strict=True)
            )
    metadata, tags, metadata_problem = _metadata(event, redact)
    return ShownEvent(
        event.position,
        event.stream_id,
        event.version,
        event.event_id,
        event.event_type,
        event.schema_version,
        event.recorded_at,
        _encoding(event),
        stored,
        problem or metadata_problem,
        excerpt,
        read if is_changed else (),
        read_problem,
        is_changed,
        metadata,
        tags,
    )


def _is_same(one: Any, other: Any) -> bool:
    try:
        return bool(one == other) or repr(one) == repr(other)  # NaN is not equal to itself
    except Exception:  # noqa: BLE001  # values of an application's codec compare as they like
        return False


def _metadata(event: StoredEvent, redact: Redact | None) -> tuple[Any, tuple[str, ...], str | None]:
    if event.metadata is None:
        return {}, (), None
    try:
        metadata = decode_metadata(event.metadata)
    except DecodingError as error:
        return Hidden("not shown, because it can't be read"), (), error.problem
    tags = pop_tags(metadata)
    return redacted(redact, Shown("metadata", event.stream_id, event.event_type, metadata)), tags, None


def _encoding(event: StoredEvent) -> str:
    number = event.codec & ~_ZSTD
    name = _CODECS.get(number, f"codec {number}")
    compressed = ", compressed with zstd" if event.codec & _ZSTD else ""
    return f"{name}{compressed}, {len(event.data):,} byte{'' if len(event.data) == 1 else 's'}"


def _excerpt(data: bytes) -> str:
    """Return the first bytes in lines of 16."""
    lines = [data[start : start + 16].hex(" ") for start in range(0, min(len(data), _BYTES_SHOWN), 16)]
    return "\n".join([*lines, "…"] if len(data) > _BYTES_SHOWN else lines)
