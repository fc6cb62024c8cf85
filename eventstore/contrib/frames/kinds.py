"""What a column holds: from Python values to an Arrow type, and to arrays of it without loss.

A column has a type of its own where all of its values are of one kind. Every other value becomes JSON text, in the form
of `JSONCodec`, which can be read back exactly.
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
"""Of a decimal128."""
TIME: Final = pa.timestamp("us", "UTC")


class Misfit(Exception):  # never leaves the package
    """A value that a column can't hold exactly."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What the values of a column have in common.

    Attributes:
        arrow_type: The type of the column.
        convert: Makes what pyarrow takes of values, None among them; raises Misfit.
        storage: The type that pyarrow makes of that, where it is not the column's own.
    """

    arrow_type: pa.DataType
    convert: Callable[[Sequence[Any]], Sequence[Any]] = field(compare=False)
    storage: pa.DataType | None = None

    def array(self, values: Sequence[Any]) -> pa.Array:
        """Return the values as an array.

        Raises:
            Misfit: One of them is of another kind, or would lose something.
        """
        try:
            made = pa.array(self.convert(values), self.storage or self.arrow_type)
            return made if self.storage is None else made.cast(self.arrow_type)
        except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
            raise Misfit(type(error).__name__) from None


def json_text(value: Any) -> str:
    """Return a value as JSON text, from which `JSONCodec().decode` makes the same value again."""
    if _is_json(value):  # thirty times as quick
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
    """Return the check that values are of these very types: pyarrow itself takes a datetime for a date, say."""
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


BOOLEAN: Final = Kind(pa.bool_(), _only(bool))
INTEGER: Final = Kind(pa.int64(), _only(int))
FLOAT: Final = Kind(pa.float64(), _floats)
TEXT: Final = Kind(pa.string(), _only(str))
BINARY: Final = Kind(pa.binary(), _only(bytes))
DATE: Final = Kind(pa.date32(), _only(date))
INSTANT: Final = Kind(TIME, _datetimes(zoned=True))
LOCAL_TIME: Final = Kind(pa.timestamp("us"), _datetimes(zoned=False))
TIME_OF_DAY: Final = Kind(pa.time64("us"), _times)
DURATION: Final = Kind(pa.duration("us"), _only(timedelta))
IDENTIFIER: Final = Kind(pa.string(), _texts_of_uuids)
JSON: Final = Kind(pa.string(), _json_texts)


def decimal_of(scale: int) -> Kind:
    """Return the kind of decimals with so many digits after the point."""
    return Kind(pa.decimal128(DIGITS, scale), _decimals)


def list_of(kind: Kind) -> Kind:
    """Return the kind of lists of values of a kind. Tuples are lists, too."""
    check = _only(list, tuple)

    def convert(values: Sequence[Any]) -> Sequence[Any]:
        kind.array([part for value in check(values) if value is not None for part in value])
        return [None if value is None else kind.convert(value) for value in values]

    return Kind(pa.list_(kind.arrow_type), convert, kind.storage and pa.list_(kind.storage))


def declared(arrow_type: pa.DataType) -> Kind:
    """Return the kind of a column whose type the caller has chosen."""
    is_of = pa.types
    if is_of.is_integer(arrow_type):
        return Kind(arrow_type, INTEGER.convert)
    if is_of.is_list(arrow_type) or is_of.is_large_list(arrow_type):
        part = declared(arrow_type.value_type)
        return Kind(arrow_type, list_of(part).convert, pa.list_(part.storage or part.arrow_type))
    if is_of.is_decimal(arrow_type):
        return Kind(arrow_type, _decimals)
    if is_of.is_timestamp(arrow_type):
        kind = LOCAL_TIME if arrow_type.tz is None else INSTANT
        return Kind(arrow_type, kind.convert, kind.arrow_type)
    for is_such, kind in _FAMILIES.items():
        if is_such(arrow_type):
            return Kind(arrow_type, kind.convert, kind.arrow_type)
    return Kind(arrow_type, lambda values: values)


_IDENTIFIER_OR_TEXT: Final = Kind(pa.string(), _texts)
_FAMILIES: Final[dict[Callable[[pa.DataType], bool], Kind]] = {
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
