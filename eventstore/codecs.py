"""Values to bytes and back, exactly.

A codec is stored with every row, as a number, so that a store may change its codec and still read what it wrote before.
Both codecs keep None, bool, int of any size, float, str, bytes, datetime, date, time, timedelta, Decimal, UUID, list,
tuple, dict, set and frozenset, nested in any way. In the data of a registered event class they also take enums and
nested dataclasses, attrs classes, msgspec Structs and pydantic models, which the annotations of that class bring back.

A subclass comes back as the type above that it is equal to: a named tuple as a tuple, an OrderedDict as a dict, a
frozen clock's datetime as a datetime; and a bytearray as bytes. Zones are those of `zoneinfo` and fixed offsets; of any
other tzinfo the offset is kept. A datetime whose zone is unknown here, or has new rules, is still the same instant.

JSON takes 100 levels of nesting, MessagePack 500; sets in sets go 8 deep. What is deeper is refused when it is written.
"""

import base64
import dataclasses
import functools
import json
import math
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import partial
from types import NoneType
from typing import Any, Final, Protocol
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgpack
from msgspec import UNSET

from eventstore.errors import DecodingError, EncodingError, InvalidInput
from eventstore.streams import check_number

_ZSTD: Final = 256
"""Added to the number of the codec in a row whose bytes are compressed."""
_MAX_DEPTH: Final = 100
_MAX_SET_DEPTH: Final = 8
_MAX_BITS: Final = 2000
"""Of an integer in decimal digits, which Python limits."""
_NOT_EXACT: Final = "a type that is not stored exactly; convert it to a plain value, or register an event class"
_TOO_DEEP: Final = "nested too deeply, or it contains itself"
_REFUSALS: Final = (TypeError, ValueError, OverflowError, RecursionError, BufferError)


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

    What MessagePack does not have is an extension type; their numbers are in people's databases and never change: 1 to
    5 the `_SCALARS` as text, 6 a UUID, 10 an integer beyond 64 bits. A tuple, set or frozenset is a list that begins
    with the extension 7 of one byte, `t`, `s` or `f`; the members of a set are in the order of their bytes.
    """

    number: Final = 1

    def encode(self, value: Any, *, typed: bool = False) -> bytes:
        """Return the value in MessagePack."""
        data: bytes = _packer(_pack_typed if typed else _pack_plain).pack(value)
        return data

    def decode(self, data: bytes) -> Any:
        """Return the value of bytes in MessagePack."""
        list_hook = _unpack_list if _MARK in data else None  # it is slow: only where there may be a mark
        return msgpack.unpackb(data, ext_hook=_unpack_extension, list_hook=list_hook, strict_map_key=False)


class JSONCodec:
    """JSON in UTF-8: readable in the database by eye; larger by half, and several times slower.

    What JSON does not have is an object with one key that begins with `$`, as `{"$decimal": "1.10"}`. A dict that could
    be taken for one, or has keys that are not strings, is `{"$dict": [[key, value], …]}`.
    """

    number: Final = 2

    def encode(self, value: Any, *, typed: bool = False) -> bytes:
        """Return the value in JSON."""
        return _JSON_ENCODER.encode(_to_json(value, typed=typed)).encode()

    def decode(self, data: bytes) -> Any:
        """Return the value of bytes in JSON."""
        return _JSON_DECODER.decode(data.decode())


class PayloadCodec:
    """How one store writes payloads, and how it reads all that were ever written.

    Args:
        codec: Writes, and reads what it wrote.
        compress_above: Compress payloads of more bytes than this with zstd, where that makes them smaller. Defaults to
            None: never. Needs the extra `zstd`.

    Raises:
        InvalidInput: The codec's number is not free, `compress_above` is no integer from 0, or zstd is not installed.
    """

    def __init__(self, codec: Codec, *, compress_above: int | None = None) -> None:
        number = getattr(codec, "number", None)
        is_free = type(number) is int and 64 <= number <= 255  # noqa: PLR2004
        if not is_free and type(codec) not in (MessagePackCodec, JSONCodec):
            msg = f"the number of a codec of your own is between 64 and 255; that of {codec!r} is {number!r}"
            raise InvalidInput(msg)
        if compress_above is not None:
            check_number("compress_above", compress_above)
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
        except _REFUSALS as error:
            path, found, problem = self._locate(value, error, typed=typed)
            raise EncodingError(
                path=path, value_type=type(found).__name__, problem=problem, index=index, event_type=event_type
            ) from None
        if len(data) > self._compress_above:
            compressed: bytes = _zstandard().compress(data)
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
        if codec is None or compression not in (0, 1):
            raise DecodingError(f"written by a codec with the number {number}, which this store does not know")
        try:
            return codec.decode(_zstandard().decompress(data) if compression else data)
        except InvalidInput as error:
            raise DecodingError(str(error)) from None
        except Exception as error:  # noqa: BLE001  # damaged bytes make a codec raise anything
            problem = f"the stored bytes are damaged, or not of codec {codec_number} ({type(error).__name__})"
            raise DecodingError(problem) from None

    def _locate(self, value: Any, error: Exception, *, typed: bool) -> tuple[str, Any, str]:
        """Return path, value and problem of the innermost part that can't be encoded."""
        path = "$"
        for _ in range(_MAX_DEPTH):
            for step, part in _parts(value, typed=typed):
                try:
                    self._codec.encode(part, typed=typed)
                except _REFUSALS as inner:
                    path, value, error = path + step, part, inner
                    break
            else:
                return path, value, _problem(error)
        return path, value, _TOO_DEEP


def _parts(value: Any, *, typed: bool) -> Iterator[tuple[str, Any]]:
    """Yield the path step and value of each part of a container, dict keys among them."""
    try:
        value = _plain(value, typed=typed)
    except _REFUSALS:
        return
    if isinstance(value, dict):
        for key, part in value.items():
            yield f".{key}" if isinstance(key, str) and key.isprintable() else f"[{type(key).__name__}]", part
        for key in value:
            yield f"[key of type {type(key).__name__}]", key
    elif isinstance(value, list | tuple):
        yield from ((f"[{index}]", part) for index, part in enumerate(value))
    elif isinstance(value, set | frozenset):
        yield from (("{}", part) for part in value)


def _problem(error: Exception) -> str:
    """Say what is wrong. The text of an error that is not ours may show the value."""
    if isinstance(error, _NotStorableError):
        return str(error)
    if isinstance(error, UnicodeEncodeError):
        return "not valid Unicode (half of a surrogate pair)"
    if isinstance(error, RecursionError) or "recursion limit exceeded" in str(error):  # msgpack's ValueError
        return _TOO_DEEP
    return _NOT_EXACT


class _NotStorableError(TypeError):
    """A value can't be stored exactly. The text is ours and shows nothing of it."""


def _zstandard() -> Any:
    try:
        import zstandard  # noqa: PLC0415  # an extra, and slow to import
    except ImportError:
        msg = "zstd is not installed; install sqlalchemy-eventstore[zstd]"
        raise InvalidInput(msg) from None
    return zstandard


# --- scalars that neither format has


def _zoned(value: datetime | time) -> str:
    """Return ISO 8601 and what RFC 9557 adds to it: `2026-10-25T02:30:00+01:00[Europe/Berlin][_fold=1]`."""
    iso = value.isoformat()
    if iso[-16:-6] in ("+00:00:00.", "-00:00:00."):  # fromisoformat takes it for UTC
        raise _NotStorableError("less than a second away from UTC")
    key = value.tzinfo.key if isinstance(value.tzinfo, ZoneInfo) else None
    return iso + (f"[{key}]" if key else "") + ("[_fold=1]" if value.fold else "")


def _unzoned(text: str) -> tuple[str, ZoneInfo | None, int]:
    """Return ISO 8601, the zone and the fold. The zone is None also where this machine does not know it."""
    if text[-1:] != "]":
        return text, None, 0
    plain = text.removesuffix("[_fold=1]")
    iso, _, key = plain.partition("[")
    try:
        zone = ZoneInfo(key[:-1]) if key else None
    except (ZoneInfoNotFoundError, ValueError, OSError):
        zone = None
    return iso, zone, int(plain != text)


def _datetime(text: str) -> datetime:
    """Return the same instant, and the same wall time unless the zone's rules have changed since."""
    iso, zone, fold = _unzoned(text)
    value = datetime.fromisoformat(iso)
    if fold:
        value = value.replace(fold=1)
    if zone is None:
        return value
    local = value.replace(tzinfo=zone)
    try:
        return local if local.utcoffset() == value.utcoffset() else value.astimezone(zone)
    except OverflowError:  # by the new rules it is before the first or after the last day that Python knows
        return value


def _time(text: str) -> time:
    iso, zone, fold = _unzoned(text)
    value = time.fromisoformat(iso).replace(fold=fold)
    return value.replace(tzinfo=zone) if zone else value


def _timedelta_text(value: timedelta) -> str:
    return f"{value.days} {value.seconds} {value.microseconds}"


def _timedelta(text: str) -> timedelta:
    return timedelta(*map(int, text.split()))


@dataclasses.dataclass(frozen=True, slots=True)
class _Scalar:
    extension: int
    tag: str
    write: Callable[[Any], str]
    read: Callable[[str], Any]


_SCALARS: Final[dict[type, _Scalar]] = {
    datetime: _Scalar(1, "$datetime", _zoned, _datetime),
    date: _Scalar(2, "$date", date.isoformat, date.fromisoformat),
    time: _Scalar(3, "$time", _zoned, _time),
    timedelta: _Scalar(4, "$timedelta", _timedelta_text, _timedelta),
    Decimal: _Scalar(5, "$decimal", str, Decimal),
}


# --- what stands for a value of a type that no codec knows


def _plain(value: Any, *, typed: bool) -> Any:
    """Return what stands for the value: the codec goes on with the result.

    Raises:
        TypeError: Nothing stands for it exactly.
    """
    if isinstance(value, Enum):
        if typed:
            return value.value
        raise _NotStorableError("an enum keeps its class only in a registered event class; pass its value")
    cls: type = type(value)
    take_apart = _taking_apart(cls) if typed else None
    if take_apart is not None:
        try:
            return take_apart(value)
        except Exception as error:  # noqa: BLE001  # a field without a value, or the class's own code
            raise _NotStorableError(f"its fields can't be read ({type(error).__name__})") from None
    for base, convert in _BASES.items():
        if isinstance(value, base):
            return convert(value)
    raise _NotStorableError(_NOT_EXACT)


@functools.cache
def _taking_apart(cls: Any) -> Callable[[Any], Any] | None:
    """Return what makes names and values of an object, None where its class is not one that can be registered."""
    tag: dict[str, Any] = {}
    if hasattr(cls, "model_dump"):  # no warnings: they would show values
        return lambda value: value.model_dump(by_alias=False, round_trip=True, warnings=False)
    if dataclasses.is_dataclass(cls):
        names = [(field.name, field.name) for field in dataclasses.fields(cls)]
    elif hasattr(cls, "__attrs_attrs__"):
        names = [(attribute.name, attribute.name) for attribute in cls.__attrs_attrs__]
    elif hasattr(cls, "__struct_fields__"):
        names = list(zip(cls.__struct_encode_fields__, cls.__struct_fields__, strict=True))
        config = cls.__struct_config__
        tag = {config.tag_field: config.tag} if config.tag_field else {}
        if config.array_like:
            return lambda value: [*tag.values(), *(getattr(value, name) for _, name in names)]
    else:
        return None
    return lambda value: tag | {stored: part for stored, name in names if (part := getattr(value, name)) is not UNSET}


def _exactly(cls: type, value: Any) -> Any:
    text = _SCALARS[cls].write(value)
    plain = _SCALARS[cls].read(text)
    if plain != value or _SCALARS[cls].write(plain) != text:
        raise _NotStorableError("finer than a microsecond")
    return plain


def _unhashable(cls: type, value: Any) -> Any:
    try:
        hash(value)
    except TypeError:
        return cls(value)
    raise _NotStorableError(f"could be a key, and a {cls.__name__} that comes back for it can't; convert it")


_BASES: Final[dict[Any, Callable[[Any], Any]]] = {
    str: str.__str__,
    int: int.__int__,
    float: float.__float__,
    (bytes, bytearray, memoryview): lambda value: memoryview(value).tobytes(),
    Decimal: Decimal,
    UUID: lambda value: UUID(int=value.int),
    tuple: tuple,
    frozenset: frozenset,
    **{cls: partial(_exactly, cls) for cls in (datetime, date, time, timedelta)},
    **{cls: partial(_unhashable, cls) for cls in (list, set, dict)},
    Mapping: partial(_unhashable, dict),
}
"""What makes an object of a subclass one of the type itself."""


def _gather(cls: Callable[[list[Any]], Any], members: list[Any]) -> Any:
    """Return a tuple, set or frozenset, as it was."""
    try:
        return cls(members)
    except TypeError:  # dicts, which were objects in a set: its annotation takes a list as well
        return members


# --- MessagePack

_MARK: Final = 0xD4
"""The first byte of each of `_MARKS`."""
_MARKS: Final = {cls: msgpack.ExtType(7, cls.__name__[:1].encode()) for cls in (tuple, set, frozenset)}


def _packer(default: Callable[[Any], Any]) -> Any:
    # The buffer grows where need be. To allocate the one that Packer begins with takes longer than to pack an event.
    return msgpack.Packer(default=default, strict_types=True, buf_size=1024)


def _pack(value: Any, *, typed: bool, set_depth: int = 0) -> Any:  # noqa: PLR0911  # one line a type
    """Return what stands for a value that MessagePack does not have; msgpack goes on with the result."""
    cls: type = type(value)
    if cls in _SCALARS:
        return msgpack.ExtType(_SCALARS[cls].extension, _SCALARS[cls].write(value).encode())
    if cls is UUID:
        return msgpack.ExtType(6, value.bytes)
    if cls is tuple:
        return [_MARKS[tuple], *value]
    if cls in (set, frozenset):
        if set_depth == _MAX_SET_DEPTH:  # each level doubles the work
            raise _NotStorableError(_TOO_DEEP)
        pack = _packer(partial(_pack, typed=typed, set_depth=set_depth + 1)).pack
        return [_MARKS[cls], *sorted(value, key=pack)]  # equal sets, equal bytes
    if cls is int:
        fits = -(2**63) <= value < 2**64
        return value if fits else msgpack.ExtType(10, value.to_bytes(value.bit_length() // 8 + 1, signed=True))
    if cls in (str, bytes, float, bool, NoneType, list, dict):  # what stands for another value
        return value
    return _pack(_plain(value, typed=typed), typed=typed, set_depth=set_depth)  # msgpack would not ask again


_pack_plain: Final = partial(_pack, typed=False)
_pack_typed: Final = partial(_pack, typed=True)
_READ_TEXT: Final = {scalar.extension: scalar.read for scalar in _SCALARS.values()}
_READ_BYTES: Final[dict[int, Callable[[bytes], Any]]] = {
    6: lambda data: UUID(bytes=data),
    7: {mark.data: cls for cls, mark in _MARKS.items()}.__getitem__,
    10: lambda data: int.from_bytes(data, signed=True),
}


def _unpack_extension(number: int, data: bytes) -> Any:
    if number in _READ_TEXT:
        return _READ_TEXT[number](data.decode())
    return _READ_BYTES[number](data)


def _unpack_list(parts: list[Any]) -> Any:
    return _gather(parts[0], parts[1:]) if parts and isinstance(parts[0], type) else parts


# --- JSON

_JSON_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":"))
_JSON_SCALARS: Final[dict[type, _Scalar]] = {
    **_SCALARS,
    int: _Scalar(0, "$int", hex, partial(int, base=16)),
    float: _Scalar(0, "$float", repr, float),
    bytes: _Scalar(0, "$bytes", lambda value: base64.b64encode(value).decode(), base64.b64decode),
    UUID: _Scalar(0, "$uuid", str, UUID),
}
_JSON_TAGS: Final[dict[str, Callable[[Any], Any]]] = {
    **{scalar.tag: scalar.read for scalar in _JSON_SCALARS.values()},
    **{f"${cls.__name__}": partial(_gather, cls) for cls in (tuple, set, frozenset)},
    "$dict": dict,
}


def _to_json(value: Any, *, typed: bool, depth: int = 0) -> Any:  # noqa: PLR0911  # one line a type
    """Return the value in terms of JSON."""
    cls: type = type(value)
    if cls in (str, bool, NoneType):
        return value
    if (cls is int and value.bit_length() <= _MAX_BITS) or (cls is float and math.isfinite(value)):
        return value
    if cls in _JSON_SCALARS:
        return {_JSON_SCALARS[cls].tag: _JSON_SCALARS[cls].write(value)}
    if cls not in (dict, list, tuple, set, frozenset):
        return _to_json(_plain(value, typed=typed), typed=typed, depth=depth)
    if depth == _MAX_DEPTH:
        raise _NotStorableError(_TOO_DEEP)
    convert = partial(_to_json, typed=typed, depth=depth + 1)
    if cls is not dict:
        parts = [convert(part) for part in value]
        if cls in (set, frozenset):
            parts.sort(key=_JSON_ENCODER.encode)
        return parts if cls is list else {f"${cls.__name__}": parts}
    if all(type(key) is str for key in value) and not (len(value) == 1 and next(iter(value)).startswith("$")):
        return {key: convert(part) for key, part in value.items()}
    return {"$dict": [[convert(key), convert(part)] for key, part in value.items()]}


def _from_json(value: dict[str, Any]) -> Any:
    if len(value) == 1:
        ((tag, content),) = value.items()
        if tag in _JSON_TAGS:
            return _JSON_TAGS[tag](content)
    return value


_JSON_DECODER: Final = json.JSONDecoder(object_hook=_from_json)
