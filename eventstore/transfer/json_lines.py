"""Exports as JSON Lines: one record a line, readable by people and by other programs.

Payloads are JSON; values that JSON does not have are tagged, such as `{"$decimal": "1.10"}` (see `JSONCodec`).
"""

from base64 import b64decode, b64encode
from collections.abc import Iterator
from datetime import datetime
from typing import IO, Annotated, Any, Final
from uuid import UUID

import msgspec
from msgspec import Meta, Raw, Struct

from eventstore.codecs.payload import PayloadCodec
from eventstore.common.validation import MAX_CODEC, MAX_SCHEMA_VERSION, MAX_VERSION
from eventstore.errors import DamagedExport, DecodingError, EventStoreError
from eventstore.rows.mapper import StoredEvent
from eventstore.tokens import PositionToken
from eventstore.transfer.checking import checked
from eventstore.transfer.payloads import readable, stored
from eventstore.transfer.records import (
    FORMAT,
    Beginning,
    Checkpoint,
    End,
    Record,
    SavedSnapshot,
    StreamTimes,
)

_Positive = Annotated[int, Meta(ge=1, le=MAX_VERSION)]
_SchemaVersion = Annotated[int, Meta(ge=1, le=MAX_SCHEMA_VERSION)]
_Codec = Annotated[int, Meta(ge=0, le=MAX_CODEC)]
_NOTHING: Final = Raw()
_Time = Annotated[datetime, Meta(tz=True)]


class _Line(Struct, tag_field="kind", omit_defaults=True):
    pass


class _Beginning(_Line, tag="export"):
    format: int
    after_position: Annotated[int, Meta(ge=0, le=MAX_VERSION)]
    filters: str = ""


class _Event(_Line, tag="event"):
    position: _Positive
    stream_id: str
    version: _Positive
    event_id: UUID
    event_type: str
    schema_version: _SchemaVersion
    recorded_at: _Time
    codec: _Codec
    data: Raw = _NOTHING
    data_base64: str | None = None
    metadata: Raw = _NOTHING


class _Stream(_Line, tag="stream"):
    stream_id: str
    version: int
    created_at: _Time
    updated_at: _Time


class _Snapshot(_Line, tag="snapshot"):
    stream_id: str
    schema_version: _SchemaVersion
    version: _Positive
    created_at: _Time
    codec: _Codec
    state: Raw = _NOTHING
    state_base64: str | None = None


class _Checkpoint(_Line, tag="checkpoint"):
    name: str
    position: int


class _Last(Struct):
    position: _Positive
    event_id: UUID
    stream_id: str
    version: _Positive


class _End(_Line, tag="end"):
    position: Annotated[int, Meta(ge=0, le=MAX_VERSION)]
    events: int
    last: _Last | None = None


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(_Beginning | _Event | _Stream | _Snapshot | _Checkpoint | _End)


class JSONLinesWriter:
    """Writes records to a binary file.

    Args:
        file: The file to write to.
        codec: The codec of the store that the records come from.
    """

    def __init__(self, file: IO[bytes], codec: PayloadCodec) -> None:
        self._file = file
        self._codec = codec

    def write(self, record: Record) -> None:
        """Write one."""
        self._file.write(_ENCODER.encode(self._line(record)) + b"\n")

    def flush(self) -> None:
        """Make the records readable to other processes."""
        self._file.flush()

    def close(self) -> None:
        """Leave the file as it is: it belongs to the caller."""
        self._file.flush()

    def _line(self, record: Record) -> _Line:
        match record:
            case StoredEvent():
                payload = self._payload("data", record.codec, record.data)
                metadata = _NOTHING if record.metadata is None else Raw(record.metadata.encode())
                return _Event(
                    record.position, record.stream_id, record.version, record.event_id, record.event_type,
                    record.schema_version, record.recorded_at, record.codec, metadata=metadata, **payload,
                )  # fmt: skip
            case StreamTimes():
                return _Stream(record.stream_id, record.version, record.created_at, record.updated_at)
            case SavedSnapshot():
                payload = self._payload("state", record.codec, record.state)
                return _Snapshot(
                    record.stream_id, record.schema_version, record.version, record.created_at, record.codec, **payload
                )
            case Checkpoint():
                return _Checkpoint(record.name, record.position)
            case Beginning():
                return _Beginning(FORMAT, record.after_position, record.filters)
            case End():
                return _End(record.position, record.events, _identity(record.last))

    def _payload(self, name: str, number: int, data: bytes) -> dict[str, Any]:
        text = readable(self._codec, number, data)
        return {f"{name}_base64": b64encode(data).decode()} if text is None else {name: Raw(text)}


def _identity(last: PositionToken | None) -> _Last | None:
    return None if last is None else _Last(last.position, last.event_id, last.stream_id, last.version)


def read_json_lines(file: IO[bytes], codec: PayloadCodec) -> Iterator[Record]:
    """Yield the records of a file.

    Args:
        file: The file to read from.
        codec: The codec of the store that the records go to.

    Raises:
        DamagedExport: A line is no record.
    """
    for number, line in enumerate(file, start=1):
        try:
            record = checked(_record(_DECODER.decode(line), codec))
        except msgspec.MsgspecError as error:
            problem = "is cut off" if not line.endswith(b"\n") else f"is no record: {error}"
            raise DamagedExport(f"line {number}", problem) from None
        except EventStoreError as error:
            raise DamagedExport(f"line {number}", f"has data that can't be read: {error}") from None
        except Exception as error:  # noqa: BLE001  # what is not JSON of a codec makes it raise anything
            problem = f"has data that can't be read: is no payload of its codec ({type(error).__name__})"
            raise DamagedExport(f"line {number}", problem) from None
        yield record


def _record(line: Any, codec: PayloadCodec) -> Record:  # one line a kind
    match line:
        case _Event():
            data = _bytes(codec, line.codec, line.data, line.data_base64)
            metadata = bytes(line.metadata).decode()
            return StoredEvent(
                line.position, line.stream_id, line.version, line.event_id, line.event_type, line.schema_version,
                line.codec, data, metadata or None, line.recorded_at,
            )  # fmt: skip
        case _Stream():
            return StreamTimes(line.stream_id, line.version, line.created_at, line.updated_at)
        case _Snapshot():
            state = _bytes(codec, line.codec, line.state, line.state_base64)
            return SavedSnapshot(line.stream_id, line.schema_version, line.version, line.codec, state, line.created_at)
        case _Checkpoint():
            return Checkpoint(line.name, line.position)
        case _End():
            return _end(line)
        case _:
            return _beginning(line)


def _beginning(line: _Beginning) -> Beginning:
    if line.format > FORMAT:
        raise DecodingError(f"it has format {line.format}, and this code knows formats up to {FORMAT}")
    return Beginning(line.after_position, line.filters)


def _end(line: _End) -> End:
    identity = line.last
    last = (
        None
        if identity is None
        else PositionToken(identity.position, identity.event_id, identity.stream_id, identity.version)
    )
    return End(line.position, line.events, last)


def read_place(line: bytes) -> Beginning | PositionToken | End | None:
    """Return the beginning, the event or the end that a line has; None if it is another record. Decodes no payload.

    Raises:
        msgspec.MsgspecError: The line is not a record.
        DecodingError: The record has a newer format.
    """
    match _DECODER.decode(line):
        case _Beginning() as record:
            return _beginning(record)
        case _Event() as record:
            return PositionToken(record.position, record.event_id, record.stream_id, record.version)
        case _End() as record:
            return _end(record)
        case _:
            return None


def _bytes(codec: PayloadCodec, number: int, text: Raw, base64: str | None) -> bytes:
    if base64 is not None:
        return b64decode(base64, validate=True)
    return stored(codec, number, bytes(text))
