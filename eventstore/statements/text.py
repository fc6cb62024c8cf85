"""For statements that read better as SQL than as Core."""

from typing import Any

from sqlalchemy import Table, TextClause, bindparam, text

from eventstore.tables import Tables
from eventstore.tables.immutability import qualified_name


def sql_text(template: str, tables: Tables, /, *, types: dict[str, Any] | None = None, **parts: object) -> TextClause:
    """Return a statement that is written as SQL.

    Args:
        template: SQL with parameters such as `:stream_id`, and in braces `{events}` and `{streams}` for the tables.
        tables: The tables.
        types: The types of the parameters, for databases that have to be told.
        parts: What else stands in braces: other SQL.
    """
    sql = template.strip().format(events=table_name(tables.events), streams=table_name(tables.streams), **parts)
    return text(sql).bindparams(*(bindparam(name, type_=type_) for name, type_ in (types or {}).items()))


def table_name(table: Table) -> str:
    """Return the name of a table, with its schema, quoted if need be; a colon in it is no parameter."""
    return qualified_name(table).replace(":", r"\:")
