"""Whether a value is read back exactly: with the same classes, and the same encoding at each leaf.

An application's `==` is never used, because a class may compare only some of its fields, or none. NaN equals itself. 1,
True and 1.0 are three different values, and so are the decimals 1.1 and 1.10.
"""

import dataclasses
import functools
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import partial
from types import NoneType
from typing import Any, Final
from uuid import UUID

from eventstore.codecs.messagepack import MessagePackCodec
from eventstore.codecs.plain import Members, plain, step_to
from eventstore.codecs.scalars import SCALARS


def _same_texts(write: Callable[[Any], str], one: Any, other: Any) -> bool:
    return write(one) == write(other)


def _same_times(write: Callable[[Any], str], one: Any, other: Any) -> bool:
    if one.tzinfo is other.tzinfo and one.fold == other.fold and one == other:
        return True
    return write(one) == write(other)


_SAME: Final[dict[type, Callable[[Any, Any], bool]]] = {
    **dict.fromkeys((str, int, bool, NoneType, bytes, UUID, date, timedelta), operator.eq),
    float: partial(_same_texts, repr),  # 0.0 == -0.0, and NaN is not equal to itself
    Decimal: partial(_same_texts, str),
    **{cls: partial(_same_times, SCALARS[cls].write) for cls in (datetime, time)},
}
"""How two leaves of the same type are compared."""
_KNOWN: Final = _SAME.keys() | {list, tuple, dict, set, frozenset}
_MISSING: Final = object()
"""Stands for a part that one of the two values does not have."""

_Path = tuple[str, Any] | None
"""The last step and the path before it. Its text is made only if it is needed."""
_ANOTHER_VALUE: Final = "is read back as another value"

_Pair = tuple[Any, Any, _Path]
_Parts = Callable[[Any, Any, _Path], Sequence[_Pair] | None]


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a value that was read differs from the original.

    Attributes:
        path: Where in the value, such as `$.lines[3].price`.
        value: The part of the original there, or, if it has none, the part that was read.
        problem: How the two differ, without showing a value.
    """

    path: str
    value: Any
    problem: str


def difference(original: Any, read: Any, encode: Callable[[Any], object]) -> Difference | None:
    """Return where two values differ; None if they don't.

    Objects are compared by the fields that their classes declare. That includes the fields that a dataclass does not
    compare, but not private attributes and computed fields. Mappings and sets have no order. A leaf of a subclass, such
    as a text that is marked as safe, equals one of the base type, as it does for the codecs. An enum does not, and
    neither does a container, because a defaultdict is more than a dict.

    Args:
        original: The value that was encoded.
        read: The value that was decoded.
        encode: The codec, for leaves of other types, which only a serializer of the class knows.
    """
    todo: list[_Pair] = [(original, read, None)]
    knows_all = True
    while todo:  # no recursion, because a value may be nested deeper than Python's stack
        one, other, path = todo.pop()
        if one is other:
            continue
        if type(one) is not type(other):
            base_value = _as_base(one, type(other))
            if base_value is None:
                return Difference(_text_of(path), other if one is _MISSING else one, _change(one, other))
            one = base_value
        cls: Any = type(one)
        pairs: Sequence[_Pair] | None
        if (same := _SAME.get(cls)) is not None:
            pairs = () if same(one, other) else None
        elif (parts := _parts_of(cls)) is not None:
            pairs = parts(one, other, path)
        else:
            knows_all = False
            continue
        if pairs is None:
            return Difference(_text_of(path), one, _ANOTHER_VALUE)
        todo.extend(pairs)
    if knows_all or _encoded(original, encode) == _encoded(read, encode) is not None:
        return None
    return Difference("$", original, _ANOTHER_VALUE)


def value_at(value: Any, path: str) -> Any:
    """Return the value at a path, or the innermost one on the path that can be read."""
    for name, index in re.findall(r"\.(\w+)|\[(\d+)\]", path):
        try:
            key = int(index) if index else name
            value = value[key] if index or isinstance(value, dict) else getattr(value, name)
        except Exception:  # noqa: BLE001  # a set, another name in the data than in the class, the class's own code
            return value
    return value


@functools.cache
def fields_of(cls: Any) -> tuple[str, ...] | None:
    """Return the names of the fields that a class declares; None for a class without declared fields."""
    if hasattr(cls, "__pydantic_fields__") and hasattr(cls, "model_dump"):
        return tuple(cls.__pydantic_fields__)
    if dataclasses.is_dataclass(cls):
        return tuple(field.name for field in dataclasses.fields(cls))
    if hasattr(cls, "__attrs_attrs__"):
        return tuple(attribute.name for attribute in cls.__attrs_attrs__)
    if hasattr(cls, "__struct_fields__"):
        return tuple(cls.__struct_fields__)
    return tuple(cls._fields) if issubclass(cls, tuple) and hasattr(cls, "_fields") else None


@functools.cache
def _parts_of(cls: Any) -> _Parts | None:
    """Return a function that pairs the parts of two objects of a class, or returns None if that is not possible."""
    names = fields_of(cls)
    if names is not None:
        return partial(_fields_of_model if hasattr(cls, "model_dump") else _fields, names)
    if issubclass(cls, Enum):
        return _none  # two members that are not the same object differ
    for bases, parts in _PARTS.items():
        if issubclass(cls, bases):
            return parts
    return None


def _none(_one: Any, _other: Any, _path: _Path) -> None:
    return None


def _is_same_leaf(one: Any, other: Any) -> bool:
    """Return whether two values are equal leaves, as most are, and need no further comparison."""
    if one is other:
        return True
    cls: Any = type(one)
    same = _SAME.get(cls)
    return same is not None and cls is type(other) and same(one, other)


def _fields(names: tuple[str, ...], one: Any, other: Any, path: _Path) -> list[_Pair]:
    pairs: list[_Pair] = []
    for name in names:
        part, counterpart = getattr(one, name, _MISSING), getattr(other, name, _MISSING)
        if not _is_same_leaf(part, counterpart):
            pairs.append((part, counterpart, (f".{name}", path)))
    return pairs


def _fields_of_model(names: tuple[str, ...], one: Any, other: Any, path: _Path) -> list[_Pair]:
    """Pair the fields of two models without getattr, which warns of deprecated fields, and with their extra fields."""
    values, others = vars(one), vars(other)
    pairs = [(values.get(name, _MISSING), others.get(name, _MISSING), (f".{name}", path)) for name in names]
    extra, other_extra = (getattr(each, "__pydantic_extra__", None) or {} for each in (one, other))
    return [*pairs, (extra, other_extra, path)]


def _members(one: Any, other: Any, path: _Path) -> list[_Pair] | None:
    if len(one) != len(other):
        return None
    return [
        (part, counterpart, (f"[{index}]", path))
        for index, (part, counterpart) in enumerate(zip(one, other, strict=True))
        if not _is_same_leaf(part, counterpart)
    ]


def _items(one: Any, other: Any, path: _Path) -> list[_Pair] | None:
    if all(type(key) is str for key in one) and all(type(key) is str for key in other):
        keys = [*one, *(key for key in other if key not in one)]
        return [
            (one.get(key, _MISSING), other.get(key, _MISSING), (step_to(key), path))
            for key in keys
            if not _is_same_leaf(one.get(key, _MISSING), other.get(key, _MISSING))
        ]
    if len(one) != len(other):
        return None
    pairs: list[_Pair] = []
    for key, counterpart in zip(_in_order(one), _in_order(other), strict=True):
        pairs.append((key, counterpart, (f"[key of type {type(key).__name__}]", path)))
        pairs.append((one[key], other[counterpart], (step_to(key), path)))
    return pairs


def _unordered(one: Any, other: Any, path: _Path) -> list[_Pair] | None:
    if len(one) != len(other):
        return None
    pairs = zip(_in_order(one), _in_order(other), strict=True)
    return [(part, counterpart, ("{}", path)) for part, counterpart in pairs]


def _texts(one: Any, other: Any, _path: _Path) -> tuple[()] | None:
    return () if _encoded(one, _encode) == _encoded(other, _encode) else None


_PARTS: Final[dict[Any, _Parts]] = {
    (set, frozenset, Members): _unordered,
    (list, tuple): _members,
    dict: _items,
    tuple(_SAME): _texts,  # a subclass that is read back as itself
}
_encode: Final = partial(MessagePackCodec().encode, typed=True)


def _in_order(members: Any) -> list[Any]:
    """Return members sorted by their encoding, so that equal ones are paired."""
    return sorted(members, key=lambda member: (_encoded(member, _encode) or b"", type(member).__qualname__))


def _encoded(value: Any, encode: Callable[[Any], Any]) -> Any:
    try:
        return encode(value)
    except Exception:  # noqa: BLE001  # of an application's codec, or of a type that the codec does not know
        return None


def _as_base(value: Any, cls: Any) -> Any:
    """Return the leaf of the base type that equals an object of a subclass; None if there is none."""
    own: Any = type(value)
    if own in _KNOWN or cls not in _SAME or fields_of(own) is not None:
        return None
    try:
        base_value = plain(value, typed=False)
    except Exception:  # noqa: BLE001  # the class's own code, too
        return None
    return base_value if type(base_value) is cls else None


def _change(original: Any, read: Any) -> str:
    if original is _MISSING:
        return "does not exist, but is read back"
    if read is _MISSING:
        return "is not read back"
    name, other = type(original).__qualname__, type(read).__qualname__
    read_as = f"another class named {other}" if name == other else other
    return f"is read back as {read_as}; convert it, or annotate the field with its class"


def _text_of(path: _Path) -> str:
    steps: list[str] = []
    while path is not None:
        step, path = path
        steps.append(step)
    return "$" + "".join(reversed(steps))
