"""Statements that read consistency boundaries, and compare them.

The items of a boundary are JSON, so that one statement serves any number of items and tags.
"""

from typing import Any, Final

from sqlalchemy import BigInteger, Text
from sqlalchemy.sql import ClauseElement

from eventstore.statements.columns import EVENT_COLUMNS
from eventstore.statements.text import sql_text
from eventstore.tables import Tables

MATCHES: Final = """
                AND (item.types IS NULL OR tag.event_type = any(item.types))
                AND (
                    cardinality(item.tags) = 1
                    OR NOT EXISTS (
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
                )"""
"""Whether an event that was found by the pivot of an item matches it: it has all of its tags, and one of its types.

OFFSET 0 prevents a join by a scan of the whole table. A plan that was made for a rare tag may serve a frequent one."""

_LOCKS_ARE_HELD: Final = "current_setting('eventstore.tag_locks', true) <> ''"
"""Whether the statement that locks tags has run in this transaction. Behind a pooler that gives each statement to
another session, or reads to another server, it has not."""

OF_THIS_LOG: Final = (
    """CASE
            WHEN """
    + _LOCKS_ARE_HELD
    + """ THEN
                current_setting('transaction_isolation') = 'read committed'
                AND NOT EXISTS (
                    SELECT 1
                    FROM item
                    WHERE
                        item.position > 0
                        AND NOT EXISTS (
                            SELECT 1
                            FROM {events} AS event
                            WHERE event.position = item.position AND event.event_id = item.event_id
                            OFFSET 0
                        )
                )
                AND (:generation IS NULL OR :generation = coalesce((
                    SELECT max(tag.position) AS generation FROM {tags} AS tag WHERE tag.tag = ''
                ), 0))
        END"""
)
"""Whether the items of boundaries were read from this log, as it is now; NULL if nothing is locked."""

VERDICT: Final = (
    """item AS MATERIALIZED (
        SELECT item.tags, item.types, item.pivot, item.position, item.event_id
        FROM jsonb_to_recordset(CAST(:items AS JSONB))
            AS item(tags TEXT[], types TEXT[], pivot TEXT, position BIGINT, event_id UUID)
    ),
    compared AS MATERIALIZED (
        SELECT
            """
    + OF_THIS_LOG
    + """ AS is_current,
            (
                SELECT min(change.position) AS position
                FROM item
                JOIN LATERAL (
                    SELECT tag.position
                    FROM {tags} AS tag
                    WHERE
                        tag.tag = (item.pivot COLLATE "C")
                        AND tag.position > item.position"""
    + MATCHES
    + """
                    ORDER BY tag.position
                    LIMIT 1
                ) AS change ON true
            ) AS changed
    ),
    verdict AS MATERIALIZED (
        SELECT
            compared.is_current,
            compared.changed,
            compared.is_current AND compared.changed IS NULL AS is_accepted
        FROM compared
    )"""
)
"""CTEs that compare boundaries with the log, in the snapshot of the statement: they end with the row `verdict`."""

VERDICT_TYPES: Final[dict[str, Any]] = {"items": Text, "generation": BigInteger}

_VERDICT: Final = "WITH\n    " + VERDICT + "\nSELECT verdict.is_current, verdict.changed FROM verdict"

_READ: Final = (
    """
WITH
    item AS MATERIALIZED (
        SELECT
            item.number,
            item.tags,
            item.types,
            (
                SELECT candidate.name
                FROM unnest(item.tags) AS candidate(name)
                ORDER BY
                    (
                        SELECT count(*) AS number
                        FROM (
                            SELECT 1 AS one FROM {tags} AS tag
                            WHERE tag.tag = (candidate.name COLLATE "C") AND cardinality(item.tags) > 1
                            ORDER BY tag.tag, tag.position
                            LIMIT 1000
                        ) AS counted
                    ),
                    candidate.name
                LIMIT 1
            ) AS pivot
        FROM jsonb_to_recordset(CAST(:items AS JSONB)) AS item(number INTEGER, tags TEXT[], types TEXT[])
    ),
    last AS MATERIALIZED (
        SELECT
            item.number,
            item.pivot,
            newest.position,
            (SELECT event.event_id FROM {events} AS event WHERE event.position = newest.position) AS event_id
        FROM item
        LEFT JOIN LATERAL (
            SELECT tag.position
            FROM {tags} AS tag
            WHERE tag.tag = (item.pivot COLLATE "C")
            ORDER BY tag.position DESC
            LIMIT 1
        ) AS newest ON true
    ),
    matched AS MATERIALIZED (
        SELECT DISTINCT found.position
        FROM item
        JOIN LATERAL (
            SELECT tag.position
            FROM {tags} AS tag
            WHERE
                tag.tag >= (item.pivot COLLATE "C")
                AND tag.tag <= (item.pivot COLLATE "C")"""
    + MATCHES
    + """
            ORDER BY tag.tag, tag.position
            OFFSET 0
        ) AS found ON true
    )
SELECT
    CAST(0 AS BIGINT) AS position,
    (
        SELECT
            CAST(
                jsonb_agg(jsonb_build_array(last.pivot, last.position, last.event_id) ORDER BY last.number) AS TEXT
            ) AS ends
        FROM last
    ) AS stream_id,
    coalesce((SELECT max(tag.position) AS generation FROM {tags} AS tag WHERE tag.tag = ''), 0) AS version,
    CAST(NULL AS UUID) AS event_id,
    CAST(NULL AS TEXT) AS event_type,
    (SELECT CAST(count(*) AS INTEGER) AS number FROM matched) AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BYTEA) AS data,
    CAST(NULL AS TEXT) AS metadata,
    CAST(NULL AS TIMESTAMPTZ) AS recorded_at
UNION ALL
SELECT found.*
FROM matched
JOIN LATERAL (SELECT {columns} FROM {events} AS event WHERE event.position = matched.position LIMIT 1) AS found ON true
ORDER BY position
"""
)


def read_boundary(tables: Tables) -> ClauseElement:
    """Return the events that match at least one item, in order, after a header: one snapshot of both.

    The header has the position 0, a JSON array in `stream_id`, the generation in `version`, and in `schema_version` how
    many events match by their tags: if more than are returned, the others were detached. The array has, for each
    item, its pivot, and position and id of the last event with that tag, matching or not; NULL if there is none. The
    pivot is the rarest of its tags, counted up to 1,000, so that the lookup of a tag that most events have is avoided.

    If nearly all rows have the same tag, the planner would estimate that each tag has as many, and scan the whole
    table for it. So lookups ask for the order of the index, and the one without a limit for a range of tags, which is
    estimated to be small.
    """
    return sql_text(_READ, tables, types={"items": Text}, columns=EVENT_COLUMNS)


def compare_boundaries(tables: Tables) -> ClauseElement:
    """Return whether boundaries are of this log, and the position of the first event that has changed one, or NULL.

    The first is NULL if no tags were locked in this transaction.
    """
    return sql_text(_VERDICT, tables, types=VERDICT_TYPES)
