"""Detection of a pooler in transaction mode between a migration and PostgreSQL."""

import secrets
from contextlib import suppress
from typing import Any, Final

from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from eventstore.errors import DirectConnectionRequired

_MARK: Final = text("SELECT set_config('eventstore.migration', :mark, false)")
_READ: Final = text("SELECT current_setting('eventstore.migration', true)")
_FORGET: Final = text("SELECT set_config('eventstore.migration', '', false)")
_PID: Final = text("SELECT pg_backend_pid()")
_CHECKS: Final = 3
_CHECKS_BEHIND_A_POOLER: Final = 40


def refuse_transaction_pool(one: Connection, other: Connection) -> None:
    """Refuse a pool in transaction mode, where a setting of a session may be gone at the next statement.

    Each connection writes a random mark into its session. In a pool in transaction mode an idle connection has no
    session: its next statement gets the session that was idle longest, or used last. So each connection checks its mark
    twice in a row, and also while the other one holds its session in a transaction: then the pool hands out a session
    that has the other mark, or none. This also detects servers that forget settings between transactions. If another
    process answers than the one that the driver connected to, there is a pooler, possibly in session mode: then the
    marks are checked often, because other clients of the pooler change the order.

    Args:
        one: A connection that is not in a transaction.
        other: A connection in AUTOCOMMIT.

    Raises:
        DirectConnectionRequired: There is a pool in transaction mode.
    """
    marks = {connection: secrets.token_hex(16) for connection in (one, other)}

    def check_mark(connection: Connection) -> None:
        if connection.execute(_READ).scalar_one() != marks[connection]:
            raise DirectConnectionRequired

    def check_while_held(holding: Connection, checked: Connection) -> None:
        holding.exec_driver_sql("BEGIN")
        try:
            check_mark(holding)
            for _ in range(2):
                check_mark(checked)
                _end(checked)
        finally:
            holding.exec_driver_sql("ROLLBACK")

    try:
        for connection, mark in marks.items():
            connection.execute(_MARK, {"mark": mark})
            connection.commit()
        for _ in range(_CHECKS_BEHIND_A_POOLER if _is_pooled(one) or _is_pooled(other) else _CHECKS):
            for connection in (one, one, other, other):
                check_mark(connection)
                _end(connection)
            check_while_held(other, one)
    finally:
        with suppress(SQLAlchemyError):  # the first error says why
            for connection in marks:
                connection.execute(_FORGET)
                connection.commit()


def _is_pooled(connection: Connection) -> bool:
    raw: Any = connection.connection.dbapi_connection
    connected_pid = getattr(getattr(raw, "info", None), "backend_pid", None)
    answering_pid = connection.execute(_PID).scalar_one()
    _end(connection)
    return connected_pid is not None and connected_pid != answering_pid


def _end(connection: Connection) -> None:
    connection.rollback()
