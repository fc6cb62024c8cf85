"""Statements that notify of appends, and that name the channel."""

from typing import Final

from sqlalchemy import TextClause, text
from sqlalchemy.sql import ClauseElement

from eventstore.statements.postgresql.names import name_of_events
from eventstore.tables import Tables

_CHANNEL: Final = "concat('eventstore_', CAST(CAST(to_regclass(:name_of_es_events) AS OID) AS TEXT))"
"""Its name has the oid of the table, so that it is the same whether the schema was found by name or by search_path, and
is never too long."""

NOTIFICATION: Final = f"pg_notify({_CHANNEL}, '') AS notification"
"""A column that sends an empty notification when the transaction commits. PostgreSQL delivers equal ones only once."""


def notification_channel(tables: Tables) -> ClauseElement:
    """Return the channel of the notifications of a store's appends."""
    return text(f"SELECT {_CHANNEL} AS channel").bindparams(name_of_events(tables))


def notify(tables: Tables) -> ClauseElement:
    """Send a notification when the transaction commits."""
    return text(f"SELECT {NOTIFICATION}").bindparams(name_of_events(tables))


def notifications(tables: Tables, *, notify: bool) -> list[TextClause]:
    """Return the column `NOTIFICATION` if `notify`, otherwise no column."""
    return [text(NOTIFICATION).bindparams(name_of_events(tables))] if notify else []
