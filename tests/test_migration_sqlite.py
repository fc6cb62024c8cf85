"""What is peculiar to migrations of SQLite: they change definitions in place, and look whether there is room."""

import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.pool import StaticPool

from eventstore import EventStore, NewEvent, migrations
from eventstore.backends import engine_for
from eventstore.errors import ConstraintViolated, DefinitionsProtected, DiskTooSmall, MigrationError, ReferredTo
from eventstore.migrations.sqlite_definitions import definition_of, redefine
from tests.application_objects import dump, fill, run
from tests.fix_migrations import catalog
from tests.test_migration_ways import OURS, Application

PRAGMAS = ("foreign_keys", "writable_schema", "recursive_triggers", "defer_foreign_keys", "legacy_alter_table")


@pytest.fixture
def engine(tmp_path: Path, tracked_engine: Callable[[Any], Engine]) -> Engine:
    """Return one of a file at es_0001, with events."""
    made = tracked_engine(f"sqlite:///{tmp_path / 'shop.db'}")
    migrations.upgrade(made, "es_0001")
    fill(made)
    return made


def pages(engine: Engine) -> list[tuple[Any, ...]]:
    """Return where each of our tables begins: a copy would begin elsewhere."""
    with engine.connect() as connection:
        found = connection.exec_driver_sql(
            "SELECT name, rootpage FROM sqlite_master WHERE type = 'table' AND name IN "
            "('es_streams', 'es_events', 'snapshots', 'es_schema') ORDER BY name"
        )
        return [tuple(row) for row in found]


# --- definitions are changed in place


@pytest.mark.slow
def test_no_table_is_copied(engine: Engine) -> None:
    before = pages(engine)
    migrations.upgrade(engine)
    assert pages(engine) == before
    migrations.downgrade(engine, "es_0001")
    assert pages(engine) == before


@pytest.mark.slow
def test_connections_that_were_open_before_check_the_new_constraints(
    engine: Engine, tracked_engine: Callable[[Any], Engine]
) -> None:
    other = tracked_engine(engine.url)
    insert = text("INSERT INTO es_streams (stream_id, version) VALUES (:stream_id, 1)")
    with other.connect() as connection:
        connection.execute(insert, {"stream_id": "order-4"})
        connection.commit()
        migrations.upgrade(engine, "es_0007")
        with pytest.raises(IntegrityError, match="es_streams_stream_id_check"):
            connection.execute(insert, {"stream_id": "x" * 256})


@pytest.mark.slow
def test_a_failed_migration_leaves_the_definitions_as_they_were_on_its_own_connection(tmp_path: Path) -> None:
    engine = engine_for(f"sqlite:///{tmp_path / 'shop.db'}", poolclass=StaticPool)
    migrations.upgrade(engine, "es_0001")
    run(engine, "INSERT INTO snapshots VALUES (0, '2026-01-01', 1, 0, 'order-1', x'')")  # breaks the last constraints
    with pytest.raises(ConstraintViolated, match="snapshots_version_check"):
        migrations.upgrade(engine)
    run(engine, f"INSERT INTO es_streams (stream_id, version) VALUES ('{'x' * 256}', 1)")
    assert migrations.current(engine) == "es_0001"
    engine.dispose()


def test_the_constraint_that_is_not_satisfied_is_named_among_several(engine: Engine) -> None:
    run(engine, "UPDATE es_events SET codec = -1 WHERE position = 4")
    with pytest.raises(ConstraintViolated) as violated:
        migrations.upgrade(engine)
    assert violated.value.constraint == "es_events_codec_check"
    assert violated.value.definition == "CHECK (codec >= 0)"


@pytest.mark.slow
def test_the_connection_is_as_it_was(tmp_path: Path) -> None:
    engine = engine_for(f"sqlite:///{tmp_path / 'shop.db'}", poolclass=StaticPool)

    def settings() -> list[Any]:
        with engine.connect() as connection:
            return [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in PRAGMAS]

    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA recursive_triggers = ON")
        connection.exec_driver_sql("PRAGMA writable_schema = ON")
    before = settings()
    assert before[:3] == [1, 1, 1]
    migrations.upgrade(engine)
    migrations.downgrade(engine, "es_0001")
    assert settings() == before
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT name FROM sqlite_temp_master").all() == []
    engine.dispose()


CHANGES = [
    ("stream_id", "other_id"),
    ("\n)", "\n"),
    ("es_streams (", "other ("),
    ("\n)", ", UNIQUE (version)\n)"),
    ("\n)", "\n) WITHOUT ROWID"),
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_definition_that_is_no_such_table_is_never_written(engine: Engine, change: tuple[str, str]) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        sql = definition_of(connection, "es_streams")
        with pytest.raises((MigrationError, OperationalError)):
            redefine(connection, "es_streams", sql.replace(*change))
        assert definition_of(connection, "es_streams") == sql
        assert connection.exec_driver_sql("PRAGMA writable_schema").scalar() == 0
    assert EventStore(engine).stream_version("order-1") == 3


@pytest.fixture
def defended(engine: Engine) -> Engine:
    """Let `engine` behave as Apple's SQLite does for a Python that can't switch it off."""

    @event.listens_for(engine, "before_cursor_execute", retval=True)
    def keep_off(_c: Connection, _u: Any, statement: str, parameters: Any, *_: Any) -> tuple[str, Any]:
        return statement.replace("writable_schema = ON", "writable_schema"), parameters

    return engine


@pytest.mark.slow
def test_where_sqlite_protects_its_definitions_the_error_says_so(defended: Engine) -> None:
    before = catalog(defended)
    with pytest.raises(DefinitionsProtected, match="DEFENSIVE") as refused:
        migrations.upgrade(defended)
    assert refused.value.table == "es_streams"
    assert catalog(defended) == before
    assert migrations.current(defended) == "es_0001"


@pytest.mark.skipif(not hasattr(sqlite3, "SQLITE_DBCONFIG_DEFENSIVE"), reason="Python 3.12 can switch it")
def test_the_protection_is_switched_off_meanwhile(engine: Engine) -> None:
    defensive: Any = getattr(sqlite3, "SQLITE_DBCONFIG_DEFENSIVE", None)
    engine.dispose()

    @event.listens_for(engine, "connect")
    def protect(connection: Any, _: Any) -> None:
        connection.setconfig(defensive, True)  # noqa: FBT003  # the driver's

    migrations.upgrade(engine)
    assert migrations.verify(engine) == []
    with engine.connect() as connection:
        raw: Any = connection.connection.dbapi_connection
        assert raw.getconfig(defensive)


# --- what is the application's


@pytest.mark.slow
def test_what_was_wrong_before_with_a_foreign_key_of_theirs_is_not_ours(engine: Engine) -> None:
    run(
        engine,
        "CREATE TABLE app_owners (name text PRIMARY KEY)",
        "PRAGMA foreign_keys = OFF",
        "ALTER TABLE snapshots ADD COLUMN app_owner text REFERENCES app_owners",
        "UPDATE snapshots SET app_owner = 'gone'",
        "CREATE VIEW app_broken AS SELECT * FROM app_not_there",
    )
    migrations.upgrade(engine)
    assert migrations.current(engine) == migrations.head()


@pytest.mark.slow
def test_tables_of_the_same_names_in_an_attached_file_are_not_touched(engine: Engine, tmp_path: Path) -> None:
    attached = tmp_path / "attached.db"
    with closing(sqlite3.connect(attached)) as raw, raw:
        for name in ("es_events", "es_streams", "es_checkpoints", "snapshots"):
            raw.execute(f"CREATE TABLE {name} (theirs)")
            raw.execute(f"INSERT INTO {name} VALUES (1)")
        before = list(raw.iterdump())
    raw.close()
    engine.dispose()

    @event.listens_for(engine, "connect")
    def attach(connection: sqlite3.Connection, _: Any) -> None:
        connection.execute(f"ATTACH '{attached}' AS other")

    migrations.upgrade(engine)
    migrations.downgrade(engine, "es_0001")
    with closing(sqlite3.connect(attached)) as raw, raw:
        assert list(raw.iterdump()) == before
    raw.close()


class Needing(NamedTuple):
    sql: str
    dropped: str
    dependent: str


NEEDING = {
    "rows": Needing(
        "CREATE TABLE app_jobs (name text REFERENCES es_checkpoints ON DELETE CASCADE);"
        "INSERT INTO es_checkpoints (name, position) VALUES ('totals', 0); INSERT INTO app_jobs VALUES ('totals')",
        "es_checkpoints",
        "table app_jobs",
    ),
    "another case": Needing(
        'CREATE TABLE app_jobs (name text REFERENCES "ES_Dead_Letters" (position) ON DELETE SET NULL)',
        "es_dead_letters",
        "table app_jobs",
    ),
    "trigger": Needing(
        "CREATE TRIGGER app_seen AFTER UPDATE ON es_checkpoints BEGIN SELECT 1; END",
        "es_checkpoints",
        "trigger app_seen",
    ),
    "index": Needing(
        "CREATE INDEX app_failed ON es_dead_letters (error)",
        "es_dead_letters",
        "index app_failed",
    ),
    "view": Needing(
        "CREATE VIEW app_ended AS SELECT deleted_version FROM es_streams",
        "column deleted_version of es_streams",
        "error in view app_ended after drop column: no such column: deleted_version",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", NEEDING)
def test_what_something_of_theirs_needs_is_not_dropped(engine: Engine, kind: str) -> None:
    needing = NEEDING[kind]
    migrations.upgrade(engine)
    run(engine, needing.sql)
    before = dump(engine)
    with pytest.raises(ReferredTo) as refused:
        migrations.downgrade(engine, "es_0001")
    assert (refused.value.dropped, refused.value.dependents) == (needing.dropped, (needing.dependent,))
    assert dump(engine) == before
    migrations.upgrade(engine)


@pytest.mark.slow
def test_nor_by_an_alembic_of_theirs_inside_a_transaction(tmp_path: Path, engine: Engine) -> None:
    engine.dispose()
    Path(str(engine.url.database)).unlink()
    application = Application(tmp_path / "application", engine)
    application.write(locations=OURS, in_transaction=True)
    config = Config(application.folder / "alembic.ini")
    command.upgrade(config, "heads")
    run(engine, NEEDING["rows"].sql)
    before = dump(engine)
    with pytest.raises(ReferredTo, match="table app_jobs"):
        command.downgrade(config, "eventstore@es_0001")
    assert dump(engine) == before


INDEX = "es_events_category_position_idx"


@pytest.mark.slow
@pytest.mark.parametrize(
    "sql",
    [
        f"CREATE TABLE app_jobs (id); CREATE INDEX {INDEX} ON app_jobs (id)",
        f"CREATE INDEX {INDEX} ON es_events (version)",
    ],
)
def test_an_index_of_theirs_with_one_of_our_names_is_refused(engine: Engine, sql: str) -> None:
    """Not taken for ours: it would be missing, and could not be built."""
    run(engine, sql)
    before = dump(engine)
    with pytest.raises(MigrationError, match=f"index {INDEX} is on .*, but must be on es_events .*drop it"):
        migrations.upgrade(engine)
    assert dump(engine) == before
    run(engine, f"DROP INDEX {INDEX}")
    migrations.upgrade(engine)
    assert migrations.verify(engine) == []


# --- room on the disk


class Disk:
    """How much is free in which folder."""

    def __init__(self, plenty: int) -> None:
        self.plenty = plenty
        self.free: dict[str, int] = {}

    def usage(self, folder: Any) -> Any:
        return SimpleNamespace(free=self.free.get(str(folder), self.plenty))


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    made = Disk(10**12)
    monkeypatch.setattr("eventstore.migrations.sqlite_space.shutil.disk_usage", made.usage)
    return made


@pytest.mark.slow
@pytest.mark.parametrize("revision", ["head", "es_0002"])
def test_indexes_that_have_no_room_are_not_begun(engine: Engine, disk: Disk, revision: str) -> None:
    before = dump(engine)
    folder = str(Path(str(engine.url.database)).parent)
    disk.free[folder] = 100
    with pytest.raises(DiskTooSmall, match="building the indexes of es_events") as refused:
        migrations.upgrade(engine, revision)
    assert (refused.value.folder, refused.value.free_bytes) == (folder, 100)
    assert refused.value.needed_bytes > 100
    assert dump(engine) == before
    disk.free[folder] = 1_000_000
    migrations.upgrade(engine)


@pytest.mark.slow
def test_the_folder_of_temporary_files_is_looked_at_too(
    engine: Engine, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk_of_database = Path(str(engine.url.database)).stat().st_dev
    others = [
        each
        for each in ("/dev/shm", "/var/tmp")  # noqa: S108  # one of them is on another disk than the database
        if Path(each).is_dir() and Path(each).stat().st_dev != disk_of_database
    ]
    if not others:
        pytest.skip("no second disk")
    with tempfile.TemporaryDirectory(dir=others[0]) as elsewhere:
        monkeypatch.setenv("SQLITE_TMPDIR", elsewhere)
        disk.free[elsewhere] = 100
        with pytest.raises(DiskTooSmall) as refused:
            migrations.upgrade(engine)
        assert refused.value.folder == elsewhere
        monkeypatch.setenv("SQLITE_TMPDIR", "/not/there")  # then it is another folder
        monkeypatch.delenv("TMPDIR", raising=False)
        migrations.upgrade(engine)


@pytest.mark.slow
def test_going_back_rewrites_two_small_tables_and_looks_for_room(engine: Engine, disk: Disk) -> None:
    migrations.upgrade(engine)
    disk.plenty = 0
    with pytest.raises(DiskTooSmall, match="rewriting es_streams"):
        migrations.downgrade(engine, "es_0005")
    assert migrations.current(engine) == migrations.head()


@pytest.mark.slow
def test_what_is_in_memory_needs_no_disk(disk: Disk) -> None:
    disk.plenty = 0
    engine = engine_for("sqlite://")
    migrations.upgrade(engine)
    EventStore(engine).append("order-1", [NewEvent("placed")], expected_version=0)
    engine.dispose()
