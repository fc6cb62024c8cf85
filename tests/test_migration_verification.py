"""`migrations.verify` finds damage that was made on purpose, and nothing where there is none."""

import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, text

from eventstore import EventStore, InvalidInput, NewEvent, migrations
from eventstore.schema_version import create_schema

pytestmark = pytest.mark.slow

ON_POSTGRESQL = {
    "a table that is gone": ("DROP TABLE snapshots", "snapshots", None),
    "a column that is gone": ("ALTER TABLE es_events DROP COLUMN metadata", "es_events", "metadata"),
    "a column of another type": ("ALTER TABLE es_events ALTER codec TYPE bigint", "es_events", "codec"),
    "a column that takes NULL": ("ALTER TABLE es_events ALTER data DROP NOT NULL", "es_events", "data"),
    "a column that is not generated": (
        "ALTER TABLE es_streams ALTER category DROP EXPRESSION",
        "es_streams",
        "category",
    ),
    "a position that is not numbered": (
        "ALTER TABLE es_events ALTER position DROP IDENTITY",
        "es_events",
        "position",
    ),
    "a column of somebody else's": ("ALTER TABLE es_events ADD tenant text", "es_events", "tenant"),
    "no primary key": ("ALTER TABLE snapshots DROP CONSTRAINT snapshots_pkey", "snapshots", "snapshots_pkey"),
    "no foreign key": (
        "ALTER TABLE es_events DROP CONSTRAINT es_events_stream_id_fkey",
        "es_events",
        "es_events_stream_id_fkey",
    ),
    "no check": (
        "ALTER TABLE es_streams DROP CONSTRAINT es_streams_version_check",
        "es_streams",
        "es_streams_version_check",
    ),
    "no unique key": (
        "ALTER TABLE es_events DROP CONSTRAINT es_events_position_key",
        "es_events",
        "es_events_position_key",
    ),
    "no index": ("DROP INDEX es_events_recorded_at_idx", "es_events", "es_events_recorded_at_idx"),
    "another index": (
        (
            "DROP INDEX es_events_category_position_idx;"
            " CREATE INDEX es_events_category_position_idx ON es_events (category)"
        ),
        "es_events",
        "es_events_category_position_idx",
    ),
    "an invalid index": (
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'es_events_category_position_idx'::regclass",
        "es_events",
        "es_events_category_position_idx",
    ),
    "a constraint that was not validated": (
        (
            "ALTER TABLE es_events DROP CONSTRAINT es_events_codec_check,"
            " ADD CONSTRAINT es_events_codec_check CHECK (codec >= 0) NOT VALID"
        ),
        "es_events",
        "es_events_codec_check",
    ),
    "a sequence that hands out many": (
        "ALTER SEQUENCE es_events_position_seq CACHE 20",
        "es_events",
        "es_events_position_seq",
    ),
    "a trigger that is gone": (
        "DROP TRIGGER es_events_immutable ON es_events",
        "es_events",
        "es_events_immutable",
    ),
    "a trigger that is disabled": (
        "ALTER TABLE es_events DISABLE TRIGGER es_events_immutable",
        "es_events",
        "es_events_immutable",
    ),
    "a trigger that never fires": (
        (
            "CREATE OR REPLACE TRIGGER es_events_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON es_events"
            " FOR EACH STATEMENT WHEN (false) EXECUTE FUNCTION es_refuse_history_change()"
        ),
        "es_events",
        "es_events_immutable",
    ),
    "a trigger that lets pass": (
        (
            "CREATE OR REPLACE FUNCTION es_refuse_history_change() RETURNS trigger LANGUAGE plpgsql"
            " AS $$BEGIN RETURN NULL; END$$"
        ),
        "es_events",
        "es_refuse_history_change",
    ),
    "no row in es_schema": ("DELETE FROM es_schema", "es_schema", None),
    "another version in es_schema": ("UPDATE es_schema SET version = 2", "es_schema", None),
}
ON_SQLITE = {
    "a trigger that is gone": (
        "DROP TRIGGER es_events_immutable_delete",
        "es_events",
        "es_events_immutable_delete",
    ),
    "a trigger that never fires": (
        (
            "DROP TRIGGER es_events_immutable_update;"
            " CREATE TRIGGER es_events_immutable_update BEFORE UPDATE ON es_events WHEN 0 BEGIN SELECT 1; END"
        ),
        "es_events",
        "es_events_immutable_update",
    ),
    "a permission that was left behind": (
        "INSERT INTO es_history_permission VALUES (1)",
        "es_events",
        "es_history_permission",
    ),
    "a table that is gone": ("DROP TABLE snapshots", "snapshots", None),
    "a column of somebody else's": ("ALTER TABLE es_events ADD tenant text", "es_events", "tenant"),
    "no index": ("DROP INDEX es_events_recorded_at_idx", "es_events", "es_events_recorded_at_idx"),
    "another version in es_schema": ("UPDATE es_schema SET version = 2", "es_schema", None),
    "a table without constraints": (
        "CREATE TABLE copy AS SELECT * FROM snapshots; DROP TABLE snapshots; ALTER TABLE copy RENAME TO snapshots",
        "snapshots",
        "snapshots_pkey",
    ),
}


def damage(engine: Engine, sql: str) -> None:
    with engine.begin() as connection:
        for statement in re.split(r";(?! END)", sql):  # that of a trigger's body is not the end
            connection.execute(text(statement))


def test_a_healthy_schema_has_no_findings(any_engine: Engine) -> None:
    EventStore(any_engine).append("order-1", [NewEvent("placed")], expected_version=0)
    assert migrations.verify(any_engine) == []


def test_an_index_of_ones_own_is_left_alone(any_engine: Engine) -> None:
    damage(any_engine, "CREATE INDEX mine ON es_events (stream_id, event_type, version)")
    assert migrations.verify(any_engine) == []


@pytest.mark.parametrize("kind", ON_POSTGRESQL)
def test_damage_is_found_on_postgresql(postgres_engine: Engine, kind: str) -> None:
    sql, table, name = ON_POSTGRESQL[kind]
    damage(postgres_engine, sql)
    assert_found(postgres_engine, table, name)


@pytest.mark.parametrize("kind", ON_SQLITE)
def test_damage_is_found_on_sqlite(sqlite_engine: Engine, kind: str) -> None:
    sql, table, name = ON_SQLITE[kind]
    damage(sqlite_engine, sql)
    assert_found(sqlite_engine, table, name)


def assert_found(engine: Engine, table: str, name: str | None) -> None:
    findings = migrations.verify(engine)
    assert (table, name) in [(found.table, found.name) for found in findings]
    assert {found.table for found in findings} == {table}, "blames others"
    for found in findings:
        assert found.problem
        assert found.remedy
        assert str(found).startswith(table)


@pytest.mark.parametrize("kind", [
    "no foreign key", "no check", "no unique key", "no index", "another index", "an invalid index", "no primary key",
    "a constraint that was not validated", "a sequence that hands out many", "a trigger that is gone",
    "a trigger that is disabled", "a trigger that never fires", "a trigger that lets pass",
])  # fmt: skip
def test_the_remedy_mends_it(postgres_engine: Engine, kind: str) -> None:
    sql, _, _ = ON_POSTGRESQL[kind]
    damage(postgres_engine, sql)
    ((remedy,),) = [[found.remedy for found in migrations.verify(postgres_engine)]]
    with postgres_engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for statement in ("REINDEX" + remedy.split("REINDEX")[1] if "REINDEX" in remedy else remedy,):
            if statement.startswith("drop it, then "):
                connection.execute(text("DROP INDEX es_events_category_position_idx"))
            connection.execute(text(statement.removeprefix("drop it, then ")))
    assert migrations.verify(postgres_engine) == []


def test_an_index_that_is_being_built_is_no_difference(postgres_engine: Engine) -> None:
    build = "CREATE INDEX CONCURRENTLY es_events_mine_idx ON es_events (event_type)"
    building = (
        "SELECT count(*) FROM pg_index WHERE NOT indisvalid AND indexrelid::regclass::text = 'es_events_mine_idx'"
    )

    def execute() -> None:
        with postgres_engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(build))

    with ThreadPoolExecutor(1) as threads:
        with postgres_engine.connect() as older:  # the build waits for it
            EventStore(postgres_engine).join(older).append("order-1", [NewEvent("placed")], expected_version=0)
            done = threads.submit(execute)
            while not older.execute(text(building)).scalar():
                time.sleep(0.01)
            assert migrations.verify(postgres_engine) == []
            older.commit()
        done.result(timeout=30)


@pytest.mark.parametrize("kind", ["no index", "an invalid index", "a sequence that hands out many"])
def test_what_has_a_statement_is_mended_by_it(postgres_engine: Engine, kind: str) -> None:
    damage(postgres_engine, ON_POSTGRESQL[kind][0])
    (found,) = migrations.verify(postgres_engine)
    migrations.mend(postgres_engine, found)
    assert migrations.verify(postgres_engine) == []


def test_what_has_none_is_not_mended(postgres_engine: Engine) -> None:
    sql = ";".join(ON_POSTGRESQL[kind][0] for kind in ("no foreign key", "a column of somebody else's", "no check"))
    damage(postgres_engine, sql)
    for found in migrations.verify(postgres_engine):
        with pytest.raises(InvalidInput, match="not mended by one statement"):
            migrations.mend(postgres_engine, found)


def test_what_was_not_applied_yet_is_named_first(new_engine: Engine) -> None:
    assert "is not there" in migrations.verify(new_engine)[0].problem
    migrations.upgrade(new_engine, "es_0002")
    first, *others = migrations.verify(new_engine)
    assert first.problem == f"not yet applied: {', '.join(revision for revision, _ in migrations.pending(new_engine))}"
    assert "eventstore migrate" in first.remedy
    on_sqlite = ["es_history_permission"] if new_engine.dialect.name == "sqlite" else []
    assert {found.table for found in others} == {
        "es_streams", "es_events", "snapshots", "es_checkpoints", "es_dead_letters", *on_sqlite,
    }  # fmt: skip


def test_looking_for_what_is_missing_changes_nothing_in_the_tables(make_engine: Callable[[], Engine]) -> None:
    outdated, new = make_engine(), make_engine()
    migrations.upgrade(outdated, "es_0001")
    assert migrations.verify(outdated) != []
    create_schema(new, EventStore(new).tables)
    assert migrations.verify(new) == []
