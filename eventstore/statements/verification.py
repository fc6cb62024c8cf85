"""Statements that look for damage. Each reads heads and events in one snapshot.

So they see an append that commits while the store is verified either together with its head, or not at all.
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
    or_,
    select,
    tuple_,
)
from sqlalchemy.sql import ClauseElement

from eventstore.common.validation import MAX_CODEC, MAX_EVENT_TYPE_LENGTH, MAX_SCHEMA_VERSION, MAX_VERSION
from eventstore.statements import Statement
from eventstore.statements.deletion import TOMBSTONE_TYPES
from eventstore.statements.detached import may_have_had_events_of
from eventstore.statements.global_order import newest_position
from eventstore.statements.projections import has_log_gone_back
from eventstore.tables import Tables

# --- streams, in ranges of their ids


def end_of_streams(tables: Tables) -> ClauseElement:
    """Return the id of the stream that follows `skipped` others after the stream `after`; no row if there is none."""
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
    """Return the statement for streams after `after`, and up to `last` if it is bounded.

    Its columns: stream id, version of the head, how many events, largest version among them (NULL if there are none),
    how many of them do not follow the one before, in version or in position, how many have a value that is out of
    bounds, the smallest position if the head says that there is none as small, else NULL, and whether events of it may
    have been detached. In order of the stream ids.
    """

    def stream_states_in_range(tables: Tables) -> ClauseElement:
        streams, events = tables.streams.c, tables.events.c
        step = _steps(tables).where(*_in_range(events.stream_id, bounded=bounded)).subquery("step")
        summary = (
            select(
                step.c.stream_id,
                func.count().label("count"),
                func.max(step.c.version).label("newest"),
                func.count().filter(_does_not_follow(step.c)).label("breaks"),
                func.count().filter(step.c.is_out_of_bounds).label("out_of_bounds"),
                func.min(step.c.position).label("first_position"),
            )
            .group_by(step.c.stream_id)
            .subquery("summary")
        )
        return (
            select(
                streams.stream_id,
                streams.version,
                func.coalesce(summary.c.count, literal_column("0")).label("count"),
                summary.c.newest,
                func.coalesce(summary.c.breaks, literal_column("0")).label("breaks"),
                func.coalesce(summary.c.out_of_bounds, literal_column("0")).label("out_of_bounds"),
                case((summary.c.first_position <= streams.after_position, summary.c.first_position)).label("hidden"),
                case(
                    (may_have_had_events_of(tables, streams.after_position), literal_column("1")),
                    else_=literal_column("0"),
                ).label("is_detached"),
            )
            .select_from(tables.streams.outerjoin(summary, summary.c.stream_id == streams.stream_id))
            .where(*_in_range(streams.stream_id, bounded=bounded))
            .order_by(streams.stream_id)
        )

    return stream_states_in_range


@cache
def events_without_stream(*, bounded: bool) -> Statement:
    """Return the statement for a page of the streams in a range that have events, but no head.

    Its columns: stream id, how many events, largest version among them. In order of the stream ids.
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

    The columns: version, position, and version and position of the event before, 0 and 0 if there is none. In order of
    versions. A tombstone may be the first event, at any version.
    """
    step = _steps(tables).where(tables.events.c.stream_id == bindparam("stream_id", type_=Text)).subquery("step").c
    return (
        select(step.version, step.position, step.version_before, step.position_before)
        .where(_does_not_follow(step))
        .order_by(step.version, step.position)
        .limit(bindparam("page_size", type_=BigInteger))
    )


def events_out_of_bounds(tables: Tables) -> ClauseElement:
    """Return the events of one stream that have a value out of bounds, at most `page_size`.

    The columns: version, position, event type, schema version, codec. In order of versions.
    """
    events = tables.events.c
    return (
        select(events.version, events.position, events.event_type, events.schema_version, events.codec)
        .where(events.stream_id == bindparam("stream_id", type_=Text), _is_out_of_bounds(tables))
        .order_by(events.version, events.position)
        .limit(bindparam("page_size", type_=BigInteger))
    )


def head_without_id(tables: Tables) -> ClauseElement:
    """Return (version) of the stream whose id is empty; no row if there is none."""
    return select(tables.streams.c.version).where(tables.streams.c.stream_id == literal_column("''"))


def _is_out_of_bounds(tables: Tables) -> ColumnElement[bool]:
    """Return whether an event has a value that the store never writes; the database has no checks of these.

    On SQLite text is above all numbers, and so above the upper bounds.
    """
    events = tables.events.c
    bounds: list[tuple[ColumnElement[Any], int, int]] = [
        (events.position, 1, MAX_VERSION),
        (events.schema_version, 1, MAX_SCHEMA_VERSION),
        (events.codec, 0, MAX_CODEC),
        (func.length(events.event_type), 1, MAX_EVENT_TYPE_LENGTH),
    ]
    return or_(
        *(
            ~value.between(literal_column(str(lowest)), literal_column(str(highest)))
            for value, lowest, highest in bounds
        )
    )


def _steps(tables: Tables) -> Select[Any]:
    """Select each event with the version and position of the event before it in its stream."""
    events = tables.events.c
    # the events before a tombstone are gone
    before_first = case(
        (events.event_type.in_(TOMBSTONE_TYPES), events.version - literal_column("1")), else_=literal_column("0")
    )
    in_stream: dict[str, Any] = {"partition_by": events.stream_id, "order_by": (events.version, events.position)}
    return select(
        events.stream_id,
        events.version,
        events.position,
        func.lag(events.version, literal_column("1"), before_first).over(**in_stream).label("version_before"),
        func.lag(events.position, literal_column("1"), literal_column("0")).over(**in_stream).label("position_before"),
        _is_out_of_bounds(tables).label("is_out_of_bounds"),
    )


def _does_not_follow(step: Any) -> ColumnElement[bool]:
    is_break: ColumnElement[bool] = (step.version != step.version_before + literal_column("1")) | (
        step.position <= step.position_before
    )
    return is_break


def _in_range(stream_id: ColumnElement[str], *, bounded: bool) -> list[ColumnElement[bool]]:
    after = stream_id > bindparam("after", type_=Text)
    return [after, stream_id <= bindparam("last", type_=Text)] if bounded else [after]


# --- positions


def doubled_positions(tables: Tables) -> ClauseElement:
    """Return (position, number of events) of the positions in a range that several events have."""
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
    """Return (name, position, newest position of all events, event id) of projections that are ahead of the log.

    They are beyond its newest event, or past an event that the log no longer has.
    """
    checkpoints = tables.checkpoints.c
    newest = newest_position(tables).scalar_subquery().label("newest")
    return (
        select(checkpoints.name, checkpoints.position, newest, checkpoints.event_id)
        .where(has_log_gone_back(tables))
        .order_by(checkpoints.name)
    )


def pending_letters(tables: Tables) -> ClauseElement:
    """Return a page of pending dead letters: (projection, position, stream id, version, whether the event exists)."""
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
