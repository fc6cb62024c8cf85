"""Statements that read a page of the global order, after a header row like that of PostgreSQL.

SQLite has one server and one table, so the header only has the ids of two events.
"""

from functools import cache
from typing import Final

from sqlalchemy.sql import ClauseElement

from eventstore.common.validation import MAX_VERSION
from eventstore.filters import FIELDS, TAGS
from eventstore.statements import Statement
from eventstore.statements.columns import EVENT_COLUMNS
from eventstore.statements.pages import FilterFields
from eventstore.statements.text import sql_text
from eventstore.tables import Tables

_PAGE: Final = """
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    0 AS version,
    (SELECT settled.event_id FROM es_events AS settled WHERE settled.position = :settled_position) AS event_id,
    CAST((SELECT token.event_id FROM es_events AS token WHERE token.position = :token_position) AS TEXT) AS event_type,
    0 AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BLOB) AS data,
    CAST(NULL AS TEXT) AS metadata,
    NULL AS recorded_at
UNION ALL
SELECT page.*
FROM ({page}) AS page
ORDER BY position
"""

_ALL_EVENTS: Final = """
    SELECT {columns}
    FROM es_events AS event
    WHERE event.position > :after_position AND event.position <= :up_to_position
    ORDER BY event.position{direction}
    LIMIT :page_size
"""

_MATCHING_EVENTS: Final = """
    SELECT {columns}
    FROM es_events AS event
    WHERE event.position IN (
        SELECT matches.position FROM ({matches}) AS matches ORDER BY matches.position{direction} LIMIT :page_size
    )
    ORDER BY event.position
"""


def read_everything(tables: Tables) -> ClauseElement:
    """Return the first page of all events with after_position < position <= up_to_position, in order."""
    return sql_text(_PAGE, tables, page=_ALL_EVENTS.format(columns=EVENT_COLUMNS, direction=""))


def read_everything_backwards(tables: Tables) -> ClauseElement:
    """Return the last page of all events with after_position < position <= up_to_position, in order."""
    return sql_text(_PAGE, tables, page=_ALL_EVENTS.format(columns=EVENT_COLUMNS, direction=" DESC"))


@cache
def read_matching(filters: FilterFields, *, backwards: bool = False) -> Statement:
    """Return the statement for the events that match filters which restrict these fields.

    Its parameters, with JSON arrays, and its lookups are those of PostgreSQL. But SQLite has no LATERAL, so each lookup
    first finds the position at which its page ends.
    """

    def read_matching_page(tables: Tables) -> ClauseElement:
        direction = " DESC" if backwards else ""
        matches = "UNION".join(
            (_lookup_of_tags if TAGS in fields else _lookup)(number, fields, direction)
            for number, fields in enumerate(filters)
        )
        page = _MATCHING_EVENTS.format(columns=EVENT_COLUMNS, matches=matches, direction=direction)
        return sql_text(_PAGE, tables, page=page)

    return read_matching_page


def _lookup(n: int, fields: tuple[str, ...], direction: str) -> str:
    """Find the positions that filter number `n` matches, at most a page for each value of its first field."""
    if not fields:
        return f"""
            SELECT match_{n}.position
            FROM (
                SELECT candidate.position
                FROM es_events AS candidate
                WHERE candidate.position > :after_position_{n} AND candidate.position <= :up_to_position
                ORDER BY candidate.position{direction}
                LIMIT :page_size
            ) AS match_{n}
        """
    first, *others = [field for field in FIELDS if field in fields]
    order = "version" if first == "stream_ids" else "position"
    bound = {"after": f">= end_{n}.position"} if direction else {"last": f"end_{n}.position"}

    def matches(event: str, value: str, *, after: str = f"> :after_position_{n}", last: str = ":up_to_position") -> str:
        # only one upper bound, because SQLite uses only one for the index, which might be the higher one
        return "\n                    AND ".join(
            [
                f"{event}.{FIELDS[first]} = {value}",
                *(f"{event}.{FIELDS[field]} IN (SELECT value FROM json_each(:{field}_{n}))" for field in others),
                f"{event}.position {after}",
                f"{event}.position <= {last}",
            ]
        )

    # the LIMIT on the values makes SQLite find each end only once, not again for each event
    return f"""
            SELECT candidate.position
            FROM es_events AS candidate, (
                SELECT
                    filter_{n}.value,
                    coalesce(
                        (
                            SELECT event.position
                            FROM es_events AS event
                            WHERE {matches("event", f"filter_{n}.value")}
                            ORDER BY event.{order}{direction}
                            LIMIT 1 OFFSET :page_size - 1
                        ),
                        {f":after_position_{n} + 1" if direction else ":up_to_position"}
                    ) AS position
                FROM json_each(:{first}_{n}) AS filter_{n}
                LIMIT {MAX_VERSION}
            ) AS end_{n}
            WHERE {matches("candidate", f"end_{n}.value", **bound)}
    """


def _lookup_of_tags(n: int, fields: tuple[str, ...], direction: str) -> str:
    """Find the positions that filter number `n` matches, at most a page, by the rarest of its tags."""
    in_range = f"tag.position > :after_position_{n} AND tag.position <= :up_to_position"
    others = [
        f"candidate.{FIELDS[field]} IN (SELECT value FROM json_each(:{field}_{n}))"
        for field in fields
        if field in ("stream_ids", "categories")
    ]
    conditions = []
    if "event_types" in fields:
        conditions.append(f"tag.event_type IN (SELECT value FROM json_each(:event_types_{n}))")
    if others:
        conditions.append(
            "EXISTS (SELECT 1 FROM es_events AS candidate WHERE candidate.position = tag.position AND "
            f"{' AND '.join(others)})"
        )
    more = "".join(f"\n                    AND {condition}" for condition in conditions)
    return f"""
            SELECT match_{n}.position
            FROM (
                SELECT tag.position
                FROM es_event_tags AS tag
                WHERE tag.tag = (
                        SELECT wanted.value
                        FROM json_each(:tags_{n}) AS wanted
                        ORDER BY (
                            SELECT count(*) AS number
                            FROM (
                                SELECT 1 AS one FROM es_event_tags AS tag
                                WHERE tag.tag = wanted.value AND {in_range}
                                LIMIT 1000
                            ) AS counted
                        )
                        LIMIT 1
                    )
                    AND {in_range}{more}
                    AND NOT EXISTS (
                        SELECT 1
                        FROM json_each(:tags_{n}) AS wanted
                        WHERE NOT EXISTS (
                            SELECT 1 FROM es_event_tags AS other
                            WHERE other.tag = wanted.value AND other.position = tag.position
                        )
                    )
                ORDER BY tag.position{direction}
                LIMIT :page_size
            ) AS match_{n}
    """
