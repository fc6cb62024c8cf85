"""Statements that lock tags on the worker, too, if Citus has the tables of a schema there."""

from typing import Final

from sqlalchemy import ARRAY, BigInteger, Boolean
from sqlalchemy.sql import ClauseElement

from eventstore.statements.postgresql.names import name_of_tags
from eventstore.statements.postgresql.tag_locks import LOCK_TYPES, WANTED
from eventstore.statements.text import sql_text
from eventstore.tables import Tables

_KEYS: Final = """
SELECT array_agg(~wanted.key) AS keys, array_agg(wanted.is_shared) AS are_shared
FROM (
{wanted}
) AS wanted
"""

_STAY: Final = """
INSERT INTO {tags} (position, tag, event_type)
SELECT tag.position, tag.tag, tag.event_type
FROM {tags} AS tag
WHERE tag.tag = '' AND tag.position = 0
"""

_LOCK: Final = """
SELECT
    (SELECT any_tag.position FROM {tags} AS any_tag LIMIT 1) AS position,
    (
        SELECT
            count(
                CASE
                    WHEN wanted.is_shared THEN CAST(pg_advisory_xact_lock_shared(wanted.key) AS TEXT)
                    ELSE CAST(pg_advisory_xact_lock(wanted.key) AS TEXT)
                END
            ) AS number
        FROM (
            SELECT given.key, given.is_shared
            FROM unnest(:keys, :are_shared) WITH ORDINALITY AS given(key, is_shared, number)
            ORDER BY given.number
        ) AS wanted
    ) AS locked,
    set_config('eventstore.tag_locks', '1', true) AS noted
"""


def keys_on_worker(tables: Tables) -> ClauseElement:
    """Return the keys by which tags are locked on the worker, in the order of locking, and which of them are shared.

    They are made on the coordinator, because on the worker the table has another oid, and no name without a schema.
    They differ from the keys on the coordinator, which can be the worker, too.
    """
    return sql_text(_KEYS, tables, types=LOCK_TYPES, wanted=WANTED).bindparams(name_of_tags(tables))


def stay_on_worker(tables: Tables) -> ClauseElement:
    """Insert no row, so that Citus knows the transaction, and moves the tables to another worker only after it.

    That there is no such row is not known to the planner, which would leave out the worker otherwise.
    """
    return sql_text(_STAY, tables)


def lock_on_worker(tables: Tables) -> ClauseElement:
    """Lock the keys on the worker until the transaction has ended there, waiting for those who hold them.

    The statements that compare boundaries run on the worker, and look there whether tags were locked.
    It reads es_event_tags, also if that is empty, so that Citus sends all of it to the worker.
    """
    return sql_text(_LOCK, tables, types={"keys": ARRAY(BigInteger), "are_shared": ARRAY(Boolean)})
