"""The name of a table as a parameter for PostgreSQL's functions on names."""

from sqlalchemy import BindParameter, ColumnElement, Table, Text, bindparam, func

from eventstore.tables import Tables
from eventstore.tables.names import qualified_name


def name_of_events(tables: Tables) -> BindParameter[str]:
    """Return the name of es_events as PostgreSQL parses it: with its schema, quoted if necessary."""
    return _name_of(tables.events)


def name_of_checkpoints(tables: Tables) -> BindParameter[str]:
    """Return the name of es_checkpoints in the same way."""
    return _name_of(tables.checkpoints)


def name_of_tags(tables: Tables) -> BindParameter[str]:
    """Return the name of es_event_tags in the same way."""
    return _name_of(tables.tags)


def identities_of(tables: Tables) -> list[ColumnElement[str]]:
    """Return the oids of the tables."""
    return [func.to_regclass(_name_of(each)) for each in tables.metadata.sorted_tables]


def _name_of(table: Table) -> BindParameter[str]:
    return bindparam(f"name_of_{table.name}", qualified_name(table), type_=Text)
