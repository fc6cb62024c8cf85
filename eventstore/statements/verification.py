"""Statements that look for damage, each complete in itself: heads and events are seen as of one moment.

So an append that commits while the store is verified is seen with its head or not at all.
"""

from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    Select,
    Text,
    bindparam,
    case,
    func,
    literal_column,
    select,
    tuple_,
)
from sqlalchemy.sql import ClauseElement

from eventstore.statements import Statement
from eventstore.statements.closing import CLOSING_TYPES
from eventstore.statements.global_order import newest_position
from eventstore.statements.projections import has_log_gone_back
from eventstore.tables import Tables

# --- streams, in ranges of their ids


def end_of_streams(tables: Tables) -> ClauseElement:
    """Return the id of the stream `skipped` places after the first one after `after`; no row if there is none."""
    stream_id = tables.streams.c.stream_id
    return (
        select(stream_id)
        .where(stream_id > bindparam("after", type_=Text))
        .order_by(stream_id)
        .offset(bindparam("skipped", type_=BigInteger))
        .limit(literal_column("1"))
    )


@cache
def stream_states(*, bounded: bool) -> Statement:
    """Return the statement for streams after `after`, and up to `last` where it is bounded.

    Its rows, in order: stream id, version of the head, how many events, largest version among them (NULL if there
    are none), and how many of them do not follow the one before, in version or in position.
    """

    def stream_states_in_range(tables: Tables) -> ClauseElement:
        streams, events = tables.streams.c, tables.events.c
        placed = _placed(tables).where(*_in_range(events.stream_id, bounded=bounded)).subquery("placed")
        found = (
            select(
                placed.c.stream_id,
                func.count().label("count"),
                func.max(placed.c.version).label("newest"),
                func.count().filter(_does_not_follow(placed.c)).label("breaks"),
            )
            .group_by(placed.c.stream_id)
            .subquery("found")
        )
        return (
            select(
                streams.stream_id,
                streams.version,
                func.coalesce(found.c.count, literal_column("0")).label("count"),
                found.c.newest,
                func.coalesce(found.c.breaks, literal_column("0")).label("breaks"),
            )
            .select_from(tables.streams.outerjoin(found, found.c.stream_id == streams.stream_id))
            .where(*_in_range(streams.stream_id, bounded=bounded))
            .order_by(streams.stream_id)
        )

    return stream_states_in_range


@cache
def events_without_stream(*, bounded: bool) -> Statement:
    """Return the statement for a page of the streams in a range that have events, but no head.

    Its rows, in order: stream id, how many events, largest version among them.
    """

    def events_without_stream_in_range(tables: Tables) -> ClauseElement:
        events, streams = tables.events.c, tables.streams.c
        head = select(literal_column("1")).where(streams.stream_id == events.stream_id).exists()
        return (
            select(events.stream_id, func.count().label("count"), func.max(events.version).label("newest"))
            .where(*_in_range(events.stream_id, bounded=bounded), ~head)
            .group_by(events.stream_id)
            .order_by(events.stream_id)
            .limit(bindparam("page_size", type_=BigInteger))
        )

    return events_without_stream_in_range


def breaks_of_stream(tables: Tables) -> ClauseElement:
    """Return the events of one stream that do not follow the one before, at most `page_size`.

    The rows, in order: version, position, and those two of the event before; 0 and 0 if there is none. An event that
    ends a stream may be the first one, at any version.
    """
    placed = _placed(tables).where(tables.events.c.stream_id == bindparam("stream_id", type_=Text)).subquery("placed")
    found = placed.c
    return (
        select(found.version, found.position, found.version_before, found.position_before)
        .where(_does_not_follow(found))
        .order_by(found.version, found.position)
        .limit(bindparam("page_size", type_=BigInteger))
    )


def _placed(tables: Tables) -> Select[Any]:
    events = tables.events.c
    # what an event says that ends a stream: those before it are gone
    before_first = case(
        (events.event_type.in_(CLOSING_TYPES), events.version - literal_column("1")), else_=literal_column("0")
    )
    in_stream: dict[str, Any] = {"partition_by": events.stream_id, "order_by": (events.version, events.position)}
    return select(
        events.stream_id,
        events.version,
        events.position,
        func.lag(events.version, literal_column("1"), before_first).over(**in_stream).label("version_before"),
        func.lag(events.position, literal_column("1"), literal_column("0")).over(**in_stream).label("position_before"),
    )


def _does_not_follow(placed: Any) -> ColumnElement[bool]:
    found: ColumnElement[bool] = (placed.version != placed.version_before + literal_column("1")) | (
        placed.position <= placed.position_before
    )
    return found


def _in_range(stream_id: ColumnElement[str], *, bounded: bool) -> list[ColumnElement[bool]]:
    after = stream_id > bindparam("after", type_=Text)
    return [after, stream_id <= bindparam("last", type_=Text)] if bounded else [after]


# --- positions


def doubled_positions(tables: Tables) -> ClauseElement:
    """Return (position, how many events have it) of those in a range that more than one event has."""
    position = tables.events.c.position
    return (
        select(position, func.count().label("count"))
        .where(position > bindparam("after_position"), position <= bindparam("up_to_position"))
        .group_by(position)
        .having(func.count() > literal_column("1"))
        .order_by(position)
    )


# --- snapshots, checkpoints and dead letters


def snapshot_states(tables: Tables) -> ClauseElement:
    """Return a page of (stream id, schema version, version, codec, state, version of the head or NULL)."""
    snapshots, streams = tables.snapshots.c, tables.streams.c
    key = tuple_(snapshots.stream_id, snapshots.schema_version)
    after = tuple_(bindparam("stream_id", type_=Text), bindparam("schema_version", type_=Integer))
    return (
        select(
            snapshots.stream_id,
            snapshots.schema_version,
            snapshots.version,
            snapshots.codec,
            snapshots.state,
            streams.version.label("stream_version"),
        )
        .select_from(tables.snapshots.outerjoin(tables.streams, streams.stream_id == snapshots.stream_id))
        .where(key > after)
        .order_by(snapshots.stream_id, snapshots.schema_version)
        .limit(bindparam("page_size", type_=BigInteger))
    )


def checkpoints_beyond_log(tables: Tables) -> ClauseElement:
    """Return (name, position, newest position of all events, event id) of projections that are further than the log.

    That is: beyond its newest event, or past an event that it does not have any more.
    """
    checkpoints = tables.checkpoints.c
    newest = newest_position(tables).scalar_subquery().label("newest")
    return (
        select(checkpoints.name, checkpoints.position, newest, checkpoints.event_id)
        .where(has_log_gone_back(tables))
        .order_by(checkpoints.name)
    )


def pending_letters(tables: Tables) -> ClauseElement:
    """Return a page of (projection, position, stream id, version, whether there is such an event) of pending ones."""
    letters, events = tables.dead_letters.c, tables.events.c
    key = tuple_(letters.projection, letters.position)
    after = tuple_(bindparam("projection", type_=Text), bindparam("position", type_=BigInteger))
    event = (
        select(literal_column("1"))
        .where(
            events.position == letters.position,
            events.stream_id == letters.stream_id,
            events.version == letters.version,
        )
        .exists()
    )
    return (
        select(letters.projection, letters.position, letters.stream_id, letters.version, event.label("is_there"))
        .where(key > after, letters.status == literal_column("'pending'"))
        .order_by(letters.projection, letters.position)
        .limit(bindparam("page_size", type_=BigInteger))
    )
