import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, inspect, select, text

from eventstore import ANY, EventStore, NewEvent, SchemaMissing, SchemaOutdated, SchemaTooNew, migrations
from eventstore.backends import engine_for
from eventstore.migrations.environment import VERSION_TABLE
from eventstore.schema_version import create_schema
from eventstore.tables import SCHEMA_VERSION

ROOT = Path(__file__).parent.parent

POSTGRESQL_CATALOG = """
SELECT 'column', c.relname, a.attname,
       concat_ws(' ', a.attnum, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated,
                 pg_get_expr(d.adbin, d.adrelid), l.collname, col_description(c.oid, a.attnum))
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum LEFT JOIN pg_collation l ON l.oid = a.attcollation
WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
UNION ALL SELECT 'constraint', conrelid::regclass::text, conname,
       concat_ws(' ', pg_get_constraintdef(oid), convalidated)
FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype <> 'n'
UNION ALL SELECT 'index', tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
UNION ALL SELECT 'table', relname, '', concat_ws(' ', reloptions, obj_description(oid))
FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
UNION ALL SELECT 'sequence', sequencename, '', concat_ws(' ', start_value, cache_size, data_type, cycle)
FROM pg_sequences WHERE schemaname = 'public'
ORDER BY 1, 2, 3
"""
SQLITE_CATALOG = "SELECT type, tbl_name, name, sql FROM sqlite_master ORDER BY 1, 2, 3"


def catalog(engine: Engine) -> list[tuple[object, ...]]:
    """Return all that the database knows of its tables, but for the version table of Alembic."""
    query = SQLITE_CATALOG if engine.dialect.name == "sqlite" else POSTGRESQL_CATALOG
    with engine.connect() as connection:
        rows = connection.execute(text(query)).all()
    # SQLAlchemy 2.0 and 2.1 differ in how many parentheses they put around a default
    return [(*row[:3], re.sub(r"([()])\1+", r"\1", str(row[3]))) for row in rows if VERSION_TABLE not in row[:3]]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def make_engine(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Engine]:
    """Return a function that makes engines of new, empty databases."""

    def tracked(url: Any) -> Engine:
        engine = engine_for(url)
        request.addfinalizer(engine.dispose)
        return engine

    if request.param == "sqlite":
        return lambda: tracked(f"sqlite:///{tmp_path / os.urandom(4).hex()}.db")
    fresh = request.getfixturevalue("postgres_databases").fresh

    def make() -> Engine:
        manager = fresh("template0")
        url = manager.__enter__()
        request.addfinalizer(lambda: manager.__exit__(None, None, None))
        return tracked(url)

    return make


@pytest.mark.filterwarnings("ignore:Computed default on")  # Alembic can't compare them; the catalogs can
def test_the_revisions_make_what_the_tables_say(make_engine: Callable[[], Engine]) -> None:
    migrated, created = make_engine(), make_engine()
    migrations.upgrade(migrated)
    create_schema(created, EventStore(created).tables)
    assert catalog(migrated) == catalog(created)
    assert len(catalog(migrated)) > 4
    with migrated.connect() as one, created.connect() as other:
        row = select(EventStore(created).tables.schema)
        assert one.execute(row).all() == other.execute(row).all()
        context = MigrationContext.configure(one, opts={"compare_type": True, "compare_server_default": False})
        differences = compare_metadata(context, EventStore(created).tables.metadata)
        # an old Alembic can't compare the identity of position on SQLite, which has none
        expected = (VERSION_TABLE, "'position'")
        assert [entry for entry in differences if not any(name in str(entry) for name in expected)] == []


def test_upgrading_twice_changes_nothing(make_engine: Callable[[], Engine]) -> None:
    engine = make_engine()
    assert migrations.current(engine) is None
    migrations.upgrade(engine)
    once = catalog(engine)
    migrations.upgrade(engine)
    assert catalog(engine) == once
    assert migrations.current(engine) == migrations.head()


@pytest.mark.parametrize("by", ["argument", "variable"])
def test_alembic_upgrade_head_works_from_the_checkout(make_engine: Callable[[], Engine], by: str) -> None:
    engine = make_engine()
    url = engine.url.render_as_string(hide_password=False)
    arguments = ["-x", f"url={url}"] if by == "argument" else []
    environment = {**os.environ, "EVENTSTORE_URL": url if by == "variable" else ""}
    command = [sys.executable, "-m", "alembic", *arguments, "upgrade", "head"]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    assert migrations.current(engine) == migrations.head()
    assert EventStore(engine).append("order-1", [NewEvent("placed")], expected_version=0).version == 1


def test_alembic_without_a_database_says_what_to_pass() -> None:
    environment = {**os.environ, "EVENTSTORE_URL": ""}
    command = [sys.executable, "-m", "alembic", "upgrade", "head"]
    done = subprocess.run(command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode != 0
    assert "EVENTSTORE_URL" in done.stderr


def test_a_revision_that_fails_leaves_nothing_behind(make_engine: Callable[[], Engine]) -> None:
    engine = make_engine()
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE snapshots (wrong integer)"))  # the revision's third is there already
    with pytest.raises(Exception, match="snapshots"):
        migrations.upgrade(engine)
    assert set(inspect(engine).get_table_names()) - {VERSION_TABLE} == {"snapshots"}
    assert migrations.current(engine) is None


def test_a_database_without_tables_says_what_to_run(make_engine: Callable[[], Engine]) -> None:
    engine = make_engine()
    store = EventStore(engine)
    for call in (
        lambda: store.append("order-1", [NewEvent("placed")], expected_version=ANY),
        lambda: store.stream_version("order-1"),
        lambda: list(store.read_stream("order-1")),
        lambda: store.snapshots.load("order-1"),
        lambda: store.append_many([]) or store.snapshots.delete("order-1"),
    ):
        with pytest.raises(SchemaMissing, match="alembic upgrade head"):
            call()
    migrations.upgrade(engine)
    assert store.append("order-1", [NewEvent("placed")], expected_version=0).version == 1


def test_a_schema_that_does_not_fit(any_engine: Engine) -> None:
    schema = EventStore(any_engine).tables.schema

    def store_on(version: int, breaking_version: int) -> EventStore:
        with any_engine.begin() as connection:
            connection.execute(schema.update().values(version=version, breaking_version=breaking_version))
        return EventStore(any_engine)

    with pytest.raises(SchemaOutdated) as outdated:
        store_on(0, 0).stream_version("order-1")
    assert (outdated.value.found, outdated.value.required) == (0, 1)
    with pytest.raises(SchemaTooNew) as too_new:
        store_on(SCHEMA_VERSION + 2, SCHEMA_VERSION + 1).stream_version("order-1")
    assert (too_new.value.found, too_new.value.breaking, too_new.value.known) == (
        SCHEMA_VERSION + 2,
        SCHEMA_VERSION + 1,
        SCHEMA_VERSION,
    )
    assert store_on(SCHEMA_VERSION + 5, SCHEMA_VERSION).stream_version("order-1") == 0


def test_undoing_the_first_revision_refuses_to_lose_events(make_engine: Callable[[], Engine]) -> None:
    engine = make_engine()
    url = engine.url.render_as_string(hide_password=False)
    command = [sys.executable, "-m", "alembic", "-x", f"url={url}", "downgrade", "base"]
    migrations.upgrade(engine)
    store = EventStore(engine)
    store.append("order-1", [NewEvent("placed")], expected_version=0)
    refused = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert refused.returncode != 0
    assert "would be lost" in refused.stderr
    assert store.stream_version("order-1") == 1
    with engine.begin() as connection:
        connection.execute(store.tables.events.delete())
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    assert set(inspect(engine).get_table_names()) <= {VERSION_TABLE}
