"""Canaries: the private parts of SQLAlchemy that the store uses are there, and do what it takes them to do.

If one is missing, the store takes its slower way, and nothing fails but these tests. nox runs them against the newest
pre-release of SQLAlchemy.
"""

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import AssertionPool, NullPool, QueuePool, SingletonThreadPool, StaticPool

from eventstore.backends import pool_records
from eventstore.backends.running import has_listeners


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = create_engine("sqlite://", poolclass=QueuePool, pool_size=2, max_overflow=0, pool_timeout=0.01)
    yield engine
    engine.dispose()


def connection_of(engine: Engine) -> Any:
    """The driver's connection that the next checkout gets."""
    with engine.connect() as connection:
        return connection.connection.dbapi_connection


def test_everything_that_is_used_is_there() -> None:
    assert pool_records.HAS_RECORDS
    assert not has_listeners(create_engine("sqlite://"))


@pytest.mark.parametrize(("class_name", "method_name", "parameters"), pool_records.USED)
def test_if_anything_is_missing_or_takes_other_parameters_no_record_is_taken(
    monkeypatch: pytest.MonkeyPatch, engine: Engine, class_name: str, method_name: str, parameters: tuple[str, ...]
) -> None:
    assert pool_records.has_what_is_used()
    others = (*pool_records.USED[:-1], (class_name, method_name, (*parameters, "another")))
    monkeypatch.setattr(pool_records, "USED", others)
    assert not pool_records.has_what_is_used()
    monkeypatch.setattr(pool_records, "USED", ((class_name, f"{method_name}_of_another_name", parameters),))
    assert not pool_records.has_what_is_used()
    monkeypatch.setattr(pool_records, "HAS_RECORDS", False)
    assert not pool_records.lends_records(engine.pool)


def test_a_record_is_out_of_the_pool_until_it_is_given_back(engine: Engine) -> None:
    pool: Any = engine.pool
    first = pool_records.take(pool)
    second = pool_records.take(pool)
    assert first.get_connection() is not second.get_connection()
    assert (pool.checkedout(), pool.checkedin()) == (2, 0)
    with pytest.raises(PoolTimeout):
        engine.connect()
    pool_records.giving_back(pool)(first)
    pool_records.giving_back(pool)(second)
    assert (pool.checkedout(), pool.checkedin()) == (0, 2)
    with engine.connect() as connection:
        assert connection.connection.dbapi_connection is first.get_connection()


def test_notes_are_the_same_as_those_of_a_checkout_and_end_with_the_connection(engine: Engine) -> None:
    with engine.connect() as connection:
        connection.info["note"] = True
    record = pool_records.take(engine.pool)
    before = record.get_connection()
    assert record.info == {"note": True}
    record.invalidate()
    assert record.dbapi_connection is None
    assert record.get_connection() is not before
    assert record.info == {}
    pool_records.giving_back(engine.pool)(record)


def test_a_connection_that_is_too_old_is_replaced(engine: Engine) -> None:
    recycling = create_engine("sqlite://", poolclass=QueuePool, pool_recycle=0)
    record = pool_records.take(recycling.pool)
    before = record.get_connection()
    before.execute("SELECT 1")
    assert record.get_connection() is not before
    pool_records.giving_back(recycling.pool)(record)
    recycling.dispose()


def test_after_a_loss_the_pool_replaces_all_connections(engine: Engine) -> None:
    first, second = (pool_records.take(engine.pool) for _ in range(2))
    connections = {first.get_connection(), second.get_connection()}
    pool_records.giving_back(engine.pool)(second)
    pool_records.discard_after_loss(engine.pool, first, RuntimeError("lost"))
    assert first.dbapi_connection is None
    pool_records.giving_back(engine.pool)(first)
    assert connection_of(engine) not in connections
    assert connection_of(engine) not in connections


@pytest.mark.parametrize(
    "kind", [NullPool, StaticPool, SingletonThreadPool, AssertionPool, type("Ours", (QueuePool,), {})]
)
def test_other_pools_lend_no_records(kind: Any) -> None:
    engine = create_engine("sqlite://", poolclass=kind)
    assert not pool_records.lends_records(engine.pool)
    engine.dispose()


@pytest.mark.parametrize("name", ["checkout", "reset", "checkin"])
def test_a_pool_with_hooks_lends_no_records(engine: Engine, name: str) -> None:
    assert pool_records.lends_records(engine.pool)
    event.listen(engine, name, lambda *_: None)
    assert not pool_records.lends_records(engine.pool)


def test_a_hook_for_new_connections_does_not_matter(engine: Engine) -> None:
    seen: list[object] = []
    event.listen(engine, "connect", lambda connection, _: seen.append(connection))
    assert pool_records.lends_records(engine.pool)
    record = pool_records.take(engine.pool)
    assert seen == [record.get_connection()]
    pool_records.giving_back(engine.pool)(record)


def test_a_pool_that_pings_lends_no_records() -> None:
    engine = create_engine("sqlite://", poolclass=QueuePool, pool_pre_ping=True)
    assert not pool_records.lends_records(engine.pool)


def test_a_pool_that_logs_checkouts_lends_no_records(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "sqlalchemy.pool")
    engine = create_engine("sqlite://", poolclass=QueuePool)
    assert not pool_records.lends_records(engine.pool)


@pytest.mark.parametrize("name", ["before_cursor_execute", "handle_error", "do_execute", "engine_connect"])
def test_a_hook_of_an_engine_is_found(engine: Engine, name: str) -> None:
    assert not has_listeners(engine)
    event.listen(engine, name, lambda *_, **__: None)
    assert has_listeners(engine)


def test_a_log_of_statements_is_found(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "sqlalchemy.engine")
    assert has_listeners(create_engine("sqlite://"))


def test_a_hook_of_all_engines_is_found(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Engine, "_has_events", False)  # SQLAlchemy leaves it True when the hook is gone

    def note(*_: Any) -> None: ...

    event.listen(Engine, "before_cursor_execute", note)
    try:
        assert has_listeners(engine)
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def test_a_hook_of_all_connections_is_found_if_sqlalchemy_calls_it(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Connection, "_has_events", False, raising=False)
    seen: list[object] = []

    def note(*_: Any) -> None:
        seen.append(None)

    event.listen(Connection, "before_cursor_execute", note)
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("SELECT 1")
        assert has_listeners(engine) or not seen
    finally:
        event.remove(Connection, "before_cursor_execute", note)
