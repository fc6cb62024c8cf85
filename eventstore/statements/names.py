"""The name of a table as PostgreSQL's functions on names want it."""

from sqlalchemy import ColumnElement, Text, bindparam
from sqlalchemy.dialects import postgresql

from eventstore.tables import Tables


def name_of_events(tables: Tables) -> ColumnElement[str]:
    """Return the name of es_events as PostgreSQL parses it: with its schema, quoted where needed."""
    name: str = postgresql.dialect().identifier_preparer.format_table(tables.events)  # type: ignore[no-untyped-call]  # SQLAlchemy's
    return bindparam("events_table", name, type_=Text)
