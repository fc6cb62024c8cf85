"""Statements about the parts of a partitioned log."""

from typing import Final

from sqlalchemy import Text, bindparam
from sqlalchemy.sql import ClauseElement

from eventstore.statements.postgresql.names import name_of_events
from eventstore.statements.text import sql_text
from eventstore.tables import Tables
from eventstore.tables.names import qualified_name

_PARTS: Final = """
SELECT
    pg_get_partkeydef(log.oid) AS key,
    CAST(part.relname AS TEXT) AS name,
    pg_get_expr(part.relpartbound, part.oid) AS bound,
    CAST(part.reltuples AS BIGINT) AS events,
    pg_total_relation_size(part.oid) AS size_bytes,
    pg_inherits.inhdetachpending AS is_detaching
FROM pg_catalog.pg_class AS log
LEFT JOIN pg_catalog.pg_inherits ON pg_inherits.inhparent = log.oid
LEFT JOIN pg_catalog.pg_class AS part ON part.oid = pg_inherits.inhrelid
WHERE log.oid = to_regclass(:name_of_es_events) AND log.relkind = 'p'
"""

_DETACHED: Final = """
SELECT
    part.name,
    part.first_position,
    part.last_position,
    part.events,
    part.location,
    part.sha256,
    pg_total_relation_size(to_regclass(:schema_of_es_events || quote_ident(part.name))) AS size_bytes
FROM {detached_parts} AS part
"""

_RATE: Final = """
WITH RECURSIVE
    newest AS (
        SELECT event.position, statement_timestamp() - INTERVAL '7 days' AS since
        FROM {events} AS event
        ORDER BY event.position DESC
        LIMIT 1
    ),
    search(low, high) AS (
        SELECT CAST(0 AS BIGINT) AS low, newest.position AS high
        FROM newest
        UNION ALL
        SELECT
            CASE WHEN probe.recorded_at < newest.since THEN probe.position ELSE search.low END AS low,
            CASE WHEN probe.recorded_at < newest.since THEN search.high ELSE (search.low + search.high) / 2 END AS high
        FROM search
        JOIN newest ON true
        JOIN LATERAL (
            SELECT event.position, event.recorded_at
            FROM {events} AS event
            WHERE event.position > (search.low + search.high) / 2
            ORDER BY event.position
            LIMIT 1
        ) AS probe ON true
        WHERE search.low < search.high
    )
SELECT
    newest.position AS newest,
    found.low AS before,
    first_event.recorded_at AS began_at,
    statement_timestamp() AS now
FROM newest
JOIN LATERAL (SELECT max(search.low) AS low FROM search) AS found ON true
LEFT JOIN LATERAL (
    SELECT event.recorded_at
    FROM {events} AS event
    WHERE event.position > found.low
    ORDER BY event.position
    LIMIT 1
) AS first_event ON true
"""

_DRAWN: Final = """
SELECT
    CASE
        WHEN has_sequence_privilege(found.sequence, 'SELECT')
            THEN coalesce(pg_sequence_last_value(found.sequence), 0)
    END AS drawn
FROM (SELECT to_regclass(pg_get_serial_sequence(:name_of_es_events, 'position')) AS sequence) AS found
"""


def parts_of_log(tables: Tables) -> ClauseElement:
    """Return the parts of the log, in no order; no row if it is not partitioned.

    The columns: the partition key, the name of the part, NULL if there is none, its bounds as text, its estimated
    number of events, below 0 if they were not counted, its size with indexes, and whether its DETACH was interrupted.
    """
    return sql_text(_PARTS, tables).bindparams(name_of_events(tables))


def detached_parts_of_log(tables: Tables) -> ClauseElement:
    """Return the parts that are in the list of detached parts, in no order.

    The columns: name, first and last position, number of events, location, SHA-256, and the size of its table with
    indexes, NULL if there is no such table.
    """
    schema = qualified_name(tables.events, "x").removesuffix("x")
    return sql_text(_DETACHED, tables).bindparams(bindparam("schema_of_es_events", schema, type_=Text))


def appends_of_a_week(tables: Tables) -> ClauseElement:
    """Return how many positions the last seven days took; no row if there is no event.

    The columns: the newest position, the last one from before, the time of the first event after that, and now. Times
    ascend with positions, but for imported events, so the position from before is found by bisection.
    """
    return sql_text(_RATE, tables)


def drawn_position(tables: Tables) -> ClauseElement:
    """Return the position that was drawn last, 0 if none was; NULL for a role that may not read the sequence."""
    return sql_text(_DRAWN, tables).bindparams(name_of_events(tables))
