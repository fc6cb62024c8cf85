"""Statements about the global order: how far it is settled, and all events of a part of it."""

from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Select,
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
from sqlalchemy.sql import ClauseElement

from eventstore.statements.closing import CLOSING_TYPES
from eventstore.statements.names import name_of_events
from eventstore.statements.positions import drawing_state, last_number
from eventstore.statements.reading import event_columns
from eventstore.statements.servers import event_id_at, server_columns, with_header, with_plain_header
from eventstore.tables import Tables

_LOCKS = table(
    "pg_locks",
    *[column(name) for name in ("locktype", "database", "relation", "virtualtransaction", "pid", "mode", "granted")],
    schema="pg_catalog",
)
_DATABASES = table("pg_database", column("oid"), column("datname"), schema="pg_catalog")


def newest_position(tables: Tables) -> ClauseElement:
    """Return the largest position that can be seen, 0 if there is none."""
    return select(func.coalesce(func.max(tables.events.c.position), 0))


def look_at_newest(tables: Tables) -> ClauseElement:
    """Return the newest event, and which events stand where they are known to be (SQLite).

    The row: position, event id, stream id and version of the newest event, NULL if there is none; the ids of the events
    at `settled` and at `token_position`; the last position that was drawn, NULL if there was none.
    """
    newest = _newest(tables).subquery("newest")
    known = select(
        event_id_at(tables, "settled").label("settled_id"),
        event_id_at(tables, "token_position").label("token_id"),
        last_number(tables).label("drawn"),
    ).subquery("known")
    return select(*newest.c, *known.c).select_from(known.outerjoin(newest, true()))


def look(tables: Tables) -> ClauseElement:
    """Return the newest event, and who holds the lock of appends (PostgreSQL).

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
    newest = _newest(tables).subquery("newest")
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
    """Return the last event of those that follow `after_position` without a gap (PostgreSQL).

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


def closing_event_after(tables: Tables) -> ClauseElement:
    """Return the position of the last event of a stream after a version that says that the stream has ended.

    No row if there is none. Such an event stands for those before it, which were deleted.
    """
    events = tables.events.c
    return (
        select(events.position)
        .where(
            events.stream_id == bindparam("stream_id"),
            events.version > bindparam("version", type_=BigInteger),
            events.event_type.in_(CLOSING_TYPES),
        )
        .order_by(events.version.desc())
        .limit(1)
    )


def first_event_from(tables: Tables) -> ClauseElement:
    """Return the first event at or after a position: position, event id, stream id and version; no row if none is."""
    events = tables.events.c
    return (
        select(events.position, events.event_id, events.stream_id, events.version)
        .where(events.position >= bindparam("position", type_=BigInteger))
        .order_by(events.position)
        .limit(1)
    )


def _newest(tables: Tables) -> Select[Any]:
    newest = tables.events.alias("newest_event").c
    columns = (newest.position, newest.event_id, newest.stream_id, newest.version)
    # One that is a parameter makes the planner expect a tenth of the table, and plan at each execution again.
    return select(*columns).order_by(newest.position.desc()).limit(literal_column("1"))


def read_everything(tables: Tables) -> ClauseElement:
    """Return a page of all events with after_position < position <= up_to_position, in order, behind a header."""
    return with_header(tables, _all_events(tables))


def read_everything_plainly(tables: Tables) -> ClauseElement:
    """Return the same (SQLite)."""
    return with_plain_header(tables, _all_events(tables))


def page_of_events(tables: Tables) -> ClauseElement:
    """Return the same without a header."""
    return _all_events(tables)


def _all_events(tables: Tables) -> Select[Any]:
    position = tables.events.c.position
    return (
        select(*event_columns(tables))
        .where(position > bindparam("after_position"), position <= bindparam("up_to_position"))
        .order_by(position)
        .limit(bindparam("page_size", type_=BigInteger))
    )
