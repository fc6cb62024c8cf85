"""Statements that read consistency boundaries, and compare them; see those of PostgreSQL. JSON stands for arrays."""

from typing import Final

from sqlalchemy.sql import ClauseElement

from eventstore.statements.columns import EVENT_COLUMNS
from eventstore.statements.text import sql_text
from eventstore.tables import Tables

_MATCHES: Final = """
            tag.tag = item.pivot
            AND (item.types IS NULL OR tag.event_type IN (SELECT type.value FROM json_each(item.types) AS type))
            AND NOT EXISTS (
                SELECT 1
                FROM json_each(item.tags) AS wanted
                WHERE NOT EXISTS (
                    SELECT 1 FROM es_event_tags AS other
                    WHERE other.tag = wanted.value AND other.position = tag.position
                )
            )"""

_READ: Final = (
    """
WITH
    asked AS (
        SELECT
            asked.key AS number,
            json_extract(asked.value, '$.tags') AS tags,
            json_extract(asked.value, '$.types') AS types
        FROM json_each(:items) AS asked
    ),
    item AS MATERIALIZED (
        SELECT
            asked.number,
            asked.tags,
            asked.types,
            (
                SELECT candidate.value
                FROM json_each(asked.tags) AS candidate
                ORDER BY
                    (
                        SELECT count(*) AS number
                        FROM (SELECT 1 AS one FROM es_event_tags AS tag WHERE tag.tag = candidate.value LIMIT 1000)
                    ),
                    candidate.value
                LIMIT 1
            ) AS pivot
        FROM asked
    ),
    last AS MATERIALIZED (
        SELECT
            item.number,
            item.pivot,
            (SELECT max(tag.position) AS position FROM es_event_tags AS tag WHERE tag.tag = item.pivot) AS position
        FROM item
    )
SELECT
    CAST(0 AS BIGINT) AS position,
    (
        SELECT
            json_group_array(
                json_array(
                    last.pivot,
                    last.position,
                    (SELECT event.event_id FROM es_events AS event WHERE event.position = last.position)
                )
            ) AS ends
        FROM (SELECT number, pivot, position FROM last ORDER BY number) AS last
    ) AS stream_id,
    coalesce((SELECT max(tag.position) AS generation FROM es_event_tags AS tag WHERE tag.tag = ''), 0) AS version,
    CAST(NULL AS TEXT) AS event_id,
    CAST(NULL AS TEXT) AS event_type,
    0 AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BLOB) AS data,
    CAST(NULL AS TEXT) AS metadata,
    NULL AS recorded_at
UNION ALL
SELECT found.*
FROM (
    SELECT {columns}
    FROM es_events AS event
    WHERE event.position IN (
        SELECT tag.position
        FROM item
        JOIN es_event_tags AS tag ON"""
    + _MATCHES
    + """
    )
) AS found
ORDER BY position
"""
)

OF_THIS_LOG: Final = """NOT EXISTS (
        SELECT 1
        FROM item
        WHERE
            item.position > 0
            AND NOT EXISTS (
                SELECT 1
                FROM es_events AS event
                WHERE event.position = item.position AND event.event_id = item.event_id
            )
    )
    AND (:generation IS NULL OR :generation = coalesce((
        SELECT max(tag.position) AS generation FROM es_event_tags AS tag WHERE tag.tag = ''
    ), 0))"""
"""Whether the items of boundaries were read from this log, as it is now."""

_COMPARE: Final = (
    """
WITH
    item AS MATERIALIZED (
        SELECT
            json_extract(asked.value, '$.tags') AS tags,
            json_extract(asked.value, '$.types') AS types,
            json_extract(asked.value, '$.pivot') AS pivot,
            json_extract(asked.value, '$.position') AS position,
            json_extract(asked.value, '$.event_id') AS event_id
        FROM json_each(:items) AS asked
    )
SELECT
    """
    + OF_THIS_LOG
    + """ AS is_current,
    (
        SELECT min(tag.position) AS position
        FROM item
        JOIN es_event_tags AS tag ON"""
    + _MATCHES
    + """
            AND tag.position > item.position
    ) AS changed
"""
)


def read_boundary(tables: Tables) -> ClauseElement:
    """Return the events that match at least one item, in order, after a header: one snapshot of both.

    The header has the position 0, a JSON array in `stream_id`, and the generation in `version`. The array has, for each
    item, its pivot, and position and id of the last event with that tag, matching or not; NULL if there is none.
    """
    return sql_text(_READ, tables, columns=EVENT_COLUMNS)


def compare_boundaries(tables: Tables) -> ClauseElement:
    """Return whether boundaries are of this log, and the position of the first event that has changed one, or NULL."""
    return sql_text(_COMPARE, tables)
