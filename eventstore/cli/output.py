"""What commands print: tables where a person looks, lines with tabs in a pipe, JSON where it is asked for.

Ids, names and payloads come from the database, and so from whoever wrote them. Nothing in them is interpreted: control
characters are shown as escapes, and what looks like markup is text.
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
"""Unicode's categories of what a terminal may obey or hide: controls, overrides of direction, separators."""
_JOINERS: Final = "\u200c\u200d"
"""Persian, Hindi and emojis can't be written without; in an id they would only make two look the same."""
_SHORT: Final = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}
Item = TypeVar("Item")

_ROWS_AT_A_TIME: Final = 500
"""Of a table: all of its rows have to be in memory, for the widths of its columns."""


def printable(text: str, *, keep_lines: bool = False) -> str:
    """Return text in which nothing is left that a terminal would obey.

    Args:
        text: From anywhere.
        keep_lines: Whether newlines are ours, and stay.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if keep_lines and char == "\n" else _shown(char) for char in text)


def _shown(char: str) -> str:
    if unicodedata.category(char) not in _ESCAPED:
        return char
    code = ord(char)
    if char in _SHORT:
        return _SHORT[char]
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004


def printable_json(text: str) -> str:
    """Return JSON in which nothing is left that a terminal would obey; it is still JSON, and says the same."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        json.dumps(char)[1:-1] if unicodedata.category(char) in _ESCAPED and char not in _JOINERS else char
        for char in text
    )


def console(*, stderr: bool = False) -> Console:
    """Return where to print. With NO_COLOR there are no escape sequences at all, neither bold ones."""
    plain: dict[str, Any] = {"no_color": True, "color_system": None} if os.environ.get("NO_COLOR") else {}
    return Console(stderr=stderr, markup=False, highlight=False, emoji=False, **plain)


def has_person() -> bool:
    """Return whether stdout is a terminal (or FORCE_COLOR says that it may as well be one)."""
    return console().is_terminal


def print_json(value: Any) -> None:
    """Print one line of JSON, in ASCII."""
    click.echo(json.dumps(value, default=_to_json))


def _to_json(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def print_line(*values: Any, payloads: Sequence[str] = ()) -> None:
    """Print one line with tabs, for programs.

    Args:
        values: Of any kind.
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
    """Say something on stderr, beside the output."""
    click.secho(printable(text, keep_lines=True), dim=True, err=True)


def moment(value: datetime) -> str:
    """Return a time for people, in UTC."""
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        key: In the rows, and in JSON.
        header: For people.
        style: For people.
        is_optional: Whether it is left out of tables that are narrower than 100 columns.
    """

    key: str
    header: str
    style: str = ""
    is_optional: bool = False


def print_rows(columns: Sequence[Column], rows: Iterable[Mapping[str, Any]], *, as_json: bool, empty: str) -> None:
    """Print rows as they come: as JSON Lines, lines with tabs, or tables of some hundred rows.

    Args:
        columns: What tables and lines show, in this order; JSON has all that is in a row.
        rows: What to print.
        as_json: Whether JSON was asked for.
        empty: What to tell a person where there is nothing.
    """
    if as_json:
        for row in rows:
            print_json(dict(row))
    elif not has_person():
        for row in rows:
            print_line(*(row[column.key] for column in columns))
    else:
        where = console()
        shown = [column for column in columns if not column.is_optional or where.width >= 100]  # noqa: PLR2004
        is_empty = True
        for some in _batches(rows):
            is_empty = False
            where.print(_table(shown, some))
        if is_empty:
            note(empty)


def _batches(rows: Iterable[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    remaining = iter(rows)
    while some := list(islice(remaining, _ROWS_AT_A_TIME)):
        yield some


def _table(columns: Sequence[Column], rows: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        values = [row[column.key] for row in rows]
        kinds = {type(value) for value in values} - {NoneType}
        is_number, is_text = bool(kinds) and kinds <= {int, float}, kinds <= {str}
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
    """Print one thing: a name and a value in each line."""
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
    """At most so many of some items, and then what comes next.

    Args:
        items: Read up to one beyond the limit.
        limit: None: no limit.
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
