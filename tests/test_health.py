"""Health: what it finds, what counts as a problem, and that it comes back in time whatever the database does."""

import json
import re
import threading
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.pool import NullPool

from eventstore import ANY, EventFilter, EventStore, InvalidInput, NewEvent, ProjectionFailed, migrations
from eventstore.projections import OnFailure, Projection, Worker
from eventstore.tables import SCHEMA_VERSION
from tests.fix_migrations import BringTo, url_of


@pytest.fixture(params=["sqlite_engine", pytest.param("shared_postgres_engine", marks=pytest.mark.postgresql)])
def engine(request: pytest.FixtureRequest) -> Engine:
    engine: Engine = request.getfixturevalue(request.param)
    return engine


@pytest.fixture
def store(engine: Engine) -> EventStore:
    return EventStore(engine)


def refuse(_event: object, _connection: object) -> None:
    raise ValueError("PAYLOAD")


@pytest.fixture
def lagging(store: EventStore) -> EventStore:
    """Three projections: one that has caught up, with two dead letters; one that has failed; one that is behind."""
    store.append("order-1", [NewEvent("placed"), NewEvent("paid")], expected_version=0)
    store.append("order-2", [NewEvent("paid")], expected_version=0)
    tolerant = Projection("tolerant", EventFilter(stream_ids=["order-1"]), on_failure=OnFailure.DEAD_LETTER)
    tolerant.on()(refuse)
    Worker(store, tolerant).run_until_caught_up()
    strict = Projection("strict")
    strict.on("paid")(refuse)
    with pytest.raises(ProjectionFailed):
        Worker(store, strict).run_until_caught_up()
    return store


def test_it_tells_how_projections_are_doing(lagging: EventStore) -> None:
    strict, tolerant = lagging.health().projections
    assert (tolerant.name, tolerant.position, tolerant.lag_events, tolerant.lag_seconds) == ("tolerant", 3, 0, 0.0)
    assert (tolerant.dead_letters, tolerant.failure) == (2, None)
    assert (strict.name, strict.position, strict.lag_events, strict.dead_letters) == ("strict", 1, 2, 0)
    assert 0 < strict.lag_seconds < 600
    assert strict.failure is not None
    assert strict.failure.startswith("ValueError at position 2")
    assert "PAYLOAD" not in str(lagging.health(max_failed_projections=0))


@pytest.mark.parametrize(
    ("thresholds", "problem"),
    [
        ({}, None),
        ({"max_lag_seconds": 600, "max_lag_events": 2, "max_dead_letters": 2, "max_failed_projections": 1}, None),
        ({"max_lag_seconds": 0}, r"projection 'strict': \d+ s behind"),
        ({"max_lag_events": 1}, "projection 'strict': 2 events behind"),
        ({"max_lag_events": 1, "projections": ["tolerant"]}, None),
        ({"max_dead_letters": 1}, "projection 'tolerant': 2 pending dead letters"),
        ({"max_failed_projections": 0}, "projection 'strict': has stopped: ValueError at position 2"),
        ({"projections": ["tolerant", "absent"]}, "projection 'absent': has never run"),
    ],
)
def test_thresholds_say_what_is_a_problem(lagging: EventStore, thresholds: Any, problem: str | None) -> None:
    health = lagging.health(**thresholds)
    assert health.ok is (problem is None)
    assert [bool(re.match(str(problem), str(each))) for each in health.problems] == [True] * (problem is not None)


def test_it_is_json(lagging: EventStore) -> None:
    told = json.loads(json.dumps(lagging.health(max_lag_events=1).as_dict()))
    assert list(told) == ["ok", "problems", "connection", "schema", "projections", "pool"]
    (problem,) = told["problems"]
    assert (told["ok"], problem["level"]) == (False, "error")
    assert (problem["subject"], problem["name"], problem["found"]) == (
        "projection 'strict'",
        "strict",
        "2 events behind",
    )
    assert told["schema"] == {"fits": True, "version": SCHEMA_VERSION, "error": None}
    assert [each["name"] for each in told["projections"]] == ["strict", "tolerant"]


def test_the_pool_is_counted_when_the_check_begins(store: EventStore) -> None:
    pool = store.health().pool
    limit = pool.limit
    assert limit is not None
    assert (pool.kind, pool.size, pool.checked_out, pool.overflow) == ("QueuePool", 5, 0, 0)
    with store.engine.connect(), store.engine.connect():
        assert store.health().pool.checked_out == 2
        assert store.health(max_pool_use=2 / limit).ok
        busy = store.health(max_pool_use=1 / limit)
    assert [str(problem) for problem in busy.problems] == [f"pool: 2 of {limit} connections are in use"]


def test_a_pool_that_does_not_count_says_nothing(store: EventStore) -> None:
    engine = create_engine(store.engine.url, poolclass=NullPool)
    health = EventStore(engine).health(max_pool_use=0)
    assert (health.ok, health.pool.kind, health.pool.size, health.pool.limit) == (True, "NullPool", None, None)


def test_tables_that_are_missing_old_or_too_new_are_problems(
    sqlite_engine: Engine, tracked_engine: Callable[[Any], Engine]
) -> None:
    missing = EventStore(tracked_engine("sqlite://")).health()
    assert (missing.ok, missing.connection.is_up, missing.schema.fits, missing.schema.version) == (
        False, True, False, None,
    )  # fmt: skip
    assert "eventstore migrate" in missing.problems[0].found
    used, unused = EventStore(sqlite_engine), EventStore(sqlite_engine)
    assert used.health().ok
    for version, breaking in ((0, 0), (99, 99)):
        with sqlite_engine.begin() as connection:
            values = {"version": version, "breaking": breaking}
            connection.execute(text("UPDATE es_schema SET version = :version, breaking_version = :breaking"), values)
        for store in (used, unused):  # one that has looked before looks again
            health = store.health()
            assert (health.connection.is_up, health.schema.fits, health.schema.version) == (True, False, version)
            assert [problem.found for problem in health.problems] == [health.schema.error]


@pytest.mark.slow
def test_tables_without_projections_are_fine(bring_to: BringTo, new_engine: Engine) -> None:
    bring_to(new_engine, "es_0004")
    health = EventStore(new_engine).health(max_dead_letters=0)
    assert (health.ok, health.schema.version, health.projections) == (True, 4, ())


def test_a_database_that_is_not_there_is_told_without_the_password(
    tracked_engine: Callable[[Any], Engine], unused_port: int
) -> None:
    engine = tracked_engine(f"postgresql://ada:s3cret@127.0.0.1:{unused_port}/shop")
    health = EventStore(engine).health(timeout_seconds=20, max_lag_seconds=0, projections=["totals"])
    assert (health.ok, health.connection.is_up, health.schema.fits, len(health.problems)) == (False, False, False, 1)
    assert health.problems[0].found.startswith("OperationalError: ")
    assert [problem.found for problem in health.problems] == [health.connection.error]
    assert "s3cret" not in str(health.as_dict())


@pytest.mark.postgresql
def test_a_wrong_password_is_told_without_it(tracked_engine: Callable[[Any], Engine], postgres_url: str) -> None:
    engine = tracked_engine(postgres_url)
    wrong = tracked_engine(engine.url.set(username="nobody-here", password="s3cr/t @x"))  # noqa: S106  # of nobody
    health = EventStore(wrong).health(timeout_seconds=20)
    assert not health.connection.is_up
    assert "nobody-here" in str(health.connection.error)
    assert "s3cr" not in str(health)


@pytest.mark.postgresql
def test_who_may_not_read_projections_is_told_or_leaves_them_out(shared_postgres_engine: Engine) -> None:
    role = f"reader_{uuid4().hex}"
    with shared_postgres_engine.begin() as connection:
        connection.execute(text(f"CREATE ROLE {role} LOGIN"))
        connection.execute(text(f"GRANT SELECT ON es_schema TO {role}"))
    reader = create_engine(shared_postgres_engine.url.set(username=role))
    try:
        health = EventStore(reader).health(projections=["totals"])
        assert (health.connection.is_up, health.schema.fits, len(health.problems)) == (True, True, 1)
        assert str(health.problems[0]).startswith("projections: can't be read: PermissionDenied: ")
        assert "GRANT SELECT ON es_checkpoints TO" in health.problems[0].found
        assert EventStore(reader).health(projections=()).ok
    finally:
        reader.dispose()
        with shared_postgres_engine.begin() as connection:
            connection.execute(text(f"DROP OWNED BY {role}; DROP ROLE {role}"))


@pytest.mark.postgresql
def test_a_database_that_hangs_is_told_in_time_and_asked_once(shared_postgres_engine: Engine) -> None:
    store = EventStore(shared_postgres_engine)
    with shared_postgres_engine.begin() as connection:
        connection.execute(text("LOCK TABLE es_checkpoints"))
        for _ in range(3):
            health = store.health(timeout_seconds=0.05, max_dead_letters=0)
            assert [problem.found for problem in health.problems] == ["the database did not answer within 0.05 s"]
        assert [thread.name for thread in threading.enumerate()].count("eventstore-health") == 1
        assert store.health(timeout_seconds=0.05).pool.checked_out == 2, "the lock's, and one that waits for it"
    assert store.health(timeout_seconds=20).ok
    assert "eventstore-health" not in [thread.name for thread in threading.enumerate()]


def test_a_full_pool_is_told_in_time(tracked_engine: Callable[[Any], Engine], engine: Engine) -> None:
    small = create_engine(url_of(engine), pool_size=1, max_overflow=0, pool_timeout=0.2)
    store = EventStore(small)
    with small.connect():
        health = store.health(timeout_seconds=20, max_pool_use=0.9)
    assert (health.connection.is_up, health.pool.limit, health.pool.checked_out) == (False, 1, 1)
    assert str(health.problems[1]) == "pool: 1 of 1 connections are in use"
    assert store.health().ok
    small.dispose()


def test_a_joined_store_looks_from_outside(store: EventStore) -> None:
    with store.transaction() as joined:
        joined.append("order-1", [NewEvent("placed")], expected_version=0)
        assert joined.health(timeout_seconds=20).ok


@pytest.mark.slow
def test_a_database_of_one_thread_is_looked_at_by_that_thread() -> None:
    engine = create_engine("sqlite://")
    migrations.upgrade(engine)
    assert EventStore(engine).health().ok
    engine.dispose()


@pytest.mark.parametrize(
    "options",
    [
        {"timeout_seconds": 0},
        {"projections": "totals"},
        {"max_lag_seconds": -1},
        {"max_lag_seconds": float("nan")},
        {"max_lag_events": 10_000},
        {"max_dead_letters": -1},
        {"max_failed_projections": True},
        {"max_pool_use": 1.5},
    ],
)
def test_bad_options_are_errors(options: Any) -> None:
    with EventStore.in_memory() as store, pytest.raises(InvalidInput):
        store.health(**options)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("ALTER TABLE es_events ALTER COLUMN position SET CACHE 20", "CACHE 20"),
        ("SELECT setval(pg_get_serial_sequence('es_events', 'position'), 1)", "behind the newest event"),
        ("ALTER TABLE es_events SET UNLOGGED", "UNLOGGED"),
    ],
)
def test_it_says_that_positions_are_not_drawn_as_they_should_be(
    postgres_engine: Engine, change: str, problem: str
) -> None:
    store = EventStore(postgres_engine)
    for _ in range(3):
        store.append("order-1", [NewEvent("placed")], expected_version=ANY)
    with postgres_engine.begin() as connection:
        connection.execute(text(change))
    (found,) = store.health().problems
    assert problem in found.found
