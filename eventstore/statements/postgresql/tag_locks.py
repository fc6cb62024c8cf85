"""The statement that locks tags until the transaction ends, so that one writer at a time adds events with a tag.

Its function of keys is part of the contract between all clients of a database, whatever their version: clients that
lock different keys for a tag do not exclude each other. So it never changes, which a test checks.
"""

from typing import Any, Final

from sqlalchemy import ARRAY, Boolean, Integer, Text
from sqlalchemy.sql import ClauseElement

from eventstore.statements.postgresql.names import name_of_tags
from eventstore.statements.text import sql_text
from eventstore.tables import Tables

MAX_LOCKED_TAGS: Final = 32
"""How many tags an append locks one by one. With more it locks all tags, by one lock."""

MAX_LOCKED_TAGS_OF_TRANSACTION: Final = 256
"""How many tags a transaction locks one by one. The server has a table of locks of limited size, for all databases."""

ALL_TAGS: Final = ""
"""No event has this tag. Who locks tags one by one locks it as well, shared; its exclusive lock is one of all tags."""

WANTED: Final = """            SELECT
                hashtextextended(
                    tag.name COLLATE "C", CAST(CAST(to_regclass(:name_of_es_event_tags) AS OID) AS BIGINT)
                ) AS key,
                bool_and(tag.is_shared) AS is_shared
            FROM unnest(:tags, :are_shared) AS tag(name, is_shared)
            GROUP BY 1
            ORDER BY bool_or(tag.name = '') DESC, 1"""
"""The keys to lock, in their order."""

LOCK_TYPES: Final[dict[str, Any]] = {"tags": ARRAY(Text), "are_shared": ARRAY(Boolean)}

_LOCK: Final = """
WITH
    earlier AS MATERIALIZED (
        SELECT
            CAST(coalesce(nullif(current_setting('eventstore.tag_locks', true), ''), '0') AS INTEGER) AS number,
            coalesce(current_setting('eventstore.all_tags', true), '') AS tables,
            CAST(CAST(to_regclass(:name_of_es_event_tags) AS OID) AS TEXT) AS own_table
    ),
    verdict AS MATERIALIZED (
        SELECT
            earlier.number,
            earlier.tables,
            earlier.own_table,
            earlier.own_table = any(string_to_array(earlier.tables, ' ')) AS has_all,
            CASE
                WHEN earlier.own_table = any(string_to_array(earlier.tables, ' ')) THEN true
                WHEN :number < 0 THEN earlier.number = 0
                WHEN earlier.number + :number <= {most} THEN true
                ELSE (
                    SELECT count(*) + :number <= {most} AS is_allowed
                    FROM pg_locks
                    WHERE pid = pg_backend_pid() AND locktype = 'advisory'
                )
            END AS is_allowed
        FROM earlier
    ),
    noted AS MATERIALIZED (
        SELECT
            set_config(
                'eventstore.tag_locks',
                CAST(
                    verdict.number
                    + CASE WHEN verdict.is_allowed AND NOT verdict.has_all AND :number > 0 THEN :number ELSE 0 END
                    AS TEXT
                ),
                true
            ) AS number,
            set_config(
                'eventstore.all_tags',
                CASE
                    WHEN verdict.is_allowed AND NOT verdict.has_all AND :number < 0
                        THEN verdict.tables || ' ' || verdict.own_table
                    ELSE verdict.tables
                END,
                true
            ) AS tables
        FROM verdict
    )
SELECT
    verdict.is_allowed,
    current_setting('transaction_isolation') AS isolation_level,
    (
        SELECT
            count(
                CASE
                    WHEN wanted.is_shared THEN CAST(pg_advisory_xact_lock_shared(wanted.key) AS TEXT)
                    ELSE CAST(pg_advisory_xact_lock(wanted.key) AS TEXT)
                END
            ) AS number
        FROM (
{wanted}
        ) AS wanted
        WHERE verdict.is_allowed AND NOT verdict.has_all
    ) AS locked,
    noted.number,
    noted.tables
FROM verdict
JOIN noted ON true
"""


def lock_tags(tables: Tables) -> ClauseElement:
    """Lock tags, waiting for those who hold them; each exclusively or shared. Two of these never deadlock.

    It returns one row: whether the locks are allowed; the isolation level; and how many keys were locked, 0 if the
    transaction has locked all tags before. `number` is
    how many tags are locked one by one, -1 to lock all tags. It locks nothing if the transaction would hold too many
    locks, or if all tags are to be locked after some were. Settings, which end with the transaction or savepoint,
    remember how many there were, and of which tables es_event_tags all are locked: a transaction may use several
    schemas. A tag is counted again in each append, so if that is too many, the locks are counted.

    Keys are locked in ascending order, that of all tags first. Several tags may have the same key; then one waits for
    the other.
    """
    most = str(MAX_LOCKED_TAGS_OF_TRANSACTION)
    return sql_text(_LOCK, tables, types={"number": Integer, **LOCK_TYPES}, most=most, wanted=WANTED).bindparams(
        name_of_tags(tables)
    )
