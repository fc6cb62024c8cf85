"""Of which kind a field is: by the values that were seen of it, and by the annotations of event classes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from types import NoneType
from typing import Any, Final
from uuid import UUID

from msgspec import inspect

from eventstore.contrib.frames import kinds
from eventstore.contrib.frames.kinds import Kind, Misfit

_LARGEST_INTEGER: Final = 2**63 - 1
_ALONE: Final[dict[type, Kind]] = {
    bool: kinds.BOOLEAN,
    float: kinds.FLOAT,
    str: kinds.TEXT,
    bytes: kinds.BINARY,
    date: kinds.DATE,
    time: kinds.TIME_OF_DAY,
    timedelta: kinds.DURATION,
    UUID: kinds.IDENTIFIER,
}


@dataclass(slots=True)
class Seen:
    """What is known of a field: enough to tell its kind.

    Attributes:
        types: The types of its values, without None.
        largest: The largest integer, by its absolute value.
        scale: The most digits after a decimal's point.
        digits: The most digits before it.
        zones: Whether times have a zone.
        is_odd: Whether a value fits no column but one of JSON.
        parts: What is known of the members of lists.
    """

    types: set[type] = field(default_factory=set)
    largest: int = 0
    scale: int = 0
    digits: int = 0
    zones: set[bool] = field(default_factory=set)
    is_odd: bool = False
    parts: "Seen | None" = None

    def add(self, values: Sequence[Any]) -> None:
        """Look at more values."""
        found = {*map(type, values)} - {NoneType}
        self.types |= found
        for cls in found & _LOOKS.keys():
            _LOOKS[cls](self, [value for value in values if type(value) is cls])

    def merge(self, other: "Seen") -> None:
        """Add what is known from elsewhere."""
        self.types |= other.types
        self.zones |= other.zones
        self.is_odd |= other.is_odd
        self.largest, self.scale = max(self.largest, other.largest), max(self.scale, other.scale)
        self.digits = max(self.digits, other.digits)
        if other.parts is not None:
            self.parts = self.parts or Seen()
            self.parts.merge(other.parts)

    def kind(self) -> Kind:  # noqa: PLR0911  # one line a kind
        """Return the kind that all of these values are of."""
        types = self.types
        if self.is_odd or not types:
            return kinds.JSON
        if types == {int}:
            return kinds.INTEGER if self.largest <= _LARGEST_INTEGER else kinds.JSON
        if types == {int, float}:
            return kinds.FLOAT if self.largest <= kinds.EXACT_IN_FLOAT else kinds.JSON
        if types in ({Decimal}, {Decimal, int}):
            digits = max(self.digits, len(str(min(self.largest, 10**kinds.DIGITS))))
            return kinds.decimal_of(self.scale) if digits + self.scale <= kinds.DIGITS else kinds.JSON
        if types == {datetime}:
            return kinds.JSON if len(self.zones) > 1 else kinds.LOCAL_TIME if self.zones == {False} else kinds.INSTANT
        if types <= {list, tuple}:
            part = self.parts.kind() if self.parts else kinds.JSON
            return kinds.JSON if part is kinds.JSON else kinds.list_of(part)
        return _ALONE.get(next(iter(types)), kinds.JSON) if len(types) == 1 else kinds.JSON


def _look_at_integers(seen: Seen, values: Sequence[int]) -> None:
    seen.largest = max(seen.largest, *map(abs, values))


def _look_at_decimals(seen: Seen, values: Sequence[Decimal]) -> None:
    for value in values:
        exponent = value.as_tuple().exponent
        if isinstance(exponent, int):
            seen.scale = max(seen.scale, -exponent)
            seen.digits = max(seen.digits, value.adjusted() + 1)
        else:  # NaN or an infinity
            seen.is_odd = True


def _look_at_datetimes(seen: Seen, values: Sequence[datetime]) -> None:
    for value in values:
        seen.zones.add(value.tzinfo is not None)
    _look_by(kinds.LOCAL_TIME if seen.zones == {False} else kinds.INSTANT)(seen, values)


def _look_by(kind: Kind) -> Callable[[Seen, Sequence[Any]], None]:
    def look(seen: Seen, values: Sequence[Any]) -> None:
        try:
            kind.array(values)
        except Misfit:
            seen.is_odd = True

    return look


def _look_at_lists(seen: Seen, values: Sequence[Any]) -> None:
    parts = [part for value in values for part in value]
    seen.parts = seen.parts or Seen()
    seen.parts.add(parts)


_LOOKS: Final[dict[type, Callable[[Seen, Sequence[Any]], None]]] = {
    int: _look_at_integers,
    Decimal: _look_at_decimals,
    datetime: _look_at_datetimes,
    time: _look_by(kinds.TIME_OF_DAY),
    timedelta: _look_by(kinds.DURATION),
    list: _look_at_lists,
    tuple: _look_at_lists,
}


def of_class(cls: Any) -> dict[str, Seen]:
    """Return what the annotations of an event class say about its fields."""
    if hasattr(cls, "model_fields"):
        return {name: _of_annotation(model_field.annotation) for name, model_field in cls.model_fields.items()}
    info: Any = inspect.type_info(cls)
    return {each.name: _of_node(each.type) for each in info.fields}


def _of_annotation(annotation: Any) -> Seen:
    try:
        return _of_node(inspect.type_info(annotation))
    except Exception:  # noqa: BLE001  # what pydantic takes for a type, and msgspec does not: values will tell
        return Seen()


def _of_node(node: Any) -> Seen:
    seen = Seen()
    cls = type(node)
    if cls in _BY_NODE:
        seen.types.add(_BY_NODE[cls])
        seen.zones |= {node.tz} - {None} if cls is inspect.DateTimeType else set()
    elif cls is inspect.EnumType:
        seen.add([member.value for member in node.cls])
    elif cls is inspect.LiteralType:
        seen.add(node.values)
    elif cls is inspect.UnionType:
        for each in node.types:
            seen.merge(_of_node(each))
    elif cls in (inspect.ListType, inspect.VarTupleType):
        seen.types.add(list)
        seen.parts = _of_node(node.item_type)
        seen.parts.is_odd |= type(node.item_type) is inspect.EnumType  # its members are no values of Arrow's
    elif cls not in (inspect.NoneType, inspect.AnyType):
        seen.is_odd = True
    return seen


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
