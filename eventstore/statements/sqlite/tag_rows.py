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
