"""`migrations.verify` finds damage that was made on purpose, and nothing where there is none."""

import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, text

from eventstore import EventStore, InvalidInput, NewEvent, migrations
from eventstore.errors import ConstraintViolated
from eventstore.migrations.definitions import history
from eventstore.schema_version import create_schema
from eventstore.tables import define_tables

pytestmark = pytest.mark.slow

REVISIONS = list(history("postgresql"))
MOST_LIKELY = {"es_0003es_0006", "es_0006es_0003", "es_0004es_0003", "es_0006es_0005", "es_0002es_0002"}

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


CURED_BY_SQL = [
    "no foreign key", "no check", "no unique key", "no index", "another index", "an invalid index", "no primary key",
    "a constraint that was not validated", "a sequence that hands out many", "a trigger that is gone",
    "a trigger that is disabled", "a trigger that never fires", "a trigger that lets pass",
]  # fmt: skip


@pytest.mark.parametrize("kind", CURED_BY_SQL)
def test_the_remedy_mends_it(postgres_engine: Engine, kind: str) -> None:
    """How it is printed is tried in test_schema_damages.py."""
    damage(postgres_engine, ON_POSTGRESQL[kind][0])
    for found in migrations.verify(postgres_engine):
        migrations.fix(postgres_engine, found)
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


def test_what_takes_a_backup_is_not_mended(postgres_engine: Engine) -> None:
    damage(postgres_engine, "ALTER TABLE es_events DROP COLUMN data; DROP TABLE es_checkpoints CASCADE")
    found = [found for found in migrations.verify(postgres_engine) if found.name in {"data", None}]
    assert [(each.table, each.name) for each in found] == [("es_events", "data"), ("es_checkpoints", None)]
    for each in found:
        assert "from a backup" in each.remedy
        with pytest.raises(InvalidInput, match="takes more than SQL"):
            migrations.fix(postgres_engine, each)


def test_rows_that_break_a_constraint_are_said_and_new_ones_refused(postgres_engine: Engine) -> None:
    EventStore(postgres_engine).append("order-1", [NewEvent("placed")], expected_version=0)
    damage(
        postgres_engine,
        "ALTER TABLE es_events DROP CONSTRAINT es_events_codec_check;"
        "SET eventstore.allow_history_changes = 'on'; UPDATE es_events SET codec = -1",
    )
    (found,) = migrations.verify(postgres_engine)
    with pytest.raises(ConstraintViolated) as raised:
        migrations.fix(postgres_engine, found)
    assert (raised.value.table, raised.value.constraint) == ("es_events", "es_events_codec_check")
    (found,) = migrations.verify(postgres_engine)
    assert "was never validated" in found.problem


def test_an_empty_database_lacks_all_tables(new_engine: Engine) -> None:
    findings = migrations.verify(new_engine)
    assert all("is not there" in found.problem and "eventstore migrate" in found.remedy for found in findings)
    assert {found.table for found in findings} == set(
        define_tables(position_is_key=is_sqlite(new_engine)).metadata.tables
    )


def is_sqlite(engine: Engine) -> bool:
    return engine.dialect.name == "sqlite"


def test_each_revision_is_compared_with_itself(new_engine: Engine) -> None:
    for revision, _ in migrations.pending(new_engine):
        migrations.upgrade(new_engine, revision)
        pending = [missing for missing, _ in migrations.pending(new_engine)]
        problems = [found.problem for found in migrations.verify(new_engine)]
        assert problems == ([f"not yet applied: {', '.join(pending)}"] if pending else []), revision


def test_each_revision_is_compared_with_itself_on_the_way_back(new_engine: Engine) -> None:
    migrations.upgrade(new_engine)
    for revision in reversed(REVISIONS[:-1]):
        migrations.downgrade(new_engine, revision)
        assert [found.problem for found in migrations.verify(new_engine)] == [
            f"not yet applied: {', '.join(REVISIONS[REVISIONS.index(revision) + 1 :])}"
        ]


def test_damage_of_an_older_revision_is_found(new_engine: Engine) -> None:
    migrations.upgrade(new_engine, "es_0003")
    damage(new_engine, "DROP INDEX es_events_category_position_idx")
    first, found = migrations.verify(new_engine)
    assert first.problem.startswith("not yet applied: es_0004, es_0005")
    assert (found.name, found.kind) == ("es_events_category_position_idx", migrations.Difference.INDEX_MISSING)


def alike(revision: str, engine: Engine) -> set[str]:
    """Return the revisions that make the same tables, apart from what was validated."""

    def made_by(revision: str) -> dict[object, str]:
        made = history(engine.dialect.name)[revision].items()
        return {key: text.removesuffix(" NOT VALID") for key, text in made if key.kind != "row"}

    return {each for each in REVISIONS if made_by(each) == made_by(revision)}


STAMPS = [
    pytest.param(are, stamped, marks=[] if are + stamped in MOST_LIKELY else pytest.mark.long)
    for are in REVISIONS
    for stamped in REVISIONS
]


@pytest.mark.parametrize(("are", "stamped"), STAMPS)
@pytest.mark.parametrize("with_row", [False, True], ids=["only the version table", "es_schema, too"])
def test_a_wrong_stamp_is_recognised_by_what_the_tables_are(
    at_revision: Callable[[str], Engine], are: str, stamped: str, *, with_row: bool
) -> None:
    """G9: the remedy that hid it was to set es_schema's version."""
    engine = at_revision(are)
    damage(engine, f"UPDATE es_alembic_version SET version_num = '{stamped}'")
    if with_row:
        damage(engine, f"UPDATE es_schema SET version = {int(stamped[3:])}")
    wrong = [found for found in migrations.verify(engine) if found.kind is migrations.Difference.VERSION_WRONG]
    following = REVISIONS.index(are) == REVISIONS.index(stamped) + 1
    if stamped == are or (with_row and stamped in alike(are, engine)):
        assert wrong == []
    elif with_row and following and not is_sqlite(engine) and are not in {"es_0001", "es_0005"}:
        assert wrong == [], "it may have been interrupted: migrating goes on"
    else:
        said = (
            {"es_alembic_version", "es_schema"} if with_row or stamped in alike(are, engine) else {"es_alembic_version"}
        )
        assert {found.table for found in wrong} <= said
        assert wrong
        named = {
            each for each in alike(are, engine) for found in wrong if f"the tables are those of {each}" in found.problem
        }
        assert len(named) == 1
    for found in wrong:
        migrations.fix(engine, found)
    for found in migrations.verify(engine):
        if found.statements:  # what es_0004 would have validated
            migrations.fix(engine, found)
    migrations.upgrade(engine)
    assert migrations.verify(engine) == []


@pytest.fixture
def at_revision(make_engine: Callable[[], Engine]) -> Callable[[str], Engine]:
    def make(revision: str) -> Engine:
        engine = make_engine()
        migrations.upgrade(engine, revision)
        return engine

    return make


def test_a_migration_that_was_interrupted_is_said_to_have_begun(new_postgres_engine: Engine) -> None:
    migrations.upgrade(new_postgres_engine, "es_0005")
    damage(new_postgres_engine, "ALTER TABLE es_streams ADD COLUMN deleted_version bigint")
    assert [found.problem for found in migrations.verify(new_postgres_engine)] == [
        f"not yet applied: {', '.join(REVISIONS[5:])} (begun)"
    ]


def test_tables_that_are_newer_than_this_code_are_not_judged(any_engine: Engine) -> None:
    """The older code of a rolling deployment, whose `check` must not fail because of them."""
    damage(any_engine, "UPDATE es_schema SET version = 99; UPDATE es_alembic_version SET version_num = 'es_0099'")
    damage(any_engine, "ALTER TABLE es_streams ADD COLUMN tenant text")
    assert migrations.verify(any_engine) == []


def test_looking_for_what_is_missing_changes_nothing_in_the_tables(make_engine: Callable[[], Engine]) -> None:
    outdated, new = make_engine(), make_engine()
    migrations.upgrade(outdated, "es_0001")
    assert migrations.verify(outdated) != []
    create_schema(new, EventStore(new).tables)
    assert migrations.verify(new) == []
