"""What statements that read events say of the parts of the log that were detached.

They read the list of these parts themselves, in the snapshot in which they read the events. A part is listed, and all
older transactions have ended, before it is detached. So a statement sees the events of a part, or that it is listed.

A listed part is a JSON array: first and last position, name, location, SHA-256. As long as none is listed, no page of
any table or index is read for it.
"""

from typing import Any, Final

from sqlalchemy import BigInteger, ColumnElement, Select, Text, bindparam, exists, literal_column, null, select, union_all
from sqlalchemy import cast as cast_to
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql import ClauseElement, func

from eventstore.tables import Tables

NO_PART: Final = "CAST(NULL AS TEXT)"

PART_AFTER: Final = """(
        SELECT
            CAST(
                jsonb_build_array(part.first_position, part.last_position, part.name, part.location, part.sha256)
                AS TEXT
            ) AS part
        FROM {detached_parts} AS part
        WHERE part.events > 0 AND part.last_position > :after_position AND part.first_position <= :up_to_position
        ORDER BY part.last_position
        LIMIT 1
    )"""
"""The first part that has events after a position, and up to another one; NULL if there is none."""


def part_at(tables: Tables) -> ClauseElement:
    """Return (part) of the part that had a position; no row if that was not detached."""
    parts = tables.detached_parts.c
    position = bindparam("position", type_=BigInteger)
    return select(_as_json(tables)).where(
        literal_column("true") if tables.parts_can_be_detached else literal_column("1 = 0"),
        parts.first_position <= position,
        parts.last_position >= position,
    )


def part_of_stream(tables: Tables) -> ClauseElement:
    """Return (part) of the first part that may have events of a stream, with the version of its head as a sixth value.

    No row if the stream has no events in any part that was detached.
    """
    parts, streams = tables.detached_parts.c, tables.streams.c
    of_stream = streams.stream_id == bindparam("stream_id")
    # They are evaluated for rows of es_detached_parts only, so not at all if there are none.
    born_after = select(streams.after_position).where(of_stream).scalar_subquery()
    version = select(streams.version).where(of_stream).scalar_subquery()
    return (
        select(_as_json(tables, version))
        .where(parts.events > literal_column("0"), parts.last_position > born_after)
        .order_by(parts.last_position)
        .limit(literal_column("1"))
    )
