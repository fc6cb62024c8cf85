"""Statements that read a page of the global order."""

from collections.abc import Callable
from functools import cache
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Select, Text, bindparam, func, literal_column, null, select
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.selectable import TableValuedAlias

from eventstore.common.validation import MAX_VERSION
from eventstore.filters import FIELDS
from eventstore.statements.columns import event_columns
from eventstore.statements.global_order import page_of_events
from eventstore.statements.pages import (
    PAGE_SIZE,
    UP_TO,
    Shape,
    after,
    by_choice,
    lowest,
    positions_of_all,
    with_header,
)
from eventstore.tables import Tables


def read_everything(tables: Tables) -> ClauseElement:
    """Return a page of all events with after_position < position <= up_to_position, in order, behind a header."""
    return _with_header(tables, page_of_events(tables))


@cache
def read_matching(shape: Shape) -> Callable[[Tables], ClauseElement]:
    """Return the statement for filters that name these fields, behind a header.

    Its parameters are those of PostgreSQL's, with JSON arrays. There is no LATERAL: the bound is a position instead.
    """

    def read_matching_page(tables: Tables) -> ClauseElement:
        found = [_lookups_by_json(tables, number, fields) for number, fields in enumerate(shape)]
        page = lowest(found)
        events = tables.events.c
        matching = events.position.in_(select(page.c.position))
        return _with_header(tables, select(*event_columns(tables)).where(matching).order_by(events.position))

    return read_matching_page


def _lookups_by_json(tables: Tables, number: int, fields: tuple[str, ...]) -> Select[Any]:
    """Look up each value of the first field, up to where a page of it ends."""
    if not fields:
        return positions_of_all(tables, number)
    first, *others = by_choice(fields)
    wanted = _values_of_json(first, number).alias(f"wanted_{number}")

    def matches(events: Any, value: Any, last: Any) -> list[ColumnElement[bool]]:
        return [
            events[FIELDS[first]] == value,
            *[events[FIELDS[field]].in_(select(_values_of_json(field, number).c.value)) for field in others],
            events.position > after(number),
            events.position <= last,  # one bound: of two, SQLite takes one for the index, and that may be the far one
        ]

    events = tables.events.alias("counted").c
    end_of_page = (
        select(events.position)
        .where(*matches(events, wanted.c.value, UP_TO))
        .order_by(events.version if first == "stream_ids" else events.position)
        .limit(1)
        .offset(PAGE_SIZE - 1)
        .correlate(wanted)
        .scalar_subquery()
    )
    ends = (
        select(wanted.c.value, func.coalesce(end_of_page, UP_TO).label("position"))
        .limit(MAX_VERSION)  # makes SQLite find each end once, not for each event anew
        .subquery(f"end_{number}")
    )
    events = tables.events.alias("candidate").c
    return select(events.position).where(*matches(events, ends.c.value, ends.c.position))


def _values_of_json(field: str, number: int) -> TableValuedAlias:
    return func.json_each(bindparam(f"{field}_{number}", type_=Text)).table_valued("value")


def _with_header(tables: Tables, page: Select[Any]) -> ClauseElement:
    zero = literal_column("0", BigInteger)
    return with_header(tables, page, table=zero, in_recovery=zero, started_at=null())
