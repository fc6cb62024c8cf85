"""Statements about the events of boundaries that both databases understand."""

from sqlalchemy import BigInteger, bindparam, select
from sqlalchemy.sql import ClauseElement

from eventstore.statements.text import sql_text
from eventstore.tables import Tables


def find_event_at(tables: Tables) -> ClauseElement:
    """Return (stream id, event type) of the event at a position; no row if there is none."""
    events = tables.events.c
    return select(events.stream_id, events.event_type).where(events.position == bindparam("position", type_=BigInteger))


def raise_generation(tables: Tables) -> ClauseElement:
    """Store the next generation of es_event_tags, a row with the empty tag, which no event has."""
    sql = """
INSERT INTO {tags} (position, tag, event_type)
SELECT coalesce(max(tag.position), 0) + 1 AS position, '' AS tag, '' AS event_type
FROM {tags} AS tag
WHERE tag.tag = ''
"""
    return sql_text(sql, tables)
