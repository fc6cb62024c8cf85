"""Statements that read one stream."""

from functools import cache
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Select, Text, bindparam, func, literal_column, select
from sqlalchemy.sql import ClauseElement

from eventstore.statements import Statement
from eventstore.statements.columns import event_columns
from eventstore.statements.detached import with_part_of_stream
from eventstore.tables import Tables


def stream_version(tables: Tables) -> ClauseElement:
    """Return the version of a stream; no row if it does not exist."""
    return select(tables.streams.c.version).where(tables.streams.c.stream_id == bindparam("stream_id"))


def newest_stored_version(tables: Tables) -> ClauseElement:
    """Return the largest version among the events of a stream, which may differ from that of its head."""
    return select(func.max(tables.events.c.version).label("version")).where(
        tables.events.c.stream_id == bindparam("stream_id")
    )


def read_forwards(tables: Tables) -> Select[Any]:
    """Return a page of a stream's events with after_version < version <= up_to_version, oldest first."""
    return _read_stream(tables).order_by(tables.events.c.version)


def read_page_forwards(tables: Tables) -> ClauseElement:
    """Return the page of `read_forwards`, and the row of `with_part_of_stream`."""
    return with_part_of_stream(tables, read_forwards(tables))


def read_page_backwards(tables: Tables) -> ClauseElement:
    """Return a page of the same events, newest first, and that row."""
    return with_part_of_stream(tables, _read_stream(tables).order_by(tables.events.c.version.desc()))


@cache
def read_page_of_types(count: int, *, backwards: bool) -> Statement:
    """Return the statement for a page of the same events, if their type is one of the parameters `event_type_0`, …."""
    event_types = [bindparam(f"event_type_{number}", type_=Text) for number in range(count)]

    def read_stream_of_types(tables: Tables) -> ClauseElement:
        version = tables.events.c.version
        page = _read_stream(tables).where(tables.events.c.event_type.in_(event_types))
        return with_part_of_stream(tables, page.order_by(version.desc() if backwards else version))

    return read_stream_of_types


def _read_stream(tables: Tables) -> Select[Any]:
    events = tables.events.c
    return (
        select(*event_columns(tables))
        .where(
            events.stream_id == bindparam("stream_id"),
            events.version > bindparam("after_version"),
            events.version <= bindparam("up_to_version"),
            *in_its_parts(tables),
        )
        .limit(bindparam("page_size", type_=BigInteger))
    )


def in_its_parts(tables: Tables) -> list[ColumnElement[bool]]:
    """Let PostgreSQL skip the parts of the log from before the stream, when it executes the statement."""
    if not tables.layout.is_partitioned:
        return []
    streams = tables.streams.c
    head = select(streams.after_position).where(streams.stream_id == bindparam("stream_id")).scalar_subquery()
    return [tables.events.c.position > func.coalesce(head, literal_column("0"))]
