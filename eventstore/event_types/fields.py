"""The fields of a registered class, as its events are stored: under which key, and with which kind of value."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from msgspec import inspect

_PYDANTIC: Final = "__pydantic_fields__"


class Kind(Enum):
    """The kind of a field's values. None, for an optional field, is a value of each kind."""

    TEXT = "text"
    INTEGER = "integer"
    FLOAT = "float"
    BOOLEAN = "boolean"
    DECIMAL = "decimal"
    DATETIME = "datetime"
    DATE = "date"
    TIME = "time"
    TIMEDELTA = "timedelta"
    UUID = "uuid"
    BYTES = "bytes"
    NESTED = "nested"
    """Anything else: lists, dicts, objects, fields of several types."""


@dataclass(frozen=True, slots=True)
class StoredField:
    """A field of a registered class.

    Attributes:
        name: The name of the attribute.
        key: The key of its value in the stored data, or its index, if the data is a list.
        kind: The kind of its values.
    """

    name: str
    key: str | int
    kind: Kind


_KINDS: Final[dict[type, Kind]] = {
    inspect.StrType: Kind.TEXT,
    inspect.IntType: Kind.INTEGER,
    inspect.FloatType: Kind.FLOAT,
    inspect.BoolType: Kind.BOOLEAN,
    inspect.DecimalType: Kind.DECIMAL,
    inspect.DateTimeType: Kind.DATETIME,
    inspect.DateType: Kind.DATE,
    inspect.TimeType: Kind.TIME,
    inspect.TimeDeltaType: Kind.TIMEDELTA,
    inspect.UUIDType: Kind.UUID,
    inspect.BytesType: Kind.BYTES,
}
_KINDS_OF_VALUES: Final[dict[type, Kind]] = {str: Kind.TEXT, int: Kind.INTEGER}


def stored_fields(cls: Any) -> tuple[StoredField, ...]:
    """Return the fields of a registered class, in the order of their definition.

    Raises:
        NameError: An annotation uses a name that is not defined.
    """
    if hasattr(cls, _PYDANTIC):
        fields = getattr(cls, _PYDANTIC).items()
        return tuple(StoredField(name, name, _kind_of_annotation(field.annotation)) for name, field in fields)
    info: Any = inspect.type_info(cls)
    is_list, first = getattr(info, "array_like", False), int(getattr(info, "tag", None) is not None)
    names = getattr(cls, "__struct_fields__", None) or [field.name for field in info.fields]
    return tuple(
        StoredField(name, first + index if is_list else field.encode_name, _kind(field.type))
        for index, (name, field) in enumerate(zip(names, info.fields, strict=True))
    )


def _kind_of_annotation(annotation: Any) -> Kind:
    try:
        return _kind(inspect.type_info(annotation))
    except TypeError:  # a type of pydantic's own
        return Kind.NESTED


def _kind(node: inspect.Type) -> Kind:
    if isinstance(node, inspect.UnionType):
        return _one({_kind(each) for each in node.types if not isinstance(each, inspect.NoneType)})
    if isinstance(node, inspect.Metadata):
        return _kind(node.type)
    if isinstance(node, inspect.LiteralType):
        return _kind_of_values(node.values)
    if isinstance(node, inspect.EnumType):
        return _kind_of_values(member.value for member in node.cls)
    return _KINDS.get(type(node), Kind.NESTED)


def _kind_of_values(values: Iterable[object]) -> Kind:
    return _one({_KINDS_OF_VALUES.get(type(value), Kind.NESTED) for value in values if value is not None})


def _one(kinds: set[Kind]) -> Kind:
    return kinds.pop() if len(kinds) == 1 else Kind.NESTED
