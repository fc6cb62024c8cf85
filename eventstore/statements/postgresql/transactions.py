"""The statement that identifies a transaction."""

from sqlalchemy import text
from sqlalchemy.sql import ClauseElement

from eventstore.tables import Tables


def transaction_id(_: Tables) -> ClauseElement:
    """Return the id of this transaction. It names no table, so Citus always sends it to the same server."""
    return text("SELECT CAST(pg_current_xact_id() AS TEXT) AS id")
