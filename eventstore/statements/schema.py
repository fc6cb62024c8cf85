"""The statement that reads the schema's version."""

from typing import Any

from sqlalchemy import Boolean, ColumnElement, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import ClauseElement

from eventstore.tables import Tables


class _HasCitus(ColumnElement[bool]):
    """Whether Citus is installed in the database, which can distribute tables over several servers."""

    inherit_cache = True
    type = Boolean()


@compiles(_HasCitus)
def _has_citus(*_: Any, **__: Any) -> str:
    return "to_regclass('pg_catalog.pg_dist_local_group') IS NOT NULL"


@compiles(_HasCitus, "sqlite")
def _has_citus_sqlite(*_: Any, **__: Any) -> str:
    return "0"


def schema_version(tables: Tables) -> ClauseElement:
    """Return (version, breaking_version, whether Citus is installed) of the schema in the database."""
    return select(tables.schema.c.version, tables.schema.c.breaking_version, _HasCitus().label("has_citus"))
