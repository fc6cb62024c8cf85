"""What both databases share of the statements that read a page of the global order.

Each value that a filter names is looked up by itself, in the index where it stands before the position, and no further
than a page: that costs as much at the end of the log as at its start, and does not depend on the planner's guess of how
many events there are of a kind. Of all that was found, the lowest positions make the page; an event that several
filters match is one position, and so is returned once.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    LargeBinary,
    Select,
    SmallInteger,
    Text,
    bindparam,
    cast,
    literal_column,
    null,
    select,
    union,
    union_all,
)
from sqlalchemy.sql import ClauseElement

from eventstore.filters import FIELDS, EventFilter
from eventstore.tables import Tables


def with_header(
    tables: Tables,
    page: Select[Any],
    *,
    table: ColumnElement[Any],
    in_recovery: ColumnElement[Any],
    started_at: ColumnElement[Any],
) -> ClauseElement:
    """Return a page of events, in order, behind a row that says where it came from.

    One statement: what the header confirms, and the events, are of one server and one snapshot. The header becomes a
    `protocol.PageHeader`. It has the columns of an event: position 0; the oid of es_events as the version; the id of
    the event at `settled_position`; the id of that at `token_position`, as text, as the event type; 1 for a server in
    recovery as the schema version; and when the server was started as the time.
    """
    header = select(
        cast(literal_column("0"), BigInteger).label("position"),
        cast(null(), Text).label("stream_id"),
        table.label("version"),
        event_id_at(tables, "settled_position").label("event_id"),
        cast(event_id_at(tables, "token_position"), Text).label("event_type"),
        in_recovery.label("schema_version"),
        cast(null(), SmallInteger).label("codec"),
        cast(null(), LargeBinary).label("data"),
        cast(null(), Text).label("metadata"),
        started_at.label("recorded_at"),
    )
    return union_all(header, select(page.subquery("page"))).order_by("position")


def event_id_at(tables: Tables, parameter: str) -> Any:
    """Return the id of the event at the position that a parameter names; NULL if there is none."""
    events = tables.events.alias(f"event_at_{parameter}").c
    return select(events.event_id).where(events.position == bindparam(parameter, type_=BigInteger)).scalar_subquery()


Shape = tuple[tuple[str, ...], ...]
"""For each filter, the fields that it names."""


def shape_of(filters: Sequence[EventFilter]) -> Shape:
    """Return which fields the filters name: each shape has a statement of its own."""
    return tuple(tuple(filter_.named) for filter_ in filters)


def page_parameters(
    filters: Sequence[EventFilter], array: Callable[[Sequence[str]], Any], *, after_position: int, **others: int
) -> dict[str, Any]:
    """Return the parameters of the statement for filters, or of the one that reads everything if there are none.

    Args:
        filters: The filters.
        array: Makes a parameter of the values of a field.
        after_position: Exclusive.
        others: The parameters that all these statements have.
    """
    if not filters:
        return {"after_position": after_position, **others}
    parameters: dict[str, Any] = dict(others)
    for number, filter_ in enumerate(filters):
        parameters[f"after_position_{number}"] = max(after_position, filter_.after_position)
        parameters |= {f"{field}_{number}": array(values) for field, values in filter_.named.items()}
    return parameters


UP_TO: Final = bindparam("up_to_position", type_=BigInteger)
PAGE_SIZE: Final = bindparam("page_size", type_=BigInteger)


def by_choice(fields: tuple[str, ...]) -> list[str]:
    """Return the fields of a filter: the one that is looked up, and the others."""
    return [field for field in FIELDS if field in fields]


def positions_of_all(tables: Tables, number: int) -> Select[Any]:
    """Return the positions of a page of all events: a filter may name no field."""
    position = tables.events.c.position
    rows = select(position).where(position > after(number), position <= UP_TO).order_by(position).limit(PAGE_SIZE)
    return select(rows.subquery(f"found_{number}").c.position)


def lowest(found: list[Select[Any]]) -> Any:
    """Return the lowest positions of all that filters have found."""
    positions = (found[0] if len(found) == 1 else union(*found)).subquery("found")
    return select(positions.c.position).order_by(positions.c.position).limit(PAGE_SIZE).subquery("page")


def after(number: int) -> ColumnElement[int]:
    """Return the position after which a filter begins."""
    return bindparam(f"after_position_{number}", type_=BigInteger)
