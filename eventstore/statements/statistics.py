"""Statements that count, and that estimate if counting would take long."""

from functools import cache

from sqlalchemy import BigInteger, bindparam, func, literal_column, select
from sqlalchemy.sql import ClauseElement

from eventstore.statements import Statement
from eventstore.tables import Tables, now


@cache
def count_rows(table_name: str) -> Statement:
    """Return the statement that counts the rows of a table, named as an attribute of `Tables`."""

    def count_rows_of_table(tables: Tables) -> ClauseElement:
        return select(func.count().label("rows")).select_from(getattr(tables, table_name))

    return count_rows_of_table


def streams_by_category(tables: Tables) -> ClauseElement:
    """Return (category, how many streams)."""
    category = tables.streams.c.category
    return select(category, func.count().label("streams")).group_by(category)


def events_by_category_and_type(tables: Tables) -> ClauseElement:
    """Return (category, event type, how many events)."""
    kind = (tables.events.c.category, tables.events.c.event_type)
    return select(*kind, func.count().label("events")).group_by(*kind)


def sample_categories_and_types(tables: Tables) -> ClauseElement:
    """Return (category, event type, how many events) of a sample of events that are `stride` positions apart."""
    events = tables.events.c
    stride = bindparam("stride", type_=BigInteger)
    sample = select(func.min(events.position).label("position")).cte("sample", recursive=True)
    following = (
        select(func.min(events.position).label("position"))
        .where(events.position >= sample.c.position + stride)
        .scalar_subquery()
    )
    sample = sample.union_all(select(following.label("position")).where(sample.c.position.is_not(None)))
    kind = (events.category, events.event_type)
    return (
        select(*kind, func.count().label("events"))
        .where(events.position.in_(select(sample.c.position).where(sample.c.position.is_not(None))))
        .group_by(*kind)
    )


def count_events_since(tables: Tables) -> ClauseElement:
    """Return how many events were recorded since a time, counting up to a limit."""
    some = (
        select(literal_column("1").label("event"))
        .select_from(tables.events)
        .where(tables.events.c.recorded_at >= bindparam("since"))
        .limit(bindparam("at_most", type_=BigInteger))
        .subquery("counted")
    )
    return select(func.count().label("events")).select_from(some)


def time_now(_: Tables) -> ClauseElement:
    """Return the time, by the database's clock."""
    return select(now().label("now"))
