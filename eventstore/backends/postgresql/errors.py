"""The store's errors for PostgreSQL's, and PostgreSQL's errors without the payloads that they quote."""

import re
from typing import Any, Final

import psycopg
from psycopg.pq import DiagnosticField
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from eventstore.backends.postgresql.rights import is_permission_denied, permission_denied
from eventstore.backends.protocol import Dialect, HeadClosed, VersionTaken
from eventstore.errors import (
    HistoryChangeRefused,
    OutOfParts,
    PositionsBehind,
    ReadOnlyDatabase,
    SchemaMissing,
    TenantNotSet,
)
from eventstore.tables import CLOSED_CHECKS
from eventstore.tables.immutability import TRIGGER

_HARMLESS_CLASSES: Final = ("08", "40", "53", "55", "57", "58")
"""Connections, deadlocks, resources, locks, operators, the system. These errors quote nothing but server facts."""

_PAYLOAD_FIELDS: Final = frozenset(
    {DiagnosticField.MESSAGE_DETAIL, DiagnosticField.CONTEXT, DiagnosticField.INTERNAL_QUERY}
)
_DATA_EXCEPTION: Final = "22"
_INTEGRITY_VIOLATION: Final = "23"
_SERIALIZATION_FAILURE: Final = "40001"
_UNDEFINED_TABLE: Final = "42P01"
_READ_ONLY: Final = "25006"
"""The server is a standby, or transactions are read-only."""
_UNDEFINED_OBJECT: Final = "42704"
"""Of a setting that was never made. All other objects that our statements name are tables, or built in."""
_EVENTS_KEYS: Final = ("es_events_pkey", "es_events_stream_id_version_key")
_CHECK_VIOLATION: Final = "23514"
_ROUTING: Final = "ExecFindPartition"
"""The function of the server that finds the part for a new event."""
_FIRST_RANGE: Final = "es_events_1_range"
"""The check of a log that is to be partitioned, and whose margin is used up."""
_POSITIONS_KEY: Final = "es_events_position_key"
_CONTENTION_STATES: Final = frozenset({"40001", "40P01", "55P03"})
"""Serialization failures and statements that a standby has cancelled; deadlocks; lock timeouts."""

_TRANSIENT_STATES: Final = _CONTENTION_STATES | {
    "57P01", "57P02", "57P03", "53300",  # the server is stopping, has crashed, is starting, is full
    "08000", "08001", "08003", "08004", "08006",  # a connection was lost, or could not be made
    "25P03", "57P05",  # the server has ended an idle session
    _READ_ONLY,  # the server has become a standby, or was made read-only for a while
}  # fmt: skip


def meaning_of(error: DBAPIError, dialect: Dialect) -> Exception | None:
    """Return the store's error for one of the server's, by SQLSTATE and constraint; None if there is none.

    A constraint is recognised by its name, to which Citus and partitions may add a suffix. For the error of a worker,
    Citus reports the name only in the message.
    """
    state = getattr(error.orig, "sqlstate", None)
    diagnostics = getattr(error.orig, "diag", None)
    if state == _UNDEFINED_TABLE:
        return SchemaMissing(dialect.place)
    if state == _UNDEFINED_OBJECT:
        return TenantNotSet(_message(error))
    if state == _READ_ONLY:
        return ReadOnlyDatabase()
    if is_permission_denied(error):
        return permission_denied(error, dialect.tables)
    return None if diagnostics is None else _meaning_of_constraint(diagnostics, state)


def _meaning_of_constraint(diagnostics: Any, state: str | None) -> Exception | None:
    if state == _CHECK_VIOLATION:
        if diagnostics.constraint_name == _FIRST_RANGE:
            return OutOfParts()
        if diagnostics.source_function == _ROUTING:
            position = re.search(r"=\s*\((\d+)\)", diagnostics.message_detail or "")
            return OutOfParts(None if position is None else int(position.group(1)))
    constraint = str(diagnostics.constraint_name or _named_in(diagnostics, state))
    if constraint == TRIGGER:
        return HistoryChangeRefused()
    if constraint.startswith(CLOSED_CHECKS):
        return HeadClosed()
    if constraint.startswith(_EVENTS_KEYS):
        key = re.search(r"\(stream_id, version\)=\((.*), (\d+)\)", diagnostics.message_detail or "", re.DOTALL)
        return VersionTaken(key.group(1), int(key.group(2))) if key else None
    return _positions_behind(diagnostics) if constraint.startswith(_POSITIONS_KEY) else None


def _message(error: DBAPIError) -> str:
    return str(getattr(getattr(error.orig, "diag", None), "message_primary", None) or error.orig)


def _named_in(diagnostics: Any, state: str | None) -> str:
    """Return the name of our constraint in the message of a violation; empty if there is none."""
    is_violation = state is not None and state.startswith(_INTEGRITY_VIOLATION)
    name = re.search(r"\bes_\w+", diagnostics.message_primary or "") if is_violation else None
    return "" if name is None else name.group()


def _positions_behind(diagnostics: Any) -> PositionsBehind | None:
    drawn = re.search(r"=\((\d+)\)", diagnostics.message_detail or "")
    return None if drawn is None else PositionsBehind(None, int(drawn.group(1)))


def is_transient(error: Exception) -> bool:
    """Return whether the connection was lost, the pool or server is full, or the server is down or read-only.

    An error without a SQLSTATE comes from the driver, which could not connect or has lost the connection. A FATAL error
    ends the session. PgBouncer's own errors can be recognised only by that; it reports a lost server as a protocol
    violation (08P01).
    """
    if isinstance(error, PoolTimeout | ReadOnlyDatabase):
        return True
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    cause = error.orig if isinstance(error, DBAPIError) else error
    state = getattr(cause, "sqlstate", None)
    if state is None:
        return isinstance(cause, psycopg.OperationalError)
    return isinstance(cause, psycopg.Error) and (state in _TRANSIENT_STATES or _ends_the_session(cause))


def _ends_the_session(error: psycopg.Error) -> bool:
    """Return whether the error is FATAL. PgBouncer sends the severity only in the field that others translate."""
    return "FATAL" in (error.diag.severity_nonlocalized, error.diag.severity)


def is_refusal(error: Exception) -> bool:
    """Return whether the server has reported the error of the store's statement, of which nothing is stored then.

    After the loss of a connection, it is not known what is stored; neither is it after an error that ends the session.
    """
    cause = error if isinstance(error, DBAPIError) else error.__cause__
    if not isinstance(cause, DBAPIError) or cause.connection_invalidated or not isinstance(cause.orig, psycopg.Error):
        return False
    return cause.orig.sqlstate is not None and not _ends_the_session(cause.orig)


def is_contention(error: BaseException) -> bool:
    """Return whether the error, or its cause, is a deadlock, a serialization failure or a lock timeout."""
    cause: BaseException | None = error
    while cause is not None:
        if getattr(cause, "sqlstate", None) in _CONTENTION_STATES:
            return True
        cause = cause.orig if isinstance(cause, DBAPIError) else cause.__cause__
    return False


def is_serialization_failure(error: BaseException | None) -> bool:
    """Return whether a concurrent transaction has aborted this one, by the error of the driver or of SQLAlchemy."""
    return sqlstate_of(error) == _SERIALIZATION_FAILURE


def sqlstate_of(error: BaseException | None) -> str | None:
    """Return the SQLSTATE of the driver's error, also if SQLAlchemy or Django has wrapped it; else None."""
    if isinstance(error, DBAPIError):
        error = error.orig
    elif isinstance(error, Exception) and not hasattr(error, "sqlstate"):
        error = error.__cause__
    state: str | None = getattr(error, "sqlstate", None)
    return state


def without_payload(error: DBAPIError) -> DBAPIError:
    """Return an error of the same class without payloads, or the error itself if it has none.

    It keeps the SQLSTATE, the message, the names of constraint, table and column, and the hint. If the message quotes a
    value that can't be converted, the quote is removed.
    """
    error.hide_parameters = True  # payloads may be among them
    cause = error.orig
    if not isinstance(cause, psycopg.Error) or cause.sqlstate is None or cause.sqlstate.startswith(_HARMLESS_CLASSES):
        return error
    safe_cause = driver_error_without_payload(cause)
    safe = type(error)(
        error.statement,
        error.params,
        safe_cause,
        hide_parameters=True,
        connection_invalidated=error.connection_invalidated,
        ismulti=error.ismulti,
    )
    safe.__cause__ = safe_cause
    return safe


def driver_error_without_payload(error: psycopg.Error) -> psycopg.Error:
    """Return an error of the driver's same class without payloads; see `without_payload`."""
    fields: dict[int, bytes | None] = {
        field: value.encode()
        for field in DiagnosticField
        if field not in _PAYLOAD_FIELDS and (value := getattr(error.diag, field.name.lower())) is not None
    }
    message = error.diag.message_primary or ""
    if error.sqlstate is not None and error.sqlstate.startswith(_DATA_EXCEPTION):
        message = re.sub(r'".*"', '"…"', message, flags=re.DOTALL)
    fields[DiagnosticField.MESSAGE_PRIMARY] = message.encode()
    hint = error.diag.message_hint
    return type(error)(message if hint is None else f"{message}\nHINT:  {hint}", info=fields, encoding="utf-8")
