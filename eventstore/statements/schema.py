"""The statement that reads the schema's version."""

from typing import Any

from sqlalchemy import BigInteger, Boolean, ColumnElement, Text, bindparam, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import ClauseElement

from eventstore.tables import Tables
from eventstore.tables.names import qualified_name


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


class _OfEvents(ColumnElement[Any]):
    """A fact of the catalog about es_events: its oid, or whether it is partitioned."""

    inherit_cache = False

    def __init__(self, tables: Tables, fact: str, type_: Any) -> None:
        self.name = bindparam("name_of_es_events", qualified_name(tables.events), type_=Text)
        self.fact = fact
        self.type = type_


@compiles(_OfEvents)
def _of_events(element: _OfEvents, compiler: Any, **__: Any) -> str:
    table: str = compiler.process(element.name)
    return f"(SELECT {element.fact} FROM pg_catalog.pg_class WHERE pg_class.oid = to_regclass({table}))"


@compiles(_OfEvents, "sqlite")
def _of_events_sqlite(*_: Any, **__: Any) -> str:
    return "0"


def schema_version(tables: Tables) -> ClauseElement:
    """Return one row on the schema in the database.

    Its columns: version; breaking_version; whether Citus is installed; the oid of es_events, and whether it is
    partitioned; on SQLite 0 for each of these three.
    """
    return select(
        tables.schema.c.version,
        tables.schema.c.breaking_version,
        _HasCitus().label("has_citus"),
        _OfEvents(tables, "CAST(pg_class.oid AS BIGINT) AS oid", BigInteger()).label("es_events"),
        _OfEvents(tables, "pg_class.relkind = 'p' AS is_partitioned", Boolean()).label("is_partitioned"),
    )
