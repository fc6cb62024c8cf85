"""What reads of a partitioned log cost, with 100 parts: they name the parts that they need."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import Engine, create_engine, text

from eventstore import ANY, EventFilter, EventStore, NewEvent
from eventstore.backends.protocol import Server, Statement
from eventstore.core.global_order import GlobalOrder
from eventstore.core.settling import Horizon
from eventstore.filters import combine
from eventstore.partitions import Partition
from eventstore.statements.aggregates import load_aggregate
from eventstore.statements.global_order import newest_position
from eventstore.statements.postgresql.log_view import last_without_gap, log_view
from eventstore.statements.reading import read_page_backwards, read_page_forwards
from eventstore.tokens import After, PositionToken
from tests.fix_partitions import partition
from tests.fix_postgresql import Databases
from tests.test_global_order_plans import Explained, Explaining, buffers, nodes

pytestmark = [pytest.mark.postgresql, pytest.mark.slow]

EVENTS = 60_000
SETTLED = Horizon(Server(0, None, in_recovery=False), PositionToken(EVENTS, UUID(int=1), "order-1", 1), EVENTS)
FILL = f"""
INSERT INTO es_streams (stream_id, version) SELECT 'c' || s % 50 || '-' || s, {EVENTS} FROM generate_series(0, 999) s;
INSERT INTO es_events (stream_id, version, event_id, event_type, schema_version, codec, data)
    SELECT 'c' || n * 7919 % 1000 % 50 || '-' || n * 7919 % 1000, n, gen_random_uuid(),
        CASE WHEN n % 1000 = 0 THEN 'rare' ELSE 'common-' || substr('abc', n::integer % 3 + 1, 1) END,
        1, 1, '\\x80'
    FROM generate_series(1::bigint, {EVENTS}) n;
"""
MODES = ("force_generic_plan", "force_custom_plan")


def filled(databases: Databases, template: str, parts: int) -> Iterator[Engine]:
    with databases.fresh(template) as url:
        engine = create_engine(url)
        if parts:
            partition(engine, size=EVENTS // (parts - 1), small_parts=parts)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.connection.dbapi_connection.execute(FILL)  # type: ignore[union-attr]  # psycopg's
            connection.execute(text("VACUUM ANALYZE es_events, es_streams"))
        EventStore(engine).append("late-1", [NewEvent("late") for _ in range(3)], expected_version=ANY)
        yield engine
        engine.dispose()


@pytest.fixture(scope="module")
def plain(postgres_databases: Databases, postgres_template: str) -> Iterator[Engine]:
    yield from filled(postgres_databases, postgres_template, 0)


@pytest.fixture(scope="module")
def in_parts(postgres_databases: Databases, postgres_template: str) -> Iterator[Engine]:
    yield from filled(postgres_databases, postgres_template, 100)


def plan_of(engine: Engine, mode: str, statement: Statement, **parameters: Any) -> dict[str, Any]:
    store = EventStore(engine)
    store.stream_version("late-1")  # which has the store look at the tables
    with engine.connect() as connection:
        raw: psycopg.Connection[Any] = connection.connection.dbapi_connection  # type: ignore[assignment]  # psycopg's
        with pytest.raises(Explained) as explained:
            Explaining(store, raw, mode)(statement, **parameters)
    return explained.value.plan


def page_of(
    engine: Engine,
    mode: str,
    filters: list[EventFilter],
    after: int,
    *,
    page_size: int = 1000,
    partition: Partition | None = None,
) -> dict[str, Any]:
    store = EventStore(engine, page_size=page_size)
    store.stream_version("late-1")
    with engine.connect() as connection:
        raw: Any = connection.connection.dbapi_connection
        with pytest.raises(Explained) as explained:
            GlobalOrder(store.core).page(
                Explaining(store, raw, mode), combine(filters), after=After(after), horizon=SETTLED, partition=partition
            )
    return explained.value.plan


def parts_in(plan: dict[str, Any]) -> set[str]:
    return {node["Relation Name"] for node in nodes(plan) if node.get("Relation Name", "").startswith("es_events_")}


@pytest.mark.parametrize("mode", MODES)
def test_a_stream_that_began_late_is_read_from_few_parts(in_parts: Engine, mode: str) -> None:
    of_stream = {"stream_id": "late-1", "after_version": 0, "up_to_version": 10, "page_size": 1000}
    aggregate = {"stream_id": "late-1", "schema_version": 1, "up_to_version": 10, "page_size": 1000}
    for statement, parameters in (
        (read_page_forwards, of_stream),
        (read_page_backwards, of_stream),
        (load_aggregate, aggregate),
    ):
        plan = plan_of(in_parts, mode, statement, **parameters)
        assert plan["Actual Rows"] == 3
        limit = 10 if statement is not load_aggregate else 14  # it looks for a snapshot, too
        assert buffers(plan) <= limit, (statement, buffers(plan))


@pytest.mark.parametrize("mode", MODES)
def test_a_page_of_all_events_costs_what_a_plain_one_does(plain: Engine, in_parts: Engine, mode: str) -> None:
    for after in (0, EVENTS // 2, EVENTS - 1_500):
        costs = [buffers(page_of(engine, mode, [], after)) for engine in (plain, in_parts)]
        print(f"after {after}, {mode}: {costs} pages of memory")
        assert costs[1] <= costs[0] + 25, (after, costs)


@pytest.mark.parametrize("mode", MODES)
def test_the_look_and_the_newest_position_cost_what_plain_ones_do(plain: Engine, in_parts: Engine, mode: str) -> None:
    look = {"settled": EVENTS - 5, "settled_id": UUID(int=1), "positions": [EVENTS - 5, EVENTS - 2]}
    for statement, parameters in (
        (newest_position, {}),
        (log_view, look),
        (last_without_gap, {"after_position": EVENTS - 100, "size": 1000}),
    ):
        costs = [buffers(plan_of(engine, mode, statement, **parameters)) for engine in (plain, in_parts)]
        print(f"{statement.__name__}, {mode}: {costs} pages of memory")
        assert costs[1] <= 2 * costs[0] + 12, (statement, costs)


FILTERS = {
    "a rare type": [EventFilter(event_types=["rare"])],
    "types": [EventFilter(event_types=["rare", "common-a"])],
    "categories": [EventFilter(categories=["c3", "c4"])],
    "a type in a category": [EventFilter(event_types=["common-a"], categories=["c3"])],
    "a late stream": [EventFilter(stream_ids=["late-1"])],
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", FILTERS)
def test_a_filtered_page_at_the_end_reads_the_last_parts_only(
    plain: Engine, in_parts: Engine, name: str, mode: str
) -> None:
    after = EVENTS - 1_000
    costs = [buffers(page_of(engine, mode, FILTERS[name], after)) for engine in (plain, in_parts)]
    print(f"{name}, {mode}: {costs} pages of memory")
    assert costs[1] <= 2 * costs[0] + 60, costs


CUSTOM = "force_custom_plan"
"""What PostgreSQL does unless a plan for any parameters seems cheaper, and always without prepared statements."""


def test_pages_are_planned_for_the_parts_that_they_are_near(in_parts: Engine) -> None:
    parts = {
        after: parts_in(page_of(in_parts, CUSTOM, [], after, page_size=25)) for after in (0, EVENTS // 2, EVENTS - 100)
    }
    of_partition = page_of(in_parts, CUSTOM, [], 0, page_size=25, partition=Partition(1, 8))
    at_the_end = page_of(in_parts, CUSTOM, [EventFilter(event_types=["common-a"])], EVENTS - 100)
    gap = plan_of(in_parts, CUSTOM, last_without_gap, after_position=EVENTS - 100, size=1000)
    for plan in (*parts.values(), *map(parts_in, (of_partition, at_the_end, gap))):
        assert len(plan) <= 4, plan  # of 30 or 100: those of the page, of the known events, and an unused one
    assert "es_events_1" in parts[0]


def test_postgresql_keeps_its_plan_of_a_look(in_parts: Engine) -> None:
    engine = create_engine(in_parts.url, pool_size=1, max_overflow=0)
    store = EventStore(engine)
    for _ in range(15):  # after five, the driver prepares the statement; after five more, PostgreSQL compares plans
        store.settled_position()
    with engine.connect() as connection:
        counts = connection.execute(
            text("SELECT generic_plans FROM pg_prepared_statements WHERE statement LIKE '%pg_locks%'")
        ).scalars()
        assert max(counts) > 0
    engine.dispose()
