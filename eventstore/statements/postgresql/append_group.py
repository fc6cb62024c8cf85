"""The statement that appends to several streams, each independently of the others, and waits for no head."""

from typing import Final

from sqlalchemy.sql import ClauseElement

from eventstore.statements.postgresql.many_streams import KNOWN_STREAMS, TYPES, insert_events
from eventstore.statements.text import sql_text
from eventstore.tables import ENDS, Tables

_APPEND: Final = (
    """
WITH
    known AS (
        """
    + KNOWN_STREAMS
    + """
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
        SET version = locked.version + locked.count, updated_at = statement_timestamp()
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
        """
    + insert_events(
        verdict="accepted",
        condition="accepted.versions[event.number] IS NOT NULL",
        returning="stream_id, version, position",
    )
    + """
    )
SELECT stored.stream_id, stored.version, stored.position
FROM stored
"""
)


def append_group(tables: Tables) -> ClauseElement:
    """Append to those of several streams that are at the expected version and not locked.

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
    ends = ENDS if tables.layout.streams_can_end else ()
    has_not_ended = "".join(f"\n                AND head.{name} IS NULL" for name in ends)
    return sql_text(_APPEND, tables, types=TYPES, has_not_ended=has_not_ended)
