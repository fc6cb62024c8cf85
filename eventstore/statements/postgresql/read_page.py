"""Statements that read a page of the global order."""

from collections.abc import Callable
from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
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
)
from sqlalchemy.dialects.postgresql import ARRAY
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
from eventstore.statements.postgresql.servers import server_columns
from eventstore.tables import Tables


def read_everything(tables: Tables) -> ClauseElement:
    """Return a page of all events with after_position < position <= up_to_position, in order, behind a header."""
    return _with_header(tables, page_of_events(tables))


@cache
def read_matching(shape: Shape) -> Callable[[Tables], ClauseElement]:
    """Return the statement for filters that name these fields, behind a header.

    Its parameters are `up_to_position` and `page_size`, and for filter 0, 1, …: `after_position_0`, and one array for
    each field, such as `event_types_0`; and those of `pages.with_header`.
    """

    def read_matching_page(tables: Tables) -> ClauseElement:
        found = [_lookups(tables, number, fields) for number, fields in enumerate(shape)]
        page = lowest(found)
        # LIMIT keeps the planner from joining by a scan of the whole table
        event = (
            select(*event_columns(tables)).where(tables.events.c.position == page.c.position).limit(1).lateral("event")
        )
        return _with_header(tables, select(event).select_from(page.join(event, true())).order_by(page.c.position))

    return read_matching_page


def _lookups(tables: Tables, number: int, fields: tuple[str, ...]) -> Select[Any]:
    """Look up each value of the first field.

    Whole keys of the index are compared, and a sum or a concatenation hides columns that have no part in the key.
    Otherwise the planner takes another index, by a guess: that of positions, to the end of the log, or that of the
    other field, from its start.
    """
    if not fields:
        return positions_of_all(tables, number)
    first, *others = by_choice(fields)
    wanted = func.unnest(_array(first, number)).table_valued("value").render_derived(name=f"wanted_{number}")
    events = tables.events.alias("candidate").c
    also = [events[FIELDS[field]].concat("") == func.any(_array(field, number)) for field in others]
    key: tuple[Any, Any] = (events[FIELDS[first]], events.position)
    start, end = tuple_(wanted.c.value, after(number)), tuple_(wanted.c.value, UP_TO)
    if first == "stream_ids":
        key = (events.stream_id, events.version)
        start = tuple_(wanted.c.value, _last_version(tables, wanted, number))
        end = tuple_(wanted.c.value, cast(MAX_VERSION, BigInteger))
        also.append(events.position + 0 <= UP_TO)
    lookup = (
        select(events.position)
        .where(tuple_(*key) > start, tuple_(*key) <= end, *also)
        .order_by(*key)
        .limit(PAGE_SIZE)
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
    is_before = probe.c.position <= after(number)
    step = (
        select(
            case((is_before, probe.c.version), else_=between.c.low), case((is_before, between.c.high), else_=middle - 1)
        )
        .select_from(between.join(probe, true()))
        .where(between.c.low < between.c.high)
    )
    between = between.union_all(step)
    return select(between.c.low).where(between.c.low == between.c.high).scalar_subquery()


def _array(field: str, number: int) -> ColumnElement[Any]:
    return bindparam(f"{field}_{number}", type_=ARRAY(Text))


def _with_header(tables: Tables, page: Select[Any]) -> ClauseElement:
    table, started_at, in_recovery = server_columns(tables)
    return with_header(tables, page, table=table, in_recovery=cast(in_recovery, Integer), started_at=started_at)
