"""Provisioning: a tenant's schema by one script, equal to all revisions, by several processes at once."""

import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, Engine, event, text

from eventstore import EventStore, NewEvent, migrations
from eventstore.errors import InvalidInput, MigrationInProgress, PermissionDenied, TableTaken
from eventstore.migrations.lock import lock_key
from tests.fix_migrations import url_of
from tests.postgresql.launcher import find_binaries
from tests.processes import Python
from tests.test_migration_places import execute, schemas_of

pytestmark = pytest.mark.postgresql
NAMES = ["tenant_a", "Tenant B", 'say "hi"', "100%", "%(schema)s", "a:b", "naïve-店", "$$", "x" * 63]


def dump(engine: Engine, schema: str) -> list[str]:
    """Return the definition of a schema as pg_dump writes it, with another name for the schema, and no comments."""
    binaries = find_binaries()
    assert binaries is not None
    quoted = schema.replace('"', '""')
    url = url_of(engine).replace("+psycopg", "")
    command: list[str | Path] = [binaries / "pg_dump", "--schema", f'"{quoted}"', "--no-owner", "--inserts", url]
    dumped = subprocess.run(command, capture_output=True, check=False, text=True)
    assert dumped.returncode == 0, dumped.stderr
    name = engine.dialect.identifier_preparer.quote_schema(schema).replace("%%", "%")
    lines = dumped.stdout.replace(name, "TENANT").splitlines()
    return [line for line in lines if line.strip() and not line.startswith(("--", "\\"))]


@pytest.mark.slow
def test_any_name_can_be_provisioned(new_postgres_engine: Engine) -> None:
    for name in NAMES:
        assert migrations.provision(new_postgres_engine, name)
        assert migrations.verify(new_postgres_engine, schema=name) == []
        assert migrations.pending(new_postgres_engine, schema=name) == []
        store = EventStore(new_postgres_engine, schema=name)
        store.append("order-1", [NewEvent("placed")], expected_version=0)
        assert [event.position for event in store.read_all()] == [1]


@pytest.mark.slow
def test_the_dump_is_that_of_all_revisions(new_postgres_engine: Engine) -> None:
    migrations.upgrade(new_postgres_engine, schema="Migrated")
    migrations.provision(new_postgres_engine, "Provisioned")
    provisioned = dump(new_postgres_engine, "Provisioned")
    assert provisioned == dump(new_postgres_engine, "Migrated")
    assert len(provisioned) > 150  # it has all of the tables, comments and rows


def test_it_is_idempotent(new_postgres_engine: Engine) -> None:
    assert migrations.provision(new_postgres_engine, "tenant_a")
    store = EventStore(new_postgres_engine, schema="tenant_a")
    store.append("order-1", [NewEvent("placed")], expected_version=0)
    assert not migrations.provision(new_postgres_engine, "tenant_a")
    assert [event.stream_id for event in store.read_all()] == ["order-1"]


@pytest.mark.slow
def test_older_and_interrupted_tables_are_brought_to_the_newest_revision(new_postgres_engine: Engine) -> None:
    migrations.upgrade(new_postgres_engine, "es_0003", schema="older")
    assert not migrations.provision(new_postgres_engine, "older")
    execute(
        new_postgres_engine,
        "CREATE SCHEMA begun",
        "CREATE TABLE begun.es_alembic_version (version_num varchar(32) PRIMARY KEY)",
    )
    assert not migrations.provision(new_postgres_engine, "begun")
    for schema in ("older", "begun"):
        assert migrations.current(new_postgres_engine, schema=schema) == migrations.head()


@pytest.mark.slow
def test_tables_of_the_application_are_left_alone(new_postgres_engine: Engine) -> None:
    execute(
        new_postgres_engine,
        "CREATE SCHEMA theirs",
        "CREATE TABLE theirs.snapshots (id int)",
        "CREATE TABLE theirs.orders (id int)",
    )
    with pytest.raises(TableTaken, match="snapshots"):
        migrations.provision(new_postgres_engine, "theirs")
    execute(new_postgres_engine, "DROP TABLE theirs.snapshots")
    assert migrations.provision(new_postgres_engine, "theirs")
    assert schemas_of(new_postgres_engine, "orders") == ["theirs"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (None, "not None"),
        (7, "not int"),
        ("", "1 to 63"),
        ("x" * 64, "63"),
        ("a\0b", "NUL"),
        ("pg_tenant", "reserves"),
        ("information_schema", "reserves"),
    ],
)
def test_bad_names_are_refused(new_postgres_engine: Engine, name: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        migrations.provision(new_postgres_engine, name)
    assert schemas_of(new_postgres_engine, "es_schema") == []


def test_other_databases_are_refused(sqlite_engine: Engine) -> None:
    with pytest.raises(InvalidInput, match="SQLite has no schemas"):
        migrations.provision(sqlite_engine, "tenant_a")


@pytest.mark.slow
def test_it_runs_with_the_rights_of_the_caller(
    new_postgres_engine: Engine, tracked_engine: Callable[[URL], Engine]
) -> None:
    """Without CREATE on the database, it can fill a schema that was made for it, and no other."""
    role = "provisioner_of_tenants"
    execute(new_postgres_engine, f"CREATE ROLE {role}", "CREATE SCHEMA given", f"GRANT ALL ON SCHEMA given TO {role}")
    try:
        engine = tracked_engine(new_postgres_engine.url.update_query_dict({"options": f"-crole={role}"}))
        with pytest.raises(PermissionDenied):
            migrations.provision(engine, "other")
        assert migrations.provision(engine, "given")
        with engine.connect() as connection:
            owners = connection.execute(text("SELECT tableowner FROM pg_tables WHERE schemaname = 'given'")).scalars()
            assert set(owners) == {role}
        assert schemas_of(new_postgres_engine, "es_schema") == ["given"]
    finally:
        execute(new_postgres_engine, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


@pytest.mark.slow
def test_two_at_once_make_one_schema(new_postgres_engine: Engine) -> None:
    """Both have looked, and one waits for the lock that the other holds with its tables uncommitted."""
    inside, waiting = threading.Event(), threading.Event()

    def before(_: Any, __: Any, statement: str, *___: Any) -> None:
        if statement.startswith("CREATE SCHEMA"):
            inside.set()
            assert waiting.wait(30)

    event.listen(new_postgres_engine, "before_cursor_execute", before)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(migrations.provision, new_postgres_engine, "tenant_a")
        assert inside.wait(30)
        with pytest.raises(MigrationInProgress) as caught:
            migrations.provision(new_postgres_engine, "tenant_a", wait_seconds=0)
        assert caught.value.holders
        second = pool.submit(migrations.provision, new_postgres_engine, "tenant_a")
        waiting.set()
        assert [first.result(60), second.result(60)] == [True, False]
    assert migrations.verify(new_postgres_engine, schema="tenant_a") == []


@pytest.mark.slow
def test_it_waits_for_a_migration_of_the_same_schema(new_postgres_engine: Engine) -> None:
    with new_postgres_engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": lock_key("tenant_a")})
        with pytest.raises(MigrationInProgress):
            migrations.provision(new_postgres_engine, "tenant_a", wait_seconds=0.2)
        assert schemas_of(new_postgres_engine, "es_schema") == []
        connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": lock_key("tenant_a")})
    assert migrations.provision(new_postgres_engine, "tenant_a", wait_seconds=0.2)


PROVISION_MANY = """
import sys
from eventstore import migrations
from eventstore.backends import engine_for
engine = engine_for(sys.argv[1])
print(sum(migrations.provision(engine, f"tenant_{number}") for number in range(10)))
"""


@pytest.mark.slow
def test_two_processes_provision_the_same_tenants(new_postgres_engine: Engine, tmp_path: Path) -> None:
    script = tmp_path / "provision.py"
    script.write_text(PROVISION_MANY)
    processes = [Python(str(script), url_of(new_postgres_engine)) for _ in range(2)]
    made = [int(process.communicate(timeout=120)[0]) for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sum(made) == 10
    assert len(schemas_of(new_postgres_engine, "es_schema")) == 10


@pytest.mark.slow
def test_the_script_is_one_statement_of_one_transaction(new_postgres_engine: Engine) -> None:
    """What makes it quick; the time itself is measured by the benchmarks."""
    statements: list[str] = []
    migrations.provision(new_postgres_engine, "first")
    event.listen(new_postgres_engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    migrations.provision(new_postgres_engine, "second")
    assert len([each for each in statements if "CREATE" in each]) == 1
    assert len(statements) <= 12
