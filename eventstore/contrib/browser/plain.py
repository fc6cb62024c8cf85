"""Objects of the application's classes as plain data, which can be shown and redacted."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from eventstore.codecs import MessagePackCodec
from eventstore.contrib.browser.redaction import Hidden

_CODEC: Final = MessagePackCodec()
_MAX_DEPTH: Final = 30


def plain(value: Any, *, is_redacted: bool) -> Any:
    """Return a value as plain data, with the fields of an object as a mapping.

    Args:
        value: An object of a class of the application, or plain data.
        is_redacted: Whether the application redacts what is shown. Then an object without fields is hidden, because
            its text could not be redacted.
    """
    try:
        return _CODEC.decode(_CODEC.encode(value, typed=True))
    except Exception:  # noqa: BLE001  # states can be of any class, with any parts
        return _walk(value, 0, is_redacted=is_redacted)


def _walk(value: Any, depth: int, *, is_redacted: bool) -> Any:
    if depth > _MAX_DEPTH:
        return Hidden("nested deeper than is shown")
    if isinstance(value, Mapping):
        return {_key(key): _walk(part, depth + 1, is_redacted=is_redacted) for key, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_walk(part, depth + 1, is_redacted=is_redacted) for part in value]
    try:
        return _CODEC.decode(_CODEC.encode(value, typed=True))
    except Exception:  # noqa: BLE001  # likewise
        fields = _fields(value)
    if fields is not None:
        return {name: _walk(part, depth + 1, is_redacted=is_redacted) for name, part in fields.items()}
    name = type(value).__qualname__
    return Hidden(f"an object of {name}") if is_redacted else f"{name}: {value!r}"


def _key(key: Any) -> Any:
    return key if isinstance(key, str | int) else repr(key)


def _fields(value: Any) -> dict[str, Any] | None:
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name, None) for field in dataclasses.fields(value)}
    names = getattr(value, "__dict__", None)
    if names is not None and not isinstance(value, type):
        return dict(names)
    slots = getattr(type(value), "__slots__", None)
    if slots:
        return {
            name: getattr(value, name)
            for name in ([slots] if isinstance(slots, str) else slots)
            if hasattr(value, name)
        }
    return None
