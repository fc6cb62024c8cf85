"""Statements that keep the rows of es_event_tags in step with the tags in the metadata of events."""

from typing import Final

from sqlalchemy import ARRAY, BigInteger, Text, Uuid
from sqlalchemy.sql import ClauseElement

from eventstore.statements.text import sql_text, table_name
from eventstore.tables import Tables

_INSERT_TAGS: Final = """
INSERT INTO {tags} (position, tag, event_type)
SELECT event.position, wanted.tag, event.event_type
FROM unnest(:stream_ids, :versions, :tags) AS wanted(stream_id, version, tag)
JOIN LATERAL (
    SELECT event.position, event.event_type
    FROM {events} AS event
    WHERE event.stream_id = (wanted.stream_id COLLATE "C") AND event.version = wanted.version
    LIMIT 1
) AS event ON true
ON CONFLICT (tag, position) DO NOTHING
"""


def insert_tags(tables: Tables) -> ClauseElement:
    """Store tags of stored events, in arrays of stream ids, versions and tags."""
    types = {"stream_ids": ARRAY(Text), "versions": ARRAY(BigInteger), "tags": ARRAY(Text)}
    return sql_text(_INSERT_TAGS, tables, types=types)


TAGS_OF_EVENT: Final = """jsonb_array_elements_text(
        CASE jsonb_typeof(event.metadata -> '$tags') WHEN 'array' THEN event.metadata -> '$tags' ELSE '[]' END
    )"""
"""The tags in the metadata of an event, as rows."""

_FIND: Final = """
SELECT 1 AS found
FROM {events} AS event
WHERE event.stream_id = :stream_id AND event.version < :before_version AND event.metadata -> '$tags' IS NOT NULL
LIMIT 1
"""

_DELETE: Final = (
    """
DELETE FROM {tags} AS tag
USING {events} AS event
CROSS JOIN LATERAL """
    + TAGS_OF_EVENT
    + """ AS own(name)
WHERE
    event.stream_id = :stream_id
    AND event.version < :before_version
    AND tag.tag = (own.name COLLATE "C")
    AND tag.position = event.position
"""
)


def find_tagged_event(tables: Tables) -> ClauseElement:
    """Return a row if an event of a stream before a version has tags."""
    return sql_text(_FIND, tables, types={"stream_id": Text, "before_version": BigInteger})


def delete_tags(tables: Tables) -> ClauseElement:
    """Delete the tags of the events of a stream before a version."""
    return sql_text(_DELETE, tables, types={"stream_id": Text, "before_version": BigInteger})


# --- verify, repair and fill

_MISSING: Final = (
    """
SELECT event.position, event.stream_id, event.version, count(*) AS number
FROM {events} AS event
CROSS JOIN LATERAL """
    + TAGS_OF_EVENT
    + """ AS own(name)
WHERE
    event.position > :after_position
    AND event.position <= :up_to_position
    AND event.metadata -> '$tags' IS NOT NULL
    AND NOT EXISTS (
        SELECT 1
        FROM {tags} AS tag
        WHERE tag.tag = (own.name COLLATE "C") AND tag.position = event.position AND tag.event_type = event.event_type
    )
GROUP BY event.position, event.stream_id, event.version
ORDER BY event.position
"""
)

_PAGE: Final = """
SELECT
    tag.tag,
    tag.position,
    coalesce(
        (
            SELECT event.event_type = tag.event_type AND event.metadata -> '$tags' ? tag.tag AS is_right
            FROM {events} AS event
            WHERE event.position = tag.position
        ),
        {is_detached}
    ) AS is_right
FROM {tags} AS tag
WHERE (tag.tag, tag.position) > (:after_tag COLLATE "C", :after_position)
ORDER BY tag.tag, tag.position
LIMIT :page_size
"""

_DELETE_SUPERFLUOUS: Final = """
DELETE FROM {tags} AS tag
WHERE
    tag.tag <> ''
    AND NOT EXISTS (
        SELECT 1
        FROM {events} AS event
        WHERE
            event.position = tag.position
            AND event.event_type = tag.event_type
            AND event.metadata -> '$tags' ? tag.tag
    )
"""

_IS_DETACHED: Final = """EXISTS (
            SELECT 1
            FROM {detached_parts} AS part
            WHERE tag.position BETWEEN part.first_position AND part.last_position
        )"""

_RESTORE: Final = (
    """
INSERT INTO {tags} (position, tag, event_type)
SELECT event.position, own.name AS tag, event.event_type
FROM {events} AS event
CROSS JOIN LATERAL """
    + TAGS_OF_EVENT
    + """ AS own(name)
WHERE event.position = any(:positions) AND event.metadata -> '$tags' IS NOT NULL
ON CONFLICT (tag, position) DO NOTHING
"""
)

_SET: Final = """
UPDATE {events} AS event
SET metadata = jsonb_set(coalesce(event.metadata, CAST('{{}}' AS JSONB)), '{{$tags}}', CAST(wanted.tags AS JSONB))
FROM unnest(:positions, :event_ids, :tags_before, :tags) AS wanted(position, event_id, tags_before, tags)
WHERE
    event.position = wanted.position
    AND event.event_id = wanted.event_id
    AND coalesce(event.metadata -> '$tags', CAST('[]' AS JSONB)) = CAST(wanted.tags_before AS JSONB)
RETURNING event.position
"""


def missing_tags(tables: Tables) -> ClauseElement:
    """Return (position, stream id, version, number of tags) of the events in a range whose tags are not all stored."""
    return sql_text(_MISSING, tables, types={"after_position": BigInteger, "up_to_position": BigInteger})


def page_of_tags(tables: Tables) -> ClauseElement:
    """Return (tag, position, whether the event has it, or was detached) of a page of tags, in this order."""
    types = {"after_tag": Text, "after_position": BigInteger, "page_size": BigInteger}
    return sql_text(_PAGE, tables, types=types, is_detached=_is_detached(tables))


def delete_superfluous_tags(tables: Tables) -> ClauseElement:
    """Delete the rows that no event has, by its metadata and type, except those of events that were detached."""
    and_not_detached = f"    AND NOT {_is_detached(tables)}" if tables.layout.is_partitioned else ""
    return sql_text(_DELETE_SUPERFLUOUS + and_not_detached, tables)


def _is_detached(tables: Tables) -> str:
    if not tables.layout.is_partitioned:
        return "false"
    return _IS_DETACHED.format(detached_parts=table_name(tables.detached_parts))


def restore_tags(tables: Tables) -> ClauseElement:
    """Store the tags of the events at some positions that their metadata has and that are not stored."""
    return sql_text(_RESTORE, tables, types={"positions": ARRAY(BigInteger)})


def set_tags(tables: Tables) -> ClauseElement:
    """Set the tags in the metadata of events, given as JSON arrays, if they are still those before; return positions.

    History changes must be permitted.
    """
    types = {
        "positions": ARRAY(BigInteger),
        "event_ids": ARRAY(Uuid),
        "tags_before": ARRAY(Text),
        "tags": ARRAY(Text),
    }
    return sql_text(_SET, tables, types=types)
