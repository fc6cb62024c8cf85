"""Statements that read one part of the log, by the name of its table, whether it is attached or detached."""

from functools import lru_cache

from sqlalchemy import BigInteger, Text
from sqlalchemy.sql import ClauseElement

from eventstore.statements import Statement
from eventstore.statements.columns import EVENT_COLUMNS
from eventstore.statements.text import sql_text
from eventstore.tables import Tables
from eventstore.tables.names import qualified_name


@lru_cache(maxsize=64)  # of the names of parts
def page_of_part(name: str) -> Statement:
    """Return the statement for a page of the events of a part after a position, in order of position."""

    def read_page_of_part(tables: Tables) -> ClauseElement:
        sql = """
SELECT {columns}
FROM {part} AS event
WHERE event.position > :after_position
ORDER BY event.position
LIMIT :page_size
"""
        return _of_part(sql, tables, name, after_position=BigInteger, page_size=BigInteger)

    return read_page_of_part


@lru_cache(maxsize=64)
def page_of_part_by_stream(name: str) -> Statement:
    """Return the statement for a page of the events of a part after a key, in order of stream id and version."""

    def read_page_of_part_by_stream(tables: Tables) -> ClauseElement:
        sql = """
SELECT {columns}
FROM {part} AS event
WHERE (event.stream_id, event.version) > (:after_stream_id, :after_version)
ORDER BY event.stream_id, event.version
LIMIT :page_size
"""
        types = {"after_stream_id": Text, "after_version": BigInteger, "page_size": BigInteger}
        return _of_part(sql, tables, name, **types)

    return read_page_of_part_by_stream


@lru_cache(maxsize=64)
def ends_of_part(name: str) -> Statement:
    """Return the statement for (number of events, first position, last position) of a part; NULL if it has none."""

    def read_ends_of_part(tables: Tables) -> ClauseElement:
        sql = """
SELECT count(*) AS events, min(event.position) AS first_position, max(event.position) AS last_position
FROM {part} AS event
"""
        return _of_part(sql, tables, name)

    return read_ends_of_part


def _of_part(sql: str, tables: Tables, name: str, **types: type) -> ClauseElement:
    part = qualified_name(tables.events, name).replace(":", r"\:")
    return sql_text(sql, tables, types=types, part=part, columns=EVENT_COLUMNS)
