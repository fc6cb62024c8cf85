"""The types of columns: from Python values to Arrow types, and to arrays without loss.

A column has an Arrow type if all of its values fit one. Other values become JSON text in the form of `JSONCodec`, which
can be read back exactly.
"""

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from types import NoneType
from typing import Any, Final
from uuid import UUID

import msgspec
import pyarrow as pa

from eventstore.codecs import JSONCodec

_JSON: Final = JSONCodec()
EXACT_IN_FLOAT: Final = 2**53
DIGITS: Final = 38
"""The digits of a decimal128."""
TIME: Final = pa.timestamp("us", "UTC")


class Misfit(Exception):  # never leaves the package
    """A value that a column can't hold exactly."""


@dataclass(frozen=True, slots=True)
class ColumnType:
    """The type of a column, and the conversion of values to it.

    Attributes:
        arrow_type: The type of the column.
        convert: Converts values, including None, to values for pyarrow; raises Misfit.
        storage: The type of the converted values, if it is not that of the column.
    """

    arrow_type: pa.DataType
    convert: Callable[[Sequence[Any]], Sequence[Any]] = field(compare=False)
    storage: pa.DataType | None = None

    def array(self, values: Sequence[Any]) -> pa.Array:
        """Return the values as an array.

        Raises:
            Misfit: A value is of another type, or would not be stored exactly.
        """
        try:
            array = pa.array(self.convert(values), self.storage or self.arrow_type)
            return array if self.storage is None else array.cast(self.arrow_type)
        except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
            raise Misfit(type(error).__name__) from None


def json_text(value: Any) -> str:
    """Return a value as JSON text, which `JSONCodec().decode` decodes to the same value."""
    if _is_json(value):  # thirty times as fast
        with suppress(ValueError):  # an integer of more digits than Python writes
            return msgspec.json.encode(value).decode()
    return _JSON.encode(value, typed=True).decode()


def _is_json(value: Any) -> bool:
    cls = type(value)
    if cls is dict:
        if not {*map(type, value)} <= {str} or (len(value) == 1 and next(iter(value)).startswith("$")):
            return False
        return _ATOMS.issuperset(map(type, value.values())) or all(map(_is_json, value.values()))
    if cls is list:
        return _ATOMS.issuperset(map(type, value)) or all(map(_is_json, value))
    return cls in _ATOMS or (cls is float and math.isfinite(value))


_ATOMS: Final = frozenset({str, int, bool, NoneType})


def _only(*allowed: type) -> Callable[[Sequence[Any]], Sequence[Any]]:
    """Return a check that values are of exactly these types: pyarrow would accept a datetime as a date, for example."""
    types = {*allowed, NoneType}

    def check(values: Sequence[Any]) -> Sequence[Any]:
        if not {*map(type, values)} <= types:
            raise Misfit
        return values

    return check


def _floats(values: Sequence[Any]) -> Sequence[Any]:
    if int in {*map(type, _only(float, int)(values))}:
        if any(type(value) is int and abs(value) > EXACT_IN_FLOAT for value in values):
            raise Misfit
        return [None if value is None else float(value) for value in values]
    return values


def _datetimes(*, zoned: bool) -> Callable[[Sequence[Any]], Sequence[Any]]:
    check = _only(datetime)

    def convert(values: Sequence[Any]) -> Sequence[Any]:
        for value in check(values):
            if value is not None and ((value.tzinfo is not None) is not zoned or (value.fold and not zoned)):
                raise Misfit
        return [value and value.astimezone(UTC) for value in values] if zoned else values

    return convert


def _times(values: Sequence[Any]) -> Sequence[Any]:
    if any(value is not None and (value.tzinfo or value.fold) for value in _only(time)(values)):
        raise Misfit
    return values


def _decimals(values: Sequence[Any]) -> Sequence[Any]:
    if any(isinstance(value, Decimal) and not value.is_finite() for value in _only(Decimal, int)(values)):
        raise Misfit
    return values


def _texts_of_uuids(values: Sequence[Any]) -> Sequence[Any]:
    return [None if value is None else str(value) for value in _only(UUID)(values)]


def _texts(values: Sequence[Any]) -> Sequence[Any]:
    return [str(value) if type(value) is UUID else value for value in _only(str, UUID)(values)]


def _json_texts(values: Sequence[Any]) -> Sequence[Any]:
    return [None if value is None else json_text(value) for value in values]


BOOLEAN: Final = ColumnType(pa.bool_(), _only(bool))
INTEGER: Final = ColumnType(pa.int64(), _only(int))
FLOAT: Final = ColumnType(pa.float64(), _floats)
TEXT: Final = ColumnType(pa.string(), _only(str))
BINARY: Final = ColumnType(pa.binary(), _only(bytes))
DATE: Final = ColumnType(pa.date32(), _only(date))
INSTANT: Final = ColumnType(TIME, _datetimes(zoned=True))
LOCAL_TIME: Final = ColumnType(pa.timestamp("us"), _datetimes(zoned=False))
TIME_OF_DAY: Final = ColumnType(pa.time64("us"), _times)
DURATION: Final = ColumnType(pa.duration("us"), _only(timedelta))
IDENTIFIER: Final = ColumnType(pa.string(), _texts_of_uuids)
JSON: Final = ColumnType(pa.string(), _json_texts)


def decimal_of(scale: int) -> ColumnType:
    """Return the type of decimals with a number of digits after the point."""
    return ColumnType(pa.decimal128(DIGITS, scale), _decimals)


def list_of(item: ColumnType) -> ColumnType:
    """Return the type of lists of items of a type. Tuples are lists, too."""
    check = _only(list, tuple)

    def convert(values: Sequence[Any]) -> Sequence[Any]:
        item.array([part for value in check(values) if value is not None for part in value])
        return [None if value is None else item.convert(value) for value in values]

    return ColumnType(pa.list_(item.arrow_type), convert, item.storage and pa.list_(item.storage))


def declared(arrow_type: pa.DataType) -> ColumnType:
    """Return the type of a column for which the caller has chosen the Arrow type."""
    arrow_types = pa.types
    if arrow_types.is_integer(arrow_type):
        return ColumnType(arrow_type, INTEGER.convert)
    if arrow_types.is_list(arrow_type) or arrow_types.is_large_list(arrow_type):
        item = declared(arrow_type.value_type)
        return ColumnType(arrow_type, list_of(item).convert, pa.list_(item.storage or item.arrow_type))
    if arrow_types.is_decimal(arrow_type):
        return ColumnType(arrow_type, _decimals)
    if arrow_types.is_timestamp(arrow_type):
        column_type = LOCAL_TIME if arrow_type.tz is None else INSTANT
        return ColumnType(arrow_type, column_type.convert, column_type.arrow_type)
    for is_of_family, column_type in _FAMILIES.items():
        if is_of_family(arrow_type):
            return ColumnType(arrow_type, column_type.convert, column_type.arrow_type)
    return ColumnType(arrow_type, lambda values: values)


_IDENTIFIER_OR_TEXT: Final = ColumnType(pa.string(), _texts)
_FAMILIES: Final[dict[Callable[[pa.DataType], bool], ColumnType]] = {
    pa.types.is_boolean: BOOLEAN,
    pa.types.is_floating: FLOAT,
    pa.types.is_string: _IDENTIFIER_OR_TEXT,
    pa.types.is_large_string: _IDENTIFIER_OR_TEXT,
    pa.types.is_dictionary: _IDENTIFIER_OR_TEXT,
    pa.types.is_binary: BINARY,
    pa.types.is_large_binary: BINARY,
    pa.types.is_date: DATE,
    pa.types.is_time: TIME_OF_DAY,
    pa.types.is_duration: DURATION,
}
