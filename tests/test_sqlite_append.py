"""An append of one event on SQLite, where nothing listens: four statements, on a connection that the pool lends."""

import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import count
from pathlib import Path
from traceback import walk_stack
from types import FrameType
from typing import Any, Final

import pytest
from sqlalchemy import Engine, NullPool, create_engine, event
from sqlalchemy.exc import IntegrityError

from eventstore import ANY, NO_STREAM, STREAM_EXISTS, ConcurrencyConflict, DatabaseBusy, EventStore, NewEvent
from eventstore.backends import pool_records
from eventstore.backends.pool_records import lends_records
from eventstore.errors import UnsuitableSetting
from tests.waiting import until

ONE: Final = [NewEvent("counted", {"number": 1})]
APPEND: Final = ["BEGIN IMMEDIATE", "UPDATE", "INSERT", "COMMIT"]


@pytest.fixture
def url(sqlite_path: Path) -> str:
    return f"sqlite:///{sqlite_path}"


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    """An engine of the application's, with one connection."""
    engine = create_engine(url, pool_size=1, max_overflow=0, pool_timeout=1)
    yield engine
    engine.dispose()


def traced(engine: Engine) -> list[str]:
    """Return the list to which the driver adds what it executes, shortened, on connections that are opened later."""
    executed: list[str] = []

    def note(statement: str) -> None:
        executed.append(statement if statement.startswith(("BEGIN", "PRAGMA")) else statement.split(maxsplit=1)[0])

    event.listen(engine, "connect", lambda connection, _: connection.set_trace_callback(note))
    return executed


def filled(engine: Engine, **options: Any) -> EventStore:
    """Return a store that has appended one event to `order-1`."""
    store = EventStore(engine, **options)
    store.append("order-1", ONE, expected_version=NO_STREAM)
    store.append("order-2", ONE, expected_version=NO_STREAM)
    return store


def test_it_is_four_statements(engine: Engine) -> None:
    executed = traced(engine)
    store = filled(engine)
    for expected in (1, STREAM_EXISTS):
        executed.clear()
        store.append("order-1", ONE, expected_version=expected)
        assert executed == APPEND
    for stream_id, expected in (("order-1", ANY), ("order-3", NO_STREAM)):
        executed.clear()
        store.append(stream_id, ONE, expected_version=expected)
        assert executed == ["BEGIN IMMEDIATE", "INSERT", "INSERT", "COMMIT"]
    assert [(event.version, event.position) for event in store.read_stream("order-1")] == [
        (1, 1),
        (2, 3),
        (3, 4),
        (4, 5),
    ]


def test_it_is_four_statements_on_an_engine_of_the_stores_own(url: str) -> None:
    with EventStore.from_url(url) as store:
        executed = traced(store.engine)
        filled(store.engine)
        executed.clear()
        store.append("order-1", ONE, expected_version=1)  # the first of this store looks at the schema
        executed.clear()
        assert store.append("order-1", ONE, expected_version=2).version == 3
        assert executed == APPEND


def test_several_events_need_no_pragma_either(engine: Engine) -> None:
    executed = traced(engine)
    store = filled(engine)
    executed.clear()
    store.append("order-1", [*ONE, NewEvent("counted")], expected_version=1)
    assert executed == ["BEGIN IMMEDIATE", "UPDATE", "INSERT", "INSERT", "SELECT", "COMMIT"]


def test_it_takes_a_connection_without_sqlalchemys_proxy(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    store = filled(engine)
    monkeypatch.setattr(Engine, "raw_connection", None)
    assert store.append("order-1", ONE, expected_version=1).version == 2
    assert store.append("order-1", [NewEvent("counted"), NewEvent("counted")], expected_version=2).version == 4
    assert store.stream_version("order-1") == 4
    assert (engine.pool.checkedin(), engine.pool.checkedout()) == (1, 0)  # type: ignore[attr-defined]  # QueuePool's


def test_a_conflict_stores_nothing_and_ends_the_transaction(engine: Engine) -> None:
    executed = traced(engine)
    store = filled(engine)
    executed.clear()
    with pytest.raises(ConcurrencyConflict) as conflict:
        store.append("order-1", ONE, expected_version=7)
    assert conflict.value.actual == 1
    assert executed[:3] == ["BEGIN IMMEDIATE", "UPDATE", "ROLLBACK"]
    with closing(engine.raw_connection()) as pooled:
        assert not pooled.dbapi_connection.in_transaction  # type: ignore[union-attr]  # sqlite3's


@pytest.mark.parametrize("hook", ["checkout", "reset", "checkin"])
def test_hooks_of_the_pool_are_called(engine: Engine, hook: str) -> None:
    store = filled(engine)
    called: list[str] = []
    event.listen(engine, hook, lambda *_: called.append(hook))
    assert not lends_records(engine.pool)
    store.append("order-1", ONE, expected_version=1)
    assert called == [hook]


@pytest.mark.parametrize("options", [{"pool_pre_ping": True}, {"echo_pool": "debug"}, {"poolclass": NullPool}], ids=str)
def test_other_pools_lend_nothing(url: str, options: dict[str, Any]) -> None:
    engine = create_engine(url, **options)
    assert not lends_records(engine.pool)
    assert filled(engine).append("order-1", ONE, expected_version=1).version == 2
    engine.dispose()


def test_without_sqlalchemys_private_parts_connections_are_taken_as_usual(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_records, "HAS_RECORDS", False)
    assert filled(engine).append("order-1", ONE, expected_version=1).version == 2


def test_a_connection_that_was_closed_in_the_pool_is_replaced(engine: Engine) -> None:
    store = filled(engine)
    with closing(engine.raw_connection()) as pooled:
        raw: Any = pooled.dbapi_connection
    raw.close()
    assert store.append("order-1", ONE, expected_version=1).version == 2


def test_a_pool_of_connections_that_are_too_old_opens_new_ones(engine: Engine) -> None:
    store = filled(engine)
    with closing(engine.raw_connection()) as pooled:
        before = pooled.dbapi_connection
        pooled.invalidate(soft=True)
    store.append("order-1", ONE, expected_version=1)
    with closing(engine.raw_connection()) as pooled:
        assert pooled.dbapi_connection is not before
    assert store.append("order-1", ONE, expected_version=2).version == 3


def test_a_transaction_that_the_pool_has_left_open_is_not_in_the_way(url: str) -> None:
    engine = create_engine(url, pool_size=1, max_overflow=0, pool_reset_on_return=None)
    store = filled(engine)
    with closing(engine.raw_connection()) as pooled:
        pooled.dbapi_connection.execute("BEGIN")  # type: ignore[union-attr]  # sqlite3's
    assert store.append("order-1", ONE, expected_version=1).version == 2
    engine.dispose()


def test_a_text_factory_that_is_set_later_is_refused(engine: Engine) -> None:
    store = filled(engine)
    with closing(engine.raw_connection()) as pooled:
        pooled.dbapi_connection.text_factory = bytes  # type: ignore[union-attr]  # sqlite3's
    with pytest.raises(UnsuitableSetting, match="text_factory"):
        store.append("order-1", ONE, expected_version=1)


def test_a_commit_that_fails_is_reported_and_not_repeated(engine: Engine) -> None:
    """It could have succeeded, for all that a client knows."""
    event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA foreign_keys = ON"))
    with closing(sqlite3.connect(engine.url.database or "")) as connection:
        connection.executescript("""
            CREATE TABLE theirs (id TEXT REFERENCES es_streams DEFERRABLE INITIALLY DEFERRED);
            CREATE TRIGGER note AFTER INSERT ON es_events WHEN new.stream_id = 'order-1' AND new.version = 2
            BEGIN INSERT INTO theirs VALUES ('nothing'); END;
        """)
    executed = traced(engine)
    store = filled(engine)
    executed.clear()
    with pytest.raises(IntegrityError, match="FOREIGN KEY"):
        store.append("order-1", ONE, expected_version=1)
    assert [each for each in executed if each in ("BEGIN IMMEDIATE", "COMMIT", "ROLLBACK")] == [
        "BEGIN IMMEDIATE", "COMMIT", "ROLLBACK",
    ]  # fmt: skip
    assert store.append("order-2", ONE, expected_version=1).version == 2
    assert store.stream_version("order-1") == 1


# --- waiting for the lock


def locked_by_another(path: Path) -> closing[sqlite3.Connection]:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("BEGIN IMMEDIATE")
    return closing(connection)


def test_the_drivers_timeout_is_no_limit_for_the_stores(sqlite_path: Path) -> None:
    engine = create_engine(f"sqlite:///{sqlite_path}", connect_args={"timeout": 0.01})
    executed = traced(engine)
    store = filled(engine, lock_timeout_seconds=60)
    executed.clear()
    with ThreadPoolExecutor(1) as threads, locked_by_another(sqlite_path) as other:
        waiting = threads.submit(store.append, "order-1", ONE, expected_version=1)
        until(lambda: executed.count("BEGIN IMMEDIATE") > 2, waiting)
        other.execute("COMMIT")
        assert waiting.result().version == 2
    executed.clear()
    store.append("order-1", ONE, expected_version=2)
    assert executed[0] == "PRAGMA busy_timeout"  # it expects to wait, by itself, after the last has had to
    executed.clear()
    store.append("order-1", ONE, expected_version=3)
    assert executed == APPEND  # as the last has not
    with closing(engine.raw_connection()) as pooled:
        assert pooled.cursor().execute("PRAGMA busy_timeout").fetchone() == (10,)
    engine.dispose()


def test_the_driver_waits_no_longer_than_the_store_may(sqlite_path: Path) -> None:
    engine = create_engine(f"sqlite:///{sqlite_path}", connect_args={"timeout": 600})
    store = filled(engine, lock_timeout_seconds=0.05)
    with locked_by_another(sqlite_path), pytest.raises(DatabaseBusy):
        store.append("order-1", ONE, expected_version=1)
    assert store.append("order-1", ONE, expected_version=1).version == 2
    engine.dispose()


def test_who_appends_beside_its_own_transaction_waits_where_ctrl_c_comes_through(url: str) -> None:
    """SQLite's own wait can't be interrupted."""
    with EventStore.from_url(url, lock_timeout_seconds=0.05) as store:
        filled(store.engine)
        executed = traced(store.engine)
        store.append("order-1", ONE, expected_version=1)
        with store.transaction() as tx:
            tx.append("order-1", ONE, expected_version=2)
            executed.clear()
            with pytest.raises(DatabaseBusy):
                store.append("order-2", ONE, expected_version=1)
        of_lock = [statement for statement in executed if "busy" in statement or "BEGIN" in statement]
        assert of_lock[:3] == ["PRAGMA busy_timeout", "PRAGMA busy_timeout = 0", "BEGIN IMMEDIATE"]
        executed.clear()
        store.append("order-1", ONE, expected_version=3)
        assert executed[-4:] == APPEND


# --- Ctrl-C


class Interruption:
    """Raises KeyboardInterrupt at one of the points at which the interpreter looks whether there is Ctrl-C.

    These are the calls of functions of Python, and the returns from those of C. Only those in the backend count, and
    not those in SQLAlchemy that it calls: its pool itself can lose a connection between two of them.

    Attributes:
        function: The one in which it was raised; None if there were fewer points.
    """

    def __init__(self, number: int) -> None:
        self._remaining = number
        self.function: str | None = None

    def __call__(self, frame: FrameType, happening: str, _: object) -> None:
        if happening not in ("call", "c_return"):
            return
        files = [each.f_code.co_filename for each, _ in walk_stack(frame)]
        if any("/sqlalchemy/" in file for file in files) or not any("/backends/" in file for file in files):
            return
        self._remaining -= 1
        if self._remaining == 0:
            self.function = frame.f_code.co_qualname
            raise KeyboardInterrupt


def interrupted(call: Callable[[], object], number: int) -> str | None:
    """Call, with an `Interruption`, and return its function."""
    interruption = Interruption(number)
    sys.setprofile(interruption)
    try:
        call()
    except KeyboardInterrupt:
        pass
    finally:
        sys.setprofile(None)
    return interruption.function


@pytest.mark.slow
@pytest.mark.parametrize("events", [1, 2])
def test_an_interrupt_at_any_point_leaves_no_transaction_and_no_connection(url: str, events: int) -> None:
    engine = create_engine(url, pool_size=1, max_overflow=0, pool_timeout=1)
    event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous = OFF"))
    pool: Any = engine.pool
    store = filled(engine)

    def append() -> object:
        return store.append("order-1", [NewEvent("counted") for _ in range(events)], expected_version=ANY)

    functions: list[str] = []
    for number in count(1):
        append()  # on a connection that was lost there would be more points
        before = store.stream_version("order-1")
        function = interrupted(append, number)
        if function is None:
            break
        functions.append(function)
        assert pool.checkedout() == 0, function
        with closing(sqlite3.connect(engine.url.database or "", timeout=0)) as other:
            other.execute("BEGIN IMMEDIATE")  # no one else holds the lock
        assert store.stream_version("order-1") in (before, before + events), function
    assert {"append_one" if events == 1 else "direct", "WriteLock.begin", "wait_for_lock"} < set(functions)
    assert store.stream_version("order-1") == len(list(store.read_stream("order-1")))
    engine.dispose()


def test_threads_append_side_by_side(url: str) -> None:
    with EventStore.from_url(url) as store, ThreadPoolExecutor(4) as threads:
        filled(store.engine)
        barrier = threading.Barrier(4)

        def append(number: int) -> list[tuple[int, int | None]]:
            barrier.wait()
            results = [store.append(f"thread-{number}", ONE, expected_version=version) for version in range(10)]
            return [(result.version, result.position) for result in results]

        for number, results in enumerate(threads.map(append, range(4))):
            stored = [(event.version, event.position) for event in store.read_stream(f"thread-{number}")]
            assert stored == results
            assert len(stored) == 10
