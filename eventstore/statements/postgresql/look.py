"""Statements that find out how far the global order is settled."""

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Text,
    Uuid,
    bindparam,
    case,
    cast,
    column,
    false,
    func,
    literal_column,
    select,
    table,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql import ClauseElement

from eventstore.statements.global_order import newest_event
from eventstore.statements.pages import event_id_at
from eventstore.statements.postgresql.names import name_of_events
from eventstore.statements.postgresql.positions import drawing_state
from eventstore.statements.postgresql.servers import server_columns
from eventstore.tables import Tables

_LOCKS = table(
    "pg_locks",
    *[column(name) for name in ("locktype", "database", "relation", "virtualtransaction", "pid", "mode", "granted")],
    schema="pg_catalog",
)


_DATABASES = table("pg_database", column("oid"), column("datname"), schema="pg_catalog")


def look(tables: Tables) -> ClauseElement:
    """Return the newest event, and who holds the lock of appends.

    One statement: its snapshot is taken before the locks are read. So an append that has drawn a position below the
    newest one, and is not among the holders, had ended before, and is seen by every statement that starts after this.

    The locks are not read if nothing is newer than what is settled already, and that is still there: an event with the
    id `settled_id` at position `settled`, which is one of `positions`.

    The row: position, event id, stream id and version of the newest event, NULL if there is none; which events stand at
    `positions`, as two arrays, of positions and of ids; whether the locks were read; virtual transactions that hold
    RowExclusiveLock on es_events; whether we are one of them; the isolation level; `server_columns`; `drawing_state`;
    and on a standby, where the locks of the primary do not show, the oldest running transaction and the next one to
    begin, otherwise NULL.
    """
    server = select(*server_columns(tables)).subquery("server")
    state = drawing_state(tables, "state")
    newest = newest_event(tables)
    kept_events = tables.events.alias("kept_events").c
    positions = bindparam("positions", type_=ARRAY(BigInteger))
    kept = (
        select(
            func.array_agg(kept_events.position).label("positions"), func.array_agg(kept_events.event_id).label("ids")
        )
        .where(kept_events.position == func.any(positions))
        .subquery("kept")
    )
    settled = bindparam("settled", type_=BigInteger)
    is_settled_kept = func.coalesce(bindparam("settled_id", type_=Uuid()) == func.any(kept.c.ids), false())
    nothing: ColumnElement[int] = literal_column("0")
    has_to_look = (func.coalesce(newest.c.position, nothing) > settled) | ((settled > nothing) & ~is_settled_kept)
    this_database = select(_DATABASES.c.oid).where(_DATABASES.c.datname == func.current_database())
    appenders = (
        select(
            func.array_agg(_LOCKS.c.virtualtransaction).label("appenders"),
            func.bool_or(_LOCKS.c.pid == func.pg_backend_pid()).label("own"),
        )
        .where(
            has_to_look,
            _LOCKS.c.locktype == literal_column("'relation'"),
            _LOCKS.c.database == this_database.scalar_subquery(),
            _LOCKS.c.relation == func.to_regclass(name_of_events(tables)),
            _LOCKS.c.mode == literal_column("'RowExclusiveLock'"),
            _LOCKS.c.granted,
        )
        .lateral("appenders")
    )
    oldest = func.pg_snapshot_xmin(func.pg_current_snapshot())
    oldest_number = cast(cast(oldest, Text), BigInteger)
    return select(
        *newest.c,
        *kept.c,
        has_to_look.label("has_looked"),
        *appenders.c,
        func.current_setting("transaction_isolation").label("isolation_level"),
        *server.c,
        *state.c,
        case((server.c.in_recovery, oldest_number)).label("oldest"),
        case((server.c.in_recovery, oldest_number + func.age(func.xid(oldest)))).label("next_id"),
    ).select_from(server.join(state, true()).outerjoin(newest, true()).join(kept, true()).join(appenders, true()))


def end_of_run(tables: Tables) -> ClauseElement:
    """Return the last event of those that follow `after_position` without a gap.

    The row: position, event id, stream id and version, NULL if there is a gap at once; the id of the event at
    `after_position`; `server_columns`.

    Args:
        tables: The tables. Of es_events, no more than `size` positions are looked at.
    """
    events, after = tables.events.c, bindparam("after_position", type_=BigInteger)
    following = (
        select(events.position, func.row_number().over(order_by=events.position).label("place"))
        .where(events.position > after)
        .order_by(events.position)
        .limit(bindparam("size", type_=BigInteger))
        .subquery("following")
    )
    last = select(func.max(following.c.position)).where(following.c.position == after + following.c.place)
    event = tables.events.alias("last_event").c
    server = select(*server_columns(tables)).subquery("server")
    found = (
        select(event.position, event.event_id, event.stream_id, event.version)
        .where(event.position == last.scalar_subquery())
        .subquery("found")
    )
    return select(*found.c, event_id_at(tables, "after_position").label("id_before"), *server.c).select_from(
        server.outerjoin(found, true())
    )
