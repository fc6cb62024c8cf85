"""Values to bytes and back, exactly.

A codec is stored with every row, as a number, so that a store may change its codec and still read what it wrote before. Both codecs
keep None, bool, int of any size, float, str, bytes, datetime (with its zone), date, time, timedelta, Decimal, UUID, list, tuple,
dict, set and frozenset, nested in any way. In the data of a registered event class they also take enums and nested dataclasses,
attrs classes, msgspec Structs and pydantic models, which the annotations of that class bring back.
"""

import base64
import dataclasses
import json
import math
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import partial
from typing import Any, Final, Protocol
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgpack

from eventstore.errors import DecodingError, EncodingError, InvalidInput

_NOT_EXACT: Final = "a type that is not stored exactly; convert it to a plain value, or register an event class"
_ENUM: Final = "an enum keeps its class only in a registered event class; pass its value"
_ZSTD: Final = 256
"""Added to the number of the codec in a row whose bytes are compressed."""


class Codec(Protocol):
    """How data becomes bytes. Implement it to add a format of your own.

    Attributes:
        number: What is stored in the row: 1 to 63 are this package's, 64 to 255 are free.
    """

    @property
    def number(self) -> int:
        """What is stored in the row."""
        ...

    def encode(self, value: Any, *, typed: bool = False) -> bytes:
        """Return the value as bytes.

        Args:
            value: The data of one event, or the state of a snapshot.
            typed: Whether it is the data of a registered class, whose annotations bring enums and nested objects back.

        Raises:
            TypeError, ValueError, OverflowError, RecursionError: The value can't be stored exactly.
        """
        ...

    def decode(self, data: bytes) -> Any:
        """Return the value that was encoded, or raise any Exception."""
        ...


class MessagePackCodec:
    """MessagePack, by the `msgpack` package: small and quick. The default.

    What MessagePack does not have is an extension type; their numbers are in people's databases and never change: 1 to 5 the scalars
    of `_SCALARS` as text, 6 UUID, 7 tuple, 8 set, 9 frozenset, 10 an integer beyond 64 bits.
    """

    number: Final = 1

    def encode(self, value: Any, *, typed: bool = False) -> bytes:
        """Return the value in MessagePack."""
        packed = msgpack.packb(value, default=_pack_typed if typed else _pack_plain, strict_types=True)
        return bytes(packed)

    def decode(self, data: bytes) -> Any:
        """Return the value of bytes in MessagePack."""
        return msgpack.unpackb(data, ext_hook=_unpack_extension, strict_map_key=False)


class JSONCodec:
    """JSON in UTF-8: readable in the database by eye, about twice the size and time.

    What JSON does not have is an object with one key that begins with `$`, as `{"$decimal": "1.10"}`. A dict that could be taken for
    one, or has keys that are not strings, is `{"$dict": [[key, value], …]}`.
    """

    number: Final = 2

    def encode(self, value: Any, *, typed: bool = False) -> bytes:
        """Return the value in JSON."""
        return json.dumps(_to_json(value, typed=typed), ensure_ascii=False, separators=(",", ":")).encode()

    def decode(self, data: bytes) -> Any:
        """Return the value of bytes in JSON."""
        return json.loads(data, object_hook=_from_json)


class PayloadCodec:
    """How one store writes payloads, and how it reads all that were ever written.

    Args:
        codec: Writes, and reads what it wrote.
        compress_above: Compress payloads of more bytes than this with zstd, where that makes them smaller. Defaults to None: never.
            Needs the extra `zstd`.

    Raises:
        InvalidInput: The codec's number is not free, or zstd is not installed.
    """

    def __init__(self, codec: Codec, *, compress_above: int | None = None) -> None:
        if not isinstance(codec, MessagePackCodec | JSONCodec) and not 64 <= codec.number <= 255:  # noqa: PLR2004
            msg = f"the number of a codec of your own is between 64 and 255, not {codec.number}"
            raise InvalidInput(msg)
        if compress_above is not None:
            _zstandard()
        self._codec = codec
        self._compress_above = math.inf if compress_above is None else compress_above
        self._codecs: dict[int, Codec] = {known.number: known for known in (MessagePackCodec(), JSONCodec(), codec)}

    def encode(
        self, value: Any, *, typed: bool = False, index: int | None = None, event_type: str | None = None
    ) -> tuple[int, bytes]:
        """Return the number of the codec and the bytes.

        Args:
            value: The data of an event, or the state of a snapshot.
            typed: Whether the annotations of a class will bring enums and nested objects back.
            index: The place of the event in the append, for the error.
            event_type: The type of the event, for the error.

        Raises:
            EncodingError: The value can't be stored exactly.
        """
        try:
            data = self._codec.encode(value, typed=typed)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            path, found, problem = _first_problem(partial(self._codec.encode, typed=typed), value, error)
            raise EncodingError(
                path=path, value_type=type(found).__name__, problem=problem, index=index, event_type=event_type
            ) from None
        if len(data) > self._compress_above:
            compressed = _zstandard().compress(data)
            if len(compressed) < len(data):
                return self._codec.number + _ZSTD, compressed
        return self._codec.number, data

    def decode(self, number: int, data: bytes) -> Any:
        """Return the value.

        Args:
            number: The number that was stored with it.
            data: The bytes.

        Raises:
            DecodingError: The number is not known, or the bytes are damaged.
        """
        compression, codec_number = divmod(number, _ZSTD)
        codec = self._codecs.get(codec_number)
        if codec is None or compression > 1:
            raise DecodingError(f"written by a codec with the number {number}, which this store does not know")
        try:
            return codec.decode(_zstandard().decompress(data) if compression else data)
        except InvalidInput as error:
            raise DecodingError(str(error)) from None
        except Exception as error:  # noqa: BLE001  # damaged bytes make a codec raise anything
            problem = f"the stored bytes are damaged, or not of codec {codec_number} ({type(error).__name__})"
            raise DecodingError(problem) from None


def _zstandard() -> Any:
    try:
        import zstandard  # noqa: PLC0415  # an extra, and slow to import
    except ImportError:
        msg = "zstd is not installed; install sqlalchemy-eventstore[zstd]"
        raise InvalidInput(msg) from None
    return zstandard


def _first_problem(
    encode: Callable[[Any], bytes], value: Any, error: Exception, path: str = "$", around: tuple[int, ...] = ()
) -> tuple[str, Any, str]:
    """Return path, value and problem of the innermost part that can't be encoded."""
    if id(value) in around:
        return path, value, "it contains itself"
    for step, part in _parts(value):
        try:
            encode(part)
        except (TypeError, ValueError, OverflowError, RecursionError) as inner:
            return _first_problem(encode, part, inner, path + step, (*around, id(value)))
    if isinstance(error, UnicodeEncodeError):  # its own text would show the value
        return path, value, "not valid Unicode (half of a surrogate pair)"
    if str(error) in {_NOT_EXACT, _ENUM, _TOO_FINE}:
        return path, value, str(error)
    return path, value, "nested too deeply" if around else _NOT_EXACT


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the path step and value of each part of a container, dict keys among them."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield f".{key}" if isinstance(key, str) and key.isprintable() else f"[{type(key).__name__}]", part
        for key in value:
            yield f"[key of type {type(key).__name__}]", key
    elif isinstance(value, list | tuple):
        yield from ((f"[{index}]", part) for index, part in enumerate(value))
    elif isinstance(value, set | frozenset):
        yield from (("{}", part) for part in value)
    elif not isinstance(value, Enum | type):
        try:
            fields = _fields(value)
        except TypeError:
            return
        yield from ((f".{name}", part) for name, part in fields.items())


def _fields(value: Any) -> dict[str, Any]:
    """Return the fields of an object of a class that can be registered.

    Raises:
        TypeError: It is of no such class.
    """
    cls = type(value)
    if hasattr(cls, "model_dump"):
        dumped: dict[str, Any] = value.model_dump(by_alias=True, round_trip=True)
        return dumped
    if dataclasses.is_dataclass(cls):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(cls)}
    if hasattr(cls, "__attrs_attrs__"):
        return {attribute.name: getattr(value, attribute.name) for attribute in cls.__attrs_attrs__}
    if hasattr(cls, "__struct_fields__"):
        config = cls.__struct_config__
        names = zip(cls.__struct_encode_fields__, cls.__struct_fields__, strict=True)
        tag = {config.tag_field: config.tag} if config.tag_field else {}
        return tag | {encoded: getattr(value, name) for encoded, name in names}
    raise TypeError(_NOT_EXACT)


def _plain(value: Any, *, typed: bool) -> Any:
    """Return what stands for a value of a type that no codec knows: the codec goes on with the result.

    Raises:
        TypeError: Nothing stands for it exactly.
    """
    if isinstance(value, Enum):
        if typed:
            return value.value
        raise TypeError(_ENUM)
    for base in (str, bytes, bytearray, memoryview, int, float, dict, list, tuple, set, frozenset):
        if isinstance(value, base):  # OrderedDict, a named tuple: equal to what comes back
            return bytes(value) if base in (bytearray, memoryview) else base(value)  # type: ignore[call-overload]  # pairs of a type and its own values
    if isinstance(value, Mapping):
        return dict(value)
    if typed:
        return _fields(value)
    raise TypeError(_NOT_EXACT)


# --- scalars that neither format has, as text

_TOO_FINE: Final = "finer than a microsecond"


def _datetime_text(value: datetime) -> str:
    """Return ISO 8601, then the zone's name if it has one, as in RFC 9557: `2026-03-01T12:00:00+01:00[Europe/Berlin]`."""
    text = value.isoformat()
    if datetime.fromisoformat(text).isoformat() != text:
        raise ValueError(_TOO_FINE)
    key = value.tzinfo.key if isinstance(value.tzinfo, ZoneInfo) else None
    return f"{text}[{key}]" if key else text


def _datetime_value(text: str) -> datetime:
    """Return the same instant, and the same wall time unless the zone's rules have changed since."""
    text, _, zone = text.removesuffix("]").partition("[")
    value = datetime.fromisoformat(text)
    if not zone:
        return value
    try:
        tzinfo = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError):  # this machine does not know the zone: the instant is still right
        return value
    for fold in (0, 1):
        local = value.replace(tzinfo=tzinfo, fold=fold)
        if local.utcoffset() == value.utcoffset():
            return local
    return value.astimezone(tzinfo)


def _timedelta_text(value: timedelta) -> str:
    return f"{value.days} {value.seconds} {value.microseconds}"


def _timedelta_value(text: str) -> timedelta:
    return timedelta(*map(int, text.split()))


@dataclasses.dataclass(frozen=True, slots=True)
class _Scalar:
    number: int
    name: str
    to_text: Callable[[Any], str]
    from_text: Callable[[str], Any]


_SCALARS: Final = {
    datetime: _Scalar(1, "$datetime", _datetime_text, _datetime_value),
    date: _Scalar(2, "$date", date.isoformat, date.fromisoformat),
    time: _Scalar(3, "$time", time.isoformat, time.fromisoformat),
    timedelta: _Scalar(4, "$timedelta", _timedelta_text, _timedelta_value),
    Decimal: _Scalar(5, "$decimal", str, Decimal),
}
_SCALARS_BY_NUMBER: Final = {scalar.number: scalar for scalar in _SCALARS.values()}


def _scalar_of(value: Any) -> _Scalar | None:
    scalar = _SCALARS.get(type(value))
    if scalar is None and isinstance(value, datetime):  # a subclass, such as a frozen clock's
        return _SCALARS[datetime]
    return scalar


# --- MessagePack


def _pack(value: Any, *, typed: bool) -> Any:
    """Return what stands for a value that MessagePack does not have; msgpack goes on with the result."""
    scalar = _scalar_of(value)
    if scalar is not None:
        return msgpack.ExtType(scalar.number, scalar.to_text(value).encode())
    cls = type(value)
    if cls is UUID:
        return msgpack.ExtType(6, value.bytes)
    if cls is tuple:
        return msgpack.ExtType(7, MessagePackCodec().encode(list(value), typed=typed))
    if cls is set or cls is frozenset:
        members = sorted(MessagePackCodec().encode(member, typed=typed) for member in value)  # equal sets, equal bytes
        return msgpack.ExtType(8 if cls is set else 9, msgpack.Packer().pack_array_header(len(members)) + b"".join(members))
    if cls is int:
        return msgpack.ExtType(10, value.to_bytes(value.bit_length() // 8 + 1, signed=True))
    return _plain(value, typed=typed)


_pack_plain: Final = partial(_pack, typed=False)
_pack_typed: Final = partial(_pack, typed=True)


def _unpack_extension(number: int, data: bytes) -> Any:
    if number in _SCALARS_BY_NUMBER:
        return _SCALARS_BY_NUMBER[number].from_text(data.decode())
    return _EXTENSIONS[number](data)


_EXTENSIONS: Final[dict[int, Callable[[bytes], Any]]] = {
    6: lambda data: UUID(bytes=data),
    7: lambda data: tuple(MessagePackCodec().decode(data)),
    8: lambda data: set(MessagePackCodec().decode(data)),
    9: lambda data: frozenset(MessagePackCodec().decode(data)),
    10: lambda data: int.from_bytes(data, signed=True),
}


# --- JSON


def _to_json(value: Any, *, typed: bool) -> Any:  # noqa: PLR0911  # one line a type
    """Return the value in terms of JSON."""
    cls = type(value)
    convert = partial(_to_json, typed=typed)
    if value is None or cls in (bool, int, str):
        return value
    if cls is float:
        return value if math.isfinite(value) else {"$float": repr(value)}
    if cls is list:
        return [convert(part) for part in value]
    if cls is dict:
        if all(type(key) is str for key in value) and not (len(value) == 1 and next(iter(value)).startswith("$")):
            return {key: convert(part) for key, part in value.items()}
        return {"$dict": [[convert(key), convert(part)] for key, part in value.items()]}
    if cls is bytes:
        return {"$bytes": base64.b64encode(value).decode()}
    if cls is UUID:
        return {"$uuid": str(value)}
    if cls is tuple:
        return {"$tuple": [convert(part) for part in value]}
    if cls is set or cls is frozenset:
        return {f"${cls.__name__}": sorted((convert(part) for part in value), key=json.dumps)}
    scalar = _scalar_of(value)
    if scalar is not None:
        return {scalar.name: scalar.to_text(value)}
    return convert(_plain(value, typed=typed))


def _from_json(value: dict[str, Any]) -> Any:
    if len(value) == 1:
        ((name, content),) = value.items()
        if name in _TAGS:
            return _TAGS[name](content)
    return value


_TAGS: Final[dict[str, Callable[[Any], Any]]] = {
    "$float": float,
    "$dict": dict,
    "$bytes": base64.b64decode,
    "$uuid": UUID,
    "$tuple": tuple,
    "$set": set,
    "$frozenset": frozenset,
} | {scalar.name: scalar.from_text for scalar in _SCALARS.values()}
