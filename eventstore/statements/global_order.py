"""Statements about the global order."""

from typing import Any

from sqlalchemy import BigInteger, Select, bindparam, func, literal_column, select
from sqlalchemy.sql import ClauseElement

from eventstore.statements.columns import event_columns
from eventstore.statements.deletion import TOMBSTONE_TYPES
from eventstore.tables import Tables


def newest_position(tables: Tables) -> Select[Any]:
    """Return the largest visible position; 0 if there is none."""
    return select(func.coalesce(func.max(tables.events.c.position), literal_column("0")).label("position"))


def tombstone_after(tables: Tables) -> ClauseElement:
    """Return the position of the last tombstone of a stream after a version; no row if there is none.

    A tombstone replaces the events before it, which were deleted.
    """
    events = tables.events.c
    return (
        select(events.position)
        .where(
            events.stream_id == bindparam("stream_id"),
            events.version > bindparam("version", type_=BigInteger),
            events.event_type.in_(TOMBSTONE_TYPES),
        )
        .order_by(events.version.desc())
        .limit(literal_column("1"))
    )


def first_event_from(tables: Tables) -> ClauseElement:
    """Return (position, event id, stream id, version) of the first event at or after a position; no row if none is."""
    events = tables.events.c
    return (
        select(events.position, events.event_id, events.stream_id, events.version)
        .where(events.position >= bindparam("position", type_=BigInteger))
        .order_by(events.position)
        .limit(literal_column("1"))
    )


def page_of_events(tables: Tables) -> Select[Any]:
    """Return a page of all events with after_position < position <= up_to_position, in order."""
    position = tables.events.c.position
    return (
        select(*event_columns(tables))
        .where(position > bindparam("after_position"), position <= bindparam("up_to_position"))
        .order_by(position)
        .limit(bindparam("page_size", type_=BigInteger))
    )
