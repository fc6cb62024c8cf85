"""Statements that append one event on PostgreSQL: head and event in one statement, without arrays.

Most appends hold one event. An array of one is made by the driver in Python and taken apart by the server, six times
for each event: that took as long as the rest of the append.

Each returns one row (version, position), or no row on a conflict.
"""

from typing import Any

from sqlalchemy import BigInteger, Integer, LargeBinary, SmallInteger, Text, Uuid, bindparam, cast, func, select
from sqlalchemy import insert as insert_into
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.dml import ReturningInsert, ReturningUpdate

from eventstore.statements.heads import advance_existing_head, advance_head, create_head, create_or_advance_head
from eventstore.statements.postgresql.notifications import channel_of
from eventstore.tables import Tables


def append_one_to_new(tables: Tables) -> ClauseElement:
    """Append to a stream that must not exist."""
    return _append_one(tables, create_head(tables))


def append_one_at_version(tables: Tables) -> ClauseElement:
    """Append to a stream that must be at a version."""
    return _append_one(tables, advance_head(tables))


def append_one_to_existing(tables: Tables) -> ClauseElement:
    """Append to a stream that must exist."""
    return _append_one(tables, advance_existing_head(tables))


def append_one_to_any(tables: Tables) -> ClauseElement:
    """Append to a stream whatever its version."""
    return _append_one(tables, create_or_advance_head(tables))


def append_one_to_new_and_notify(tables: Tables) -> ClauseElement:
    """Append to a stream that must not exist, and tell those who listen."""
    return _append_one(tables, create_head(tables), notify=True)


def append_one_at_version_and_notify(tables: Tables) -> ClauseElement:
    """Append to a stream that must be at a version, and tell those who listen."""
    return _append_one(tables, advance_head(tables), notify=True)


def append_one_to_existing_and_notify(tables: Tables) -> ClauseElement:
    """Append to a stream that must exist, and tell those who listen."""
    return _append_one(tables, advance_existing_head(tables), notify=True)


def append_one_to_any_and_notify(tables: Tables) -> ClauseElement:
    """Append to a stream whatever its version, and tell those who listen."""
    return _append_one(tables, create_or_advance_head(tables), notify=True)


def _append_one(
    tables: Tables, head_statement: ReturningInsert[Any] | ReturningUpdate[Any], *, notify: bool = False
) -> ClauseElement:
    """The position is drawn after the head's lock was taken: the INSERT reads from the head."""
    head = head_statement.cte("head")
    row: dict[str, Any] = {
        "stream_id": bindparam("stream_id", type_=Text),
        "version": cast(head.c.version, BigInteger),
        "event_id": bindparam("event_id", type_=Uuid),
        "event_type": bindparam("event_type", type_=Text),
        "schema_version": bindparam("schema_version", type_=Integer),
        "codec": bindparam("codec", type_=SmallInteger),
        "data": bindparam("data", type_=LargeBinary),
        "metadata": cast(bindparam("metadata", type_=Text), JSONB),
    }
    events = tables.events
    told = [func.pg_notify(channel_of(tables), "")] if notify else []
    return (
        insert_into(events)
        .from_select(list(row), select(*row.values()).select_from(head), include_defaults=False)
        .returning(events.c.version, events.c.position, *told)
    )
