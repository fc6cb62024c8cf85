"""What statements that read events say of the parts of the log that were detached (PostgreSQL).

They read the list of these parts themselves, in the snapshot in which they read the events. A part is listed, and all
older transactions have ended, before it is detached. So a statement sees the events of a part, or that it is listed.
As long as no part is listed, this reads no page of any table or index.

A log that is not partitioned has no list to read. But it may be partitioned, and a part detached, while a store uses
it. Partitioning makes another table es_events. So statements confirm its oid, which the store knows.

A part is returned as a JSON array: first and last position, name, location, SHA-256.
"""

from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    CompoundSelect,
    Integer,
    Select,
    Text,
    and_,
    bindparam,
    func,
    literal_column,
    null,
    select,
    union_all,
)
from sqlalchemy import cast as cast_to
from sqlalchemy.dialects.postgresql import JSONB, OID
from sqlalchemy.sql import ClauseElement

from eventstore.tables import Tables
from eventstore.tables.names import qualified_name

NO_PART: Final = "CAST(NULL AS TEXT)"
"""In place of `PART_IN_RANGE` for tables that have no list of detached parts."""

PART_IN_RANGE: Final = """(
        SELECT
            CAST(
                jsonb_build_array(part.first_position, part.last_position, part.name, part.location, part.sha256)
                AS TEXT
            ) AS part
        FROM {detached_parts} AS part
        WHERE part.events > 0 AND part.last_position > :after_position AND part.first_position + 0 <= :up_to_position
        ORDER BY part.last_position
        LIMIT 1
    )"""
"""The first part that had events after a position, and up to another one; NULL if none had.

The sum prevents the use of the index: a scan of an empty table reads nothing, one of an empty index reads a page."""


def part_at(tables: Tables) -> ClauseElement:
    """Return (part) of the part that had a position; no row if that position is in no detached part."""
    if not tables.layout.is_partitioned:
        return _no_part()
    parts, position = tables.detached_parts.c, bindparam("position", type_=BigInteger)
    return select(_as_json(tables)).where(parts.first_position <= position, parts.last_position >= position)


def part_after(tables: Tables) -> ClauseElement:
    """Return (part) of the first part that had events after a position; no row if none had."""
    if not tables.layout.is_partitioned:
        return _no_part()
    parts = tables.detached_parts.c
    had_some = (parts.events > literal_column("0"), parts.last_position > bindparam("after_position", type_=BigInteger))
    return select(_as_json(tables)).where(*had_some).order_by(parts.last_position).limit(literal_column("1"))


def part_of_tags(tables: Tables) -> ClauseElement:
    """Return (part) of the first part that had events with one of `tags`; no row if none had.

    The tags of events stay when their part is detached.
    """
    if not tables.layout.is_partitioned:
        return _no_part()
    parts, tags = tables.detached_parts.c, tables.tags.c
    had_some = (
        select(literal_column("1").label("one"))
        .where(
            tags.tag == func.any(bindparam("tags", type_=ARRAY(Text))),
            tags.position.between(parts.first_position, parts.last_position),
        )
        .exists()
    )
    return select(_as_json(tables)).where(had_some).order_by(parts.last_position).limit(literal_column("1"))


def part_of_stream(tables: Tables) -> Select[Any]:
    """Return (part) of the first part that may have had events of a stream; no row if none had.

    The JSON array has the version of the stream as a sixth value.
    """
    if not tables.layout.is_partitioned:
        return _no_part()
    parts, streams = tables.detached_parts.c, tables.streams.c
    of_stream = streams.stream_id == bindparam("stream_id")
    # read for rows of es_detached_parts only, and so not at all if there are none
    after_position = select(streams.after_position).where(of_stream).scalar_subquery()
    version = select(streams.version).where(of_stream).scalar_subquery()
    return (
        select(_as_json(tables, version))
        .where(parts.events > literal_column("0"), parts.last_position > after_position)
        .order_by(parts.last_position)
        .limit(literal_column("1"))
    )


def with_part_of_stream(tables: Tables, page: Select[Any]) -> "Select[Any] | CompoundSelect[Any]":
    """Return the rows of a page of a stream, and after them, if needed, a row of position 0 that says what may be gone.

    If es_events is partitioned, that row is there if a part was detached that may have had events of the stream. The
    metadata has the part, as in `part_of_stream`. If not, it is there if es_events has another oid than `table`,
    because it was partitioned or restored meanwhile. Its metadata is NULL, and another statement must be used.
    """
    if tables.permission is not None:  # SQLite has no partitions
        return page
    rows = page.subquery("page")
    # Rows come in the order of the branches, unless parallel workers run these; this function is not for workers.
    in_order = func.pg_backend_pid(type_=Integer()) > literal_column("0")
    zero: ColumnElement[Any] = literal_column("0")
    known: dict[str, ColumnElement[Any]] = {"position": zero, "version": zero}
    if tables.layout.is_partitioned:
        known["metadata"] = part_of_stream(tables).subquery("detached").c.part
        condition = in_order
    else:
        oid = func.to_regclass(bindparam("name_of_es_events", qualified_name(tables.events), type_=Text), type_=OID())
        condition = and_(oid != cast_to(bindparam("table", type_=BigInteger), OID()), in_order)
    marker = select(*(known.get(each.name, null()).label(each.name) for each in rows.c)).where(condition)
    return union_all(select(rows), marker)


def may_have_had_events_of(tables: Tables, after_position: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return whether a part that was detached may have had events of a stream, whose head has this `after_position`."""
    if not tables.layout.is_partitioned:
        return _never()
    parts = tables.detached_parts.alias("part_of_stream").c
    return (
        select(literal_column("1").label("one"))
        .where(parts.events > literal_column("0"), parts.last_position > after_position)
        .exists()
    )


def detached_parts(tables: Tables) -> ClauseElement:
    """Return (part, number of events) of each part that was detached, in order of position."""
    if not tables.layout.is_partitioned:
        return select(cast_to(null(), Text).label("part"), literal_column("0").label("events")).where(_never())
    parts = tables.detached_parts.c
    return select(_as_json(tables), parts.events).order_by(parts.first_position)


def is_in_part(tables: Tables, position: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return whether a position is in a part that was detached."""
    if not tables.layout.is_partitioned:
        return _never()
    parts = tables.detached_parts.alias("part_of_position").c
    return (
        select(literal_column("1").label("one"))
        .where(parts.first_position <= position, parts.last_position >= position)
        .exists()
    )


def _as_json(tables: Tables, *more: ColumnElement[Any]) -> ColumnElement[Any]:
    parts = tables.detached_parts.c
    columns = (parts.first_position, parts.last_position, parts.name, parts.location, parts.sha256)
    return cast_to(func.jsonb_build_array(*columns, *more, type_=JSONB()), Text).label("part")


def _never() -> ColumnElement[bool]:
    return literal_column("1 = 0")


def _no_part() -> Select[Any]:
    return select(cast_to(null(), Text).label("part")).where(_never())
