"""Statements that notify of appends, and that name the channel."""

from typing import Final

from sqlalchemy import text
from sqlalchemy.sql import ClauseElement

from eventstore.statements.postgresql.names import name_of_events
from eventstore.tables import Tables

_CHANNEL: Final = "concat('eventstore_', CAST(CAST(to_regclass(:name_of_es_events) AS OID) AS TEXT))"
"""Its name has the oid of the table, so that it is the same whether the schema was found by name or by search_path, and
is never too long."""


def notification_channel(tables: Tables) -> ClauseElement:
    """Return the channel of the notifications of a store's appends."""
    return text(f"SELECT {_CHANNEL} AS channel").bindparams(name_of_events(tables))


def notify(tables: Tables) -> ClauseElement:
    """Send an empty notification when the transaction commits. PostgreSQL delivers equal ones only once."""
    return text(f"SELECT pg_notify({_CHANNEL}, '') AS notification").bindparams(name_of_events(tables))
