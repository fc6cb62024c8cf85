"""Values of columns as values of Python: exact, or refused with what to do about it."""

import base64
import binascii
import json
import re
import zlib
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from uuid import UUID

Convert = Callable[[Any], Any]

_PICKLE: Final = re.compile(rb"\x80[\x02-\x05].*\.", re.DOTALL)
_PICKLE_OF_PROTOCOL_0: Final = re.compile(rb"(c\w[\w.]*\n\w+\n|\(lp\d|\(dp\d|ccopy_reg\n).*\.", re.DOTALL)
_TOO_FINE: Final = re.compile(r"[.,]\d{6}\d*[1-9]")
_UNREADABLE: Final = (
    "read the rows in a program of your own, with the code that has written them, and call transfer.load"
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class NotConvertibleError(Exception):
    """A value that can't be converted; the text says why and what to do, without the value."""


def json_value(decoder: json.JSONDecoder, compression: str | None = None) -> Convert:
    """Return a function that reads JSON, of text or bytes."""

    def convert(value: Any) -> Any:
        if value is None:
            return None
        text = value if isinstance(value, str) else _text(decompressed(_bytes(value), compression))
        try:
            return decoder.decode(text)
        except json.JSONDecodeError as error:
            raise NotConvertibleError(_no_json(text.encode("utf-8", "surrogatepass"), str(error.msg))) from None
        except RecursionError:
            raise NotConvertibleError("its JSON is nested too deep") from None

    return convert


def bytes_value(compression: str | None = None) -> Convert:
    """Return a function that reads bytes as they are."""

    def convert(value: Any) -> Any:
        if value is None:
            return None
        data = decompressed(_bytes(value), compression)
        if is_pickle(data):
            raise NotConvertibleError(_no_json(data, ""))
        return data

    return convert


def decompressed(data: bytes, compression: str | None) -> bytes:
    """Return the bytes without their compression.

    Raises:
        NotConvertibleError: They are not compressed like that.
    """
    if compression is None:
        return data
    try:
        return zlib.decompress(data)
    except zlib.error:
        raise NotConvertibleError("it is not compressed with zlib, or is damaged; see compression in the map") from None


def is_pickle(data: bytes) -> bool:
    """Return whether bytes look like a pickle, also as base64."""
    if _PICKLE.fullmatch(data) or _PICKLE_OF_PROTOCOL_0.fullmatch(data):
        return True
    if not data.startswith((b"gA", b"gQ", b"Y", b"K")):  # of a pickle's first byte in base64
        return False
    try:
        decoded = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        return False
    return bool(_PICKLE.fullmatch(decoded) or _PICKLE_OF_PROTOCOL_0.fullmatch(decoded))


def _no_json(data: bytes, problem: str) -> str:
    if is_pickle(data):
        return f"it is a pickle, which only code that trusts it should open; {_UNREADABLE}"
    if data[:1] == b"\x78":
        return 'it is no JSON, but looks compressed by zlib; set compression = "zlib" in the map'
    return (
        f"it is no JSON ({problem.removesuffix(' at')}); set its type in the map, or, if it is encrypted or of another "
        f"format, {_UNREADABLE}"
    )


def _bytes(value: Any) -> bytes:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    raise NotConvertibleError(f"it is {type(value).__name__}, and neither text nor bytes; set its type in the map")


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise NotConvertibleError(_no_json(data, "it is not UTF-8")) from None


def json_decoder(transcodings: Mapping[str, str] | None = None) -> json.JSONDecoder:
    """Return a decoder that loses nothing: a number that no float equals becomes a Decimal, a repeated key is refused.

    Args:
        transcodings: If not None, objects such as `{"_type_": "decimal_str", "_data_": "1.10"}`, of the JSONTranscoder
            of `eventsourcing`, become values; more of its names, and what they become.
    """
    known: dict[str, Convert] = {}
    if transcodings is not None:
        known = {**_TRANSCODINGS, **{name: _BECOMES[what] for name, what in transcodings.items()}}

    def make_object(pairs: list[tuple[str, Any]]) -> Any:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise NotConvertibleError("its JSON has an object with the same key twice")
        if transcodings is not None and len(pairs) == 2 and "_type_" in found and "_data_" in found:  # noqa: PLR2004
            return _transcoded(found["_type_"], found["_data_"], known)
        return found

    return json.JSONDecoder(object_pairs_hook=make_object, parse_float=_number, parse_int=_integer)


def _transcoded(name: Any, data: Any, known: Mapping[str, Convert]) -> Any:
    convert = known.get(name) if isinstance(name, str) else None
    if convert is None:
        raise NotConvertibleError(
            f"its JSON has the transcoding {str(name)[:100]!r}, which is the application's own; say in "
            "data.transcodings of the map what it becomes: value, tuple or set"
        )
    try:
        return convert(data)
    except (ValueError, TypeError, AttributeError, InvalidOperation):
        raise NotConvertibleError(f"its JSON has a value of the transcoding {name!r} that can't be read") from None


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:  # Python's limit, see sys.set_int_max_str_digits
        digits = len(text.removeprefix("-"))
        raise NotConvertibleError(f"its JSON has an integer of {digits} digits, which is too long") from None


def _number(text: str) -> float | Decimal:
    number = float(text)
    try:
        exact = Decimal(text)
    except InvalidOperation:
        raise NotConvertibleError("its JSON has a number whose exponent is too large") from None
    return number if exact == Decimal(repr(number)) else exact


_TRANSCODINGS: Final[Mapping[str, Convert]] = {
    "uuid_hex": UUID,
    "decimal_str": Decimal,
    "datetime_iso": datetime.fromisoformat,
}
_BECOMES: Final[Mapping[str, Convert]] = {"value": lambda value: value, "tuple": tuple, "set": set}


def time_value(timezone: tzinfo | None, unit: str | None = None) -> Convert:
    """Return a function that reads times: of the driver, as text, or as numbers since 1970.

    Args:
        timezone: The time zone of times without one; None: refuse them.
        unit: `unix-seconds` or `unix-milliseconds`, for numbers.
    """

    def convert(value: Any) -> datetime | None:
        if value is None:
            return None
        if unit is not None:
            return _since_1970(value, unit)
        time = value
        if isinstance(value, str):
            if _TOO_FINE.search(value):
                raise NotConvertibleError("it is finer than a microsecond")
            try:
                time = datetime.fromisoformat(value)
            except ValueError:
                raise NotConvertibleError("it is no time in ISO 8601; set its type in the map") from None
        if not isinstance(time, datetime):
            raise NotConvertibleError(
                f"it is no time but {type(value).__name__}; if it counts from 1970, set type to unix-seconds or "
                "unix-milliseconds in the map"
            )
        if time.tzinfo is None:
            if timezone is None:
                raise NotConvertibleError(
                    'it is a time without a zone; say in which zone it is, such as timezone = "UTC"'
                )
            time = time.replace(tzinfo=timezone)
        return time

    return convert


def _since_1970(value: Any, unit: str) -> datetime:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise NotConvertibleError(f"it is no number of {unit.removeprefix('unix-')} but {type(value).__name__}")
    microseconds = Decimal(repr(value) if isinstance(value, float) else value)
    microseconds *= 1_000_000 if unit == "unix-seconds" else 1_000
    try:
        return _EPOCH + timedelta(microseconds=round(microseconds))
    except (OverflowError, ValueError, InvalidOperation):
        raise NotConvertibleError(f"it is outside of the years 1 to 9999 as {unit}") from None


def uuid_value(value: Any) -> UUID | None:
    """Return a UUID: the driver's, as text with or without hyphens, or as 16 bytes.

    Raises:
        NotConvertibleError: It is none.
    """
    if value is None or isinstance(value, UUID):
        return value
    try:
        return UUID(bytes=bytes(value)) if isinstance(value, bytes | memoryview) else UUID(value)
    except (ValueError, AttributeError, TypeError):
        raise NotConvertibleError("it is no UUID") from None


def integer_value(value: Any) -> int | None:
    """Return an integer: also of text, or of a number without a fraction.

    Raises:
        NotConvertibleError: It is none.
    """
    if value is None:
        return None
    try:
        number = int(value)
    except (ValueError, TypeError, OverflowError):
        raise NotConvertibleError(f"it is no integer but {type(value).__name__}") from None
    if isinstance(value, bool | bytes) or (not isinstance(value, str) and number != value):
        raise NotConvertibleError("it is no integer")
    return number


def decimal_value(value: Any) -> Decimal | None:
    """Return a Decimal, of an integer, a Decimal or text: a float may have lost digits.

    Raises:
        NotConvertibleError: It is none.
    """
    if value is None:
        return None
    if isinstance(value, bool | float) or not isinstance(value, int | str | Decimal):
        raise NotConvertibleError(f"it is no exact number but {type(value).__name__}")
    try:
        return Decimal(value)
    except InvalidOperation:
        raise NotConvertibleError("it is no number") from None


def boolean_value(value: Any) -> bool | None:
    """Return True or False, also of 1 and 0.

    Raises:
        NotConvertibleError: It is something else.
    """
    if value is None:
        return None
    if value in (0, 1) and isinstance(value, int):
        return bool(value)
    raise NotConvertibleError("it is neither true nor false")


def date_value(value: Any) -> date | None:
    """Return a date, also of text.

    Raises:
        NotConvertibleError: It is none.
    """
    if value is None or (isinstance(value, date) and not isinstance(value, datetime)):
        return value
    try:
        return date.fromisoformat(value)
    except (ValueError, TypeError):
        raise NotConvertibleError("it is no date") from None


def text_value(value: Any) -> str | None:
    """Return a text.

    Raises:
        NotConvertibleError: It is something else.
    """
    if value is None or isinstance(value, str):
        return value
    raise NotConvertibleError(f"it is no text but {type(value).__name__}")


def id_text(value: Any) -> str:
    """Return what stands for a value in a stream id, and for an event type.

    Raises:
        NotConvertibleError: It is neither text, an integer nor a UUID.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, int | UUID) and not isinstance(value, bool):
        return str(value)
    what = "NULL" if value is None else type(value).__name__
    raise NotConvertibleError(f"it is {what}, and neither text, an integer nor a UUID")


def native_value(timezone: tzinfo | None) -> Convert:
    """Return a function that takes values as the driver returns them, except times without a zone."""
    to_time = time_value(timezone)

    def convert(value: Any) -> Any:
        if isinstance(value, datetime):
            return to_time(value)
        return bytes(value) if isinstance(value, memoryview) else value

    return convert


def metadata_value(value: Any) -> Any:
    """Return what stands in metadata, which is JSON, for a value of a column: text for what JSON lacks."""
    if isinstance(value, datetime | date):
        return value.isoformat()
    return str(value) if isinstance(value, UUID | Decimal) else value
