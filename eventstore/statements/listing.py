"""Statements that list streams and snapshots, one page at a time."""

from functools import cache
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    DateTime,
    Integer,
    Text,
    and_,
    bindparam,
    func,
    literal_column,
    or_,
    select,
    tuple_,
)
from sqlalchemy.sql import ClauseElement

from eventstore.statements import Statement
from eventstore.streams import StreamOrder
from eventstore.tables import Tables

_PAGE_SIZE: Final = bindparam("page_size", type_=BigInteger)
_AFTER_ID: Final = bindparam("after_stream_id", type_=Text)


@cache
def list_streams(order: StreamOrder, *, of_category: bool, is_first: bool) -> Statement:
    """Return the statement for a page of (stream_id, version, created_at, updated_at).

    Its parameters are `page_size`; `category` if `of_category`; and, unless it is the first page, `after_stream_id`
    and, for other orders than that of the ids, `after_version` or `after_time`.

    In order of the ids, it reads a range of the primary key. The other orders have no index: each page looks at every
    head, and keeps only the page.
    """

    def list_streams_page(tables: Tables) -> ClauseElement:
        heads = tables.streams.c
        page = select(heads.stream_id, heads.version, heads.created_at, heads.updated_at)
        if of_category:
            page = page.where(*is_of_category(heads.stream_id, heads.category))
        if not is_first:
            page = page.where(_comes_after(heads, order))
        largest_first = {StreamOrder.SIZE: [heads.version.desc()], StreamOrder.RECENT: [heads.updated_at.desc()]}
        return page.order_by(*largest_first.get(order, []), heads.stream_id).limit(_PAGE_SIZE)

    return list_streams_page


def _comes_after(heads: Any, order: StreamOrder) -> ColumnElement[bool]:
    if order is StreamOrder.ID:
        after: ColumnElement[bool] = heads.stream_id > _AFTER_ID
        return after
    column, value = (
        (heads.version, bindparam("after_version", type_=BigInteger))
        if order is StreamOrder.SIZE
        else (heads.updated_at, bindparam("after_time", type_=DateTime(timezone=True)))
    )
    return or_(column < value, and_(column == value, heads.stream_id > _AFTER_ID))


def is_of_category(stream_id: ColumnElement[str], column: ColumnElement[str]) -> list[ColumnElement[bool]]:
    """Compare ids as well, by a range of the primary key, because the categories of heads have no index."""
    category = bindparam("category", type_=Text)
    in_range = (stream_id >= category, stream_id < category.concat(literal_column("'.'")))  # `.` comes after `-`
    return [*in_range, column == category]


def find_stream(tables: Tables) -> ClauseElement:
    """Return (stream_id, version, created_at, updated_at) of one stream; no row if it does not exist."""
    heads = tables.streams.c
    columns = (heads.stream_id, heads.version, heads.created_at, heads.updated_at)
    return select(*columns).where(heads.stream_id == bindparam("stream_id"))


@cache
def list_snapshots(*, of_category: bool) -> Statement:
    """Return the statement for a page of snapshots after (after_stream_id, after_schema_version), in that order.

    The columns: stream_id, schema_version, version, codec, bytes, created_at, the stream's version.
    """

    def list_snapshots_page(tables: Tables) -> ClauseElement:
        snapshots, heads = tables.snapshots.c, tables.streams.c
        key = tuple_(snapshots.stream_id, snapshots.schema_version)
        after = tuple_(_AFTER_ID, bindparam("after_schema_version", type_=Integer))
        size = func.length(snapshots.state).label("bytes")
        page = (
            select(
                snapshots.stream_id,
                snapshots.schema_version,
                snapshots.version,
                snapshots.codec,
                size,
                snapshots.created_at,
                heads.version.label("stream_version"),
            )
            .join_from(tables.snapshots, tables.streams, heads.stream_id == snapshots.stream_id)
            .where(key > after)
        )
        if of_category:
            page = page.where(*is_of_category(snapshots.stream_id, heads.category))
        return page.order_by(snapshots.stream_id, snapshots.schema_version).limit(_PAGE_SIZE)

    return list_snapshots_page


@cache
def snapshot_coverage(*, of_category: bool) -> Statement:
    """Return the statement for one row about streams of at least `min_version` events, and their newest snapshots.

    The columns: how many streams; how many of them have a snapshot; how many events come after the snapshots, in total
    (all events of a stream that has none); the most of these for one stream. It looks at every head.
    """

    def coverage(tables: Tables) -> ClauseElement:
        snapshots, heads = tables.snapshots.c, tables.streams.c
        newest = (
            select(snapshots.stream_id, func.max(snapshots.version).label("version"))
            .group_by(snapshots.stream_id)
            .subquery("newest")
        )
        after = heads.version - func.coalesce(newest.c.version, literal_column("0"))
        figures = (
            select(
                func.count().label("streams"),
                func.count(newest.c.stream_id).label("with_snapshot"),
                func.coalesce(func.sum(after), literal_column("0")).label("events_after"),
                func.coalesce(func.max(after), literal_column("0")).label("most_events_after"),
            )
            .select_from(tables.streams.outerjoin(newest, newest.c.stream_id == heads.stream_id))
            .where(heads.version >= bindparam("min_version", type_=BigInteger))
        )
        return figures.where(*is_of_category(heads.stream_id, heads.category)) if of_category else figures

    return coverage
