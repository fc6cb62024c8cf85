"""The statement that finds the newest event."""

from sqlalchemy import select, true
from sqlalchemy.sql import ClauseElement

from eventstore.statements.global_order import newest_event
from eventstore.statements.pages import event_id_at
from eventstore.statements.sqlite.positions import last_number
from eventstore.tables import Tables


def look(tables: Tables) -> ClauseElement:
    """Return the newest event, and which events stand where they are known to be.

    The row: position, event id, stream id and version of the newest event, NULL if there is none; the ids of the events
    at `settled` and at `token_position`; the last position that was drawn, NULL if there was none.
    """
    newest = newest_event(tables)
    known = select(
        event_id_at(tables, "settled").label("settled_id"),
        event_id_at(tables, "token_position").label("token_id"),
        last_number(tables).label("drawn"),
    ).subquery("known")
    return select(*newest.c, *known.c).select_from(known.outerjoin(newest, true()))
