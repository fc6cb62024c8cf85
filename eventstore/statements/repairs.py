"""Statements that repair what can be computed from the events. Heads are locked first."""

from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Integer, Text, bindparam, case, func, literal_column, select
from sqlalchemy import delete as delete_from
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql import ClauseElement

from eventstore.statements.detached import may_have_had_events_of
from eventstore.tables import Tables


def restore_head(tables: Tables) -> ClauseElement:
    """Compute the head of a stream from its events, or create it; no row if the head is right.

    All parts of the log are searched, whatever the head says.
    """
    streams, events = tables.streams, tables.events.c
    by_events = (
        select(
            events.stream_id,
            func.max(events.version).label("version"),
            func.min(events.recorded_at).label("created_at"),
            func.max(events.recorded_at).label("updated_at"),
            case(
                (func.min(events.version) == literal_column("1"), func.min(events.position) - literal_column("1")),
                else_=literal_column("0"),  # earlier events may be in a part that was detached
            ).label("after_position"),
        )
        .where(events.stream_id == bindparam("stream_id", type_=Text))
        .group_by(events.stream_id)
    )
    names = ["stream_id", "version", "created_at", "updated_at", "after_position"]
    row = insert(streams).from_select(names, by_events, include_defaults=False)
    change: dict[str, ColumnElement[Any]] = {name: row.excluded[name] for name in names[1:]}
    is_later = row.excluded.after_position > streams.c.after_position
    change["after_position"] = case((is_later, streams.c.after_position), else_=row.excluded.after_position)
    is_wrong = (streams.c.version != row.excluded.version) | (streams.c.after_position > row.excluded.after_position)
    return row.on_conflict_do_update(index_elements=["stream_id"], set_=change, where=is_wrong).returning(
        streams.c.version
    )


def delete_head_without_events(tables: Tables) -> ClauseElement:
    """Delete the head of a stream that has no events, detached or not, and no snapshots; return its version."""
    streams, events = tables.streams, tables.events.c
    event = select(literal_column("1")).where(events.stream_id == streams.c.stream_id).exists()
    of_stream = streams.c.stream_id == bindparam("stream_id", type_=Text)
    is_detached = may_have_had_events_of(tables, streams.c.after_position)
    return delete_from(streams).where(of_stream, ~event, ~is_detached).returning(streams.c.version)


def delete_snapshots_beyond_head(tables: Tables) -> ClauseElement:
    """Delete the snapshots of a stream that are beyond its head, or all if it has no events; return their versions."""
    snapshots, streams, events = tables.snapshots, tables.streams.c, tables.events.c
    of_stream = snapshots.c.stream_id == bindparam("stream_id", type_=Text)
    is_reached = (
        select(literal_column("1"))
        .where(streams.stream_id == snapshots.c.stream_id, streams.version >= snapshots.c.version)
        .exists()
    )
    has_events: ColumnElement[bool] = (
        select(literal_column("1")).where(events.stream_id == snapshots.c.stream_id).exists()
    )
    if tables.layout.is_partitioned:
        is_detached = may_have_had_events_of(tables, streams.after_position)
        has_events = (
            has_events
            | select(literal_column("1")).where(streams.stream_id == snapshots.c.stream_id, is_detached).exists()
        )
    return delete_from(snapshots).where(of_stream, ~(is_reached & has_events)).returning(snapshots.c.version)


def delete_snapshot_at_version(tables: Tables) -> ClauseElement:
    """Delete one snapshot, unless another one has replaced it; return its version."""
    snapshots = tables.snapshots
    return (
        delete_from(snapshots)
        .where(
            snapshots.c.stream_id == bindparam("stream_id", type_=Text),
            snapshots.c.schema_version == bindparam("schema_version", type_=Integer),
            snapshots.c.version == bindparam("version", type_=BigInteger),
        )
        .returning(snapshots.c.version)
    )
