"""The projections of many tenants in one process: nothing is missed, and an idle tenant costs nothing.

Each test that could miss an event appends nothing after it, and lets no tenant be visited for another reason.
"""

import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from psycopg.errors import DeadlockDetected
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.exc import OperationalError

from eventstore import ANY, EventStore, NewEvent, migrations
from eventstore.backends.schema_watch import Drawn, SchemaLook
from eventstore.errors import InvalidInput, ProjectionFailed
from eventstore.projections import Projection, ProjectionAdmin, TenantWorkers, Worker, tenant, tenants
from tests.waiting import until, waiters_for

NEVER = 10_000.0
TENANTS = [f"tenant_{number}" for number in range(6)]


class Tenants:
    """Tenants of one database, and what was handled of each."""

    def __init__(self, engine: Engine, schemas: list[str]) -> None:
        self.engine = engine
        self.schemas = schemas
        self.stores = {schema: EventStore(engine, schema=schema) for schema in schemas}
        self.handled: dict[str, list[int]] = defaultdict(list)
        self.failing: set[str] = set()
        self.at_visit: Callable[[str], object] = lambda _: None

    def make_workers(self, schema: str) -> list[Worker]:
        self.at_visit(schema)
        projection = Projection("totals", attempts=1)

        @projection.on("counted")
        def handle(each: Any, _: Any) -> None:
            if schema in self.failing:
                raise ValueError(schema)
            self.handled[schema].append(each.position)

        return [Worker(self.stores[schema], projection)]

    def workers(self, **options: Any) -> TenantWorkers:
        given = {"interval_seconds": 0.01, "visit_every_seconds": NEVER, "threads": 2} | options
        return TenantWorkers(self.engine, lambda: self.schemas, self.make_workers, **given)

    def append(self, schema: str, *, stream_id: str = "order-1") -> int:
        return self.stores[schema].append(stream_id, [NewEvent("counted")], expected_version=ANY).position

    def has_handled(self, schema: str, position: int) -> bool:
        return position in self.handled[schema]

    @contextmanager
    def running(self, **options: Any) -> Iterator[TenantWorkers]:
        workers = self.workers(**options)
        errors: list[BaseException] = []

        def run() -> None:
            try:
                workers.run_forever()
            except BaseException as error:  # noqa: BLE001  # it is raised below
                errors.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield workers
        finally:
            workers.stop()
            thread.join(60)
        assert not thread.is_alive()
        assert errors == []


@pytest.fixture
def of(new_postgres_engine: Engine) -> Iterator[Tenants]:
    """Three connections: one to look, and one for each of two threads."""
    for schema in TENANTS:
        migrations.provision(new_postgres_engine, schema)
    engine = create_engine(new_postgres_engine.url, pool_size=3, max_overflow=0)
    yield Tenants(engine, TENANTS)
    engine.dispose()


pytestmark = pytest.mark.postgresql


@pytest.mark.slow
def test_each_tenants_events_are_handled(of: Tenants) -> None:
    expected = {schema: [of.append(schema) for _ in range(number + 1)] for number, schema in enumerate(TENANTS)}
    of.workers().run_until_caught_up()
    assert dict(of.handled) == expected
    (status,) = ProjectionAdmin(of.stores["tenant_0"]).status()
    assert (status.lag_events, status.state) == (0, "stopped")
    of.append("tenant_3")
    of.workers().run_until_caught_up()
    assert of.handled["tenant_3"] == [1, 2, 3, 4, 5]


@pytest.mark.slow
def test_they_are_handled_as_they_are_appended(of: Tenants) -> None:
    with of.running() as workers:
        for number in range(10):
            schema = TENANTS[number % 6]
            position = of.append(schema)
            until(partial(of.has_handled, schema, position))
        assert workers.failures == {}
    assert sum(map(len, of.handled.values())) == 10


@pytest.mark.slow
def test_an_idle_tenant_costs_no_statement_and_no_thread(of: Tenants) -> None:
    visits: list[str] = []
    of.at_visit = visits.append
    statements: list[str] = []
    with of.running():
        until(lambda: len(visits) >= 6 and all(ProjectionAdmin(store).status() for store in of.stores.values()))
        time.sleep(0.2)  # the last visit may not have ended
        visits.clear()
        event.listen(of.engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
        until(lambda: len(statements) >= 5)
        assert len([each for each in threading.enumerate() if each.name.startswith("eventstore-tenants")]) == 2
    assert visits == []
    assert len(set(statements)) == 1, "a look is one statement"


@pytest.mark.slow
def test_an_append_that_is_open_at_the_look_is_not_missed(of: Tenants) -> None:
    """It has drawn its position, so later looks see the same one. Nothing else is appended."""
    visited = threading.Event()
    with of.engine.connect() as connection:
        of.stores["tenant_1"].join(connection).append("order-1", [NewEvent("counted")], expected_version=0)
        of.at_visit = lambda schema: visited.set() if schema == "tenant_1" else None
        engine = create_engine(of.engine.url)
        of.stores["tenant_1"] = EventStore(engine, schema="tenant_1")
        of.engine, before = engine, of.engine
        with of.running():
            assert visited.wait(30)
            until(lambda: ProjectionAdmin(of.stores["tenant_1"]).status())
            assert of.handled["tenant_1"] == []
            connection.commit()
            until(lambda: of.handled["tenant_1"] == [1])
        of.engine = before
        engine.dispose()


@pytest.mark.slow
def test_an_event_behind_a_gap_is_not_missed_if_somebody_begins_to_append_before_the_visit(of: Tenants) -> None:
    """The look finds nobody appending. When the visit looks, somebody holds the lock, so the gap is not settled."""
    with of.engine.connect() as connection:
        of.stores["tenant_1"].join(connection).append("order-1", [NewEvent("counted")], expected_version=0)
        connection.rollback()
    assert of.append("tenant_1") == 2
    other = create_engine(of.engine.url)
    holder = other.connect()
    visits: list[str] = []

    def hold(schema: str) -> None:
        if schema == "tenant_1":
            visits.append(schema)
            if len(visits) == 1:
                holder.execute(text("LOCK TABLE tenant_1.es_events IN ROW EXCLUSIVE MODE"))

    of.at_visit = hold
    with of.running():
        until(lambda: len(visits) >= 2)  # it is visited again, while the lock is held
        assert of.handled["tenant_1"] == []
        holder.rollback()
        until(lambda: of.handled["tenant_1"] == [2])
    holder.close()
    other.dispose()


@pytest.mark.slow
def test_after_a_restart_of_the_server_each_tenant_is_visited(of: Tenants, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commits may be lost by a failover, and others have drawn the same positions."""
    visits: list[str] = []
    of.at_visit = visits.append
    with of.running() as workers:
        of.append("tenant_0")
        until(lambda: of.handled["tenant_0"] == [1])
        until(lambda: len(visits) >= 6)
        time.sleep(0.2)  # the last visit may not have ended
        visits.clear()
        drawn = SchemaLook.drawn

        def after_restart(self: SchemaLook, schemas: list[str]) -> dict[str, Drawn]:
            found = drawn(self, schemas)
            return {name: each._replace(started_at=each.started_at + timedelta(days=1)) for name, each in found.items()}

        monkeypatch.setattr(SchemaLook, "drawn", after_restart)
        until(lambda: set(visits) == set(TENANTS))
        assert workers.failures == {}


@pytest.mark.slow
def test_a_tenant_that_fails_does_not_stop_the_others(of: Tenants, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tenant, "_LONGEST_BACKOFF_SECONDS", 0.05)
    of.failing.add("tenant_1")
    with of.running() as workers:
        for schema in TENANTS:
            of.append(schema)
        until(lambda: sum(map(len, of.handled.values())) == 5)
        until(lambda: set(workers.failures) == {"tenant_1"})
        assert isinstance(workers.failures["tenant_1"], ProjectionFailed)
        of.failing.clear()
        until(lambda: of.handled["tenant_1"] == [1])
        until(lambda: not workers.failures)


@pytest.mark.slow
def test_a_tenant_without_tables_is_a_failure(of: Tenants) -> None:
    of.schemas = [*TENANTS, "tenant_new"]
    of.stores["tenant_new"] = EventStore(of.engine, schema="tenant_new")
    of.append("tenant_0")
    workers = of.workers()
    workers.run_until_caught_up()
    assert set(workers.failures) == {"tenant_new"}
    assert of.handled["tenant_0"] == [1]


@pytest.mark.slow
def test_tenants_come_and_go(of: Tenants, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tenants, "_LIST_EVERY_SECONDS", 0.0)
    all_schemas, of.schemas = of.schemas, ["tenant_0"]
    with of.running() as workers:
        of.append("tenant_5")
        of.schemas = all_schemas
        until(lambda: of.handled["tenant_5"] == [1])
        of.schemas = ["tenant_0"]
        drop(of.engine, "tenant_5")
        of.append("tenant_0")
        until(lambda: of.handled["tenant_0"] == [1])
        until(lambda: not workers.failures)


def drop(engine: Engine, schema: str) -> None:
    """Drop a schema, again if PostgreSQL has ended a deadlock with a worker that is in its batch."""
    while True:
        try:
            with engine.begin() as connection:
                connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
        except OperationalError as error:
            assert isinstance(error.orig, DeadlockDetected)  # noqa: PT017  # it is tried again
        else:
            return


@pytest.mark.slow
def test_a_tenant_who_is_dropped_during_a_look_ends_nothing(of: Tenants) -> None:
    with of.running():
        with of.engine.connect() as connection, waiters_for(connection) as waiting:
            connection.execute(text("DROP SCHEMA tenant_5 CASCADE"))
            until(waiting)  # the look waits for the sequence, whose name it has read
            connection.commit()
        of.append("tenant_0")
        until(lambda: of.handled["tenant_0"] == [1])


@pytest.mark.slow
def test_a_role_that_can_not_read_the_sequences_visits_each_time(of: Tenants) -> None:
    role = f"reader_{uuid4().hex}"
    with of.engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE ROLE {role}")
        connection.exec_driver_sql(f"GRANT USAGE ON SCHEMA tenant_0 TO {role}")
        connection.exec_driver_sql(f"GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA tenant_0 TO {role}")
    limited = create_engine(of.engine.url, connect_args={"options": f"-c role={role}"})
    by_role = Tenants(limited, ["tenant_0"])
    with by_role.running():
        of.append("tenant_0")
        until(lambda: by_role.handled["tenant_0"] == [1])
        of.append("tenant_0")
        until(lambda: by_role.handled["tenant_0"] == [1, 2])
    by_role.workers().run_until_caught_up()
    limited.dispose()
    with of.engine.begin() as connection:
        connection.exec_driver_sql(f"DROP OWNED BY {role}")
        connection.exec_driver_sql(f"DROP ROLE {role}")


@pytest.mark.parametrize(
    "options",
    [{"threads": 0}, {"interval_seconds": 0}, {"visit_every_seconds": -1}, {"threads": True}],
)
def test_bad_options_are_refused(postgres_engine: Engine, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        TenantWorkers(postgres_engine, list, lambda _: [], **options)


def test_bad_arguments_are_refused(postgres_engine: Engine, sqlite_engine: Engine) -> None:
    with pytest.raises(InvalidInput, match="tenants must be a function"):
        TenantWorkers(postgres_engine, ["tenant_a"], lambda _: [])  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="make_workers must be a function"):
        TenantWorkers(postgres_engine, list, None)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="engine for PostgreSQL"):
        TenantWorkers(sqlite_engine, list, lambda _: [])


@pytest.mark.long
def test_nothing_is_missed_under_load(of: Tenants) -> None:
    """Writers of all tenants, some of whom roll back, or pause before they commit; two processes' worth of workers."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance, end = random.Random(seed), time.monotonic() + 30
    seeds = [chance.random() for _ in range(6)]
    writers_engine = create_engine(of.engine.url, pool_size=6)
    stores = {schema: EventStore(writers_engine, schema=schema) for schema in TENANTS}
    other = Tenants(create_engine(of.engine.url, pool_size=3, max_overflow=0), TENANTS)
    other.handled = of.handled

    def write(number: int) -> None:
        own = random.Random(seeds[number])
        while time.monotonic() < end:
            store = stores[own.choice(TENANTS)]
            with writers_engine.connect() as connection:
                store.join(connection).append(f"order-{number}", [NewEvent("counted")], expected_version=ANY)
                time.sleep(own.choice([0, 0, 0.001, 0.05]))
                connection.rollback() if own.random() < 0.2 else connection.commit()
            time.sleep(own.choice([0, 0.01, 0.3]))

    threads = [threading.Thread(target=write, args=[number]) for number in range(6)]
    with of.running(), other.running():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        stored = {schema: [each.position for each in store.read_all()] for schema, store in stores.items()}
        until(lambda: all(len(of.handled[schema]) >= len(stored[schema]) for schema in TENANTS))
    assert dict(of.handled) == stored
    print(f"{sum(map(len, stored.values()))} events")
    other.engine.dispose()
    writers_engine.dispose()
