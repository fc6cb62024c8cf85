"""The revisions, and the API that runs them."""

import hashlib
import os
from collections.abc import Callable
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect, select, text

from eventstore import ANY, EventStore, InvalidInput, NewEvent, migrations
from eventstore.core.schema_version import create_schema
from eventstore.errors import EventsWouldBeLost, ForeignMigrationHistory, SchemaMissing, SchemaOutdated, SchemaTooNew
from eventstore.migrations.environment import VERSION_TABLE
from eventstore.tables import SCHEMA_VERSION
from tests.fix_engines import changing_history
from tests.fix_migrations import ROOT, BringTo, catalog, run_alembic, url_of
from tests.processes import run_python

pytestmark = pytest.mark.slow

RELEASED = {
    "es_0001_tables.py": "bd03d6b9202cd2703717d1ef1a2632b7496bec27b60a184bd1cf7ad5b8f61f07",
    "es_0002_read_indexes.py": "2d9e3dcc67e3980459379d612763281a5d603430721ce4a191318559538f4f31",
    "es_0003_constraints.py": "3a94406bd8492055a8b7986cb907ac75d58190420f88928d9964fd902a244097",
    "es_0004_validate_constraints.py": "987671e14db523febd0469962c1659cc700073db7f3039c38e7504f6eb827168",
    "es_0005_projections.py": "15663a4bf18011fceecf000d44e76a32c7e5b5e5152c0c8cf903eab1374167d1",
    "es_0006_history.py": "f82b3ad033fa71eeccca82677ffd6f61f57af2b79d2d2251eb6dde8e2f916e1e",
    "es_0007_checkpoint_events.py": "18aef3703ab69291a86ca29ae6df4795b44b287d2dd3e82784fbc9e7fe1e89ee",
    "es_0008_fewer_checks.py": "644bf9914eb083e9dfb013497485e23399edd60ddccd977883d2fb05944d6dfe",
    "es_0009_event_tags.py": "a9db4bd844d8a2c369157074716634ee26ed961f1eeec1da751f984d8b85b72b",
    "es_0010_after_position.py": "69727969d30de1b24aec24eb9e5acfb54b8fb1b8b71cf4e610853f3a150d35e1",
    "es_0011_detached_parts.py": "146ee4a2d4222fc1e20e47ba7391db59c3545a673eeca73a2c74c5dfcf4e9eb1",
    "es_0012_projection_starts.py": "672008e7379adebd4e1a193259babe714b61d083e2b99900747343469d4675a8",
}
"""The SHA-256 of revisions. One that is in somebody's database must never change: add another instead."""


def test_a_revision_that_was_released_is_not_edited() -> None:
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in migrations.versions_path().glob("*.py")
    }
    assert found == RELEASED


def test_there_is_one_head_and_it_is_the_version_of_the_tables() -> None:
    config = Config()
    config.set_main_option("script_location", str(migrations.versions_path().parent))
    assert ScriptDirectory.from_config(config).get_heads() == [migrations.head()]
    assert migrations.head() == f"es_{SCHEMA_VERSION:04}"


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


def test_every_revision_can_be_undone_and_done_again_and_is_compared_with_itself(new_engine: Engine) -> None:
    reached = "base"
    for revision, _ in migrations.pending(new_engine):
        before = catalog(new_engine)
        migrations.upgrade(new_engine, revision)
        done = catalog(new_engine)
        assert migrations.current(new_engine) == revision
        migrations.downgrade(new_engine, reached)
        assert validated(catalog(new_engine)) == validated(before), f"{revision} leaves something behind"
        migrations.upgrade(new_engine, revision)
        assert catalog(new_engine) == done
        pending = [missing for missing, _ in migrations.pending(new_engine)]
        problems = [found.found for found in migrations.verify(new_engine)]
        assert problems == ([f"not yet applied: {', '.join(pending)}"] if pending else []), revision
        reached = revision
    migrations.downgrade(new_engine, "base")
    assert set(inspect(new_engine).get_table_names()) <= {VERSION_TABLE}
    assert migrations.current(new_engine) is None


def validated(rows: list[tuple[object, ...]]) -> list[tuple[object, ...]]:
    """Forget which constraints were validated: that is not undone, and does no harm."""
    return [(*row[:3], str(row[3]).removesuffix(" NOT VALID")) for row in rows]


def test_undoing_and_redoing_keeps_events_snapshots_and_positions(bring_to: BringTo, new_engine: Engine) -> None:
    bring_to(new_engine)
    store = EventStore(new_engine)
    for version in range(3):
        store.append("order-1", [NewEvent("placed", {"n": version})], expected_version=version)
    store.snapshots.save("order-1", version=3, state={"n": 2})
    before = list(store.read_stream("order-1"))
    with changing_history(new_engine) as connection:  # its position is given to nobody else
        connection.execute(store.tables.events.delete().where(store.tables.events.c.version == 3))
    migrations.downgrade(new_engine, "es_0001")
    assert list(store.read_stream("order-1")) == before[:2]
    migrations.upgrade(new_engine)
    assert list(store.read_stream("order-1")) == before[:2]
    snapshot = store.snapshots.load("order-1")
    assert snapshot is not None
    assert snapshot.state == {"n": 2}
    assert store.append("order-2", [NewEvent("placed")], expected_version=0).position == before[2].position + 1


def test_upgrading_twice_changes_nothing(new_engine: Engine) -> None:
    assert migrations.current(new_engine) is None
    applied: list[str] = []
    for _ in range(2):
        migrations.upgrade(new_engine, on_progress=lambda step: applied.append(step.applied) if step.applied else None)
        once = catalog(new_engine)
    assert catalog(new_engine) == once
    assert applied == [f"es_{number:04}" for number in range(1, SCHEMA_VERSION + 1)]
    assert migrations.pending(new_engine) == []


@pytest.mark.parametrize(
    ("make_engine", "by"),
    [pytest.param("postgresql", "argument", marks=pytest.mark.postgresql), ("sqlite", "variable")],
    indirect=["make_engine"],
)
def test_alembic_upgrade_head_works_from_the_checkout(new_engine: Engine, by: str) -> None:
    url = url_of(new_engine)
    arguments = ["-x", f"url={url}"] if by == "argument" else []
    environment = {**os.environ, "EVENTSTORE_URL": url if by == "variable" else ""}
    run_python("-m", "alembic", *arguments, "upgrade", "head", cwd=ROOT, env=environment, check=True)
    assert migrations.current(new_engine) == migrations.head()
    assert EventStore(new_engine).append("order-1", [NewEvent("placed")], expected_version=0).version == 1


def test_alembic_without_a_database_says_what_to_pass() -> None:
    environment = {**os.environ, "EVENTSTORE_URL": ""}
    done = run_python("-m", "alembic", "upgrade", "head", cwd=ROOT, env=environment)
    assert done.returncode != 0
    assert "EVENTSTORE_URL" in done.stderr


def test_a_revision_that_fails_leaves_nothing_behind(new_engine: Engine) -> None:
    with new_engine.begin() as connection:
        connection.execute(text("CREATE TABLE snapshots (wrong integer)"))  # the revision's third is there already
    with pytest.raises(Exception, match="snapshots"):
        migrations.upgrade(new_engine)
    assert set(inspect(new_engine).get_table_names()) - {VERSION_TABLE} == {"snapshots"}
    assert migrations.current(new_engine) is None
    with new_engine.begin() as connection:
        connection.execute(text("DROP TABLE snapshots"))
    migrations.upgrade(new_engine)
    assert migrations.verify(new_engine) == []


def test_undoing_the_first_revision_refuses_to_lose_events(bring_to: BringTo, new_engine: Engine) -> None:
    bring_to(new_engine)
    store = EventStore(new_engine)
    store.append("order-1", [NewEvent("placed")], expected_version=0)
    with pytest.raises(EventsWouldBeLost):
        migrations.downgrade(new_engine, "base")
    assert migrations.verify(new_engine) == [], "something was undone before it refused"
    refused = run_alembic(new_engine, "downgrade", "base")
    assert refused.returncode != 0
    assert "would be lost" in refused.stderr
    assert store.stream_version("order-1") == 1
    migrations.upgrade(new_engine)
    with changing_history(new_engine) as connection:
        connection.execute(store.tables.events.delete())
    assert run_alembic(new_engine, "downgrade", "base").returncode == 0
    assert set(inspect(new_engine).get_table_names()) <= {VERSION_TABLE}


def test_tables_of_another_history_are_left_alone(new_engine: Engine) -> None:
    create_schema(new_engine, EventStore(new_engine).tables)
    with pytest.raises(ForeignMigrationHistory, match="alembic upgrade heads"):
        migrations.upgrade(new_engine)
    assert not inspect(new_engine).has_table(VERSION_TABLE)
    with pytest.raises(ForeignMigrationHistory):
        migrations.pending(new_engine)
    assert migrations.check(new_engine) == (SCHEMA_VERSION, 1)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("lock_timeout_seconds", 0),
        ("lock_timeout_seconds", "1s"),
        ("wait_seconds", -1),
        ("wait_seconds", float("inf")),
        ("wait_seconds", True),
        ("schema", ""),
        ("schema", 7),
        ("schema", "a\0b"),
        ("schema", "é" * 32),
    ],
)
def test_options_that_can_not_be_right_are_refused(new_engine: Engine, option: str, value: Any) -> None:
    with pytest.raises(InvalidInput, match="schema" if option == "schema" else option):
        migrations.upgrade(new_engine, **{option: value})
    assert inspect(new_engine).get_table_names() == []


# --- does the schema fit?


def test_a_database_without_tables_says_what_to_run(new_engine: Engine) -> None:
    store = EventStore(new_engine)
    for call in (
        lambda: store.append("order-1", [NewEvent("placed")], expected_version=ANY),
        lambda: store.stream_version("order-1"),
        lambda: list(store.read_stream("order-1")),
        lambda: store.snapshots.load("order-1"),
        lambda: store.append_many([]) or store.snapshots.delete("order-1"),
        lambda: migrations.check(new_engine),
    ):
        with pytest.raises(SchemaMissing, match="eventstore migrate"):
            call()
    migrations.upgrade(new_engine)
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
    with pytest.raises(SchemaTooNew):
        migrations.check(any_engine)
    expected = (SCHEMA_VERSION + 2, SCHEMA_VERSION + 1, SCHEMA_VERSION)
    assert (too_new.value.found, too_new.value.breaking, too_new.value.known) == expected
    assert store_on(SCHEMA_VERSION + 5, SCHEMA_VERSION).stream_version("order-1") == 0
    assert migrations.check(any_engine) == (SCHEMA_VERSION + 5, SCHEMA_VERSION)


def test_this_code_works_on_every_revision(bring_to: BringTo, new_engine: Engine) -> None:
    """Code is deployed before, or after, or while the schema changes; it asks for it once."""
    bring_to(new_engine, "es_0001")
    store = EventStore(new_engine)
    for version, (revision, _) in enumerate(migrations.pending(new_engine)):
        for one in (store, EventStore(new_engine)):
            one.append(f"order-{id(one)}", [NewEvent("placed")], expected_version=ANY)
        store.append("order-1", [NewEvent("placed")], expected_version=version)
        migrations.upgrade(new_engine, revision)
        assert store.stream_version("order-1") == version + 1
