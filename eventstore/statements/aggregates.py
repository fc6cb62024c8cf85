"""Statements that load aggregates, and list which snapshots they have."""

from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Text, and_, bindparam, func, literal_column, null, select, union_all
from sqlalchemy.sql import ClauseElement

from eventstore.statements.columns import event_columns
from eventstore.statements.detached import with_part_of_stream
from eventstore.statements.listing import is_of_category
from eventstore.statements.reading import in_its_parts
from eventstore.tables import Tables


def load_aggregate(tables: Tables) -> ClauseElement:
    """Return the snapshot and a page of the events after it, up to a version, with the columns of `read_forwards`.

    The row of the snapshot has no position. The order of these rows is undefined; sorted by version, the snapshot is
    the first. The row of `with_part_of_stream` is the last.
    """
    snapshots, streams, events = tables.snapshots.c, tables.streams.c, tables.events.c
    up_to_version = bindparam("up_to_version", type_=BigInteger)
    snapshot = (
        select(snapshots.version, snapshots.schema_version, snapshots.codec, snapshots.state)
        .where(
            snapshots.stream_id == bindparam("stream_id"),
            snapshots.schema_version == bindparam("schema_version"),
            snapshots.version <= up_to_version,
            streams.stream_id == snapshots.stream_id,
            snapshots.version <= streams.version,
        )
        .cte("snapshot")
    )
    # The planner does not know the snapshot's version, and expects few events after it. If it knew that a page is
    # larger, it would sort all of them; a subquery hides the size from it.
    page_size = select(bindparam("page_size", type_=BigInteger).label("page_size")).scalar_subquery()
    after_version = func.coalesce(select(snapshot.c.version).scalar_subquery(), literal_column("0"))
    page = (
        select(*event_columns(tables))
        .where(
            events.stream_id == bindparam("stream_id"),
            events.version > after_version,
            events.version <= up_to_version,
            *in_its_parts(tables),
        )
        .order_by(events.version)
        .limit(page_size)
    )
    tail = with_part_of_stream(tables, page).subquery("tail")
    snapshot_columns: dict[str, ColumnElement[Any]] = {
        "version": snapshot.c.version,
        "schema_version": snapshot.c.schema_version,
        "codec": snapshot.c.codec,
        "data": snapshot.c.state,
    }
    of_snapshot = (snapshot_columns.get(column.name, null()).label(column.name) for column in tail.c)
    return union_all(select(*of_snapshot), select(tail))


def version_as_of(tables: Tables) -> ClauseElement:
    """Return the version of the last event of a stream that was stored by a time; no row if there was none."""
    events = tables.events.c
    return (
        select(events.version)
        .where(events.stream_id == bindparam("stream_id"), events.recorded_at <= bindparam("as_of"))
        .order_by(events.version.desc())
        .limit(literal_column("1"))
    )


def snapshot_versions(tables: Tables) -> ClauseElement:
    """Return a page of (stream_id, version, version of its snapshot or 0) of a category's streams, by stream id."""
    streams, snapshots = tables.streams.c, tables.snapshots.c
    its_snapshot = and_(
        snapshots.stream_id == streams.stream_id, snapshots.schema_version == bindparam("schema_version")
    )
    return (
        select(
            streams.stream_id,
            streams.version,
            func.coalesce(snapshots.version, literal_column("0")).label("snapshot_version"),
        )
        .select_from(tables.streams.outerjoin(tables.snapshots, its_snapshot))
        .where(
            *is_of_category(tables.streams.c.stream_id, tables.streams.c.category),
            streams.stream_id > bindparam("after_stream_id", type_=Text),
        )
        .order_by(streams.stream_id)
        .limit(bindparam("page_size", type_=BigInteger))
    )


def count_streams(tables: Tables) -> ClauseElement:
    """Return how many streams a category has."""
    return (
        select(func.count().label("streams"))
        .select_from(tables.streams)
        .where(*is_of_category(tables.streams.c.stream_id, tables.streams.c.category))
    )
