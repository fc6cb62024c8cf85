"""Statements that compute figures of the log, and return the id of the event at `settled_position`."""

from functools import cache
from typing import Final

from sqlalchemy.sql import ClauseElement

from eventstore.filters import FIELDS, TAGS
from eventstore.statements import Statement
from eventstore.statements.pages import FilterFields
from eventstore.statements.text import sql_text
from eventstore.tables import Tables

_FIGURES: Final = """
SELECT
    (SELECT settled.event_id FROM es_events AS settled WHERE settled.position = :settled_position) AS settled_id,
    figures.*
FROM ({figures}) AS figures
"""

_IN_PERIOD: Final = "candidate.recorded_at >= :recorded_since AND candidate.recorded_at < :recorded_before"

_EXTENT: Final = f"""
    SELECT min(candidate.position + 0) AS first, max(candidate.position + 0) AS last
    FROM es_events AS candidate
    WHERE {_IN_PERIOD}
        AND candidate.position + 0 > :after_position AND candidate.position + 0 <= :up_to_position
"""


def extent_of_period(tables: Tables) -> ClauseElement:
    """Return the lowest and the highest position of the events of a period between two positions, or NULL."""
    return sql_text(_FIGURES, tables, figures=_EXTENT)


@cache
def count_matching(filters: FilterFields, *, in_period: bool) -> Statement:
    """Return the statement that counts the events which match filters that restrict these fields, each event once."""

    def count_matching_events(tables: Tables) -> ClauseElement:
        matches = "UNION".join(_matches(number, fields, in_period=in_period) for number, fields in enumerate(filters))
        return sql_text(_FIGURES, tables, figures=f"SELECT count(*) AS number FROM ({matches}) AS matches")

    return count_matching_events


def _matches(n: int, fields: tuple[str, ...], *, in_period: bool) -> str:
    between = "{0}.position > :after_position_{1} AND {0}.position <= :up_to_position"
    conditions = [between.format("candidate", n)]
    conditions += [
        f"candidate.{FIELDS[field]} IN (SELECT value FROM json_each(:{field}_{n}))" for field in fields if field != TAGS
    ]
    if in_period:
        conditions.append(_IN_PERIOD)
    if TAGS in fields:
        conditions.append(f"""candidate.position IN (
                SELECT tag.position
                FROM es_event_tags AS tag
                WHERE tag.tag IN (SELECT value FROM json_each(:{TAGS}_{n})) AND {between.format("tag", n)}
                GROUP BY tag.position
                HAVING count(*) = json_array_length(:{TAGS}_{n})
            )""")
    condition = "\n            AND ".join(conditions)
    return f"""
        SELECT candidate.position
        FROM es_events AS candidate
        WHERE {condition}
    """
