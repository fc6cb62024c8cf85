"""Appends of one event by a prepared statement, without SQLAlchemy's checkout and the driver's cursor.

Each result is the same as in the ordinary way. Whatever is unusual takes that way.
"""

import ctypes
import os
import re
import select
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from types import SimpleNamespace
from typing import Any, Final

import psycopg
import pytest
from psycopg.pq import TransactionStatus
from sqlalchemy import Engine, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import AssertionPool, NullPool, QueuePool, StaticPool

from eventstore import ANY, NO_STREAM, STREAM_EXISTS, ConcurrencyConflict, EventStore, NewEvent
from eventstore.backends import pool_records
from eventstore.backends.postgresql import prepared
from eventstore.backends.postgresql.direct_append import DirectAppends
from eventstore.backends.protocol import Row
from eventstore.errors import EventStoreError, PositionsBehind
from tests.pgbouncer import PgBouncer
from tests.waiting import start_waiting, until

Answers = list[Sequence[Row] | None]

ONE_CONNECTION: Final[dict[str, Any]] = {"pool_size": 1, "max_overflow": 0}


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Answers:
    """What the direct way has answered to each append: None if it has left it to the ordinary way."""
    noted: Answers = []
    append = DirectAppends.append

    def note(self: DirectAppends, engine: Engine, pending: Any) -> Sequence[Row] | None:
        noted.append(None)
        noted[-1] = append(self, engine, pending)
        return noted[-1]

    monkeypatch.setattr(DirectAppends, "append", note)
    return noted


@pytest.fixture
def url(shared_postgres_engine: Engine) -> str:
    """The shared database, which is emptied afterwards."""
    return shared_postgres_engine.url.render_as_string(hide_password=False)


@contextmanager
def store_on(url: str, *, schema: str | None = None, notify: bool = False, **options: Any) -> Iterator[EventStore]:
    """A store that has appended once: the first append checks the tables."""
    engine = create_engine(url, **options)
    try:
        store = EventStore(engine, schema=schema, notify=notify)
        append(store, "first-1")
        yield store
    finally:
        engine.dispose()


def append(store: EventStore, stream_id: str = "order-1", expected: Any = ANY) -> Any:
    return store.append(stream_id, NewEvent("noted", {"text": "ä"}, metadata={"who": "me"}), expected_version=expected)


def names(store: EventStore) -> list[str]:
    """The statements that are prepared on the only connection of the pool."""
    with store.engine.connect() as connection:
        found = connection.execute(text("SELECT name FROM pg_prepared_statements WHERE name LIKE 'eventstore%'"))
        return list(found.scalars())


def in_autocommit(engine: Engine, *statements: str) -> None:
    """Execute on a connection of the pool, as an application may."""
    with closing(engine.raw_connection()) as pooled:
        raw: Any = pooled.dbapi_connection
        raw.autocommit = True
        for statement in statements:
            raw.execute(statement)
        raw.autocommit = False


# --- the same results


@pytest.mark.slow
@pytest.mark.parametrize("notify", [False, True])
def test_every_kind_of_append_has_a_statement_of_its_own(url: str, answers: Answers, notify: bool) -> None:
    with store_on(url, notify=notify, **ONE_CONNECTION) as store:
        for _ in range(2):
            version = store.stream_version("order-1")
            results = [
                append(store, f"new-{version}", NO_STREAM),
                append(store, expected=ANY),
                append(store, expected=version + 1),
                append(store, expected=STREAM_EXISTS),
            ]
            assert [result.version for result in results] == [1, version + 1, version + 2, version + 3]
        assert None not in answers
        assert len(names(store)) == 4
        events = list(store.read_stream("order-1"))
        assert [(event.version, event.data, event.metadata) for event in events] == [
            (version, {"text": "ä"}, {"who": "me"}) for version in range(1, 7)
        ]
        assert events[-1].position == results[-1].position


def make_buffers_small(store: EventStore) -> None:
    """Let the system take only a little of what is sent on a connection until the server has read it."""
    with closing(store.engine.raw_connection()) as pooled:
        raw: Any = pooled.dbapi_connection
        with closing(socket.socket(fileno=os.dup(raw.pgconn.socket))) as shared:
            shared.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)


def append_much(store: EventStore) -> None:
    large = NewEvent("noted", {"bytes": b"\0" * 2_000_000})
    store.append("order-1", large, expected_version=NO_STREAM)
    assert next(iter(store.read_stream("order-1"))).data == large.data


@pytest.mark.slow
def test_an_append_larger_than_what_the_server_takes_at_once(url: str, answers: Answers) -> None:
    with store_on(url, **ONE_CONNECTION) as store:
        make_buffers_small(store)
        append_much(store)
        assert None not in answers


def test_a_conflict_and_a_duplicate_are_as_ever(url: str, answers: Answers) -> None:
    with store_on(url) as store:
        first = NewEvent("noted", {"number": 1})
        result = store.append("order-1", first, expected_version=NO_STREAM)
        append(store)
        again = store.append("order-1", first, expected_version=NO_STREAM)
        assert (again.version, again.position, again.duplicate) == (1, result.position, True)
        with pytest.raises(ConcurrencyConflict) as conflict:
            append(store, expected=1)
        assert (conflict.value.expected, conflict.value.actual) == (1, 2)
        assert answers[-2:] == [(), ()]


@pytest.mark.slow
def test_without_poll_it_waits_by_select(url: str, answers: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepared, "select", SimpleNamespace(select=select.select))
    with store_on(url, **ONE_CONNECTION) as store:
        make_buffers_small(store)
        append_much(store)
        assert append(store).version == 2
        assert None not in answers


def delete(store: EventStore) -> None:
    store.delete_stream("order-1", expected_version=STREAM_EXISTS, reason="test")


def set_head_back(store: EventStore) -> None:
    with store.engine.begin() as connection:
        connection.execute(text("UPDATE es_streams SET version = 2 WHERE stream_id = 'order-1'"))


def refuse(store: EventStore) -> None:
    with store.engine.begin() as connection:
        connection.execute(text("ALTER TABLE es_events ADD CONSTRAINT theirs CHECK (version < 4) NOT VALID"))


def drop(store: EventStore) -> None:
    with store.engine.begin() as connection:
        connection.execute(text("ALTER TABLE es_events RENAME TO moved"))


def make_read_only(store: EventStore) -> None:
    in_autocommit(store.engine, "SET default_transaction_read_only = on")


def shown(error: BaseException) -> object:
    """What is seen of an error, but for where in the statement the server has found it."""
    cause, orig = error.__cause__, getattr(error, "orig", None)
    values = {name: str(value) for name, value in vars(error).items() if name not in ("args", "orig", "params")}
    texts = [re.sub(r"\nLINE .*?\^", "", str(each), flags=re.DOTALL) for each in (error, orig)]
    known = (type(error), type(orig), texts, values, getattr(orig, "sqlstate", None))
    return known, None if cause is None or cause is orig else shown(cause)


@pytest.mark.slow
@pytest.mark.parametrize("spoil", [delete, set_head_back, refuse, drop, make_read_only])
def test_an_error_is_the_same_in_both_ways(
    postgres_url: str, answers: Answers, spoil: Callable[[EventStore], None]
) -> None:
    found = NewEvent("noted", {"secret": "s3cret"})
    with store_on(postgres_url) as store, store_on(postgres_url, pool_pre_ping=True) as ordinary:
        append(store)
        append(store)
        append(ordinary)
        for each in (store, ordinary) if spoil is make_read_only else (store,):
            spoil(each)
        errors = []
        for each in (store, ordinary):
            answers.clear()
            with pytest.raises((EventStoreError, DBAPIError)) as failed:
                each.append("order-1", found, expected_version=ANY)
            assert len(answers) == 1
            assert "s3cret" not in str(failed.value)
            errors.append(shown(failed.value))
        assert errors[0] == errors[1]
        assert store.engine.pool.checkedout() == 0  # type: ignore[attr-defined]  # a QueuePool's


# --- what takes the ordinary way


class TheirCursor(psycopg.Cursor[Any]):
    """As instrumentation of psycopg has it."""


class TheirPool(QueuePool):
    """A pool of the application."""


UNUSUAL: Final[list[dict[str, Any]]] = [
    {"connect_args": {"prepare_threshold": None}},
    {"connect_args": {"cursor_factory": TheirCursor}},
    {"pool_pre_ping": True},
    {"poolclass": NullPool},
    {"poolclass": StaticPool},
    {"poolclass": AssertionPool},
    {"poolclass": TheirPool},
]


@pytest.mark.parametrize("options", UNUSUAL, ids=str)
def test_what_is_unusual_takes_the_ordinary_way(url: str, answers: Answers, options: dict[str, Any]) -> None:
    with store_on(url, **options) as store:
        for version in range(3):
            assert append(store, expected=version).version == version + 1
        assert set(answers) <= {None}


@pytest.mark.parametrize("name", ["checkout", "reset", "checkin"])
def test_hooks_of_the_pool_are_called_for_each_append(url: str, answers: Answers, name: str) -> None:
    with store_on(url) as store:
        seen: list[str] = []
        append(store)
        event.listen(store.engine, name, lambda *_: seen.append(name))
        append(store)
        assert seen == [name]
        assert answers[-2] is not None
        assert answers[-1] is None


def test_a_pool_that_hands_out_the_last_connection_first_does_so_here(url: str, answers: Answers) -> None:
    with store_on(url, pool_use_lifo=True) as store:
        with store.engine.connect(), store.engine.connect():
            pass
        for _ in range(3):
            append(store)
        assert None not in answers
        with store.engine.connect() as last, store.engine.connect() as other:
            both = [
                connection.execute(
                    text("SELECT count(*) FROM pg_prepared_statements WHERE name ~ '^eventstore'")
                ).scalar()
                for connection in (last, other)
            ]
        assert both == [1, 0]


def test_connections_that_are_too_old_are_replaced(url: str, answers: Answers) -> None:
    with store_on(url, pool_recycle=0) as store:
        connected: list[object] = []
        event.listen(store.engine, "connect", lambda connection, _: connected.append(connection))
        for _ in range(3):
            append(store)
        assert len(connected) == 3
        assert None not in answers


def test_a_transaction_that_waits_too_long_at_serializable_is_repeated(url: str, answers: Answers) -> None:
    options: dict[str, Any] = {"connect_args": {"options": "-c default_transaction_isolation=serializable"}}
    with store_on(url) as other, store_on(url, **options) as store, ThreadPoolExecutor(1) as threads:
        append(store)
        with other.transaction() as transaction:
            append(transaction)
            waiting = start_waiting(threads, transaction.connection, append, store)
        assert waiting.result().version == 3
        assert answers[-1] is None


# --- connections whose statements, search_path or server have changed


@pytest.mark.parametrize("statement", ["DEALLOCATE ALL", "DISCARD ALL"])
def test_statements_that_are_gone_are_prepared_again(url: str, answers: Answers, statement: str) -> None:
    with store_on(url, **ONE_CONNECTION) as store:
        append(store)
        in_autocommit(store.engine, statement)
        assert names(store) == []
        assert [append(store).version for _ in range(2)] == [2, 3]
        assert None not in answers
        assert len(names(store)) == 1


@pytest.mark.parametrize(
    "change", ["ADD COLUMN theirs text DEFAULT 'x'", "ALTER COLUMN version TYPE integer", "RENAME TO moved"]
)
def test_tables_may_change_between_two_appends(postgres_url: str, answers: Answers, change: str) -> None:
    with store_on(postgres_url, **ONE_CONNECTION) as store:
        append(store)
        in_autocommit(store.engine, f"ALTER TABLE es_events {change}")
        if change == "RENAME TO moved":
            in_autocommit(store.engine, "CREATE TABLE es_events (LIKE moved INCLUDING ALL)")
        assert append(store).version == 2
        assert append(store).version == 3
        assert None not in answers
        assert len(names(store)) == 1
        assert [event.version for event in store.read_stream("order-1")][-2:] == [2, 3]


@pytest.fixture
def url_of_two(postgres_url: str) -> str:
    """A database with the tables in two schemas."""
    engine = create_engine(postgres_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE SCHEMA tenant_a"))
        for name in ("es_schema", "es_streams", "es_events"):
            connection.execute(text(f"CREATE TABLE tenant_a.{name} (LIKE public.{name} INCLUDING ALL)"))
        connection.execute(text("INSERT INTO tenant_a.es_schema SELECT * FROM public.es_schema"))
    engine.dispose()
    return postgres_url


def places_of(url: str, event_type: str = "noted") -> dict[str, int]:
    """How many events each schema has."""
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        count = "SELECT count(*) FROM {}.es_events WHERE stream_id = 'order-1'"
        return {name: connection.execute(count.format(name)).fetchone()[0] for name in ("public", "tenant_a")}  # type: ignore[index]  # one row


def test_a_hook_may_choose_the_tables_at_each_checkout(url_of_two: str, answers: Answers) -> None:
    with store_on(url_of_two, **ONE_CONNECTION) as store:
        append(store)
        tenant = "tenant_a"

        @event.listens_for(store.engine, "checkout")
        def _choose(raw: psycopg.Connection[Any], *_: object) -> None:
            raw.autocommit = True
            raw.execute(f"SET search_path = {tenant}")
            raw.autocommit = False

        append(store)
        append(store)
        tenant = "public"
        append(store)
        assert places_of(url_of_two) == {"public": 2, "tenant_a": 2}
        assert answers[-3:] == [None] * 3


def test_a_prepared_statement_follows_the_search_path(url_of_two: str, answers: Answers) -> None:
    with store_on(url_of_two, **ONE_CONNECTION) as store:
        append(store)
        in_autocommit(store.engine, "SET search_path = tenant_a")
        append(store)
        in_autocommit(store.engine, "SET search_path = public")
        append(store)
        assert places_of(url_of_two) == {"public": 2, "tenant_a": 1}
        assert None not in answers


def test_stores_of_two_schemas_share_a_connection(url_of_two: str, answers: Answers) -> None:
    with store_on(url_of_two, **ONE_CONNECTION) as store:
        other = EventStore(store.engine, schema="tenant_a")
        for _ in range(3):
            append(store)
            append(other)
        assert places_of(url_of_two) == {"public": 3, "tenant_a": 3}
        assert None not in answers
        assert len(names(store)) == 2


def set_last_position(store: EventStore, position: int) -> None:
    in_autocommit(store.engine, f"SELECT setval(pg_get_serial_sequence('es_events', 'position'), {position})")


def test_each_new_connection_is_asked_how_positions_are_drawn(url: str, answers: Answers) -> None:
    with store_on(url) as store:
        set_last_position(store, 100)
        assert append(store).position == 101
        set_last_position(store, 50)  # where no event is, so that only the check finds it
        store.engine.dispose()
        with pytest.raises(PositionsBehind):
            append(store)
        assert store.stream_version("order-1") == 1
        set_last_position(store, 200)
        assert append(store).position == 201
        assert answers[-1] is not None
        with closing(store.engine.raw_connection()) as pooled:
            raw: Any = pooled.dbapi_connection
            assert raw.autocommit is False


@pytest.mark.slow
def test_one_lost_connection_empties_the_pool(url: str, answers: Answers) -> None:
    with store_on(url) as store:
        together = threading.Barrier(3)

        def hold() -> int:
            with store.engine.connect() as connection:
                together.wait()
                raw: Any = connection.connection.dbapi_connection
                return int(raw.info.backend_pid)

        with ThreadPoolExecutor(3) as threads:
            pids = [running.result() for running in [threads.submit(hold) for _ in range(3)]]
        for _ in range(3):
            append(store)
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as server:
            for pid in pids:
                server.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))
        with pytest.raises(OperationalError) as lost:
            append(store)
        assert lost.value.connection_invalidated
        assert [append(store).version for _ in range(5)] == [4, 5, 6, 7, 8]
        assert answers.count(None) == 1
        assert store.engine.pool.checkedout() == 0  # type: ignore[attr-defined]  # a QueuePool's


def test_what_the_server_says_on_the_side_reaches_the_application(postgres_url: str, answers: Answers) -> None:
    said: list[str] = []
    engine = create_engine(postgres_url, **ONE_CONNECTION)

    @event.listens_for(engine, "connect")
    def _listen(raw: psycopg.Connection[Any], _: object) -> None:
        raw.autocommit = True
        raw.execute("LISTEN theirs")
        raw.autocommit = False
        raw.add_notify_handler(lambda notification: said.append(notification.payload))
        raw.add_notice_handler(lambda notice: said.append(str(notice.message_primary)))

    store = EventStore(engine)
    append(store)
    function = "BEGIN RAISE NOTICE 'noticed'; PERFORM pg_notify('theirs', 'notified'); RETURN NULL; END"
    in_autocommit(
        engine,
        f"CREATE FUNCTION aside() RETURNS trigger LANGUAGE plpgsql AS $${function}$$",
        "CREATE TRIGGER aside AFTER INSERT ON es_events FOR EACH ROW EXECUTE FUNCTION aside()",
    )
    assert [append(store).version for _ in range(2)] == [2, 3]
    assert None not in answers
    assert said == ["noticed", "notified"] * 2
    engine.dispose()


# --- Ctrl-C


def press_ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)


@contextmanager
def watching(url: str) -> Iterator[Callable[[str], int]]:
    """Yield what counts the server's processes that serve this database and meet a condition."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as server:
        ours = "datname = current_database() AND pid <> pg_backend_pid()"
        count = "SELECT count(*) FROM pg_stat_activity WHERE {} AND {}"
        yield lambda condition: server.execute(count.format(ours, condition)).fetchone()[0]  # type: ignore[index]  # one row


@pytest.mark.slow
def test_ctrl_c_leaves_no_lock_and_no_half_used_connection(postgres_url: str, answers: Answers) -> None:
    with (
        store_on(postgres_url) as other,
        store_on(postgres_url, **ONE_CONNECTION) as store,
        ThreadPoolExecutor(1) as threads,
    ):
        append(store)
        with watching(postgres_url) as count, other.transaction() as transaction:
            append(transaction)

            def press_when_it_waits() -> None:
                until(lambda: count("wait_event_type = 'Lock'"))
                press_ctrl_c()

            pressing = threads.submit(press_when_it_waits)
            with pytest.raises(KeyboardInterrupt):
                append(store)
            pressing.result()
            until(lambda: not count("wait_event_type = 'Lock'"))
            until(lambda: not count("state <> 'idle' AND query NOT LIKE 'SELECT%' AND state <> 'idle in transaction'"))
            assert store.engine.pool.checkedout() == 0  # type: ignore[attr-defined]  # a QueuePool's
            with closing(store.engine.raw_connection()) as pooled:
                raw: Any = pooled.dbapi_connection
                assert raw.pgconn.transaction_status == TransactionStatus.IDLE
        assert append(store).version == 3
        assert [event.version for event in store.read_stream("order-1")] == [1, 2, 3]
        assert answers[-1] is not None


def test_an_exception_that_is_set_for_a_thread_is_raised_while_it_waits(postgres_url: str, answers: Answers) -> None:
    with (
        store_on(postgres_url) as other,
        store_on(postgres_url, **ONE_CONNECTION) as store,
        ThreadPoolExecutor(1) as threads,
    ):
        append(store)
        with watching(postgres_url) as count, other.transaction() as transaction:
            append(transaction)
            waiting = start_waiting(threads, transaction.connection, append, store)
            (thread,) = threads._threads
            assert ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(thread.ident or 0), ctypes.py_object(KeyboardInterrupt)
            )
            with pytest.raises(KeyboardInterrupt):
                waiting.result(timeout=60)
            until(lambda: not count("wait_event_type = 'Lock'"))
        assert append(store).version == 3


# --- through PgBouncer


@pytest.mark.slow
def test_behind_a_pooler_that_keeps_no_statements_it_takes_the_ordinary_way(
    postgres_url: str, answers: Answers
) -> None:
    with PgBouncer(make_url(postgres_url), "transaction") as pooler:
        url = pooler.url(postgres_url).render_as_string(hide_password=False)
        with store_on(url, connect_args={"prepare_threshold": None}) as store:
            assert [append(store).version for _ in range(3)] == [1, 2, 3]
        assert set(answers) == {None}


@pytest.mark.slow
def test_behind_a_pooler_for_sessions_it_is_direct(postgres_url: str, answers: Answers) -> None:
    with PgBouncer(make_url(postgres_url), "session") as pooler:
        url = pooler.url(postgres_url).render_as_string(hide_password=False)
        with store_on(url) as store:
            assert [append(store).version for _ in range(3)] == [1, 2, 3]
        assert None not in answers


def test_without_sqlalchemys_private_parts_it_takes_the_ordinary_way(
    url: str, answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_records, "HAS_RECORDS", False)
    with store_on(url) as store:
        assert append(store).version == 1
        assert answers == [None]
