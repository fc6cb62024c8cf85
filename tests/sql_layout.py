"""SQL with line breaks and indentation, for people, and what has no name in it.

Nothing but white space changes, and none within quotes.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Final

_WIDTH: Final = 100
_INDENT: Final = "    "
_TOKEN: Final = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|%\(\w+\)[bst]|\bON CONFLICT\b|[(),]|[^\s(),'"%]+|%""")

_BEGIN_CLAUSES: Final = {
    *("SELECT", "FROM", "WHERE", "GROUP", "ORDER", "HAVING", "LIMIT", "OFFSET", "FOR", "UNION", "JOIN", "LEFT"),
    *("INSERT", "VALUES", "ON CONFLICT", "DO", "UPDATE", "SET", "DELETE", "RETURNING"),
}
_OF_HEADS: Final = _BEGIN_CLAUSES | {"ALL", "BY", "DISTINCT", "INTO", "OUTER", "RECURSIVE", "WITH"}
_NOT_AFTER: Final = {"DELETE", "DISTINCT", "DO", "FOR", "KEY", "LEFT", "OUTER"}  # DELETE FROM, DO UPDATE, …
_CONTINUATIONS: Final = ({"ON"}, {"AND", "OR"}, {"CASE", "WHEN", "ELSE", "END"}, {"THEN"})
_OURS: Final = re.compile(
    r"(stream_ids|event_types|tags|categories|match|filter|end|after_position|es"
    r"|version|event_id|event_type|schema_version|codec|data|metadata)_\d+"  # of each of several rows
)
"""Names that stand once for each filter; and those of revisions."""


@dataclass(frozen=True, slots=True)
class _Part:
    """A token, or all that stands in a pair of parentheses."""

    text: str
    is_spaced: bool
    inside: "tuple[_Part, ...] | None" = None


def lay_out(sql: str) -> str:
    """Return SQL in lines of up to 100 characters where it can be broken: at clauses, commas, AND, OR, parentheses."""
    return "\n".join(_lines(_parsed(sql), _WIDTH))


def _parsed(sql: str) -> tuple[_Part, ...]:
    return _parts(
        (match.group(), match.start() > 0 and sql[match.start() - 1].isspace()) for match in _TOKEN.finditer(sql)
    )


def unnamed(sql: str) -> list[str]:
    """Return the names that SQLAlchemy has made, and the expressions that have none."""
    made = [name for name in re.findall(r"\b[A-Za-z]\w*?_\d+\b", sql) if not _OURS.fullmatch(name)]
    name = r'(?!(?:NULL|true|false)$)([A-Za-z]\w*|"[^"]+")'
    named = re.compile(rf"(.* AS |DISTINCT )?({name}\.)*({name}|\*)", re.DOTALL)
    return made + [item for item in _selected(_parsed(sql)) if not named.fullmatch(item)]


def _selected(parts: Sequence[_Part]) -> Iterator[str]:
    """Yield what stands in the lists of SELECT and RETURNING, at any depth, but for those of EXISTS."""
    for before, part in pairwise((_Part("", is_spaced=False), *parts)):
        if part.inside and not (before.text == "EXISTS" and part.text.startswith("(SELECT ")):
            yield from _selected(part.inside)
    for clause in _split(parts, _begins_clause) or [parts]:
        if clause and clause[0].text in {"SELECT", "RETURNING"}:
            items = _split(clause[1:], _follows_comma) or [clause[1:]]
            yield from (_one_line(item).removesuffix(",") for item in items)


def _parts(tokens: Iterator[tuple[str, bool]]) -> tuple[_Part, ...]:
    found = []
    for text, is_spaced in tokens:
        if text == ")":
            break
        if text == "(":
            inside = _parts(tokens)
            found.append(_Part(f"({_one_line(inside)})", is_spaced, inside))
        else:
            found.append(_Part(text, is_spaced))
    return tuple(found)


def _one_line(parts: Sequence[_Part]) -> str:
    return "".join(f" {part.text}" if part.is_spaced else part.text for part in parts).removeprefix(" ")


def _lines(parts: Sequence[_Part], width: int) -> list[str]:
    if len(_one_line(parts)) <= width:
        return [_one_line(parts)]
    if clauses := _split(parts, _begins_clause):
        return [line for clause in clauses for line in _lines_of_clause(clause, width)]
    if items := _split(parts, _follows_comma):
        return [line for item in items for line in _lines(item, width)]
    for words in _CONTINUATIONS:
        if chunks := _split(parts, partial(_is_one_of, words)):
            first, *others = chunks
            return [*_lines(first, width), *_indented(others, width)]
    return _opened(parts, width)


def _lines_of_clause(clause: Sequence[_Part], width: int) -> list[str]:
    """Put several items below the words that the clause begins with; one stands beside them."""
    length = next((place for place, part in enumerate(clause) if part.text not in _OF_HEADS), len(clause))
    head, body = clause[:length], clause[length:]
    if len(_one_line(clause)) <= width or not head or not body:
        return _lines(clause, width)
    if items := _split(body, _follows_comma):
        return [_one_line(head), *_indented(items, width)]
    first, *others = _lines(body, width)
    return [f"{_one_line(head)} {first}", *others]


def _split(parts: Sequence[_Part], begins: Callable[[_Part, _Part], bool]) -> list[Sequence[_Part]]:
    """Split before each part of which `begins`, given the one before and it, says so; [] if there is none."""
    places = [place for place, pair in enumerate(pairwise(parts), start=1) if begins(*pair)]
    return [parts[start:end] for start, end in pairwise([0, *places, len(parts)])] if places else []


def _follows_comma(before: _Part, _: _Part) -> bool:
    return before.text == ","


def _is_one_of(words: set[str], _: _Part, part: _Part) -> bool:
    return part.text in words


def _begins_clause(before: _Part, part: _Part) -> bool:
    if before.text in _NOT_AFTER or (before.text, part.text) == ("UPDATE", "SET"):
        return False
    return part.text in _BEGIN_CLAUSES


def _indented(chunks: Sequence[Sequence[_Part]], width: int) -> list[str]:
    return [_INDENT + line for chunk in chunks for line in _lines(chunk, width - len(_INDENT))]


def _opened(parts: Sequence[_Part], width: int) -> list[str]:
    """Break inside of the parentheses that do not fit."""
    lines, current = [], ""
    for part in parts:
        text = f" {part.text}" if part.is_spaced and current else part.text
        if part.inside and len(current) + len(text) > width:
            lines += [current + text[: text.index("(") + 1], *_indented([part.inside], width)]
            current = ")"
        else:
            current += text
    return [*lines, current]
