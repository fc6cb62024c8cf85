"""Statements about Citus, for databases that have it: which node this is, and how es_events is distributed."""

from sqlalchemy import column, exists, func, literal_column, select, table
from sqlalchemy.sql import ClauseElement

from eventstore.statements.postgresql.names import name_of_events
from eventstore.tables import Tables

_LOCAL_GROUP = table("pg_dist_local_group", column("groupid"), schema="pg_catalog")
_PARTITIONS = table("pg_dist_partition", column("logicalrelid"), schema="pg_catalog")
_SCHEMAS = table("pg_dist_schema", column("schemaid"), schema="pg_catalog")
_CLASSES = table("pg_class", column("oid"), column("relnamespace"), schema="pg_catalog")


def local_group(_: Tables) -> ClauseElement:
    """Return the group of this node: 0 for the coordinator."""
    return select(_LOCAL_GROUP.c.groupid)


def distribution_of_events(tables: Tables) -> ClauseElement:
    """Return whether Citus can distribute schemas, which it can since version 12; no row if es_events is not its."""
    return select(
        func.to_regclass(literal_column("'pg_catalog.pg_dist_schema'")).is_not(None).label("has_schemas")
    ).where(_PARTITIONS.c.logicalrelid == func.to_regclass(name_of_events(tables)))


def schema_distribution(tables: Tables) -> ClauseElement:
    """Return whether the schema of es_events is distributed, each schema as a whole on one worker."""
    own = select(_CLASSES.c.relnamespace).where(_CLASSES.c.oid == func.to_regclass(name_of_events(tables)))
    return select(exists().where(_SCHEMAS.c.schemaid == own.scalar_subquery()).label("is_distributed"))
