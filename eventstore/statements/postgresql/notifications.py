"""Notifications of PostgreSQL: on which channel a store's appends are told."""

from sqlalchemy import ColumnElement, Text, cast, func, select
from sqlalchemy.dialects.postgresql import OID
from sqlalchemy.sql import ClauseElement

from eventstore.statements.postgresql.names import name_of_events
from eventstore.tables import Tables


def notification_channel(tables: Tables) -> ClauseElement:
    """Return the channel."""
    return select(channel_of(tables))


def notify(tables: Tables) -> ClauseElement:
    """Send an empty notification when the transaction commits; of several, PostgreSQL delivers one."""
    return select(func.pg_notify(channel_of(tables), ""))


def channel_of(tables: Tables) -> ColumnElement[str]:
    """Return the channel as a SQL expression.

    It has the number of the table in its name, so that it is the same however the schema was found, by name or by
    search_path; and no schema's name is too long for it.
    """
    number = cast(cast(func.to_regclass(name_of_events(tables)), OID), Text)
    return func.concat("eventstore_", number)
