"""The statement that appends to several streams at once, all or nothing."""

from typing import Final

from sqlalchemy.sql import ClauseElement

from eventstore.statements.postgresql.many_streams import KNOWN_STREAMS, TYPES, insert_events
from eventstore.statements.text import sql_text
from eventstore.tables import Tables

OVERTAKEN: Final = frozenset({"22012", "23505", "40001"})
"""The SQLSTATEs with which it fails if another writer has changed a stream meanwhile: a division by zero; a stream that
exists; a serialization failure, if the database's default isolation level is not READ COMMITTED."""

_APPEND: Final = (
    """
WITH
    known AS (
        """
    + KNOWN_STREAMS
    + """
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
        SET version = locked.version + locked.count, updated_at = statement_timestamp()
        FROM locked, verdict
        WHERE head.stream_id = locked.stream_id AND verdict.is_accepted
        RETURNING head.stream_id
    ),
    stored AS (
        """
    + insert_events(verdict="verdict", condition="verdict.is_accepted", returning="position")
    + """
    )
SELECT
    verdict.versions,
    (SELECT array_agg(stored.position ORDER BY stored.position) AS positions FROM stored) AS positions
FROM verdict
WHERE verdict.is_accepted
"""
)

_PARTS: Final = {
    "is_plausible": """(
            SELECT bool_and(coalesce(known.version, 0) BETWEEN known.lowest AND known.highest) AS is_plausible
            FROM known
        )""",
    **{f"number_{name}": f"(SELECT count(*) AS number FROM {name})" for name in ("known", "created", "locked")},
}


def append_to_all(tables: Tables) -> ClauseElement:
    """Append to several streams, each of which must be at a version between two bounds.

    It returns one row of two arrays: the versions of the streams before, and the positions of the events in the order
    of the list. If a stream is at another version, it returns no row and changes nothing. It fails with one of
    `OVERTAKEN` if another writer has changed a stream meanwhile.

    Its steps, each reading from the one before:

    1. Compare, without a lock, whether all streams are at the expected versions.
    2. Create the missing heads, in sorted order. If another writer has created one meanwhile, that is an error, because
       it can't be skipped.
    3. Lock the other heads, in sorted order, waiting for their writers. The condition that at least 0 heads were
       created makes this step wait until all are.
    4. Compare again, because the versions may have changed meanwhile. Created heads can be undone only by an error, a
       division by zero. The divisor is not a constant, because PostgreSQL evaluates constants when it plans.
    5. Advance the heads that existed, and store the events in the order of the list. So all positions are drawn when
       all heads are locked.

    Two of these never deadlock, for the reason that `PostgreSQLDialect.lock_heads` gives: both create and lock in this
    order.

    PostgreSQL may use a plan that was made for few streams for many. So arrays are joined only with `es_streams`, which
    has an index, and the events get the versions of their streams from an array.
    """
    return sql_text(_APPEND, tables, types=TYPES, **_PARTS)
