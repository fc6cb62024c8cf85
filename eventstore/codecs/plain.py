"""Plain values for types that no codec knows: enums, objects with fields, subclasses."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import partial
from operator import attrgetter
from typing import Any, Final
from uuid import UUID

from msgspec import UNSET, UnsetType

from eventstore.codecs.refusals import NOT_EXACT, NotStorableError
from eventstore.codecs.scalars import SCALARS


def plain(value: Any, *, typed: bool) -> Any:
    """Return a plain value for a value, which the codec then encodes.

    Raises:
        TypeError: No plain value equals it exactly.
    """
    cls: Any = type(value)
    take_apart = _taking_apart(cls) if typed else None
    if take_apart is not None:
        try:
            return take_apart(value)
        except Exception as error:  # noqa: BLE001  # a field without a value, or the class's own code
            raise NotStorableError(f"its fields can't be read ({type(error).__name__})") from None
    if isinstance(value, Enum):
        raise NotStorableError("an enum keeps its class only in a registered event class; pass its value")
    for base, convert in _BASES.items():
        if isinstance(value, base):
            return convert(value)
    raise NotStorableError(NOT_EXACT)


@functools.cache
def _taking_apart(cls: Any) -> Callable[[Any], Any] | None:
    """Return a function that turns an object into plain data; None if its class has neither fields nor members."""
    tag: dict[str, Any] = {}
    if issubclass(cls, Enum):
        return attrgetter("value")
    if hasattr(cls, "model_dump"):  # no warnings: they would show values
        return lambda value: value.model_dump(by_alias=False, round_trip=True, warnings=False)
    if dataclasses.is_dataclass(cls):
        names = [(field.name, field.name) for field in dataclasses.fields(cls)]
    elif hasattr(cls, "__attrs_attrs__"):
        names = [(attribute.name, attribute.name) for attribute in cls.__attrs_attrs__]
    elif hasattr(cls, "__struct_fields__"):
        names = list(zip(cls.__struct_encode_fields__, cls.__struct_fields__, strict=True))
        config = cls.__struct_config__
        tag = {config.tag_field: config.tag} if config.tag_field else {}
        if config.array_like:
            return lambda value: [*tag.values(), *(getattr(value, name) for _, name in names)]
    else:
        return None

    def some(value: Any) -> dict[str, Any]:
        return tag | {stored: part for stored, name in names if (part := getattr(value, name)) is not UNSET}

    if len(names) < 2:  # noqa: PLR2004  # an attrgetter of one name returns no tuple
        return some
    stored_names, get_parts = [stored for stored, _ in names], attrgetter(*[name for _, name in names])

    def all_at_once(value: Any) -> dict[str, Any]:
        parts = get_parts(value)
        return some(value) if UnsetType in map(type, parts) else tag | dict(zip(stored_names, parts, strict=True))

    return all_at_once


def _exactly(cls: type, value: Any) -> Any:
    text = SCALARS[cls].write(value)
    back = SCALARS[cls].read(text)
    if back != value or SCALARS[cls].write(back) != text:
        raise NotStorableError("finer than a microsecond")
    return back


def _unhashable(cls: type, value: Any) -> Any:
    try:
        hash(value)
    except TypeError:
        return cls(value)
    raise NotStorableError(f"is hashable, but would be read back as a {cls.__name__}, which is not; convert it")


_BASES: Final[dict[Any, Callable[[Any], Any]]] = {
    str: str.__str__,
    int: int.__int__,
    float: float.__float__,
    (bytes, bytearray, memoryview): lambda value: memoryview(value).tobytes(),
    Decimal: Decimal,
    UUID: lambda value: UUID(int=value.int),
    tuple: tuple,
    frozenset: frozenset,
    **{cls: partial(_exactly, cls) for cls in (datetime, date, time, timedelta)},
    **{cls: partial(_unhashable, cls) for cls in (list, set, dict)},
    Mapping: partial(_unhashable, dict),
}
"""Functions that convert an object of a subclass to the base type."""


def step_to(key: Any) -> str:
    """Return the step of a path to the value of a dict's key."""
    return f".{key}" if isinstance(key, str) and key.isprintable() else f"[{type(key).__name__}]"


class Members(list[Any]):
    """The members of a set that can't be in one as plain data, such as dicts for objects. They have no order."""


def gather(cls: Callable[[list[Any]], Any], members: list[Any]) -> Any:
    """Return a tuple, set or frozenset of members."""
    try:
        return cls(members)
    except TypeError:  # the annotation of a set accepts a list, too
        return Members(members)
