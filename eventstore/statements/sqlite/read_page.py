"""Statements that read a page of the global order, behind a row that says where the page came from.

The header is PostgreSQL's, if there is one server and one table.
"""

from functools import cache
from typing import Final

from sqlalchemy.sql import ClauseElement

from eventstore.common.validation import MAX_VERSION
from eventstore.filters import FIELDS
from eventstore.statements import Statement
from eventstore.statements.columns import EVENT_COLUMNS
from eventstore.statements.pages import Shape
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
        SELECT found.position FROM ({found}) AS found ORDER BY found.position{direction} LIMIT :page_size
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
def read_matching(shape: Shape, *, backwards: bool = False) -> Statement:
    """Return the statement for the events that filters match, which name the fields of a shape.

    Its parameters are PostgreSQL's, with JSON arrays, and so is the way in which it looks values up. But there is no
    LATERAL: a lookup is bound by the position where its page ends.
    """

    def read_matching_page(tables: Tables) -> ClauseElement:
        direction = " DESC" if backwards else ""
        found = "UNION".join(_lookup(number, fields, direction) for number, fields in enumerate(shape))
        page = _MATCHING_EVENTS.format(columns=EVENT_COLUMNS, found=found, direction=direction)
        return sql_text(_PAGE, tables, page=page)

    return read_matching_page


def _lookup(n: int, fields: tuple[str, ...], direction: str) -> str:
    """Find the positions that filter number `n` matches: for each value of its first field, up to where a page ends."""
    if not fields:
        return f"""
            SELECT found_{n}.position
            FROM (
                SELECT candidate.position
                FROM es_events AS candidate
                WHERE candidate.position > :after_position_{n} AND candidate.position <= :up_to_position
                ORDER BY candidate.position{direction}
                LIMIT :page_size
            ) AS found_{n}
        """
    first, *others = [field for field in FIELDS if field in fields]
    order = "version" if first == "stream_ids" else "position"
    bound = {"after": f">= end_{n}.position"} if direction else {"last": f"end_{n}.position"}

    def matches(event: str, value: str, *, after: str = f"> :after_position_{n}", last: str = ":up_to_position") -> str:
        # one upper bound: of two, SQLite takes one for the index, and that may be the far one
        return "\n                    AND ".join(
            [
                f"{event}.{FIELDS[first]} = {value}",
                *(f"{event}.{FIELDS[field]} IN (SELECT value FROM json_each(:{field}_{n}))" for field in others),
                f"{event}.position {after}",
                f"{event}.position <= {last}",
            ]
        )

    # the limit of the values makes SQLite find each end once, not for each event anew
    return f"""
            SELECT candidate.position
            FROM es_events AS candidate, (
                SELECT
                    wanted_{n}.value,
                    coalesce(
                        (
                            SELECT counted.position
                            FROM es_events AS counted
                            WHERE {matches("counted", f"wanted_{n}.value")}
                            ORDER BY counted.{order}{direction}
                            LIMIT 1 OFFSET :page_size - 1
                        ),
                        {f":after_position_{n} + 1" if direction else ":up_to_position"}
                    ) AS position
                FROM json_each(:{first}_{n}) AS wanted_{n}
                LIMIT {MAX_VERSION}
            ) AS end_{n}
            WHERE {matches("candidate", f"end_{n}.value", **bound)}
    """
