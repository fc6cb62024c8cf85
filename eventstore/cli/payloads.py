"""Printing payloads for people and for programs: data, metadata, and states of snapshots."""

import json
from typing import Any, Final

from eventstore.cli.output import printable_json
from eventstore.codecs import JSONCodec
from eventstore.common.shown import shown

_MAX_DEPTH: Final = 40
_MAX_BYTES: Final = 32
_MAX_BITS: Final = 2_000
"""From about 640 digits, the lowest limit that `sys.set_int_max_str_digits` takes, Python may refuse to write them."""
_ENCODE: Final = JSONCodec().encode


def exact(value: Any) -> Any:
    """Return the value as JSON values, in the form of the JSON codec: a Decimal is `{"$decimal": "1.10"}`."""
    try:
        return json.loads(_ENCODE(value, typed=True))
    except (TypeError, ValueError, RecursionError):  # a value of an application's codec, or nested too deep for JSON
        return {"$repr": shown(value)}


def compact(value: Any) -> str:
    """Return the value in one printable line of JSON, in the form of `exact`."""
    return one_line(exact(value))


def one_line(value: Any) -> str:
    """Return what is JSON already, such as metadata, in one printable line."""
    return printable_json(json.dumps(value, ensure_ascii=False))


def readable(value: Any) -> str:
    """Return the value in one printable line for people, with decimals and times as plain text."""
    return one_line(_simple(value))


def indented(value: Any) -> str:
    """Return the value in several printable lines for people, in the same form."""
    lines = json.dumps(_simple(value), ensure_ascii=False, indent=2).split("\n")  # newlines in strings are escaped
    return "\n".join(map(printable_json, lines))


def _simple(value: Any, depth: int = 0) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return shown(value) if isinstance(value, int) and value.bit_length() > _MAX_BITS else value
    if depth == _MAX_DEPTH:
        return "…"
    if isinstance(value, dict):
        return {shown(key, str): _simple(part, depth + 1) for key, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        parts = value if isinstance(value, list | tuple) else sorted(value, key=shown)
        return [_simple(part, depth + 1) for part in parts]
    if isinstance(value, bytes):
        more = f"… ({len(value)} bytes)" if len(value) > _MAX_BYTES else ""
        return f"0x{value[:_MAX_BYTES].hex()}{more}"
    return shown(value, str)


def hexdump(data: bytes) -> str:
    """Return bytes in lines of 16: their offset, their hexadecimal digits, and their ASCII characters."""
    lines = []
    for start in range(0, len(data), 16):
        part = data[start : start + 16]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)  # noqa: PLR2004  # printable ASCII
        lines.append(f"{start:06x}  {part.hex(' ', 1):<47}  {text}")
    return "\n".join(lines)
