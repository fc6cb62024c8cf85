"""The SQL of views on SQLite, whose JSON functions return its own types: texts and numbers."""

from typing import Final

from sqlalchemy.dialects import sqlite

from eventstore.errors import InvalidInput
from eventstore.event_types.fields import Kind
from eventstore.views.definitions import EVENT_COLUMNS, View, ViewColumn
from eventstore.views.texts import TAGS, has_version, is_shown, literal

_quote: Final = sqlite.dialect(paramstyle="named").identifier_preparer.quote

_DOCUMENT: Final = "CAST(data AS TEXT)"


def create_view(view: View) -> str:
    """Return the statement that creates a view."""
    columns = [*EVENT_COLUMNS, *(f"{value_of(each)} AS {_quote(each.name)}" for each in view.columns)]
    listed = ",\n    ".join(columns)
    return (
        f"CREATE VIEW {_quote(view.name)} AS\nSELECT\n    {listed}\nFROM es_events\n"
        f"WHERE {is_shown(view)} AND {has_version(view)}"
    )


def drop_view(view: View) -> str:
    """Return the statement that drops a view."""
    return f"DROP VIEW {_quote(view.name)}"


def create_index(name: str, view: View, column: ViewColumn) -> str:
    """Return the statement that creates an index for a column of a view."""
    return f"CREATE INDEX {_quote(name)}\nON es_events ({value_of(column)})\nWHERE {is_shown(view)}"


def value_of(column: ViewColumn) -> str:
    """Return the SQL of a column."""
    values = [_value(column.kind, key) for key in column.keys]
    return values[0] if len(values) == 1 else f"coalesce({', '.join(values)})"


def _value(kind: Kind, key: str | int) -> str:
    path = f"$[{key}]" if isinstance(key, int) else f'$."{_checked(key)}"'
    value = _at(path)
    if kind in TAGS:
        tagged = _at(f'{path}."{TAGS[kind]}"')
        return f"coalesce({tagged}, {value})"
    if kind is Kind.INTEGER:  # beyond 64 bits, its digits as a text
        return f"CASE typeof({value}) WHEN 'real' THEN {_DOCUMENT} -> {literal(path)} ELSE {value} END"
    return f"{_DOCUMENT} -> {literal(path)}" if kind is Kind.NESTED else value


def _at(path: str) -> str:
    return f"json_extract({_DOCUMENT}, {literal(path)})"


def _checked(key: str) -> str:
    if '"' in key:
        msg = f"the key {key!r} has a quotation mark, which a path of SQLite can't have"
        raise InvalidInput(msg)
    return key
