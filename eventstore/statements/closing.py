"""Statements that end streams."""

from typing import Final

from sqlalchemy import ColumnElement, Text, and_, bindparam, case, literal_column, select
from sqlalchemy import delete as delete_from
from sqlalchemy import update as update_table
from sqlalchemy.sql import ClauseElement

from eventstore.events import CLOSING_ERRORS
from eventstore.tables import ENDS, Tables, now

CLOSING_TYPES: Final[list[ColumnElement[str]]] = [literal_column(f"'{event_type}'") for event_type in CLOSING_ERRORS]


def find_end(tables: Tables) -> ClauseElement:
    """Return (version, event type, codec, data) of a stream; no row if it does not exist.

    The event type is that of the event that has ended the stream, else NULL. The last two are that event's; they are
    NULL if it is gone, or there is none.
    """
    streams, events = tables.streams, tables.events
    newest = and_(
        events.c.stream_id == streams.c.stream_id,
        events.c.version == streams.c.version,
        events.c.event_type.in_(CLOSING_TYPES),
    )
    ends = zip(ENDS, CLOSING_TYPES, strict=True)
    ended = [(streams.c[name].is_not(None), event_type) for name, event_type in ends]
    event_type = case(*ended, else_=events.c.event_type) if tables.streams_can_end else events.c.event_type
    return (
        select(streams.c.version, event_type.label("event_type"), events.c.codec, events.c.data)
        .select_from(streams.outerjoin(events, newest))
        .where(streams.c.stream_id == bindparam("stream_id"))
    )


def delete_events(tables: Tables) -> ClauseElement:
    """Delete the events of a stream before a version. History must be permitted to change."""
    events = tables.events
    return delete_from(events).where(
        events.c.stream_id == bindparam("stream_id"), events.c.version < bindparam("before_version")
    )


def mark_archived(tables: Tables) -> ClauseElement:
    """Say that a stream has ended at its version, because its events were archived."""
    return _mark(tables, "archived_version")


def mark_deleted(tables: Tables) -> ClauseElement:
    """Say that a stream has ended at its version, because it was deleted."""
    return _mark(tables, "deleted_version")


def _mark(tables: Tables, column: str) -> ClauseElement:
    streams = tables.streams
    of_stream = streams.c.stream_id == bindparam("stream_id")
    return update_table(streams).where(of_stream).values({column: streams.c.version})


def discard_dead_letters_of_stream(tables: Tables) -> ClauseElement:
    """Discard what is pending of a stream, in every projection: its events are gone."""
    letters = tables.dead_letters
    pending = letters.c.status == literal_column("'pending'")
    return (
        update_table(letters)
        .where(pending, letters.c.stream_id == bindparam("stream_id"))
        .values(status=literal_column("'discarded'"), closed_at=now(), note=bindparam("note", type_=Text))
    )
