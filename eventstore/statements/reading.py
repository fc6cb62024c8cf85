"""Statements that read one stream."""

from typing import Any

from sqlalchemy import BigInteger, Select, bindparam, func, literal_column, select
from sqlalchemy.sql import ClauseElement

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


def read_backwards(tables: Tables) -> Select[Any]:
    """Return a page of the same events, newest first."""
    return _read_stream(tables).order_by(tables.events.c.version.desc())


def read_page_forwards(tables: Tables) -> ClauseElement:
    """Return the page of `read_forwards`, after the row that says if older events of the stream may be gone."""
    page = read_forwards(tables)
    with_part = with_part_of_stream(tables, page)
    return page if with_part is page else with_part.order_by(literal_column("version"))


def read_page_backwards(tables: Tables) -> ClauseElement:
    """Return the page of `read_backwards`, before that row."""
    page = read_backwards(tables)
    with_part = with_part_of_stream(tables, page)
    return page if with_part is page else with_part.order_by(literal_column("version").desc())


def _read_stream(tables: Tables) -> Select[Any]:
    events = tables.events.c
    return (
        select(*event_columns(tables))
        .where(
            events.stream_id == bindparam("stream_id"),
            events.version > bindparam("after_version"),
            events.version <= bindparam("up_to_version"),
        )
        .limit(bindparam("page_size", type_=BigInteger))
    )
