"""Parameters of the statements of appends with tags, in PostgreSQL's binary format.

The format of an array is that of `array_recv` in PostgreSQL's source: the number of dimensions, whether it has NULLs,
the type of the elements; for each dimension its length and its first index; then the elements, each after its length,
which is -1 for NULL.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from operator import attrgetter
from struct import Struct
from typing import Any, Final

import psycopg

from eventstore.backends.postgresql.prepared import NumberedStatement

_INT2, _INT4, _INT8 = Struct("!h").pack, Struct("!i").pack, Struct("!q").pack
_ONE_DIMENSION: Final = Struct("!iiIii").pack
_NO_DIMENSION: Final = Struct("!iiI").pack
_NULL: Final = _INT4(-1)

_BYTES: Final[dict[str, Callable[[Any], bytes]]] = {
    "bool": lambda value: b"\1" if value else b"\0",
    "bytea": bytes,
    "int2": _INT2,
    "int4": _INT4,
    "int8": _INT8,
    "text": str.encode,
    "uuid": attrgetter("bytes"),
}

_VALUES: Final = {"count": "int8", "expected": "int8", "generation": "int8", "number": "int4"}
"""The types of values, by the name of the parameter; others are text."""

_ARRAYS: Final = {
    "are_shared": "bool", "codecs": "int2", "data": "bytea", "event_ids": "uuid", "event_types": "text",
    "metadata": "text", "schema_versions": "int4", "tag_ordinals": "int4", "tag_types": "text", "tags": "text",
}  # fmt: skip
"""The types of the elements of arrays."""


@lru_cache(maxsize=1024)
def numbered(sql: str) -> NumberedStatement:
    """Return a statement of an append with tags, with numbered parameters."""
    return NumberedStatement.of(sql, _type_of)


def packed(statement: NumberedStatement, parameters: Mapping[str, Any]) -> list[bytes | None]:
    """Return the parameters of such a statement, in their order."""
    return [_pack(name, parameters[name]) for name in statement.names]


def _type_of(name: str) -> int:
    element = _ARRAYS.get(name)
    return _oids(_VALUES.get(name, "text"))[0] if element is None else _oids(element)[1]


@lru_cache(maxsize=16)
def _oids(name: str) -> tuple[int, int]:
    """Return the numbers of a type, and of arrays of it."""
    info = psycopg.adapters.types[name]
    return info.oid, info.array_oid


def _pack(name: str, value: Any) -> bytes | None:
    element = _ARRAYS.get(name)
    if element is not None:
        return _array(element, value)
    return None if value is None else _BYTES[_VALUES.get(name, "text")](value)


def _array(element: str, values: Sequence[Any]) -> bytes:
    (oid, _), to_bytes = _oids(element), _BYTES[element]
    if not values:
        return _NO_DIMENSION(0, 0, oid)
    parts = [_ONE_DIMENSION(1, int(None in values), oid, len(values), 1)]
    for value in values:
        if value is None:
            parts.append(_NULL)
        else:
            packed_value = to_bytes(value)
            parts += (_INT4(len(packed_value)), packed_value)
    return b"".join(parts)
