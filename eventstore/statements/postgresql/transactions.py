"""Statements about the transaction that they are in."""

from typing import Final

from sqlalchemy.sql import ClauseElement

from eventstore.statements.postgresql.names import name_of_checkpoints
from eventstore.statements.text import sql_text
from eventstore.tables import Tables

_TRANSACTION: Final = """
SELECT
    CAST(pg_current_xact_id() AS TEXT) AS id,
    CAST(CAST(to_regclass(:name_of_es_checkpoints) AS OID) AS BIGINT) AS es_checkpoints"""


_LIMIT_LOCK_WAITS: Final = """
SELECT set_config('lock_timeout', '50ms', true) AS lock_timeout
WHERE CAST(current_setting('lock_timeout') AS INTERVAL) NOT BETWEEN '1 millisecond' AND '50 milliseconds'
"""


def limit_lock_waits(tables: Tables) -> ClauseElement:
    """Let the statements that follow in this transaction wait for a lock for 50 milliseconds, unless for less."""
    return sql_text(_LIMIT_LOCK_WAITS, tables)


def transaction_id(tables: Tables) -> ClauseElement:
    """Return the id of this transaction, and the oid of the es_checkpoints that its statements find.

    It reads from no table, so Citus always sends it to the same server.
    """
    return sql_text(_TRANSACTION, tables).bindparams(name_of_checkpoints(tables))
