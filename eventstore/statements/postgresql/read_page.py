"""Statements that read a page of the global order, after a header row that says where the page came from.

The header and the events are read by one statement, so they are from one server and one snapshot. The header becomes a
`protocol.PageHeader`. It uses the columns of an event: position 0; the first part in the range that was detached, as
the stream id; the oid of es_events as the version; the id of the event at `settled_position` as the event id; the id of
the event at `token_position`, as text, as the event type; 1 for a server in recovery as the schema version; and the
start time of the server as the time.
"""

from functools import cache
from typing import Any, Final

from sqlalchemy import ARRAY, BigInteger, Integer, Text
from sqlalchemy.sql import ClauseElement

from eventstore.common.validation import MAX_VERSION
from eventstore.filters import FIELDS, TAGS
from eventstore.partitions import HASH_DIGITS
from eventstore.statements import Statement
from eventstore.statements.columns import EVENT_COLUMNS
from eventstore.statements.detached import NO_PART, PART_IN_RANGE
from eventstore.statements.pages import FilterFields
from eventstore.statements.postgresql.names import name_of_events
from eventstore.statements.text import sql_text, table_name
from eventstore.tables import Tables

_PAGE: Final = """
SELECT
    CAST(0 AS BIGINT) AS position,
    {detached} AS stream_id,
    CAST(CAST(to_regclass(:name_of_es_events) AS OID) AS BIGINT) AS version,
    (SELECT settled.event_id FROM {events} AS settled WHERE settled.position = :settled_position) AS event_id,
    CAST((SELECT token.event_id FROM {events} AS token WHERE token.position = :token_position) AS TEXT) AS event_type,
    CAST(pg_is_in_recovery() AS INTEGER) AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BYTEA) AS data,
    CAST(NULL AS TEXT) AS metadata,
    pg_postmaster_start_time() AS recorded_at
UNION ALL
SELECT page.*
FROM ({page}) AS page
ORDER BY position
"""

_ALL_EVENTS: Final = """
    SELECT {columns}
    FROM {events} AS event
    WHERE event.position > :after_position AND event.position <= :up_to_position
    ORDER BY event.position{direction}
    LIMIT :page_size
"""

_MATCHING_EVENTS: Final = """
    SELECT event.*
    FROM (
        SELECT matches.position FROM ({matches}) AS matches ORDER BY matches.position{direction} LIMIT :page_size
    ) AS page
    JOIN LATERAL (SELECT {columns} FROM {events} AS event WHERE event.position = page.position{in_range} LIMIT 1) \
AS event ON true
    ORDER BY page.position
"""
"""LIMIT 1 prevents a join by a scan of the whole table."""

_IN_RANGE: Final = " AND event.position > :after_position AND event.position <= :up_to_position"
"""Says what all positions of the page are anyway, so that PostgreSQL does not plan for the parts outside."""


def read_everything(tables: Tables) -> ClauseElement:
    """Return the first page of all events with after_position < position <= up_to_position, in order."""
    return _page(tables, _ALL_EVENTS, {}, direction="")


def read_everything_backwards(tables: Tables) -> ClauseElement:
    """Return the last page of all events with after_position < position <= up_to_position, in order."""
    return _page(tables, _ALL_EVENTS, {}, direction=" DESC")


@cache
def read_matching(filters: FilterFields, *, backwards: bool = False) -> Statement:
    """Return the statement for the events that match filters which restrict these fields.

    Its parameters are `after_position`, `up_to_position` and `page_size`, those of the header, and for filter 0, 1, …:
    `after_position_0`, and one array for each field, such as `event_types_0`.

    Each value of a filter is looked up separately, in the index that has it before the position, for at most one page
    of events. So a page costs the same at the end of the log as at its start, and does not depend on the planner's
    estimate of how many events match. The lowest positions of all lookups are the page; if `backwards`, the highest.
    UNION returns an event once even if several filters match it.

    The lookups compare whole keys of the index, and hide columns outside the key in a sum or a concatenation.
    Otherwise the planner may choose another index by its estimate: the one of positions, read to the end of the log, or
    the one of the other field, read from its start.
    """
    return _read_matching(filters, " DESC" if backwards else "", partitioned=False)


@cache
def read_partition(filters: FilterFields) -> Statement:
    """Return the statement for the events that match filters and are in partition `partition_number` of `partitions`.

    It is the one of `read_matching`, which also compares the hash of the stream id. No index has that.
    """
    return _read_matching(filters, "", partitioned=True)


def _read_matching(filters: FilterFields, direction: str, *, partitioned: bool) -> Statement:
    def read_matching_page(tables: Tables) -> ClauseElement:
        events = table_name(tables.events)
        streams = table_name(tables.streams) if tables.layout.is_partitioned else None
        matches = "UNION".join(
            _lookup_of_tags(events, table_name(tables.tags), number, fields, direction, partitioned=partitioned)
            if TAGS in fields
            else _lookup(events, number, fields, direction, streams, partitioned=partitioned)
            for number, fields in enumerate(filters)
        )
        types: dict[str, Any] = {f"after_position_{number}": BigInteger for number in range(len(filters))}
        types |= {f"{field}_{number}": ARRAY(Text) for number, fields in enumerate(filters) for field in fields}
        types |= dict.fromkeys(("partition_number", "partitions") if partitioned else (), Integer)
        return _page(tables, _MATCHING_EVENTS, types, matches=matches, direction=direction)

    return read_matching_page


def _is_in_partition(stream_id: str) -> str:
    """Compare the hash of a stream id, as `partitions.partition_of` does."""
    digits = f"'x' || left(encode(sha256(convert_to({stream_id}, 'UTF8')), 'hex'), {HASH_DIGITS})"
    return f" AND mod(CAST(CAST({digits} AS BIT({4 * HASH_DIGITS})) AS INTEGER), :partitions) + 1 = :partition_number"


def _lookup(
    events: str, n: int, fields: tuple[str, ...], direction: str, streams: str | None, *, partitioned: bool
) -> str:
    """Find the positions that filter number `n` matches, at most a page for each value of its first field.

    If `streams`, the table of streams, is given, es_events is partitioned, and the statement names the positions, so
    that PostgreSQL skips the other parts. If `partitioned`, only the streams of a projection's partition match.
    """
    in_partition = _is_in_partition("candidate.stream_id") if partitioned else ""
    if not fields:
        return f"""
            SELECT match_{n}.position
            FROM (
                SELECT candidate.position
                FROM {events} AS candidate
                WHERE candidate.position > :after_position_{n} AND candidate.position <= :up_to_position{in_partition}
                ORDER BY candidate.position{direction}
                LIMIT :page_size
            ) AS match_{n}
        """
    first, *others = [field for field in FIELDS if field in fields]
    matches = "".join(f" AND (candidate.{FIELDS[field]} || '') = any(:{field}_{n})" for field in others)
    of_values = ""
    if partitioned and first == "stream_ids":  # each of them is in the partition, or no event of it is
        of_values = f" WHERE true{_is_in_partition(f'filter_{n}.value')}"
    else:
        matches += in_partition
    if first == "stream_ids":
        key = "candidate.stream_id, candidate.version"
        after, last = f"({_last_version(events, n, f'after_position_{n}', streams)})", str(MAX_VERSION)
        if direction or partitioned:  # the page of a partition ends long before the stream
            last = f"({_last_version(events, n, 'up_to_position', streams)})"
        else:
            matches += " AND candidate.position + 0 <= :up_to_position"
    else:
        key = f"candidate.{FIELDS[first]}, candidate.position"
        after, last = f":after_position_{n}", ":up_to_position"
    if streams is not None:
        matches += f" AND candidate.position > :after_position_{n} AND candidate.position <= :up_to_position"
        if first == "stream_ids":
            matches += f" AND candidate.position > ({_after_position(streams, n)})"
    return f"""
            SELECT match_{n}.position
            FROM unnest(:{first}_{n}) AS filter_{n}(value)
            JOIN LATERAL (
                SELECT candidate.position
                FROM {events} AS candidate
                WHERE ({key}) > (filter_{n}.value, {after}) AND ({key}) <= (filter_{n}.value, {last}){matches}
                ORDER BY {key.replace(",", f"{direction},")}{direction}
                LIMIT :page_size
            ) AS match_{n} ON true{of_values}
    """


def _lookup_of_tags(
    events: str, tags: str, n: int, fields: tuple[str, ...], direction: str, *, partitioned: bool
) -> str:
    """Find the positions that filter number `n` matches, at most a page, by the rarest of its tags.

    Tags are counted up to 1,000 in the range that is read. OFFSET 0 prevents a join by a scan of the whole table.
    """
    others = [
        f"candidate.{FIELDS[field]} = any(:{field}_{n})" for field in fields if field in ("stream_ids", "categories")
    ]
    conditions = [f"tag.event_type = any(:event_types_{n})"] if "event_types" in fields else []
    if others or partitioned:
        of_event = " AND ".join(["candidate.position = tag.position", *others])
        in_partition = _is_in_partition("candidate.stream_id") if partitioned else ""
        conditions.append(f"""EXISTS (
                        SELECT 1 FROM {events} AS candidate
                        WHERE {of_event}{in_partition}
                        OFFSET 0
                    )""")
    more = "".join(f"\n                    AND {condition}" for condition in conditions)
    in_range = f"tag.position > :after_position_{n} AND tag.position <= :up_to_position"
    return f"""
            SELECT match_{n}.position
            FROM (
                SELECT tag.position
                FROM {tags} AS tag
                WHERE tag.tag = ((
                        SELECT wanted.name
                        FROM unnest(:tags_{n}) AS wanted(name)
                        ORDER BY (
                            SELECT count(*) AS number
                            FROM (
                                SELECT 1 AS one
                                FROM {tags} AS tag
                                WHERE tag.tag = (wanted.name COLLATE "C") AND {in_range}
                                    AND cardinality(:tags_{n}) > 1
                                ORDER BY tag.tag, tag.position
                                LIMIT 1000
                            ) AS counted
                        )
                        LIMIT 1
                    ) COLLATE "C")
                    AND {in_range}{more}
                    AND NOT EXISTS (
                        SELECT 1
                        FROM unnest(:tags_{n}) AS wanted(name)
                        WHERE cardinality(:tags_{n}) > 1 AND NOT EXISTS (
                            SELECT 1
                            FROM {tags} AS other
                            WHERE other.tag = (wanted.name COLLATE "C") AND other.position = tag.position
                            OFFSET 0
                        )
                        OFFSET 0
                    )
                ORDER BY tag.position{direction}
                LIMIT :page_size
            ) AS match_{n}
    """


def _after_position(streams: str, n: int) -> str:
    """Find the position after which a stream begins."""
    head = f"SELECT head.after_position FROM {streams} AS head WHERE head.stream_id = filter_{n}.value"
    return f"SELECT coalesce(({head}), CAST(0 AS BIGINT)) AS after_position"


def _last_version(events: str, n: int, at_or_before: str, streams: str | None) -> str:
    """Find the last version of a stream at or before the position in a parameter, by bisection, as both ascend."""
    middle = "(search.low + search.high + 1) / 2"
    newest, probe = (
        ("", "")
        if streams is None
        else (f" AND {each}.position > ({_after_position(streams, n)})" for each in ("newest", "event"))
    )
    return f"""
        WITH RECURSIVE search(low, high) AS (
            SELECT
                CAST(0 AS BIGINT) AS low,
                (
                    SELECT coalesce(max(newest.version), CAST(0 AS BIGINT)) AS version
                    FROM {events} AS newest
                    WHERE newest.stream_id = filter_{n}.value{newest}
                ) AS high
            UNION ALL
            SELECT
                CASE WHEN probe.position <= :{at_or_before} THEN probe.version ELSE search.low END AS low,
                CASE WHEN probe.position <= :{at_or_before} THEN search.high ELSE {middle} - 1 END AS high
            FROM search
            JOIN LATERAL (
                SELECT event.version, event.position
                FROM {events} AS event
                WHERE (event.stream_id, event.version) >= (filter_{n}.value, {middle}){probe}
                ORDER BY event.stream_id, event.version
                LIMIT 1
            ) AS probe ON true
            WHERE search.low < search.high
        )
        SELECT search.low FROM search WHERE search.low = search.high
    """


def _page(tables: Tables, page: str, types: dict[str, Any], **parts: str) -> ClauseElement:
    """Put the header before a page."""
    parts["in_range"] = _IN_RANGE if tables.layout.is_partitioned else ""
    page = page.format(events=table_name(tables.events), columns=EVENT_COLUMNS, **parts)
    detached = NO_PART
    if tables.layout.is_partitioned:
        detached = PART_IN_RANGE.format(detached_parts=table_name(tables.detached_parts))
    numbers = ["up_to_position", "page_size", "settled_position", "token_position"]
    if ":after_position " in page + detached:
        numbers.append("after_position")
    types |= dict.fromkeys(numbers, BigInteger)
    return sql_text(_PAGE, tables, types=types, page=page, detached=detached).bindparams(name_of_events(tables))
