"""Statements that find out how far the global order is settled, if Citus has the tables of a schema on a worker.

Each reads either from the tables, so that Citus sends all of it to the worker, or only from the coordinator's catalog.
A statement that joined both would read them in an order of Citus's choice.
"""

from functools import cache
from typing import Any, Final

from sqlalchemy import ARRAY, BigInteger, Integer, LargeBinary, SmallInteger, Text, Uuid, bindparam, cast
from sqlalchemy import insert as insert_into
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql import ClauseElement

from eventstore.statements import Statement
from eventstore.statements.postgresql.log_view import IS_OF_APPEND, SERVER
from eventstore.statements.postgresql.names import name_of_events
from eventstore.statements.postgresql.positions import DRAWING_STATE
from eventstore.statements.text import sql_text
from eventstore.tables import Tables

_END_OF_LOG: Final = """
SELECT
    newest.position,
    newest.event_id,
    newest.stream_id,
    newest.version,
    known.positions,
    known.ids,
    server.es_events,
    server.started_at,
    server.in_recovery
FROM ({server}) AS server
JOIN (
    SELECT array_agg(known_event.position) AS positions, array_agg(known_event.event_id) AS ids
    FROM {events} AS known_event
    WHERE known_event.position = any(:positions)
) AS known ON true
LEFT JOIN (
    SELECT newest_event.position, newest_event.event_id, newest_event.stream_id, newest_event.version
    FROM {events} AS newest_event
    ORDER BY newest_event.position DESC
    LIMIT 1
) AS newest ON true
"""

_APPENDS_ON_COORDINATOR: Final = """
SELECT
    holders.appenders,
    holders.own,
    current_setting('transaction_isolation') AS isolation_level,
    pg_is_in_recovery() AS in_recovery,
    state.persistence,
    state.cache,
    state.drawn
FROM ({drawing_state}) AS state
JOIN LATERAL (
    SELECT
        array_agg(pg_locks.virtualtransaction) AS appenders,
        bool_or(pg_locks.pid = pg_backend_pid()) AS own
    FROM pg_catalog.pg_locks
    WHERE {is_of_append}
) AS holders ON true
"""

_APPENDS_ELSEWHERE: Final = """
SELECT CAST(CAST(pg_class.oid AS REGCLASS) AS TEXT) AS es_events
FROM pg_catalog.pg_locks
JOIN pg_catalog.pg_class ON pg_class.oid = pg_locks.relation AND pg_class.relname = 'es_events'
WHERE pg_locks.pid = pg_backend_pid()
    AND pg_locks.locktype = 'relation'
    AND pg_locks.mode = 'RowExclusiveLock'
    AND pg_locks.relation <> to_regclass(:name_of_es_events)
"""

_APPENDS_ON_WORKER: Final = """
SELECT
    (
        SELECT array_agg(held.virtualtransaction) AS appenders
        FROM pg_lock_status() AS held
        WHERE held.locktype = 'relation'
            AND held.database = (
                SELECT own.database
                FROM pg_lock_status() AS own
                WHERE own.pid = pg_backend_pid() AND own.relation = shard.tableoid
                LIMIT 1
            )
            AND held.relation = shard.tableoid
            AND held.mode = 'RowExclusiveLock'
            AND held.granted
    ) AS appenders,
    server.es_events,
    server.started_at,
    server.in_recovery
FROM ({server}) AS server
JOIN (SELECT any_event.tableoid FROM {events} AS any_event LIMIT 1) AS shard ON true
"""


def appends_elsewhere(tables: Tables) -> ClauseElement:
    """Return the other tables es_events, by name, to which this transaction has appended or may append."""
    return sql_text(_APPENDS_ELSEWHERE, tables).bindparams(name_of_events(tables))


def end_of_log(tables: Tables) -> ClauseElement:
    """Return the newest event, the events at `positions` as two arrays, and what identifies the worker.

    The columns: position, event id, stream id and version of the newest event, NULL if there is none; positions; ids;
    the oid of es_events on the worker; when the worker was started; whether it is in recovery.
    """
    types = {"positions": ARRAY(BigInteger)}
    return sql_text(_END_OF_LOG, tables, types=types, server=SERVER).bindparams(name_of_events(tables))


def appends_on_coordinator(tables: Tables) -> ClauseElement:
    """Return which transactions hold the lock of appends on the coordinator, and how it draws positions.

    The columns: the virtual transactions that hold RowExclusiveLock on es_events; whether this transaction is one of
    them; the isolation level; whether the coordinator is in recovery; the columns of `positions.DRAWING_STATE`.
    """
    return sql_text(_APPENDS_ON_COORDINATOR, tables, is_of_append=IS_OF_APPEND, drawing_state=DRAWING_STATE).bindparams(
        name_of_events(tables)
    )


def appends_on_worker(tables: Tables) -> ClauseElement:
    """Return which transactions hold the lock of appends on the worker; no row if there is no event.

    In a statement for a worker, es_events is the shard there, whose oid its rows have. Only the lock on the shard by
    this statement says which database it is in, because the worker's catalog can't be read by it.

    The columns: the virtual transactions that hold RowExclusiveLock on the shard, prepared ones among them; and what
    identifies the worker, as for `end_of_log`.
    """
    return sql_text(_APPENDS_ON_WORKER, tables, server=SERVER).bindparams(name_of_events(tables))


@cache
def insert_rows(count: int) -> Statement:
    """Return the statement that inserts so many events of one stream, as rows of values.

    Citus ends a transaction in one phase if its statements are for one worker and have their values in them. INSERT
    from a query, and COPY, make it one of two phases, in three times the time.

    The parameters are `stream_id`, and for event 0, 1, …: `version_0`, and so on. It returns (version, position) of
    each event.
    """

    def insert_some_rows(tables: Tables) -> ClauseElement:
        events = tables.events
        rows: list[dict[str, Any]] = [
            {
                "stream_id": bindparam("stream_id", type_=Text),
                "version": bindparam(f"version_{number}", type_=BigInteger),
                "event_id": bindparam(f"event_id_{number}", type_=Uuid),
                "event_type": bindparam(f"event_type_{number}", type_=Text),
                "schema_version": bindparam(f"schema_version_{number}", type_=Integer),
                "codec": bindparam(f"codec_{number}", type_=SmallInteger),
                "data": bindparam(f"data_{number}", type_=LargeBinary),
                "metadata": cast(bindparam(f"metadata_{number}", type_=Text), JSONB),
            }
            for number in range(count)
        ]
        return insert_into(events).values(rows).returning(events.c.version, events.c.position)

    return insert_some_rows
