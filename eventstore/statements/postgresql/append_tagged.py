"""The statement that appends to a stream on condition that boundaries are unchanged, and stores the tags."""

from functools import cache
from typing import Any, Final

from sqlalchemy import ARRAY, BigInteger, Integer, LargeBinary, SmallInteger, Text, Uuid
from sqlalchemy.sql import ClauseElement

from eventstore.statements import Statement
from eventstore.statements.postgresql.boundaries import VERDICT, VERDICT_TYPES
from eventstore.statements.text import sql_text
from eventstore.streams import Expectation
from eventstore.tables import ENDS, Tables

_HEADS: Final = {
    Expectation.NEW: """
        INSERT INTO {streams} AS head (stream_id, version)
        SELECT :stream_id AS stream_id, :count AS version FROM verdict WHERE verdict.is_accepted
        ON CONFLICT (stream_id) DO NOTHING
        RETURNING head.version
    """,
    Expectation.NOTHING: """
        INSERT INTO {streams} AS head (stream_id, version)
        SELECT :stream_id AS stream_id, :count AS version FROM verdict WHERE verdict.is_accepted
        ON CONFLICT (stream_id) DO UPDATE
        SET version = head.version + :count, updated_at = clock_timestamp()
        WHERE {has_not_ended}
        RETURNING head.version
    """,
    Expectation.VERSION: """
        UPDATE {streams} AS head
        SET version = head.version + :count, updated_at = clock_timestamp()
        FROM verdict
        WHERE verdict.is_accepted AND head.stream_id = :stream_id AND head.version = :expected AND {has_not_ended}
        RETURNING head.version
    """,
    Expectation.EXISTING: """
        UPDATE {streams} AS head
        SET version = head.version + :count, updated_at = clock_timestamp()
        FROM verdict
        WHERE verdict.is_accepted AND head.stream_id = :stream_id AND head.version > 0 AND {has_not_ended}
        RETURNING head.version
    """,
}

_APPEND: Final = (
    """
WITH
    """
    + VERDICT
    + """,
    head AS ({head}),
    stored AS (
        INSERT INTO {events} (stream_id, version, event_id, event_type, schema_version, codec, data, metadata)
        SELECT
            :stream_id AS stream_id,
            head.version - :count + event.ordinal AS version,
            event.event_id,
            event.event_type,
            event.schema_version,
            event.codec,
            event.data,
            CAST(event.metadata AS JSONB) AS metadata
        FROM head
        JOIN unnest(:event_ids, :event_types, :schema_versions, :codecs, :data, :metadata) WITH ORDINALITY
            AS event(event_id, event_type, schema_version, codec, data, metadata, ordinal) ON true
        ORDER BY event.ordinal
        RETURNING version, position
    ),
    positions AS (
        SELECT array_agg(stored.position ORDER BY stored.version) AS of_all, max(stored.version) AS version
        FROM stored
    ),
    tagged AS (
        INSERT INTO {tags} (position, tag, event_type)
        SELECT positions.of_all[tag.ordinal] AS position, tag.name, tag.event_type
        FROM positions
        JOIN unnest(:tag_ordinals, :tags, :tag_types) AS tag(ordinal, name, event_type) ON true
        WHERE positions.version IS NOT NULL
    )
SELECT
    verdict.is_current,
    verdict.changed,
    positions.version,
    positions.of_all AS positions
FROM verdict
JOIN positions ON true
"""
)

_TYPES: Final[dict[str, Any]] = {
    **VERDICT_TYPES,
    "stream_id": Text,
    "count": BigInteger,
    "event_ids": ARRAY(Uuid),
    "event_types": ARRAY(Text),
    "schema_versions": ARRAY(Integer),
    "codecs": ARRAY(SmallInteger),
    "data": ARRAY(LargeBinary),
    "metadata": ARRAY(Text),
    "tag_ordinals": ARRAY(Integer),
    "tags": ARRAY(Text),
    "tag_types": ARRAY(Text),
}


@cache
def append_tagged(expectation: Expectation) -> Statement:
    """Return the statement that appends events with tags to a stream, unless a boundary has changed.

    It returns one row: whether the boundaries are of this log, at READ COMMITTED, NULL if no tags were locked in this
    transaction; the position of the first event that has changed one of them, or NULL; the version of the last event;
    and the positions of all. These two are NULL if nothing was stored, because of a boundary or a conflict; then
    nothing was changed or raised.

    The tags must be locked by an earlier statement of the transaction. So the snapshot of this one, in which it
    compares the boundaries, has all that those have stored who have held the locks before.
    """

    def append_tagged_to_stream(tables: Tables) -> ClauseElement:
        has_not_ended = " AND ".join(f"head.{name} IS NULL" for name in ENDS)
        head = _HEADS[expectation].replace("{has_not_ended}", has_not_ended)
        types = {**_TYPES, "expected": BigInteger} if expectation is Expectation.VERSION else _TYPES
        return sql_text(_APPEND.replace("{head}", head), tables, types=types)

    return append_tagged_to_stream
