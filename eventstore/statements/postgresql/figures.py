"""Statements that compute figures of the settled log: how many events match, and where those of a period are.

Each also returns where it was answered: the oid of es_events, the start time of the server, whether it is in recovery,
the id of the event at `settled_position`, and the first part between the positions that was detached.
"""

from functools import cache
from typing import Any, Final

from sqlalchemy import ARRAY, BigInteger, DateTime, Text
from sqlalchemy.sql import ClauseElement

from eventstore.filters import FIELDS, TAGS
from eventstore.statements import Statement
from eventstore.statements.detached import NO_PART, PART_IN_RANGE
from eventstore.statements.pages import FilterFields
from eventstore.statements.postgresql.names import name_of_events
from eventstore.statements.text import sql_text, table_name
from eventstore.tables import Tables

_FIGURES: Final = """
SELECT
    CAST(CAST(to_regclass(:name_of_es_events) AS OID) AS BIGINT) AS es_events,
    pg_postmaster_start_time() AS started_at,
    pg_is_in_recovery() AS in_recovery,
    (SELECT settled.event_id FROM {events} AS settled WHERE settled.position = :settled_position) AS settled_id,
    {detached} AS detached,
    figures.*
FROM ({figures}) AS figures
"""

_IN_PERIOD: Final = "candidate.recorded_at >= :recorded_since AND candidate.recorded_at < :recorded_before"

_EXTENT: Final = f"""
    SELECT min(candidate.position + 0) AS first, max(candidate.position + 0) AS last
    FROM {{events}} AS candidate
    WHERE {_IN_PERIOD}
        AND candidate.position + 0 > :after_position AND candidate.position + 0 <= :up_to_position
"""


def extent_of_period(tables: Tables) -> ClauseElement:
    """Return the lowest and the highest position of the events of a period between two positions, or NULL.

    The positions are hidden in a sum, so that the planner does not read the log in their order until it finds one.
    """
    types = {"after_position": BigInteger, "up_to_position": BigInteger}
    return _figures(tables, _EXTENT.format(events=table_name(tables.events)), types, in_period=True)


@cache
def count_matching(filters: FilterFields, *, in_period: bool) -> Statement:
    """Return the statement that counts the events which match filters that restrict these fields, each event once.

    Its parameters are those of `read_matching` without a page size, and those of the period.
    """

    def count_matching_events(tables: Tables) -> ClauseElement:
        events, tags = table_name(tables.events), table_name(tables.tags)
        matches = "UNION".join(
            _matches(events, tags, number, fields, in_period=in_period) for number, fields in enumerate(filters)
        )
        types: dict[str, Any] = {f"after_position_{number}": BigInteger for number in range(len(filters))}
        types |= {f"{field}_{number}": ARRAY(Text) for number, fields in enumerate(filters) for field in fields}
        types["up_to_position"] = BigInteger
        figures = f"SELECT count(*) AS number FROM ({matches}) AS matches"
        return _figures(tables, figures, types, in_period=in_period)

    return count_matching_events


def _matches(events: str, tags: str, n: int, fields: tuple[str, ...], *, in_period: bool) -> str:
    between = "{0}.position > :after_position_{1} AND {0}.position <= :up_to_position"
    conditions = [between.format("candidate", n)]
    conditions += [f"candidate.{FIELDS[field]} = any(:{field}_{n})" for field in fields if field != TAGS]
    if in_period:
        conditions.append(_IN_PERIOD)
    if TAGS in fields:
        conditions.append(f"""candidate.position IN (
                SELECT tag.position
                FROM {tags} AS tag
                WHERE tag.tag = any(:{TAGS}_{n}) AND {between.format("tag", n)}
                GROUP BY tag.position
                HAVING count(*) = cardinality(:{TAGS}_{n})
            )""")
    condition = "\n            AND ".join(conditions)
    return f"""
        SELECT candidate.position
        FROM {events} AS candidate
        WHERE {condition}
    """


def _figures(tables: Tables, figures: str, types: dict[str, Any], *, in_period: bool) -> ClauseElement:
    types = {**types, "settled_position": BigInteger}
    detached = NO_PART
    if tables.layout.is_partitioned:
        detached = PART_IN_RANGE.format(detached_parts=table_name(tables.detached_parts))
        types["after_position"] = BigInteger
    if in_period:
        types |= dict.fromkeys(("recorded_since", "recorded_before"), DateTime(timezone=True))
    return sql_text(_FIGURES, tables, types=types, figures=figures, detached=detached).bindparams(
        name_of_events(tables)
    )
