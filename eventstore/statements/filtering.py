"""Statements that read, of a part of the global order, the events that filters match.

Each value that a filter names is looked up by itself, in the index where it stands before the position, and no further
than a page: that costs as much at the end of the log as at its start, and does not depend on the planner's guess of how
many events there are of a kind. Of all that was found, the lowest positions make the page; an event that several
filters match is one position, and so is returned once.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    ScalarSelect,
    Select,
    Text,
    bindparam,
    case,
    cast,
    func,
    select,
    true,
    tuple_,
    union,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.selectable import TableValuedAlias

from eventstore.common.validation import MAX_VERSION
from eventstore.filters import FIELDS
from eventstore.statements.reading import event_columns
from eventstore.statements.servers import with_header, with_plain_header
from eventstore.tables import Tables

Shape = tuple[tuple[str, ...], ...]
"""For each filter, the fields that it names."""

_UP_TO: Final = bindparam("up_to_position", type_=BigInteger)
_PAGE_SIZE: Final = bindparam("page_size", type_=BigInteger)


@cache
def read_matching(shape: Shape) -> Callable[[Tables], ClauseElement]:
    """Return the statement for filters that name these fields, behind a header (PostgreSQL).

    Its parameters are `up_to_position` and `page_size`, and for filter 0, 1, …: `after_position_0`, and one array for
    each field, such as `event_types_0`; and those of `servers.with_header`.
    """

    def read_matching_page(tables: Tables) -> ClauseElement:
        found = [_lookups(tables, number, fields) for number, fields in enumerate(shape)]
        page = _lowest(found)
        # LIMIT keeps the planner from joining by a scan of the whole table
        event = (
            select(*event_columns(tables)).where(tables.events.c.position == page.c.position).limit(1).lateral("event")
        )
        return with_header(tables, select(event).select_from(page.join(event, true())).order_by(page.c.position))

    return read_matching_page


def _lookups(tables: Tables, number: int, fields: tuple[str, ...]) -> Select[Any]:
    """Look up each value of the first field.

    Whole keys of the index are compared, and a sum or a concatenation hides columns that have no part in the key.
    Otherwise the planner takes another index, by a guess: that of positions, to the end of the log, or that of the
    other field, from its start.
    """
    if not fields:
        return _positions_of_all(tables, number)
    first, *others = _by_choice(fields)
    wanted = func.unnest(_array(first, number)).table_valued("value").render_derived(name=f"wanted_{number}")
    events = tables.events.alias("candidate").c
    also = [events[FIELDS[field]].concat("") == func.any(_array(field, number)) for field in others]
    key: tuple[Any, Any] = (events[FIELDS[first]], events.position)
    start, end = tuple_(wanted.c.value, _after(number)), tuple_(wanted.c.value, _UP_TO)
    if first == "stream_ids":
        key = (events.stream_id, events.version)
        start = tuple_(wanted.c.value, _last_version(tables, wanted, number))
        end = tuple_(wanted.c.value, cast(MAX_VERSION, BigInteger))
        also.append(events.position + 0 <= _UP_TO)
    lookup = (
        select(events.position)
        .where(tuple_(*key) > start, tuple_(*key) <= end, *also)
        .order_by(*key)
        .limit(_PAGE_SIZE)
        .lateral(f"found_{number}")
    )
    return select(lookup.c.position).select_from(wanted.join(lookup, true()))


def _last_version(tables: Tables, wanted: TableValuedAlias, number: int) -> ScalarSelect[int]:
    """Find the last version of a stream at or before a position, by bisection: in a stream, both ascend."""
    newest, probed = tables.events.alias("newest").c, tables.events.alias("probed").c
    high = select(func.coalesce(func.max(newest.version), cast(0, BigInteger))).where(
        newest.stream_id == wanted.c.value
    )
    start = select(cast(0, BigInteger).label("low"), high.correlate(wanted).scalar_subquery().label("high"))
    between = start.cte(f"between_{number}", recursive=True, nesting=True)
    middle = (between.c.low + between.c.high + 1) // 2
    probe = (
        select(probed.version, probed.position)
        .where(tuple_(probed.stream_id, probed.version) >= tuple_(wanted.c.value, middle))
        .order_by(probed.stream_id, probed.version)
        .limit(1)
        .correlate(wanted, between)
        .lateral("probe")
    )
    is_before = probe.c.position <= _after(number)
    step = (
        select(
            case((is_before, probe.c.version), else_=between.c.low), case((is_before, between.c.high), else_=middle - 1)
        )
        .select_from(between.join(probe, true()))
        .where(between.c.low < between.c.high)
    )
    between = between.union_all(step)
    return select(between.c.low).where(between.c.low == between.c.high).scalar_subquery()


@cache
def read_matching_by_json(shape: Shape) -> Callable[[Tables], ClauseElement]:
    """Return the same statement with JSON arrays (SQLite, which has no LATERAL: the bound is a position instead)."""

    def read_matching_page_by_json(tables: Tables) -> ClauseElement:
        found = [_lookups_by_json(tables, number, fields) for number, fields in enumerate(shape)]
        page = _lowest(found)
        events = tables.events.c
        matching = events.position.in_(select(page.c.position))
        return with_plain_header(tables, select(*event_columns(tables)).where(matching).order_by(events.position))

    return read_matching_page_by_json


def _lookups_by_json(tables: Tables, number: int, fields: tuple[str, ...]) -> Select[Any]:
    """Look up each value of the first field, up to where a page of it ends."""
    if not fields:
        return _positions_of_all(tables, number)
    first, *others = _by_choice(fields)
    wanted = _values_of_json(first, number).alias(f"wanted_{number}")

    def matches(events: Any, value: Any, last: Any) -> list[ColumnElement[bool]]:
        return [
            events[FIELDS[first]] == value,
            *[events[FIELDS[field]].in_(select(_values_of_json(field, number).c.value)) for field in others],
            events.position > _after(number),
            events.position <= last,  # one bound: of two, SQLite takes one for the index, and that may be the far one
        ]

    events = tables.events.alias("counted").c
    end_of_page = (
        select(events.position)
        .where(*matches(events, wanted.c.value, _UP_TO))
        .order_by(events.version if first == "stream_ids" else events.position)
        .limit(1)
        .offset(_PAGE_SIZE - 1)
        .correlate(wanted)
        .scalar_subquery()
    )
    ends = (
        select(wanted.c.value, func.coalesce(end_of_page, _UP_TO).label("position"))
        .limit(MAX_VERSION)  # makes SQLite find each end once, not for each event anew
        .subquery(f"end_{number}")
    )
    events = tables.events.alias("candidate").c
    return select(events.position).where(*matches(events, ends.c.value, ends.c.position))


def _by_choice(fields: tuple[str, ...]) -> list[str]:
    return [field for field in FIELDS if field in fields]


def _positions_of_all(tables: Tables, number: int) -> Select[Any]:
    position = tables.events.c.position
    rows = select(position).where(position > _after(number), position <= _UP_TO).order_by(position).limit(_PAGE_SIZE)
    return select(rows.subquery(f"found_{number}").c.position)


def _lowest(found: list[Select[Any]]) -> Any:
    positions = (found[0] if len(found) == 1 else union(*found)).subquery("found")
    return select(positions.c.position).order_by(positions.c.position).limit(_PAGE_SIZE).subquery("page")


def _after(number: int) -> ColumnElement[int]:
    return bindparam(f"after_position_{number}", type_=BigInteger)


def _array(field: str, number: int) -> ColumnElement[Any]:
    return bindparam(f"{field}_{number}", type_=ARRAY(Text))


def _values_of_json(field: str, number: int) -> TableValuedAlias:
    return func.json_each(bindparam(f"{field}_{number}", type_=Text)).table_valued("value")
