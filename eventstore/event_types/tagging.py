"""Tags that are made from the fields of registered classes."""

from collections.abc import Mapping
from enum import Enum
from typing import Any
from uuid import UUID

from eventstore.errors import InvalidEvent


def check_kinds(cls: type, kinds: object) -> dict[str, str]:
    """Return the kinds of tags of a class, each with the field that it is made from.

    Raises:
        InvalidEvent: They are not a mapping of strings to names of fields.
    """
    if not isinstance(kinds, Mapping):
        msg = (
            f'tags must be a mapping of kinds to fields, such as {{"course": "course_id"}}, not {type(kinds).__name__}'
        )
        raise InvalidEvent(msg)
    fields = _fields_of(cls)
    for kind, field in kinds.items():
        if not isinstance(kind, str) or not kind or "\0" in kind:
            msg = f'a kind of tag must be a string that is not empty, such as "course", not {kind!r}'
            raise InvalidEvent(msg)
        if field not in fields:
            msg = f"{cls.__qualname__} has no field {field!r}, which the tag {kind!r} is to be made from"
            raise InvalidEvent(msg)
    return dict(kinds)


def derived_tags(event: Any, kinds: Mapping[str, str]) -> list[str]:
    """Return the tags of an object, such as `course:c1`; none for a field that is None.

    Raises:
        InvalidEvent: A field holds neither a string, an integer nor a UUID.
    """
    tags = []
    for kind, field in kinds.items():
        value = getattr(event, field)
        if isinstance(value, Enum):
            value = value.value
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, str | int | UUID):
            msg = (
                f"field {field!r} of {type(event).__qualname__}, of which the tag {kind!r} is made, must be a string, "
                f"an integer, a UUID or None, not {type(value).__name__}"
            )
            raise InvalidEvent(msg)
        text = str.__str__(value) if isinstance(value, str) else str(value)
        tags.append(f"{kind}:{text}")
    return tags


def _fields_of(cls: Any) -> set[str]:
    for attribute in ("model_fields", "__dataclass_fields__", "__struct_fields__"):
        if hasattr(cls, attribute):
            return set(getattr(cls, attribute))
    return {field.name for field in getattr(cls, "__attrs_attrs__", ())}
