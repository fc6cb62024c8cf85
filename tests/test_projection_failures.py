"""Whose failure it is: the event's, the connection's, or that of a server that is not there."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from eventstore import DatabaseBusy, EventStore, NewEvent, ProjectionBehind, ProjectionFailed, RecordedEvent
from eventstore.backends import engine_for
from eventstore.errors import ProjectionRunning, TransactionBroken
from eventstore.projections import OnFailure, Outcome, Projection, ProjectionAdmin, Worker, guarding, inline
from eventstore.projections.batches import BatchRunner
from eventstore.testing.projection_contract import append, counted, counting, log, metadata, totals

TIMEOUT_SECONDS = 30


@pytest.fixture
def store(any_engine: Engine) -> EventStore:
    metadata.create_all(any_engine)
    return EventStore(any_engine)


@pytest.fixture
def on_postgresql(postgres_engine: Engine) -> EventStore:
    metadata.create_all(postgres_engine)
    return EventStore(postgres_engine)


@pytest.fixture
def on_sqlite(sqlite_engine: Engine) -> EventStore:
    metadata.create_all(sqlite_engine)
    return EventStore(sqlite_engine)


def note(event: RecordedEvent, connection: Connection) -> None:
    connection.execute(log.insert().values(position=event.position))


def noted(engine: Engine) -> list[int]:
    with engine.connect() as connection:
        return list(connection.execute(log.select().order_by(log.c.place).with_only_columns(log.c.position)).scalars())


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it has not come to that"
        time.sleep(0.005)


@contextmanager
def running(worker: Worker) -> Iterator[None]:
    """Run a worker in a thread; it has to end when it is asked to."""
    with ThreadPoolExecutor(1) as threads:
        future = threads.submit(worker.run_forever)
        try:
            yield
        finally:
            worker.stop()
            future.result(timeout=TIMEOUT_SECONDS)


# --- errors of a handler, while the connection of its batch is whole


def refuse_connection() -> None:
    """Raise what a database of the handler's own raises that is away."""
    engine = create_engine("postgresql+psycopg://postgres@127.0.0.1:1/nowhere")
    with engine.connect():
        pass


def fill_pool(engine: Engine) -> None:
    """Raise what a pool of the handler's own raises that is full."""
    own = create_engine(engine.url, pool_size=1, max_overflow=0, pool_timeout=0.001)
    try:
        with own.connect(), own.connect():
            pass
    finally:
        own.dispose()


def refuse_connection_of_driver() -> None:
    psycopg.connect("host=127.0.0.1 port=1 user=postgres dbname=nowhere")


ELSEWHERE: dict[str, tuple[type[Exception], Callable[[Engine], Any]]] = {
    "a database that is away": (OperationalError, lambda _: refuse_connection()),
    "a database that is away, by the driver": (psycopg.OperationalError, lambda _: refuse_connection_of_driver()),
    "a pool that is full": (PoolTimeout, fill_pool),
    "a file that is locked": (DatabaseBusy, lambda _: (_ for _ in ()).throw(DatabaseBusy(0.1))),
}


@pytest.mark.parametrize("kind", ELSEWHERE)
def test_what_happens_to_a_handler_elsewhere_is_its_events_failure(store: EventStore, kind: str) -> None:
    expected, happen = ELSEWHERE[kind]
    first, bad, last = append(store, "order-1"), append(store, "order-2"), append(store, "order-3")
    projection = Projection("totals", attempts=2, backoff_seconds=0.001, on_failure=OnFailure.DEAD_LETTER)
    tried = []

    @projection.on("counted")
    def handle(event: RecordedEvent, connection: Connection) -> None:
        note(event, connection)
        if event.position == bad:
            tried.append(event.position)
            happen(store.engine)

    assert Worker(store, projection).run_until_caught_up() == 2
    assert (tried, noted(store.engine)) == ([bad] * 2, [first, last])
    (letter,) = ProjectionAdmin(store).dead_letters.list("totals")
    assert (letter.position, letter.attempts, letter.error) == (bad, 2, expected.__name__)
    with pytest.raises(ProjectionFailed) as failed:
        ProjectionAdmin(store).dead_letters.retry(projection, "order-2")
    assert isinstance(failed.value.__cause__, expected)
    assert failed.value.attempts == 3


# --- a handler that leaves the transaction aborted or ended


def swallow(connection: Connection) -> None:
    connection.execute(totals.insert().values(stream_id="twice", number=1, last=1))
    with pytest.raises(IntegrityError):
        connection.execute(totals.insert().values(stream_id="twice", number=1, last=1))


def send(*statements: str) -> Callable[[Connection], None]:
    def execute(connection: Connection) -> None:
        for statement in statements:
            connection.exec_driver_sql(statement)

    return execute


def driver_connection(connection: Connection) -> Any:
    return connection.connection.driver_connection


WRITE = "INSERT INTO eventstore_contract_totals VALUES ('after', 1, 1)"
SPOILS: dict[str, Callable[[Connection], None]] = {
    "ROLLBACK": send("ROLLBACK"),
    "COMMIT": send("COMMIT"),
    "ROLLBACK and BEGIN": send("ROLLBACK", "BEGIN"),
    "COMMIT and BEGIN": send("COMMIT", "BEGIN"),
    "ROLLBACK and a statement": send("ROLLBACK", WRITE),
    "an object's commit": lambda connection: connection.commit(),
    "an object's rollback": lambda connection: connection.rollback(),
    "the driver's commit": lambda connection: connection.connection.commit(),
    "close": lambda connection: connection.close(),
    "the pool's close": lambda connection: connection.connection.close(),
    "the driver's close": lambda connection: driver_connection(connection).close(),
    "invalidate": lambda connection: connection.invalidate(),
}


@pytest.mark.parametrize("spoil", SPOILS)
@pytest.mark.parametrize("place", [2, *(pytest.param(place, marks=pytest.mark.slow) for place in (0, 4))])
def test_a_handler_that_ends_the_transaction_has_failed(store: EventStore, spoil: str, place: int) -> None:
    positions = [append(store, f"order-{number}") for number in range(5)]
    projection = Projection("totals", on_failure=OnFailure.DEAD_LETTER)

    @projection.on("counted")
    def handle(event: RecordedEvent, connection: Connection) -> None:
        note(event, connection)
        if event.position == positions[place]:
            SPOILS[spoil](connection)

    Worker(store, projection).run_until_caught_up()
    (letter,) = ProjectionAdmin(store).dead_letters.list("totals")
    assert (letter.position, letter.attempts) == (positions[place], 1)
    good = [position for position in positions if position != positions[place]]
    if "ROLLBACK" in spoil or "rollback" in spoil:
        assert noted(store.engine) == good
    else:  # what the handler has committed is there, and is handled again
        assert set(good) <= set(noted(store.engine))
    assert ProjectionAdmin(store).position("totals") == positions[-1]


@pytest.mark.slow
def test_a_handler_that_goes_on_after_an_error_of_the_database_has_failed(on_postgresql: EventStore) -> None:
    positions = [append(on_postgresql, f"order-{number}") for number in range(3)]
    projection = Projection("totals")

    @projection.on("counted")
    def handle(event: RecordedEvent, connection: Connection) -> None:
        note(event, connection)
        if event.position == positions[1]:
            swallow(connection)

    with pytest.raises(ProjectionFailed) as failed:
        Worker(on_postgresql, projection).run_until_caught_up()
    assert (failed.value.position, failed.value.error_type) == (positions[1], "TransactionBroken")
    assert "begin_nested" in str(failed.value.__cause__)
    assert noted(on_postgresql.engine) == positions[:1]
    projection.on_failure = OnFailure.DEAD_LETTER
    Worker(on_postgresql, projection).run_until_caught_up()
    assert noted(on_postgresql.engine) == [positions[0], positions[2]]


def test_a_handler_may_go_on_after_an_error_in_a_savepoint(store: EventStore) -> None:
    positions = [append(store, f"order-{number}") for number in range(3)]
    projection = Projection("totals")

    @projection.on("counted")
    def handle(event: RecordedEvent, connection: Connection) -> None:
        note(event, connection)
        with pytest.raises(IntegrityError), connection.begin_nested():
            swallow_all = totals.insert().values(stream_id="twice", number=1, last=1)
            connection.execute(swallow_all)
            connection.execute(swallow_all)

    assert Worker(store, projection).run_until_caught_up() == 3
    assert noted(store.engine) == positions


def test_what_the_database_refuses_at_the_commit_is_an_events_failure(store: EventStore) -> None:
    """A deferred constraint is checked when the batch ends, long after the handler has returned."""
    with store.engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE parents (id BIGINT PRIMARY KEY)")
        connection.exec_driver_sql(
            "CREATE TABLE children (parent BIGINT REFERENCES parents DEFERRABLE INITIALLY DEFERRED)"
        )
    positions = [append(store, f"order-{number}") for number in range(5)]
    projection = Projection("totals", on_failure=OnFailure.DEAD_LETTER)

    @projection.on("counted")
    def handle(event: RecordedEvent, connection: Connection) -> None:
        note(event, connection)
        if event.position == positions[2]:
            connection.exec_driver_sql("INSERT INTO children VALUES (1)")

    Worker(store, projection).run_until_caught_up()
    (letter,) = ProjectionAdmin(store).dead_letters.list("totals")
    assert (letter.position, letter.error) == (positions[2], "IntegrityError")
    assert noted(store.engine) == [position for position in positions if position != positions[2]]


def test_a_handler_that_moves_the_checkpoint_itself_has_failed(store: EventStore) -> None:
    positions = [append(store, f"order-{number}") for number in range(3)]
    projection = Projection("totals")

    @projection.on("counted")
    def handle(event: RecordedEvent, connection: Connection) -> None:
        note(event, connection)
        if event.position == positions[1]:
            connection.execute(store.tables.checkpoints.update().values(position=99))

    with pytest.raises(ProjectionFailed) as failed:
        Worker(store, projection).run_until_caught_up()
    assert failed.value.position == positions[1]
    assert getattr(failed.value.__cause__, "reason", None) == "moved"
    assert (noted(store.engine), ProjectionAdmin(store).position("totals")) == (positions[:1], positions[0])


def test_a_transaction_of_the_store_that_was_aborted_inside_does_not_end_as_if_it_were_committed(
    on_postgresql: EventStore,
) -> None:
    """PostgreSQL answers COMMIT with ROLLBACK then, and no error."""
    with pytest.raises(TransactionBroken), on_postgresql.transaction() as transaction:
        transaction.append("order-1", [NewEvent("counted")], expected_version=0)
        swallow(transaction.connection)
    assert on_postgresql.stream_version("order-1") == 0


def test_an_inline_handler_that_goes_on_after_an_error_undoes_the_append(on_postgresql: EventStore) -> None:
    projection = Projection("totals")
    projection.on()(lambda _, connection: swallow(connection))
    with pytest.raises(TransactionBroken):
        inline(on_postgresql, projection).append("order-1", [NewEvent("counted")], expected_version=0)
    assert on_postgresql.stream_version("order-1") == 0


# --- other transactions in the way


CONTENTION = {"40P01": "DeadlockDetected", "40001": "SerializationFailure", "55P03": "LockNotAvailable"}


@pytest.mark.slow
@pytest.mark.parametrize("state", CONTENTION)
def test_contention_repeats_the_batch_before_it_counts(on_postgresql: EventStore, state: str) -> None:
    positions = [append(on_postgresql, f"order-{number}") for number in range(3)]
    projection = Projection("totals")
    tried = []

    @projection.on("counted")
    def handle(event: RecordedEvent, connection: Connection) -> None:
        note(event, connection)
        if event.position == positions[1]:
            tried.append(event.position)
            if len(tried) < 4:
                connection.execute(text(f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{state}'; END $$"))

    assert Worker(on_postgresql, projection).run_until_caught_up() == 3
    assert noted(on_postgresql.engine) == positions
    (status,) = ProjectionAdmin(on_postgresql).status()
    assert (status.failure, status.retrying) == (None, None)


@pytest.mark.slow
def test_contention_without_end_is_the_events_failure(
    on_postgresql: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guarding, "_LONGEST_PAUSE_SECONDS", 0.001)
    positions = [append(on_postgresql, f"order-{number}") for number in range(3)]
    projection = Projection("totals", attempts=2, backoff_seconds=0.001, on_failure=OnFailure.DEAD_LETTER)
    tried: list[int] = []
    shown: set[str | None] = set()

    @projection.on("counted")
    def handle(event: RecordedEvent, connection: Connection) -> None:
        note(event, connection)
        if event.position == positions[1]:
            tried.append(event.position)
            shown.update(status.retrying for status in ProjectionAdmin(on_postgresql).status())
            with connection.begin_nested():
                connection.execute(text("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40P01'; END $$"))

    assert Worker(on_postgresql, projection).run_until_caught_up() == 2
    assert len(tried) == 1 + guarding.REPEATS_IN_CONTENTION + 1
    place = f"DeadlockDetected at position {positions[1]}: 'counted', version 1 of stream 'order-1'"
    assert {f"OperationalError{place.removeprefix('DeadlockDetected')}, tried 10 times"} < shown
    (letter,) = ProjectionAdmin(on_postgresql).dead_letters.list("totals")
    assert (letter.position, letter.attempts) == (positions[1], 2)
    assert noted(on_postgresql.engine) == [positions[0], positions[2]]


@pytest.mark.slow
def test_a_lock_that_is_let_go_of_in_time_fails_no_event(on_postgresql: EventStore) -> None:
    position = append(on_postgresql, "order-1")
    projection = Projection("totals")
    with on_postgresql.engine.begin() as connection:
        connection.execute(totals.insert().values(stream_id="shared", number=0, last=0))
    holder = on_postgresql.engine.connect()
    holder.execute(totals.update().values(number=1))

    @projection.on("counted")
    def handle(event: RecordedEvent, connection: Connection) -> None:
        connection.execute(text("SET LOCAL lock_timeout = '20ms'"))
        try:
            connection.execute(totals.update().values(number=event.position))
        except OperationalError:
            holder.close()
            raise

    assert Worker(on_postgresql, projection).run_until_caught_up() == 1
    assert counted(on_postgresql.engine) == {"shared": position}


# --- the connection of the batch is lost


def be_too_slow(connection: Connection, other: Engine) -> None:
    """Do nothing for longer than the server lets a session be idle in a transaction."""
    pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = '20ms'"))
    of_pid = text("SELECT count(*) FROM pg_stat_activity WHERE pid = :pid")
    with other.connect().execution_options(isolation_level="AUTOCOMMIT") as watching:
        until(lambda: watching.execute(of_pid, {"pid": pid}).scalar_one() == 0)


@pytest.mark.slow
@pytest.mark.parametrize("raising", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("run", ["run_until_caught_up", pytest.param("run_forever", marks=pytest.mark.slow)])
def test_a_handler_slower_than_the_server_allows_is_its_events_failure(
    on_postgresql: EventStore, run: str, *, raising: bool
) -> None:
    """Whether it notices, or returns as if nothing had happened."""
    positions = [append(on_postgresql, f"order-{number}") for number in range(3)]
    projection = Projection("totals", on_failure=OnFailure.DEAD_LETTER)
    tried = []

    @projection.on("counted")
    def handle(event: RecordedEvent, connection: Connection) -> None:
        if event.position == positions[1]:
            tried.append(event.position)
            be_too_slow(connection, on_postgresql.engine)
            if not raising:
                return
        note(event, connection)

    worker = Worker(on_postgresql, projection)
    if run == "run_until_caught_up":
        worker.run_until_caught_up()
    else:
        with running(worker):
            ProjectionAdmin(on_postgresql).wait_for("totals", positions[-1], timeout_seconds=TIMEOUT_SECONDS)
    assert len(tried) == guarding.REPEATS_IF_LOST + 1
    assert noted(on_postgresql.engine) == [positions[0], positions[2]]
    (letter,) = ProjectionAdmin(on_postgresql).dead_letters.list("totals")
    assert (letter.position, letter.error) == (positions[1], "InternalError" if raising else "TransactionBroken")
    if raising:
        with pytest.raises(ProjectionFailed):
            ProjectionAdmin(on_postgresql).dead_letters.retry(projection, "order-1")
        assert len(tried) == 2 * (guarding.REPEATS_IF_LOST + 1)


@pytest.mark.slow
def test_a_connection_lost_once_fails_no_event(on_postgresql: EventStore) -> None:
    positions = [append(on_postgresql, f"order-{number}") for number in range(3)]
    projection = Projection("totals")
    ended: list[int] = []

    @projection.on("counted")
    def handle(event: RecordedEvent, connection: Connection) -> None:
        note(event, connection)
        if event.position == positions[1] and len(ended) < 2:
            ended.append(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())
            with on_postgresql.engine.connect() as other:
                other.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": ended[-1]})
            if len(ended) == 2:
                raise ValueError  # and then it can't even be rolled back

    assert Worker(on_postgresql, projection).run_until_caught_up() == 3
    assert len(set(ended)) == 2
    assert noted(on_postgresql.engine) == positions


@pytest.mark.slow
def test_a_connection_lost_just_before_the_commit_fails_no_event(
    on_postgresql: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    positions = [append(on_postgresql, f"order-{number}") for number in range(3)]
    projection = Projection("totals")
    projection.on("counted")(note)
    advance, lost = BatchRunner._advance, list[int]()

    def advance_and_lose(self: BatchRunner, run: Any, *arguments: Any) -> None:
        advance(self, run, *arguments)
        if not lost:
            lost.append(1)
            of_batch = "FROM pg_locks WHERE relation = 'es_checkpoints'::regclass AND mode = 'RowExclusiveLock'"
            with on_postgresql.engine.connect() as other:
                other.execute(text(f"SELECT pg_terminate_backend(pid, 5000) {of_batch}"))

    monkeypatch.setattr(BatchRunner, "_advance", advance_and_lose)
    worker = Worker(on_postgresql, projection)
    with pytest.raises(OperationalError):
        worker.run_once()
    assert worker.run_once().handled == 3
    assert noted(on_postgresql.engine) == positions


@pytest.mark.slow
def test_a_batch_longer_than_a_connection_lives_makes_progress_all_the_same(on_postgresql: EventStore) -> None:
    """Not one event is too slow, but all together are: then they are handled one by one."""
    positions = [append(on_postgresql, f"order-{number}") for number in range(8)]
    projection = Projection("totals")
    calls: dict[int, int] = {}
    lost: list[int] = []

    @projection.on("counted")
    def handle(event: RecordedEvent, connection: Connection) -> None:
        note(event, connection)
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        calls[pid] = (
            calls.get(pid, 0)
            + connection.execute(
                text("SELECT count(*) FROM eventstore_contract_handled WHERE xmin::text = pg_current_xact_id()::text")
            ).scalar_one()
        )
        if calls[pid] > 3:
            lost.append(event.position)
            with on_postgresql.engine.connect() as other:
                other.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})

    Worker(on_postgresql, projection).run_until_caught_up()
    assert noted(on_postgresql.engine) == positions
    assert lost


# --- what is waited out


@pytest.mark.slow
def test_a_full_pool_is_waited_out(any_url: str, store: EventStore, caplog: pytest.LogCaptureFixture) -> None:
    append(store, "order-1")
    engine = create_engine(any_url, pool_size=1, max_overflow=0, pool_timeout=0.02)
    small = EventStore(engine)
    for _ in range(2):  # before it has ever worked, and afterwards
        with running(Worker(small, counting())):
            if caplog.records:
                ProjectionAdmin(store).wait_for("totals", append(store, "order-1"))
            caplog.clear()
            taken: list[Any] = []
            until(partial(_take, engine, taken))
            position = append(store, "order-1")
            until(lambda: "retries after TimeoutError" in caplog.text)
            taken[0].close()
            ProjectionAdmin(store).wait_for("totals", position, timeout_seconds=TIMEOUT_SECONDS)
    engine.dispose()


def _take(engine: Engine, taken: list[Any]) -> bool:
    try:
        taken.append(engine.connect())
    except PoolTimeout:
        return False
    return True


def waiting_for_locks(engine: Engine) -> int:
    of_database = "FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with engine.connect() as connection:
        return int(connection.execute(text(f"SELECT count(*) {of_database}")).scalar_one())


@pytest.mark.slow
def test_a_worker_that_stands_by_never_waits_for_the_one_at_work(on_postgresql: EventStore) -> None:
    append(on_postgresql, "order-1")
    held, release = threading.Event(), threading.Event()
    slow = Projection("totals")

    @slow.on("counted")
    def hold(*_: object) -> None:
        held.set()
        assert release.wait(TIMEOUT_SECONDS)

    with running(Worker(on_postgresql, slow, name="at work")):
        assert held.wait(TIMEOUT_SECONDS)
        try:
            standby = Worker(on_postgresql, counting(), name="standby", longest_interval_seconds=0.005)
            outcomes = []
            one = standby.run_once
            standby.run_once = lambda: outcomes.append(one()) or outcomes[-1]  # type: ignore[method-assign,func-returns-value]
            with running(standby):  # and ends at once when it is stopped
                until(lambda: len(outcomes) > 3)
                assert {batch.outcome for batch in outcomes} == {Outcome.BUSY}
                assert waiting_for_locks(on_postgresql.engine) == 0
        finally:
            release.set()


@pytest.mark.slow
def test_what_a_worker_says_of_itself_waits_for_nobody(on_postgresql: EventStore) -> None:
    append(on_postgresql, "order-1")
    Worker(on_postgresql, counting(), name="at work").run_once()
    batches = BatchRunner(on_postgresql, counting(), worker="standby", size=1, seconds=1)
    with on_postgresql.engine.begin() as batch:
        batch.execute(on_postgresql.tables.checkpoints.select().with_for_update())
        with ThreadPoolExecutor(1) as threads:
            for say in (batches.mark_seen, batches.mark_stopped):
                threads.submit(say).result(timeout=TIMEOUT_SECONDS)
    assert ProjectionAdmin(on_postgresql).status()[0].worker == "at work"
    batches.mark_seen()
    assert ProjectionAdmin(on_postgresql).status()[0].worker == "standby"


@pytest.mark.slow
def test_a_database_that_takes_no_writes_for_a_while_is_waited_for(
    on_postgresql: EventStore, postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    separate = engine_for(postgres_url, connect_args={"application_name": "the worker"})
    with running(Worker(EventStore(separate), counting())):
        ProjectionAdmin(on_postgresql).wait_for("totals", append(on_postgresql, "order-1"))
        set_read_only(postgres_url, "on")
        last = append(on_postgresql, "order-1")
        until(lambda: "retries after ReadOnlyDatabase" in caplog.text)
        set_read_only(postgres_url, "off")
        ProjectionAdmin(on_postgresql).wait_for("totals", last, timeout_seconds=TIMEOUT_SECONDS)
    separate.dispose()
    assert counted(on_postgresql.engine) == {"order-1": 2}


def set_read_only(url: str, value: str) -> None:
    """Let later sessions of the database begin so, and end those of the worker."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        connection.execute(f'ALTER DATABASE "{connection.info.dbname}" SET default_transaction_read_only = {value}')
        of_worker = "FROM pg_stat_activity WHERE application_name = 'the worker'"
        connection.execute(f"SELECT pg_terminate_backend(pid, 5000) {of_worker}")


@pytest.mark.slow
def test_a_table_locked_for_longer_than_lock_timeout_is_waited_for(
    on_postgresql: EventStore, postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    hasty = engine_for(postgres_url, connect_args={"options": "-c lock_timeout=10ms"})
    with running(Worker(EventStore(hasty), counting())):
        ProjectionAdmin(on_postgresql).wait_for("totals", append(on_postgresql, "order-1"))
        with on_postgresql.engine.begin() as connection:
            connection.execute(text("LOCK TABLE es_checkpoints"))
            until(lambda: "retries after LockNotAvailable" in caplog.text)
        ProjectionAdmin(on_postgresql).wait_for("totals", append(on_postgresql, "order-1"))
    hasty.dispose()


def test_a_server_that_is_not_there_is_an_error_at_first() -> None:
    store = EventStore(create_engine("postgresql+psycopg://postgres@127.0.0.1:1/nowhere"))
    with pytest.raises(OperationalError):
        Worker(store, counting()).run_forever()


def test_workers_of_one_process_have_names_of_their_own(store: EventStore) -> None:
    append(store, "order-1")
    idle, other = Worker(store, counting()), Worker(store, counting())
    assert idle.name != other.name
    idle.run_once()
    with other:
        pass  # it stops, and says so
    assert ProjectionAdmin(store).status()[0].is_running, "the one that has worked has not stopped"
    with pytest.raises(ProjectionRunning):
        ProjectionAdmin(store).reset("totals")


def test_the_status_and_health_show_what_is_tried_again(store: EventStore) -> None:
    position = append(store, "order-1")
    projection = Projection("totals", attempts=2, backoff_seconds=60)
    projection.on("counted")(lambda *_: 1 // 0)
    shown = f"ZeroDivisionError at position {position}: 'counted', version 1 of stream 'order-1', tried once"
    with running(Worker(store, projection)):
        until(lambda: any(status.retrying for status in ProjectionAdmin(store).status()))
        (status,) = ProjectionAdmin(store).status()
        assert (status.retrying, status.failure, status.failed_at, status.is_running) == (shown, None, None, True)
        health = store.health()
        assert health.ok
        assert [(each.retrying, each.failure) for each in health.projections] == [(shown, None)]
        with pytest.raises(ProjectionBehind, match="its worker retries an event: ZeroDivisionError"):
            ProjectionAdmin(store).wait_for("totals", position, timeout_seconds=0)
