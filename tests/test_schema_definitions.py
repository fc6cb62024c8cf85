"""What `migrations.verify` expects is what the revisions make, wherever they are, and whatever the surroundings."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, event, text

from eventstore import EventStore, NewEvent, migrations
from eventstore.core.schema_version import create_schema
from eventstore.migrations import definitions
from eventstore.migrations.definitions import on_sqlite
from tests.fix_migrations import url_of
from tests.postgresql.launcher import find_binaries
from tests.schema_definitions import FOLDER, read, read_each_revision
from tests.test_schema_remedies import change_text

pytestmark = pytest.mark.slow

THE_APPLICATIONS_OWN = """
CREATE INDEX mine ON es_events (stream_id, event_type, version);
CREATE UNIQUE INDEX mine_too ON es_events (position) INCLUDE (event_id);
ALTER TABLE snapshots DROP CONSTRAINT snapshots_pkey,
    ADD CONSTRAINT snapshots_pkey PRIMARY KEY (stream_id, schema_version) INCLUDE (version);
CREATE TABLE invoices (stream_id text COLLATE "C" REFERENCES es_streams ON DELETE CASCADE, v bigint,
    position bigint REFERENCES es_events (position),
    FOREIGN KEY (stream_id, v) REFERENCES es_events (stream_id, version));
CREATE VIEW newest AS SELECT * FROM es_events;
CREATE FUNCTION count_them() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$;
CREATE TRIGGER counted AFTER INSERT ON es_events FOR EACH ROW EXECUTE FUNCTION count_them();
CREATE TRIGGER announced BEFORE INSERT ON es_events FOR EACH STATEMENT EXECUTE FUNCTION count_them();
CREATE STATISTICS often ON event_type, category FROM es_events;
CREATE PUBLICATION everything FOR TABLE es_events, es_streams;
COMMENT ON TABLE es_events IS 'ours';
COMMENT ON COLUMN es_events.data IS 'theirs';
GRANT SELECT, INSERT ON es_events TO pg_read_all_data;
ALTER TABLE es_events SET (autovacuum_vacuum_scale_factor = 0.01);
ALTER INDEX es_events_pkey SET (fillfactor = 80);
ALTER INDEX es_events_recorded_at_idx SET (pages_per_range = 64);
ALTER TABLE es_events ALTER data SET STORAGE EXTERNAL;
ALTER TABLE es_events ALTER event_type SET STATISTICS 500;
ALTER TABLE es_streams REPLICA IDENTITY FULL;
CLUSTER es_events USING es_events_position_key;
ALTER DATABASE {database} SET default_transaction_isolation = 'serializable';
"""
ON_SQLITE = """
CREATE INDEX mine ON es_events (stream_id, event_type, version);
CREATE UNIQUE INDEX mine_too ON es_events (position, event_id);
CREATE TABLE invoices (stream_id TEXT REFERENCES es_streams ON DELETE CASCADE);
CREATE VIEW newest AS SELECT * FROM es_events;
CREATE TRIGGER counted AFTER INSERT ON es_events BEGIN INSERT INTO invoices VALUES (new.stream_id); END
"""


def test_the_files_are_what_the_revisions_make(new_engine: Engine) -> None:
    path = FOLDER / f"{new_engine.dialect.name}.txt"
    made = definitions.to_text(dict(read_each_revision(new_engine)))
    assert path.read_text("utf-8") == made, "look at it, then: python -m tests.schema_definitions"
    assert definitions.to_text(definitions.history(new_engine.dialect.name)) == made


def test_tables_made_at_once_are_those_of_the_newest_revision(new_engine: Engine) -> None:
    create_schema(new_engine, EventStore(new_engine).tables)
    newest = list(definitions.history(new_engine.dialect.name).values())[-1]
    assert read(new_engine) == newest


@pytest.mark.parametrize("schema", ["my events", 'a"b.c', "%s:x", "Ünïcode", "to"])
def test_in_a_schema_of_any_name_it_is_the_same(new_postgres_engine: Engine, schema: str) -> None:
    preparer = new_postgres_engine.dialect.identifier_preparer
    name = preparer.quote_schema(schema).replace("%%", "%")
    migrations.upgrade(new_postgres_engine, schema="shop")
    with new_postgres_engine.begin() as connection:
        connection.execute(text(f"ALTER SCHEMA shop RENAME TO {name}".replace(":", "\\:")))
    newest = list(definitions.history("postgresql").values())[-1]
    assert read(new_postgres_engine, schema) == newest
    assert migrations.verify(new_postgres_engine, schema=schema) == []
    with new_postgres_engine.begin() as connection:
        for change in ("DROP CONSTRAINT es_events_stream_id_fkey", "DISABLE TRIGGER es_events_immutable"):
            connection.execute(text(f"ALTER TABLE {name}.es_events {change}".replace(":", "\\:")))
    for found in migrations.verify(new_postgres_engine, schema=schema):
        migrations.fix(new_postgres_engine, found)
    assert migrations.verify(new_postgres_engine, schema=schema) == []


def test_what_the_application_adds_is_no_difference(any_engine: Engine) -> None:
    sql = ON_SQLITE if any_engine.dialect.name == "sqlite" else THE_APPLICATIONS_OWN
    with any_engine.begin() as connection:
        for statement in sql.strip().split(";\n"):
            connection.execute(text(statement.replace("{database}", f'"{any_engine.url.database}"').rstrip(";")))
    assert migrations.verify(any_engine) == []


@pytest.mark.parametrize("options", [
    {"isolation_level": "AUTOCOMMIT"},
    {"isolation_level": "SERIALIZABLE"},
    {"connect_args": {"options": "-c search_path=other,public -c quote_all_identifiers=on -c row_security=off"}},
    {"connect_args": {"options": "-c default_transaction_read_only=on"}},
    {"connect_args": {"options": "-c standard_conforming_strings=off"}},
    {"execution_options": {"stream_results": True}},
])  # fmt: skip
def test_the_surroundings_change_nothing(postgres_engine: Engine, options: dict[str, object]) -> None:
    with postgres_engine.begin() as connection:
        connection.execute(text("CREATE SCHEMA other"))
        connection.execute(text("CREATE FUNCTION other.length(text) RETURNS int LANGUAGE sql AS 'SELECT 1'"))
        connection.execute(
            text("CREATE FUNCTION other.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS 'SELECT now()'")
        )
    engine = create_engine(postgres_engine.url, **options)
    try:
        with engine.connect() as connection:
            before = connection.execute(text("SELECT current_setting('search_path')")).scalar()
        assert migrations.verify(engine) == []
        with engine.connect() as connection:
            assert connection.execute(text("SELECT current_setting('search_path')")).scalar() == before
    finally:
        engine.dispose()


@pytest.mark.parametrize("begin", ["BEGIN", "BEGIN IMMEDIATE", None])
def test_engines_that_begin_by_themselves_are_looked_at_and_put_right(sqlite_path: Path, begin: str | None) -> None:
    """As SQLAlchemy's documentation shows it; and in AUTOCOMMIT."""
    options = {"isolation_level": "AUTOCOMMIT"} if begin is None else {}
    engine = create_engine(f"sqlite:///{sqlite_path}", **options)
    if begin is not None:
        event.listen(engine, "connect", lambda connection, _: setattr(connection, "isolation_level", None))
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    assert migrations.verify(engine) == []
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE es_streams RENAME COLUMN category TO kind")
        connection.exec_driver_sql("DROP INDEX es_events_recorded_at_idx")
        connection.exec_driver_sql("CREATE TABLE other (stream_id TEXT REFERENCES es_streams ON DELETE CASCADE)")
        connection.exec_driver_sql("INSERT INTO es_streams (stream_id, version) VALUES ('order-1', 0)")
        connection.exec_driver_sql("INSERT INTO other VALUES ('order-1')")
    change_text(engine, "es_streams", "CHECK (version >= 0)", "CHECK (1)")
    for found in migrations.verify(engine):
        if found.statements:
            migrations.fix(engine, found)
    (found,) = migrations.verify(engine)  # a table is not made again before its columns have their names
    migrations.fix(engine, found)
    assert migrations.verify(engine) == []
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT stream_id FROM other").scalars().all() == ["order-1"]
    engine.dispose()


def test_a_role_that_may_read_what_is_written_of_the_version_can_verify(postgres_engine: Engine) -> None:
    with postgres_engine.begin() as connection:
        connection.execute(text("GRANT SELECT ON es_schema, es_alembic_version TO pg_monitor"))
    engine = create_engine(postgres_engine.url, connect_args={"options": "-c role=pg_monitor"})
    assert migrations.verify(engine) == []
    engine.dispose()


def test_a_restored_dump_has_no_differences(postgres_engine: Engine, new_postgres_engine: Engine) -> None:
    """Expressions are printed, and parsed again."""
    EventStore(postgres_engine).append("order-1", [NewEvent("placed")], expected_version=0)
    binaries = find_binaries()
    assert binaries is not None
    names = [url_of(engine).replace("+psycopg", "") for engine in (postgres_engine, new_postgres_engine)]
    dumped = subprocess.run([binaries / "pg_dump", "--no-owner", names[0]], capture_output=True, check=False)
    assert dumped.returncode == 0, dumped.stderr
    # A setting of pg_dump's own version, which an older server does not know.
    dump = b"\n".join(line for line in dumped.stdout.splitlines() if not line.startswith(b"SET transaction_timeout"))
    psql: list[str | Path] = [binaries / "psql", "--quiet", "-v", "ON_ERROR_STOP=1", names[1]]
    restored = subprocess.run(psql, input=dump, capture_output=True, check=False)
    assert restored.returncode == 0, restored.stderr
    assert migrations.verify(new_postgres_engine) == []


def test_tables_in_two_schemas_are_told_apart(postgres_engine: Engine) -> None:
    """G7: the application finds tables by its search path, and one of them is another."""
    with postgres_engine.begin() as connection:
        connection.execute(text("CREATE SCHEMA other"))
        connection.execute(text("ALTER TABLE snapshots SET SCHEMA other"))
    engine = create_engine(postgres_engine.url, connect_args={"options": "-c search_path=other,public"})
    (found,) = migrations.verify(engine)
    assert (found.table, found.name) == ("snapshots", None)
    assert found.found == "is found in schema other by the search path, but es_schema in public"
    migrations.fix(engine, found)
    assert migrations.verify(engine) == []
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE other.es_events AS SELECT * FROM es_events"))
    (found,) = migrations.verify(engine)
    assert "public has one, too" in found.remedy
    engine.dispose()


SPELLINGS = {
    "briefly": """
create table es_schema(id smallint not null,version integer not null,breaking_version integer not null,
constraint es_schema_pkey primary key(id),constraint es_schema_id_check check(id=1))
""",
    "with quotes and comments": """
CREATE TABLE "es_schema" ( -- ours
  "id" SMALLINT NOT NULL, /* , */ [version] INTEGER NOT NULL, `breaking_version` INTEGER NOT NULL,
  CONSTRAINT es_schema_pkey PRIMARY KEY ("id"), CONSTRAINT es_schema_id_check CHECK (((id = 1))))
""",
}


@pytest.mark.parametrize("how", SPELLINGS)
def test_how_a_statement_is_spelled_means_nothing(
    tmp_path: Path, tracked_engine: Callable[[str], Engine], how: str
) -> None:
    engine = tracked_engine(f"sqlite:///{tmp_path / 'spelled.db'}")
    with engine.begin() as connection:
        connection.exec_driver_sql(SPELLINGS[how])
        found = on_sqlite.read(connection)
    newest = list(definitions.history("sqlite").values())[-1]
    expected = {key: text for key, text in newest.items() if key.table == "es_schema" and key.kind != "row"}
    assert found == expected


def test_the_files_are_in_the_wheel() -> None:
    assert {path.name for path in FOLDER.glob("*.txt")} == {"postgresql.txt", "sqlite.txt"}
    assert all(path.is_relative_to(Path(migrations.__file__).parent) for path in FOLDER.glob("*.txt"))


@pytest.mark.parametrize("name", ["order", "a b", 'q"q', "100%", "Ünï:x"])
def test_names_of_another_are_quoted(any_engine: Engine, name: str) -> None:
    quoted = '"' + name.replace('"', '""').replace(":", "\\:") + '"'
    on_sqlite = any_engine.dialect.name == "sqlite"
    with any_engine.begin() as connection:
        connection.execute(text(f"ALTER TABLE es_streams ADD COLUMN {quoted} text"))
        connection.execute(text(f"CREATE UNIQUE INDEX {quoted} ON es_dead_letters (note)"))
        if not on_sqlite:
            connection.execute(text(f"ALTER TABLE es_events ADD CONSTRAINT {quoted} CHECK (1 > 0)"))
            connection.execute(text(f"CREATE RULE {quoted} AS ON DELETE TO snapshots DO INSTEAD NOTHING"))
    findings = migrations.verify(any_engine)
    assert [found.name for found in findings] == [name] * (2 if on_sqlite else 4)
    for found in findings:
        migrations.fix(any_engine, found)
    assert migrations.verify(any_engine) == []


@pytest.mark.parametrize("table", ["snapshots", "es_schema"])
def test_a_table_that_can_be_empty_is_made_again(any_engine: Engine, table: str) -> None:
    with any_engine.begin() as connection:
        connection.execute(text(f"DROP TABLE {table}"))
    (found,) = migrations.verify(any_engine)
    assert (found.table, found.name) == (table, None)
    assert "backup" in found.remedy
    migrations.fix(any_engine, found)
    assert migrations.verify(any_engine) == []
    assert EventStore(any_engine).append("order-1", [NewEvent("placed")], expected_version=0).version == 1
