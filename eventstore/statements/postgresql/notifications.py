"""Statements that notify: on which channel, and that a store has appended."""

from typing import Final

from sqlalchemy import TextClause, text
from sqlalchemy.sql import ClauseElement

from eventstore.statements.postgresql.names import name_of_events
from eventstore.tables import Tables

_CHANNEL: Final = "concat('eventstore_', CAST(CAST(to_regclass(:name_of_es_events) AS OID) AS TEXT))"
"""It has the number of the table in its name, so that it is the same however the schema was found, by name or by
search_path; and no schema's name is too long for it."""

NOTIFICATION: Final = f"pg_notify({_CHANNEL}, '') AS notification"
"""A column that sends an empty notification when the transaction commits; of several, PostgreSQL delivers one."""


def notification_channel(tables: Tables) -> ClauseElement:
    """Return the channel on which a store's appends are told."""
    return text(f"SELECT {_CHANNEL} AS channel").bindparams(name_of_events(tables))


def notify(tables: Tables) -> ClauseElement:
    """Send a notification when the transaction commits."""
    return text(f"SELECT {NOTIFICATION}").bindparams(name_of_events(tables))


def notifications(tables: Tables, *, notify: bool) -> list[TextClause]:
    """Return the column `NOTIFICATION`, or none: for statements that notify if they are asked to."""
    return [text(NOTIFICATION).bindparams(name_of_events(tables))] if notify else []
