"""Filtered reads of a log use the indexes, and cost at the end what they cost at the start.

With 100,000 events in the suite. With EVENTSTORE_TEST_PLANNED_EVENTS=1000000, in minutes, the planner chooses from
other estimates: after a change of an index or of a statement's joins.
"""

import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import Connection, Engine, create_engine, text

from eventstore import EventFilter, EventStore, migrations
from eventstore.backends.protocol import Row, Server, Statement
from eventstore.core.global_order import GlobalOrder
from eventstore.core.settling import Horizon
from eventstore.errors import TablesPlace
from eventstore.filters import combine
from eventstore.partitions import Partition, partition_of
from eventstore.statements.global_order import first_event_from
from eventstore.statements.postgresql.boundaries import compare_boundaries, read_boundary
from eventstore.statements.postgresql.boundaries_without_tags import (
    compare_boundaries_without_tags,
    read_boundary_without_tags,
)
from eventstore.statements.postgresql.log_view import last_without_gap
from eventstore.tokens import After, PositionToken
from tests.fix_postgresql import Databases

pytestmark = pytest.mark.slow

EVENTS = int(os.environ.get("EVENTSTORE_TEST_PLANNED_EVENTS", "100000"))
STREAMS = 10_000

MOST = 6_500 + EVENTS * 17 // 2_000
"""Pages of memory for a page of events: 15,000 of a million, whose table has 17,000."""

SETTLED = Horizon(Server(0, None, in_recovery=False), PositionToken(EVENTS, UUID(int=1), "long-1", 1), EVENTS)

FILL = f"""
INSERT INTO es_streams (stream_id, version)
    SELECT 'c' || s % 50 || '-' || s, {EVENTS} FROM generate_series(0, {STREAMS - 1}) s
    UNION ALL SELECT 'long-1', {EVENTS};
INSERT INTO es_events (stream_id, version, event_id, event_type, schema_version, codec, data)
    SELECT CASE WHEN n % 10 = 5 THEN 'long-1' ELSE 'c' || n * 7919 % {STREAMS} % 50 || '-' || n * 7919 % {STREAMS} END,
        n, gen_random_uuid(),
        CASE WHEN n % 10000 = 0 THEN 'rare' WHEN n % 100 = 1 THEN 'scarce'
            ELSE (ARRAY['common-a', 'common-b', 'common-c'])[n % 3 + 1] END,
        1, 1, '\\x80'
    FROM generate_series(1::bigint, {EVENTS}) n;
INSERT INTO es_event_tags (position, tag, event_type)
    SELECT position, 'hot', event_type FROM es_events
    UNION ALL SELECT position, 'warm', event_type FROM es_events WHERE version % 10 = 0
    UNION ALL SELECT position, 'cold', event_type FROM es_events WHERE version % 10000 = 20;
"""

CASES: dict[str, tuple[list[EventFilter], set[str]]] = {
    "everything": ([], {"es_events_position_key"}),
    "a rare type": ([EventFilter(event_types=["rare"])], {"es_events_event_type_position_idx"}),
    "a common type": ([EventFilter(event_types=["common-a"])], {"es_events_event_type_position_idx"}),
    "several types": (
        [EventFilter(event_types=["rare", "scarce", "common-a"])],
        {"es_events_event_type_position_idx"},
    ),
    "categories": ([EventFilter(categories=["c3", "c4", "long"])], {"es_events_category_position_idx"}),
    "streams": ([EventFilter(stream_ids=[f"c{n}-{n}" for n in range(50)])], {"es_events_pkey"}),
    "a long stream": ([EventFilter(stream_ids=["long-1"])], {"es_events_pkey"}),
    "a type in a category": (
        [EventFilter(event_types=["common-a"], categories=["c3"])],
        {"es_events_event_type_position_idx"},
    ),
    "a hot tag": ([EventFilter(tags=["hot"])], {"es_event_tags_pkey"}),
    "a cold tag and a hot one": ([EventFilter(tags=["hot", "cold"])], {"es_event_tags_pkey"}),
    "a hot tag of a type": ([EventFilter(tags=["hot"], event_types=["common-b"])], {"es_event_tags_pkey"}),
    "one or another": (
        [EventFilter(event_types=["rare"]), EventFilter(categories=["c7"]), EventFilter(stream_ids=["c3-3"])],
        {"es_events_event_type_position_idx", "es_events_category_position_idx", "es_events_pkey"},
    ),
}


class Explained(Exception):  # carries the plan out
    def __init__(self, plan: dict[str, Any]) -> None:
        self.plan = plan
        super().__init__()


class Explaining:
    """Explains the statement instead of returning its rows, planned for any parameters or for these."""

    def __init__(self, store: EventStore, connection: psycopg.Connection[Any], mode: str) -> None:
        self._store = store
        self._connection = connection
        self._mode = mode

    @property
    def place(self) -> TablesPlace:
        return self._store.core.dialect.place

    def __call__(self, statement: Statement, **parameters: Any) -> Sequence[Row]:
        if statement is first_event_from:  # where the page ends
            return [(parameters["position"], UUID(int=1), "order-1", 1)]
        sql, constants = self._store.core.dialect.sql(statement)
        values = {**constants, **parameters}
        names: list[str] = []

        def number(match: re.Match[str]) -> str:
            names.append(match.group(1))
            return f"${len(names)}"

        prepared = re.sub(r"%\((\w+)\)b", number, sql)
        self._connection.execute("DEALLOCATE ALL")
        self._connection.execute(f"SET plan_cache_mode = {self._mode}")
        self._connection.execute(f"PREPARE page AS {prepared}".encode())
        literals = ", ".join(psycopg.sql.Literal(values[name]).as_string(self._connection) for name in names)
        explain = "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE page" + (f"({literals})" if names else "")
        ((found,),) = self._connection.execute(explain.encode()).fetchall()
        raise Explained((json.loads(found) if isinstance(found, str) else found)[0]["Plan"])

    def together(self, *_calls: Any) -> Sequence[Row]:
        raise NotImplementedError

    @property
    def notes(self) -> dict[str, Any]:
        return {}

    @property
    def search_path(self) -> None:
        return None

    def many(self, statement: Statement, rows: Sequence[dict[str, Any]]) -> None:
        raise NotImplementedError


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


INDEXES = """
SELECT indrelid::regclass::text, indexrelid::regclass::text, pg_get_indexdef(indexrelid),
       conname, pg_get_constraintdef(c.oid)
FROM pg_index LEFT JOIN pg_constraint c ON conindid = indexrelid AND contype IN ('p', 'u')
WHERE indrelid = ANY (CAST(:tables AS regclass[]))
"""


@contextmanager
def without_indexes(connection: Connection, *tables: str) -> Iterator[None]:
    """Drop the indexes of tables while a block fills them: they are made quicker afterwards."""
    found = connection.execute(text(INDEXES), {"tables": list(tables)}).all()
    for table, index, _, constraint, _ in found:
        drop = f"ALTER TABLE {table} DROP CONSTRAINT {constraint}" if constraint else f"DROP INDEX {index}"
        connection.exec_driver_sql(drop)
    yield
    for table, _, index, constraint, definition in found:
        add = f"ALTER TABLE {table} ADD CONSTRAINT {constraint} {definition}" if constraint else index
        connection.exec_driver_sql(add)


@pytest.fixture(scope="session")
def large_log(postgres_databases: Databases) -> Iterator[Engine]:
    with postgres_databases.fresh("template0") as url:
        engine = create_engine(url)
        migrations.provision(engine, "public")
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            with without_indexes(connection, "es_events", "es_event_tags"):
                connection.connection.dbapi_connection.execute(FILL)  # type: ignore[union-attr]  # psycopg's
            connection.execute(text("VACUUM ANALYZE es_events, es_event_tags"))
        yield engine
        engine.dispose()


def explain(
    engine: Engine, filters: list[EventFilter], *, mode: str, after: int, partition: Partition | None = None
) -> dict[str, Any]:
    store = EventStore(engine)
    store.core.tags_gate.fits = True  # or its statement would be explained
    with engine.connect() as connection:
        raw: Any = connection.connection.dbapi_connection
        with pytest.raises(Explained) as explained:
            GlobalOrder(store.core).page(
                Explaining(store, raw, mode), combine(filters), after=After(after), horizon=SETTLED, partition=partition
            )
    return explained.value.plan


def buffers(plan: dict[str, Any]) -> int:
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


@pytest.mark.timeout(600)
def test_pages_use_the_indexes_and_cost_the_same_at_the_end_as_at_the_start(large_log: Engine) -> None:
    for name, (filters, indexes) in CASES.items():
        for mode in ("force_generic_plan", "force_custom_plan"):
            pages = [explain(large_log, filters, mode=mode, after=after) for after in (0, EVENTS // 2, EVENTS - 20_000)]
            for plan in pages:
                scans = [node for node in nodes(plan) if "Relation Name" in node or "Index Name" in node]
                assert not [node for node in scans if node["Node Type"] == "Seq Scan"], (name, mode)
                used = {node.get("Index Name") for node in scans} - {None}
                assert used == indexes | {"es_events_position_key"}, (name, mode)
                removed = sum(node.get("Rows Removed by Filter", 0) * node["Actual Loops"] for node in scans)
                assert removed <= 20_000, (name, mode, removed)
            costs = [buffers(plan) for plan in pages]
            rows = [plan["Actual Rows"] for plan in pages]
            print(f"{name}, {mode}: {rows} rows for {costs} pages of memory")
            assert max(costs) <= MOST, (name, mode, costs)  # mostly the same ones again
            full = [cost for cost, count in zip(costs, rows, strict=True) if count == rows[0]]
            assert max(full) <= 1.5 * min(full) + 200, (name, mode, costs)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("has_events", [True, False])
def test_a_page_of_a_partition_reads_a_window_by_the_same_indexes(large_log: Engine, has_events: bool) -> None:
    """Also if the partition has no event of the filter, so that no page is ever full."""
    store = EventStore(large_log)
    window = 20 * store.core.page_size
    number = partition_of("long-1", 8) if has_events else partition_of("long-1", 8) % 8 + 1
    for name, (filters, indexes) in CASES.items():
        if not has_events and name != "a long stream":
            continue
        for mode in ("force_generic_plan", "force_custom_plan"):
            pages = [
                explain(large_log, filters, mode=mode, after=after, partition=Partition(number, 8))
                for after in (0, EVENTS // 2, EVENTS - 2 * window)
            ]
            for plan in pages:
                scans = [node for node in nodes(plan) if "Relation Name" in node or "Index Name" in node]
                assert not [node for node in scans if node["Node Type"] == "Seq Scan"], (name, mode)
                used = {node.get("Index Name") for node in scans} - {None}
                assert used == indexes | {"es_events_position_key"}, (name, mode)
                removed = sum(node.get("Rows Removed by Filter", 0) * node["Actual Loops"] for node in scans)
                assert removed <= 2 * window, (name, mode, removed)
                assert has_events or plan["Actual Rows"] == 1, "there is the header only"
            costs = [buffers(plan) for plan in pages]
            print(f"{name}, {mode}, {has_events}: {[plan['Actual Rows'] for plan in pages]} rows for {costs}")
            # About eight times the events of a page are compared; of those with a tag, each is looked up.
            most = MOST + 4 * 8 * store.core.page_size * ("tag" in name)
            assert max(costs) <= most, (name, mode, costs)
            assert max(costs) - min(costs) <= 1_500, "the end of the log costs what its start does"
            assert has_events or max(costs) <= 100, "it does not read the stream"


@pytest.fixture(params=[False, True], ids=["as it is", "if all rows seem to have the same tag"])
def estimated(request: pytest.FixtureRequest, large_log: Engine) -> Iterator[Engine]:
    """A planner who knows the tags; and one who takes each for one that all rows have, as if all were of one tenant."""
    with large_log.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if request.param:
            connection.execute(text("ALTER TABLE es_event_tags ALTER tag SET (n_distinct = 1)"))
            connection.execute(text("ANALYZE es_event_tags"))
        yield large_log
        connection.execute(text("ALTER TABLE es_event_tags ALTER tag RESET (n_distinct)"))
        connection.execute(text("ANALYZE es_event_tags"))


QUERIES = [{"number": 0, "tags": ["hot", "cold"], "types": None}, {"number": 1, "tags": ["cold"], "types": ["rare"]}]


@pytest.mark.parametrize("mode", ["force_generic_plan", "force_custom_plan"])
def test_a_boundary_costs_what_its_rarest_tags_cost(estimated: Engine, mode: str) -> None:
    large_log = estimated
    compared = [{**query, "pivot": "cold", "position": EVENTS - 50_000, "event_id": None} for query in QUERIES]
    for statement, items, more in (
        (read_boundary, QUERIES, {}),
        (compare_boundaries, compared, {"generation": 0}),
    ):
        with large_log.connect() as connection, pytest.raises(Explained) as explained:
            raw: Any = connection.connection.dbapi_connection
            raw.execute("SELECT set_config('eventstore.tag_locks', '1', true)")  # without locks nothing is compared
            Explaining(EventStore(large_log), raw, mode)(statement, items=json.dumps(items), **more)
        scans = [node for node in nodes(explained.value.plan) if "Relation Name" in node or "Index Name" in node]
        assert not [node for node in scans if node["Node Type"] == "Seq Scan"], statement
        assert {"es_event_tags_pkey"} <= {node.get("Index Name") for node in scans} - {None}
        cost = buffers(explained.value.plan)
        print(f"{statement.__name__}, {mode}: {cost} pages of memory")
        assert cost <= EVENTS * 3 // 1_000


def test_the_search_for_a_hole_looks_at_no_more_than_it_was_asked_to(large_log: Engine) -> None:
    with large_log.connect() as connection, pytest.raises(Explained) as explained:
        raw: Any = connection.connection.dbapi_connection
        Explaining(EventStore(large_log), raw, "force_generic_plan")(
            last_without_gap, after_position=EVENTS // 2, size=1000
        )
    scans = [node for node in nodes(explained.value.plan) if "Index Name" in node]
    assert {node["Index Name"] for node in scans} == {"es_events_position_key"}
    assert sorted(node["Actual Rows"] for node in scans)[-2] <= 1
    assert max(node["Actual Rows"] for node in scans) <= 1001


def test_the_number_of_parameters_does_not_depend_on_what_filters_hold(large_log: Engine) -> None:
    store = EventStore(large_log)
    counts = []
    for size in (1, 5_000):
        filters = [
            EventFilter(event_types=[f"type-{number}" for number in range(size)]),
            EventFilter(stream_ids=[f"order-{number}" for number in range(size)], categories=["order"]),
        ]
        sent: list[dict[str, Any]] = []

        def run(statement: Statement, sent: list[dict[str, Any]] = sent, **parameters: Any) -> Sequence[Row]:
            if statement is first_event_from:  # where the page ends
                return [(parameters["position"], UUID(int=1), "order-1", 1)]
            sent.append(parameters)
            return ()

        run.many = None  # type: ignore[attr-defined]  # a Run has it
        with pytest.raises(ValueError, match="not enough values"):  # there is no header
            GlobalOrder(store.core).page(run, combine(filters), after=After(0), horizon=SETTLED)  # type: ignore[arg-type]
        counts.append(len(sent[0]))
    assert counts == [10, 10]


WITHOUT_TAGS: list[dict[str, Any]] = [
    {"number": 0, "tags": None, "types": ["rare", "none"], "categories": None},
    {"number": 1, "tags": None, "types": ["rare"], "categories": ["c3", "c0"]},
    {"number": 2, "tags": None, "types": None, "categories": ["none"]},
    {"number": 3, "tags": ["hot", "cold"], "types": None, "categories": ["long"]},
]
AT_THE_END: list[dict[str, Any]] = [
    {"number": 4, "tags": None, "types": None, "categories": None},
    {"number": 5, "tags": None, "types": ["common-a"], "categories": ["c3"]},
    {"number": 6, "tags": None, "types": None, "categories": ["long"]},
    {"number": 7, "tags": ["hot"], "types": ["rare"], "categories": None},
]


@pytest.mark.parametrize("mode", ["force_generic_plan", "force_custom_plan"])
def test_a_boundary_without_tags_is_read_and_compared_by_indexes(estimated: Engine, mode: str) -> None:
    large_log = estimated
    compared = [
        {**query, "position": EVENTS - 2_000, "event_id": None, "seen": [EVENTS]} for query in WITHOUT_TAGS + AT_THE_END
    ]
    for statement, items, more in (
        (read_boundary_without_tags, WITHOUT_TAGS, {"settled": EVENTS - 1, "settled_id": UUID(int=1)}),
        (compare_boundaries_without_tags, compared, {"generation": 0}),
    ):
        with large_log.connect() as connection, pytest.raises(Explained) as explained:
            raw: Any = connection.connection.dbapi_connection
            raw.execute("SELECT set_config('eventstore.tag_locks', '1', true)")  # without locks nothing is compared
            Explaining(EventStore(large_log), raw, mode)(statement, items=json.dumps(items), **more)
        scans = [node for node in nodes(explained.value.plan) if "Relation Name" in node or "Index Name" in node]
        assert not [node for node in scans if node["Node Type"] == "Seq Scan"], statement
        cost = buffers(explained.value.plan)
        print(f"{statement.__name__}, {mode}: {cost} pages of memory, {explained.value.plan['Actual Total Time']} ms")
        assert cost <= EVENTS * 3 // 1_000


@pytest.mark.parametrize("mode", ["force_generic_plan", "force_custom_plan"])
def test_a_page_of_a_cold_tag_and_a_hot_one_does_not_depend_on_estimates(estimated: Engine, mode: str) -> None:
    plan = explain(estimated, [EventFilter(tags=["hot", "cold"])], mode=mode, after=0)
    assert not [node for node in nodes(plan) if node["Node Type"] == "Seq Scan"]
    assert buffers(plan) <= EVENTS * 3 // 1_000
