"""Event classes: which can be registered, and how an object is made of plain data."""

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

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
_NO_KEYS: Final = (inspect.DataclassType, inspect.StructType, inspect.TypedDictType, inspect.CustomType)


def is_event_class(cls: type) -> bool:
    """Return whether a class is a dataclass, attrs class, msgspec Struct or pydantic model."""
    return any(hasattr(cls, mark) for mark in _MARKS)


def check_class(cls: Any) -> None:
    """Check that a class is of a kind that can be registered.

    Raises:
        EventTypeError: It is not.
    """
    if not isinstance(cls, type) or not is_event_class(cls):
        msg = f"{cls!r} is not a dataclass, attrs class, msgspec Struct or pydantic model"
        raise EventTypeError(msg)


def check_fields(cls: type) -> None:
    """Check that the annotations bring back what is stored of an object.

    Raises:
        EventTypeError: They can't.
        NameError: One of them names what is not defined.
    """
    if hasattr(cls, _PYDANTIC):
        import pydantic  # noqa: PLC0415  # no dependency of ours; here it is loaded anyway

        if tuple(map(int, pydantic.VERSION.split(".")[:2])) < (2, 11):
            msg = f"{cls.__qualname__} needs pydantic 2.11 or newer; this is {pydantic.VERSION}"
            raise EventTypeError(msg)
        return
    try:
        for node in _nodes(inspect.type_info(cls)):
            _check_node(node)
        _convert(None, cls)
    except msgspec.ValidationError:  # of course: None is no event
        return
    except NameError:
        raise
    except Exception as error:
        msg = f"{cls.__qualname__} has a field whose type can't be brought back: {error}"
        raise EventTypeError(msg) from error


def _check_node(node: inspect.Type) -> None:
    """Refuse what msgspec takes for a field's type, but does not make of plain values."""
    if isinstance(node, inspect.CustomType) and not hasattr(node.cls, _PYDANTIC):
        msg = f"{node.cls.__qualname__} is not supported"
        raise TypeError(msg)
    if isinstance(node, inspect.DictType) and any(isinstance(key, _NO_KEYS) for key in _nodes(node.key_type)):
        msg = "the keys of a dict can't be objects with fields"
        raise TypeError(msg)


def _nodes(info: inspect.Type) -> Iterator[inspect.Type]:
    """Yield a type and all that it is made of."""
    todo: list[Any] = [info]
    seen: set[int] = set()
    while todo:
        node = todo.pop()
        if isinstance(node, tuple):
            todo.extend(node)
        elif isinstance(node, inspect.Field):
            todo.append(node.type)
        elif isinstance(node, inspect.Type) and id(node) not in seen:
            seen.add(id(node))
            yield node
            todo.extend(getattr(node, name) for name in node.__struct_fields__)


def _has_plain_fields(cls: type) -> bool:
    """Return whether objects of the class are made of what MessagePack itself has: text, numbers, lists, dicts."""
    if hasattr(cls, _PYDANTIC):
        return False
    try:
        return all(type(node) in _PLAIN and not _has_other_keys(node) for node in _nodes(inspect.type_info(cls)))
    except NameError:
        return False


def _has_other_keys(node: inspect.Type) -> bool:
    return isinstance(node, inspect.DictType) and not isinstance(node.key_type, inspect.StrType)


def reader(cls: Any) -> Callable[[bytes], Any] | None:
    """Return a function that makes an object of MessagePack in one step, None where the class needs two.

    What it returns is the same as by way of plain data; where it raises anything, that way is to be taken, which may
    succeed: a tuple, say, is marked by an extension type that this one does not know.
    """
    return msgspec.msgpack.Decoder(cls).decode if _has_plain_fields(cls) else None


def builder(cls: Any) -> Callable[[Any], Any]:
    """Return a function that makes an object of the class of plain data, or raises a DecodingError.

    The texts of errors inside it can show values: they go no further. What there is to know of the class is looked up
    here, once, not for each event.
    """
    make = partial(_nested, cls) if hasattr(cls, _PYDANTIC) else partial(_convert, type=cls)

    def build(data: Any) -> Any:
        try:
            return make(data)
        except Exception as error:  # noqa: BLE001  # the class's own code is run, too
            place = _place(error)
            where = f" at {place}" if place else f" ({type(error).__name__})"
            raise DecodingError(f"the stored data does not fit the class {cls.__qualname__}{where}") from None

    return build


def _nested(cls: Any, data: Any) -> Any:
    """Return what msgspec does not make: a pydantic model of its data, anything else as it is."""
    if not hasattr(cls, _PYDANTIC):
        return data
    return getattr(cls, _PYDANTIC).validate_python(data, strict=False, by_alias=False, by_name=True)


_convert: Final = partial(msgspec.convert, dec_hook=_nested)


def _place(error: Any) -> str:
    if hasattr(error, "errors"):  # pydantic's
        places = [problem["loc"] for problem in error.errors(include_url=False, include_input=False)]
        return ", ".join(
            "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place)
            for place in places[:3]
        )
    found = re.search(r" - at (?:`key` in )?`(\$[^`]*)`$", str(error))
    return found.group(1) if found else ""
