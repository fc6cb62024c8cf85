"""Statements that read boundaries whose queries may be without tags, and compare them while all appends are locked out.

No lock of tags orders the commits of their events. So such a boundary is a settled position, and the positions of the
events that were read after it.
"""

from typing import Any, Final

from sqlalchemy import BigInteger, Text, Uuid
from sqlalchemy.sql import ClauseElement

from eventstore.common.validation import MAX_VERSION
from eventstore.statements.columns import EVENT_COLUMNS
from eventstore.statements.postgresql.boundaries import OF_THIS_LOG
from eventstore.statements.postgresql.lock_table import exclusive_lock_of
from eventstore.statements.postgresql.log_view import SERVER
from eventstore.statements.postgresql.names import name_of_events
from eventstore.statements.text import sql_text
from eventstore.tables import Tables

_FOUND: Final = """
        SELECT item.number, event.position
        FROM item
        JOIN LATERAL (
            SELECT event.position
            FROM {events} AS event
            WHERE
                event.position > item.position
                AND item.tags IS NULL
                AND item.types IS NULL
                AND item.categories IS NULL
            OFFSET 0
        ) AS event ON true
        UNION ALL
        SELECT item.number, event.position
        FROM item
        JOIN unnest(item.types) AS wanted(name) ON item.tags IS NULL
        JOIN LATERAL (
            SELECT event.position
            FROM {events} AS event
            WHERE
                (event.event_type, event.position) > (wanted.name COLLATE "C", item.position)
                AND (event.event_type, event.position) <= (wanted.name COLLATE "C", {last})
                AND (item.categories IS NULL OR event.category = any(item.categories))
            ORDER BY event.event_type, event.position
            OFFSET 0
        ) AS event ON true
        UNION ALL
        SELECT item.number, event.position
        FROM item
        JOIN unnest(item.categories) AS wanted(name) ON item.tags IS NULL AND item.types IS NULL
        JOIN LATERAL (
            SELECT event.position
            FROM {events} AS event
            WHERE
                (event.category, event.position) > (wanted.name COLLATE "C", item.position)
                AND (event.category, event.position) <= (wanted.name COLLATE "C", {last})
            ORDER BY event.category, event.position
            OFFSET 0
        ) AS event ON true
        UNION ALL
        SELECT item.number, tag.position
        FROM item
        JOIN LATERAL (
            SELECT candidate.name
            FROM unnest(item.tags) AS candidate(name)
            ORDER BY (
                SELECT count(*) AS number
                FROM (
                    SELECT 1 AS one
                    FROM {tags} AS tag
                    WHERE tag.tag = (candidate.name COLLATE "C") AND tag.position > item.position
                    ORDER BY tag.tag, tag.position
                    LIMIT 1000
                ) AS counted
            )
            LIMIT 1
        ) AS pivot ON true
        JOIN LATERAL (
            SELECT tag.position
            FROM {tags} AS tag
            WHERE
                (tag.tag, tag.position) > (pivot.name COLLATE "C", item.position)
                AND (tag.tag, tag.position) <= (pivot.name COLLATE "C", {last})
                AND (item.types IS NULL OR tag.event_type = any(item.types))
                AND (
                    item.categories IS NULL
                    OR EXISTS (
                        SELECT 1
                        FROM {events} AS event
                        WHERE event.position = tag.position AND event.category = any(item.categories)
                        OFFSET 0
                    )
                )
                AND NOT EXISTS (
                    SELECT 1
                    FROM unnest(item.tags) AS wanted(name)
                    WHERE NOT EXISTS (
                        SELECT 1
                        FROM {tags} AS other
                        WHERE other.tag = (wanted.name COLLATE "C") AND other.position = tag.position
                        OFFSET 0
                    )
                    OFFSET 0
                )
            ORDER BY tag.tag, tag.position
            OFFSET 0
        ) AS tag ON true"""
"""The positions after `item.position` that match each item; an event more than once if it matches several.

A query is looked up by its rarest tag, else by its types, else by its categories. OFFSET 0, comparisons of whole keys,
and their order keep each lookup one by the index of these keys, whatever the planner knows of the parameters."""

_READ: Final = (
    """
WITH
    item AS MATERIALIZED (
        SELECT item.number, item.tags, item.types, item.categories, CAST(0 AS BIGINT) AS position
        FROM jsonb_to_recordset(CAST(:items AS JSONB))
            AS item(number INTEGER, tags TEXT[], types TEXT[], categories TEXT[])
    ),
    settled AS MATERIALIZED (
        SELECT coalesce(max(event.position), 0) AS position
        FROM {events} AS event
        WHERE event.position = :settled AND event.event_id = :settled_id
    ),
    found AS MATERIALIZED ("""
    + _FOUND
    + """
    ),
    seen AS MATERIALIZED (
        SELECT
            item.number,
            coalesce(
                array_agg(DISTINCT found.position) FILTER (WHERE found.position IS NOT NULL), CAST(ARRAY[] AS BIGINT[])
            ) AS positions
        FROM item
        JOIN settled ON true
        LEFT JOIN found ON found.number = item.number AND found.position > settled.position
        GROUP BY item.number
    )
SELECT
    CAST(0 AS BIGINT) AS position,
    (SELECT CAST(jsonb_agg(to_jsonb(seen.positions) ORDER BY seen.number) AS TEXT) AS seen FROM seen) AS stream_id,
    coalesce((SELECT max(tag.position) AS generation FROM {tags} AS tag WHERE tag.tag = ''), 0) AS version,
    (SELECT CASE WHEN settled.position > 0 THEN :settled_id END AS event_id FROM settled) AS event_id,
    (SELECT CAST(settled.position AS TEXT) AS position FROM settled) AS event_type,
    CAST(server.in_recovery AS INTEGER) AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BYTEA) AS data,
    CAST(server.es_events AS TEXT) AS metadata,
    server.started_at AS recorded_at
FROM ({server}) AS server
UNION ALL
SELECT event.*
FROM (SELECT DISTINCT found.position FROM found) AS matched
JOIN LATERAL (SELECT {columns} FROM {events} AS event WHERE event.position = matched.position LIMIT 1) AS event ON true
ORDER BY position
"""
)

_COMPARE: Final = (
    """
WITH
    item AS MATERIALIZED (
        SELECT
            item.number, item.tags, item.types, item.categories, item.position, item.event_id, item.seen, item.seen_ids
        FROM jsonb_to_recordset(CAST(:items AS JSONB)) AS item(
            number INTEGER,
            tags TEXT[],
            types TEXT[],
            categories TEXT[],
            position BIGINT,
            event_id UUID,
            seen BIGINT[],
            seen_ids UUID[]
        )
    ),
    change AS (
        SELECT found.number, found.position
        FROM ("""
    + _FOUND
    + """
        ) AS found
        EXCEPT
        SELECT item.number, seen.position
        FROM item
        JOIN unnest(item.seen) AS seen(position) ON true
    )
SELECT
    """
    + OF_THIS_LOG
    + """
        AND NOT EXISTS (
            SELECT 1
            FROM item
            JOIN unnest(item.seen, item.seen_ids) AS seen(position, event_id) ON true
            WHERE NOT EXISTS (
                SELECT 1
                FROM {events} AS event
                WHERE event.position = seen.position AND event.event_id = seen.event_id
                OFFSET 0
            )
            OFFSET 0
        ) AS is_current,
    (SELECT min(change.position) AS position FROM change) AS changed
"""
)

_TYPES: Final[dict[str, Any]] = {"items": Text, "generation": BigInteger}


def read_boundary_without_tags(tables: Tables) -> ClauseElement:
    """Return the events that match at least one item, in order, after a header: one snapshot of both.

    The header has the position 0; in `stream_id` a JSON array with, for each item, the positions of its events after
    the settled one; the generation in `version`; the settled event in `event_id` and, as text, `event_type`; and what
    identifies the server. If the event `settled_id` is not at the position `settled`, that is 0, and the array has the
    positions of all its events.
    """
    types = {"items": Text, "settled": BigInteger, "settled_id": Uuid()}
    return sql_text(_READ, tables, types=types, columns=EVENT_COLUMNS, server=SERVER, last=MAX_VERSION).bindparams(
        name_of_events(tables)
    )


def compare_boundaries_without_tags(tables: Tables) -> ClauseElement:
    """Return whether boundaries are of this log, and the position of the first event that has changed one, or NULL.

    An event has if it matches, comes after the settled position, and was not seen. The log is another one if an event
    that was seen is gone.
    """
    return sql_text(_COMPARE, tables, types=_TYPES, last=MAX_VERSION)


def lock_all_appends(tables: Tables) -> ClauseElement:
    """Lock es_streams against all who write or lock heads, as each append does before it stores events.

    Reads are not blocked. A lock of es_events would come after the heads of some appends, and could deadlock with them.
    """
    return exclusive_lock_of(tables.streams)
