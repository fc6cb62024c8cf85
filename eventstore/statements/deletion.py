"""Statements that delete and archive streams."""

from typing import Final

from sqlalchemy import ColumnElement, Text, and_, bindparam, case, literal_column, select
from sqlalchemy import delete as delete_from
from sqlalchemy import update as update_table
from sqlalchemy.sql import ClauseElement

from eventstore.events import TOMBSTONE_ERRORS
from eventstore.tables import ENDS, Tables, now

TOMBSTONE_TYPES: Final[list[ColumnElement[str]]] = [
    literal_column(f"'{event_type}'") for event_type in TOMBSTONE_ERRORS
]


def find_tombstone(tables: Tables) -> ClauseElement:
    """Return (version of the stream, event type, codec, data of its tombstone); no row if the stream does not exist.

    The event type is NULL if the stream has no tombstone. Codec and data are NULL also if the tombstone was deleted.
    """
    streams, events = tables.streams, tables.events
    newest = and_(
        events.c.stream_id == streams.c.stream_id,
        events.c.version == streams.c.version,
        events.c.event_type.in_(TOMBSTONE_TYPES),
    )
    ends = zip(ENDS, TOMBSTONE_TYPES, strict=True)
    by_column = [(streams.c[name].is_not(None), event_type) for name, event_type in ends]
    event_type = case(*by_column, else_=events.c.event_type) if tables.layout.streams_can_end else events.c.event_type
    return (
        select(streams.c.version, event_type.label("event_type"), events.c.codec, events.c.data)
        .select_from(streams.outerjoin(events, newest))
        .where(streams.c.stream_id == bindparam("stream_id"))
    )


def delete_events(tables: Tables) -> ClauseElement:
    """Delete the events of a stream before a version. The transaction must be permitted to change history."""
    events = tables.events
    return delete_from(events).where(
        events.c.stream_id == bindparam("stream_id"), events.c.version < bindparam("before_version")
    )


def mark_archived(tables: Tables) -> ClauseElement:
    """Record in the head that the stream was archived at its version."""
    return _mark(tables, "archived_version")


def mark_deleted(tables: Tables) -> ClauseElement:
    """Record in the head that the stream was deleted at its version."""
    return _mark(tables, "deleted_version")


def _mark(tables: Tables, column: str) -> ClauseElement:
    streams = tables.streams
    of_stream = streams.c.stream_id == bindparam("stream_id")
    return update_table(streams).where(of_stream).values({column: streams.c.version})


def discard_dead_letters_of_stream(tables: Tables) -> ClauseElement:
    """Discard the pending dead letters of a stream, in every projection, because its events are gone."""
    letters = tables.dead_letters
    pending = letters.c.status == literal_column("'pending'")
    return (
        update_table(letters)
        .where(pending, letters.c.stream_id == bindparam("stream_id"))
        .values(status=literal_column("'discarded'"), closed_at=now(), note=bindparam("note", type_=Text))
    )
