"""The shape of a state's class, so that a snapshot of another one is not taken for it.

A field that is gone would be passed over when a state is made of plain data, and a new one would have its default: not
an error, but a wrong state.
"""

import hashlib
import typing
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

_MARKS = ("__dataclass_fields__", "__attrs_attrs__", "__struct_fields__", "__pydantic_validator__")


def fingerprint_of(cls: type) -> str:
    """Return a digest of the names and types of all fields, in nested classes, too; the same in every process."""
    return hashlib.blake2b(describe(cls, set()).encode(), digest_size=8).hexdigest()


def describe(annotation: Any, seen: set[type]) -> str:
    """Return the text of the digest. Classes stand in it by their names, without modules: they may be moved."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return describe(get_args(annotation)[0], seen)
    if origin is not None:
        arguments = ", ".join(describe(argument, seen) for argument in get_args(annotation))
        # `X | None` and `Optional[X]` are the same; in some versions of Python, of the same class
        return f"{'Union' if origin in (Union, UnionType) else _name(origin)}[{arguments}]"
    if not isinstance(annotation, type) or annotation in seen or not any(hasattr(annotation, mark) for mark in _MARKS):
        return _name(annotation)
    seen.add(annotation)
    try:
        hints = typing.get_type_hints(annotation, include_extras=True)
    except NameError:  # it names what is defined inside a function, say
        hints = dict(getattr(annotation, "__annotations__", {}))
    fields = ", ".join(f"{name}: {describe(hint, seen)}" for name, hint in hints.items())
    stored_as = ", ".join(getattr(annotation, "__struct_encode_fields__", ()))
    return f"{annotation.__qualname__}({fields}; {stored_as})"


def _name(annotation: Any) -> str:
    return annotation.__qualname__ if isinstance(annotation, type) else str(annotation)
