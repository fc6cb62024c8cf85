"""Whether between a migration and PostgreSQL is a pool that shares server connections between transactions."""

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
_LOOKS: Final = 3
_LOOKS_BEHIND_A_POOLER: Final = 40


def refuse_transaction_pool(one: Connection, other: Connection) -> None:
    """Refuse if what one connection sets in its session is not there at its next statement.

    Each writes a random mark into its session. In a pool in transaction mode an idle connection has no session: the
    next statement gets the one that is longest idle, or the one that was used last. So each connection looks twice in a
    row, and while the other one is in a transaction, which holds its session: then a free one is handed out that the
    other has marked, or that has no mark. Servers that forget settings between transactions are noticed as well. If a
    process other than the one that the driver was told of answers, there is a pooler, perhaps in session mode: then it
    looks often, because other clients of it change the order.

    Args:
        one: Not in a transaction.
        other: In AUTOCOMMIT.

    Raises:
        DirectConnectionRequired: The pool is in transaction mode.
    """
    marks = {connection: secrets.token_hex(16) for connection in (one, other)}

    def look(connection: Connection) -> None:
        if connection.execute(_READ).scalar_one() != marks[connection]:
            raise DirectConnectionRequired

    def look_while_held(holding: Connection, looking: Connection) -> None:
        holding.exec_driver_sql("BEGIN")
        try:
            look(holding)
            for _ in range(2):
                look(looking)
                _end(looking)
        finally:
            holding.exec_driver_sql("ROLLBACK")

    try:
        for connection, mark in marks.items():
            connection.execute(_MARK, {"mark": mark})
            connection.commit()
        for _ in range(_LOOKS_BEHIND_A_POOLER if _is_pooled(one) or _is_pooled(other) else _LOOKS):
            for connection in (one, one, other, other):
                look(connection)
                _end(connection)
            look_while_held(other, one)
    finally:
        with suppress(SQLAlchemyError):  # the first error tells more
            for connection in marks:
                connection.execute(_FORGET)
                connection.commit()


def _is_pooled(connection: Connection) -> bool:
    raw: Any = connection.connection.dbapi_connection
    told = getattr(getattr(raw, "info", None), "backend_pid", None)
    answered = connection.execute(_PID).scalar_one()
    _end(connection)
    return told is not None and told != answered


def _end(connection: Connection) -> None:
    connection.rollback()
