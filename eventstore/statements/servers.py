"""What tells one server, and one table es_events, from another; and pages that say which of them they came from."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    LargeBinary,
    Select,
    SmallInteger,
    Text,
    bindparam,
    cast,
    func,
    literal_column,
    null,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import OID
from sqlalchemy.sql import ClauseElement

from eventstore.statements.names import name_of_events
from eventstore.tables import Tables


def server_columns(tables: Tables) -> list[ColumnElement[Any]]:
    """Return (oid of es_events, when the server was started, whether it is in recovery): PostgreSQL.

    No role needs a right for these. They do not identify a run of the log by themselves: a crash recovery changes none.
    """
    return [
        cast(cast(func.to_regclass(name_of_events(tables)), OID), BigInteger).label("es_events"),
        func.pg_postmaster_start_time().label("started_at"),
        func.pg_is_in_recovery().label("in_recovery"),
    ]


def with_header(tables: Tables, page: Select[Any]) -> ClauseElement:
    """Return a page of events, in order, behind a row that says where it came from (PostgreSQL).

    One statement: what the header confirms, and the events, are of one server and one snapshot. The header becomes a
    `protocol.PageHeader`. It has the columns of an event: position 0; the oid of es_events as the version; the id of
    the event at `settled_position`; the id of that at `token_position`, as text, as the event type; 1 for a server in
    recovery as the schema version; and when the server was started as the time.
    """
    table, started_at, in_recovery = server_columns(tables)
    return _behind(tables, page, table=table, in_recovery=cast(in_recovery, Integer), started_at=started_at)


def with_plain_header(tables: Tables, page: Select[Any]) -> ClauseElement:
    """Return the same where there is one server and one table (SQLite)."""
    zero = literal_column("0", BigInteger)
    return _behind(tables, page, table=zero, in_recovery=zero, started_at=null())


def _behind(
    tables: Tables,
    page: Select[Any],
    *,
    table: ColumnElement[Any],
    in_recovery: ColumnElement[Any],
    started_at: ColumnElement[Any],
) -> ClauseElement:
    header = select(
        cast(literal_column("0"), BigInteger).label("position"),
        cast(null(), Text).label("stream_id"),
        table.label("version"),
        event_id_at(tables, "settled_position").label("event_id"),
        cast(event_id_at(tables, "token_position"), Text).label("event_type"),
        in_recovery.label("schema_version"),
        cast(null(), SmallInteger).label("codec"),
        cast(null(), LargeBinary).label("data"),
        cast(null(), Text).label("metadata"),
        started_at.label("recorded_at"),
    )
    return union_all(header, select(page.subquery("page"))).order_by("position")


def event_id_at(tables: Tables, parameter: str) -> Any:
    """Return the id of the event at the position that a parameter names; NULL if there is none."""
    events = tables.events.alias(f"event_at_{parameter}").c
    return select(events.event_id).where(events.position == bindparam(parameter, type_=BigInteger)).scalar_subquery()
