"""Statements about the global order: how far it is settled, and all events of a part of it."""

from sqlalchemy import BigInteger, Text, bindparam, case, cast, column, func, select, table, true
from sqlalchemy.sql import ClauseElement

from eventstore.statements.names import name_of_events
from eventstore.statements.reading import event_columns
from eventstore.tables import Tables

_LOCKS = table(
    "pg_locks",
    *[column(name) for name in ("locktype", "database", "relation", "virtualtransaction", "pid", "mode", "granted")],
    schema="pg_catalog",
)
_DATABASES = table("pg_database", column("oid"), column("datname"), schema="pg_catalog")
_SEQUENCES = table("pg_sequence", column("seqrelid"), column("seqcache"), schema="pg_catalog")


def newest_position(tables: Tables) -> ClauseElement:
    """Return the largest position that can be seen, 0 where there is none."""
    return select(func.coalesce(func.max(tables.events.c.position), 0))


def look(tables: Tables) -> ClauseElement:
    """Return the newest position and, if it is above `settled`, who holds the lock of appends (PostgreSQL).

    One statement: its snapshot is taken before the locks are read. So an append that was drawn a position below the
    newest one, and is not among the holders, had ended before, and is seen by whatever statement starts after this one.

    The row: newest position; virtual transactions that hold RowExclusiveLock on es_events; whether we are one of them;
    the isolation level; when this server was started; and on a standby, where the locks of the primary do not show, the
    oldest running transaction and the next one to begin, otherwise NULL.
    """
    newest = select(func.coalesce(func.max(tables.events.c.position), 0).label("position")).subquery("newest")
    this_database = select(_DATABASES.c.oid).where(_DATABASES.c.datname == func.current_database())
    appenders = (
        select(
            func.array_agg(_LOCKS.c.virtualtransaction).label("appenders"),
            func.bool_or(_LOCKS.c.pid == func.pg_backend_pid()).label("own"),
        )
        .where(
            newest.c.position > bindparam("settled", type_=BigInteger),  # where it is not, the locks are not read
            _LOCKS.c.locktype == "relation",
            _LOCKS.c.database == this_database.scalar_subquery(),
            _LOCKS.c.relation == func.to_regclass(name_of_events(tables)),
            _LOCKS.c.mode == "RowExclusiveLock",
            _LOCKS.c.granted,
        )
        .lateral("appenders")
    )
    oldest = func.pg_snapshot_xmin(func.pg_current_snapshot())
    oldest_number = cast(cast(oldest, Text), BigInteger)
    in_recovery = func.pg_is_in_recovery()
    return select(
        newest.c.position,
        appenders.c.appenders,
        appenders.c.own,
        func.current_setting("transaction_isolation"),
        func.pg_postmaster_start_time(),
        case((in_recovery, oldest_number)),
        case((in_recovery, oldest_number + func.age(func.xid(oldest)))),
    ).select_from(newest.join(appenders, true()))


def end_of_run(tables: Tables) -> ClauseElement:
    """Return the last position of those that follow `after_position` without a hole, itself where there are none.

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
    last = func.max(following.c.position)
    return select(func.coalesce(last, after)).where(following.c.position == after + following.c.place)


def position_cache(tables: Tables) -> ClauseElement:
    """Return how many positions a session draws from the sequence at once; no row without a sequence (PostgreSQL)."""
    sequence = func.to_regclass(func.pg_get_serial_sequence(name_of_events(tables), "position"))
    return select(_SEQUENCES.c.seqcache).where(_SEQUENCES.c.seqrelid == sequence)


def read_everything(tables: Tables) -> ClauseElement:
    """Return a page of all events with after_position < position <= up_to_position, in order."""
    position = tables.events.c.position
    return (
        select(*event_columns(tables))
        .where(position > bindparam("after_position"), position <= bindparam("up_to_position"))
        .order_by(position)
        .limit(bindparam("page_size", type_=BigInteger))
    )
