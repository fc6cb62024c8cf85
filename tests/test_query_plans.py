"""A read of a period touches the pages of its period, and lookups use the indexes that the documentation recommends."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, create_engine, event, text

from eventstore import EventStore, NewEvent, migrations
from eventstore.transfer import last_loaded
from tests.fix_postgresql import Databases
from tests.test_global_order_plans import without_indexes

pytestmark = pytest.mark.slow

EVENTS = 100_000
IMPORTED = 500
START = datetime(2026, 1, 1, tzinfo=UTC)
INDEXES = Path(__file__).parent.parent / "docs" / "how-to" / "indexes.md"

FILL = f"""
INSERT INTO es_streams (stream_id, version) VALUES ('log-1', {EVENTS + IMPORTED});
INSERT INTO es_events (stream_id, version, event_id, event_type, schema_version, codec, data, recorded_at, metadata)
    SELECT 'log-1', n, gen_random_uuid(), 'noted', 1, 1, '\\x80',
        timestamptz '2026-01-01 00:00+00' + n % {EVENTS} * interval '1 second',
        jsonb_build_object('correlation_id', n::text, 'causation_id', n::text)
    FROM generate_series(1, {EVENTS + IMPORTED}) n;
"""
"""An event each second; at the end some that were imported with the times of the first ones."""


class Executed(NamedTuple):
    sql: str
    parameters: Any
    plan: dict[str, Any]

    @property
    def indexes(self) -> set[str]:
        return set(re.findall(r'"Index Name": "(\w+)"', json.dumps(self.plan)))

    @property
    def blocks(self) -> int:
        return int(self.plan["Shared Hit Blocks"] + self.plan["Shared Read Blocks"])


@pytest.fixture(scope="module")
def filled(postgres_databases: Databases) -> Iterator[Engine]:
    """A log of 28 hours."""
    with postgres_databases.fresh("template0") as url:
        engine = create_engine(url)
        migrations.provision(engine, "public")
        with engine.begin() as connection, without_indexes(connection, "es_events"):
            connection.execute(text("SET LOCAL session_replication_role = replica"))  # no look for the stream of each
            connection.execute(text(FILL))
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE es_events"))
        yield engine
        engine.dispose()


@pytest.fixture
def executed(filled: Engine) -> Iterator[list[tuple[str, Any]]]:
    sent: list[tuple[str, Any]] = []

    @event.listens_for(filled, "before_cursor_execute")
    def _note(connection: object, cursor: object, sql: str, parameters: Any, *_: object) -> None:
        if "es_events" in sql and not sql.startswith("EXPLAIN"):
            sent.append((sql, parameters))

    yield sent
    event.remove(filled, "before_cursor_execute", _note)


def explained(engine: Engine, sent: list[tuple[str, Any]], part: str) -> list[Executed]:
    """Return the plans of those statements that have a part in their text."""
    found = []
    with engine.connect() as connection:
        for sql, parameters in sent:
            if part in sql:
                plan = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", parameters)
                found.append(Executed(sql, parameters, plan.scalar_one()[0]["Plan"]))
    return found


def hours(number: float) -> datetime:
    return START + timedelta(hours=number)


def test_a_page_reads_the_pages_of_its_period(filled: Engine, executed: list[tuple[str, Any]]) -> None:
    store = EventStore(filled, page_size=500)
    read = list(store.read_all(recorded_since=hours(20), recorded_before=hours(21)))
    assert [event.version for event in read] == list(range(20 * 3600, 21 * 3600))
    with filled.connect() as connection:
        blocks, in_period = connection.execute(
            text(
                "SELECT pg_relation_size('es_events') / 8192, (SELECT count(DISTINCT (ctid::text::point)[0]) "
                "FROM es_events WHERE recorded_at >= :since AND recorded_at < :before)"
            ),
            {"since": hours(20), "before": hours(21)},
        ).one()
    (search,) = explained(filled, executed, "AS last")
    assert search.indexes >= {"es_events_recorded_at_idx"}
    # The index has one entry for 128 blocks: that of the period's first, that of its last, and the one with the import.
    assert search.blocks < in_period + 3 * 128 + 20 < blocks / 4
    pages = explained(filled, executed, "AS page\nORDER BY position")
    assert len(pages) == 3600 // 500 + 1
    for page in pages:
        assert "es_events_position_key" in page.indexes
        assert page.blocks < 500 * 0.1 + 20
    print(f"{blocks} blocks, {in_period} of the period; search {search.blocks}, pages {[p.blocks for p in pages]}")


def test_imported_events_with_old_times_are_found(filled: Engine, executed: list[tuple[str, Any]]) -> None:
    """The read passes 100,000 events between them in some steps, not in 200."""
    store = EventStore(filled, page_size=500)
    expected = [*range(1, IMPORTED + 100), *range(EVENTS, EVENTS + IMPORTED + 1)]
    period: dict[str, Any] = {"recorded_since": START, "recorded_before": START + timedelta(seconds=IMPORTED + 100)}
    assert [event.version for event in store.read_all(**period)] == expected
    assert len([sql for sql, _ in executed if "AS page\nORDER BY position" in sql]) < 10
    executed.clear()
    assert [event.version for event in store.read_all(**period, backwards=True)] == expected[::-1]
    assert len([sql for sql, _ in executed if "AS page\nORDER BY position" in sql]) < 10
    assert store.count_events(**period) == len(expected)


def recommended(*, sqlite: bool) -> dict[str, str]:
    """Return the statements of the documentation that create the indexes, by what they are for."""
    blocks = re.findall(r"```sql\n(CREATE INDEX.*?)```", INDEXES.read_text(), re.DOTALL)
    statements = [each.strip() for block in blocks for each in block.split(";") if "CREATE INDEX" in each]
    chosen = [each for each in statements if ("CONCURRENTLY" in each) is not sqlite]
    return {
        name: next(each for each in chosen if f"shop_events_{name}_idx" in each)
        for name in ("correlation_id", "causation_id", "event_id")
    }


@pytest.mark.parametrize("name", ["correlation_id", "causation_id", "event_id"])
@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
def test_a_lookup_uses_the_index_of_the_documentation(
    filled: Engine, executed: list[tuple[str, Any]], name: str, mode: str
) -> None:
    """Nothing is analyzed after the index is created."""
    store = EventStore(filled)
    (wanted,) = store.read_all(after_position=777, limit=1)
    index = f"shop_events_{name}_idx"
    with filled.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(recommended(sqlite=False)[name])
        connection.exec_driver_sql(f"ALTER DATABASE {filled.url.database} SET plan_cache_mode = {mode}")
    try:
        value: Any = wanted.event_id if name == "event_id" else wanted.metadata[name]
        executed.clear()
        assert list(store.find_events(**{name: value})) == [wanted]
        (lookup,) = explained(filled, executed, "FROM es_events")
        assert lookup.indexes == {index}
        assert lookup.blocks < 10
    finally:
        with filled.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql(f"DROP INDEX {index}")
            connection.exec_driver_sql(f"ALTER DATABASE {filled.url.database} RESET plan_cache_mode")


@pytest.mark.parametrize("name", ["correlation_id", "causation_id", "event_id"])
def test_a_lookup_uses_the_index_of_the_documentation_on_sqlite(sqlite_engine: Engine, name: str) -> None:
    store = EventStore(sqlite_engine)
    ids = {"correlation_id": "request-19", "causation_id": str(uuid4())}
    new = NewEvent("noted", metadata=ids)
    store.append("order-1", [NewEvent("noted"), new], expected_version=0)
    sent: list[tuple[str, Any]] = []
    event.listen(sqlite_engine, "before_cursor_execute", lambda *arguments: sent.append(arguments[2:4]))
    with sqlite_engine.begin() as connection:
        connection.exec_driver_sql(recommended(sqlite=True)[name])
    sent.clear()
    value: Any = new.event_id if name == "event_id" else ids[name]
    assert [found.event_id for found in store.find_events(**{name: value})] == [new.event_id]
    ((sql, parameters),) = [each for each in sent if "FROM es_events" in each[0]]
    with sqlite_engine.connect() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", parameters).fetchall()
    assert f"USING INDEX shop_events_{name}_idx" in str(plan)


def test_a_search_of_sqlite_reads_the_index_of_times_only(sqlite_engine: Engine) -> None:
    store = EventStore(sqlite_engine)
    store.append("order-1", NewEvent("noted"), expected_version=0)
    sent: list[tuple[str, Any]] = []
    event.listen(sqlite_engine, "before_cursor_execute", lambda *arguments: sent.append(arguments[2:4]))
    assert len(list(store.read_all(recorded_since=START))) == 1
    ((sql, parameters),) = [each for each in sent if "AS last" in each[0]]
    with sqlite_engine.connect() as connection:
        plan = str(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", parameters).fetchall())
    assert "SEARCH candidate USING COVERING INDEX es_events_recorded_at_idx" in plan


def test_an_id_of_another_event_is_not_found(sqlite_engine: Engine) -> None:
    assert list(EventStore(sqlite_engine).find_events(event_id=UUID(int=0))) == []


def test_where_an_import_has_ended_is_found_by_position(filled: Engine, executed: list[tuple[str, Any]]) -> None:
    """Without events of the source, the log is read once, from its end, without a sort; see `last_loaded`."""
    assert last_loaded(EventStore(filled), "old") is None
    with filled.connect() as connection:
        sizes = "SELECT (pg_relation_size('es_events') + pg_relation_size('es_events_position_key')) / 8192"
        blocks = connection.execute(text(sizes)).scalar_one()
    (search,) = explained(filled, executed, "$imported")
    (scan,) = search.plan["Plans"]
    assert (search.plan["Node Type"], scan["Node Type"]) == ("Limit", "Index Scan")
    assert (search.indexes, scan["Scan Direction"]) == ({"es_events_position_key"}, "Backward")
    assert search.blocks < blocks * 1.1 + 20
    print(f"{search.blocks} of {blocks} blocks, {search.plan['Actual Total Time']} ms")
