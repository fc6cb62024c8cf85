"""Statements that read the server's settings, its sessions, and transactions that hold readers back."""

from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Text,
    bindparam,
    cast,
    column,
    func,
    literal_column,
    select,
    table,
)
from sqlalchemy.sql import ClauseElement

from eventstore.statements.postgresql.names import identities_of, name_of_events
from eventstore.tables import Tables, now


def _catalog(name: str, *columns: str) -> Any:
    return table(name, *[column(each) for each in columns], schema="pg_catalog")


_SETTINGS = _catalog("pg_settings", "name", "setting")
_SESSIONS = _catalog(
    "pg_stat_activity",
    "pid",
    "datname",
    "usesysid",
    "usename",
    "application_name",
    "state",
    "xact_start",
    "backend_type",
)
_LOCKS = _catalog("pg_locks", "locktype", "database", "relation", "pid", "mode", "granted")
_DATABASES = _catalog("pg_database", "oid", "datname")
_PREPARED = _catalog("pg_prepared_xacts", "gid", "prepared", "owner", "database")
_CLASSES = _catalog("pg_class", "oid", "relname", "reloptions")


def server_settings(_: Tables) -> ClauseElement:
    """Return (name, value) of the settings in the array `names`."""
    return select(cast(_SETTINGS.c.name, Text), cast(_SETTINGS.c.setting, Text)).where(
        _SETTINGS.c.name == func.any(bindparam("names", type_=ARRAY(Text)))
    )


def server_process(_: Tables) -> ClauseElement:
    """Return (whether the server is a standby, how many clients it has).

    Without further rights, a user does not see the type of other users' sessions. Those that have a user are counted as
    clients.
    """
    sessions = _SESSIONS.c
    is_client = func.coalesce(
        sessions.backend_type == literal_column("'client backend'"), sessions.usesysid.is_not(None)
    )
    clients = select(func.count().label("number")).select_from(_SESSIONS).where(is_client).scalar_subquery()
    return select(func.pg_is_in_recovery().label("in_recovery"), clients.label("clients"))


def unfinished_appends(tables: Tables) -> ClauseElement:
    """Return (process id, user, application, state, seconds) of open transactions that have appended."""
    sessions, this_database = (
        _SESSIONS.c,
        select(_DATABASES.c.oid).where(_DATABASES.c.datname == func.current_database()),
    )
    return (
        select(
            sessions.pid,
            cast(sessions.usename, Text),
            cast(sessions.application_name, Text),
            cast(sessions.state, Text),
            _seconds_since(sessions.xact_start).label("seconds"),
        )
        .select_from(_SESSIONS.join(_LOCKS, _LOCKS.c.pid == sessions.pid))
        .where(
            _LOCKS.c.locktype == literal_column("'relation'"),
            _LOCKS.c.database == this_database.scalar_subquery(),
            _LOCKS.c.relation == func.to_regclass(name_of_events(tables)),
            _LOCKS.c.mode == literal_column("'RowExclusiveLock'"),
            _LOCKS.c.granted,
            sessions.pid != func.pg_backend_pid(),
        )
        .order_by(sessions.xact_start)
    )


def prepared_transactions(_: Tables) -> ClauseElement:
    """Return (name, owner, seconds) of the prepared transactions of this database."""
    prepared = _PREPARED.c
    return (
        select(cast(prepared.gid, Text), cast(prepared.owner, Text), _seconds_since(prepared.prepared).label("seconds"))
        .where(prepared.database == func.current_database())
        .order_by(prepared.prepared)
    )


def table_upkeep(tables: Tables) -> ClauseElement:
    """Return (table, storage settings of the table, live rows, dead rows) of the tables."""
    return (
        select(
            cast(_CLASSES.c.relname, Text),
            func.array_to_string(_CLASSES.c.reloptions, literal_column("','")).label("settings"),
            func.pg_stat_get_live_tuples(_CLASSES.c.oid).label("live_rows"),
            func.pg_stat_get_dead_tuples(_CLASSES.c.oid).label("dead_rows"),
        )
        .where(_CLASSES.c.oid.in_(identities_of(tables)))
        .order_by(_CLASSES.c.relname)
    )


def _seconds_since(time: ColumnElement[Any]) -> ColumnElement[int]:
    return cast(func.date_part(literal_column("'epoch'"), now() - time), BigInteger)
