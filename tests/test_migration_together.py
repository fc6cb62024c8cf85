"""Several deployers at the same time, a lost lock, and servers that only read or can't store every text."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import URL, Engine, inspect, text

from eventstore import EventStore, NewEvent, migrations
from eventstore.errors import ForeignMigrationHistory, MigratedMeanwhile, ReadOnlyDatabase
from eventstore.migrations import Progress
from tests.fix_migrations import BringTo, run_alembic, url_of
from tests.processes import Python, run_python
from tests.test_migration_drivers import SYNCHRONOUS
from tests.test_migration_ways import OURS, Application
from tests.waiting import until, wait_until_it_says

GATE = 4711
THEIR_REVISION = f"""
import sqlalchemy as sa
from alembic import op

revision = "app_1"
down_revision = None


def upgrade():
    op.create_table("invoices", sa.Column("number", sa.Integer, primary_key=True), sa.Column("stream", sa.Text))
    op.create_foreign_key("invoices_stream", "invoices", "es_streams", ["stream"], ["stream_id"])
    op.execute("SELECT pg_advisory_xact_lock({GATE})")
    op.create_index("es_events_of_theirs", "es_events", ["recorded_at"])
"""


def start_migrate(engine: Engine, *options: str) -> Python:
    return Python("-m", "eventstore", "migrate", "--url", url_of(engine), *options)


def waits_at_gate(engine: Engine) -> bool:
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' "
        f"AND query LIKE '%({GATE})%'"
    )
    with engine.connect() as connection:
        return bool(connection.execute(waiting).scalar())


@contextlib.contextmanager
def closed_gate(engine: Engine) -> Iterator[None]:
    with engine.connect() as connection:
        connection.execute(text(f"SELECT pg_advisory_lock({GATE})"))
        try:
            yield
        finally:
            connection.execute(text(f"SELECT pg_advisory_unlock({GATE})"))
            connection.rollback()


@pytest.mark.slow
@pytest.mark.parametrize("with_lock", [True, False])
def test_their_alembic_and_ours_at_the_same_time_both_do_all_their_work(
    bring_to: BringTo, tmp_path: Path, new_postgres_engine: Engine, *, with_lock: bool
) -> None:
    """Their one transaction has a lock of es_streams, and asks for one of es_events, of which we build indexes.

    That is a deadlock, unless they take our lock, too. PostgreSQL ends either: ours goes on, theirs is rolled back.
    """
    engine = new_postgres_engine
    bring_to(engine, "es_0001")
    EventStore(engine).append("order-1", [NewEvent("placed")], expected_version=0)
    application = Application(tmp_path / "application", engine)
    application.write()
    if with_lock:
        (application.folder / "env.py").write_text(SYNCHRONOUS.format(url=url_of(engine)))
    (application.folder / "versions" / "app_1.py").write_text(THEIR_REVISION)
    with closed_gate(engine):
        theirs = application.start("upgrade", "head")
        until(lambda: waits_at_gate(engine))
        ours = start_migrate(engine)
        waits = "another migration is running: waiting for pid" if with_lock else "waiting for pid"
        wait_until_it_says(ours.stderr, waits)
    _, errors = theirs.communicate(timeout=120)
    if theirs.returncode and not with_lock:
        assert "deadlock detected" in errors
        assert not inspect(engine).has_table("invoices")
        again = application.alembic("upgrade", "head")
        assert again.returncode == 0, again.stderr
    else:
        assert theirs.returncode == 0, errors
    _, errors = ours.communicate(timeout=120)
    assert ours.returncode == 0, errors
    assert migrations.verify(engine) == []
    assert inspect(engine).has_table("invoices")


@pytest.mark.slow
def test_their_alembic_goes_on_while_ours_waits(bring_to: BringTo, tmp_path: Path, new_postgres_engine: Engine) -> None:
    engine = new_postgres_engine
    bring_to(engine, "es_0002")
    application = Application(tmp_path / "application", engine)
    application.write()
    with engine.connect() as reader:
        reader.execute(text("LOCK TABLE es_streams IN ACCESS SHARE MODE"))
        ours = start_migrate(engine, "--lock-timeout", "0.1")
        wait_until_it_says(ours.stderr, "waiting for pid")
        theirs = application.alembic("upgrade", "head")
        assert theirs.returncode == 0, theirs.stderr
        reader.rollback()
    _, errors = ours.communicate(timeout=120)
    assert ours.returncode == 0, errors
    assert migrations.verify(engine) == []


@pytest.mark.slow
def test_two_histories_on_an_empty_database_at_once_make_one_set_of_tables(
    tmp_path: Path, new_postgres_engine: Engine
) -> None:
    engine = new_postgres_engine
    application = Application(tmp_path / "application", engine)
    application.write(locations=OURS)
    (application.folder / "env.py").write_text(SYNCHRONOUS.format(url=url_of(engine)))
    with engine.connect() as connection, migrations.deploy_lock(connection):
        processes = [application.start("upgrade", "heads"), start_migrate(engine)]
        for process in processes:
            wait_until_it_says(process.stderr, "another migration is running")
    ended = [(process.communicate(timeout=120)[1], process.returncode) for process in processes]
    assert sorted(code == 0 for _, code in ended) == [False, True], ended
    ((refused, _),) = [each for each in ended if each[1] != 0]
    assert "the tables exist" in refused
    assert migrations.verify(engine) == []
    histories = {"alembic_version", "es_alembic_version"}
    assert len([name for name in histories if rows_of(engine, name)]) == 1


def rows_of(engine: Engine, table: str) -> int:
    if not inspect(engine).has_table(table):
        return 0
    with engine.connect() as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


@pytest.mark.slow
def test_a_history_of_theirs_does_not_begin_with_tables_that_ours_has_made(
    bring_to: BringTo, tmp_path: Path, new_engine: Engine
) -> None:
    bring_to(new_engine, "es_0005")
    application = Application(tmp_path / "application", new_engine)
    application.write(locations=OURS)
    refused = application.alembic("upgrade", "eventstore@head")
    assert refused.returncode != 0
    assert "ForeignMigrationHistory: the tables exist, at es_0005" in refused.stderr
    assert "`alembic stamp es_0005`" in refused.stderr
    assert application.alembic("stamp", "es_0005").returncode == 0  # the way out that it names
    with new_engine.begin() as connection:
        connection.execute(text("DROP TABLE es_alembic_version"))
    done = application.alembic("upgrade", "heads")
    assert done.returncode == 0, done.stderr
    assert migrations.verify(new_engine) == []
    with pytest.raises(ForeignMigrationHistory):
        migrations.upgrade(new_engine)


# --- a lock that is lost


@pytest.mark.slow
def test_another_process_that_has_gone_on_meanwhile_is_named(bring_to: BringTo, new_postgres_engine: Engine) -> None:
    engine = new_postgres_engine
    bring_to(engine, "es_0002")

    def another(step: Progress) -> None:
        if step.step == "adding constraint es_events_position_check":
            with engine.begin() as connection:
                connection.execute(text("UPDATE es_alembic_version SET version_num = 'es_0003'"))

    with pytest.raises(MigratedMeanwhile, match="were at es_0002, and are at es_0003 now; run the") as refused:
        migrations.upgrade(engine, on_progress=another)
    assert (refused.value.expected, refused.value.found) == ("es_0002", "es_0003")
    with engine.begin() as connection:
        connection.execute(text("UPDATE es_schema SET version = 3"))
    migrations.upgrade(engine)
    assert migrations.verify(engine) == []


@pytest.mark.slow
def test_the_command_says_that_its_lock_is_lost(bring_to: BringTo, new_postgres_engine: Engine) -> None:
    engine = new_postgres_engine
    bring_to(engine, "es_0002")
    end = text(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name = 'eventstore migrations' AND datname = current_database()"
    )
    with engine.connect() as reader:
        reader.execute(text("LOCK TABLE es_streams IN ACCESS SHARE MODE"))
        ours = start_migrate(engine, "--lock-timeout", "0.1")
        wait_until_it_says(ours.stderr, "waiting for pid")
        with engine.connect() as killer:
            assert killer.execute(end).scalars().all() == [True]
        wait_until_it_says(ours.stderr, "holds the migration lock is lost: ", "terminating connection")
        reader.rollback()
    ours.communicate(timeout=120)
    migrations.upgrade(engine)
    assert migrations.verify(engine) == []


# --- the server


@pytest.mark.slow
def test_a_user_who_may_only_read_is_refused_by_name_if_there_is_something_to_do(
    new_postgres_engine: Engine, tracked_engine: Callable[[URL], Engine]
) -> None:
    url = new_postgres_engine.url.update_query_dict({"options": "-cdefault_transaction_read_only=on"})
    reader = tracked_engine(url)
    for schema in (None, "events"):
        with pytest.raises(ReadOnlyDatabase, match=r"primary server.*default_transaction_read_only = off"):
            migrations.upgrade(reader, schema=schema)
    refused = run_alembic(reader, "upgrade", "head")
    assert "ReadOnlyDatabase" in refused.stderr
    migrations.upgrade(new_postgres_engine)
    migrations.upgrade(reader)
    assert migrations.verify(reader) == []


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"client_encoding": "utf8"}])
def test_a_database_in_sql_ascii_is_refused_by_name(new_postgres_engine: Engine, options: dict[str, str]) -> None:
    """In processes of their own: SQLAlchemy leaves the connection open, if it can't read the server's version."""
    name = f"{new_postgres_engine.url.database}_ascii"
    url = new_postgres_engine.url.set(database=name).update_query_dict(options).render_as_string(hide_password=False)
    with new_postgres_engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(
            f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
        )
        try:
            for command in ("migrate", "check"):
                done = run_python("-m", "eventstore", command, "--url", url)
                assert done.returncode == 1, done.stderr
                assert "server_encoding is SQL_ASCII" in done.stderr
                assert "create the database with ENCODING 'UTF8'" in done.stderr
        finally:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
