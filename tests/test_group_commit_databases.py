"""Group commit on real databases: what each append of a group gets, and that a group waits for no head."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest
from sqlalchemy import Connection, Engine, NullPool, StaticPool, create_engine, event, text
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import create_async_engine

from eventstore import ANY, NO_STREAM, STREAM_EXISTS, ConcurrencyConflict, EventStore, InvalidInput, NewEvent
from eventstore.backends.protocol import Grouping
from eventstore.backends.running import can_share
from eventstore.core.appending import Appender
from eventstore.core.group_commit import GroupCommit
from eventstore.errors import AppendInterrupted, DatabaseBusy, StreamDeleted
from eventstore.events import AppendResult
from eventstore.projections import Projection, inline
from tests.test_group_commit import ctrl_c
from tests.waiting import start_waiting, until, waiters_for

PATIENT = Grouping(leaders=1, patience_seconds=300.0)


class Grouped:
    """A store that has one leader, and what is appended while that one waits for a lock.

    Attributes:
        groups: The stream ids of the appends that were stored together, or tried to be.
        alone: The same of those alone.
    """

    def __init__(self, engine: Engine, monkeypatch: pytest.MonkeyPatch, grouping: Grouping = PATIENT) -> None:
        plain = EventStore(engine, group_commit=True)
        self.commit = GroupCommit(grouping, partial(can_share, engine))
        self.store = plain.with_core(replace(plain.core, group_commit=self.commit))
        self.groups: list[list[str]] = []
        self.alone: list[str] = []
        self.threads = ThreadPoolExecutor(64)
        store_group, store_alone = Appender._append_group, Appender._append

        def note(appender: Appender, appends: Any) -> Any:
            self.groups.append([each.stream_id for each in appends])
            return store_group(appender, appends)

        def note_alone(appender: Appender, pending: Any) -> Any:
            if not appender._execution.is_joined:
                self.alone.append(pending.stream_id)
            return store_alone(appender, pending)

        monkeypatch.setattr(Appender, "_append_group", note)
        monkeypatch.setattr(Appender, "_append", note_alone)

    def append(self, stream_id: str, events: Any = None, expected_version: Any = ANY) -> AppendResult:
        return self.store.append(stream_id, events or one(), expected_version=expected_version)

    def queue(self, *args: Any, **kwargs: Any) -> Future[AppendResult]:
        """Start an append in a thread; return when it waits for the leader."""
        count = self.commit.waiting
        running = self.threads.submit(self.append, *args, **kwargs)
        until(lambda: self.commit.waiting > count, running)
        return running

    def lead(self, *args: Any, **kwargs: Any) -> Future[AppendResult]:
        """Start an append in a thread; return when it has a place."""
        running = self.threads.submit(self.append, *args, **kwargs)
        until(lambda: self.commit._queue._leaders, running)
        return running

    @contextmanager
    def held_up(self) -> Iterator[None]:
        """Let a leader wait for a lock; what is queued meanwhile is stored at the end."""
        with self.store.engine.connect() as holder:
            lock(holder, "held-1")
            first = start_waiting(self.threads, holder, self.append, "held-1")
            yield
            holder.rollback()
        first.result(60)

    def assert_stored(self, *results: AppendResult) -> None:
        positions = {(event.stream_id, event.version): event.position for event in self.store.read_all()}
        assert [positions[each.stream_id, each.version] for each in results] == [each.position for each in results]


def lock(holder: Connection, stream_id: str) -> None:
    """Lock the head of a stream in a transaction of the application: on SQLite, the whole database."""
    if holder.dialect.name == "sqlite":
        holder.exec_driver_sql("BEGIN IMMEDIATE")
    EventStore(holder.engine).join(holder).append(stream_id, one(), expected_version=ANY)


def one(event_type: str = "counted") -> NewEvent:
    return NewEvent(event_type, {"number": 1})


@pytest.fixture
def grouped(any_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Grouped]:
    grouped = Grouped(any_engine, monkeypatch)
    grouped.append("held-1")
    yield grouped
    grouped.threads.shutdown()


@pytest.fixture
def on_postgres(postgres_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Grouped]:
    grouped = Grouped(postgres_engine, monkeypatch)
    grouped.append("held-1")
    yield grouped
    grouped.threads.shutdown()


@pytest.mark.slow
def test_each_append_of_a_group_has_its_own_result(grouped: Grouped) -> None:
    for stream_id in ("old-1", "old-2", "old-3", "old-4", "closed-1"):
        grouped.append(stream_id, expected_version=NO_STREAM)
    repeated = one()
    first = grouped.append("old-5", repeated, NO_STREAM)
    grouped.store.delete_stream("closed-1", expected_version=1, reason="test")
    with grouped.held_up():
        right = [
            grouped.queue("new-1", expected_version=NO_STREAM),
            grouped.queue("new-2", [one(), one(), one()], ANY),
            grouped.queue("old-1", expected_version=1),
            grouped.queue("old-2", [one(), one()], STREAM_EXISTS),
            grouped.queue("old-3"),
        ]
        wrong = [
            grouped.queue("old-4", expected_version=7),
            grouped.queue("new-3", expected_version=STREAM_EXISTS),
            grouped.queue("new-4", expected_version=2),
        ]
        closed = grouped.queue("closed-1")
        duplicate = grouped.queue("old-5", repeated, NO_STREAM)
    results = [each.result(60) for each in right]
    assert [each.version for each in results] == [1, 3, 2, 3, 2]
    grouped.assert_stored(*results)
    conflicts = [each.exception(60) for each in wrong]
    assert [type(each) for each in conflicts] == [ConcurrencyConflict] * 3
    assert [each.actual for each in conflicts if isinstance(each, ConcurrencyConflict)] == [1, 0, 0]
    assert isinstance(closed.exception(60), StreamDeleted)
    assert duplicate.result(60) == replace(first, duplicate=True)
    assert [len(group) for group in grouped.groups] == [10]


def test_what_one_append_violates_does_not_concern_the_others(grouped: Grouped) -> None:
    with grouped.store.engine.begin() as connection:
        if connection.dialect.name == "sqlite":
            body = "WHEN NEW.event_type = 'forbidden' BEGIN SELECT RAISE(ABORT, 'it is forbidden'); END"
            connection.exec_driver_sql(f"CREATE TRIGGER forbid BEFORE INSERT ON es_events {body}")
        else:
            connection.exec_driver_sql("ALTER TABLE es_events ADD CONSTRAINT forbid CHECK (event_type <> 'forbidden')")
    with grouped.held_up():
        running = [
            grouped.queue("order-1"),
            grouped.queue("order-2", one("forbidden")),
            grouped.queue("order-3", expected_version=NO_STREAM),
        ]
    with pytest.raises(IntegrityError):
        running[1].result(60)
    results = [running[0].result(60), running[2].result(60)]
    assert [each.version for each in results] == [1, 1]
    grouped.assert_stored(*results)
    assert grouped.store.stream_version("order-2") == 0
    assert len(grouped.groups) == 1


@pytest.mark.slow
def test_a_pool_that_is_empty_is_an_error_for_all_who_waited_for_it(
    any_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = create_engine(any_url, pool_size=1, max_overflow=0, pool_timeout=0.5)
    grouped = Grouped(engine, monkeypatch)
    with engine.connect():
        first = grouped.lead("order-0")
        running = [grouped.queue("order-1"), grouped.queue("order-2")]
        assert [type(each.exception(60)) for each in (first, *running)] == [PoolTimeout] * 3
    assert grouped.groups == [["order-1", "order-2"]]
    assert grouped.append("order-1").version == 1
    grouped.threads.shutdown()
    engine.dispose()


def test_one_connection_is_enough(any_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = create_engine(any_url, pool_size=1, max_overflow=0)
    grouped = Grouped(engine, monkeypatch, Grouping(leaders=4, patience_seconds=0.05))
    running = [grouped.threads.submit(grouped.append, f"order-{number % 10}") for number in range(30)]
    grouped.assert_stored(*[each.result(60) for each in running])
    grouped.threads.shutdown()
    engine.dispose()


def append_in_all_threads(store: EventStore, *, threads: int, appends: int) -> None:
    """Append new streams and old ones, with conflicts in between; compare all results with what is stored."""

    def work(number: int) -> list[AppendResult]:
        results = []
        for index in range(appends):
            stream_id = f"order-{number}-{index // 4}"
            results.append(store.append(stream_id, one(), expected_version=index % 4 if index % 3 else ANY))
            if index % 16 == 5:
                with pytest.raises(ConcurrencyConflict):
                    store.append(stream_id, one(), expected_version=NO_STREAM)
            if index % 8 == 3:
                results.append(store.append(f"shared-{index % 5}", [one(), one()], expected_version=ANY))
        return results

    with ThreadPoolExecutor(threads) as pool:
        results = [result for work in pool.map(work, range(threads)) for result in work]
    stored = {(event.stream_id, event.version): event.position for event in store.read_all()}
    assert {(each.stream_id, each.version): each.position for each in results}.items() <= stored.items()
    assert len(stored) == sum(2 if each.stream_id.startswith("shared") else 1 for each in results)
    assert len({(each.stream_id, each.version) for each in results}) == len(results)


@pytest.mark.slow
def test_every_result_is_the_stored_row(any_engine: Engine) -> None:
    append_in_all_threads(EventStore(any_engine, group_commit=True), threads=64, appends=16)


@pytest.mark.long
def test_every_result_of_a_hundred_thousand_is_the_stored_row(any_engine: Engine) -> None:
    append_in_all_threads(EventStore(any_engine, group_commit=True), threads=64, appends=1_600)


# --- who takes part


def test_joined_appends_never_take_part(grouped: Grouped) -> None:
    with grouped.store.engine.connect() as connection:
        lock(connection, "held-1")
        first = start_waiting(grouped.threads, connection, grouped.append, "held-1")
        joined = grouped.store.join(connection)
        assert joined.append("order-1", one(), expected_version=ANY).version == 1  # with a group, it would wait
        connection.commit()
    assert first.result(60).version == 3
    with grouped.store.transaction() as tx:
        assert tx.append("order-1", one(), expected_version=ANY).version == 2
    assert grouped.groups == []


def test_a_store_with_inline_projections_never_takes_part(on_postgres: Grouped) -> None:
    """Its handlers have the connection of the append."""
    threads: list[int] = []
    projection = Projection("threads")
    projection.on()(lambda _event, _connection: threads.append(threading.get_ident()))
    with on_postgres.held_up():
        store = inline(on_postgres.store, projection)
        assert store.append("order-1", one(), expected_version=ANY).version == 1  # with a group, it would wait
    assert threads == [threading.get_ident()]


@pytest.mark.parametrize("hook", ["checkout", "before_cursor_execute"])
def test_if_hooks_may_know_the_thread_each_append_is_stored_alone(grouped: Grouped, hook: str) -> None:
    """A hook may have set the tenant of the thread for the connection."""
    engine, threads = grouped.store.engine, set[int]()
    with engine.connect() as holder:
        lock(holder, "held-1")
        event.listen(engine.pool if hook == "checkout" else engine, hook, lambda *_: threads.add(threading.get_ident()))
        first = grouped.lead("held-1")
        together = threading.Barrier(4)  # otherwise a thread that is done early would append twice

        def append(number: int) -> AppendResult:
            together.wait(60)
            return grouped.append(f"order-{number}")

        running = [grouped.threads.submit(append, number) for number in range(4)]
        until(lambda: len(threads) == 5, first)
        holder.rollback()
    assert [each.result(60).version for each in (first, *running)] == [2, 1, 1, 1, 1]
    assert grouped.groups == []


def test_by_default_it_is_on_with_sqlite_only(any_engine: Engine) -> None:
    is_on = EventStore(any_engine).core.group_commit is not None
    assert is_on is (any_engine.dialect.name == "sqlite")
    assert EventStore(any_engine, group_commit=False).core.group_commit is None
    assert EventStore(any_engine, group_commit=True).core.group_commit is not None


@pytest.mark.parametrize("pool", [NullPool, StaticPool])
def test_it_needs_a_pool_of_which_any_thread_can_take_any_connection(tmp_path: Path, pool: Any) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'events.db'}", poolclass=pool)
    with pytest.raises(InvalidInput, match=f"QueuePool.*{pool.__name__}"):
        EventStore(engine, group_commit=True)
    EventStore(engine)
    engine.dispose()


def test_an_engine_for_asyncio_is_refused(postgres_url: str) -> None:
    engine = create_async_engine(postgres_url).sync_engine
    with pytest.raises(InvalidInput, match="AsyncAdaptedQueuePool"):
        EventStore(engine, group_commit=True)
    EventStore(engine)


def test_an_observer_sees_each_append_with_its_own_figures(grouped: Grouped) -> None:
    seen: list[tuple[str | None, str]] = []

    class Noting:
        @contextmanager
        def operation(self, name: str, *, stream_id: str | None = None, projection: str | None = None) -> Iterator[Any]:
            assert (name, projection) == ("append", None)
            noted = Noted()
            try:
                yield noted
            except ConcurrencyConflict as conflict:
                seen.append((stream_id, f"conflict at {conflict.actual}"))
                raise
            seen.append((stream_id, f"{noted.events} events"))

        def waited(self, seconds: float) -> None: ...

    class Noted:
        events = 0

        def note(self, **figures: int) -> None:
            self.events = figures["events"]

        def caused_by(self, metadata: object) -> None: ...

    grouped.store.observe(Noting())
    with grouped.held_up():
        running = [
            grouped.queue("order-1"),
            grouped.queue("order-2", [one(), one()]),
            grouped.queue("order-3", expected_version=3),
        ]
    assert [each.exception(60) is None for each in running] == [True, True, False]
    assert sorted(seen) == [
        ("held-1", "1 events"),
        ("order-1", "1 events"),
        ("order-2", "2 events"),
        ("order-3", "conflict at 0"),
    ]
    assert len(grouped.groups) == 1


# --- SQLite


@pytest.mark.slow
def test_when_the_lock_is_not_available_in_time_each_gets_that_error(
    sqlite_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    grouped = Grouped(sqlite_engine, monkeypatch)
    impatient = EventStore(sqlite_engine, lock_timeout_seconds=0.2)
    grouped.store = impatient.with_core(replace(impatient.core, group_commit=grouped.commit))
    with sqlite_engine.connect() as holder:
        lock(holder, "held-1")
        first = grouped.lead("order-0")
        running = [grouped.queue("order-1"), grouped.queue("order-2")]
        assert [type(each.exception(60)) for each in (first, *running)] == [DatabaseBusy] * 3
    assert grouped.groups == [["order-1", "order-2"]]
    grouped.threads.shutdown()


# --- PostgreSQL


@pytest.mark.slow
@pytest.mark.parametrize("is_new", [False, True])
def test_a_group_does_not_wait_for_a_head(on_postgres: Grouped, is_new: bool) -> None:
    if not is_new:
        on_postgres.append("locked-1")
    on_postgres.alone.clear()
    with on_postgres.store.engine.connect() as holder, waiters_for(holder) as waiters:
        with on_postgres.held_up():
            lock(holder, "locked-1")
            locked = on_postgres.queue("locked-1")
            others = [on_postgres.queue("order-1"), on_postgres.queue("order-2")]
        assert [each.result(60).version for each in others] == [1, 1]
        until(lambda: len(waiters()) == 1, locked)  # now it waits alone, in its own thread
        tried = sorted(on_postgres.alone)
        if is_new:
            assert tried == ["held-1", "locked-1", "order-1", "order-2"]
        else:  # on a slow machine another lock of the server's may take the group's 10 ms, and then all go alone
            assert {"held-1", "locked-1"} <= set(tried)
        assert on_postgres.append("order-1").version == 2
        holder.commit()
    assert locked.result(60).version == (2 if is_new else 3)
    assert len(on_postgres.groups) == 1


@pytest.mark.slow
def test_no_queue_keeps_the_owner_of_a_lock_from_going_on(
    postgres_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If it did, that would be a deadlock of which PostgreSQL sees one half only."""
    grouped = Grouped(postgres_engine, monkeypatch, Grouping(leaders=4, patience_seconds=0.05))
    heads = [f"locked-{number}" for number in range(4)]
    with postgres_engine.connect() as holder, waiters_for(holder) as waiters:
        for stream_id in heads:
            lock(holder, stream_id)
        running = [grouped.threads.submit(grouped.append, stream_id) for stream_id in (*heads, *heads, heads[0])]
        until(lambda: len(waiters()) >= 4, *running)
        assert grouped.append("order-1").version == 1  # by the thread that holds the locks
        assert grouped.threads.submit(grouped.append, "order-2").result(60).version == 1
        until(lambda: len(waiters()) == 9, *running)  # as without groups
        holder.commit()
    assert sorted(each.result(60).version for each in running) == [2, 2, 2, 2, 3, 3, 3, 3, 4]
    grouped.threads.shutdown()


def lose_the_answer(monkeypatch: pytest.MonkeyPatch, grouped: Grouped) -> None:
    """Let the session of a leader end after its group is stored, and before it knows."""
    dialect = grouped.store.core.dialect
    append_group = type(dialect).append_group

    def append_and_lose(self: Any, run: Any, appends: Any) -> Any:
        def run_and_lose(*args: Any, **kwargs: Any) -> Any:
            run(*args, **kwargs)
            return run(lambda _tables: text("SELECT pg_terminate_backend(pg_backend_pid()) AS ended"))

        losing: Any = run_and_lose
        return append_group(self, losing, appends)

    monkeypatch.setattr(type(dialect), "append_group", append_and_lose)


@pytest.mark.slow
def test_after_a_lost_connection_nothing_is_repeated_but_by_who_repeats_it(
    on_postgres: Grouped, monkeypatch: pytest.MonkeyPatch
) -> None:
    repeated = [one(), one()]
    with monkeypatch.context() as patch:
        lose_the_answer(patch, on_postgres)
        with on_postgres.held_up():
            running = [
                on_postgres.queue("order-1", repeated[0], NO_STREAM),
                on_postgres.queue("order-2", repeated[1], NO_STREAM),
                on_postgres.queue("order-3"),
            ]
        errors = [each.exception(60) for each in running]
    assert [type(each) for each in errors] == [OperationalError] * 3
    assert all(isinstance(each, DBAPIError) and each.connection_invalidated for each in errors)
    assert on_postgres.store.stream_version("order-3") == 1  # not two
    results = [on_postgres.append(f"order-{n}", repeated[n - 1], NO_STREAM) for n in (1, 2)]
    assert [each.duplicate for each in results] == [True, True]
    on_postgres.assert_stored(*results)


_SLEEPING: Final = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"


def server_of(grouped: Grouped) -> psycopg.Connection[Any]:
    url = grouped.store.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    return psycopg.connect(url, autocommit=True)


@pytest.mark.slow
def test_ctrl_c_while_a_leader_waits_for_the_server(on_postgres: Grouped) -> None:
    with on_postgres.store.engine.begin() as connection:
        body = "BEGIN IF NEW.event_type = 'slow' THEN PERFORM pg_sleep(300); END IF; RETURN NEW; END"
        connection.exec_driver_sql(f"CREATE FUNCTION be_slow() RETURNS trigger LANGUAGE plpgsql AS $${body}$$")
        made = "CREATE TRIGGER be_slow BEFORE INSERT ON es_events FOR EACH ROW EXECUTE FUNCTION be_slow()"
        connection.exec_driver_sql(made)
    running: list[Future[AppendResult]] = []
    with server_of(on_postgres) as server, on_postgres.store.engine.connect() as holder:
        lock(holder, "held-1")
        first = start_waiting(on_postgres.threads, holder, on_postgres.append, "held-1")

        def follow() -> None:
            until(lambda: on_postgres.commit.waiting == 1)
            running.extend([on_postgres.queue("order-1"), on_postgres.queue("order-2")])
            holder.rollback()

        following = on_postgres.threads.submit(follow)
        with ctrl_c(on_postgres.threads, lambda: server.execute(_SLEEPING).fetchall()):
            on_postgres.append("order-0", one("slow"))
        following.result(60)
    assert first.result(60).version == 2
    assert [type(each.exception(60)) for each in running] == [AppendInterrupted] * 2
    assert [on_postgres.append(f"order-{number}").version for number in range(3)] == [1, 1, 1]
    assert on_postgres.groups == [["order-0", "order-1", "order-2"]]


@pytest.mark.slow
def test_a_reader_waits_for_a_group_as_for_any_append(on_postgres: Grouped) -> None:
    """The group has drawn its positions, and is not committed, when a later one is the newest."""
    with on_postgres.store.engine.begin() as connection:
        body = (
            "BEGIN IF EXISTS (SELECT FROM new WHERE event_type = 'slow') THEN "
            "WHILE NOT pg_try_advisory_xact_lock(7) LOOP PERFORM pg_sleep(0.01); END LOOP; END IF; RETURN NULL; END"
        )
        connection.exec_driver_sql(f"CREATE FUNCTION be_slow() RETURNS trigger LANGUAGE plpgsql AS $${body}$$")
        connection.exec_driver_sql(
            "CREATE TRIGGER be_slow AFTER INSERT ON es_events REFERENCING NEW TABLE AS new "
            "FOR EACH STATEMENT EXECUTE FUNCTION be_slow()"
        )
    with on_postgres.store.engine.connect() as holder, server_of(on_postgres) as server:
        holder.exec_driver_sql("SELECT pg_advisory_xact_lock(7)")
        with on_postgres.held_up():
            running = [on_postgres.queue("order-1", one("slow")), on_postgres.queue("order-2")]
        until(lambda: server.execute(_SLEEPING).fetchall(), *running)
        reader = EventStore(on_postgres.store.engine)
        newest = reader.append("order-3", one(), expected_version=ANY)
        seen = [each.stream_id for each in reader.read_all(wait_seconds=0)]
        assert "order-3" not in seen
        holder.rollback()
    results = [each.result(60) for each in running]
    assert max(each.position for each in results) < newest.position
    assert [each.stream_id for each in reader.read_all()][-3:] == ["order-1", "order-2", "order-3"]
    assert len(on_postgres.groups) == 1
