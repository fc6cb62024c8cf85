"""Metadata: JSON that every database can store, and that is read back unchanged."""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import NoneType
from typing import Any, Final

import msgspec

from eventstore.errors import DecodingError, InvalidMetadata

_MAX_DEPTH: Final = 100
_LARGE: Final = 1e16
"""From here on a float would be written with an exponent, for which PostgreSQL would return an integer."""
_SIMPLE: Final = frozenset({str, int, bool, NoneType})
TAGS_KEY: Final = "$tags"
"""The key of metadata under which the tags of an event are stored."""

_PARTS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
METADATA_DECODER: Final = msgspec.json.Decoder(dict[str, Any])


def encode_metadata(metadata: Mapping[str, Any] | None, tags: Sequence[str] = ()) -> str | None:
    """Return the metadata as JSON text, with the tags of the event; None if there is neither.

    Raises:
        InvalidMetadata: It is not a mapping of strings to JSON values, has the key of the tags, is nested more than 100
            levels deep, contains NaN, an infinity or -0.0 (whose sign PostgreSQL does not keep), or text with NUL
            (which PostgreSQL can't store) or a lone surrogate.
    """
    if metadata is None and not tags:
        return None
    if metadata is None:
        metadata = {}
    elif not isinstance(metadata, Mapping):
        raise InvalidMetadata("$", f"is not a mapping but {type(metadata).__name__}")
    if TAGS_KEY in metadata:
        raise InvalidMetadata("$", f"has the key {TAGS_KEY}, which the store uses; give tags to NewEvent")
    if tags:
        metadata = {**metadata, TAGS_KEY: list(tags)}
    if not metadata:
        return None
    if type(metadata) is dict and _is_simple(metadata):
        with suppress(ValueError):  # the slower way below finds what is wrong
            text = msgspec.json.encode(metadata).decode()
            if "\\u0000" not in text:
                return text
    plain = _storable(dict(metadata), "$")
    try:
        return msgspec.json.encode(plain).decode()
    except ValueError:
        raise InvalidMetadata("$", "has an integer of too many digits") from None


def _is_simple(metadata: dict[Any, Any], *, may_nest: bool = True) -> bool:
    """Return whether all values are texts, integers, booleans or None, as most are; msgspec checks these itself.

    Args:
        metadata: The values.
        may_nest: Whether a value may also be a mapping of such values, as that of an imported event.
    """
    for key, value in metadata.items():
        if type(key) is not str:
            return False
        if type(value) not in _SIMPLE and not (may_nest and type(value) is dict and _is_simple(value, may_nest=False)):
            return False
    return True


def decode_metadata(text: str | None) -> dict[str, Any]:
    """Return the metadata from stored JSON text; empty if there is none.

    Raises:
        DecodingError: It is not a JSON object.
    """
    if text is None:
        return {}
    try:
        return METADATA_DECODER.decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise DecodingError("the stored metadata is not a JSON object") from None


def _storable(value: Any, path: str, depth: int = 0) -> Any:
    """Convert a value to types that msgspec writes: replace subclasses and large floats."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _storable_text(value, path)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidMetadata(path, "is NaN or an infinity, which JSON does not have")
        if value == 0 and math.copysign(1, value) < 0:
            raise InvalidMetadata(path, "is -0.0, whose sign PostgreSQL does not keep in JSON; use 0.0, or a string")
        return float.__float__(value) if abs(value) < _LARGE else msgspec.Raw(f"{value:.1f}".encode())
    if not isinstance(value, list | dict):
        raise InvalidMetadata(
            path, f"is not a JSON value but {type(value).__name__}; convert it, for example to a string"
        )
    if depth == _MAX_DEPTH:
        raise InvalidMetadata(path, f"is nested more than {_MAX_DEPTH} levels deep, or contains itself")
    if isinstance(value, list):
        return [_storable(part, f"{path}[{index}]", depth + 1) for index, part in enumerate(value)]
    return dict(_storable_item(key, part, path, depth + 1) for key, part in value.items())


def _storable_item(key: Any, part: Any, path: str, depth: int) -> tuple[str, Any]:
    if not isinstance(key, str):
        raise InvalidMetadata(path, f"has a key that is not a string but {type(key).__name__}")
    return _storable_text(key, f"{path} (a key)"), _storable(part, f"{path}.{key}", depth)


def _storable_text(text: str, path: str) -> str:
    if "\0" in text:
        raise InvalidMetadata(path, "contains the character NUL, which PostgreSQL can't store in JSON")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidMetadata(path, "is not valid Unicode: half of a surrogate pair") from None
    return str.__str__(text)


def pop_tags(metadata: dict[str, Any]) -> tuple[str, ...]:
    """Remove the tags from decoded metadata, and return them."""
    tags = metadata.pop(TAGS_KEY, ())
    return tuple(tag for tag in tags if isinstance(tag, str)) if isinstance(tags, list) else ()


def tags_of(text: str | None) -> tuple[str, ...]:
    """Return the tags that stored metadata has.

    Raises:
        DecodingError: It is not a JSON object.
    """
    return pop_tags(decode_metadata(text)) if text is not None and TAGS_KEY in text else ()


def without_tags(text: str) -> str | None:
    """Return stored metadata without the tags, and otherwise unchanged; None if there is nothing else.

    Raises:
        DecodingError: It is not a JSON object.
    """
    try:
        parts = _PARTS.decode(text)
    except (msgspec.MsgspecError, ValueError):
        raise DecodingError("the stored metadata is not a JSON object") from None
    parts.pop(TAGS_KEY, None)
    return msgspec.json.encode(parts).decode() if parts else None
