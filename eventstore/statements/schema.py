"""The statement that reads the schema's version."""

from sqlalchemy import select
from sqlalchemy.sql import ClauseElement

from eventstore.tables import Tables


def schema_version(tables: Tables) -> ClauseElement:
    """Return (version, breaking_version) of the schema in the database."""
    return select(tables.schema.c.version, tables.schema.c.breaking_version)
