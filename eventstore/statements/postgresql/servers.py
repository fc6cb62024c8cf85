"""What tells one server, one table es_events and one transaction from another."""

from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Text, cast, func, select
from sqlalchemy.dialects.postgresql import OID
from sqlalchemy.sql import ClauseElement

from eventstore.statements.postgresql.names import name_of_events
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


def transaction_id(tables: Tables) -> ClauseElement:  # noqa: ARG001  # of none of them
    """Return the id of this transaction, for PostgreSQL. It names no table, so Citus always asks the same server."""
    return select(cast(func.pg_current_xact_id(), Text))
