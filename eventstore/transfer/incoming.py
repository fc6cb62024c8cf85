"""Events of another program on their way into a store: as they are given, and as they will be stored."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Self
from uuid import UUID, uuid5

from eventstore.codecs.metadata import decode_metadata, encode_metadata
from eventstore.common.validation import (
    check_event_type,
    check_number,
    check_schema_version,
    check_stream_id,
    check_tags,
)
from eventstore.core.core import Core
from eventstore.errors import InvalidEvent, InvalidMetadata
from eventstore.events import TOMBSTONE_ERRORS, NewEvent
from eventstore.rows.mapper import StoredEvent

IMPORTED_KEY: Final = "$imported"
"""The key of metadata that says where an event comes from: `{"from": source, "version": …, "order": …}`."""

Order = int | list[int | float | str]
"""The place of a row in its source: the value of its order column, or those of several columns."""

_NAMESPACE: Final = UUID("6f1a1f0e-6c53-5c0f-9d3b-8d1c1b1f6a55")


@dataclass(frozen=True, slots=True)
class SourceEvent:
    """An event of another program, for `load`.

    Attributes:
        stream_id: The stream that it will be in, 1 to 255 characters.
        version: Its version in the source, from 0. In a stream, versions ascend; they may begin anywhere and have gaps.
            The store numbers the events of a stream 1, 2, 3, …, and keeps this version in the metadata.
        event_type: Its event type, 1 to 255 characters.
        data: Any value that the codec can store exactly, usually a mapping.
        recorded_at: When it happened, with a time zone. Defaults to None: the time of the import.
        event_id: Its id. Defaults to None: a UUIDv5 of the source, the stream and the version, the same in each import.
        metadata: JSON values by string keys.
        schema_version: The version of the structure of `data`, from 1.
        tags: As for `NewEvent`. Those that the registered classes give are added.
        order: Its place in the order of the source, kept in the metadata; `last_loaded` returns it, to continue there.
    """

    stream_id: str
    version: int
    event_type: str
    data: Any
    recorded_at: datetime | None = None
    event_id: UUID | None = None
    metadata: Mapping[str, Any] | None = None
    schema_version: int = 1
    tags: Iterable[str] = ()
    order: Order | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a stored event was imported from, as its metadata says.

    Attributes:
        source: The name of the source.
        version: The version there.
        order: The place in the order of the source; None if it was not given.
    """

    source: str
    version: int
    order: Order | None

    @classmethod
    def of(cls, metadata: str | None) -> Self | None:
        """Return the origin that stored metadata has; None if the event was not imported from a source."""
        value = decode_metadata(metadata).get(IMPORTED_KEY) if metadata and IMPORTED_KEY in metadata else None
        if (
            not isinstance(value, dict)
            or not isinstance(value.get("from"), str)
            or type(value.get("version")) is not int
        ):
            return None
        return cls(value["from"], value["version"], value.get("order"))


@dataclass(frozen=True, slots=True)
class Prepared:
    """An event that was checked and encoded, and has no version in the store yet.

    Attributes:
        place: Which one it is, for errors.
        source_version: The version in the source.
        order: The place in the order of the source.
        stored: The columns that will be stored; the version is that of the source.
    """

    place: str
    source_version: int
    order: Order | None
    stored: StoredEvent


class Preparer:
    """Checks and encodes events of one source for one store.

    Args:
        core: The core of the store, with the event types that give tags.
        source: The name of the source.
    """

    def __init__(self, core: Core, source: str) -> None:
        self._codec = core.mapper.codec
        self._event_types = core.mapper.event_types
        self._known = frozenset(core.mapper.event_types.newest)
        self._source = source
        self._now = datetime.now(UTC)

    def prepare(self, event: SourceEvent, place: str) -> Prepared:
        """Check and encode an event.

        Raises:
            EventStoreError: It can't be stored.
        """
        stream_id, event_type = check_stream_id(event.stream_id), check_event_type(event.event_type)
        version = check_number("its version", event.version)
        if event_type in TOMBSTONE_ERRORS:
            msg = f"its type is {event_type!r}, which only the store appends; rename it"
            raise InvalidEvent(msg)
        codec, data = self._codec.encode(event.data, index=0, event_type=event_type)
        schema_version = check_schema_version(event.schema_version)
        tags = self._tags(event, event_type, schema_version, codec, data)
        metadata = event.metadata
        if metadata is not None and not isinstance(metadata, Mapping):
            raise InvalidMetadata("$", f"is not a mapping but {type(metadata).__name__}")
        if metadata is not None and IMPORTED_KEY in metadata:
            raise InvalidMetadata("$", f"has the key {IMPORTED_KEY}, which imports use; rename it")
        origin: dict[str, Any] = {"from": self._source, "version": version}
        if event.order is not None:
            origin["order"] = event.order
        text = encode_metadata({**(metadata or {}), IMPORTED_KEY: origin}, tags)
        stored = StoredEvent(
            0, stream_id, version, self._event_id(event.event_id, stream_id, version), event_type, schema_version,
            codec, data, text, self._now if event.recorded_at is None else _in_utc(event.recorded_at),
        )  # fmt: skip
        return Prepared(place, version, event.order, stored)

    def _event_id(self, event_id: object, stream_id: str, version: int) -> UUID:
        if event_id is None:
            return uuid5(_NAMESPACE, f"{self._source}\0{stream_id}\0{version}")
        if not isinstance(event_id, UUID):
            msg = f"its event id must be a uuid.UUID, not {type(event_id).__name__}"
            raise InvalidEvent(msg)
        return event_id

    def _tags(
        self, event: SourceEvent, event_type: str, schema_version: int, codec: int, data: bytes
    ) -> tuple[str, ...]:
        """Return the tags given and those of the classes, which also checks that the data fits the classes."""
        given = check_tags(event.tags) if event.tags != () else ()
        if event_type not in self._known and self._codec.is_exact:  # neither a class nor an upcaster reads the data
            self._event_types.from_plain(event_type, schema_version, None)
            return given
        found = dict.fromkeys(given)
        for plain in self._event_types.upcast(event_type, schema_version, self._codec.decode(codec, data)):
            value = self._event_types.from_plain(plain.event_type, plain.schema_version, plain.data)
            if self._event_types.derives_tags:
                found |= dict.fromkeys(self._event_types.tags_of(NewEvent(plain.event_type, value)))
        return check_tags(list(found))


def _in_utc(time: object) -> datetime:
    if not isinstance(time, datetime) or time.tzinfo is None:
        what = "has no time zone" if isinstance(time, datetime) else f"is no datetime but {type(time).__name__}"
        msg = f"its time {what}"
        raise InvalidEvent(msg)
    try:
        return time.astimezone(UTC)
    except OverflowError:  # in the first or last hours of the calendar
        msg = "its time in UTC is outside of the years 1 to 9999"
        raise InvalidEvent(msg) from None
