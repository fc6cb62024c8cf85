"""Event classes: which can be registered, and how objects are made from plain data."""

import re
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from functools import partial
from inspect import getattr_static
from types import MemberDescriptorType, NoneType
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import inspect

from eventstore.errors import DecodingError, EventTypeError

_PYDANTIC: Final = "__pydantic_validator__"
_MARKS: Final = ("__dataclass_fields__", "__attrs_attrs__", "__struct_fields__", _PYDANTIC)
_PLAIN: Final = frozenset(
    {
        inspect.StrType, inspect.IntType, inspect.FloatType, inspect.BoolType, inspect.NoneType, inspect.UnionType,
        inspect.ListType, inspect.DictType, inspect.DataclassType, inspect.StructType,
    }
)  # fmt: skip
_EXACT: Final[list[tuple[inspect.Type, type]]] = [
    (inspect.StrType(), str), (inspect.IntType(), int), (inspect.FloatType(), float), (inspect.BoolType(), bool),
    (inspect.NoneType(), NoneType), (inspect.BytesType(), bytes), (inspect.DecimalType(), Decimal),
    (inspect.UUIDType(), UUID), (inspect.DateType(), date), (inspect.TimeDeltaType(), timedelta),
]  # fmt: skip
"""Annotations without constraints, each with the one type whose values it restores exactly."""
_OWN_CODE: Final = ("__post_init__", "__attrs_pre_init__", "__attrs_post_init__", "__getattr__")
_NO_KEYS: Final = (inspect.DataclassType, inspect.StructType, inspect.TypedDictType, inspect.CustomType)


def is_event_class(cls: type) -> bool:
    """Return whether a class is a dataclass, attrs class, msgspec Struct or pydantic model."""
    return any(hasattr(cls, mark) for mark in _MARKS)


def check_class(cls: Any) -> None:
    """Check that a class is of a kind that can be registered.

    Raises:
        EventTypeError: It is not a dataclass, attrs class, msgspec Struct or pydantic model.
    """
    if not isinstance(cls, type) or not is_event_class(cls):
        msg = f"{cls!r} is not a dataclass, attrs class, msgspec Struct or pydantic model"
        raise EventTypeError(msg)


def check_fields(cls: type) -> None:
    """Check that the annotations can restore the stored data of an object.

    Raises:
        EventTypeError: An annotation can't restore it.
        NameError: An annotation uses a name that is not defined (yet).
    """
    if hasattr(cls, _PYDANTIC):
        import pydantic  # noqa: PLC0415  # not a dependency of this package; the application has already imported it

        if tuple(map(int, pydantic.VERSION.split(".")[:2])) < (2, 11):
            msg = f"{cls.__qualname__} needs pydantic 2.11 or newer; this is {pydantic.VERSION}"
            raise EventTypeError(msg)
        return
    try:
        for node in _nodes(inspect.type_info(cls)):
            _check_node(node)
        _convert(None, cls)
    except msgspec.ValidationError:  # expected, because None is not an event
        return
    except NameError:
        raise
    except Exception as error:
        msg = f"{cls.__qualname__} has a field whose type can't be restored: {error}; change its annotation"
        raise EventTypeError(msg) from error


def _check_node(node: inspect.Type) -> None:
    """Refuse types that msgspec accepts for a field, but does not make from plain values."""
    if isinstance(node, inspect.CustomType) and not hasattr(node.cls, _PYDANTIC):
        msg = f"{node.cls.__qualname__} is not supported"
        raise TypeError(msg)
    if isinstance(node, inspect.DataclassType):  # some versions of msgspec treat a missing annotation as `Any`
        for attribute in getattr(node.cls, "__attrs_attrs__", ()):
            if attribute.type is None:
                msg = f"{attribute.name} has no annotation"
                raise TypeError(msg)
    if isinstance(node, inspect.DictType) and any(isinstance(key, _NO_KEYS) for key in _nodes(node.key_type)):
        msg = "the keys of a dict can't be objects with fields"
        raise TypeError(msg)


def _nodes(info: inspect.Type) -> Iterator[inspect.Type]:
    """Yield a type and all types inside it."""
    todo: list[Any] = [info]
    node_ids: set[int] = set()
    while todo:
        node = todo.pop()
        if isinstance(node, tuple):
            todo.extend(node)
        elif isinstance(node, inspect.Field):
            todo.append(node.type)
        elif isinstance(node, inspect.Type) and id(node) not in node_ids:
            node_ids.add(id(node))
            yield node
            todo.extend(getattr(node, name) for name in node.__struct_fields__)


def _has_plain_fields(cls: type) -> bool:
    """Return whether the fields of a class have only types of MessagePack: text, numbers, lists, dicts."""
    if hasattr(cls, _PYDANTIC):
        return False
    try:
        return all(type(node) in _PLAIN and not _has_other_keys(node) for node in _nodes(inspect.type_info(cls)))
    except NameError:
        return False


def _has_other_keys(node: inspect.Type) -> bool:
    return isinstance(node, inspect.DictType) and not isinstance(node.key_type, inspect.StrType)


def exact_types(cls: Any) -> tuple[tuple[str, frozenset[type]], ...] | None:
    """Return the fields of a class, each with the types whose values it always restores exactly.

    None if that can't be known in advance, because the class runs code when an object is made, or has constraints or
    nested fields.
    """
    fields = getattr(inspect.type_info(cls), "fields", None) if _runs_no_code(cls) else None
    types_of_fields = [(each.name, _exact_types_of(each.type)) for each in fields or ()]
    if fields is None or not all(types for _, types in types_of_fields):
        return None
    return tuple(types_of_fields)


def _runs_no_code(cls: Any) -> bool:
    if hasattr(cls, _PYDANTIC) or any(hasattr(cls, name) for name in _OWN_CODE):
        return False
    attributes = getattr(cls, "__attrs_attrs__", ())
    names = [*getattr(cls, "__dataclass_fields__", ()), *(each.name for each in attributes)]
    return not any(each.validator for each in attributes) and all(
        isinstance(attribute, MemberDescriptorType) or not hasattr(type(attribute), "__set__")
        for attribute in (getattr_static(cls, name, None) for name in names)
    )


def _exact_types_of(info: inspect.Type) -> frozenset[type]:
    """Return the types whose values an annotation restores exactly; empty if the annotation is not that simple."""
    each = [[cls for known, cls in _EXACT if known == node] for node in getattr(info, "types", [info])]
    return frozenset(cls for classes in each for cls in classes) if all(each) else frozenset()


def reader(cls: Any) -> Callable[[bytes], Any] | None:
    """Return a function that makes an object from MessagePack in one step; None if the class needs two.

    It returns the same object as `builder` from plain data. If it raises any error, make the object from plain data,
    which may succeed, for example because this function does not know the extension type that marks a tuple.
    """
    return msgspec.msgpack.Decoder(cls).decode if _has_plain_fields(cls) else None


def builder(cls: Any) -> Callable[[Any], Any]:
    """Return a function that makes an object of the class from plain data, or raises a DecodingError.

    The error never has the text of an inner error, which may show values. The class is inspected here, once, not for
    each event.
    """
    make = partial(_nested, cls) if hasattr(cls, _PYDANTIC) else partial(_convert, type=cls)

    def build(data: Any) -> Any:
        try:
            return make(data)
        except Exception as error:  # noqa: BLE001  # the class's own code is run, too
            paths, remark = _paths(error)
            where = f" at {', '.join(paths)}{remark}" if paths else f" ({type(error).__name__})"
            problem = f"the stored data does not fit the class {cls.__qualname__}{where}"
            raise DecodingError(problem, path=paths[0] if paths else None) from None

    return build


def _nested(cls: Any, data: Any) -> Any:
    """Convert data that msgspec does not: make a pydantic model, return anything else unchanged."""
    if not hasattr(cls, _PYDANTIC):
        return data
    return getattr(cls, _PYDANTIC).validate_python(data, strict=False, by_alias=False, by_name=True)


_convert: Final = partial(msgspec.convert, dec_hook=_nested)


def _paths(error: Any) -> tuple[list[str], str]:
    """Return the paths of the fields that an error is about, and a remark, without showing a value."""
    if hasattr(error, "errors"):  # pydantic's
        problems = error.errors(include_url=False, include_input=False)[:3]
        are_missing = all(problem["type"] == "missing" for problem in problems)
        return [_path_of(problem["loc"]) for problem in problems], _ABSENT if are_missing else ""
    match = _MISSING.search(str(error)) if isinstance(error, msgspec.ValidationError) else None
    if match:
        return [f"{match.group(2) or '$'}.{match.group(1)}"], _ABSENT
    match = re.search(r" - at (?:`key` in )?`(\$[^`]*)`$", str(error))
    return [match.group(1)] if match else [], ""


def _path_of(steps: tuple[str | int, ...]) -> str:
    return "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)


_ABSENT: Final = ", which is missing"
_MISSING: Final = re.compile(r"^Object missing required field `([^`]+)`(?: - at `(\$[^`]*)`)?$")
"""msgspec's message, which alone names the field."""
