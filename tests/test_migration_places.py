"""One schema, however it is spelled: what autogenerate hides, and where tables are made and locked."""

import io
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from click.testing import CliRunner
from sqlalchemy import URL, Engine, text

from eventstore import EventStore, NewEvent, migrations
from eventstore.cli import main
from eventstore.errors import MigrationInProgress, TablesElsewhere
from eventstore.migrations import place
from tests.fix_migrations import BringTo, run_alembic, url_of
from tests.test_migration_ways import OURS, Application, psql

DEPLOYERS_PATH = "deployer,public"
TEMPLATE = """
from alembic import op
import sqlalchemy as sa

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade():
    ${upgrades or "pass"}


def downgrade():
    ${downgrades or "pass"}
"""


@pytest.fixture
def with_path(new_postgres_engine: Engine, tracked_engine: Callable[[URL], Engine]) -> Callable[[str], Engine]:
    """Return a function that makes an engine of the same database with another search path."""

    def make(path: str) -> Engine:
        return tracked_engine(new_postgres_engine.url.update_query_dict({"options": f"-csearch_path={path}"}))

    return make


def schemas_of(engine: Engine, table: str) -> list[str]:
    query = text("SELECT schemaname FROM pg_tables WHERE tablename = :table ORDER BY 1")
    with engine.connect() as connection:
        return list(connection.execute(query, {"table": table}).scalars())


def execute(engine: Engine, *statements: str) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


# --- what autogenerate hides


def configure(application: Application, *, schema: str | None, include_schemas: bool) -> None:
    application.write(include_name=f"migrations.exclude_tables(theirs, schema={schema!r})")
    env = application.folder / "env.py"
    source = env.read_text().replace("target_metadata=", f"include_schemas={include_schemas}, target_metadata=")
    env.write_text(source)
    (application.folder / "script.py.mako").write_text(TEMPLATE)


def run(application: Application, name: str, *arguments: Any, **options: Any) -> Any:
    """Call what a command of Alembic calls."""
    config = Config(str(application.folder / "alembic.ini"), stdout=io.StringIO())
    return getattr(command, name)(config, *arguments, **options)


def proposals(application: Application) -> list[str]:
    """Return the operations that autogenerate proposes."""
    written = Path(run(application, "revision", "look", autogenerate=True, rev_id="look").path)
    body = written.read_text().partition("def upgrade")[2].partition("def downgrade")[0]
    written.unlink()
    return sorted(line.strip() for line in body.splitlines() if line.strip().startswith("op."))


@pytest.mark.slow
@pytest.mark.parametrize("include_schemas", [False, True])
@pytest.mark.parametrize(
    ("made", "excluded", "path"),
    [
        (None, None, "public"),
        (None, "public", "public"),
        ("public", None, "public"),
        ("events", "events", "public"),
        ("events", "events", "events,public"),
        ("events", None, "events,public"),
        ("events", "events", "public,events"),
        ("events", None, "public,events"),
    ],
)
def test_autogenerate_proposes_to_drop_none_of_our_tables(
    bring_to: BringTo,
    tmp_path: Path,
    with_path: Callable[[str], Engine],
    *,
    made: str | None,
    excluded: str | None,
    path: str,
    include_schemas: bool,
) -> None:
    bring_to(with_path("public"), schema=made)
    application = Application(tmp_path / "application", with_path(path))
    configure(application, schema=excluded, include_schemas=include_schemas)
    run(application, "upgrade", "head")
    assert proposals(application) == []
    run(application, "check")


@pytest.mark.slow
def test_autogenerate_sees_tables_of_those_names_in_other_schemas(
    bring_to: BringTo, tmp_path: Path, new_postgres_engine: Engine
) -> None:
    engine = new_postgres_engine
    bring_to(engine)
    execute(
        engine,
        "CREATE SCHEMA theirs",
        "CREATE TABLE theirs.snapshots (disk text)",
        "CREATE TABLE theirs.es_events (disk text)",
    )
    application = Application(tmp_path / "application", engine)
    seen = ["op.drop_table('es_events', schema='theirs')", "op.drop_table('snapshots', schema='theirs')"]
    for schema in (None, "public"):
        configure(application, schema=schema, include_schemas=True)
        run(application, "upgrade", "head")
        assert proposals(application) == seen
    migrations.downgrade(engine, "base")
    migrations.upgrade(engine, schema="events")
    configure(application, schema="events", include_schemas=True)
    assert proposals(application) == ["op.drop_table('es_alembic_version')", *seen]


@pytest.mark.slow
@pytest.mark.parametrize("schema", [None, "main"])
@pytest.mark.parametrize("include_schemas", [False, True])
def test_autogenerate_drops_nothing_on_sqlite(
    tmp_path: Path, sqlite_engine: Engine, schema: str | None, *, include_schemas: bool
) -> None:
    application = Application(tmp_path / "application", sqlite_engine)
    configure(application, schema=schema, include_schemas=include_schemas)
    run(application, "upgrade", "head")
    assert proposals(application) == []


# --- where tables are made


@pytest.fixture
def deployer(bring_to: BringTo, new_postgres_engine: Engine, with_path: Callable[[str], Engine]) -> Engine:
    """Return an engine before whose tables, in public, a schema has appeared that is named like its user."""
    bring_to(new_postgres_engine, "es_0003")
    execute(new_postgres_engine, "CREATE SCHEMA deployer")
    return with_path(DEPLOYERS_PATH)


@pytest.mark.slow
def test_a_schema_that_came_before_that_of_the_tables_is_refused_and_named(deployer: Engine) -> None:
    for call in (
        migrations.upgrade,
        migrations.pending,
        lambda engine: migrations.downgrade(engine, "es_0002"),
    ):
        with pytest.raises(
            TablesElsewhere, match=r"in schema 'public'.*created in 'deployer'.*--schema public"
        ) as refused:
            call(deployer)
        assert (refused.value.schema, refused.value.first) == ("public", "deployer")
    done = CliRunner().invoke(main, ["migrate", "--url", url_of(deployer)])
    assert done.exit_code == 1
    assert "--schema public" in done.stderr
    with deployer.connect() as connection:
        in_deployer = text("SELECT count(*) FROM pg_class WHERE relnamespace = 'deployer'::regnamespace")
        assert connection.execute(in_deployer).scalar() == 0
    assert migrations.current(deployer) == "es_0003"


@pytest.mark.slow
def test_the_ways_out_of_a_schema_before_that_of_the_tables_lead_out(
    deployer: Engine, new_postgres_engine: Engine
) -> None:
    done = CliRunner().invoke(main, ["migrate", "--url", url_of(deployer), "--schema", "public"])
    assert done.exit_code == 0, done.stderr
    assert schemas_of(deployer, "es_checkpoints") == ["public"]
    assert migrations.verify(deployer, schema="public") == migrations.verify(new_postgres_engine) == []
    assert EventStore(deployer).append("order-1", [NewEvent("placed")], expected_version=0).version == 1
    migrations.upgrade(deployer, schema="deployer")  # a second store, by its name
    migrations.upgrade(deployer)  # the first of the path has tables now
    assert migrations.verify(deployer) == []


@pytest.mark.slow
def test_the_version_table_that_a_downgrade_has_left_elsewhere_is_noticed(
    bring_to: BringTo, new_postgres_engine: Engine, with_path: Callable[[str], Engine]
) -> None:
    bring_to(new_postgres_engine, "es_0001")
    migrations.downgrade(new_postgres_engine, "base")
    execute(new_postgres_engine, "CREATE SCHEMA deployer")
    with pytest.raises(TablesElsewhere):
        migrations.upgrade(with_path(DEPLOYERS_PATH))
    migrations.upgrade(new_postgres_engine)
    assert schemas_of(new_postgres_engine, "es_events") == ["public"]


@pytest.mark.slow
def test_the_other_ways_in_refuse_it_too(tmp_path: Path, deployer: Engine) -> None:
    in_checkout = run_alembic(deployer, "upgrade", "head")
    assert in_checkout.returncode != 0
    assert "TablesElsewhere" in in_checkout.stderr
    printed = psql(deployer, f"SET search_path = {DEPLOYERS_PATH};" + migrations.sql("es_0003:head"))
    assert printed.returncode != 0
    assert "in another schema than the first one of search_path" in printed.stderr
    application = Application(tmp_path / "application", deployer)
    application.write(locations=OURS)
    assert application.alembic("stamp", "es_0003").returncode == 0
    theirs = application.alembic("upgrade", "heads")
    assert theirs.returncode != 0
    assert "TablesElsewhere" in theirs.stderr
    assert schemas_of(deployer, "es_checkpoints") == []
    application.write(locations=OURS, options="eventstore_schema = public\n")
    done = application.alembic("upgrade", "heads")
    assert done.returncode == 0, done.stderr
    assert schemas_of(deployer, "es_checkpoints") == ["public"]


# --- where they are locked


@pytest.mark.slow
@pytest.mark.parametrize(("first", "second"), [(None, "public"), ("public", None)])
def test_two_spellings_of_one_schema_take_one_lock(
    new_postgres_engine: Engine, with_path: Callable[[str], Engine], first: str | None, second: str | None
) -> None:
    execute(new_postgres_engine, "CREATE SCHEMA deployer")
    other = with_path(DEPLOYERS_PATH)
    with (
        new_postgres_engine.connect() as connection,
        migrations.deploy_lock(connection, schema=first),
        other.connect() as beside,
        pytest.raises(MigrationInProgress),
        migrations.deploy_lock(beside, schema=second, wait_seconds=0),
    ):
        pass


@pytest.mark.slow
def test_a_search_path_that_was_set_on_the_connection_is_what_is_locked(
    new_postgres_engine: Engine, with_path: Callable[[str], Engine]
) -> None:
    execute(new_postgres_engine, "CREATE SCHEMA events")
    with new_postgres_engine.connect() as connection, new_postgres_engine.connect() as beside:
        connection.exec_driver_sql("SET search_path = events")
        connection.commit()
        assert place.schemas_to_lock(connection, None) == ["events"]
        connection.rollback()
        with (
            migrations.deploy_lock(connection),
            pytest.raises(MigrationInProgress),
            migrations.deploy_lock(beside, schema="events", wait_seconds=0),
        ):
            pass


@pytest.mark.slow
def test_two_deployers_of_an_empty_database_by_two_search_paths_make_one_set_of_tables(
    new_postgres_engine: Engine, with_path: Callable[[str], Engine]
) -> None:
    execute(new_postgres_engine, "CREATE SCHEMA deployer")
    other, waits = with_path(DEPLOYERS_PATH), threading.Event()
    refusals: list[TablesElsewhere] = []

    def watch(step: migrations.Progress) -> None:
        if step.waiting_for:
            waits.set()

    def deploy() -> None:
        try:
            migrations.upgrade(other, on_progress=watch)
        except TablesElsewhere as error:
            refusals.append(error)

    second = threading.Thread(target=deploy)
    with new_postgres_engine.connect() as connection, migrations.deploy_lock(connection):
        first_tables = text("CREATE TABLE es_schema (id integer)")  # what another deployer has come to
        second.start()
        assert waits.wait(60)
        connection.execute(first_tables)
        connection.commit()
    second.join()
    assert [error.schema for error in refusals] == ["public"]
    assert schemas_of(other, "es_events") == []
