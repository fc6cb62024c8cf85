"""What the browser reads costs the same however large the tables are: each statement is explained, on each plan."""

import json
import os
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import psycopg
import pytest
from sqlalchemy import Engine, create_engine, event, text

from eventstore import EventStore, migrations
from eventstore.contrib.browser import queries
from eventstore.contrib.browser.queries import streams as stream_queries
from tests.fix_postgresql import Databases
from tests.test_global_order_plans import buffers, nodes
from tests.test_query_plans import recommended

pytestmark = [pytest.mark.postgresql, pytest.mark.slow]

FEW: Final = 60_000
MANY: Final = int(os.environ.get("EVENTSTORE_TEST_BROWSED_EVENTS", "10_000_000"))
STREAMS: Final = 20
"""So many events have one stream."""

INDEXES: Final = {
    "es_events_category_position_idx": "CREATE INDEX {} ON es_events (category, position)",
    "es_events_event_type_position_idx": "CREATE INDEX {} ON es_events (event_type, position)",
}

FILL: Final = """
SET session_replication_role = replica;
INSERT INTO es_streams (stream_id, version)
    SELECT 'c' || s % 50 || '-' || s, 20 FROM generate_series(0, {streams} - 1) s
    UNION ALL SELECT 'long-1', {events};
INSERT INTO es_events (stream_id, version, event_id, event_type, schema_version, codec, data, metadata)
    SELECT CASE WHEN n % 10 = 5 THEN 'long-1' ELSE 'c' || s % 50 || '-' || s END,
        CASE WHEN n % 10 = 5 THEN n ELSE n / {streams} + 1 END,
        CAST(md5(n::text) AS UUID), 'type-' || n % 7, 1, 1, '\\x80',
        CASE n % 4
            WHEN 0 THEN jsonb_build_object('correlation_id', 'hot', 'causation_id', md5('1'))
            WHEN 1 THEN jsonb_build_object('correlation_id', n::text, 'causation_id', md5((n - 1)::text))
        END
    FROM (SELECT n, n * 7919 % {streams} AS s FROM generate_series(1::bigint, {events}) n) AS drawn;
INSERT INTO es_event_tags (position, tag, event_type)
    SELECT n, 'hot', 'type-1' FROM generate_series(1, {events}) n
    UNION ALL SELECT n, 'even', 'type-1' FROM generate_series(2, {events}, 2) n
    UNION ALL SELECT n, 'odd', 'type-1' FROM generate_series(1, {events}, 2) n
    UNION ALL SELECT n, 't:' || n, 'type-1' FROM generate_series(1, {events}, 10) n;
INSERT INTO snapshots (stream_id, version, schema_version, codec, state)
    SELECT 'c' || s % 50 || '-' || s, 20, 1, 1, '\\x80' FROM generate_series(0, {streams} - 1) s;
INSERT INTO es_checkpoints (name, position) SELECT 'p-' || n, n FROM generate_series(1, 60) n;
INSERT INTO es_dead_letters (projection, position, version, event_id, stream_id, event_type, status, attempts)
    SELECT 'p-1', n, 1, gen_random_uuid(), 'c' || n % 50 || '-' || n, 'type-1',
        CASE WHEN n % 50 = 0 AND n > {events} / 20 THEN 'pending' ELSE 'resolved' END, 1
    FROM generate_series(1, {events} / 10) n;
"""

QUERIES: Final[dict[str, Callable[[EventStore], Any]]] = {
    "streams": queries.streams_by_id,
    "streams of a prefix": lambda store: queries.streams_by_id(store, prefix="c7-1"),
    "streams of a category": lambda store: queries.streams_by_id(store, category="c7"),
    "streams, later": lambda store: queries.streams_by_id(store, start="c49"),
    "recent streams": queries.recent_streams,
    "recent streams, earlier": lambda store: queries.recent_streams(store, start=FEW // 2),
    "recent streams of a category": lambda store: queries.recent_streams(store, category="c7"),
    "recent streams of a category, earlier": lambda store: queries.recent_streams(
        store, category="long", start=FEW // 2
    ),
    "recent streams of no category": lambda store: queries.recent_streams(store, category="none"),
    "largest streams": queries.largest_streams,
    "largest streams of a category": lambda store: queries.largest_streams(store, category="c7"),
    "snapshots": queries.snapshots_by_id,
    "snapshots of a prefix": lambda store: queries.snapshots_by_id(store, prefix="c49-"),
    "snapshots of a stream": lambda store: queries.snapshots_of(store, "c49-49"),
    "tags": queries.tags_by_name,
    "tags of a prefix": lambda store: queries.tags_by_name(store, prefix="t:5"),
    "frequent tags": queries.frequent_tags,
    "events of a hot tag": lambda store: queries.tagged_events(store, ["hot"]),
    "events of a hot tag, earlier": lambda store: queries.tagged_events(store, ["hot"], start=FEW // 2),
    "events of two hot tags": lambda store: queries.tagged_events(store, ["hot", "even"]),
    "events of two hot tags that none has": lambda store: queries.tagged_events(store, ["even", "odd"]),
    "events of a hot tag and a cold one": lambda store: queries.tagged_events(store, ["hot", "t:501"]),
    "projections": queries.projections,
    "a projection": lambda store: queries.projection(store, "p-1"),
    "pending dead letters": lambda store: queries.pending_dead_letters(store, "p-1"),
    "pending dead letters of a stream": lambda store: queries.pending_dead_letters(store, "p-1", start=("c7-7", 0)),
    "all dead letters": lambda store: queries.all_dead_letters(store, "p-1"),
    "a dead letter": lambda store: queries.dead_letter(store, "p-1", 7),
    "related events": lambda store: queries.related_events(store, next(store.read_all(after_position=4000, limit=1))),
    "related events of a hot id": lambda store: queries.related_events(
        store, next(store.read_all(after_position=3999, limit=1))
    ),
    "related events of a hot cause": lambda store: queries.related_events(
        store, next(store.read_all(after_position=0, limit=1))
    ),
    "readers": queries.readers_held_up,
}

SMALL_TABLES: Final = {"es_checkpoints", "es_schema", "es_detached_parts"}
PASSED_BY: Final = 1_000
"""How many rows a statement may read and leave out."""

COSTLY: Final = 16_000
"""How many pages of memory a statement may touch: three lookups for each of a thousand events, of some pages each. A
statement that read a table of ten million rows would touch more than ten times as many."""


def filled(databases: Databases, events: int) -> Iterator[Engine]:
    with databases.fresh("template0") as url:
        engine = create_engine(url)
        migrations.upgrade(engine)
        streams = events // STREAMS
        assert streams % 7919
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            raw: Any = connection.connection.dbapi_connection
            for name in INDEXES:
                raw.execute(f"DROP INDEX {name}")
            for statement in FILL.format(events=events, streams=streams).split(";\n"):
                raw.execute(statement)
            raw.execute("RESET session_replication_role")
            for name, sql in INDEXES.items():
                raw.execute(sql.format(name))
            for sql in recommended(sqlite=False).values():
                raw.execute(sql.replace("CONCURRENTLY", ""))
            raw.execute("VACUUM ANALYZE es_events, es_streams, es_event_tags, snapshots, es_dead_letters")
        yield engine
        engine.dispose()


@pytest.fixture(scope="module")
def some(postgres_databases: Databases) -> Iterator[Engine]:
    yield from filled(postgres_databases, FEW)


def sent_by(engine: Engine, query: Callable[[EventStore], Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return the statements that a query sends, except those that the store sends for each read."""
    sent: list[tuple[str, dict[str, Any]]] = []
    store = EventStore(engine)
    store.stream_version("none")
    store.core.tags_gate.fits = True

    def note(_: Any, __: Any, sql: str, parameters: Any, *___: Any) -> None:
        if "pg_catalog" not in sql and "pg_current_snapshot" not in sql and "es_schema" not in sql:
            sent.append((sql, dict(parameters or {})))

    event.listen(engine, "before_cursor_execute", note)
    query(store)
    event.remove(engine, "before_cursor_execute", note)
    return [each for each in sent if not each[0].startswith("SHOW")]


def explained(connection: psycopg.Connection[Any], sql: str, values: dict[str, Any], mode: str) -> dict[str, Any]:
    names: list[str] = []

    def number(match: re.Match[str]) -> str:
        names.append(match.group(1))
        return f"${len(names)}"

    prepared = re.sub(r"%\((\w+)\)b", number, sql)
    connection.execute(f"SET plan_cache_mode = {mode}", prepare=False)
    connection.execute(f"PREPARE page AS {prepared}".encode(), prepare=False)
    literals = ", ".join(psycopg.sql.Literal(values[name]).as_string(connection) for name in names)
    explain = "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE page" + (f"({literals})" if names else "")
    ((found,),) = connection.execute(explain.encode(), prepare=False).fetchall()
    connection.execute("DEALLOCATE page", prepare=False)
    plan: dict[str, Any] = (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]
    return plan


def check(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_queries, "FEW_STREAMS", 1_000)
    costs = {}
    for name, query in QUERIES.items():
        statements = sent_by(engine, query)
        assert statements, name
        with engine.connect() as connection:
            raw: Any = connection.connection.dbapi_connection
            for mode in ("force_generic_plan", "force_custom_plan"):
                plans = [explained(raw, sql, values, mode) for sql, values in statements]
                for (sql, _), plan in zip(statements, plans, strict=True):
                    scans = [each for each in nodes(plan) if each.get("Relation Name", "es_schema") not in SMALL_TABLES]
                    whole = [each for each in scans if each["Node Type"] == "Seq Scan"]
                    removed = sum(each.get("Rows Removed by Filter", 0) * each["Actual Loops"] for each in scans)
                    assert not [each for each in whole if each["Actual Rows"] > 1_001], (name, mode, sql)
                    assert removed <= PASSED_BY, (name, mode, removed, sql)
                    assert buffers(plan) <= COSTLY, (name, mode, buffers(plan), sql)
                costs[name, mode] = [buffers(plan) for plan in plans]
    for (name, mode), found in costs.items():
        print(f"{name}, {mode}: {sum(found)} pages of memory by {len(found)} statements")


@pytest.mark.timeout(600)
def test_each_query_reads_a_bounded_number_of_pages_by_an_index(some: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    check(some, monkeypatch)


def test_it_does_so_if_the_planner_takes_every_tag_category_and_id_for_a_frequent_one(
    some: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = {"es_event_tags": ["tag"], "es_events": ["category", "event_id"]}
    with some.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for table, names in columns.items():
            for name in names:
                connection.execute(text(f"ALTER TABLE {table} ALTER {name} SET (n_distinct = 1)"))
            connection.execute(text(f"ANALYZE {table}"))
    check(some, monkeypatch)


@pytest.mark.long
@pytest.mark.timeout(10_800)
def test_they_do_at_ten_million_events(postgres_databases: Databases, monkeypatch: pytest.MonkeyPatch) -> None:
    for engine in filled(postgres_databases, MANY):
        check(engine, monkeypatch)
