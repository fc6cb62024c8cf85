"""PostgreSQL's errors without what they quote: DETAIL shows whole rows, CONTEXT the value at hand."""

import re
from typing import Final

import psycopg
from psycopg.pq import DiagnosticField
from sqlalchemy.exc import DBAPIError

_HARMLESS_CLASSES: Final = ("08", "40", "53", "55", "57", "58")
"""Connections, deadlocks, resources, locks, operators, the system: what these quote is about the server."""

_LEFT_OUT: Final = frozenset({DiagnosticField.MESSAGE_DETAIL, DiagnosticField.CONTEXT, DiagnosticField.INTERNAL_QUERY})
_DATA_EXCEPTION: Final = "22"
SERIALIZATION_FAILURE: Final = "40001"


def without_payload(error: DBAPIError) -> DBAPIError:
    """Return the error, of the same class, or itself if there is no payload in it.

    What is kept: SQLSTATE, the message, the names of constraint, table and column, the hint. A message about a value
    that can't be converted quotes it; that is left out, too.
    """
    error.hide_parameters = True  # payloads are among them
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
    """Return the driver's error likewise."""
    told: dict[int, bytes | None] = {
        field: value.encode()
        for field in DiagnosticField
        if field not in _LEFT_OUT and (value := getattr(error.diag, field.name.lower())) is not None
    }
    message = error.diag.message_primary or ""
    if error.sqlstate is not None and error.sqlstate.startswith(_DATA_EXCEPTION):
        message = re.sub(r'".*"', '"…"', message, flags=re.DOTALL)
    told[DiagnosticField.MESSAGE_PRIMARY] = message.encode()
    hint = error.diag.message_hint
    return type(error)(message if hint is None else f"{message}\nHINT:  {hint}", info=told, encoding="utf-8")


def is_serialization_failure(error: BaseException | None) -> bool:
    """Return whether the driver's error says that another transaction has come first (SQLSTATE 40001)."""
    return getattr(error, "sqlstate", None) == SERIALIZATION_FAILURE
