"""Statements that store payloads again by another codec."""

from sqlalchemy import BigInteger, Integer, LargeBinary, bindparam, select, update
from sqlalchemy.sql import ClauseElement

from eventstore.tables import Tables


def payloads_of_other_codecs(tables: Tables) -> ClauseElement:
    """Return payloads that were not written by a codec, in the order of their positions.

    The columns: position, event type, codec, data.
    """
    events = tables.events.c
    return (
        select(events.position, events.event_type, events.codec, events.data)
        .where(
            events.position > bindparam("after_position", type_=BigInteger),
            events.position <= bindparam("up_to_position", type_=BigInteger),
            events.codec != bindparam("codec", type_=Integer),
        )
        .order_by(events.position)
        .limit(bindparam("page_size", type_=BigInteger))
    )


def write_payload(tables: Tables) -> ClauseElement:
    """Replace the payload of an event, unless its codec has changed since it was read; return its position."""
    events = tables.events
    return (
        update(events)
        .where(
            events.c.position == bindparam("at_position", type_=BigInteger),
            events.c.codec == bindparam("old_codec", type_=Integer),
        )
        .values(codec=bindparam("new_codec", type_=Integer), data=bindparam("new_data", type_=LargeBinary))
        .returning(events.c.position)
    )
