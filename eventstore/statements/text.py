"""Statements that are written as SQL text, because they read better than as Core constructs."""

from typing import Any

from sqlalchemy import Table, TextClause, bindparam, text

from eventstore.tables import Tables
from eventstore.tables.names import qualified_name


def sql_text(template: str, tables: Tables, /, *, types: dict[str, Any] | None = None, **parts: object) -> TextClause:
    """Return a statement from SQL text.

    Args:
        template: SQL with parameters such as `:stream_id`, and `{events}`, `{streams}`, `{tags}` and
            `{detached_parts}` for the names of the tables.
        tables: The tables.
        types: The types of the parameters, for databases that can't infer them.
        parts: SQL for the other names in braces.
    """
    names = {
        "events": tables.events,
        "streams": tables.streams,
        "tags": tables.tags,
        "detached_parts": tables.detached_parts,
    }
    sql = template.strip().format(**{name: table_name(table) for name, table in names.items()}, **parts)
    return text(sql).bindparams(*(bindparam(name, type_=type_) for name, type_ in (types or {}).items()))


def table_name(table: Table) -> str:
    """Return the name of a table, with its schema, quoted if necessary, and with colons escaped."""
    return qualified_name(table).replace(":", r"\:")
