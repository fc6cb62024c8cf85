"""Partitions of the log by position: made online, added to, carried over, refused, verified."""

import random
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Column, Engine, Integer, MetaData, Table, create_engine, text
from sqlalchemy.exc import DBAPIError

from eventstore import ANY, Append, EventFilter, EventStore, NewEvent, maintenance, migrations
from eventstore.codecs import JSONCodec
from eventstore.detaching import detach_part
from eventstore.errors import (
    ConcurrencyConflict,
    InvalidInput,
    LogIsPartitioned,
    OutOfParts,
    PartitioningRefused,
    PermissionDenied,
    SchemaOutdated,
    TableLocked,
)
from eventstore.event_types import EventTypes
from eventstore.findings import FindingKind, Level
from eventstore.health.parts import of_runway
from eventstore.migrations import partitioning
from eventstore.parts import Runway
from eventstore.transfer import export_events, import_events
from eventstore.views import EventViews
from tests.fix_command_line import CommandLine
from tests.fix_documentation import ROOT
from tests.fix_migrations import BringTo, url_of
from tests.waiting import start_waiting

pytestmark = [pytest.mark.postgresql, pytest.mark.slow]


def append(store: EventStore, stream_id: str, number: int = 1) -> None:
    store.append(stream_id, [NewEvent("placed", {"n": n}) for n in range(number)], expected_version=ANY)


def execute(engine: Engine, *statements: str) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def scalars(engine: Engine, query: str) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(text(query.replace("::", r"\:\:"))).scalars())


def positions(store: EventStore) -> list[int]:
    return [event.position for event in store.read_all()]


def test_the_log_becomes_the_first_part_and_goes_on(postgres_engine: Engine) -> None:
    store = EventStore(postgres_engine)
    append(store, "order-1", 3)
    before = list(store.read_all())
    parts = partitioning.enable(postgres_engine, size=10, margin=5, days=0)
    assert [(part.name, part.first_position, part.last_position) for part in parts] == [
        ("es_events_1", 1, 8),
        ("es_events_2", 9, 18),
    ]
    assert partitioning.enable(postgres_engine, size=99, days=0) == partitioning.parts(postgres_engine)
    append(store, "order-1", 8)
    append(store, "order-2", 2)
    assert list(store.read_all())[:3] == before
    assert positions(store) == list(range(1, 14))
    fresh = EventStore(postgres_engine)
    assert [event.version for event in fresh.read_stream("order-1")] == list(range(1, 12))
    assert [event.version for event in fresh.read_stream("order-1", backwards=True)] == list(range(11, 0, -1))
    assert [event.position for event in fresh.read_stream("order-2")] == [12, 13]
    assert fresh.stream_version("order-1") == 11
    with pytest.raises(ConcurrencyConflict):
        fresh.append("order-1", NewEvent("placed"), expected_version=3)
    for filter_ in (EventFilter(stream_ids=["order-2"]), EventFilter(event_types=["placed"], stream_ids=["order-2"])):
        assert [event.position for event in fresh.read_all(filter_)] == [12, 13]
        assert [event.position for event in fresh.read_all(filter_, backwards=True)] == [13, 12]
    assert migrations.verify(postgres_engine) == []
    assert list(maintenance.verify(store)) == []


def test_a_store_from_before_learns_of_the_parts_when_it_reads_all(postgres_engine: Engine) -> None:
    store = EventStore(postgres_engine)
    append(store, "order-1")
    assert not store.core.dialect.layout.is_partitioned
    partitioning.enable(postgres_engine, size=10, margin=5, days=0)
    assert positions(store) == [1]
    assert store.core.dialect.layout.is_partitioned


def test_a_gap_that_is_longer_than_the_range_that_is_read_first_hides_no_event(partitioned_engine: Engine) -> None:
    store = EventStore(partitioned_engine, page_size=2)
    append(store, "order-1", 3)
    scalars(partitioned_engine, "SELECT nextval('es_events_position_seq') FROM generate_series(1, 200)")
    append(store, "order-2", 4)
    assert len(positions(store)) == 7
    assert [event.position for event in store.read_all(backwards=True)] == positions(store)[::-1]


def test_random_reads_of_a_log_in_parts_with_gaps_return_what_matches(partitioned_engine: Engine) -> None:
    seed = random.randrange(10**6)
    print("seed", seed)
    chance = random.Random(seed)
    store = EventStore(partitioned_engine, page_size=2)
    names = {"event_types": ["a", "b", "rare"], "stream_ids": ["x-1", "x-2", "y-1"], "categories": ["x", "y"]}
    for _ in range(30):
        kinds = chance.choices(["a", "b", "rare"], [10, 10, 1], k=3)
        events = [NewEvent(kind, tags=chance.sample(["t:1", "t:2"], chance.randrange(3))) for kind in kinds]
        store.append(chance.choice(names["stream_ids"]), events, expected_version=ANY)
        drawn = chance.choice([0, 0, 3, 60])  # pages are read from 40 positions first
        scalars(partitioned_engine, f"SELECT nextval('es_events_position_seq') FROM generate_series(1, {drawn})")
    everything = list(store.read_all())
    for _ in range(150):
        fields = chance.sample([*names, "tags"], chance.choice([0, 1, 1, 2]))
        values = {name: chance.sample(names.get(name, ["t:1", "t:2"]), chance.choice([1, 2])) for name in fields}
        filters = [EventFilter(**values)]
        first, last = sorted(chance.sample(range(everything[-1].position + 50), 2))
        limit, backwards = chance.choice([None, 1, 5]), chance.random() < 0.5
        found = store.read_all(
            *filters, after_position=min(first, everything[-1].position), up_to_position=last, limit=limit,
            backwards=backwards,
        )  # fmt: skip
        wanted = [event for event in everything if first < event.position <= last and filters[0].matches(event)]
        assert list(found) == (wanted[::-1] if backwards else wanted)[:limit]


def test_without_a_part_an_append_names_the_command_and_stores_nothing(postgres_engine: Engine) -> None:
    store = EventStore(postgres_engine)
    append(store, "order-1")
    partitioning.enable(postgres_engine, size=2, margin=2, days=0)
    append(store, "order-1", 2)
    append(store, "order-2", 2)
    with pytest.raises(OutOfParts, match="eventstore partitions add") as refused:
        append(store, "order-3")
    assert refused.value.position == 6
    with pytest.raises(OutOfParts):
        store.append_many([Append(f"order-{number}", NewEvent("placed"), expected_version=ANY) for number in (3, 4)])
    grouping = EventStore(postgres_engine, group_commit=True)
    with ThreadPoolExecutor(4) as threads:
        for run in [threads.submit(append, grouping, f"order-{number}") for number in range(3, 7)]:
            with pytest.raises(OutOfParts):
                run.result(60)
    assert store.stream_version("order-3") == 0
    health = store.health()
    assert not health.ok
    assert "no unused part is ahead" in str(health.problems[0])
    added = partitioning.add(postgres_engine, days=0, size=20)
    assert added.runway.parts_ahead == 1
    for number in range(3, 7):
        append(grouping, f"order-{number}")
    assert positions(store)[:5] == [1, 2, 3, 4, 5]
    assert len(positions(store)) == 9


@pytest.mark.parametrize(
    ("runway", "level"),
    [
        (Runway(100, 5, 1.0, 0), Level.ERROR),
        (Runway(100, 500, 20.0, 1), Level.WARNING),
        (Runway(100, 500, 10.0, 1), None),
        (Runway(100, 500, 0.0, 1), None),
    ],
)
def test_health_warns_days_before(runway: Runway, level: Level | None) -> None:
    assert [finding.level for finding in of_runway(runway)] == ([] if level is None else [level])


def test_add_keeps_parts_for_some_days_at_the_present_rate(postgres_engine: Engine) -> None:
    store = EventStore(postgres_engine)
    append(store, "order-1", 100)
    partitioning.enable(postgres_engine, size=50, margin=50)
    runway = partitioning.runway(postgres_engine)
    assert runway is not None
    assert runway.per_day == 100
    assert runway.days_left >= 90
    assert len(partitioning.parts(postgres_engine)) <= 12
    assert partitioning.add(postgres_engine).parts == []
    with store.transaction() as tx, tx.allow_history_changes():
        tx.connection.execute(text("UPDATE es_events SET recorded_at = now() - interval '30 days' WHERE position < 90"))
    later = partitioning.runway(postgres_engine)
    assert later is not None
    assert later.per_day == 11


def test_everything_that_belongs_to_the_log_is_carried_over(postgres_engine: Engine) -> None:
    role = "part_reader"
    execute(
        postgres_engine,
        f"DO $$ BEGIN CREATE ROLE {role}; EXCEPTION WHEN duplicate_object THEN END $$",
        f"GRANT SELECT, INSERT (version, stream_id), UPDATE ON es_events TO {role} WITH GRANT OPTION",
        f"GRANT SELECT ON SEQUENCE es_events_position_seq TO {role}",
        "CREATE VIEW sums WITH (security_barrier=true) AS SELECT stream_id, count(*) AS n FROM es_events GROUP BY 1",
        "CREATE VIEW of_sums AS SELECT * FROM sums",
        f"GRANT SELECT ON sums TO {role}",
        "CREATE INDEX theirs ON es_events ((metadata ->> 'request'))",
        f"CREATE POLICY mine ON es_events FOR SELECT TO {role} USING (category = 'order')",
        "CREATE TABLE heard (position bigint)",
        "CREATE FUNCTION hear() RETURNS trigger LANGUAGE plpgsql AS "
        "$$BEGIN INSERT INTO heard VALUES (NEW.position); RETURN NULL; END$$",
        "CREATE TRIGGER hear AFTER INSERT ON es_events FOR EACH ROW EXECUTE FUNCTION hear()",
        "ALTER TABLE es_events SET (autovacuum_vacuum_insert_scale_factor = 0.01)",
        "ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC",
    )
    store = EventStore(postgres_engine)
    append(store, "order-1", 2)
    try:
        rights = (
            "SELECT concat_ws(' ', attname, a.privilege_type, a.is_grantable) "
            "FROM (SELECT NULL AS attname, relacl AS acl FROM pg_class WHERE oid = 'es_events'::regclass "
            "UNION ALL SELECT attname, attacl FROM pg_attribute WHERE attrelid = 'es_events'::regclass) s, "
            f"aclexplode(acl) a WHERE a.grantee = '{role}'::regrole ORDER BY 1"
        )
        before = scalars(postgres_engine, rights)
        partitioning.enable(postgres_engine, size=10, margin=2, days=0)
        assert scalars(postgres_engine, rights) == before
        listed = f"SELECT has_table_privilege('{role}', 'es_detached_parts', 'SELECT')"  # every read looks there
        assert scalars(postgres_engine, listed) == [True]
        append(store, "order-1", 3)
        assert scalars(postgres_engine, "SELECT n FROM of_sums") == [5]
        assert scalars(postgres_engine, f"SELECT has_table_privilege('{role}', 'sums', 'SELECT')") == [True]
        assert scalars(postgres_engine, "SELECT reloptions FROM pg_class WHERE relname = 'sums'") == [
            ["security_barrier=true"]
        ]
        assert scalars(postgres_engine, "SELECT position FROM heard ORDER BY 1") == [1, 2, 3, 4, 5]
        assert scalars(postgres_engine, "SELECT polname FROM pg_policy WHERE polrelid = 'es_events'::regclass") == [
            "mine"
        ]
        assert scalars(postgres_engine, "SELECT reloptions FROM pg_class WHERE relname = 'es_events_2'") == [
            ["autovacuum_vacuum_insert_scale_factor=0.01"]
        ]
        assert scalars(postgres_engine, "SELECT count(*) FROM pg_inherits WHERE inhparent = 'theirs'::regclass") == [2]
        comments = "SELECT obj_description('es_events'::regclass) || col_description('es_events'::regclass, 1)"
        assert scalars(postgres_engine, comments)[0].startswith("The events.")
        for part in ("es_events_1", "es_events_2"):
            for right in ("INSERT", "UPDATE"):
                held = f"SELECT has_any_column_privilege('{role}', '{part}', '{right}')"
                assert scalars(postgres_engine, held) == [False]
            assert scalars(postgres_engine, f"SELECT has_table_privilege('{role}', '{part}', 'SELECT')") == [True]
            with pytest.raises(Exception, match="events are never changed"):
                execute(postgres_engine, f"DELETE FROM {part}")
        assert migrations.verify(postgres_engine) == []
    finally:
        execute(postgres_engine, "ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM PUBLIC", f"DROP OWNED BY {role}")


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("CREATE MATERIALIZED VIEW m AS SELECT count(*) FROM es_events", "materialized view m"),
        ("CREATE TABLE theirs (position bigint REFERENCES es_events (position))", "constraint theirs_position_fkey"),
        ("CREATE UNIQUE INDEX theirs ON es_events (stream_id, version, event_id)", "unique index theirs"),
        ("CREATE PUBLICATION mine FOR TABLE es_events", "publication mine"),
        ("CREATE TABLE es_events_2 (id integer)", "es_events_2"),
        ("CREATE TABLE theirs (event es_events)", "theirs"),
        ("ALTER TABLE es_events DROP CONSTRAINT es_events_version_check", "differ from what the migrations create"),
    ],
)
def test_what_would_stay_behind_is_refused_by_name(postgres_engine: Engine, statement: str, problem: str) -> None:
    append(EventStore(postgres_engine), "order-1")
    execute(postgres_engine, statement)
    with pytest.raises(PartitioningRefused, match=problem):
        partitioning.enable(postgres_engine, days=0)
    assert partitioning.parts(postgres_engine) == []
    assert scalars(postgres_engine, "SELECT conname FROM pg_constraint WHERE conname = 'es_events_1_range'") == []


def test_other_logs_are_refused_by_name(postgres_engine: Engine, sqlite_engine: Engine) -> None:
    for work in (partitioning.enable, partitioning.add, partitioning.parts, partitioning.runway):
        with pytest.raises(PartitioningRefused, match="SQLite"):
            work(sqlite_engine)
    with pytest.raises(PartitioningRefused, match="run `eventstore partitions enable` first"):
        partitioning.add(postgres_engine)
    assert partitioning.runway(postgres_engine) is None
    for options in ({"size": 0}, {"margin": -1}, {"days": -1}, {"size": "many"}):
        with pytest.raises(InvalidInput):
            partitioning.enable(postgres_engine, **options)
    migrations.downgrade(postgres_engine, "es_0010")
    with pytest.raises(SchemaOutdated):
        partitioning.enable(postgres_engine)
    migrations.upgrade(postgres_engine)
    execute(
        postgres_engine,
        "ALTER TABLE es_streams ALTER after_position SET DEFAULT 0",
        "DROP TABLE es_events",
        "CREATE TABLE es_events (position bigint, stream_id text) PARTITION BY LIST (stream_id)",
    )
    with pytest.raises(PartitioningRefused, match="LIST"):
        partitioning.enable(postgres_engine)


def test_a_partitioned_log_is_not_downgraded(postgres_engine: Engine) -> None:
    partitioning.enable(postgres_engine, days=0)
    with pytest.raises(LogIsPartitioned):
        migrations.downgrade(postgres_engine, "es_0010")
    assert migrations.current(postgres_engine) == "es_0011"
    migrations.upgrade(postgres_engine)
    assert migrations.verify(postgres_engine) == []


@pytest.mark.parametrize("step", range(7))
def test_an_interrupted_run_is_completed_by_the_next(postgres_engine: Engine, step: int) -> None:
    store = EventStore(postgres_engine)
    append(store, "order-1", 3)
    reports = 0

    def interrupt(_: migrations.Progress) -> None:
        nonlocal reports
        reports += 1
        if reports > step:
            raise KeyboardInterrupt

    try:
        partitioning.enable(postgres_engine, size=5, margin=5, days=0, on_progress=interrupt)
    except KeyboardInterrupt:
        append(store, "order-1")
        assert len(positions(store)) == 4
    partitioning.enable(postgres_engine, size=5, margin=5, days=0)
    append(store, "order-1", 4)
    assert len(positions(store)) in {7, 8}
    assert migrations.verify(postgres_engine) == []


def test_a_margin_of_an_old_run_is_renewed_and_one_that_is_used_up_is_named(postgres_engine: Engine) -> None:
    store = EventStore(postgres_engine)
    append(store, "order-1")
    execute(postgres_engine, "ALTER TABLE es_events ADD CONSTRAINT es_events_1_range CHECK (position < 4) NOT VALID")
    append(store, "order-1", 2)
    with pytest.raises(OutOfParts, match="enable` was interrupted"):
        append(store, "order-1")
    partitioning.enable(postgres_engine, size=5, margin=5, days=0)
    append(store, "order-1")
    assert positions(store) == [1, 2, 3, 5]


def test_a_lock_that_is_not_free_is_retried_and_named(postgres_engine: Engine) -> None:
    store = EventStore(postgres_engine)
    with postgres_engine.begin() as connection:
        store.join(connection).append("order-1", NewEvent("placed"), expected_version=ANY)
        with pytest.raises(TableLocked, match="was not available") as locked:
            partitioning.enable(postgres_engine, lock_timeout_seconds=0.05, wait_seconds=0.3)
        assert locked.value.holders
    partitioning.enable(postgres_engine, days=0)
    assert positions(store) == [1]


def test_runs_at_the_same_time_come_one_after_the_other(postgres_engine: Engine) -> None:
    """As from cron on two machines."""
    append(EventStore(postgres_engine), "order-1", 30)
    with ThreadPoolExecutor(2) as threads:
        for work in (
            lambda: partitioning.enable(postgres_engine, size=10, margin=5, days=0),
            lambda: partitioning.add(postgres_engine, size=10, days=2).parts,
        ):
            runs = [threads.submit(work) for _ in range(2)]
            found = [[part.name for part in run.result(60)] for run in runs]
    assert sorted(len(names) for names in found) == [0, 5]
    assert [part.number for part in partitioning.parts(postgres_engine)] == list(range(1, 8))
    assert migrations.verify(postgres_engine) == []


def test_a_default_partition_is_refused_by_name_and_found(postgres_engine: Engine) -> None:
    store = EventStore(postgres_engine)
    append(store, "order-1", 3)
    partitioning.enable(postgres_engine, size=10, margin=1, days=0)
    execute(postgres_engine, "CREATE TABLE es_events_rest PARTITION OF es_events DEFAULT")
    for work in (
        lambda: partitioning.parts(postgres_engine),
        lambda: partitioning.add(postgres_engine),
        lambda: detach_part(store, "es_events_1", folder=None),
    ):
        with pytest.raises(PartitioningRefused, match="DETACH PARTITION es_events_rest"):
            work()
    assert "es_events_rest" in str([finding for finding in maintenance.diagnose(store) if finding.subject == "parts"])


def test_parts_without_the_row_level_security_of_the_log_are_found(postgres_engine: Engine) -> None:
    """A tenant who may read the log may read its parts: there, the policies of the log do not apply."""
    partitioning.enable(postgres_engine, size=10, margin=1, days=0)
    execute(postgres_engine, "ALTER TABLE es_events ENABLE ROW LEVEL SECURITY")
    findings = [finding for finding in migrations.verify(postgres_engine) if finding.table != "es_events"]
    assert [finding.table for finding in findings] == ["es_events_1", "es_events_2"]
    for finding in findings:
        migrations.fix(postgres_engine, finding)
    assert [finding.table for finding in migrations.verify(postgres_engine)] == ["es_events"]
    assert scalars(postgres_engine, "SELECT relrowsecurity FROM pg_class WHERE relname = 'es_events_1'") == [True]


def test_imported_events_with_their_positions_are_all_read(
    postgres_engine: Engine, bring_to: BringTo, make_engine: Callable[[], Engine], tmp_path: Path
) -> None:
    """R20: a stream that an import creates begins below the positions that were drawn here before."""
    source = EventStore(postgres_engine)
    for number in range(12):
        append(source, f"order-{number % 3}")
    export_events(source, tmp_path / "events.jsonl")
    target = make_engine()
    bring_to(target)
    if target.dialect.name == "sqlite":
        import_events(EventStore(target), tmp_path / "events.jsonl", keep_positions=True)
        assert list(maintenance.verify(EventStore(target))) == []
        return
    execute(target, "SELECT setval('es_events_position_seq', 9)")  # as after appends that were rolled back
    partitioning.enable(target, size=4, margin=4, days=0)
    partitioning.add(target, days=3, size=4)
    imported = EventStore(target)
    import_events(imported, tmp_path / "events.jsonl", keep_positions=True, batch_size=2)
    fresh = EventStore(target)
    for number in range(3):
        expected = list(source.read_stream(f"order-{number}"))
        assert [event.position for event in fresh.read_stream(f"order-{number}")] == [
            event.position for event in expected
        ]
    assert list(maintenance.verify(fresh)) == []
    assert scalars(target, "SELECT after_position FROM es_streams ORDER BY stream_id") == [0, 1, 2]


def test_verify_finds_and_repairs_a_head_that_hides_events(postgres_engine: Engine) -> None:
    store = EventStore(postgres_engine)
    append(store, "order-1", 3)
    partitioning.enable(postgres_engine, size=10, margin=5, days=0)
    execute(postgres_engine, "UPDATE es_streams SET after_position = 2")
    assert len(list(EventStore(postgres_engine).read_stream("order-1"))) < 3  # what `verify` is for
    findings = list(maintenance.verify(store))
    assert [finding.kind for finding in findings] == [FindingKind.EVENTS_HIDDEN]
    list(maintenance.repair(store, maintenance.plan(findings)))
    assert list(maintenance.verify(store)) == []
    assert len(list(EventStore(postgres_engine).read_stream("order-1"))) == 3


def test_verify_finds_the_same_version_in_two_parts(postgres_engine: Engine) -> None:
    """Uniqueness of (stream, version) holds in each part only; the head's lock stays the first layer."""
    store = EventStore(postgres_engine)
    append(store, "order-1", 3)
    partitioning.enable(postgres_engine, size=10, margin=1, days=0)
    execute(
        postgres_engine,
        "INSERT INTO es_events (position, version, event_id, schema_version, codec, stream_id, event_type, data) "
        "OVERRIDING SYSTEM VALUE SELECT 9, version, event_id, schema_version, codec, stream_id, event_type, data "
        "FROM es_events WHERE version = 2",
        "SELECT setval('es_events_position_seq', 9)",
    )
    assert FindingKind.VERSION_DOUBLED in [finding.kind for finding in maintenance.verify(store)]


@pytest.mark.parametrize(
    "damage",
    [
        "GRANT INSERT ON es_events_2 TO PUBLIC",
        "GRANT INSERT (data) ON es_events_1 TO PUBLIC",
        "ALTER TABLE es_events_2 DROP CONSTRAINT es_events_pkey_2",
        "DROP TRIGGER es_events_immutable ON es_events_2",
        "ALTER TABLE es_events_2 SET UNLOGGED",
        "ALTER TABLE es_events_2 OWNER TO pg_read_all_data",
        "DROP INDEX es_events_category_position_idx",
    ],
)
def test_damage_of_a_part_is_found_and_fixed(postgres_engine: Engine, damage: str) -> None:
    append(EventStore(postgres_engine), "order-1")
    partitioning.enable(postgres_engine, size=10, margin=1, days=0)
    execute(postgres_engine, damage)
    findings = migrations.verify(postgres_engine)
    assert findings
    for finding in findings:
        migrations.fix(postgres_engine, finding)
    assert migrations.verify(postgres_engine) == []


def test_autogenerate_proposes_nothing_for_parts_attached_or_not(postgres_engine: Engine, tmp_path: Path) -> None:
    append(EventStore(postgres_engine), "order-1")
    partitioning.enable(postgres_engine, size=10, margin=1, days=0)
    execute(postgres_engine, "ALTER TABLE es_events DETACH PARTITION es_events_1")
    theirs = MetaData()
    Table("invoices", theirs, Column("id", Integer, primary_key=True))
    theirs.create_all(postgres_engine)
    with postgres_engine.connect() as connection:
        options = {"target_metadata": theirs, "include_name": migrations.exclude_tables()}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, theirs) == []


def test_a_real_autogenerate_writes_an_empty_revision(postgres_engine: Engine, tmp_path: Path) -> None:
    append(EventStore(postgres_engine), "order-1")
    partitioning.enable(postgres_engine, size=10, margin=1, days=0)
    folder = tmp_path / "theirs"
    config = Config(tmp_path / "alembic.ini")
    config.set_main_option("script_location", str(folder))
    command.init(config, str(folder))
    url = postgres_engine.url.render_as_string(hide_password=False)
    (folder / "env.py").write_text(
        "from alembic import context\n"
        "from sqlalchemy import MetaData, create_engine\n"
        "from sqlalchemy.pool import NullPool\n"
        "from eventstore.migrations import exclude_tables\n"
        f"with create_engine({url!r}, poolclass=NullPool).connect() as connection:\n"
        "    context.configure(connection=connection, target_metadata=MetaData(), include_name=exclude_tables())\n"
        "    with context.begin_transaction():\n"
        "        context.run_migrations()\n"
    )
    revision = command.revision(config, "nothing", autogenerate=True)
    assert "op." not in Path(revision.path).read_text()  # type: ignore[union-attr]  # one revision


def test_streams_are_deleted_and_archived_across_parts(postgres_engine: Engine, sqlite_engine: Engine) -> None:
    store = EventStore(postgres_engine)
    append(store, "order-1", 3)
    append(store, "order-2", 2)
    partitioning.enable(postgres_engine, size=4, margin=1, days=0)
    partitioning.add(postgres_engine, size=4, days=20)
    for stream_id in ("order-1", "order-2"):
        append(store, stream_id, 4)
    assert store.delete_stream("order-1", expected_version=7, reason="asked to").version == 8
    archive = EventStore(sqlite_engine)
    store.archive_stream("order-2", into=archive, expected_version=6, reason="old")
    assert len(list(archive.read_stream("order-2"))) == 6
    assert [event.event_type for event in store.read_all()] == ["$stream-deleted", "$stream-archived"]
    assert list(maintenance.verify(store)) == []
    assert migrations.verify(postgres_engine) == []


def test_statistics_count_all_parts(postgres_engine: Engine) -> None:
    store = EventStore(postgres_engine)
    append(store, "order-1", 30)
    partitioning.enable(postgres_engine, size=40, margin=1, days=0)
    append(store, "order-1", 30)
    execute(postgres_engine, "ANALYZE")
    counted = maintenance.statistics(store, exact_up_to=0)
    assert counted.events.value == 60
    assert {"es_events_1", "es_events_2"} <= {size.table for size in counted.sizes}


def test_a_writer_with_the_rights_of_the_guide_appends_to_parts_and_not_directly(postgres_engine: Engine) -> None:
    role = "part_writer"
    execute(
        postgres_engine,
        f"DO $$ BEGIN CREATE ROLE {role} LOGIN; EXCEPTION WHEN duplicate_object THEN END $$",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}",
        "GRANT INSERT (version, event_id, schema_version, codec, stream_id, event_type, data, metadata) "
        f"ON es_events TO {role}",
        f"GRANT INSERT (stream_id, version), UPDATE (version, updated_at) ON es_streams TO {role}",
        f"GRANT SELECT ON SEQUENCE es_events_position_seq TO {role}",
    )
    partitioning.enable(postgres_engine, size=5, margin=1, days=0)
    writing = create_engine(postgres_engine.url.set(username=role))
    try:
        store = EventStore(writing)
        for _ in range(3):
            append(store, "order-1")
        assert positions(store) == [1, 2, 3]
        with pytest.raises(Exception, match="permission denied"):
            execute(writing, "INSERT INTO es_events_2 (version) VALUES (1)")
        with pytest.raises(PermissionDenied):
            partitioning.add(writing)
    finally:
        writing.dispose()
        execute(postgres_engine, f"DROP OWNED BY {role}")


def test_views_and_their_indexes_are_made_for_all_parts(postgres_engine: Engine) -> None:
    event_types = EventTypes()

    @event_types.register("placed")
    @dataclass
    class Placed:
        total: int

    store = EventStore(postgres_engine, event_types=event_types, codec=JSONCodec())
    views = EventViews(event_types, indexes=["placed.total"])
    views.apply(postgres_engine)
    store.append("order-1", [Placed(1), Placed(2)], expected_version=ANY)
    partitioning.enable(postgres_engine, size=10, margin=1, days=0)
    store.append("order-1", [Placed(3)], expected_version=ANY)
    assert views.check(postgres_engine) == []
    assert scalars(postgres_engine, "SELECT total FROM placed ORDER BY 1") == [1, 2, 3]
    execute(postgres_engine, "DROP INDEX placed_total_idx")
    with ThreadPoolExecutor(2) as threads, postgres_engine.connect() as holder:
        store.join(holder).append("order-2", [Placed(4)], expected_version=ANY)
        applying = start_waiting(threads, holder, views.apply, postgres_engine)
        threads.submit(store.append, "order-3", [Placed(5)], expected_version=ANY).result(
            30
        )  # it does not queue behind
        holder.rollback()
        assert [change.is_index for change in applying.result(60)] == [True]
    assert views.check(postgres_engine) == []
    partitioning.add(postgres_engine, days=5, size=10)
    assert views.check(postgres_engine) == []


def test_an_index_of_ones_own_is_built_as_the_page_says(postgres_engine: Engine) -> None:
    store = EventStore(postgres_engine)
    append(store, "order-1", 3)
    partitioning.enable(postgres_engine, size=10, margin=1, days=0)
    page = (ROOT / "docs" / "how-to" / "indexes.md").read_text("utf-8").partition("### On a partitioned log")[2]
    recipe, of_a_part = re.findall(r"```sql\n(.*?)```", page, re.DOTALL)[:2]
    *first, query = [statement.strip() for statement in recipe.split(";")]
    is_valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'shop_events_correlation_id_idx'::regclass"
    with postgres_engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for statement in first:
            connection.exec_driver_sql(statement)
        with pytest.raises(DBAPIError, match="concurrently"):
            connection.exec_driver_sql(first[1].replace("INDEX", "INDEX CONCURRENTLY").replace("ONLY", ""))
        lines = connection.exec_driver_sql(
            query.removesuffix(r"\gexec"), execution_options={"no_parameters": True}
        ).all()
        assert of_a_part.split(";\n") == [*lines[0], ""]
        assert scalars(postgres_engine, is_valid) == [False]
        assert partitioning.add(postgres_engine, size=5, days=5).parts  # they get it, though it is not complete
        for statement in (cell for line in lines for cell in line):
            connection.exec_driver_sql(statement)
    assert scalars(postgres_engine, is_valid) == [True]
    of_parts = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'shop_events_correlation_id_idx'::regclass"
    partitioning.add(postgres_engine, size=5, days=20)
    assert scalars(postgres_engine, of_parts) == [len(partitioning.parts(postgres_engine))]
    assert migrations.verify(postgres_engine) == []
    with postgres_engine.connect() as connection:
        connection.exec_driver_sql("SET enable_seqscan = off")
        query = "EXPLAIN SELECT * FROM es_events WHERE metadata ->> 'correlation_id' = 'x'"
        plan = "\n".join(connection.exec_driver_sql(query).scalars())
    assert "shop_events_correlation_id_idx_1" in plan


def test_the_commands_say_what_they_do(postgres_engine: Engine) -> None:
    append(EventStore(postgres_engine), "order-1")
    run = partial(CommandLine(url_of(postgres_engine)), "partitions")
    assert run("list").stdout == ""
    refused = run("add")
    assert refused.exit_code == 1
    assert "partitions enable" in refused.stderr
    enabled = run("enable", "--size", "50", "--margin", "10")
    assert "days at" in enabled.stdout, enabled.stderr
    assert run("add").stdout.startswith("no part was needed; ")
    listed = run("list").stdout.splitlines()
    assert listed[0].split("\t")[:3] == ["es_events_1", "1", "11"]
    assert listed[0].split("\t")[-2:] == ["current", ""]
    detached = run("detach", "es_events_1", "--without-export")
    assert "events may still be appended" in detached.stderr
