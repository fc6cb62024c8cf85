"""The fingerprint of a state's class, by which a snapshot of another version of the class is recognised.

Without it, a state would be made from the plain data of the other version: a removed field would be ignored, and a new
one would have its default, so that the state would be wrong without an error.
"""

import hashlib
import typing
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

_MARKS = ("__dataclass_fields__", "__attrs_attrs__", "__struct_fields__", "__pydantic_validator__")


def fingerprint_of(cls: type) -> str:
    """Return a digest of the names and types of all fields, in nested classes, too. It is the same in every process."""
    return hashlib.blake2b(describe(cls, set()).encode(), digest_size=8).hexdigest()


def describe(annotation: Any, classes: set[type]) -> str:
    """Return the text for the digest. It has the names of classes without their modules, so that they can be moved.

    Args:
        annotation: A class, or another annotation.
        classes: The classes that the text already describes; those that it adds are added to it.
    """
    origin = get_origin(annotation)
    if origin is Annotated:
        return describe(get_args(annotation)[0], classes)
    if origin is not None:
        arguments = ", ".join(describe(argument, classes) for argument in get_args(annotation))
        # `X | None` and `Optional[X]` are equal, but only in some versions of Python of the same class
        return f"{'Union' if origin in (Union, UnionType) else _name(origin)}[{arguments}]"
    has_fields = isinstance(annotation, type) and any(hasattr(annotation, mark) for mark in _MARKS)
    if not has_fields or annotation in classes:
        return _name(annotation)
    classes.add(annotation)
    try:
        hints = typing.get_type_hints(annotation, include_extras=True)
    except NameError:  # it uses a name that is defined elsewhere, for example inside a function
        hints = dict(getattr(annotation, "__annotations__", {}))
    fields = ", ".join(f"{name}: {describe(hint, classes)}" for name, hint in hints.items())
    encoded_names = ", ".join(getattr(annotation, "__struct_encode_fields__", ()))
    return f"{annotation.__qualname__}({fields}; {encoded_names})"


def _name(annotation: Any) -> str:
    return annotation.__qualname__ if isinstance(annotation, type) else str(annotation)
