"""Checks of the parts of a map, as they are in TOML, so that an error says which keys and values there are."""

from collections.abc import Mapping
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from msgspec import Struct
from msgspec.structs import fields

from eventstore.errors import InvalidTableMap


def check_parts(name: str, value: object, kind: Any) -> None:
    """Check the keys and the choices of a part, and of the parts that it has.

    Args:
        name: Its name, for errors; empty for the map itself.
        value: The part.
        kind: Its type, as annotated.

    Raises:
        InvalidTableMap: A key is unknown, or a value is none of those to choose from.
    """
    kinds = _alternatives(kind)
    if isinstance(value, Mapping):
        for each in kinds:
            if isinstance(each, type) and issubclass(each, Struct):
                _check_struct(name, value, each)
            elif get_origin(each) is dict:
                for key, part in value.items():
                    check_parts(f"{name}.{key}", part, get_args(each)[1])
    elif isinstance(value, str) and str not in kinds:
        choices = [choice for each in kinds if get_origin(each) is Literal for choice in get_args(each)]
        if choices and value not in choices:
            raise InvalidTableMap(f"{name} is {value!r}; it must be {' or '.join(map(repr, choices))}")


def _check_struct(name: str, value: Mapping[str, Any], struct: type[Struct]) -> None:
    known = {field.name: field.type for field in fields(struct)}
    for key, part in value.items():
        if key not in known:
            raise InvalidTableMap(f"{name or 'it'} has the unknown key {key!r}; the keys there are {', '.join(known)}")
        check_parts(f"{name}.{key}" if name else key, part, known[key])


def _alternatives(kind: Any) -> list[Any]:
    """Return the types of a union, or the type itself."""
    return list(get_args(kind)) if get_origin(kind) in (UnionType, Union) else [kind]
