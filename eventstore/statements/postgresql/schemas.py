"""Statements about the logs of many schemas at once."""

from typing import Final

from sqlalchemy import ARRAY, BigInteger, Text
from sqlalchemy.sql import ClauseElement

from eventstore.statements.text import sql_text
from eventstore.tables import Tables

_DRAWN: Final = """
SELECT
    CAST(pg_namespace.nspname AS TEXT) AS schema,
    CAST(CAST(events.oid AS OID) AS BIGINT) AS es_events,
    CASE
        WHEN has_sequence_privilege(positions.oid, 'SELECT') THEN coalesce(pg_sequence_last_value(positions.oid), 0)
    END AS drawn,
    pg_postmaster_start_time() AS started_at
FROM pg_catalog.pg_namespace
JOIN pg_catalog.pg_class AS events ON events.relnamespace = pg_namespace.oid AND events.relname = 'es_events'
LEFT JOIN pg_catalog.pg_depend ON pg_depend.refclassid = CAST('pg_catalog.pg_class' AS REGCLASS)
    AND pg_depend.refobjid = events.oid
    AND pg_depend.refobjsubid > 0
    AND pg_depend.classid = CAST('pg_catalog.pg_class' AS REGCLASS)
    AND pg_depend.deptype = 'i'
LEFT JOIN pg_catalog.pg_class AS positions ON positions.oid = pg_depend.objid AND positions.relkind = 'S'
WHERE pg_namespace.nspname = any(:schemas)
"""

_APPENDING: Final = """
SELECT DISTINCT CAST(CAST(pg_locks.relation AS OID) AS BIGINT) AS es_events
FROM pg_catalog.pg_locks
WHERE pg_locks.locktype = 'relation'
    AND pg_locks.database = (
        SELECT pg_database.oid FROM pg_catalog.pg_database WHERE pg_database.datname = current_database()
    )
    AND pg_locks.relation = any(CAST(:tables AS OID[]))
    AND pg_locks.mode = 'RowExclusiveLock'
    AND pg_locks.granted
"""


def drawn_in_schemas(tables: Tables) -> ClauseElement:
    """Return what was drawn in each of `schemas` that has a log.

    The columns: the schema; the oid of es_events; the last position that was drawn, NULL for a role without SELECT on
    the sequence; when the server was started.
    """
    return sql_text(_DRAWN, tables, types={"schemas": ARRAY(Text)})


def tables_with_appends(tables: Tables) -> ClauseElement:
    """Return the oids of those of `tables` that a transaction has appended to, or tried to, and has not ended."""
    return sql_text(_APPENDING, tables, types={"tables": ARRAY(BigInteger)})
