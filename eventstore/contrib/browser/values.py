"""Payloads, metadata and states as people read them."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Final
from uuid import UUID

from eventstore.common.shown import shown
from eventstore.contrib.browser.redaction import Hidden

CUT_AFTER: Final = 4_000
"""After how many characters a value is cut, with a link to the whole."""

WHOLE: Final = 5_000_000
"""After how many characters even the whole is cut."""

_MAX_DEPTH: Final = 60
_LINE: Final = 100
"""What fits into so many characters is shown in one line."""

_BYTES_SHOWN: Final = 64
_TYPES: Final = {
    Decimal: "decimal",
    datetime: "time",
    date: "date",
    time: "time of day",
    timedelta: "duration",
    UUID: "uuid",
}


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of text, and what it is: `key`, `string`, `number`, `word`, `type`, or `mark` for everything else."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Readable:
    """A value in lines of text.

    Attributes:
        tokens: The text, in pieces.
        is_cut: Whether the text ends before the value does.
    """

    tokens: tuple[Token, ...]
    is_cut: bool

    @property
    def text(self) -> str:
        """The text, in one piece."""
        return "".join(token.text for token in self.tokens)

    def lines(self) -> list[tuple[Token, ...]]:
        """Return the tokens of each line."""
        lines: list[list[Token]] = [[]]
        for token in self.tokens:
            first, *others = token.text.split("\n")
            lines[-1].append(Token(token.kind, first))
            lines.extend([Token(token.kind, other)] for other in others)
        return [tuple(line) for line in lines]


def readable(value: Any, most: int = CUT_AFTER) -> Readable:
    """Return a value in lines of text, cut after so many characters."""
    tokens: list[Token] = []
    left = most
    for token in _tokens(value, 0):
        if len(token.text) > left:
            tokens.append(Token(token.kind, token.text[:left]))
            return Readable(tuple(tokens), is_cut=True)
        left -= len(token.text)
        tokens.append(token)
    return Readable(tuple(tokens), is_cut=False)


def _tokens(value: Any, depth: int) -> Iterator[Token]:
    if isinstance(value, Hidden):
        yield Token("type", value.reason)
    elif value is None or isinstance(value, bool):
        yield Token("word", json.dumps(value))
    elif isinstance(value, Enum):
        yield from _tokens(value.value, depth)
        yield Token("type", f" {type(value).__name__}")
    elif isinstance(value, int | float):
        yield Token("number", shown(value))
    elif isinstance(value, str):
        yield Token("string", json.dumps(value, ensure_ascii=False))
    elif isinstance(value, bytes | bytearray | memoryview):
        yield from _bytes(bytes(value))
    elif isinstance(value, Mapping | list | tuple | set | frozenset):
        yield from _nested(value, depth)
    else:
        yield Token("string", str(value))
        yield Token("type", f" {_TYPES.get(type(value), type(value).__name__)}")


def _nested(value: Any, depth: int) -> Iterator[Token]:
    line = _in_one_line(value, depth)
    if line is not None:
        yield from line
    elif depth >= _MAX_DEPTH:
        yield Token("type", "… nested deeper than is shown")
    elif isinstance(value, Mapping):
        yield from _mapping(value, depth)
    else:
        yield from _sequence(value, depth)


def _in_one_line(value: Any, depth: int) -> list[Token] | None:
    """Return the tokens of a mapping or a list in one line, if it is short enough."""
    tokens: list[Token] = []
    left = _LINE - 2 * depth
    for token in _flat(value):
        left -= len(token.text)
        if left < 0:
            return None
        tokens.append(token)
    return tokens


def _flat(value: Any) -> Iterator[Token]:
    if isinstance(value, Mapping):
        yield Token("mark", "{")
        for index, (key, part) in enumerate(value.items()):
            yield Token("mark", ", " if index else "")
            yield from _key(key)
            yield Token("mark", ": ")
            yield from _flat(part)
        yield Token("mark", "}")
    elif isinstance(value, list | tuple | set | frozenset):
        yield Token("mark", "[")
        for index, part in enumerate(_parts(value)):
            yield Token("mark", ", " if index else "")
            yield from _flat(part)
        yield Token("mark", "]")
        yield from _kind(value)
    else:
        yield from _tokens(value, _MAX_DEPTH)


def _key(key: Any) -> Iterator[Token]:
    if isinstance(key, str) and key.isidentifier():
        yield Token("key", key)
    else:
        yield from _tokens(key, _MAX_DEPTH)


def _parts(value: Any) -> Any:
    return sorted(value, key=shown) if isinstance(value, set | frozenset) else value


def _kind(value: Any) -> Iterator[Token]:
    if not isinstance(value, list):
        yield Token("type", " tuple" if isinstance(value, tuple) else " set")


def _bytes(value: bytes) -> Iterator[Token]:
    more = "…" if len(value) > _BYTES_SHOWN else ""
    yield Token("string", f"0x{value[:_BYTES_SHOWN].hex()}{more}")
    yield Token("type", f" {len(value)} byte{'' if len(value) == 1 else 's'}")


def _mapping(value: Mapping[Any, Any], depth: int) -> Iterator[Token]:
    yield Token("mark", "{\n")
    for key, part in value.items():
        yield Token("mark", "  " * (depth + 1))
        yield from _key(key)
        yield Token("mark", ": ")
        yield from _tokens(part, depth + 1)
        yield Token("mark", "\n")  # without a comma, so that what is added after it does not change its line
    yield Token("mark", "  " * depth + "}")


def _sequence(value: Any, depth: int) -> Iterator[Token]:
    yield Token("mark", "[\n")
    for part in _parts(value):
        yield Token("mark", "  " * (depth + 1))
        yield from _tokens(part, depth + 1)
        yield Token("mark", "\n")
    yield Token("mark", "  " * depth + "]")
    yield from _kind(value)
