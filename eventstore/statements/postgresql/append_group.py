"""The statement that appends to several streams, each independently of the others, and waits for no head."""

from functools import cache
from typing import Final

from sqlalchemy import ARRAY, BigInteger, Integer, LargeBinary, SmallInteger, Text, Uuid
from sqlalchemy.sql import ClauseElement

from eventstore.statements import Statement
from eventstore.statements.postgresql.names import name_of_events
from eventstore.statements.postgresql.notifications import NOTIFICATION
from eventstore.statements.text import sql_text
from eventstore.tables import ENDS, Tables

_APPEND: Final = """
WITH
    known AS (
        SELECT
            target.number,
            target.stream_id COLLATE "C" AS stream_id,
            target.count,
            target.lowest,
            target.highest,
            head.version
        FROM unnest(:stream_ids, :counts, :lowest, :highest) WITH ORDINALITY
            AS target(stream_id, count, lowest, highest, number)
        LEFT JOIN {streams} AS head ON head.stream_id = (target.stream_id COLLATE "C")
        WHERE (SELECT set_config('lock_timeout', '10ms', true) AS patience) IS NOT NULL
    ),
    created AS (
        INSERT INTO {streams} (stream_id, version)
        SELECT known.stream_id, known.count
        FROM known
        WHERE known.version IS NULL AND known.lowest = 0
        ORDER BY known.number
        ON CONFLICT (stream_id) DO NOTHING
        RETURNING stream_id
    ),
    locked AS (
        SELECT
            known.number,
            head.stream_id,
            known.count,
            head.version,
            head.version BETWEEN known.lowest AND known.highest{has_not_ended} AS is_accepted
        FROM known
        JOIN {streams} AS head ON head.stream_id = known.stream_id
        WHERE known.version BETWEEN known.lowest AND known.highest
            AND (SELECT count(*) AS number FROM created) >= 0
        ORDER BY known.number
        FOR NO KEY UPDATE OF head SKIP LOCKED
    ),
    advanced AS (
        UPDATE {streams} AS head
        SET version = locked.version + locked.count, updated_at = clock_timestamp()
        FROM locked
        WHERE head.stream_id = locked.stream_id AND locked.is_accepted
        RETURNING locked.number, locked.version
    ),
    accepted AS (
        SELECT
            array_agg(
                CASE WHEN created.stream_id IS NULL THEN advanced.version ELSE 0 END ORDER BY known.number
            ) AS versions
        FROM known
        LEFT JOIN created ON created.stream_id = known.stream_id
        LEFT JOIN advanced ON advanced.number = known.number
    ),
    stored AS (
        INSERT INTO {events} (stream_id, version, event_id, event_type, schema_version, codec, data, metadata)
        SELECT
            event.stream_id,
            accepted.versions[event.number] + event.offset_in_stream AS version,
            event.event_id,
            event.event_type,
            event.schema_version,
            event.codec,
            event.data,
            CAST(event.metadata AS JSONB) AS metadata
        FROM unnest(
            :event_streams, :numbers, :offsets, :event_ids, :event_types, :schema_versions, :codecs, :data, :metadata
        ) WITH ORDINALITY AS event(
            stream_id, number, offset_in_stream, event_id, event_type, schema_version, codec, data, metadata, ordinal
        )
        JOIN accepted ON accepted.versions[event.number] IS NOT NULL
        ORDER BY event.ordinal
        RETURNING stream_id, version, position
    )
SELECT stored.stream_id, stored.version, stored.position{notification}
FROM stored
"""

_TYPES: Final = {
    "stream_ids": ARRAY(Text),
    "counts": ARRAY(BigInteger),
    "lowest": ARRAY(BigInteger),
    "highest": ARRAY(BigInteger),
    "event_streams": ARRAY(Text),
    "numbers": ARRAY(Integer),
    "offsets": ARRAY(BigInteger),
    "event_ids": ARRAY(Uuid),
    "event_types": ARRAY(Text),
    "schema_versions": ARRAY(Integer),
    "codecs": ARRAY(SmallInteger),
    "data": ARRAY(LargeBinary),
    "metadata": ARRAY(Text),
}


@cache
def append_group(*, notify: bool) -> Statement:
    """Return the statement that appends to those of several streams that are at the expected version and not locked.

    It returns a row (stream id, version, position) for each event that it has stored. A stream without a row is at
    another version, was closed, or is locked by another transaction. It fails, and stores nothing, if it would have to
    wait for longer than some milliseconds: for the writer of a new stream, which can't be skipped.

    Its steps, each reading from the one before:

    1. Create the missing heads, in sorted order. If another writer has created one meanwhile, it is left out.
    2. Lock the other heads; those that are locked are left out. The condition that at least 0 heads were created makes
       this step wait until all are.
    3. Advance the heads that are at the expected version.
    4. Store the events in the order of the list, with the versions from an array. So all positions are drawn when all
       heads are locked.
    """

    def append_to_streams(tables: Tables) -> ClauseElement:
        notification = f", {NOTIFICATION}" if notify else ""
        ends = ENDS if tables.streams_can_end else ()
        has_not_ended = "".join(f"\n                AND head.{name} IS NULL" for name in ends)
        statement = sql_text(_APPEND, tables, types=_TYPES, notification=notification, has_not_ended=has_not_ended)
        return statement.bindparams(name_of_events(tables)) if notify else statement

    return append_to_streams
