"""The values of Arrow columns as Python's, exactly: an event gets what the column holds, or an error."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta, timezone, tzinfo
from typing import Any, Final, Self
from zoneinfo import ZoneInfo

import pyarrow as pa

from eventstore.errors import InvalidInput

Convert = Callable[[Any], Any]


class _NotExact(Exception):  # never leaves the module
    """A type whose values no value of Python stands for exactly."""


@dataclass(frozen=True, slots=True)
class ExactColumn:
    """A column, and how its values become Python's.

    Attributes:
        name: The name of the column.
        arrow_type: The type to cast it to; that of the column if pyarrow's values are exact anyway.
        convert: What to do with each value afterwards; None if nothing.
    """

    name: str
    arrow_type: pa.DataType
    convert: Convert | None

    @classmethod
    def of(cls, field: pa.Field) -> Self:
        """Return how to read a column.

        Raises:
            InvalidInput: Its type is one whose values events can't hold exactly.
        """
        try:
            return cls(field.name, *_exactly(field))
        except _NotExact as error:
            msg = (
                f"the column {field.name!r} has values of the type {error}, which an event can't hold exactly; "
                "convert it, for example to text"
            )
            raise InvalidInput(msg) from None

    def values(self, array: pa.Array | pa.ChunkedArray) -> list[Any]:
        """Return the values; None for nulls.

        Raises:
            InvalidInput: A time is finer than a microsecond, or a date is beyond those of Python.
        """
        try:
            values: list[Any] = (array if array.type == self.arrow_type else array.cast(self.arrow_type)).to_pylist()
            return values if self.convert is None else list(map(self.convert, values))
        except pa.ArrowInvalid:
            msg = f"the column {self.name!r} has times finer than a microsecond, which Python can't represent; round it"
        except (pa.ArrowException, OverflowError, ValueError):
            msg = f"the column {self.name!r} has values that Python can't represent, such as dates after the year 9999"
        raise InvalidInput(msg)


_SAME_EXTENSIONS: Final = ("arrow.bool8", "arrow.json", "arrow.uuid")
"""Those that pyarrow knows, or whose storage is the value."""
_SAME: Final[Sequence[Callable[[pa.DataType], bool]]] = (
    pa.types.is_null, pa.types.is_boolean, pa.types.is_integer, pa.types.is_float32, pa.types.is_float64,
    pa.types.is_decimal, pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_binary,
    pa.types.is_large_binary, pa.types.is_binary_view, pa.types.is_fixed_size_binary, pa.types.is_date,
    pa.types.is_time32,
)  # fmt: skip


def _exactly(field: pa.Field) -> tuple[pa.DataType, Convert | None]:  # noqa: PLR0911  # one line for each kind
    """Return the type to cast a field to, and the conversion of its values after that.

    Raises:
        _NotExact: There is none, for the field or a part of it.
    """
    arrow_type, types = field.type, pa.types
    metadata = field.metadata or {}
    extension = getattr(arrow_type, "extension_name", metadata.get(b"ARROW:extension:name", b"").decode())
    if extension and extension not in _SAME_EXTENSIONS:
        raise _NotExact(extension)
    if extension or any(is_same(arrow_type) for is_same in _SAME):
        return arrow_type, None
    if types.is_timestamp(arrow_type):
        if arrow_type.tz is None:
            return pa.timestamp("us"), None
        return pa.timestamp("us", "UTC"), _in_zone(arrow_type)
    if types.is_duration(arrow_type):
        return pa.duration("us"), None
    if types.is_time64(arrow_type):
        return pa.time64("us"), None
    if types.is_dictionary(arrow_type):
        value_type, convert = _exactly(pa.field(field.name, arrow_type.value_type))
        return (arrow_type if value_type == arrow_type.value_type else value_type), convert
    if types.is_struct(arrow_type):
        return _exact_struct([arrow_type.field(number) for number in range(arrow_type.num_fields)])
    if not any(is_list(arrow_type) for is_list in (types.is_list, types.is_large_list, types.is_fixed_size_list)):
        raise _NotExact(arrow_type)
    item_type, convert = _exactly(arrow_type.value_field)
    is_same = item_type == arrow_type.value_type
    return (arrow_type if is_same else _list_of(item_type, arrow_type)), convert and _each(convert)


def _list_of(item_type: pa.DataType, arrow_type: pa.DataType) -> pa.DataType:
    """Return the type of lists of other items, of the same kind as a type of lists."""
    if pa.types.is_list(arrow_type):
        return pa.list_(item_type)
    if pa.types.is_large_list(arrow_type):
        return pa.large_list(item_type)
    return pa.list_(item_type, arrow_type.list_size)


def _each(convert: Convert) -> Convert:
    return lambda values: values and [convert(value) for value in values]


def _exact_struct(fields: Sequence[pa.Field]) -> tuple[pa.DataType, Convert | None]:
    exact = {field.name: _exactly(field) for field in fields}
    if len(exact) < len(fields):
        raise _NotExact(pa.struct(fields))
    converts = {name: convert for name, (_, convert) in exact.items() if convert is not None}
    arrow_type = pa.struct([pa.field(name, each) for name, (each, _) in exact.items()])
    if not converts:
        return arrow_type, None
    return arrow_type, lambda row: row and row | {name: convert(row[name]) for name, convert in converts.items()}


def _in_zone(arrow_type: pa.DataType) -> Convert:
    """Return a conversion to the zone that a type names. pyarrow's own depends on what is installed: pytz or not."""
    zone = _zone_of(arrow_type)
    return lambda value: value and value.astimezone(zone)


def _zone_of(arrow_type: pa.DataType) -> tzinfo:
    name = arrow_type.tz
    if name[:1] in "+-":
        hours, minutes = map(int, name[1:].split(":"))
        return timezone(timedelta(hours=hours, minutes=minutes) * (-1 if name[0] == "-" else 1))
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        raise _NotExact(arrow_type) from None
