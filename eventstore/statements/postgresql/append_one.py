"""The statement that appends one event, without arrays.

Most appends have one event. With arrays, the driver makes six arrays of one item in Python, and the server takes them
apart, which took as long as the rest of the append.
"""

from functools import cache
from typing import Any

from sqlalchemy import BigInteger, Integer, LargeBinary, SmallInteger, Text, Uuid, bindparam, cast, select
from sqlalchemy import insert as insert_into
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql import ClauseElement

from eventstore.statements import Statement
from eventstore.statements.heads import write_head
from eventstore.streams import Expectation
from eventstore.tables import Tables


@cache
def append_one(expectation: Expectation) -> Statement:
    """Return the statement that appends one event to a stream: its head and the event.

    It returns one row (version, position), or no row on a conflict. The position is drawn after the head was locked,
    because the INSERT reads from the head.
    """

    def append_one_event(tables: Tables) -> ClauseElement:
        head = write_head(expectation)(tables).cte("head")
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
        return (
            insert_into(events)
            .from_select(
                list(row),
                select(*(value.label(name) for name, value in row.items())).select_from(head),
                include_defaults=False,
            )
            .returning(events.c.version, events.c.position)
        )

    return append_one_event
