"""The JSON codec."""

import base64
import json
import math
from collections.abc import Callable
from functools import partial
from types import NoneType
from typing import Any, Final
from uuid import UUID

from eventstore.codecs.plain import gather, plain
from eventstore.codecs.refusals import TOO_DEEP, NotStorableError
from eventstore.codecs.scalars import SCALARS, Scalar

_MAX_DEPTH: Final = 100
_MAX_BITS: Final = 2000
"""The most bits of an integer that is written in decimal digits, whose number Python limits."""


class JSONCodec:
    """JSON in UTF-8. People can read it in the database; it is larger than MessagePack, and slower to write and read.

    Types that JSON does not have are objects with one key that begins with `$`, such as `{"$decimal": "1.10"}`. A dict
    that could be mistaken for one, or has keys that are not strings, is `{"$dict": [[key, value], …]}`.
    """

    number: Final = 2

    def encode(self, value: Any, *, typed: bool = False) -> bytes:
        """Return the value in JSON."""
        return _ENCODER.encode(_to_json(value, typed=typed)).encode()

    def decode(self, data: bytes) -> Any:
        """Return the value from JSON."""
        return _DECODER.decode(data.decode())


_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":"))
_SCALARS: Final[dict[type, Scalar]] = {
    **SCALARS,
    int: Scalar(0, "$int", hex, partial(int, base=16)),
    float: Scalar(0, "$float", repr, float),
    bytes: Scalar(0, "$bytes", lambda value: base64.b64encode(value).decode(), base64.b64decode),
    UUID: Scalar(0, "$uuid", str, UUID),
}
_TAGS: Final[dict[str, Callable[[Any], Any]]] = {
    **{scalar.tag: scalar.read for scalar in _SCALARS.values()},
    **{f"${cls.__name__}": partial(gather, cls) for cls in (tuple, set, frozenset)},
    "$dict": dict,
}


def _to_json(value: Any, *, typed: bool, depth: int = 0) -> Any:  # noqa: PLR0911  # one line a type
    """Convert a value to the types of JSON."""
    cls: type = type(value)
    if cls in (str, bool, NoneType):
        return value
    if (cls is int and value.bit_length() <= _MAX_BITS) or (cls is float and math.isfinite(value)):
        return value
    if cls in _SCALARS:
        return {_SCALARS[cls].tag: _SCALARS[cls].write(value)}
    if cls not in (dict, list, tuple, set, frozenset):
        return _to_json(plain(value, typed=typed), typed=typed, depth=depth)
    if depth == _MAX_DEPTH:
        raise NotStorableError(TOO_DEEP)
    convert = partial(_to_json, typed=typed, depth=depth + 1)
    if cls is not dict:
        parts = [convert(part) for part in value]
        if cls in (set, frozenset):
            parts.sort(key=_ENCODER.encode)
        return parts if cls is list else {f"${cls.__name__}": parts}
    if all(type(key) is str for key in value) and not (len(value) == 1 and next(iter(value)).startswith("$")):
        return {key: convert(part) for key, part in value.items()}
    return {"$dict": [[convert(key), convert(part)] for key, part in value.items()]}


def _from_json(value: dict[str, Any]) -> Any:
    if len(value) == 1:
        ((tag, content),) = value.items()
        if tag in _TAGS:
            return _TAGS[tag](content)
    return value


_DECODER: Final = json.JSONDecoder(object_hook=_from_json)
