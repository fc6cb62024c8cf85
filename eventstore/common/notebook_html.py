"""How values are shown in a notebook: shortened, and as HTML in which the values are escaped."""

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any, Final

from eventstore.common.shown import shown

_LONGEST: Final = 100
_LONGEST_ALONE: Final = 1000


def cell(value: Any, longest: int = _LONGEST) -> str:
    """Return a value as escaped text, cut if it is long."""
    text = "" if value is None else shown(value, repr if _is_data(value) else str)
    return escape(text if len(text) <= longest else f"{text[:longest]}…")


def _is_data(value: Any) -> bool:
    return isinstance(value, list | dict | tuple | set | frozenset | bytes) or hasattr(value, "__match_args__")


def table_html(caption: str, columns: Mapping[str, str], rows: Iterable[Iterable[Any]]) -> str:
    """Return a table of several objects, with a row for each.

    Args:
        caption: The caption of the table.
        columns: The names of the columns, each with its tooltip.
        rows: The values of each object.
    """
    heads = "".join(f'<th title="{escape(title)}">{escape(name)}</th>' for name, title in columns.items())
    body = "".join(f"<tr>{''.join(f'<td>{cell(value)}</td>' for value in row)}</tr>" for row in rows)
    return f"<table><caption>{cell(caption)}</caption><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"


def thing_html(caption: str, values: Mapping[str, Any]) -> str:
    """Return a table of one object, with a row for each of its values."""
    rows = "".join(
        f'<tr><th style="text-align:left">{escape(name)}</th><td style="text-align:left">'
        f"{cell(value, _LONGEST_ALONE)}</td></tr>"
        for name, value in values.items()
    )
    return f"<table><caption>{cell(caption)}</caption><tbody>{rows}</tbody></table>"
