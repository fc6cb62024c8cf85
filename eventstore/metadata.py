"""Metadata: JSON that every database can store and that comes back as it was."""

import json
import math
from collections.abc import Mapping
from typing import Any

import msgspec

from eventstore.errors import InvalidMetadata


def encode_metadata(metadata: Mapping[str, Any] | None) -> str | None:
    """Return the metadata as JSON text, None where there is none.

    Raises:
        InvalidMetadata: It is not a mapping of strings to JSON values, holds NaN or an infinity, or text with NUL (which PostgreSQL can't store)
            or a lone surrogate.
    """
    if not metadata:
        if metadata is not None and not isinstance(metadata, Mapping):
            raise InvalidMetadata("$", f"is not a mapping but {type(metadata).__name__}")
        return None
    if not isinstance(metadata, Mapping):
        raise InvalidMetadata("$", f"is not a mapping but {type(metadata).__name__}")
    plain = dict(metadata)
    try:
        _check(plain, "$")
        return json.dumps(plain, ensure_ascii=False, separators=(",", ":"))
    except RecursionError:
        raise InvalidMetadata("$", "is nested too deeply, or contains itself") from None
    except ValueError as error:
        if isinstance(error, InvalidMetadata):
            raise
        raise InvalidMetadata("$", "has an integer of too many digits") from None


def decode_metadata(text: str | None) -> dict[str, Any]:
    """Return the metadata of stored JSON text, empty where there is none."""
    return {} if text is None else msgspec.json.decode(text, type=dict[str, Any])


def _check(value: Any, path: str) -> None:
    if value is None or isinstance(value, bool | int):
        return
    if isinstance(value, str):
        _check_text(value, path)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidMetadata(path, "is not a finite number, which JSON does not have")
    elif isinstance(value, list):
        for index, part in enumerate(value):
            _check(part, f"{path}[{index}]")
    elif isinstance(value, dict):
        for key, part in value.items():
            if not isinstance(key, str):
                raise InvalidMetadata(path, f"has a key that is not a string but {type(key).__name__}")
            _check_text(key, f"{path} (a key)")
            _check(part, f"{path}.{key}")
    else:
        raise InvalidMetadata(path, f"is not a JSON value but {type(value).__name__}; convert it, to a string say")


def _check_text(text: str, path: str) -> None:
    if "\0" in text:
        raise InvalidMetadata(path, "contains the character NUL, which PostgreSQL can't store in JSON")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidMetadata(path, "is not valid Unicode: half of a surrogate pair") from None
