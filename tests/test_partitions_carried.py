"""What a log has when it is partitioned: carried over as it is, or refused by name before anything is done."""

from typing import Any

import pytest
from sqlalchemy import Engine, text

from eventstore import ANY, EventStore, NewEvent, migrations
from eventstore.errors import OutOfParts, PartitioningRefused
from eventstore.migrations import partitioning

pytestmark = [pytest.mark.postgresql, pytest.mark.slow]

POLICY = "CREATE POLICY everyone ON es_events USING (true) WITH CHECK (true)"
TABLES = (
    "FROM pg_class c WHERE relname LIKE 'es\\_events%' AND relkind IN ('r', 'p') ORDER BY relname"  # the log, its parts
)
DO_NOTHING = "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$"


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


@pytest.mark.parametrize(
    ("statements", "query", "expected"),
    [
        (
            ["CREATE INDEX theirs ON es_events (event_id)", "CREATE INDEX theirs_1 ON es_events (schema_version)"],
            "SELECT count(*) FROM pg_inherits WHERE inhparent IN ('theirs'::regclass, 'theirs_1'::regclass)",
            [(4,)],
        ),
        (
            [
                f"CREATE INDEX {'é' * 31}a ON es_events (event_id)",
                f"CREATE INDEX {'é' * 31}b ON es_events (schema_version)",
            ],
            "SELECT count(*) FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhparent WHERE relname LIKE 'éé%'",
            [(4,)],
        ),
        (
            ["CREATE INDEX theirs ON es_events (event_id)", "COMMENT ON INDEX theirs IS 'of us'"],
            "SELECT obj_description('theirs'::regclass)",
            [("of us",)],
        ),
        (
            ["CREATE STATISTICS theirs (dependencies) ON event_type, category FROM es_events"],
            "SELECT count(DISTINCT stxrelid) FROM pg_statistic_ext",
            [(3,)],
        ),
        (
            [
                "ALTER TABLE es_events ALTER stream_id SET (n_distinct = -0.3)",
                "ALTER TABLE es_events ALTER stream_id SET STATISTICS 500",
            ],
            "SELECT (SELECT attoptions || attstattarget::text FROM pg_attribute WHERE attrelid = c.oid AND attname = "
            f"'stream_id') {TABLES}",
            [(["n_distinct=-0.3", "500"],)] * 3,
        ),
        (["ALTER TABLE es_events REPLICA IDENTITY FULL"], f"SELECT relreplident {TABLES}", [("f",)] * 3),
        (
            ["ALTER TABLE es_events REPLICA IDENTITY USING INDEX es_events_position_key"],
            f"SELECT relreplident {TABLES}",
            [("i",)] * 3,
        ),
        (
            [
                "ALTER TABLE es_events ENABLE ROW LEVEL SECURITY",
                "ALTER TABLE es_events FORCE ROW LEVEL SECURITY",
                POLICY,
            ],
            f"SELECT relrowsecurity {TABLES}",
            [(True,)] * 3,
        ),
        (
            ["ALTER TABLE es_events ADD tenant text NOT NULL DEFAULT 'acme'"],
            "SELECT count(*) FROM es_events WHERE tenant = 'acme'",
            [(8,)],
        ),
        (
            ["GRANT INSERT (data) ON es_events TO PUBLIC"],
            f"SELECT (SELECT count(attacl) FROM pg_attribute WHERE attrelid = c.oid) {TABLES}",
            [(1,), (0,), (0,)],
        ),
        (
            [
                "CREATE PUBLICATION theirs FOR TABLE es_events, es_streams WITH (publish_via_partition_root = true)",
                "CREATE PUBLICATION all_tables FOR ALL TABLES WITH (publish_via_partition_root = true)",
            ],
            "SELECT prrelid::regclass::text, relreplident::text FROM pg_publication_rel JOIN pg_class c ON c.oid = prrelid "
            "ORDER BY 1",
            [("es_events", "i"), ("es_streams", "d")],
        ),
    ],
)
def test_it_is_carried_over(postgres_engine: Engine, statements: list[str], query: str, expected: list[Any]) -> None:
    append(postgres_engine, 3)
    execute(postgres_engine, *statements)
    before = [str(finding) for finding in migrations.verify(postgres_engine)]
    enable(postgres_engine)
    append(postgres_engine, 5)
    assert rows(postgres_engine, query) == expected
    assert [str(finding) for finding in migrations.verify(postgres_engine)] == before
    assert EventStore(postgres_engine).delete_stream("order-1", expected_version=8, reason="asked to").version == 9


@pytest.mark.parametrize(
    ("statements", "problem"),
    [
        (
            ["CREATE VIEW v AS SELECT stream_id, version, data FROM es_events GROUP BY stream_id, version"],
            "view v, which is grouped by a key",
        ),
        (
            [
                DO_NOTHING,
                "CREATE TRIGGER theirs AFTER INSERT ON es_events REFERENCING NEW TABLE AS new FOR EACH ROW "
                "EXECUTE FUNCTION f()",
            ],
            "trigger theirs on table es_events, which reads transition tables",
        ),
        (["ALTER TABLE es_events ADD k bigint GENERATED ALWAYS AS IDENTITY"], "identity column k"),
        (["CREATE PUBLICATION p FOR ALL TABLES"], "ALTER PUBLICATION p SET .publish_via_partition_root = true"),
        (["CREATE PUBLICATION p FOR TABLE es_events"], "ALTER PUBLICATION p SET .publish_via_partition_root = true"),
        (["ALTER TABLE es_events ADD CHECK (octet_length(data) < 9) NOT VALID"], "is a check that is not ours"),
    ],
)
def test_it_is_refused_by_name(postgres_engine: Engine, statements: list[str], problem: str) -> None:
    append(postgres_engine)
    execute(postgres_engine, *statements)
    with pytest.raises(PartitioningRefused, match=problem):
        enable(postgres_engine)
    assert partitioning.parts(postgres_engine) == []


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
