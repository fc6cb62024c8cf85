"""Statements that sqlite3 executes alone, because nobody watches what SQLAlchemy does."""

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, StaticPool, create_engine, event
from sqlalchemy.exc import DBAPIError, IntegrityError

from eventstore import ANY, NO_STREAM, Append, ConcurrencyConflict, EventStore, NewEvent
from eventstore.backends.running import goes_direct
from eventstore.backends.sqlite.connections import SQLiteConnections
from eventstore.backends.sqlite.dialect import SQLiteDialect
from eventstore.backends.sqlite.direct import DirectRun, direct
from eventstore.errors import SchemaMissing
from eventstore.statements.heads import write_head
from eventstore.streams import Expectation


def events(count: int) -> list[NewEvent]:
    return [NewEvent("counted", {"number": number}) for number in range(count)]


def unwatched(engine: Engine) -> AbstractContextManager[DirectRun]:
    """Open a connection that the driver uses alone."""
    dialect = SQLiteDialect()
    return direct(engine, SQLiteConnections(dialect), dialect)


@pytest.fixture
def store(sqlite_engine: Engine) -> EventStore:
    return EventStore(sqlite_engine)


@pytest.fixture
def sqlite_url(sqlite_path: Path) -> str:
    return f"sqlite:///{sqlite_path}"


@pytest.fixture
def engine(sqlite_url: str) -> Iterator[Engine]:
    """An engine of the application's, with one connection."""
    engine = create_engine(sqlite_url, pool_size=1, max_overflow=0)
    yield engine
    engine.dispose()


def test_short_calls_need_nothing_of_sqlalchemy_but_its_pool(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Engine, "connect", None)
    store.append("order-1", events(1), expected_version=NO_STREAM)
    store.append("order-1", events(20), expected_version=1)
    store.append_many([Append(f"order-{number}", events(2), expected_version=NO_STREAM) for number in (2, 3)])
    assert len(list(store.read_stream("order-1"))) == store.stream_version("order-1") == 21
    assert len(list(store.read_all())) == 25
    assert store.snapshots.save("order-1", version=21, state="kept")


def test_who_listens_sees_every_statement_of_the_transaction(store: EventStore, sqlite_engine: Engine) -> None:
    store.append("order-1", events(1), expected_version=NO_STREAM)
    seen: list[str] = []
    event.listen(sqlite_engine, "before_cursor_execute", lambda *arguments: seen.append(arguments[2]))
    store.append("order-1", events(1), expected_version=1)
    assert [statement.split()[0] for statement in seen] == ["BEGIN", "UPDATE", "INSERT", "COMMIT"]


def test_the_log_has_every_statement(sqlite_url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "sqlalchemy.engine")
    engine = create_engine(sqlite_url)
    EventStore(engine).append("order-1", events(1), expected_version=NO_STREAM)
    engine.dispose()
    messages = [record.getMessage() for record in caplog.records]
    assert "BEGIN IMMEDIATE" in messages
    assert any("INTO es_events" in message for message in messages)


def test_hooks_of_the_pool_are_called(engine: Engine) -> None:
    called: list[str] = []
    for name in ("connect", "checkout", "reset", "checkin"):
        event.listen(engine, name, lambda *_, name=name: called.append(name))
    assert goes_direct(engine)
    EventStore(engine).stream_version("order-1")
    assert called[-4:] == ["connect", "checkout", "reset", "checkin"]


def test_a_connection_that_others_may_have_too_is_left_to_sqlalchemy(sqlite_url: str) -> None:
    engines = [create_engine("sqlite://"), create_engine(sqlite_url, poolclass=StaticPool), create_engine(sqlite_url)]
    assert [goes_direct(engine) for engine in engines] == [False, False, True]
    for engine in engines:
        engine.dispose()


@pytest.mark.parametrize("isolation_level", ["", "EXCLUSIVE", None])
def test_a_connection_goes_back_to_the_pool_as_it_was(engine: Engine, isolation_level: str | None) -> None:
    @event.listens_for(engine, "connect")
    def _choose(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = isolation_level  # type: ignore[assignment]  # any of SQLite's

    store = EventStore(engine)
    store.append("order-1", events(1), expected_version=NO_STREAM)
    with pytest.raises(ConcurrencyConflict):
        store.append("order-1", events(1), expected_version=7)
    with closing(engine.raw_connection()) as pooled:
        assert isinstance(pooled.dbapi_connection, sqlite3.Connection)
        assert pooled.dbapi_connection.isolation_level == isolation_level
        assert not pooled.dbapi_connection.in_transaction


@pytest.mark.parametrize("reset", ["rollback", "commit", None])
@pytest.mark.parametrize("isolation_level", ["", None])
def test_what_is_left_open_is_never_committed(sqlite_url: str, reset: Any, isolation_level: Any) -> None:
    engine = create_engine(sqlite_url, pool_reset_on_return=reset, pool_size=1, max_overflow=0)

    @event.listens_for(engine, "connect")
    def _choose(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = isolation_level

    with unwatched(engine) as connection:
        connection.send("BEGIN IMMEDIATE")
        connection.send("UPDATE es_schema SET version = 99")
    with unwatched(engine) as connection:
        assert connection.send("SELECT version < 99 FROM es_schema") == [(1,)]
    engine.dispose()


def test_what_is_interrupted_is_rolled_back(engine: Engine) -> None:
    store = EventStore(engine)
    with pytest.raises(KeyboardInterrupt), store.core.execution.transaction() as run:
        run(write_head(Expectation.NEW), stream_id="order-1", count=1)
        raise KeyboardInterrupt
    assert store.stream_version("order-1") == 0
    assert store.append("order-1", events(1), expected_version=NO_STREAM).version == 1


def test_what_a_hook_of_the_pool_has_begun_is_not_in_the_way(engine: Engine) -> None:
    event.listen(engine, "checkout", lambda connection, *_: connection.execute("BEGIN"))
    store = EventStore(engine)
    assert store.append("order-1", events(1), expected_version=ANY).version == 1
    assert store.stream_version("order-1") == 1


def test_errors_are_sqlalchemys_without_parameters(engine: Engine) -> None:
    refused = "UPDATE es_schema SET version = NULL WHERE :payload = :payload"
    with unwatched(engine) as connection:
        with pytest.raises(IntegrityError) as failed:
            connection.send(refused, {"payload": "secret"})
        assert isinstance(failed.value.orig, sqlite3.IntegrityError)
        assert "secret" not in str(failed.value)
        assert connection.send("SELECT 2") == [(2,)]  # and it goes on


def test_a_connection_that_somebody_has_closed_is_replaced(engine: Engine) -> None:
    with pytest.raises(DBAPIError) as lost, unwatched(engine) as connection:
        connection.raw.close()
        connection.send("SELECT 1")
    assert lost.value.connection_invalidated
    assert EventStore(engine).append("order-1", events(1), expected_version=NO_STREAM).version == 1


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'empty.db'}")
    with pytest.raises(SchemaMissing):
        EventStore(engine).append("order-1", events(1), expected_version=ANY)
    engine.dispose()


def test_a_file_that_can_not_be_opened_is_sqlalchemys_error_too(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'no folder' / 'events.db'}")
    with pytest.raises(DBAPIError, match="unable to open"):
        EventStore(engine).append("order-1", events(1), expected_version=ANY)
    engine.dispose()
