"""The SQL of views on PostgreSQL."""

from typing import Final

from sqlalchemy.dialects import postgresql

from eventstore.event_types.fields import Kind
from eventstore.tables import Tables
from eventstore.tables.names import qualified_name
from eventstore.views.definitions import EVENT_COLUMNS, View, ViewColumn
from eventstore.views.texts import TAGS, has_version, is_shown, literal

_quote: Final = postgresql.dialect(paramstyle="named").identifier_preparer.quote  # type: ignore[no-untyped-call]  # SQLAlchemy's

_FUNCTIONS: Final = (
    ("es_json", "bytea", "json", "CAST(convert_from($1, 'UTF8') AS json)"),
    (
        "es_datetime", "text", "timestamptz",
        """CASE
    WHEN split_part($1, '[', 1) ~ '[-+]\\d\\d:\\d\\d(:\\d\\d)?$' THEN CAST(split_part($1, '[', 1) AS timestamptz)
    ELSE CAST(split_part($1, '[', 1) AS timestamp) AT TIME ZONE 'UTC'
END""",
    ),
    (
        "es_date", "text", "date",
        """make_date(
    CAST(split_part($1, '-', 1) AS integer),
    CAST(split_part($1, '-', 2) AS integer),
    CAST(split_part($1, '-', 3) AS integer)
)""",
    ),
    (
        "es_timedelta", "text", "interval",
        """make_interval(
    days => CAST(split_part($1, ' ', 1) AS integer),
    secs => CAST(split_part($1, ' ', 2) AS integer) + CAST(split_part($1, ' ', 3) AS integer) / 1e6
)""",
    ),
)  # fmt: skip
"""Functions: name, type of the argument, type of the result, body.

They are immutable, so that an index can use them: the year comes first in the texts, and an offset is in them or is
UTC, so no setting changes what they mean. es_json returns json, because jsonb has neither NUL characters nor -0.0.
"""

_TYPES: Final = {
    Kind.INTEGER: "bigint",
    Kind.FLOAT: "double precision",
    Kind.BOOLEAN: "boolean",
    Kind.DECIMAL: "numeric",
    Kind.UUID: "uuid",
}
"""The types to which texts are cast."""

_CONVERSIONS: Final = {Kind.DATETIME: "es_datetime", Kind.DATE: "es_date", Kind.TIMEDELTA: "es_timedelta"}
"""The functions by which texts are converted."""


def functions(tables: Tables) -> list[str]:
    """Return the statements that create the functions, in the schema of the tables."""
    return [
        f"CREATE OR REPLACE FUNCTION {name_of(name, tables)}({argument}) RETURNS {result}\n"
        f"LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE\nRETURN {body}"
        for name, argument, result, body in _FUNCTIONS
    ]


def create_view(view: View, tables: Tables) -> str:
    """Return the statement that creates a view."""
    columns = [*EVENT_COLUMNS, *(f"{value_of(each, tables)} AS {_quote(each.name)}" for each in view.columns)]
    listed = ",\n    ".join(columns)
    return (
        f"CREATE VIEW {name_of(view.name, tables)} AS\nSELECT\n    {listed}\n"
        f"FROM {qualified_name(tables.events)}\nWHERE {is_shown(view)} AND {has_version(view)}"
    )


def name_of(name: str, tables: Tables) -> str:
    """Return the name of a view, index or function in the schema of the tables, quoted if necessary."""
    return qualified_name(tables.events, name)


def create_index(name: str, view: View, column: ViewColumn, tables: Tables) -> str:
    """Return the statement that creates an index for a column of a view, without blocking appends."""
    return (
        f"CREATE INDEX CONCURRENTLY {_quote(name)}\nON {qualified_name(tables.events)} {indexed(view, column, tables)}"
    )


def indexed(view: View, column: ViewColumn, tables: Tables) -> str:
    """Return what the index of a column of a view has, as it follows the table in CREATE INDEX."""
    return f"(({value_of(column, tables)}))\nWHERE {is_shown(view)}"


def value_of(column: ViewColumn, tables: Tables) -> str:
    """Return the SQL of a column."""
    values = [_value(column.kind, str(key) if isinstance(key, int) else literal(key), tables) for key in column.keys]
    return values[0] if len(values) == 1 else f"coalesce({', '.join(values)})"


def _value(kind: Kind, key: str, tables: Tables) -> str:
    document = f"{name_of('es_json', tables)}(data)"
    if kind is Kind.NESTED:
        return f"CAST({document} -> {key} AS jsonb)"
    value = f"{document} ->> {key}"
    if kind in TAGS:
        value = f"coalesce({document} -> {key} ->> '{TAGS[kind]}', {value})"
    if kind is Kind.BYTES:
        return f"decode({value}, 'base64')"
    if kind in _CONVERSIONS:
        return f"{name_of(_CONVERSIONS[kind], tables)}({value})"
    return f"CAST({value} AS {_TYPES[kind]})" if kind in _TYPES else value


def grant(view: View, role: str, tables: Tables) -> str:
    """Return the statement that lets a role read a view; it needs no rights on es_events."""
    return f"GRANT SELECT ON {name_of(view.name, tables)} TO {_quote(role)}"


def comment(view: View, text: str, tables: Tables) -> str:
    """Return the statement that stores a comment on a view."""
    return f"COMMENT ON VIEW {name_of(view.name, tables)} IS {literal(text)}"
