"""Statements that read and compare boundaries whose queries may be without tags; see those of PostgreSQL."""

from typing import Final

from sqlalchemy.sql import ClauseElement

from eventstore.statements.columns import EVENT_COLUMNS
from eventstore.statements.sqlite.boundaries import OF_THIS_LOG
from eventstore.statements.text import sql_text
from eventstore.tables import Tables

_HAS_TYPE: Final = "(item.types IS NULL OR {0} IN (SELECT type.value FROM json_each(item.types) AS type))"
_HAS_CATEGORY: Final = (
    "(item.categories IS NULL OR event.category IN (SELECT each.value FROM json_each(item.categories) AS each))"
)

_FOUND: Final = f"""
        SELECT item.number, event.position
        FROM item
        JOIN es_events AS event ON event.position > item.position
        WHERE item.tags IS NULL AND item.types IS NULL AND item.categories IS NULL
        UNION ALL
        SELECT item.number, event.position
        FROM item
        CROSS JOIN json_each(item.types) AS wanted
        CROSS JOIN es_events AS event ON event.event_type = wanted.value AND event.position > item.position
        WHERE item.tags IS NULL AND {_HAS_CATEGORY}
        UNION ALL
        SELECT item.number, event.position
        FROM item
        CROSS JOIN json_each(item.categories) AS wanted
        CROSS JOIN es_events AS event ON event.category = wanted.value AND event.position > item.position
        WHERE item.tags IS NULL AND item.types IS NULL
        UNION ALL
        SELECT item.number, tag.position
        FROM item
        CROSS JOIN es_event_tags AS tag ON tag.tag = item.pivot AND tag.position > item.position
        CROSS JOIN es_events AS event ON event.position = tag.position
        WHERE
            {_HAS_TYPE.format("tag.event_type")}
            AND {_HAS_CATEGORY}
            AND NOT EXISTS (
                SELECT 1
                FROM json_each(item.tags) AS wanted
                WHERE NOT EXISTS (
                    SELECT 1 FROM es_event_tags AS other
                    WHERE other.tag = wanted.value AND other.position = tag.position
                )
            )"""

_ITEMS: Final = """asked AS (
        SELECT
            json_extract(asked.value, '$.number') AS number,
            json_extract(asked.value, '$.tags') AS tags,
            json_extract(asked.value, '$.types') AS types,
            json_extract(asked.value, '$.categories') AS categories,
            coalesce(json_extract(asked.value, '$.position'), 0) AS position,
            json_extract(asked.value, '$.event_id') AS event_id,
            json_extract(asked.value, '$.seen') AS seen,
            json_extract(asked.value, '$.seen_ids') AS seen_ids
        FROM json_each(:items) AS asked
    ),
    item AS MATERIALIZED (
        SELECT
            asked.*,
            (
                SELECT candidate.value
                FROM json_each(asked.tags) AS candidate
                ORDER BY
                    (
                        SELECT count(*) AS number
                        FROM (SELECT 1 AS one FROM es_event_tags AS tag WHERE tag.tag = candidate.value LIMIT 1000)
                    )
                LIMIT 1
            ) AS pivot
        FROM asked
    )"""

_READ: Final = f"""
WITH
    {_ITEMS},
    settled AS MATERIALIZED (
        SELECT coalesce(max(event.position), 0) AS position
        FROM es_events AS event
        WHERE event.position = :settled AND event.event_id = :settled_id
    ),
    found AS MATERIALIZED ({_FOUND}
    )
SELECT
    CAST(0 AS BIGINT) AS position,
    (
        SELECT
            json_group_array(
                (
                    SELECT json_group_array(DISTINCT found.position) AS positions
                    FROM found
                    WHERE found.number = item.number AND found.position > settled.position
                )
            ) AS seen
        FROM (SELECT number FROM item ORDER BY number) AS item
    ) AS stream_id,
    coalesce((SELECT max(tag.position) AS generation FROM es_event_tags AS tag WHERE tag.tag = ''), 0) AS version,
    CASE WHEN settled.position > 0 THEN :settled_id END AS event_id,
    CAST(settled.position AS TEXT) AS event_type,
    0 AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BLOB) AS data,
    CAST(NULL AS TEXT) AS metadata,
    NULL AS recorded_at
FROM settled
UNION ALL
SELECT matching.*
FROM (
    SELECT {{columns}}
    FROM es_events AS event
    WHERE event.position IN (SELECT found.position FROM found)
) AS matching
ORDER BY position
"""

_COMPARE: Final = f"""
WITH
    {_ITEMS}
SELECT
    {OF_THIS_LOG}
    AND NOT EXISTS (
        SELECT 1
        FROM item
        CROSS JOIN json_each(item.seen) AS seen
        CROSS JOIN json_each(item.seen_ids) AS seen_id ON seen_id.key = seen.key
        WHERE NOT EXISTS (
            SELECT 1 FROM es_events AS event WHERE event.position = seen.value AND event.event_id = seen_id.value
        )
    ) AS is_current,
    (
        SELECT min(change.position) AS position
        FROM (
            SELECT found.number, found.position
            FROM ({_FOUND}
            ) AS found
            EXCEPT
            SELECT item.number, seen.value
            FROM item
            CROSS JOIN json_each(item.seen) AS seen
        ) AS change
    ) AS changed
"""


def read_boundary_without_tags(tables: Tables) -> ClauseElement:
    """Return the events that match at least one item, in order, after a header: one snapshot of both.

    The header has the position 0; in `stream_id` a JSON array with, for each item, the positions of its events after
    the settled one; the generation in `version`; and the settled event in `event_id` and, as text, `event_type`.
    """
    return sql_text(_READ, tables, columns=EVENT_COLUMNS)


def compare_boundaries_without_tags(tables: Tables) -> ClauseElement:
    """Return whether boundaries are of this log, and the position of the first event that has changed one, or NULL."""
    return sql_text(_COMPARE, tables)
