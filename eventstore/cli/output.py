"""The output of commands: tables in a terminal, lines with tabs in a pipe, JSON if asked for.

Ids, names and payloads come from the database and are not trusted. Nothing in them is interpreted: control characters
are printed as escapes, and markup is printed as text.
"""

import json
import os
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from types import NoneType
from typing import Any, Final, Generic, TypeVar

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

_ESCAPED: Final = frozenset({"Cc", "Cf", "Co", "Cs", "Zl", "Zp"})
"""Unicode categories of characters that a terminal may interpret or hide: controls, bidi overrides, separators."""
_JOINERS: Final = "\u200c\u200d"
"""Persian, Hindi and emojis need them; in an id they would only make two different ids look the same."""
_SHORT: Final = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}
Item = TypeVar("Item")

_ROWS_AT_A_TIME: Final = 500
"""The rows of one table, which are in memory at the same time to compute the widths of its columns."""


def printable(text: str, *, keep_lines: bool = False) -> str:
    """Return the text with everything escaped that a terminal would interpret.

    Args:
        text: A text that is not trusted.
        keep_lines: Whether newlines stay.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if keep_lines and char == "\n" else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    if unicodedata.category(char) not in _ESCAPED:
        return char
    code = ord(char)
    if char in _SHORT:
        return _SHORT[char]
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004


def printable_json(text: str) -> str:
    """Return equivalent JSON with everything escaped that a terminal would interpret."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        json.dumps(char)[1:-1] if unicodedata.category(char) in _ESCAPED and char not in _JOINERS else char
        for char in text
    )


def console(*, stderr: bool = False) -> Console:
    """Return a console. With NO_COLOR it prints no escape sequences at all, not even for bold text."""
    plain: dict[str, Any] = {"no_color": True, "color_system": None} if os.environ.get("NO_COLOR") else {}
    return Console(stderr=stderr, markup=False, highlight=False, emoji=False, **plain)


def has_person() -> bool:
    """Return whether stdout is a terminal, or is treated as one because of FORCE_COLOR."""
    return console().is_terminal


def print_json(value: Any) -> None:
    """Print one line of JSON, in ASCII."""
    click.echo(json.dumps(value, default=_to_json))


def _to_json(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def print_line(*values: Any, payloads: Sequence[str] = ()) -> None:
    """Print one line with tabs, for programs.

    Args:
        values: Values of any type.
        payloads: The last fields, which are printable already.
    """
    click.echo("\t".join([*map(_field, values), *payloads]))


def _field(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, bool):
        return "yes" if value else "no"
    return printable(str(value))


def note(text: str) -> None:
    """Print a note to stderr."""
    click.secho(printable(text, keep_lines=True), dim=True, err=True)


def counted(number: int, noun: str) -> str:
    """Return the number with its noun, in the plural unless it is one."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def moment(value: datetime) -> str:
    """Return a time for people, in UTC."""
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        key: Its name in the rows and in JSON.
        header: Its header in a table.
        style: Its style in a table.
        is_optional: Whether it is left out if the terminal has fewer than 100 columns.
    """

    key: str
    header: str
    style: str = ""
    is_optional: bool = False


def print_rows(columns: Sequence[Column], rows: Iterable[Mapping[str, Any]], *, as_json: bool, empty: str) -> None:
    """Print rows as they are read: as JSON Lines, as lines with tabs, or in tables of up to 500 rows.

    Args:
        columns: The columns of tables and lines, in this order; JSON has every value of a row.
        rows: The rows.
        as_json: Whether JSON was asked for.
        empty: The note for a terminal if there are no rows.
    """
    if as_json:
        for row in rows:
            print_json(dict(row))
    elif not has_person():
        for row in rows:
            print_line(*(row[column.key] for column in columns))
    else:
        where = console()
        visible = [column for column in columns if not column.is_optional or where.width >= 100]  # noqa: PLR2004
        is_empty = True
        for batch in _batches(rows):
            is_empty = False
            where.print(_table(visible, batch))
        if is_empty:
            note(empty)


def _batches(rows: Iterable[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    remaining = iter(rows)
    while batch := list(islice(remaining, _ROWS_AT_A_TIME)):
        yield batch


def _table(columns: Sequence[Column], rows: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        values = [row[column.key] for row in rows]
        types = {type(value) for value in values} - {NoneType}
        is_number, is_text = bool(types) and types <= {int, float}, types <= {str}
        table.add_column(
            column.header,
            style=column.style,
            justify="right" if is_number else "left",
            no_wrap=not is_text,
            overflow="fold",  # an id that is cut off can't be copied
        )
    for row in rows:
        table.add_row(*(Text(_cell(row[column.key])) for column in columns))
    return table


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.1f}"
    return printable(str(value))


def print_record(record: Mapping[str, Any], *, as_json: bool) -> None:
    """Print one record, with a name and a value in each line."""
    if as_json:
        print_json(dict(record))
    elif not has_person():
        for name, value in record.items():
            print_line(name, value)
    else:
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in record.items():
            table.add_row(Text(name.replace("_", " ")), Text(_cell(value)))
        console().print(table)


class Limited(Generic[Item]):
    """Yields the first items up to a limit, and knows the last one and whether there are more.

    Args:
        items: The items; at most one beyond the limit is read.
        limit: How many to yield at most; None for no limit.
    """

    def __init__(self, items: Iterable[Item], limit: int | None) -> None:
        self._items = iter(items)
        self._limit = limit
        self.last: Item | None = None
        self.has_more = False

    def __iter__(self) -> Iterator[Item]:
        for count, item in enumerate(self._items):
            if count == self._limit:
                self.has_more = True
                return
            self.last = item
            yield item
