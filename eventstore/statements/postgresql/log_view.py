"""Statements that find out how far the global order is settled."""

from typing import Final

from sqlalchemy import ARRAY, BigInteger, Uuid
from sqlalchemy.sql import ClauseElement

from eventstore.statements.postgresql.names import name_of_events
from eventstore.statements.postgresql.positions import DRAWING_STATE
from eventstore.statements.text import sql_text, table_name
from eventstore.tables import Tables

IS_OF_APPEND: Final = """pg_locks.locktype = 'relation'
        AND pg_locks.database = (
            SELECT pg_database.oid FROM pg_catalog.pg_database WHERE pg_database.datname = current_database()
        )
        AND pg_locks.relation = to_regclass(:name_of_es_events)
        AND pg_locks.mode = 'RowExclusiveLock'
        AND pg_locks.granted"""
"""Whether a row of pg_locks is the lock that an append holds from before its position is drawn until it has ended."""

SERVER: Final = """
    SELECT
        CAST(CAST(to_regclass(:name_of_es_events) AS OID) AS BIGINT) AS es_events,
        pg_postmaster_start_time() AS started_at,
        pg_is_in_recovery() AS in_recovery
"""
"""What identifies a server, and a table es_events on it.

Every role may read these. They do not detect every loss of events, because a crash recovery changes none of them.
"""

_MUST_READ_LOCKS: Final = """(
        coalesce(newest.position, 0) > :settled OR :settled > 0 AND NOT coalesce(:settled_id = any(known.ids), false)
    )"""

_OLDEST: Final = "CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS TEXT) AS BIGINT)"

_LOG_VIEW: Final = """
SELECT
    newest.position,
    newest.event_id,
    newest.stream_id,
    newest.version,
    known.positions,
    known.ids,
    {must_read_locks} AS has_read_locks,
    holders.appenders,
    holders.own,
    current_setting('transaction_isolation') AS isolation_level,
    server.es_events,
    server.started_at,
    server.in_recovery,
    state.persistence,
    state.cache,
    state.drawn,
    CASE WHEN server.in_recovery THEN {oldest} END AS oldest,
    CASE WHEN server.in_recovery THEN {oldest} + age(xid(pg_snapshot_xmin(pg_current_snapshot()))) END AS next_id
FROM ({server}) AS server
JOIN ({drawing_state}) AS state ON true
LEFT JOIN (
    SELECT newest_event.position, newest_event.event_id, newest_event.stream_id, newest_event.version
    FROM {events} AS newest_event
    ORDER BY newest_event.position DESC
    LIMIT 1
) AS newest ON true
JOIN (
    SELECT array_agg(known_event.position) AS positions, array_agg(known_event.event_id) AS ids
    FROM {known_events}
) AS known ON true
JOIN LATERAL (
    SELECT
        array_agg(pg_locks.virtualtransaction) AS appenders,
        bool_or(pg_locks.pid = pg_backend_pid()) AS own
    FROM pg_catalog.pg_locks
    WHERE {must_read_locks}
        AND {is_of_append}
) AS holders ON true
"""

_KNOWN: Final = """{events} AS known_event
    WHERE known_event.position = any(:positions)"""
_KNOWN_IN_PARTS: Final = """unnest(:positions) AS asked(position)
    JOIN LATERAL (
        SELECT event.position, event.event_id
        FROM {events} AS event
        WHERE event.position = asked.position
        LIMIT 1
    ) AS known_event ON true"""
"""Looks up each position, so that PostgreSQL searches the part that it is in only; LIMIT 1 prevents another join.

With LIMIT 1, PostgreSQL also expects one lookup to read one part. If it expects all of them to be read, it plans the
statement again each time it runs, for all parts.
"""

_LAST_WITHOUT_GAP: Final = """
SELECT
    last.position,
    last.event_id,
    last.stream_id,
    last.version,
    (
        SELECT event_before.event_id FROM {events} AS event_before WHERE event_before.position = :after_position
    ) AS id_before,
    server.es_events,
    server.started_at,
    server.in_recovery
FROM ({server}) AS server
LEFT JOIN (
    SELECT last_event.position, last_event.event_id, last_event.stream_id, last_event.version
    FROM {events} AS last_event
    WHERE {in_range}last_event.position = (
        SELECT max(following.position) AS position
        FROM (
            SELECT event.position, row_number() OVER (ORDER BY event.position) AS number
            FROM {events} AS event
            WHERE event.position > :after_position
            ORDER BY event.position
            LIMIT :size
        ) AS following
        WHERE following.position = :after_position + following.number
    )
) AS last ON true
"""

_IN_RANGE: Final = "last_event.position > :after_position AND "
"""Says what follows from the rest, so that PostgreSQL does not plan for the parts before."""


def log_view(tables: Tables) -> ClauseElement:
    """Return the newest event, and the holders of the lock of appends.

    It is one statement, whose snapshot is taken before it reads the locks. So an append that has drawn a position below
    the newest one, and is not among the holders, had ended before, and every statement that starts after this one sees
    it.

    The locks are not read if nothing is newer than what is already settled, and that is still in place: the event with
    the id `settled_id` at position `settled`, which is one of `positions`.

    The columns: position, event id, stream id and version of the newest event, NULL if there is none; the events at
    `positions`, as two arrays, of positions and of ids; whether the locks were read; the virtual transactions that hold
    RowExclusiveLock on es_events; whether this transaction is one of them; the isolation level; what identifies the
    server; the columns of `positions.DRAWING_STATE`; and, on a standby, where the primary's locks are not visible, the
    oldest running transaction and the next transaction id, otherwise NULL.
    """
    types = {"positions": ARRAY(BigInteger), "settled": BigInteger, "settled_id": Uuid()}
    known = _KNOWN_IN_PARTS if tables.layout.is_partitioned else _KNOWN
    parts = {
        "known_events": known.format(events=table_name(tables.events)),
        "is_of_append": IS_OF_APPEND,
        "server": SERVER,
        "drawing_state": DRAWING_STATE,
        "must_read_locks": _MUST_READ_LOCKS,
        "oldest": _OLDEST,
    }
    return sql_text(_LOG_VIEW, tables, types=types, **parts).bindparams(name_of_events(tables))


def last_without_gap(tables: Tables) -> ClauseElement:
    """Return the last of the events that follow `after_position` without a gap, among `size` events at most.

    The columns: position, event id, stream id and version, NULL if there is a gap right after the position; the id of
    the event at `after_position`; what identifies the server.
    """
    types = {"after_position": BigInteger, "size": BigInteger}
    in_range = _IN_RANGE if tables.layout.is_partitioned else ""
    return sql_text(_LAST_WITHOUT_GAP, tables, types=types, server=SERVER, in_range=in_range).bindparams(
        name_of_events(tables)
    )
