"""Statements that the driver executes alone, because nobody watches what SQLAlchemy does."""

import logging
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, Engine, StaticPool, create_engine, event, text
from sqlalchemy.exc import DBAPIError, OperationalError

from eventstore import ANY, EventStore, NewEvent
from eventstore.backends.postgresql.connections import PostgreSQLConnections
from eventstore.backends.postgresql.dialect import PostgreSQLDialect
from eventstore.backends.postgresql.direct_runs import DirectRun, direct
from eventstore.backends.running import has_listeners
from eventstore.errors import SchemaMissing
from tests.waiting import until


@pytest.fixture
def store(postgres_engine: Engine) -> EventStore:
    return EventStore(postgres_engine)


def one() -> list[NewEvent]:
    return [NewEvent("counted", {"number": 1})]


def unwatched(engine: Engine) -> AbstractContextManager[DirectRun]:
    """Open a connection that the driver uses alone."""
    dialect = PostgreSQLDialect()
    return direct(engine, PostgreSQLConnections(dialect), dialect)


def test_an_engine_that_nobody_has_touched_is_not_watched(postgres_engine: Engine) -> None:
    assert not has_listeners(postgres_engine)


def test_a_hook_is_called_from_the_moment_it_is_there(postgres_engine: Engine, store: EventStore) -> None:
    store.append("order-1", one(), expected_version=ANY)
    seen: list[str] = []
    event.listen(postgres_engine, "before_cursor_execute", lambda *arguments: seen.append(arguments[2]))
    store.append("order-1", one(), expected_version=ANY)
    assert len(seen) == 1


@pytest.mark.parametrize("watched", [Engine, Connection])
def test_a_hook_on_a_class_is_called(
    store: EventStore, monkeypatch: pytest.MonkeyPatch, watched: type[Engine | Connection]
) -> None:
    monkeypatch.setattr(watched, "_has_events", False, raising=False)  # SQLAlchemy leaves it True when the hook is gone
    seen: list[str] = []

    def note(*arguments: Any) -> None:
        seen.append(arguments[2])

    event.listen(watched, "before_cursor_execute", note)
    try:
        with store.engine.connect() as connection:
            connection.exec_driver_sql("SELECT 1")
        is_called = bool(seen)
        store.append("order-1", one(), expected_version=ANY)
    finally:
        event.remove(watched, "before_cursor_execute", note)
    assert is_called or watched is Connection  # SQLAlchemy 2.0 calls those if the engine has some, too
    assert any("es_events" in statement for statement in seen) is is_called


def test_a_hook_of_the_dialect_is_called(store: EventStore, postgres_engine: Engine) -> None:
    seen: list[str] = []
    event.listen(postgres_engine, "do_execute", lambda *arguments: seen.append(arguments[1]))
    store.append("order-1", one(), expected_version=ANY)
    assert [statement for statement in seen if "es_events" in statement] != []


def test_the_log_has_every_statement(store: EventStore, postgres_url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "sqlalchemy.engine")
    engine = create_engine(postgres_url)
    EventStore(engine).append("order-1", one(), expected_version=ANY)
    assert any("INTO es_events" in record.getMessage() for record in caplog.records)
    engine.dispose()


def test_an_engine_with_an_isolation_level_of_its_own_goes_through_sqlalchemy(postgres_engine: Engine) -> None:
    """Which has a hook for it."""
    assert has_listeners(postgres_engine.execution_options(isolation_level="SERIALIZABLE"))
    assert not has_listeners(postgres_engine.execution_options(note="of the application"))


def test_who_watches_the_driver_by_a_class_of_connections_sees_every_statement(postgres_url: str) -> None:
    """As instrumentation of the driver does, with cursors of its own."""
    seen: list[str] = []

    class NotingCursor(psycopg.Cursor[Any]):
        def execute(self, query: Any, *arguments: Any, **options: Any) -> Any:
            seen.append(query)
            return super().execute(query, *arguments, **options)

    class NotingConnection(psycopg.Connection[Any]):
        def cursor(self, *_: Any, **__: Any) -> Any:
            return NotingCursor(self)

    conninfo = postgres_url.replace("+psycopg", "")
    engine = create_engine("postgresql+psycopg://", creator=lambda: NotingConnection.connect(conninfo))
    store = EventStore(engine)
    store.append("order-1", one(), expected_version=ANY)
    assert not has_listeners(engine)
    assert [event.version for event in store.read_stream("order-1")] == [1]
    engine.dispose()
    # the first two ask whether the log is partitioned, and how positions are drawn
    assert len([statement for statement in seen if "es_events" in statement]) == 4


def test_a_connection_goes_back_to_the_pool_as_it_was(postgres_url: str) -> None:
    engine = create_engine(postgres_url, pool_size=1, max_overflow=0)
    store = EventStore(engine)
    for _ in range(3):
        store.append("order-1", one(), expected_version=ANY)
    with engine.connect() as connection:
        raw = connection.connection.dbapi_connection
        assert raw is not None
        assert raw.autocommit is False
        connection.execute(text("SELECT 1"))
        assert connection.in_transaction()
    assert store.stream_version("order-1") == 3
    engine.dispose()


def test_a_connection_that_others_may_have_too_is_left_to_sqlalchemy(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = create_engine(postgres_url, poolclass=StaticPool)
    store = EventStore(engine)
    store.append("order-1", one(), expected_version=ANY)  # on a new connection there is more to ask
    executed: list[str] = []
    method = Connection.exec_driver_sql

    def note(connection: Connection, statement: str, *arguments: Any) -> Any:
        executed.append(statement)
        return method(connection, statement, *arguments)

    monkeypatch.setattr(Connection, "exec_driver_sql", note)
    store.append("order-1", one(), expected_version=ANY)
    engine.dispose()
    assert len(executed) == 1


def test_a_connection_keeps_the_cursor_that_writes_but_not_what_it_has_written(postgres_url: str) -> None:
    engine = create_engine(postgres_url, pool_size=1, max_overflow=0)
    store = EventStore(engine)

    def kept() -> list[Any]:
        with closing(engine.raw_connection()) as pooled:
            return [value for value in pooled.info.values() if isinstance(value, psycopg.Cursor)]

    store.append("order-1", [*one(), *one()], expected_version=ANY)
    (cursor,) = kept()
    store.append("order-1", [*one(), *one()], expected_version=ANY)
    assert len(list(store.read_stream("order-1"))) == 4
    assert kept() == [cursor]
    assert [row[:2] for row in cursor.rows] == [(4, [3, 4])]
    assert cursor._query is None
    engine.dispose()


def test_an_engine_in_autocommit_stays_in_it(postgres_url: str) -> None:
    engine = create_engine(postgres_url, isolation_level="AUTOCOMMIT", pool_size=1, max_overflow=0)
    EventStore(engine).append("order-1", one(), expected_version=ANY)
    with engine.connect() as connection:
        raw = connection.connection.dbapi_connection
        assert raw is not None
        assert raw.autocommit is True
    engine.dispose()


def test_errors_are_sqlalchemys_without_parameters(postgres_engine: Engine) -> None:
    with unwatched(postgres_engine) as connection:
        with pytest.raises(DBAPIError) as failed:
            connection._send("SELECT 1 / %(secret)b::int", {"secret": 0})
        assert isinstance(failed.value.orig, psycopg.errors.DivisionByZero)
        assert "secret" not in str(failed.value).replace("%(secret)b", "")
        assert connection._send("SELECT 2", None) == [(2,)]  # and it goes on


def test_a_missing_table_is_named(empty_postgres_url: str) -> None:
    engine = create_engine(empty_postgres_url)
    with pytest.raises(SchemaMissing):
        EventStore(engine).append("order-1", one(), expected_version=ANY)
    engine.dispose()


def test_a_server_that_is_not_there_is_sqlalchemys_error_too() -> None:
    engine = create_engine("postgresql+psycopg://nobody@127.0.0.1:1/nothing")
    with pytest.raises(OperationalError):
        EventStore(engine).append("order-1", one(), expected_version=ANY)


@pytest.mark.slow
def test_one_lost_connection_empties_the_pool(postgres_url: str) -> None:
    """As a server that was restarted has closed them all: one call fails, not one for each."""
    engine = create_engine(postgres_url, pool_size=5)
    store = EventStore(engine)
    barrier = threading.Barrier(4)

    def hold() -> None:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
            barrier.wait()

    threads = [threading.Thread(target=hold) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not has_listeners(engine)
    with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as connection:
        others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        connection.execute(f"SELECT pg_terminate_backend(pid, 5000) {others}")
    with pytest.raises(OperationalError) as lost:
        store.append("order-1", one(), expected_version=ANY)
    assert lost.value.connection_invalidated
    for _ in range(5):
        store.append("order-1", one(), expected_version=ANY)
    engine.dispose()


def interrupt_when_it_sleeps(server: psycopg.Connection[Any]) -> None:
    sleeping = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
    until(lambda: server.execute(sleeping).fetchall())
    signal.raise_signal(signal.SIGINT)


def test_a_statement_that_is_interrupted_spoils_nothing(postgres_url: str) -> None:
    engine = create_engine(postgres_url, pool_size=1, max_overflow=0)
    store = EventStore(engine)
    store.append("order-1", one(), expected_version=ANY)
    with ThreadPoolExecutor(1) as threads, psycopg.connect(postgres_url.replace("+psycopg", "")) as server:
        server.autocommit = True
        interrupted = threads.submit(interrupt_when_it_sleeps, server)
        with pytest.raises(KeyboardInterrupt), unwatched(engine) as connection:
            connection._send("SELECT pg_sleep(300)", None)
        interrupted.result()
    assert store.append("order-1", one(), expected_version=ANY).version == 2
    engine.dispose()
