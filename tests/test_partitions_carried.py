"""What a log has when it is partitioned: carried over as it is, or refused by name before anything is done."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from eventstore import ANY, EventStore, NewEvent, migrations
from eventstore.errors import OutOfParts, PartitioningRefused
from eventstore.migrations import partitioning

pytestmark = [pytest.mark.postgresql, pytest.mark.slow]

TABLES = r"FROM pg_class c WHERE relname ~ '^es_events(_\d+)?$' AND relkind IN ('r', 'p')"
"""The log and its parts."""


def append(engine: Engine, number: int = 1) -> None:
    EventStore(engine).append("order-1", [NewEvent("placed") for _ in range(number)], expected_version=ANY)


def execute(engine: Engine, *statements: str) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement.replace(":", r"\:")))


def rows(engine: Engine, query: str) -> list[Any]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query.replace("::", r"\:\:")))]


def enable(engine: Engine) -> None:
    partitioning.enable(engine, size=10, margin=2, days=0)


@dataclass(frozen=True)
class Carried:
    statements: Sequence[str]
    query: str
    expected: Sequence[Any]


CARRIED = {
    "indexes, if their names with a suffix are taken": Carried(
        ["CREATE INDEX theirs ON es_events (event_id)", "CREATE INDEX theirs_1 ON es_events (schema_version)"],
        "SELECT count(*) FROM pg_inherits WHERE inhparent IN ('theirs'::regclass, 'theirs_1'::regclass)",
        [(4,)],
    ),
    "indexes whose names are as long as they can be": Carried(
        [f"CREATE INDEX {'é' * 31}{letter} ON es_events (recorded_at)" for letter in "ab"],
        "SELECT count(*) FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhparent WHERE relname LIKE 'éé%'",
        [(4,)],
    ),
    "comments of indexes": Carried(
        ["COMMENT ON INDEX theirs IS 'of us'"], "SELECT obj_description('theirs'::regclass)", [("of us",)]
    ),
    "statistics": Carried(
        ["CREATE STATISTICS theirs (dependencies) ON event_type, category FROM es_events"],
        "SELECT count(DISTINCT stxrelid) FROM pg_statistic_ext",
        [(3,)],
    ),
    "settings of columns": Carried(
        [
            "ALTER TABLE es_events ALTER stream_id SET (n_distinct = -0.3)",
            "ALTER TABLE es_events ALTER stream_id SET STATISTICS 500",
        ],
        "SELECT DISTINCT attoptions || attstattarget::text FROM pg_attribute WHERE attname = 'stream_id' "
        f"AND attrelid IN (SELECT oid {TABLES})",
        [(["n_distinct=-0.3", "500"],)],
    ),
    "row level security": Carried(
        [
            "ALTER TABLE es_events ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
            "CREATE POLICY everyone ON es_events USING (true) WITH CHECK (true)",
        ],
        f"SELECT relname::text {TABLES} AND relrowsecurity ORDER BY 1",
        [("es_events",), ("es_events_1",), ("es_events_2",)],
    ),
    "columns": Carried(
        ["ALTER TABLE es_events ADD tenant text NOT NULL DEFAULT 'acme'"],
        "SELECT count(*) FROM es_events WHERE tenant = 'acme'",
        [(8,)],
    ),
    "rights of all roles on columns, but not on parts": Carried(
        ["GRANT INSERT (data) ON es_events TO PUBLIC"],
        "SELECT attrelid::regclass::text FROM pg_attribute WHERE attacl IS NOT NULL "
        f"AND attrelid IN (SELECT oid {TABLES})",
        [("es_events",)],
    ),
    "publications, and how they identify rows": Carried(
        [
            "CREATE PUBLICATION theirs FOR TABLE es_events, es_streams WITH (publish_via_partition_root = true)",
            "CREATE PUBLICATION all_tables FOR ALL TABLES WITH (publish_via_partition_root = true)",
        ],
        f"SELECT relname::text, (SELECT count(*) FROM pg_publication_rel WHERE prrelid = c.oid) {TABLES} "
        "AND relreplident = 'i' ORDER BY 1",
        [("es_events", 1), ("es_events_1", 0), ("es_events_2", 0)],
    ),
}


def test_what_the_application_has_added_is_carried_over(postgres_engine: Engine) -> None:
    append(postgres_engine, 3)
    for each in CARRIED.values():
        execute(postgres_engine, *each.statements)
    before = [str(finding) for finding in migrations.verify(postgres_engine)]
    enable(postgres_engine)
    append(postgres_engine, 5)
    assert {name: rows(postgres_engine, each.query) for name, each in CARRIED.items()} == {
        name: each.expected for name, each in CARRIED.items()
    }
    assert [str(finding) for finding in migrations.verify(postgres_engine)] == before
    assert EventStore(postgres_engine).delete_stream("order-1", expected_version=8, reason="asked to").version == 9


def test_parts_are_in_the_tablespace_of_the_newest_one(postgres_engine: Engine) -> None:
    name = f"Ours' {uuid4()}"
    elsewhere = (
        "SELECT c.oid::regclass::text FROM pg_class c LEFT JOIN pg_index i ON i.indexrelid = c.oid "
        "LEFT JOIN pg_tablespace s ON s.oid = c.reltablespace WHERE coalesce(i.indrelid, c.oid) "
        "IN ('es_events_2'::regclass, 'es_events_3'::regclass) AND s.spcname IS DISTINCT FROM :name"
    )
    append(postgres_engine, 3)
    with postgres_engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("SET allow_in_place_tablespaces = on")
        connection.exec_driver_sql(f"CREATE TABLESPACE \"{name}\" LOCATION ''")
        try:
            connection.exec_driver_sql(f'ALTER TABLE es_events SET TABLESPACE "{name}"')
            enable(postgres_engine)
            partitioning.add(postgres_engine, size=10, days=5)
            found = connection.execute(text(elsewhere.replace("::", r"\:\:")), {"name": name}).all()
        finally:
            connection.exec_driver_sql("DROP TABLE es_events CASCADE")
            connection.exec_driver_sql(f'DROP TABLESPACE "{name}"')
    assert found == []


def test_a_replica_identity_is_carried_over(postgres_engine: Engine) -> None:
    execute(postgres_engine, "ALTER TABLE es_events REPLICA IDENTITY FULL")
    enable(postgres_engine)
    assert rows(postgres_engine, f"SELECT relreplident::text {TABLES}") == [("f",)] * 3


REFUSED = {
    "view v, which is grouped by a key": (
        ["CREATE VIEW v AS SELECT stream_id, version, data FROM es_events GROUP BY stream_id, version"],
        "DROP VIEW v",
    ),
    "trigger t on table es_events, which reads transition tables": (
        [
            "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$",
            "CREATE TRIGGER t AFTER INSERT ON es_events REFERENCING NEW TABLE AS n FOR EACH ROW EXECUTE FUNCTION f()",
        ],
        "DROP TRIGGER t ON es_events",
    ),
    "identity column k": (
        ["ALTER TABLE es_events ADD k bigint GENERATED ALWAYS AS IDENTITY"],
        "ALTER TABLE es_events DROP k",
    ),
    "ALTER PUBLICATION p SET .publish_via_partition_root = true": (
        ["CREATE PUBLICATION p FOR ALL TABLES"],
        "DROP PUBLICATION p",
    ),
    "ALTER PUBLICATION q SET .publish_via_partition_root = true": (
        ["CREATE PUBLICATION q FOR TABLE es_events"],
        "DROP PUBLICATION q",
    ),
    "is a check that is not ours": (
        ["ALTER TABLE es_events ADD CONSTRAINT theirs CHECK (octet_length(data) < 9) NOT VALID"],
        "ALTER TABLE es_events DROP CONSTRAINT theirs",
    ),
}


def test_what_can_not_be_carried_over_is_refused_by_name(postgres_engine: Engine) -> None:
    for problem, (statements, undo) in REFUSED.items():
        execute(postgres_engine, *statements)
        with pytest.raises(PartitioningRefused, match=problem):
            enable(postgres_engine)
        execute(postgres_engine, undo)
    assert partitioning.parts(postgres_engine) == []
    assert migrations.verify(postgres_engine) == []


def test_what_only_the_server_refuses_leaves_no_check_behind(postgres_engine: Engine) -> None:
    """A check that stays would refuse appends when its margin is used up."""
    append(postgres_engine)
    execute(
        postgres_engine,
        "CREATE FUNCTION f() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'not in office hours'; END$$",
        "CREATE EVENT TRIGGER theirs ON ddl_command_start WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION f()",
    )
    with pytest.raises(PartitioningRefused, match="not in office hours"):
        enable(postgres_engine)
    append(postgres_engine, 5)
    assert migrations.verify(postgres_engine) == []


def test_a_margin_that_is_used_up_before_the_swap_is_given_back(postgres_engine: Engine) -> None:
    append(postgres_engine)

    def use_up(progress: migrations.Progress) -> None:
        if progress.step == "making es_events the first part":
            append(postgres_engine)
            with pytest.raises(OutOfParts):
                append(postgres_engine, 2)

    with pytest.raises(PartitioningRefused, match="larger margin"):
        partitioning.enable(postgres_engine, size=10, margin=1, days=0, on_progress=use_up)
    append(postgres_engine, 2)
    assert partitioning.parts(postgres_engine) == []


def test_new_parts_get_names_that_are_free(postgres_engine: Engine) -> None:
    enable(postgres_engine)
    execute(postgres_engine, "CREATE TABLE es_events_4 (id integer)")
    added = partitioning.add(postgres_engine, days=0, size=5)
    assert added.parts == []  # one is unused
    append(postgres_engine, 11)
    assert [part.name for part in partitioning.add(postgres_engine, days=0, size=5).parts] == ["es_events_5"]
