"""What the doctor says, and what is counted, on both databases."""

import re
import socket
import threading
from contextlib import closing, suppress

import pytest
from sqlalchemy import Engine, create_engine, text

from eventstore import EventStore, NewEvent
from eventstore.backends import engine_for
from eventstore.backends.postgresql import diagnosis as postgresql_diagnosis
from eventstore.maintenance import Count, Finding, Level, Precision, diagnose, statistics
from eventstore.projections import Projection, Worker
from tests.damage import fill
from tests.fix_engines import changing_history

NOT_DURABLE = {"fsync", "full_page_writes"}  # servers of tests need not survive a crash


def of(store: EventStore, about: str) -> Finding:
    (found,) = [found for found in diagnose(store) if about in {found.subject, found.kind and found.kind.value}]
    return found


@pytest.mark.slow
def test_a_healthy_store_has_no_errors_and_each_problem_has_advice(any_engine: Engine) -> None:
    fill(any_engine)
    lines = diagnose(EventStore(any_engine))
    assert {line.subject for line in lines if line.level is Level.ERROR} <= NOT_DURABLE
    assert all((line.remedy == "") == (line.level is Level.OK) for line in lines)
    assert of(EventStore(any_engine), "positions").level is Level.OK


def test_projections_that_have_failed_or_are_late_are_told(sqlite_engine: Engine) -> None:
    store = fill(sqlite_engine)
    with changing_history(sqlite_engine) as connection:
        failure = "position = 3, failure = 'ValueError', failed_at = '2026-01-02 03:04:05.000006'"
        connection.execute(text(f"UPDATE es_checkpoints SET {failure}"))
        connection.execute(text("INSERT INTO es_checkpoints (name, position) VALUES ('late', 3)"))
        connection.execute(text("UPDATE es_events SET recorded_at = '2020-01-01 00:00:00.000000'"))
    failed, letters = [line for line in diagnose(store) if line.subject == "projection 'totals'"]
    assert (failed.level, "ValueError" in failed.found) == (Level.ERROR, True)
    assert (letters.level, letters.found) == (Level.WARNING, "1 dead letters are pending")
    late = of(store, "projection 'late'")
    assert (late.level, late.found.startswith("11 events and ")) == (Level.WARNING, True)


def test_sqlite_without_what_from_url_sets_is_told(sqlite_engine: Engine) -> None:
    engine = create_engine(sqlite_engine.url)
    with sqlite_engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA journal_mode = DELETE")
    store = EventStore(engine)
    assert of(store, "journal_mode").level is Level.WARNING
    assert of(store, "foreign_keys").level is Level.WARNING
    engine.dispose()


@pytest.mark.slow
def test_who_holds_readers_back_is_told(postgres_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    store = EventStore(postgres_engine)
    with postgres_engine.connect() as connection:
        store.join(connection).append("order-1", [NewEvent("opened")], expected_version=0)
        pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        assert of(store, "unfinished appends").level is Level.OK, "it is but a moment old"
        monkeypatch.setattr(postgresql_diagnosis, "SLOW_SECONDS", -1)
        told = of(store, "unfinished appends")
        assert (told.level, f"pid {pid} (eventstore, " in told.found) == (Level.WARNING, True)
        monkeypatch.setattr(postgresql_diagnosis, "STALLED_SECONDS", -1)
        assert of(store, "unfinished appends").level is Level.ERROR


@pytest.mark.slow
@pytest.mark.parametrize(("statement", "subject", "level"), [
    ("ALTER TABLE es_events SET (autovacuum_enabled = false)", "autovacuum", Level.ERROR),
    ("ALTER DATABASE {} SET default_transaction_isolation = 'serializable'", "default_transaction_isolation",
     Level.WARNING),
    ("ALTER DATABASE {} SET synchronous_commit = off", "synchronous_commit", Level.WARNING),
    ("ALTER DATABASE {} SET idle_in_transaction_session_timeout = '1min'", "idle_in_transaction_session_timeout",
     Level.OK),
    ("ALTER SEQUENCE es_events_position_seq CACHE 5", "positions-cached", Level.ERROR),
    ("ALTER TABLE es_events ALTER position RESTART WITH 1", "positions-behind", Level.ERROR),
])  # fmt: skip
def test_settings_that_matter_are_told(postgres_engine: Engine, statement: str, subject: str, level: Level) -> None:
    store = fill(postgres_engine)
    with postgres_engine.begin() as connection:
        connection.execute(text(statement.format(f'"{postgres_engine.url.database}"')))
    postgres_engine.dispose()
    assert of(store, subject).level is level


_KEY_DATA = re.compile(rb"(K\0\0\0\x0c)....", re.DOTALL)
"""The message in which a server tells its process id."""


class Pooler:
    """Passes on what client and server say, as PgBouncer does: with a process id of its own."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._sockets = [self._listening]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listening.accept()
                server = socket.create_connection(self._server)
                self._sockets += [client, server]
                for ends in ((client, server), (server, client)):
                    self._threads.append(threading.Thread(target=self._pass_on, args=ends))
                    self._threads[-1].start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(_KEY_DATA.sub(lambda key: key[1] + b"\0\0\0\7", data))

    def close(self) -> None:
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join()


@pytest.mark.slow
def test_a_pooler_in_between_is_noticed(postgres_engine: Engine) -> None:
    assert of(EventStore(postgres_engine), "pooler").level is Level.OK
    url = postgres_engine.url
    with closing(Pooler(url.host or "127.0.0.1", url.port or 5432)) as pooler:
        for threshold, level in ((5, Level.WARNING), (None, Level.OK)):
            through = url.set(host="127.0.0.1", port=pooler.port)
            engine = engine_for(through, connect_args={"prepare_threshold": threshold})
            told = of(EventStore(engine), "pooler")
            assert (told.level, "PgBouncer" in told.found) == (level, True)
            engine.dispose()


def test_what_is_stored_is_counted(any_engine: Engine) -> None:
    store = fill(any_engine)
    Worker(store, Projection("other")).run_until_caught_up()
    found = statistics(store)
    assert (found.events, found.streams, found.newest_position) == (Count(14), Count(4), 14)
    assert [(each.category, each.streams, each.events) for each in found.categories] == [
        ("order", Count(3), Count(12)),
        ("user", Count(1), Count(2)),
    ]
    assert found.event_types == (("noted", Count(10)), ("opened", Count(4)))
    assert {each.events for each in found.recent[1:]} == {Count(14)}
    snapshots = found.snapshots
    assert (snapshots.snapshots, snapshots.streams, snapshots.long_streams) == (Count(2), Count(2), Count(0))
    assert found.database_bytes > 0
    if knows_sizes(any_engine):
        key = {"postgresql": "es_events_pkey", "sqlite": "sqlite_autoindex_es_events_1"}[any_engine.dialect.name]
        assert {size.table for size in found.sizes if size.index is None} == {
            table.name for table in store.tables.metadata.sorted_tables
        }
        assert key in {size.index for size in found.sizes}
        assert all(size.bytes > 0 for size in found.sizes if size.table == "es_events")
    else:
        assert found.sizes == ()


def knows_sizes(engine: Engine) -> bool:
    """Return whether it is not a SQLite that was built without `dbstat`."""
    if engine.dialect.name == "postgresql":
        return True
    with engine.connect() as connection:
        return "ENABLE_DBSTAT_VTAB" in connection.execute(text("PRAGMA compile_options")).scalars().all()


@pytest.mark.slow
def test_where_counting_would_take_long_numbers_are_estimated_and_marked(any_engine: Engine) -> None:
    store = EventStore(any_engine)
    events = [NewEvent("noted" if number % 4 else "paid") for number in range(2000)]
    store.append("order-1", events[:1500], expected_version=0)
    store.append("user-1", events[1500:], expected_version=0)
    with any_engine.begin() as connection:
        connection.execute(text("ANALYZE"))
    found = statistics(store, exact_up_to=100)
    assert found.events == Count(2000, Precision.ESTIMATED)
    assert [(each.category, each.events) for each in found.categories] == [
        ("order", Count(1500, Precision.ESTIMATED)),
        ("user", Count(500, Precision.ESTIMATED)),
    ]
    assert found.event_types == (("noted", Count(1500, Precision.ESTIMATED)), ("paid", Count(500, Precision.ESTIMATED)))
    assert found.recent[-1].events == Count(100, Precision.AT_LEAST)
    assert found.snapshots.long_streams is None
    assert str(found.events) == "about 2,000"
    assert statistics(store).streams == Count(2)


@pytest.mark.slow
def test_rows_are_not_counted_twice_where_a_session_reports_them_after_analyze(postgres_engine: Engine) -> None:
    if on_server(postgres_engine, "SELECT current_setting('server_version_num')::int") < 150_000:
        pytest.skip("only from 15 on can a session be made to report what it has stored")
    store = EventStore(postgres_engine)
    with postgres_engine.connect() as writer:
        for tries in range(1, 6):  # a session reports once a second: if the second ends just here, once more
            writer.execute(text("SELECT count(*) FROM es_events"))
            writer.commit()  # it has reported now, and does not report what follows
            store.join(writer).append(f"order-{tries}", _events(2000), expected_version=0)
            writer.commit()
            with postgres_engine.connect().execution_options(isolation_level="AUTOCOMMIT") as other:
                other.execute(text("ANALYZE es_events"))
            writer.execute(text("SELECT pg_stat_force_next_flush()"))
            writer.commit()
            counted = on_server(postgres_engine, "SELECT pg_stat_get_live_tuples('es_events'::regclass)")
            if counted == tries * 2000 + 2000:
                break
        else:
            pytest.fail("the server's counter was never ahead")
    assert statistics(store, exact_up_to=100).events == Count(tries * 2000, Precision.ESTIMATED)


def _events(count: int) -> list[NewEvent]:
    return [NewEvent("noted") for _ in range(count)]


def on_server(engine: Engine, question: str) -> int:
    with engine.connect() as connection:
        return int(connection.execute(text(question)).scalar_one())
