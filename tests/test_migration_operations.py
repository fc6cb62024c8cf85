"""The steps that revisions are made of, steered on PostgreSQL to the moments that go wrong, and on SQLite."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError

from eventstore import ANY, DatabaseBusy, EventStore, NewEvent, migrations
from eventstore.errors import ConstraintViolated, MigrationError, MigrationInProgress, TableLocked
from eventstore.migrations import Progress
from tests.fix_migrations import BringTo, catalog, complete, url_of
from tests.processes import Python
from tests.waiting import until, wait_until_it_says, waiters_for

pytestmark = pytest.mark.slow

INDEX = "es_events_event_type_position_idx"
BUILD = f"CREATE INDEX CONCURRENTLY {INDEX} ON es_events (event_type, position)"
CONSTRAINT_COUNT = 8


@pytest.fixture
def engine(bring_to: BringTo, new_postgres_engine: Engine) -> Engine:
    bring_to(new_postgres_engine, "es_0001")
    EventStore(new_postgres_engine).append("order-1", [NewEvent("placed")] * 1, expected_version=0)
    return new_postgres_engine


@contextmanager
def unfinished_append(engine: Engine) -> Iterator[Connection]:
    """A transaction that CREATE INDEX CONCURRENTLY waits for."""
    with engine.connect() as connection:
        EventStore(engine).join(connection).append("order-2", [NewEvent("placed")], expected_version=0)
        yield connection


@contextmanager
def thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as threads:
        yield threads


def build(engine: Engine, sql: str = BUILD) -> None:
    """What a DBA does, or a migration that was killed."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(sql))


def state_of(engine: Engine, index: str = INDEX) -> tuple[int, bool] | None:
    """The oid of an index, and whether it is valid."""
    query = text("SELECT indexrelid::bigint, indisvalid FROM pg_index WHERE indexrelid = to_regclass(:index)")
    with engine.connect() as connection:
        row = connection.execute(query, {"index": index}).one_or_none()
    return None if row is None else (row[0], row[1])


def wait_until_there(engine: Engine, index: str = INDEX) -> None:
    until(lambda: state_of(engine, index) is not None)


def cancel_build(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_cancel_backend(pid) FROM pg_stat_progress_create_index"))


def upgraded_meanwhile(
    threads: ThreadPoolExecutor, engine: Engine, revision: str, **options: Any
) -> tuple[Future[None], list[Progress]]:
    steps: list[Progress] = []
    future = threads.submit(migrations.upgrade, engine, revision, on_progress=steps.append, **options)
    return future, steps


# --- indexes


def test_a_failed_build_is_repaired_by_the_next_run(engine: Engine) -> None:
    with thread() as threads, unfinished_append(engine):
        building = threads.submit(build, engine)
        wait_until_there(engine)
        cancel_build(engine)
        with pytest.raises(OperationalError, match="cancel"):
            building.result(timeout=30)
    invalid = state_of(engine)
    assert invalid is not None
    assert not invalid[1]
    assert INDEX in [found.name for found in migrations.verify(engine)]
    steps: list[Progress] = []
    migrations.upgrade(engine, "es_0002", on_progress=steps.append)
    repaired = state_of(engine)
    assert repaired is not None
    assert repaired[1]
    assert repaired[0] != invalid[0]
    assert f"dropping index {INDEX}, which a failed build has left invalid" in [step.step for step in steps]
    complete(engine, "es_0002")


def test_an_index_that_a_dba_has_built_is_kept(engine: Engine) -> None:
    build(engine)
    before = state_of(engine)
    complete(engine, "es_0002")
    assert state_of(engine) == before


def test_a_build_that_is_under_way_is_waited_for(engine: Engine) -> None:
    with ThreadPoolExecutor(2) as threads:
        with unfinished_append(engine):
            building = threads.submit(build, engine)
            wait_until_there(engine)
            found = state_of(engine)
            migrated, steps = upgraded_meanwhile(threads, engine, "es_0002")
            until(lambda: any("is being built" in step.step for step in steps), building, migrated)
        building.result(timeout=30)
        migrated.result(timeout=30)
    assert found is not None
    assert state_of(engine) == (found[0], True)
    waited = [step for step in steps if "is being built" in step.step]
    assert waited
    assert all("pid " in who for step in waited for who in step.waiting_for)
    complete(engine, "es_0002")


def test_another_index_of_that_name_is_not_touched(engine: Engine) -> None:
    build(engine, f"CREATE INDEX {INDEX} ON es_events (event_type)")
    before = state_of(engine)
    with pytest.raises(MigrationError, match=r"must be USING btree \(event_type, position\)"):
        migrations.upgrade(engine)
    assert state_of(engine) == before
    build(engine, f"DROP INDEX {INDEX}")
    complete(engine, "es_0002")


def test_a_relation_of_that_name_elsewhere_is_the_databases_own_error(engine: Engine) -> None:
    build(engine, f"CREATE TABLE {INDEX} (a integer)")
    with pytest.raises(Exception, match="already exists"):
        migrations.upgrade(engine)
    build(engine, f"DROP TABLE {INDEX}")
    complete(engine, "es_0002")


def test_who_an_index_build_waits_for_is_told(engine: Engine) -> None:
    with thread() as threads:
        with unfinished_append(engine) as older:
            pid = older.execute(text("SELECT pg_backend_pid()")).scalar()
            migrated, steps = upgraded_meanwhile(threads, engine, "es_0002")
            until(lambda: any(f"pid {pid} " in who for step in steps for who in step.waiting_for), migrated)
            older.rollback()
        migrated.result(timeout=30)


# --- constraints


def test_writers_pass_while_a_constraint_waits_for_a_reader(engine: Engine) -> None:
    """A backup holds its locks for hours: the migration steps back again and again, writers go on."""
    migrations.upgrade(engine, "es_0002")
    store = EventStore(engine)
    with thread() as threads:
        with engine.connect() as backup:
            backup.execute(text("LOCK TABLE es_streams, es_events, snapshots IN ACCESS SHARE MODE"))
            migrated, steps = upgraded_meanwhile(threads, engine, "es_0003", lock_timeout_seconds=0.1)
            version = 1
            while len([step for step in steps if step.waiting_for]) < 4:
                store.append("order-1", [NewEvent("placed")], expected_version=version)
                version += 1
                threading.Event().wait(0.01)
            assert not migrated.done()
        migrated.result(timeout=30)
    complete(engine, "es_0003")
    assert store.stream_version("order-1") == version > 4


def test_a_lock_that_can_not_be_had_is_told_and_the_rest_is_kept(engine: Engine) -> None:
    migrations.upgrade(engine, "es_0002")
    with engine.connect() as reader:
        reader.execute(text("LOCK TABLE snapshots IN ACCESS SHARE MODE"))
        pid = reader.execute(text("SELECT pg_backend_pid()")).scalar()
        with pytest.raises(TableLocked) as locked:
            migrations.upgrade(engine, lock_timeout_seconds=0.05, wait_seconds=0.3)
    assert locked.value.table == "snapshots"
    assert "snapshots_version_check" in locked.value.step, "a foreign key does not conflict with a reader"
    assert locked.value.waited_seconds >= 0.3
    assert any(f"pid {pid} " in who for who in locked.value.holders)
    assert migrations.current(engine) == "es_0002"
    names = [row[2] for row in catalog(engine) if row[0] == "constraint"]
    assert "es_events_codec_check" in names, "what was done is done"
    complete(engine, "es_0003")


def test_who_has_locked_the_other_table_of_a_foreign_key_is_told(bring_to: BringTo, engine: Engine) -> None:
    bring_to(engine, "es_0005")
    with engine.connect() as reader:
        reader.execute(text("LOCK TABLE es_streams IN ACCESS SHARE MODE"))
        pid = reader.execute(text("SELECT pg_backend_pid()")).scalar()
        with pytest.raises(TableLocked) as locked:
            migrations.downgrade(engine, "es_0002", lock_timeout_seconds=0.05, wait_seconds=0.2)
    assert "snapshots_stream_id_fkey" in locked.value.step
    assert any(f"pid {pid} " in who for who in locked.value.holders)
    with pytest.raises(MigrationError, match="downgrade was interrupted"):
        interrupted_then_upgraded(engine)
    migrations.downgrade(engine, "es_0002")
    complete(engine, "es_0005")


@pytest.mark.parametrize(("table", "guard"), [("es_streams", "version = deleted_version"), ("es_events", "COALESCE")])
def test_checks_are_replaced_in_one_statement_or_not_at_all(
    bring_to: BringTo, engine: Engine, table: str, guard: str
) -> None:
    bring_to(engine, "es_0007")
    with engine.connect() as reader:
        reader.execute(text(f"LOCK TABLE {table} IN ACCESS SHARE MODE"))
        with pytest.raises(TableLocked, match=f"replacing constraints of {table}"):
            migrations.upgrade(engine, lock_timeout_seconds=0.05, wait_seconds=0.2)
    with engine.connect() as connection:
        checks = (
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'es_streams_deleted_version_check'"
        )
        assert guard in connection.execute(text(checks)).scalar_one()
    assert migrations.current(engine) == "es_0007"
    EventStore(engine).append("order-1", [NewEvent("placed")], expected_version=ANY)
    complete(engine, "es_0008")


def test_a_downgrade_stops_at_rows_that_break_its_checks_and_names_them(bring_to: BringTo, engine: Engine) -> None:
    bring_to(engine, "es_0009")
    EventStore(engine).append("order-1", [NewEvent("placed")], expected_version=ANY)
    build(engine, "SET eventstore.allow_history_changes = 'on'; UPDATE es_events SET codec = -1")
    with pytest.raises(ConstraintViolated) as violated:
        migrations.downgrade(engine, "es_0007")
    assert (violated.value.table, violated.value.constraint) == ("es_events", "es_events_codec_check")
    assert migrations.current(engine) == "es_0008"
    build(engine, "SET eventstore.allow_history_changes = 'on'; UPDATE es_events SET codec = 1")
    migrations.downgrade(engine, "es_0007")
    complete(engine, "es_0009")


def interrupted_then_upgraded(engine: Engine) -> None:
    migrations.downgrade(engine, "es_0003")
    build(engine, "ALTER TABLE es_events DROP CONSTRAINT es_events_codec_check")
    migrations.upgrade(engine, "es_0005")


def test_a_prepared_transaction_that_holds_a_lock_is_told(engine: Engine) -> None:
    migrations.upgrade(engine, "es_0002")
    with engine.begin() as connection:
        if connection.execute(text("SHOW max_prepared_transactions")).scalar_one() == "0":
            pytest.skip("this server has max_prepared_transactions = 0: it can't PREPARE TRANSACTION")
        connection.execute(text("LOCK TABLE es_streams IN ACCESS SHARE MODE"))
        connection.execute(text("UPDATE es_streams SET updated_at = updated_at"))
        connection.execute(text("PREPARE TRANSACTION 'forgotten'"))
    with pytest.raises(TableLocked, match="pg_prepared_xacts"):
        migrations.upgrade(engine, lock_timeout_seconds=0.05, wait_seconds=0.2)
    build(engine, "ROLLBACK PREPARED 'forgotten'")
    complete(engine, "es_0003")


def test_new_rows_are_checked_before_old_ones_are(engine: Engine) -> None:
    """A row that is wrong since before does not stop es_0003, and new ones are refused from then on."""
    migrations.upgrade(engine, "es_0002")
    add_stream = text("INSERT INTO es_streams (stream_id, version) VALUES (repeat('x', :length), 0)")
    with engine.begin() as connection:
        connection.execute(add_stream, {"length": 300})
    migrations.upgrade(engine, "es_0003")
    with engine.begin() as connection, pytest.raises(Exception, match="es_streams_stream_id_check"):
        connection.execute(add_stream, {"length": 301})
    with pytest.raises(ConstraintViolated) as violated:
        migrations.upgrade(engine)
    assert (violated.value.table, violated.value.constraint) == ("es_streams", "es_streams_stream_id_check")
    assert "length" in str(violated.value)
    assert "xxx" not in str(violated.value)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM es_streams WHERE length(stream_id) > 255"))
    complete(engine, "es_0004")


def test_settings_of_the_connection_are_as_before(empty_postgres_url: str, tracked_engine: Any) -> None:
    engine = tracked_engine(f"{empty_postgres_url}?options=-c%20lock_timeout%3D7s%20-c%20statement_timeout%3D9s")
    seen: list[tuple[str, ...]] = []
    with engine.connect() as connection:
        connection.commit()
    migrations.upgrade(engine)
    for _ in range(2):  # each connection of the pool
        with engine.connect() as connection:
            seen.append(
                tuple(
                    connection.execute(text(f"SHOW {name}")).scalar_one()
                    for name in ("lock_timeout", "statement_timeout")
                )
            )
    assert seen == [("7s", "9s")] * 2


# --- SQLite


def test_rows_that_violate_a_constraint_leave_a_sqlite_file_as_it_was(tmp_path: Path, tracked_engine: Any) -> None:
    engine = tracked_engine(f"sqlite:///{tmp_path / 'events.db'}")
    migrations.upgrade(engine, "es_0001")
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO es_streams (stream_id, version) VALUES (printf('%0300d', 1), 0)"))
    before = catalog(engine)
    with pytest.raises(ConstraintViolated) as violated:
        migrations.upgrade(engine)
    assert (violated.value.table, violated.value.constraint) == ("es_streams", "es_streams_stream_id_check")
    assert catalog(engine) == before
    assert migrations.current(engine) == "es_0001"
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM es_streams"))
    migrations.upgrade(engine)
    assert migrations.verify(engine) == []


@pytest.mark.parametrize("foreign_keys", [False, True])
def test_an_orphaned_snapshot_is_found_on_sqlite(tmp_path: Path, tracked_engine: Any, *, foreign_keys: bool) -> None:
    engine = tracked_engine(f"sqlite:///{tmp_path / 'events.db'}")
    migrations.upgrade(engine, "es_0001")
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO snapshots (stream_id, schema_version, version, codec, state) VALUES ('gone', 1, 1, 0, x'')"
            )
        )
    with engine.connect() as connection:
        connection.exec_driver_sql(f"PRAGMA foreign_keys = {int(foreign_keys)}")
    before = catalog(engine)
    with pytest.raises(ConstraintViolated, match="snapshots_stream_id_fkey"):
        migrations.upgrade(engine)
    assert catalog(engine) == before


def test_a_sqlite_file_that_somebody_writes_to_is_waited_for(tmp_path: Path, tracked_engine: Any) -> None:
    url = f"sqlite:///{tmp_path / 'events.db'}"
    engine, other = tracked_engine(url), tracked_engine(url)
    with thread() as threads:
        with other.connect() as writer:
            writer.exec_driver_sql("BEGIN IMMEDIATE")
            with pytest.raises(DatabaseBusy):
                migrations.upgrade(engine, wait_seconds=0.1)
            with waiters_for(writer, engine) as waiters:
                migrated = threads.submit(migrations.upgrade, engine)
                until(waiters, migrated)
            writer.exec_driver_sql("ROLLBACK")
        migrated.result(timeout=30)
    assert migrations.verify(engine) == []


# --- one deployer at a time


def test_a_second_deployer_waits_and_finds_the_work_done(engine: Engine) -> None:
    with engine.connect() as connection, migrations.deploy_lock(connection):
        second = Python("-m", "eventstore", "migrate", "--url", url_of(engine))
        wait_until_it_says(second.stderr, "another migration is running")
        assert migrations.current(engine) == "es_0001"
    _, errors = second.communicate(timeout=60)
    assert second.returncode == 0, errors
    assert migrations.current(engine) == migrations.head()


def test_a_deployer_who_waits_too_long_says_for_whom(engine: Engine) -> None:
    steps: list[Progress] = []
    with (
        engine.connect() as connection,
        migrations.deploy_lock(connection),
        pytest.raises(MigrationInProgress) as in_progress,
    ):
        migrations.upgrade(engine, wait_seconds=0.5, on_progress=steps.append)
    assert in_progress.value.waited_seconds >= 0.5
    (holder,) = in_progress.value.holders
    assert holder.startswith("pid ")
    assert [step.step for step in steps] == ["another migration is running"]


def test_migrations_of_other_schemas_do_not_wait(engine: Engine) -> None:
    with engine.connect() as connection, migrations.deploy_lock(connection):
        migrations.upgrade(engine, schema="other", wait_seconds=0.5)
    assert migrations.verify(engine, schema="other") == []


def test_the_lock_is_given_back(engine: Engine) -> None:
    for _ in range(2):
        with engine.connect() as connection, migrations.deploy_lock(connection, wait_seconds=0.5):
            pass
    held = text(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        while connection.execute(held).scalar():  # its connection is closed; the server notices a moment later
            threading.Event().wait(0.02)
