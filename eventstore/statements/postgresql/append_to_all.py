"""The statement that appends to several streams at once: to all of them, or it changes nothing."""

from functools import cache
from typing import Final

from sqlalchemy import ARRAY, BigInteger, Integer, LargeBinary, SmallInteger, Text, Uuid
from sqlalchemy.sql import ClauseElement

from eventstore.statements import Statement
from eventstore.statements.postgresql.names import name_of_events
from eventstore.statements.postgresql.notifications import NOTIFICATION
from eventstore.statements.text import sql_text
from eventstore.tables import Tables

OVERTAKEN: Final = frozenset({"22012", "23505", "40001"})
"""How it fails where another writer came between: a division by zero, a stream that is there; a serialization failure,
where the database's default is not READ COMMITTED."""

_APPEND: Final = """
WITH
    known AS (
        SELECT
            wanted.number,
            wanted.stream_id COLLATE "C" AS stream_id,
            wanted.count,
            wanted.lowest,
            wanted.highest,
            head.version
        FROM unnest(:stream_ids, :counts, :lowest, :highest) WITH ORDINALITY
            AS wanted(stream_id, count, lowest, highest, number)
        LEFT JOIN {streams} AS head ON head.stream_id = (wanted.stream_id COLLATE "C")
    ),
    created AS (
        INSERT INTO {streams} (stream_id, version)
        SELECT known.stream_id, known.count
        FROM known
        WHERE {is_plausible} AND known.version IS NULL
        ORDER BY known.number
        RETURNING stream_id
    ),
    locked AS (
        SELECT
            known.number,
            head.stream_id,
            known.count,
            head.version,
            head.version BETWEEN known.lowest AND known.highest AS is_expected
        FROM known
        JOIN {streams} AS head ON head.stream_id = known.stream_id
        WHERE {is_plausible}
            AND {number_created} >= 0
        ORDER BY known.number
        FOR NO KEY UPDATE OF head
    ),
    verdict AS (
        SELECT
            CASE
                WHEN (bool_and(heads.is_expected) AND {number_created} + {number_locked} = {number_known}) THEN true
                WHEN {number_created} = 0 THEN false
                ELSE 1 / ({number_created} - {number_created}) = 1
            END AS is_accepted,
            array_agg(heads.version ORDER BY heads.number) AS versions
        FROM (
            SELECT known.number, CAST(0 AS BIGINT) AS version, true AS is_expected
            FROM known
            WHERE known.version IS NULL
            UNION ALL
            SELECT locked.number, locked.version, locked.is_expected
            FROM locked
        ) AS heads
    ),
    advanced AS (
        UPDATE {streams} AS head
        SET version = locked.version + locked.count, updated_at = clock_timestamp()
        FROM locked, verdict
        WHERE head.stream_id = locked.stream_id AND verdict.is_accepted
        RETURNING head.stream_id
    ),
    stored AS (
        INSERT INTO {events} (stream_id, version, event_id, event_type, schema_version, codec, data, metadata)
        SELECT
            event.stream_id,
            verdict.versions[event.number] + event.version AS version,
            event.event_id,
            event.event_type,
            event.schema_version,
            event.codec,
            event.data,
            CAST(event.metadata AS JSONB) AS metadata
        FROM unnest(
            :event_streams, :numbers, :places, :event_ids, :event_types, :schema_versions, :codecs, :data, :metadata
        ) WITH ORDINALITY AS event(
            stream_id, number, version, event_id, event_type, schema_version, codec, data, metadata, place
        )
        JOIN verdict ON verdict.is_accepted
        ORDER BY event.place
        RETURNING position
    ),
    positions AS (
        SELECT array_agg(stored.position ORDER BY stored.position) AS of_all
        FROM stored
    )
SELECT
    verdict.versions,
    (
        SELECT array_agg(positions.of_all[last.place] ORDER BY last.number) AS positions
        FROM unnest(:ends) WITH ORDINALITY AS last(place, number)
        JOIN positions ON true
    ) AS positions{notification}
FROM verdict
WHERE verdict.is_accepted
"""

_PARTS: Final = {
    "is_plausible": """(
            SELECT bool_and(coalesce(known.version, 0) BETWEEN known.lowest AND known.highest) AS is_plausible
            FROM known
        )""",
    **{f"number_{name}": f"(SELECT count(*) AS number FROM {name})" for name in ("known", "created", "locked")},
}

_TYPES: Final = {
    "stream_ids": ARRAY(Text),
    "counts": ARRAY(BigInteger),
    "lowest": ARRAY(BigInteger),
    "highest": ARRAY(BigInteger),
    "event_streams": ARRAY(Text),
    "numbers": ARRAY(Integer),
    "places": ARRAY(BigInteger),
    "event_ids": ARRAY(Uuid),
    "event_types": ARRAY(Text),
    "schema_versions": ARRAY(Integer),
    "codecs": ARRAY(SmallInteger),
    "data": ARRAY(LargeBinary),
    "metadata": ARRAY(Text),
    "ends": ARRAY(BigInteger),
}


@cache
def append_to_all(*, notify: bool) -> Statement:
    """Return the statement that appends to several streams, each of which must be at a version between two bounds.

    It returns one row: the versions that the streams had before, and the positions of the events at the places `ends`,
    as arrays. No row where a stream is at another version; then nothing is changed. It fails with one of `OVERTAKEN`
    where another writer came between.

    In this order, each step reading from the one before:

    1. Look, without a lock, whether all is as expected.
    2. Create the missing heads, in sorted order. One that somebody else has created meanwhile is an error: it can't be
       skipped.
    3. Lock the others, in sorted order, waiting for their writers. That so many were created as were, at least 0, is
       known only when all are.
    4. Look again: they may have changed meanwhile. What was created can't be taken back but by a failure, a division by
       zero; a constant zero would be divided by when the statement is planned.
    5. Advance the heads that were there, and store the events in the order of the list: all positions are drawn when
       all heads are locked.

    Two of these never deadlock, for the reason that `PostgreSQL.lock_heads` gives: it creates and locks in this order.

    A plan that was made for few streams is used for many. So lists are joined to `es_streams` only, which has an index;
    what is known of the streams comes to the events as an array.
    """

    def append_to_streams(tables: Tables) -> ClauseElement:
        notification = f",\n    {NOTIFICATION}" if notify else ""
        statement = sql_text(_APPEND, tables, types=_TYPES, notification=notification, **_PARTS)
        return statement.bindparams(name_of_events(tables)) if notify else statement

    return append_to_streams
