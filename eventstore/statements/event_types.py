"""Statements that find the event types in the log.

With the index (event_type, position) each row costs one lookup, however many events there are.
"""

from sqlalchemy import BigInteger, Text, bindparam, cast, func, select
from sqlalchemy.sql import ClauseElement

from eventstore.statements.columns import event_columns
from eventstore.tables import Tables


def event_type_spans(tables: Tables) -> ClauseElement:
    """Return (event_type, first position, last position) of each event type, in order, by a loose index scan."""
    events = tables.events.c
    first_type = select(func.min(events.event_type).label("event_type")).cte("present", recursive=True)
    next_type = (
        select(func.min(events.event_type).label("event_type"))
        .where(events.event_type > first_type.c.event_type)
        .scalar_subquery()
    )
    present = first_type.union_all(select(next_type.label("event_type")).where(first_type.c.event_type.is_not(None)))
    spans = [
        select(end(events.position).label("position"))
        .where(events.event_type == present.c.event_type)
        .scalar_subquery()
        .label(name)
        for name, end in (("first_position", func.min), ("last_position", func.max))
    ]
    return select(present.c.event_type, *spans).where(present.c.event_type.is_not(None)).order_by(present.c.event_type)


def sample_events(tables: Tables) -> ClauseElement:
    """Return events of a type from `first` to `last`, at least `stride` positions apart, and the last one."""
    events = tables.events.c
    last = bindparam("last", type_=BigInteger)
    sample = select(cast(bindparam("first", type_=BigInteger), BigInteger).label("position")).cte(
        "sample", recursive=True
    )
    following = (
        select(func.min(events.position).label("position"))
        .where(
            events.event_type == bindparam("event_type", type_=Text),
            events.position >= sample.c.position + bindparam("stride", type_=BigInteger),
            events.position <= last,
        )
        .scalar_subquery()
    )
    sample = sample.union_all(select(func.coalesce(following, last).label("position")).where(sample.c.position < last))
    return (
        select(*event_columns(tables)).where(events.position.in_(select(sample.c.position))).order_by(events.position)
    )
