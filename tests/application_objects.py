"""What an application may have beside our tables, on them, and referring to them; and all of it as a dump."""

import random
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator

from sqlalchemy import Engine

from eventstore import ANY, EventStore, NewEvent
from eventstore.tables import define_tables
from tests.fix_migrations import url_of
from tests.postgresql.launcher import find_binaries

Entry = tuple[str, ...]
Dump = Counter[Entry]

OUR_TABLES = frozenset(define_tables(position_is_key=True).metadata.tables)
STREAMS = ("order-1", "order-2", "order-3")
ACTIONS = ("CASCADE", "SET NULL", "SET DEFAULT", "RESTRICT", "NO ACTION")

TABLES: dict[str, tuple[str, str, str]] = {
    f"app_{action.lower().replace(' ', '_')}": (
        f"id {{key}}, stream_id text DEFAULT 'order-2' REFERENCES es_streams ON DELETE {action} ON UPDATE {action}",
        "stream_id",
        "'order-1'",
    )
    for action in ACTIONS
} | {
    "app_deferred": (
        "id {key}, stream_id text REFERENCES es_streams (stream_id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED",
        "stream_id",
        "'order-1'",
    ),
    "app_composite": (
        "id {key}, a text, b bigint, FOREIGN KEY (a, b) REFERENCES es_events (stream_id, version) ON DELETE SET NULL",
        "a, b",
        "'order-1', 2",
    ),
    "app_position": (
        "position bigint PRIMARY KEY REFERENCES es_events (position) ON DELETE CASCADE",
        "position",
        "1",
    ),
    "app_snapshot": (
        "id {key}, a text, b int, FOREIGN KEY (a, b) REFERENCES snapshots ON DELETE CASCADE",
        "a, b",
        "'order-1', 1",
    ),
    "app_schema": ("id {key}, of integer DEFAULT 1 REFERENCES es_schema (id) ON DELETE SET NULL", "of", "1"),
    "app_grandchild": ("id {key}, parent integer REFERENCES app_cascade (id) ON DELETE CASCADE", "parent", "1"),
    "app_itself": ("id {key}, other integer REFERENCES app_itself (id) ON DELETE CASCADE", "other", "NULL"),
}
"""Each with its columns, and a row of it."""

SQLITE = """
CREATE TABLE app_without_rowid (name text PRIMARY KEY, stream_id text REFERENCES es_streams ON DELETE CASCADE,
    twice text GENERATED ALWAYS AS (name || name) STORED) WITHOUT ROWID;
INSERT INTO app_without_rowid (name, stream_id) VALUES ('a', 'order-1');
CREATE TABLE app_log (what text);
CREATE VIEW app_heads AS SELECT * FROM es_streams;
CREATE VIEW app_joined AS SELECT e.position, s.version FROM es_events e JOIN es_streams s USING (stream_id);
CREATE TRIGGER app_into_view INSTEAD OF INSERT ON app_heads BEGIN
    INSERT INTO app_log SELECT event_type FROM es_events; END;
CREATE TRIGGER app_on_events AFTER INSERT ON es_events BEGIN INSERT INTO app_log VALUES (new.event_type); END;
CREATE TRIGGER app_on_streams AFTER DELETE ON es_streams BEGIN INSERT INTO app_log VALUES ('deleted'); END;
CREATE TRIGGER app_on_heads AFTER UPDATE OF version ON es_streams BEGIN INSERT INTO app_log VALUES ('updated'); END;
CREATE TRIGGER app_on_snapshots BEFORE DELETE ON snapshots BEGIN SELECT RAISE(ABORT, 'not so'); END;
CREATE TRIGGER app_naming_ours AFTER INSERT ON app_log WHEN new.what = 'x' BEGIN
    DELETE FROM es_streams WHERE stream_id IN (SELECT stream_id FROM es_events WHERE event_type = 'never'); END;
CREATE INDEX app_by_length ON es_events (length(data)) WHERE version > 1;
CREATE UNIQUE INDEX app_by_event_id ON es_events (event_id);
CREATE INDEX app_by_updated_at ON es_streams (updated_at DESC);
ANALYZE;
"""
POSTGRESQL = """
CREATE FUNCTION app_log_it() RETURNS trigger LANGUAGE plpgsql AS
    $$BEGIN INSERT INTO app_log VALUES (TG_OP || TG_TABLE_NAME); RETURN NULL; END$$;
CREATE TABLE app_log (what text);
CREATE VIEW app_heads AS SELECT * FROM es_streams;
CREATE VIEW app_joined AS SELECT e.position, s.version FROM es_events e JOIN es_streams s USING (stream_id);
CREATE MATERIALIZED VIEW app_counted AS SELECT category, count(*) FROM es_events GROUP BY category;
CREATE UNIQUE INDEX app_counted_key ON app_counted (category);
CREATE FUNCTION app_count() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(*) FROM es_streams; END;
CREATE RULE app_rule AS ON INSERT TO app_joined DO INSTEAD DELETE FROM es_streams WHERE version < 0;
CREATE TRIGGER app_on_events AFTER INSERT ON es_events FOR EACH ROW EXECUTE FUNCTION app_log_it();
CREATE TRIGGER app_on_streams AFTER UPDATE OF version ON es_streams FOR EACH ROW EXECUTE FUNCTION app_log_it();
CREATE CONSTRAINT TRIGGER app_later AFTER INSERT ON snapshots DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION app_log_it();
CREATE INDEX app_by_length ON es_events (length(data)) WHERE version > 1;
CREATE UNIQUE INDEX app_by_event_id ON es_events (event_id);
CREATE STATISTICS app_statistics ON event_type, category FROM es_events;
CREATE PUBLICATION app_published FOR TABLE es_events, es_streams, app_cascade;
CREATE POLICY app_policy ON es_events FOR SELECT USING (stream_id <> 'secret');
CREATE TABLE app_child () INHERITS (es_streams);
CREATE TABLE app_of_type (event es_events, events es_events[]);
ALTER TABLE es_streams ALTER COLUMN stream_id SET STATISTICS 500;
ALTER TABLE es_events REPLICA IDENTITY USING INDEX app_by_event_id;
ALTER TABLE es_events CLUSTER ON app_by_event_id;
COMMENT ON INDEX app_by_length IS 'of theirs';
COMMENT ON TRIGGER app_on_events ON es_events IS 'of theirs';
COMMENT ON VIEW app_heads IS 'of theirs';
GRANT SELECT ON es_events, es_streams, app_heads TO pg_monitor;
GRANT SELECT (stream_id), UPDATE (version) ON es_streams TO pg_read_all_stats;
GRANT USAGE ON SEQUENCE es_events_position_seq TO pg_monitor;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO pg_read_all_stats;
"""
POSTGRESQL_15 = "CREATE PUBLICATION app_part FOR TABLE es_streams (stream_id, version) WHERE (version > 1)"
"""What PostgreSQL 14 does not have."""


def fill(engine: Engine) -> None:
    """Store events and snapshots."""
    store = EventStore(engine)
    for stream_id in STREAMS:
        store.append(stream_id, [NewEvent("placed", {"n": n}) for n in range(3)], expected_version=ANY)
        store.snapshots.save(stream_id, version=3, state={"n": 2})


def create_objects(engine: Engine, *, orphan: bool) -> None:
    """Create all of it, and fill it; on SQLite with a row that refers to nothing, if asked for."""
    on_sqlite = engine.dialect.name == "sqlite"
    run(engine, *_tables(TABLES, on_sqlite=on_sqlite), SQLITE if on_sqlite else POSTGRESQL)
    with engine.connect() as connection:
        version = connection.dialect.server_version_info
    if not on_sqlite and version is not None and version >= (15,):
        run(engine, POSTGRESQL_15)
    if on_sqlite and orphan:
        run(engine, "PRAGMA foreign_keys = OFF; INSERT INTO app_cascade (stream_id) VALUES ('gone')")


def create_random_objects(engine: Engine, chance: random.Random) -> None:
    """Create some of it, and some more that chance makes."""
    on_sqlite = engine.dialect.name == "sqlite"
    chosen = {name: each for name, each in TABLES.items() if chance.random() < 0.4 and name != "app_grandchild"}
    made = []
    for number in range(chance.randint(1, 8)):
        target, columns = chance.choice(
            [
                ("es_streams", ("stream_id",)),
                ("es_events", ("position",)),
                ("es_events", ("stream_id", "version")),
                ("snapshots", ("stream_id", "schema_version")),
                ("es_schema", ("id",)),
            ]
        )
        own = {"position": "bigint", "version": "bigint", "schema_version": "integer", "id": "smallint"}
        clauses = [f"ON DELETE {chance.choice(ACTIONS)}", f"ON UPDATE {chance.choice(ACTIONS)}"]
        chance.shuffle(clauses)
        clauses.append(chance.choice(["", "DEFERRABLE", "DEFERRABLE INITIALLY DEFERRED"]))
        definition = ", ".join(f"c_{column} {own.get(column, 'text')}" for column in columns)
        names = ", ".join(f"c_{column}" for column in columns)
        made.append(
            f"CREATE TABLE app_made_{number} ({definition}, FOREIGN KEY ({names}) REFERENCES {target} "
            f"({', '.join(columns)}) {' '.join(clauses)});"
            f"INSERT INTO app_made_{number} SELECT {', '.join(columns)} FROM {target} "
            f"WHERE {columns[0]} IS NOT NULL LIMIT {chance.randint(1, 5)}"
        )
    made += [
        f"CREATE INDEX app_index_{number} ON {table} ({', '.join(chance.sample(columns, chance.randint(1, 2)))})"
        for number in range(chance.randint(0, 3))
        for table, columns in [
            chance.choice(
                [("es_events", ["event_id", "recorded_at", "codec"]), ("es_streams", ["updated_at", "version"])]
            )
        ]
    ]
    made += [
        f"CREATE VIEW app_view_{number} AS SELECT * FROM {chance.choice(['es_events', 'es_streams', 'snapshots'])}"
        for number in range(chance.randint(0, 3))
    ]
    if on_sqlite:
        made += [
            f"CREATE TRIGGER app_trigger_{number} {chance.choice(['BEFORE', 'AFTER'])} "
            f"{chance.choice(['INSERT', 'DELETE', 'UPDATE'])} ON "
            f"{chance.choice(['es_events', 'es_streams', 'snapshots', *chosen])} "
            "BEGIN SELECT RAISE(ABORT, 'none of it fires'); END"
            for number in range(chance.randint(0, 4))
        ]
    run(engine, *_tables(chosen, on_sqlite=on_sqlite), *made)


def _tables(chosen: dict[str, tuple[str, str, str]], *, on_sqlite: bool) -> Iterator[str]:
    key = "integer PRIMARY KEY AUTOINCREMENT" if on_sqlite else "integer PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY"
    for name, (definition, columns, values) in chosen.items():
        yield f"CREATE TABLE {name} ({definition.format(key=key)})"
        yield f"INSERT INTO {name} ({columns}) VALUES ({values})"


def run(engine: Engine, *scripts: str) -> None:
    """Execute scripts of several statements."""
    with engine.connect() as connection:
        raw = connection.connection.dbapi_connection
        assert raw is not None
        if engine.dialect.name == "sqlite":
            before = raw.execute("PRAGMA foreign_keys").fetchone()[0]
            raw.executescript(";\n".join(scripts))
            raw.commit()
            raw.execute(f"PRAGMA foreign_keys = {before}")
        else:
            raw.execute(";\n".join(scripts))
            raw.commit()


def dump(engine: Engine) -> Dump:
    """Return all that is in a database: objects, rows, grants; each an entry of (kind, name, …).

    But for what Django notes of its migrations: one that was undone and done again has another number.
    """
    entries = _sqlite_entries(engine) if engine.dialect.name == "sqlite" else _postgresql_entries(engine)
    return Counter(entry for entry in entries if "django_migrations" not in " ".join(entry))


def _sqlite_entries(engine: Engine) -> Iterator[Entry]:
    with engine.connect() as connection:
        master = connection.exec_driver_sql("SELECT type, name, tbl_name, sql FROM sqlite_master").all()
        for kind, name, table, sql in master:
            yield kind, name, table, re.sub(r"\s+", "", str(sql))  # ALTER TABLE has another layout
            if kind == "table":
                for row in connection.exec_driver_sql(f'SELECT * FROM "{name}"'):
                    yield "row", name, repr(tuple(row))
        yield "state", "integrity", repr(connection.exec_driver_sql("PRAGMA integrity_check").all())


_ENTRY = re.compile(r"^-- (?:Data for )?Name: (.*?); Type: (.*?); Schema: .*?$", re.MULTILINE)


def _postgresql_entries(engine: Engine) -> Iterator[Entry]:
    program = shutil.which("pg_dump", path=find_binaries())
    assert program is not None
    url = url_of(engine).replace("+psycopg", "")
    printed = subprocess.run([program, "--inserts", url], capture_output=True, text=True, check=True).stdout
    printed = re.sub(r"^\\(un)?restrict .*$", "", printed, flags=re.MULTILINE)  # by another key each time
    _, *parts = _ENTRY.split(printed.replace("-- PostgreSQL database dump complete", ""))
    for name, kind, body in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        for statement in body.split(";\n"):
            if statement.strip(" -\n"):
                yield "row" if kind == "TABLE DATA" else kind, name, statement.strip()


def of_application(with_it: Dump, without_it: Dump) -> Dump:
    """Return what of a dump is the application's: all that a bare database does not have, but for our own rows."""
    return Counter(
        {
            entry: count
            for entry, count in (with_it - without_it).items()
            if not (entry[0] == "row" and entry[1] in OUR_TABLES) and "eventstore" not in entry
        }
    )
