"""The column type of a field, from its values and from the annotations of event classes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from types import NoneType
from typing import Any, Final
from uuid import UUID

from msgspec import inspect

from eventstore.contrib.frames import column_types
from eventstore.contrib.frames.column_types import ColumnType, Misfit

_LARGEST_INTEGER: Final = 2**63 - 1
_ALONE: Final[dict[type, ColumnType]] = {
    bool: column_types.BOOLEAN,
    float: column_types.FLOAT,
    str: column_types.TEXT,
    bytes: column_types.BINARY,
    date: column_types.DATE,
    time: column_types.TIME_OF_DAY,
    timedelta: column_types.DURATION,
    UUID: column_types.IDENTIFIER,
}


@dataclass(slots=True)
class FieldProfile:
    """The properties of a field's values that its column type depends on.

    Attributes:
        types: The types of its values, without None.
        largest: The largest absolute value of an integer.
        scale: The highest number of digits after a decimal point.
        digits: The highest number of digits before it.
        zones: Whether times have a zone.
        is_odd: Whether a value fits only a column of JSON.
        items: The profile of the items of lists.
    """

    types: set[type] = field(default_factory=set)
    largest: int = 0
    scale: int = 0
    digits: int = 0
    zones: set[bool] = field(default_factory=set)
    is_odd: bool = False
    items: "FieldProfile | None" = None

    def add(self, values: Sequence[Any]) -> None:
        """Add more values."""
        types = {*map(type, values)} - {NoneType}
        self.types |= types
        for cls in types & _PROFILERS.keys():
            _PROFILERS[cls](self, [value for value in values if type(value) is cls])

    def merge(self, other: "FieldProfile") -> None:
        """Add the values of another profile."""
        self.types |= other.types
        self.zones |= other.zones
        self.is_odd |= other.is_odd
        self.largest, self.scale = max(self.largest, other.largest), max(self.scale, other.scale)
        self.digits = max(self.digits, other.digits)
        if other.items is not None:
            self.items = self.items or FieldProfile()
            self.items.merge(other.items)

    def column_type(self) -> ColumnType:  # noqa: PLR0911  # one line for each type
        """Return the column type that all values fit."""
        types = self.types
        if self.is_odd or not types:
            return column_types.JSON
        if types == {int}:
            return column_types.INTEGER if self.largest <= _LARGEST_INTEGER else column_types.JSON
        if types == {int, float}:
            return column_types.FLOAT if self.largest <= column_types.EXACT_IN_FLOAT else column_types.JSON
        if types in ({Decimal}, {Decimal, int}):
            digits = max(self.digits, len(str(min(self.largest, 10**column_types.DIGITS))))
            return (
                column_types.decimal_of(self.scale) if digits + self.scale <= column_types.DIGITS else column_types.JSON
            )
        if types == {datetime}:
            return (
                column_types.JSON
                if len(self.zones) > 1
                else column_types.LOCAL_TIME
                if self.zones == {False}
                else column_types.INSTANT
            )
        if types <= {list, tuple}:
            item = self.items.column_type() if self.items else column_types.JSON
            return column_types.JSON if item is column_types.JSON else column_types.list_of(item)
        return _ALONE.get(next(iter(types)), column_types.JSON) if len(types) == 1 else column_types.JSON


def _profile_integers(profile: FieldProfile, values: Sequence[int]) -> None:
    profile.largest = max(profile.largest, *map(abs, values))


def _profile_decimals(profile: FieldProfile, values: Sequence[Decimal]) -> None:
    for value in values:
        exponent = value.as_tuple().exponent
        if isinstance(exponent, int):
            profile.scale = max(profile.scale, -exponent)
            profile.digits = max(profile.digits, value.adjusted() + 1)
        else:  # NaN or an infinity
            profile.is_odd = True


def _profile_datetimes(profile: FieldProfile, values: Sequence[datetime]) -> None:
    for value in values:
        profile.zones.add(value.tzinfo is not None)
    _profile_by(column_types.LOCAL_TIME if profile.zones == {False} else column_types.INSTANT)(profile, values)


def _profile_by(column_type: ColumnType) -> Callable[[FieldProfile, Sequence[Any]], None]:
    def profile_values(profile: FieldProfile, values: Sequence[Any]) -> None:
        try:
            column_type.array(values)
        except Misfit:
            profile.is_odd = True

    return profile_values


def _profile_lists(profile: FieldProfile, values: Sequence[Any]) -> None:
    items = [item for value in values for item in value]
    profile.items = profile.items or FieldProfile()
    profile.items.add(items)


_PROFILERS: Final[dict[type, Callable[[FieldProfile, Sequence[Any]], None]]] = {
    int: _profile_integers,
    Decimal: _profile_decimals,
    datetime: _profile_datetimes,
    time: _profile_by(column_types.TIME_OF_DAY),
    timedelta: _profile_by(column_types.DURATION),
    list: _profile_lists,
    tuple: _profile_lists,
}


def of_class(cls: Any) -> dict[str, FieldProfile]:
    """Return the profiles of an event class's fields, from their annotations."""
    if hasattr(cls, "model_fields"):
        return {name: _of_annotation(model_field.annotation) for name, model_field in cls.model_fields.items()}
    info: Any = inspect.type_info(cls)
    return {each.name: _of_node(each.type) for each in info.fields}


def _of_annotation(annotation: Any) -> FieldProfile:
    try:
        return _of_node(inspect.type_info(annotation))
    except Exception:  # noqa: BLE001  # a type that pydantic knows and msgspec does not: only values count then
        return FieldProfile()


def _of_node(node: Any) -> FieldProfile:
    profile = FieldProfile()
    cls = type(node)
    if cls in _BY_NODE:
        profile.types.add(_BY_NODE[cls])
        profile.zones |= {node.tz} - {None} if cls is inspect.DateTimeType else set()
    elif cls is inspect.EnumType:
        profile.add([member.value for member in node.cls])
    elif cls is inspect.LiteralType:
        profile.add(node.values)
    elif cls is inspect.UnionType:
        for each in node.types:
            profile.merge(_of_node(each))
    elif cls in (inspect.ListType, inspect.VarTupleType):
        profile.types.add(list)
        profile.items = _of_node(node.item_type)
        profile.items.is_odd |= type(node.item_type) is inspect.EnumType  # Arrow has no enum members
    elif cls not in (inspect.NoneType, inspect.AnyType):
        profile.is_odd = True
    return profile


_BY_NODE: Final[dict[type, type]] = {
    inspect.BoolType: bool,
    inspect.IntType: int,
    inspect.FloatType: float,
    inspect.StrType: str,
    inspect.BytesType: bytes,
    inspect.DateType: date,
    inspect.TimeType: time,
    inspect.TimeDeltaType: timedelta,
    inspect.DateTimeType: datetime,
    inspect.DecimalType: Decimal,
    inspect.UUIDType: UUID,
}
