"""The conversion between events and rows."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Self
from uuid import UUID

from eventstore.codecs import MessagePackCodec
from eventstore.codecs.exactness import difference, value_at
from eventstore.codecs.metadata import (
    METADATA_DECODER,
    TAGS_KEY,
    decode_metadata,
    encode_metadata,
    pop_tags,
)
from eventstore.codecs.payload import PayloadCodec
from eventstore.common.validation import MAX_VERSION
from eventstore.correlation import CONTEXT, PROVIDERS, with_context
from eventstore.errors import (
    DecodingError,
    EncodingError,
    InvalidEvent,
    InvalidExpectedVersion,
    InvalidInput,
    UnregisteredEventType,
)
from eventstore.event_types import EventTypes
from eventstore.event_types.classes import is_event_class
from eventstore.event_types.upcasting import PlainEvent, Shape
from eventstore.events import TOMBSTONE_ERRORS, Append, NewEvent, RecordedEvent
from eventstore.streams import STREAM_EXISTS, Expectation, ExpectedVersion

POSITION, STREAM_ID, VERSION, EVENT_ID, EVENT_TYPE, SCHEMA_VERSION, METADATA, RECORDED_AT = 0, 1, 2, 3, 4, 5, 8, 9
"""The indexes of these columns in a row of `read_forwards`."""


@dataclass(slots=True)  # a frozen one takes twice as long to make
class PendingAppend:
    """An append that was checked and encoded, as columns with one value for each event; `tags` is None without any."""

    stream_id: str
    expected: ExpectedVersion
    expectation: Expectation
    event_ids: list[UUID]
    event_types: list[str]
    schema_versions: list[int]
    codecs: list[int]
    data: list[bytes]
    metadata: list[str | None]
    tags: list[tuple[str, ...]] | None = None

    def __len__(self) -> int:
        return len(self.event_ids)

    @property
    def bounds(self) -> tuple[int, int]:
        """The lowest and the highest version of the stream that match the expected version."""
        if isinstance(self.expected, int):
            return self.expected, self.expected
        return (1 if self.expected is STREAM_EXISTS else 0), MAX_VERSION

    def accepts(self, version: int) -> bool:
        """Return whether a version of the stream matches the expected version."""
        lowest, highest = self.bounds
        return lowest <= version <= highest


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event as it is stored, for exports and imports.

    Attributes:
        position: Its position in the database that it was read from.
        stream_id: The stream.
        version: The version in the stream.
        event_id: The event id.
        event_type: The stored event type.
        schema_version: The stored schema version.
        codec: The number of the codec of `data`.
        data: The encoded payload.
        metadata: JSON text; None if there is none.
        recorded_at: When the database stored it, in UTC.
    """

    position: int
    stream_id: str
    version: int
    event_id: UUID
    event_type: str
    schema_version: int
    codec: int
    data: bytes
    metadata: str | None
    recorded_at: datetime

    @classmethod
    def of(cls, row: tuple[Any, ...], to_uuid: Callable[[Any], UUID], to_time: Callable[[Any], datetime]) -> Self:
        """Return the event from a row of `read_forwards`."""
        position, stream_id, version, event_id, event_type, schema_version, codec, data, metadata, recorded_at = row
        return cls(
            position, stream_id, version, to_uuid(event_id), event_type, schema_version, codec, bytes(data), metadata,
            to_time(recorded_at),
        )  # fmt: skip


class EventMapper:
    """Converts between events and rows, with the event types and the codec of one store."""

    def __init__(self, event_types: EventTypes, codec: PayloadCodec) -> None:
        self.codec = codec
        self.event_types = event_types

    def pending(self, append: Append, *, is_tombstone: bool = False) -> PendingAppend:
        """Check and encode an append.

        Args:
            append: The append.
            is_tombstone: Whether it may have a tombstone.

        Raises:
            InvalidInput: The append is not valid; see the subclasses.
            EncodingError: Data can't be stored exactly, or its class could not read it back.
            UnregisteredEventType: An object is neither a NewEvent nor of a registered class.
        """
        events = self._new_events(append)
        expected = append.expected_version
        if isinstance(expected, int) and expected > MAX_VERSION - len(events):
            msg = f"stream {append.stream_id!r} would exceed the largest version, {MAX_VERSION}"
            raise InvalidExpectedVersion(msg)
        metadata = append.metadata
        if CONTEXT.get() or PROVIDERS.get():
            metadata = with_context(metadata)
        shared = None if metadata is None else encode_metadata(metadata)
        event_ids = [event.event_id for event in events]
        if len(events) > 1 and len({event_id.int for event_id in event_ids}) < len(events):
            raise _repeated_id(append.stream_id, event_ids)
        codecs: list[int] = []
        data: list[bytes] = []
        of_class, shape = None, None
        tags: list[tuple[str, ...]] | None = None
        for index, event in enumerate(events):
            if type(event.data) is not of_class:  # often the same as that of the event before
                of_class, shape = type(event.data), self.event_types.type_of(event.data)
            codec, encoded = self._encode(event, shape, index)
            codecs.append(codec)
            data.append(encoded)
            if event.tags or (shape is not None and self.event_types.derives_tags):
                tags = tags or [()] * len(events)
                tags[index] = self.event_types.tags_of(event)
        pending = PendingAppend(
            append.stream_id,
            expected,
            _expectation_of(expected),
            event_ids,
            [event.event_type for event in events],
            [event.schema_version for event in events],
            codecs,
            data,
            [encode_metadata({**(metadata or {}), **event.metadata}) if event.metadata else shared for event in events],
        )
        if tags is not None and any(tags):
            pending.tags = tags
            pending.metadata = [
                encode_metadata({**(metadata or {}), **(event.metadata or {})}, tags[index])
                for index, event in enumerate(events)
            ]
        if not is_tombstone and not TOMBSTONE_ERRORS.keys().isdisjoint(pending.event_types):
            msg = "only the store appends tombstones; call EventStore.delete_stream or archive_stream"
            raise InvalidEvent(msg)
        return pending

    def _encode(self, event: NewEvent, shape: Shape | None, index: int) -> tuple[int, bytes]:
        if shape is None:
            return self.codec.encode(event.data, index=index, event_type=event.event_type)
        if event.event_type != shape[0] or event.schema_version != shape[1]:
            msg = (
                f"{type(event.data).__qualname__} is registered as {shape[0]!r} with schema version "
                f"{shape[1]}, not {event.event_type!r} with {event.schema_version}; use EventTypes.new_event"
            )
            raise InvalidEvent(msg)
        codec, data = self.codec.encode(event.data, typed=True, index=index, event_type=event.event_type)
        if self.codec.is_exact and self.event_types.comes_back(event.data):
            return codec, data
        try:  # a class that checks no types can have values that can't be read back; once stored, they would be lost
            read = self._read_back(shape, codec, data)
        except DecodingError as error:
            path, problem = error.path or "$", f"could not be read back: {error.problem}"
            value = value_at(event.data, path)
        else:
            change = difference(event.data, read, partial(self.codec.encode, typed=True))
            if change is None:
                return codec, data
            path, problem, value = change.path, change.problem, change.value
        raise EncodingError(
            path=path, value_type=type(value).__qualname__, problem=problem, index=index, event_type=event.event_type
        )

    def _read_back(self, shape: Shape, codec: int, data: bytes) -> Any:
        read = self.event_types.readers.get(shape) if codec == MessagePackCodec.number else None
        if read is not None:
            with suppress(Exception):
                return read(data)
        return self.event_types.from_plain(*shape, self.codec.decode(codec, data))

    def recorded(
        self,
        rows: Iterable[tuple[Any, ...]],
        to_uuid: Callable[[Any], UUID],
        to_time: Callable[[Any], datetime],
        *,
        upcast: bool = True,
        newest_first: bool = False,
    ) -> Iterator[RecordedEvent]:
        """Yield the events from a page of rows of `read_forwards`.

        Args:
            rows: The rows. A splitter makes several events from one row, or none; see `EventTypes.splitter`.
            to_uuid: The dialect's conversion of ids.
            to_time: The dialect's conversion of times.
            upcast: Pass False to read what is stored: plain data, without upcasters and classes.
            newest_first: Whether to reverse the order of the events from one row, too.

        Raises:
            DecodingError: The data can't be read, or does not fit the registered class.
        """
        decode, steps = self.codec.decode, self.event_types.steps if upcast else {}
        readers = self.event_types.readers if upcast else {}
        messagepack, read_metadata = MessagePackCodec.number, METADATA_DECODER.decode
        to_value = self.event_types.from_plain if upcast else _as_stored
        read, of_type, of_version = None, None, None
        for row in rows:
            position, stream_id, version, event_id, event_type, schema_version, codec, data, metadata, recorded_at = row
            if event_type != of_type or schema_version != of_version:  # often the same as in the row before
                of_type, of_version = event_type, schema_version
                read = readers.get((event_type, schema_version))
            if read is not None and codec == messagepack:
                try:
                    value = read(data)
                    decoded = {} if metadata is None else read_metadata(metadata)
                except Exception:  # noqa: BLE001, S110  # the slower way below raises the better error, or succeeds
                    pass
                else:
                    yield RecordedEvent(
                        position, stream_id, version, to_uuid(event_id), event_type, schema_version, value, decoded,
                        to_time(recorded_at), pop_tags(decoded) if TAGS_KEY in decoded else (),
                    )  # fmt: skip
                    continue
            try:
                value = decode(codec, data)
                events = None
                if steps and (event_type, schema_version) in steps:
                    events = self._upcast(event_type, schema_version, value)
                else:
                    value = to_value(event_type, schema_version, value)
            except DecodingError as error:
                raise error.at(stream_id, version, event_type) from None
            decoded = {} if metadata is None else decode_metadata(metadata)
            tags = pop_tags(decoded) if TAGS_KEY in decoded else ()
            recorded = RecordedEvent(
                position, stream_id, version, to_uuid(event_id), event_type, schema_version, value, decoded,
                to_time(recorded_at), tags,
            )  # fmt: skip
            if events is None:
                yield recorded
                continue
            for to_type, to_version, value in reversed(events) if newest_first else events:
                yield RecordedEvent(
                    position, stream_id, version, recorded.event_id, to_type, to_version, value,
                    recorded.metadata, recorded.recorded_at, tags,
                )  # fmt: skip

    def _upcast(self, event_type: str, schema_version: int, data: Any) -> list[PlainEvent]:
        return [
            PlainEvent(to_type, to_version, self.event_types.from_plain(to_type, to_version, plain))
            for to_type, to_version, plain in self.event_types.upcast(event_type, schema_version, data)
        ]

    def is_same_event(self, pending: PendingAppend, index: int, row: tuple[Any, ...]) -> bool:
        """Return whether a stored row has the type, schema version and data of a pending event.

        Raises:
            DecodingError: The stored data can't be read.
        """
        _, stream_id, version, _, event_type, schema_version, codec, data, _, _ = row
        if (event_type, schema_version) != (pending.event_types[index], pending.schema_versions[index]):
            return False
        try:
            return self.codec.holds_same_value((codec, bytes(data)), (pending.codecs[index], pending.data[index]))
        except DecodingError as error:
            raise error.at(stream_id, version, event_type) from None

    def _new_events(self, append: Append) -> list[NewEvent]:
        events = append.events
        if isinstance(events, NewEvent):
            return [events]
        if self.event_types.name_of(type(events)) is not None:
            return [self.event_types.new_event(events)]
        if type(events) not in (list, tuple) and is_event_class(type(events)):  # a pydantic model is iterable, too
            raise UnregisteredEventType(type(events).__qualname__)
        if isinstance(events, str | bytes | Mapping) or not isinstance(events, Iterable):
            msg = (
                f"events must be one event or a list of events, not {type(events).__name__}; an event is a NewEvent or "
                "an object of a registered class"
            )
            raise InvalidInput(msg)
        new_events = [event if isinstance(event, NewEvent) else self.event_types.new_event(event) for event in events]
        if not new_events:
            msg = (
                f"nothing to append to stream {append.stream_id!r}, because the list of events is empty; "
                "pass at least one event"
            )
            raise InvalidInput(msg)
        return new_events


def _repeated_id(stream_id: str, event_ids: Sequence[UUID]) -> InvalidInput:
    first_at = {event_id: index for index, event_id in reversed(list(enumerate(event_ids)))}
    index = next(index for index, event_id in enumerate(event_ids) if first_at[event_id] < index)
    return InvalidInput(
        f"event {index} of the append to stream {stream_id!r} repeats the event id {event_ids[index]}; every event "
        "needs another id"
    )


def _as_stored(_event_type: str, _schema_version: int, data: Any) -> Any:
    return data


def _expectation_of(expected: ExpectedVersion) -> Expectation:
    if isinstance(expected, int):
        return Expectation.VERSION if expected else Expectation.NEW
    return Expectation.EXISTING if expected is STREAM_EXISTS else Expectation.NOTHING
