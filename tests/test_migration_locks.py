"""Migrations on PostgreSQL beside what is in the way: readers, autovacuum, poolers, timeouts, lost connections."""

import random
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
import pytest
from alembic import command
from sqlalchemy import Connection, Engine, create_engine, event, text

from eventstore import ANY, EventStore, NewEvent, migrations
from eventstore.errors import (
    DirectConnectionRequired,
    EventsWouldBeLost,
    MigrationConnectionLost,
    MigrationLockLost,
    TableLocked,
    UnsuitableSetting,
)
from eventstore.migrations import Progress
from eventstore.migrations.commands import _config
from eventstore.migrations.lock import lock_key
from eventstore.migrations.settings import Settings
from tests.fix_clusters import Cluster
from tests.fix_migrations import BringTo, complete, url_of
from tests.processes import run_python
from tests.servers import SharingPooler
from tests.test_migration_processes import fill
from tests.waiting import until

pytestmark = pytest.mark.slow

END_ALL = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
BUILDS = "pg_stat_progress_create_index WHERE datname = current_database()"  # other tests share the server
MakeEngine = Callable[[Any], Engine]


@pytest.fixture
def engine(new_postgres_engine: Engine) -> Engine:
    return new_postgres_engine


@contextmanager
def holding(engine: Engine, lock: str) -> Iterator[tuple[Connection, int]]:
    """A transaction with a lock, and its process id."""
    with engine.connect() as connection:
        connection.execute(text(lock))
        yield connection, connection.execute(text("SELECT pg_backend_pid()")).scalar_one()


@contextmanager
def started(
    call: Callable[..., None], engine: Engine, *arguments: Any, **options: Any
) -> Iterator[tuple[Future[None], list[Progress]]]:
    """A migration in another thread, which has ended when the block has: if that fails, with all other sessions."""
    steps: list[Progress] = []
    with ThreadPoolExecutor(1) as threads:
        try:
            yield threads.submit(call, engine, *arguments, on_progress=steps.append, **options), steps
        except BaseException:
            with psycopg.connect(url_of(engine).replace("+psycopg", ""), autocommit=True) as connection:
                connection.execute(END_ALL)
            raise


def sql(engine: Engine, statement: str, **values: Any) -> Any:
    """Execute a statement in autocommit; return the first value, if it returns rows."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        result = connection.execute(text(statement), values)
        return result.scalar() if result.returns_rows else None


def waits_for(steps: list[Progress], pid: int) -> bool:
    return any(who.startswith(f"pid {pid} ") for step in steps for who in step.waiting_for)


# --- downgrades

DROPS = [
    ("es_0005", "es_0004", ["es_checkpoints", "es_dead_letters"]),
    ("es_0001", "base", ["es_streams", "es_events", "snapshots", "es_schema"]),
]


@pytest.mark.parametrize(("revision", "target", "tables"), DROPS)
def test_readers_pass_while_a_downgrade_waits_for_one(
    bring_to: BringTo, engine: Engine, revision: str, target: str, tables: list[str]
) -> None:
    """The last table that it locks has a reader: none of the others stays locked meanwhile."""
    bring_to(engine, revision)
    with (
        holding(engine, f"LOCK TABLE {tables[-1]} IN ACCESS SHARE MODE") as (reader, pid),
        started(migrations.downgrade, engine, target, lock_timeout_seconds=0.2) as (undone, steps),
    ):
        until(lambda: waits_for(steps, pid), undone)
        for _ in range(3):
            for table in tables:
                sql(engine, f"SELECT count(*) FROM {table}")
        assert not undone.done()
        reader.rollback()
        undone.result(timeout=30)
    assert migrations.current(engine) == (None if target == "base" else target)
    complete(engine, revision)


@pytest.mark.parametrize(("revision", "target", "tables"), DROPS)
def test_a_downgrade_whose_locks_can_not_be_had_says_who_has_them(
    bring_to: BringTo, engine: Engine, revision: str, target: str, tables: list[str]
) -> None:
    bring_to(engine, revision)
    for table in tables:
        with (
            holding(engine, f"LOCK TABLE {table} IN ACCESS SHARE MODE") as (_, pid),
            started(migrations.downgrade, engine, target, lock_timeout_seconds=0.02, wait_seconds=0.1) as (undone, _),
            pytest.raises(TableLocked) as locked,
        ):
            undone.result(timeout=30)
        assert any(who.startswith(f"pid {pid} ") for who in locked.value.holders), table
        assert migrations.current(engine) == revision


def test_a_downgrade_refuses_events_that_were_appended_while_it_waited(bring_to: BringTo, engine: Engine) -> None:
    bring_to(engine, "es_0001")
    with (
        holding(engine, "LOCK TABLE snapshots IN ACCESS SHARE MODE") as (reader, pid),
        started(migrations.downgrade, engine, "base", lock_timeout_seconds=0.1) as (undone, steps),
    ):
        until(lambda: waits_for(steps, pid), undone)
        EventStore(engine).append("order-1", [NewEvent("placed")], expected_version=0)
        reader.rollback()
        with pytest.raises(EventsWouldBeLost):
            undone.result(timeout=30)
    assert EventStore(engine).stream_version("order-1") == 1


# --- the engine's transactions

ENGINES: dict[str, dict[str, Any]] = {
    "autocommit": {"isolation_level": "AUTOCOMMIT"},
    "repeatable read": {"isolation_level": "REPEATABLE READ"},
    "serializable": {"isolation_level": "SERIALIZABLE"},
    "defaults of the role": {
        "connect_args": {
            "options": "-c default_transaction_isolation=serializable -c default_transaction_deferrable=on"
        }
    },
}


@pytest.mark.parametrize(
    ("kind", "revision"),
    [
        *((kind, "es_0001") for kind in ("autocommit", "defaults of the role")),
        *(pytest.param(kind, "es_0001", marks=pytest.mark.long) for kind in ("repeatable read", "serializable")),
        *(pytest.param(kind, "es_0005", marks=pytest.mark.long) for kind in ENGINES),
    ],
)
def test_a_killed_revision_leaves_nothing_whatever_the_engine_does(engine: Engine, kind: str, revision: str) -> None:
    """The process is killed when the last table of the revision is about to be made."""
    last = {"es_0001": "CREATE TABLE es_schema", "es_0005": "CREATE TABLE es_dead_letters"}[revision]
    if revision == "es_0005":
        migrations.upgrade(engine, "es_0004")
    tables = "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    before = sql(engine, f"{tables} AND relname <> 'es_alembic_version'")
    script = textwrap.dedent(f"""
        import os, signal
        from sqlalchemy import create_engine, event
        from eventstore import migrations

        engine = create_engine({url_of(engine)!r}, **{ENGINES[kind]!r})

        @event.listens_for(engine, "before_cursor_execute")
        def kill(connection, cursor, statement, *rest):
            if {last!r} in statement:
                os.kill(os.getpid(), signal.SIGKILL)

        migrations.upgrade(engine)
        """)
    done = run_python("-c", script)
    assert done.returncode == -9, done.stderr
    assert sql(engine, f"{tables} AND relname <> 'es_alembic_version'") == before
    other = create_engine(engine.url, **ENGINES[kind])
    try:
        migrations.upgrade(other)
        with other.connect() as connection:
            level = connection.execute(text("SHOW transaction_isolation")).scalar_one()
        assert migrations.verify(engine) == []
        migrations.downgrade(other, "base")
    finally:
        other.dispose()
    assert level == {"repeatable read": "repeatable read", "autocommit": "read committed"}.get(kind, "serializable")


@pytest.mark.parametrize("level", ["AUTOCOMMIT", "REPEATABLE READ", "SERIALIZABLE"])
def test_an_env_py_with_other_transactions_is_told_what_to_change(engine: Engine, level: Any) -> None:
    config = _config(Settings())
    with engine.connect().execution_options(isolation_level=level) as connection:
        config.attributes["connection"] = connection
        with pytest.raises(UnsuitableSetting, match=rf"(?i)is {level}.*READ COMMITTED"):
            command.upgrade(config, "head")
        connection.rollback()
    assert sql(engine, "SELECT to_regclass('es_events')") is None
    complete(engine, "es_0001")


# --- timeouts of the role

TIMEOUTS = {
    "lock_timeout": "300ms",
    "statement_timeout": "300ms",
    "idle_in_transaction_session_timeout": "300ms",
    "idle_session_timeout": "300ms",
    "transaction_timeout": "300ms",
}
LONGER_THAN_ANY = "interval '0.8 seconds'"


@pytest.fixture
def impatient(engine: Engine, tracked_engine: MakeEngine) -> Engine:
    """The same database, with short timeouts for all who connect from now on; `engine` has none."""
    known = sql(engine, "SELECT current_setting('server_version_num')::integer >= 170000")
    for name, value in TIMEOUTS.items():
        if known or name != "transaction_timeout":
            sql(engine, f"ALTER DATABASE \"{engine.url.database}\" SET {name} = '{value}'")
    engine.dispose()

    @event.listens_for(engine, "connect")
    def be_patient(connection: Any, _: object) -> None:
        for name in TIMEOUTS:
            if known or name != "transaction_timeout":
                connection.execute(f"SET {name} = 0")
        connection.commit()

    return tracked_engine(engine.url)


def hold_the_deploy_lock(engine: Engine, **options: Any) -> None:
    """What `upgrade` does in another process; in one, it does not even get there."""
    with engine.connect() as connection, migrations.deploy_lock(connection, **options):
        connection.execute(text("SELECT 1"))


def test_timeouts_of_the_role_do_not_end_a_build_nor_who_waits_for_it(engine: Engine, impatient: Engine) -> None:
    migrations.upgrade(engine, "es_0001")  # no copy: that would have no timeouts
    with engine.connect() as older:
        EventStore(engine).join(older).append("order-1", [NewEvent("placed")], expected_version=0)
        with started(migrations.upgrade, impatient, "es_0002") as (first, _):
            long_build = (
                f"SELECT count(*) FROM {BUILDS} AND pid IN (SELECT pid FROM pg_stat_activity "
                f"WHERE clock_timestamp() - query_start > {LONGER_THAN_ANY})"
            )
            until(lambda: sql(engine, long_build), first)
            waiter = create_engine(impatient.url, connect_args={"application_name": "waiter"})
            with started(hold_the_deploy_lock, waiter) as (second, steps):
                until(lambda: any(step.step == "another migration is running" for step in steps), second)
                idle = (
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle' "
                    f"AND clock_timestamp() - state_change > {LONGER_THAN_ANY} AND application_name = 'waiter'"
                )
                until(lambda: sql(engine, idle), second)
                older.commit()
                second.result(timeout=60)
            waiter.dispose()
            first.result(timeout=60)
    complete(engine, "es_0002")


def test_timeouts_of_the_role_are_given_back(engine: Engine, impatient: Engine) -> None:
    migrations.upgrade(impatient, "es_0006")
    migrations.downgrade(impatient, "es_0004")
    with impatient.connect() as connection:
        for name, value in TIMEOUTS.items():
            now = connection.execute(text("SELECT current_setting(:name, true)"), {"name": name}).scalar()
            assert now in {value, None}, name


# --- lost connections


def test_a_connection_lost_in_a_build_says_why(bring_to: BringTo, engine: Engine) -> None:
    bring_to(engine, "es_0001")
    with engine.connect() as older:
        EventStore(engine).join(older).append("order-1", [NewEvent("placed")], expected_version=0)
        with started(migrations.upgrade, engine) as (migrated, _):
            until(lambda: sql(engine, f"SELECT count(*) FROM {BUILDS}"), migrated)
            sql(engine, f"SELECT pg_terminate_backend(pid) FROM {BUILDS}")
            with pytest.raises(MigrationConnectionLost, match="terminating connection") as lost:
                migrated.result(timeout=30)
        older.rollback()
    assert lost.value.step.startswith("building index es_events_")
    complete(engine, "es_0002")


END_LOCK = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'eventstore migrations'"
    " AND datname = current_database()"
)
LOCKS = (
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


def test_a_lost_lock_is_taken_again_and_says_why_it_was_lost(bring_to: BringTo, engine: Engine) -> None:
    bring_to(engine, "es_0002")
    with (
        holding(engine, "LOCK TABLE es_streams IN ACCESS SHARE MODE") as (reader, pid),
        started(migrations.upgrade, engine, "es_0003", lock_timeout_seconds=0.1) as (migrated, steps),
    ):
        until(lambda: waits_for(steps, pid), migrated)
        sql(engine, END_LOCK)
        until(lambda: any("taken again" in step.step for step in steps), migrated)
        assert any("is lost: " in step.step and "terminating connection" in step.step for step in steps)
        assert sql(engine, LOCKS) == 1
        reader.rollback()
        migrated.result(timeout=30)
    assert sql(engine, LOCKS) == 0
    complete(engine, "es_0003")


def test_a_migration_that_has_lost_its_lock_to_another_one_stops(bring_to: BringTo, engine: Engine) -> None:
    bring_to(engine, "es_0002")
    key = lock_key("public")
    with (
        holding(engine, "LOCK TABLE es_streams IN ACCESS SHARE MODE") as (reader, pid),
        started(migrations.upgrade, engine, lock_timeout_seconds=0.1) as (migrated, steps),
        ThreadPoolExecutor(1) as threads,
        engine.connect() as other,
    ):
        until(lambda: waits_for(steps, pid), migrated)
        taken = threads.submit(other.execute, text(f"SELECT pg_advisory_xact_lock({key})"))
        until(lambda: sql(engine, LOCKS.replace("AND granted", "AND NOT granted")), taken, migrated)
        sql(engine, END_LOCK)
        taken.result(timeout=30)
        with pytest.raises(MigrationLockLost, match="terminating connection") as lost:
            migrated.result(timeout=30)
        reader.rollback()
        other.rollback()
    assert lost.value.holders
    complete(engine, "es_0003")


# --- poolers


@pytest.mark.parametrize("round_robin", [False, True])
@pytest.mark.parametrize("connections", [1, 2, 3])
def test_a_pool_in_transaction_mode_is_noticed(
    engine: Engine, tracked_engine: MakeEngine, connections: int, *, round_robin: bool
) -> None:
    with SharingPooler(connections, round_robin=round_robin) as pooler:
        pooler.switch_to(engine.url.port)
        pooled = create_engine(pooler.url(url_of(engine)), connect_args={"prepare_threshold": None})
        try:
            for _ in range(3):
                with pytest.raises(DirectConnectionRequired):
                    migrations.upgrade(pooled, wait_seconds=1)
        finally:
            pooled.dispose()
        assert sql(engine, LOCKS) == 0
    assert migrations.current(engine) is None


@pytest.mark.parametrize("round_robin", [False, True])
def test_a_pool_that_is_not_noticed_at_first_is_left_without_a_lock(
    bring_to: BringTo, engine: Engine, monkeypatch: pytest.MonkeyPatch, *, round_robin: bool
) -> None:
    monkeypatch.setattr("eventstore.migrations.lock.refuse_transaction_pool", lambda *_: None)
    bring_to(engine)
    with SharingPooler(2, round_robin=round_robin) as pooler:
        pooler.switch_to(engine.url.port)
        pooled = create_engine(pooler.url(url_of(engine)), connect_args={"prepare_threshold": None})
        try:
            for _ in range(5):
                said: list[Progress] = []
                with suppress(DirectConnectionRequired):
                    migrations.upgrade(pooled, wait_seconds=1, on_progress=said.append)
                if sql(engine, LOCKS):  # the session that has it never answers; the report says how to end it
                    (left,) = {each.step for each in said if "could not be released; run " in each.step}
                    sql(engine, left.partition("; run ")[2])
                    until(lambda: sql(engine, LOCKS) == 0)
                    break
        finally:
            pooled.dispose()


# --- autovacuum


@pytest.fixture
def vacuumed(new_cluster: Callable[[], Cluster], tracked_engine: MakeEngine) -> Engine:
    """A server whose autovacuum is at work on a table as soon as a row of it was changed, and is never done."""
    cluster = new_cluster()
    cluster.create()
    cluster.start(
        autovacuum="on", autovacuum_naptime="1s", autovacuum_freeze_max_age="100000", fsync="off", max_connections="50"
    )
    return tracked_engine(cluster.url)


OLD_STREAMS = "INSERT INTO es_streams (stream_id, version) SELECT 'old-' || n, 0 FROM generate_series(1, 20000) n"


def vacuum_slowly(engine: Engine, *tables: str) -> None:
    for table in tables:
        sql(
            engine,
            f"ALTER TABLE {table} SET (autovacuum_vacuum_threshold = 0, autovacuum_vacuum_scale_factor = 0,"
            " autovacuum_vacuum_insert_threshold = 0, autovacuum_vacuum_insert_scale_factor = 0,"
            " autovacuum_vacuum_cost_limit = 1, autovacuum_vacuum_cost_delay = 100)",
        )


def vacuums(engine: Engine, *tables: str) -> bool:
    query = "SELECT count(DISTINCT relid) FROM pg_stat_progress_vacuum WHERE relid::regclass::text = ANY (:tables)"
    return bool(sql(engine, query, tables=list(tables)) == len(tables))


@pytest.mark.parametrize(
    ("count", "revision"), [(20_000, "es_0005"), pytest.param(3_000_000, "es_0001", marks=pytest.mark.long)]
)
def test_an_upgrade_with_the_default_options_gets_past_autovacuum(vacuumed: Engine, count: int, revision: str) -> None:
    """A vacuum of es_events and es_streams is at work when it begins, and after each time that it was cancelled."""
    engine = vacuumed
    migrations.upgrade(engine, revision)
    fill(engine, count)
    vacuum_slowly(engine, "es_events", "es_streams")
    sql(engine, "UPDATE es_streams SET updated_at = updated_at")
    sql(engine, "UPDATE es_events SET schema_version = 1 WHERE version <= 10")
    until(lambda: vacuums(engine, "es_events", "es_streams"))
    seed, finished = random.randrange(2**32), threading.Event()
    chooser, store = random.Random(seed), EventStore(engine)

    def write() -> float:
        longest = 0.0
        while not finished.is_set():
            began = time.monotonic()
            store.append(f"order-{chooser.randrange(1000)}", [NewEvent("placed")], expected_version=ANY)
            longest = max(longest, time.monotonic() - began)
        return longest

    steps: list[Progress] = []
    with ThreadPoolExecutor(1) as threads:
        writing = threads.submit(write)
        try:
            began = time.monotonic()
            migrations.upgrade(engine, on_progress=steps.append)
            took = time.monotonic() - began
        finally:
            finished.set()
        longest = writing.result(timeout=60)
    print(
        f"\nseed {seed}: upgraded {count} events beside autovacuum in {took:.1f} s, the longest append {longest:.2f} s"
    )
    assert migrations.verify(engine) == []
    assert any("autovacuum" in who for step in steps for who in step.waiting_for)
    assert longest < 1 + 5, "the lock timeout, and what two busy cores may add"


def test_autovacuum_in_the_way_is_cancelled_while_appends_go_on(vacuumed: Engine) -> None:
    """Its lock conflicts with neither appends nor reads, and nor does the one by which it is waited for."""
    engine = vacuumed
    migrations.upgrade(engine, "es_0002")
    store = EventStore(engine)
    store.append("order-1", [NewEvent("placed")], expected_version=0)
    sql(engine, OLD_STREAMS)
    vacuum_slowly(engine, "es_streams")
    sql(engine, "ALTER DATABASE postgres SET deadlock_timeout = '2s'")
    until(lambda: vacuums(engine, "es_streams"))
    engine.dispose()
    waiting = (
        "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'es_streams'::regclass"
        " AND mode = 'ShareUpdateExclusiveLock'"
    )
    with started(migrations.upgrade, engine, "es_0003", wait_seconds=10, lock_timeout_seconds=0.2) as (migrated, _):
        until(lambda: sql(engine, waiting), migrated)
        with engine.begin() as connection:
            connection.execute(text("SET LOCAL lock_timeout = '1ms'"))
            store.join(connection).append("order-1", [NewEvent("paid")], expected_version=1)
        assert sql(engine, waiting), "it still waits"
        migrated.result(timeout=60)
    assert migrations.current(engine) == "es_0003"


def test_autovacuum_to_prevent_wraparound_is_called_by_its_name(
    vacuumed: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server does not cancel it; a role without rights to look at others recognises it as well."""
    engine = vacuumed
    monkeypatch.setattr("eventstore.migrations.on_postgresql._CANCELLING_SECONDS", 0.1)
    sql(engine, "ALTER DATABASE postgres SET deadlock_timeout = '0.1s'")  # after that, any other would be cancelled
    engine.dispose()
    migrations.upgrade(engine, "es_0002")
    sql(engine, OLD_STREAMS)
    vacuum_slowly(engine, "es_streams")
    sql(engine, "CREATE ROLE deploy LOGIN")
    sql(engine, "GRANT ALL ON SCHEMA public TO deploy")
    for table in ("es_streams", "es_events", "snapshots", "es_schema", "es_alembic_version"):
        sql(engine, f"ALTER TABLE {table} OWNER TO deploy")
    use_up = "CREATE TEMP TABLE used (); DO $$BEGIN FOR i IN 1..110000 LOOP BEGIN INSERT INTO used DEFAULT VALUES;"
    sql(engine, f"{use_up} EXCEPTION WHEN division_by_zero THEN NULL; END; END LOOP; END$$")
    sql(engine, "SELECT txid_current()")
    wraparound = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%public.es_streams (to prevent wraparound)'"
    until(lambda: sql(engine, wraparound))
    for user in ("postgres", "deploy"):
        other = create_engine(engine.url.set(username=user))
        try:
            with pytest.raises(TableLocked, match="autovacuum to prevent wraparound, which the server does not cancel"):
                migrations.upgrade(other, "es_0003", wait_seconds=0.1, lock_timeout_seconds=0.1)
        finally:
            other.dispose()
