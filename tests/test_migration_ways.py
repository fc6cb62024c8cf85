"""The ways in: printed SQL, an application's own Alembic, a schema of its own, the wheel."""

import re
import shutil
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.util import CommandError
from sqlalchemy import URL, Engine, inspect, text
from sqlalchemy.orm import Session

from eventstore import EventStore, InvalidInput, NewEvent, migrations
from eventstore.errors import DirectConnectionRequired, MigrationError, SchemaMissing
from tests.fix_migrations import ROOT, BringTo, alembic_in, catalog, run_alembic, url_of
from tests.fix_postgresql import Databases
from tests.pgbouncer import PgBouncer
from tests.postgresql.launcher import find_binaries
from tests.processes import Python, run_python

pytestmark = pytest.mark.slow

GOLDEN_SQL = Path(__file__).parent / "golden" / "postgresql.sql"


# --- printed SQL


def psql(engine: Engine, sql: str) -> "subprocess.CompletedProcess[str]":
    program = shutil.which("psql", path=find_binaries())
    assert program is not None
    command = [program, "--no-psqlrc", "--quiet", "-v", "ON_ERROR_STOP=1", url_of(engine).replace("+psycopg", "")]
    return subprocess.run(command, input=sql, capture_output=True, text=True, check=False)


def normal(sql: str) -> list[str]:
    """Forget what differs between versions of SQLAlchemy and Alembic: white space, parentheses, RETURNING."""
    flat = re.sub(r" RETURNING [\w.]+;", ";", " ".join(sql.split()))
    return [re.sub(r"\s+", " ", re.sub(r"[()]+", " ", statement)).strip() for statement in flat.split(";")]


def test_the_printed_sql_is_the_one_that_was_reviewed() -> None:
    assert normal(migrations.sql()) == normal(GOLDEN_SQL.read_text(encoding="utf-8")), (
        "look at it, then: eventstore sql > tests/golden/postgresql.sql"
    )


@pytest.mark.parametrize("schema", [None, "my events"])
def test_the_printed_sql_makes_the_same_schema(
    new_postgres_engine: Engine, postgres_engine: Engine, schema: str | None
) -> None:
    done = psql(new_postgres_engine, migrations.sql(schema=schema))
    assert done.returncode == 0, done.stderr
    assert migrations.verify(new_postgres_engine, schema=schema) == []
    assert migrations.current(new_postgres_engine, schema=schema) == migrations.head()
    migrations.upgrade(new_postgres_engine, schema=schema)
    if schema is None:
        assert catalog(new_postgres_engine) == catalog(postgres_engine)


def test_the_sql_of_a_part_of_the_history(bring_to: BringTo, new_postgres_engine: Engine) -> None:
    bring_to(new_postgres_engine, "es_0002")
    done = psql(new_postgres_engine, migrations.sql(f"es_0002:{migrations.head()}"))
    assert done.returncode == 0, done.stderr
    assert migrations.verify(new_postgres_engine) == []


@pytest.mark.parametrize("revisions", ["es_0007:es_0005", "es_0003:es_0003", "es_0003:", ":es_0003"])
def test_sql_of_no_upgrade_is_not_printed(revisions: str) -> None:
    """It would be a script that does nothing, and succeeds."""
    with pytest.raises(InvalidInput, match=r"nothing to print|with a colon between"):
        migrations.sql(revisions)


def test_sql_of_an_unknown_revision_is_not_printed() -> None:
    for revisions in ("nowhere", "nowhere:es_0003", "es_0003:nowhere"):
        with pytest.raises(CommandError, match="Can't locate revision identified by 'nowhere'"):
            migrations.sql(revisions)


def test_the_printed_sql_stops_at_an_invalid_index(bring_to: BringTo, new_postgres_engine: Engine) -> None:
    bring_to(new_postgres_engine, "es_0001")
    index = "es_events_category_position_idx"
    with new_postgres_engine.begin() as connection:
        connection.execute(text(f"CREATE INDEX {index} ON es_events (category, position)"))
        invalidate = text("UPDATE pg_index SET indisvalid = false WHERE indexrelid = to_regclass(:index)")
        connection.execute(invalidate, {"index": index})
    done = psql(new_postgres_engine, migrations.sql("es_0001:es_0002"))
    assert done.returncode != 0
    assert f"DROP INDEX CONCURRENTLY {index}" in done.stderr


def test_the_printed_sql_of_going_back_refuses_to_lose_events(postgres_engine: Engine) -> None:
    EventStore(postgres_engine).append("order-1", [NewEvent("placed")], expected_version=0)
    printed = run_alembic(postgres_engine, "downgrade", "es_0001:base", "--sql")
    assert printed.returncode == 0, printed.stderr
    done = psql(postgres_engine, printed.stdout)
    assert done.returncode != 0
    assert "would be lost" in done.stderr
    assert EventStore(postgres_engine).stream_version("order-1") == 1


def test_sqlite_can_be_printed_as_far_as_it_goes() -> None:
    assert "CREATE TABLE es_events" in migrations.sql("es_0002", dialect="sqlite")
    with pytest.raises(MigrationError, match="run it online"):
        migrations.sql(dialect="sqlite")
    with pytest.raises(InvalidInput, match="dialect"):
        migrations.sql(dialect="oracle")
    with pytest.raises(InvalidInput, match="schema"):
        migrations.sql(dialect="sqlite", schema="events")


# --- an application's own Alembic


APPLICATION_ENV = """
from alembic import context
from sqlalchemy import Column, Integer, MetaData, Table, create_engine
from sqlalchemy.pool import NullPool

from eventstore import migrations

metadata = MetaData()
Table("invoices", metadata, Column("number", Integer, primary_key=True))


def theirs(name, type_, parent_names):
    return name != "not_in_the_models"


engine = create_engine(context.config.get_main_option("sqlalchemy.url"), poolclass=NullPool)
with engine.connect() as connection:
    {begin}
    context.configure(
        connection=connection,
        target_metadata=metadata,
        include_name={include_name},
        transaction_per_migration={per_migration},
    )
    with context.begin_transaction():
        context.run_migrations()
    {commit}
engine.dispose()
"""
APPLICATION_REVISION = '''
"""Invoices."""

import sqlalchemy as sa
from alembic import op

revision = "app_1"
down_revision = None
depends_on = {depends_on!r}


def upgrade():
    op.create_table("invoices", sa.Column("number", sa.Integer, primary_key=True))


def downgrade():
    op.drop_table("invoices")
'''


class Application:
    """A made-up one with an Alembic of its own."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        self.folder = folder
        self.engine = engine

    def write(
        self,
        *,
        locations: str = "",
        depends_on: str | None = None,
        options: str = "",
        include_name: str = "migrations.exclude_tables(theirs)",
        per_migration: bool = True,
        in_transaction: bool = False,
    ) -> None:
        (self.folder / "versions").mkdir(parents=True, exist_ok=True)
        # Python takes the bytecode of a file that has the same size and was changed within the same second.
        shutil.rmtree(self.folder / "__pycache__", ignore_errors=True)
        environment = APPLICATION_ENV.format(
            include_name=include_name,
            per_migration=per_migration,
            begin="connection.begin()" if in_transaction else "",
            commit="connection.commit()" if in_transaction else "",
        )
        (self.folder / "env.py").write_text(environment, encoding="utf-8")
        (self.folder / "versions" / "app_1.py").write_text(APPLICATION_REVISION.format(depends_on=depends_on))
        (self.folder / "script.py.mako").write_text((ROOT / "alembic" / "script.py.mako").read_text(encoding="utf-8"))
        url = url_of(self.engine).replace("%", "%%")
        (self.folder / "alembic.ini").write_text(
            f"[alembic]\nscript_location = %(here)s\nsqlalchemy.url = {url}\npath_separator = newline\n"
            f"version_locations =\n    %(here)s/versions\n{locations}{options}",
            encoding="utf-8",
        )

    def start(self, *arguments: str) -> Python:
        return Python("-m", "alembic", *arguments, cwd=self.folder)

    def alembic(self, *arguments: str, python: tuple[str, ...] | None = None) -> "subprocess.CompletedProcess[str]":
        """Run it in this process; if options for Python are given, be they none, in one of its own."""
        if python is None:
            return alembic_in(self.folder, *arguments)
        if not python:
            return run_python("-m", "alembic", *arguments, cwd=self.folder)
        command = [sys.executable, *python, "-m", "alembic", *arguments]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)


@pytest.fixture
def application(tmp_path: Path, new_engine: Engine) -> Application:
    return Application(tmp_path / "application", new_engine)


OURS = "    eventstore:migrations/versions\n"


def test_two_histories_side_by_side(application: Application) -> None:
    application.write()
    assert application.alembic("upgrade", "head").returncode == 0
    migrations.upgrade(application.engine)
    with application.engine.begin() as connection:
        connection.execute(text("CREATE TABLE not_in_the_models (a integer)"))
    compared = application.alembic("check")
    assert compared.returncode == 0, compared.stdout + compared.stderr
    assert "No new upgrade operations" in compared.stdout + compared.stderr
    application.write(include_name="theirs")
    seen = application.alembic("check")
    assert seen.returncode != 0
    assert "es_events" in seen.stdout + seen.stderr, "the filter is what hides them"
    application.write()
    with application.engine.begin() as connection:
        connection.execute(text("DROP TABLE invoices"))
        connection.execute(text("CREATE TABLE forgotten (a integer)"))
    seen = application.alembic("check")
    assert "invoices" in seen.stdout + seen.stderr, "their own tables are still compared"
    assert "forgotten" in seen.stdout + seen.stderr
    assert "es_" not in seen.stdout


def test_ours_as_a_version_location_of_theirs(application: Application) -> None:
    application.write(locations=OURS, depends_on="es_0004")
    for _ in range(2):
        done = application.alembic("upgrade", "heads")
        assert done.returncode == 0, done.stderr
    assert set(inspect(application.engine).get_table_names()) >= {"invoices", "es_events", "alembic_version"}
    assert migrations.verify(application.engine) == []
    assert migrations.check(application.engine)[0] == int(migrations.head().removeprefix("es_"))
    assert EventStore(application.engine).append("order-1", [NewEvent("placed")], expected_version=0).version == 1
    assert application.alembic("check").returncode == 0
    back = application.alembic("downgrade", "eventstore@es_0001")
    assert back.returncode == 0, back.stderr
    assert "es_events_category_position_idx" not in [row[2] for row in catalog(application.engine)]


def test_a_failed_run_of_theirs_leaves_sqlite_as_it_was(tmp_path: Path, sqlite_engine: Engine) -> None:
    """Their env.py knows nothing of SQLite's transactions: each revision of ours is one all the same."""
    application = Application(tmp_path / "application", sqlite_engine)
    migrations.downgrade(sqlite_engine, "base")
    with sqlite_engine.begin() as connection:
        connection.execute(text("DROP TABLE es_alembic_version"))
        connection.execute(text("CREATE TABLE theirs (a integer)"))
        connection.execute(
            text("CREATE INDEX es_schema ON theirs (a)")
        )  # in the way of the first revision's last table
    application.write(locations=OURS)
    before = catalog(sqlite_engine)
    failed = application.alembic("upgrade", "eventstore@head")
    assert failed.returncode != 0
    assert "already an index named es_schema" in failed.stderr
    assert [row for row in catalog(sqlite_engine) if "alembic_version" not in str(row)] == before
    with sqlite_engine.begin() as connection:
        connection.execute(text("DROP TABLE theirs"))
    again = application.alembic("upgrade", "heads")
    assert again.returncode == 0, again.stderr
    assert migrations.verify(sqlite_engine) == []


@pytest.mark.parametrize("optimised", [False, True])
def test_inside_a_transaction_of_theirs_it_says_what_to_change(
    tmp_path: Path, new_postgres_engine: Engine, *, optimised: bool
) -> None:
    application = Application(tmp_path / "application", new_postgres_engine)
    application.write(locations=OURS, in_transaction=True)
    python = ("-O",) if optimised else ()
    refused = application.alembic("upgrade", "heads", python=python)
    assert refused.returncode != 0
    assert "MigrationInsideTransaction" in refused.stderr
    assert "a connection that is not in a transaction" in refused.stderr
    if not optimised:
        application.write(locations=OURS)
        done = application.alembic("upgrade", "heads", python=python)
        assert done.returncode == 0, done.stderr
        assert migrations.verify(new_postgres_engine) == []


def test_options_in_their_alembic_ini(tmp_path: Path, new_postgres_engine: Engine) -> None:
    application = Application(tmp_path / "application", new_postgres_engine)
    application.write(locations=OURS, options="eventstore_schema = events\neventstore_lock_timeout_seconds = 0.2\n")
    done = application.alembic("upgrade", "heads")
    assert done.returncode == 0, done.stderr
    assert migrations.verify(new_postgres_engine, schema="events") == []
    assert EventStore(new_postgres_engine, schema="events").stream_version("order-1") == 0


# --- a schema of its own


@pytest.fixture
def two_schemas(new_postgres_engine: Engine, postgres_databases: Databases) -> Engine:
    def migrate_both(template: Engine) -> None:
        for schema in ("events", "Other Events"):
            migrations.upgrade(template, schema=schema)

    new_postgres_engine.dispose()
    postgres_databases.replace(new_postgres_engine.url, "the schemas of two stores", migrate_both)
    return new_postgres_engine


def test_two_stores_in_one_database_do_not_see_each_other(two_schemas: Engine) -> None:
    one, other = EventStore(two_schemas, schema="events"), EventStore(two_schemas, schema="Other Events")
    one.append("order-1", [NewEvent("placed")] * 1, expected_version=0)
    assert (one.stream_version("order-1"), other.stream_version("order-1")) == (1, 0)
    assert other.append("order-1", [NewEvent("placed")], expected_version=0).position == 1
    assert other.snapshots.save("order-1", version=1, state=1)
    assert one.snapshots.load("order-1") is None
    with Session(two_schemas) as session, session.begin():
        one.join(session).append("order-1", [NewEvent("paid")], expected_version=1)
        other.join(session).append("order-1", [NewEvent("paid")], expected_version=1)
    assert (one.stream_version("order-1"), other.stream_version("order-1")) == (2, 2)
    with pytest.raises(SchemaMissing):
        EventStore(two_schemas).stream_version("order-1")
    assert [table for table in inspect(two_schemas).get_table_names() if table.startswith("es_")] == []


def test_schemas_are_migrated_each_for_itself(two_schemas: Engine) -> None:
    migrations.downgrade(two_schemas, "base", schema="events")
    assert migrations.current(two_schemas, schema="events") is None
    assert migrations.current(two_schemas, schema="Other Events") == migrations.head()
    assert migrations.verify(two_schemas, schema="Other Events") == []


def test_alembic_in_the_checkout_takes_a_schema(new_postgres_engine: Engine) -> None:
    done = run_alembic(new_postgres_engine, "-x", "schema=events", "upgrade", "head")
    assert done.returncode == 0, done.stderr
    assert migrations.verify(new_postgres_engine, schema="events") == []


def test_autogenerate_does_not_see_a_schema_of_ours() -> None:
    include = migrations.exclude_tables(schema="events")
    assert not include("es_events", "table", {"schema_name": "events"})
    assert include("snapshots", "table", {"schema_name": None}), "an application's own table of that name"
    assert include("events", "schema", {})


def test_sqlite_has_no_schemas(sqlite_engine: Engine) -> None:
    for call in (
        lambda: EventStore(sqlite_engine, schema="events"),
        lambda: migrations.upgrade(sqlite_engine, schema="events"),
        lambda: migrations.verify(sqlite_engine, schema="events"),
    ):
        with pytest.raises(InvalidInput, match="another file"):
            call()


def test_a_migrator_needs_no_right_to_create_schemas(new_postgres_engine: Engine) -> None:
    """A DBA has made the schema, and given it to the role."""
    role = f"migrator_{abs(hash(url_of(new_postgres_engine)))}"
    with new_postgres_engine.begin() as connection:
        connection.execute(text(f"CREATE ROLE {role} LOGIN PASSWORD 'secret'"))
        connection.execute(text(f"CREATE SCHEMA events AUTHORIZATION {role}"))
    migrator = new_postgres_engine.url.set(username=role, password="secret")  # noqa: S106  # of this test's own role
    store = EventStore.from_url(migrator, schema="events")
    try:
        migrations.upgrade(store.engine, schema="events")
        assert migrations.verify(store.engine, schema="events") == []
        assert store.append("order-1", [NewEvent("placed")], expected_version=0).version == 1
    finally:
        store.close()
        with new_postgres_engine.begin() as connection:
            connection.execute(text(f"DROP OWNED BY {role}"))
            connection.execute(text(f"DROP ROLE {role}"))


# --- the wheel


@pytest.mark.slow
def test_the_wheel_alone_migrates(
    tmp_path: Path, new_postgres_engine: Engine, tracked_engine: Callable[[Any], Engine]
) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "installed")
    assert {name.split("/")[0] for name in names} == {"eventstore", wheel.name.rsplit("-", 3)[0] + ".dist-info"}
    shipped = {Path(name).name for name in names if "/migrations/versions/" in name}
    assert shipped == {path.name for path in migrations.versions_path().glob("*.py")}
    empty = tmp_path / "empty"
    empty.mkdir()
    script = textwrap.dedent("""
        import pathlib, sys
        import eventstore
        assert pathlib.Path(eventstore.__file__).is_relative_to(sys.argv.pop(1)), eventstore.__file__
        from eventstore.cli import main
        for url in sys.argv[1:]:
            main(["migrate", "--url", url], standalone_mode=False)
        """)
    installed = str(tmp_path / "installed")
    engines = [new_postgres_engine, tracked_engine(f"sqlite:///{tmp_path}/new.db")]
    command = [sys.executable, "-c", script, installed, *map(url_of, engines)]
    done = subprocess.run(
        command, cwd=empty, env={"PYTHONPATH": installed, "PATH": ""}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for engine in engines:
        assert migrations.verify(engine) == []


# --- PgBouncer


@pytest.fixture(params=[["transaction"], ["transaction", "server_round_robin = 1"]])
def pgbouncer_url(request: pytest.FixtureRequest, postgres_engine: Engine) -> Iterator[URL]:
    """The same database, through a pool; in transaction mode, unless the test says otherwise."""
    server = postgres_engine.url
    ignored = "ignore_startup_parameters = extra_float_digits"
    with PgBouncer(server, *request.param, "default_pool_size = 2", ignored) as bouncer:
        yield bouncer.url(server)


def test_behind_pgbouncer_the_store_works_and_migrations_say_what_they_need(pgbouncer_url: URL) -> None:
    with EventStore.from_url(pgbouncer_url, engine_options={"connect_args": {"prepare_threshold": None}}) as store:
        for version in range(20):
            store.append("order-1", [NewEvent("placed")], expected_version=version)
        with store.transaction() as transaction:
            transaction.append("order-1", [NewEvent("paid")], expected_version=20)
        assert len(list(store.read_stream("order-1"))) == 21
        with pytest.raises(DirectConnectionRequired, match="directly to PostgreSQL"):
            migrations.upgrade(store.engine)
        assert migrations.check(store.engine)[0] > 0


@pytest.mark.parametrize("pgbouncer_url", [["session"]], indirect=True)
def test_behind_pgbouncer_in_session_mode_migrations_run(pgbouncer_url: URL) -> None:
    with EventStore.from_url(pgbouncer_url) as store:
        for _ in range(2):
            migrations.downgrade(store.engine, "es_0010", wait_seconds=5)
            migrations.upgrade(store.engine, wait_seconds=5)
        assert migrations.verify(store.engine) == []
