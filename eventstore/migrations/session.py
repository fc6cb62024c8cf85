"""Settings of a PostgreSQL session that would interrupt a migration, or change how it runs."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Final

from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from eventstore.errors import UnsuitableSetting

TIMEOUTS: Final = (
    "lock_timeout",
    "statement_timeout",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "transaction_timeout",  # PostgreSQL 17 and newer
)
_SET_ALL: Final = text("""
WITH known AS MATERIALIZED (
    SELECT name, value, current_setting(name, true) AS before
    FROM unnest(CAST(:names AS text[]), CAST(:values AS text[])) AS given (name, value)
)
SELECT name, before, set_config(name, value, :is_local) FROM known WHERE before IS NOT NULL
""")
"""One statement, because each step of a migration sets its timeouts aside: one for each setting took a third of it."""


def no_timeouts() -> dict[str, str]:
    """Return the timeouts of a session, each switched off."""
    return dict.fromkeys(TIMEOUTS, "0")


def set_all(connection: Connection, values: Mapping[str, str], *, is_local: bool) -> dict[str, str]:
    """Set the settings that this server knows; the others are ignored.

    Args:
        connection: The connection of the session.
        values: The values by name.
        is_local: Whether to set them only until the transaction ends.

    Returns:
        The values before.
    """
    given = {"names": list(values), "values": list(values.values()), "is_local": is_local}
    return {name: str(before) for name, before, _ in connection.execute(_SET_ALL, given)}


@contextmanager
def set_aside(connection: Connection, values: Mapping[str, str]) -> Iterator[None]:
    """Set settings while a block runs, and restore them afterwards; the connection is not in a transaction."""
    before = set_all(connection, values, is_local=False)
    connection.commit()
    try:
        yield
    finally:
        with suppress(SQLAlchemyError):  # if the connection is lost, so are its settings
            connection.rollback()
            set_all(connection, before, is_local=False)
            connection.commit()


def refuse_other_transactions(connection: Connection) -> None:
    """Refuse a connection on which a revision is not one transaction that sees what others commit meanwhile.

    In AUTOCOMMIT, a killed process would leave half a revision. At REPEATABLE READ, events appended after the first
    read would be invisible and dropped with their table.

    Raises:
        UnsuitableSetting: The connection is in AUTOCOMMIT, or at another level than READ COMMITTED.
    """
    level = connection.execute(text("SELECT current_setting('transaction_isolation')")).scalar_one()
    if getattr(connection.connection.dbapi_connection, "autocommit", False) is True:
        level = "autocommit"
    if level not in {"read committed", "read uncommitted"}:
        raise UnsuitableSetting(
            "isolation_level",
            f"is {level.upper()} on the connection of the migration, but revisions must be transactions at READ "
            "COMMITTED; nothing of this revision was done",
            'in env.py, give context.configure() a connection with execution_options(isolation_level="READ COMMITTED")',
        )
