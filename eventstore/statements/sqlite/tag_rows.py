"""Statements that keep the rows of es_event_tags in step with the tags in the metadata of events."""

from typing import Final

from sqlalchemy.sql import ClauseElement

from eventstore.statements.text import sql_text
from eventstore.tables import Tables

TAGS_OF_EVENT: Final = """json_each(event.metadata, '$."$tags"')"""
"""The tags in the metadata of an event, as rows."""

_FIND: Final = """
SELECT 1 AS found
FROM {events} AS event
WHERE
    event.stream_id = :stream_id
    AND event.version < :before_version
    AND json_type(event.metadata, '$."$tags"') IS NOT NULL
LIMIT 1
"""

_DELETE: Final = (
    """
DELETE FROM {tags}
WHERE (tag, position) IN (
    SELECT own.value, event.position
    FROM {events} AS event, """
    + TAGS_OF_EVENT
    + """ AS own
    WHERE event.stream_id = :stream_id AND event.version < :before_version
)
"""
)


def insert_tag(tables: Tables) -> ClauseElement:
    """Store a tag of a stored event (by executemany)."""
    sql = """
INSERT OR IGNORE INTO {tags} (position, tag, event_type)
SELECT event.position, :tag AS tag, event.event_type
FROM {events} AS event
WHERE event.stream_id = :stream_id AND event.version = :version
"""
    return sql_text(sql, tables)


def find_tagged_event(tables: Tables) -> ClauseElement:
    """Return a row if an event of a stream before a version has tags."""
    return sql_text(_FIND, tables)


def delete_tags(tables: Tables) -> ClauseElement:
    """Delete the tags of the events of a stream before a version."""
    return sql_text(_DELETE, tables)


# --- verify, repair and fill

_HAS_TAG: Final = f"""
        SELECT 1
        FROM {{events}} AS event, {TAGS_OF_EVENT} AS own
        WHERE event.position = tag.position AND event.event_type = tag.event_type AND own.value = tag.tag
"""

_MISSING: Final = f"""
SELECT event.position, event.stream_id, event.version, count(*) AS number
FROM {{events}} AS event, {TAGS_OF_EVENT} AS own
WHERE
    event.position > :after_position
    AND event.position <= :up_to_position
    AND NOT EXISTS (
        SELECT 1
        FROM {{tags}} AS tag
        WHERE tag.tag = own.value AND tag.position = event.position AND tag.event_type = event.event_type
    )
GROUP BY event.position, event.stream_id, event.version
ORDER BY event.position
"""

_PAGE: Final = f"""
SELECT tag.tag, tag.position, EXISTS ({_HAS_TAG}) AS is_right
FROM {{tags}} AS tag
WHERE (tag.tag, tag.position) > (:after_tag, :after_position)
ORDER BY tag.tag, tag.position
LIMIT :page_size
"""

_DELETE_SUPERFLUOUS: Final = f"""
DELETE FROM {{tags}} AS tag
WHERE tag.tag <> '' AND NOT EXISTS ({_HAS_TAG})
"""

_RESTORE: Final = f"""
INSERT OR IGNORE INTO {{tags}} (position, tag, event_type)
SELECT event.position, own.value AS tag, event.event_type
FROM {{events}} AS event, {TAGS_OF_EVENT} AS own
WHERE event.position IN (SELECT wanted.value FROM json_each(:positions) AS wanted)
"""

_SET: Final = f"""
UPDATE {{events}} AS event
SET metadata = json_set(coalesce(event.metadata, '{{{{}}}}'), '$."$tags"', json(:tags))
WHERE
    event.position = :at_position
    AND event.event_id = :event_id
    AND (SELECT json_group_array(own.value) AS tags FROM {TAGS_OF_EVENT} AS own)
        = (SELECT json_group_array(before.value) AS tags FROM json_each(:tags_before) AS before)
RETURNING position
"""


def missing_tags(tables: Tables) -> ClauseElement:
    """Return (position, stream id, version, number of tags) of the events in a range whose tags are not all stored."""
    return sql_text(_MISSING, tables)


def page_of_tags(tables: Tables) -> ClauseElement:
    """Return (tag, position, whether the event has it) of a page of tags, in this order."""
    return sql_text(_PAGE, tables)


def delete_superfluous_tags(tables: Tables) -> ClauseElement:
    """Delete the rows that no event has, by its metadata and type."""
    return sql_text(_DELETE_SUPERFLUOUS, tables)


def restore_tags(tables: Tables) -> ClauseElement:
    """Store the tags of the events at some positions (JSON) that their metadata has and that are not stored."""
    return sql_text(_RESTORE, tables)


def set_tags(tables: Tables) -> ClauseElement:
    """Set the tags in the metadata of an event, a JSON array, if they are still those before; return its position.

    History changes must be permitted.
    """
    return sql_text(_SET, tables)
