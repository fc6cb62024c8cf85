"""`verify` finds damage made on purpose, of each kind, alone and together; `repair` mends what it says it mends."""

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text

from eventstore import Append, EventStore, EventTypes, InvalidInput, NewEvent, RecordedEvent
from eventstore.errors import SchemaMissing
from eventstore.maintenance import (
    Finding,
    FindingKind,
    Part,
    Place,
    Progress,
    plan,
    repair,
    stream_checks,
    verify,
)
from eventstore.maintenance.repairs import ACTIONS
from eventstore.projections import OnFailure, Projection, Worker
from eventstore.statements.verification import events_without_stream, stream_states
from tests.damage import COUNTS, DAMAGES, ON_POSTGRESQL_ONLY, fill, unchecked
from tests.fix_engines import changing_history
from tests.fix_leaks import SECRET
from tests.waiting import start_waiting

pytestmark = pytest.mark.slow


def kinds(findings: list[Finding]) -> set[FindingKind | None]:
    return {finding.kind for finding in findings}


def assert_told_well(findings: list[Finding]) -> None:
    for finding in findings:
        assert finding.found
        assert finding.expected
        assert finding.remedy
        assert finding.subject
        assert ("`eventstore repair`" in finding.remedy) == finding.repairable
    assert SECRET not in repr(findings)


@pytest.mark.parametrize("batch_size", [1, 2, 1000])
def test_nothing_is_found_in_a_healthy_store(any_engine: Engine, batch_size: int) -> None:
    assert list(verify(EventStore(any_engine))) == []
    store = fill(any_engine)
    assert list(verify(store, batch_size=batch_size)) == []


def test_nothing_is_found_in_streams_that_have_ended(any_engine: Engine) -> None:
    """What is missing before the event that says so is no damage; a dead letter of it is closed."""
    store = EventStore(any_engine)
    for number in range(1, 5):
        store.append(f"order-{number}", [NewEvent("a"), NewEvent("b")], expected_version=0)
    projection = Projection("refusing", on_failure=OnFailure.DEAD_LETTER)

    @projection.on("a")
    def refuse(event: RecordedEvent, connection: Connection) -> None:
        raise ZeroDivisionError

    Worker(store, projection).run_until_caught_up()
    store.delete_stream("order-1", expected_version=2, reason="r")
    store.delete_stream("order-2", expected_version=2, reason="r", reusable=True)
    store.append("order-2", [NewEvent("again")], expected_version=3)
    with EventStore.in_memory() as archive:
        store.archive_stream("order-3", into=archive, expected_version=2, reason="r")
        assert list(verify(archive)) == []
    assert list(verify(store)) == []
    with changing_history(any_engine) as connection:
        connection.execute(text("DELETE FROM es_events WHERE stream_id = 'order-4' AND version = 1"))
    found = {(finding.kind, finding.stream_id) for finding in verify(store)}
    assert (FindingKind.VERSIONS_MISSING, "order-4") in found
    assert {stream_id for _, stream_id in found} == {"order-4"}


@pytest.mark.parametrize("kind", DAMAGES)
def test_damage_is_found_and_what_can_be_mended_is_mended(any_engine: Engine, kind: str) -> None:
    assert_found_and_mended(any_engine, kind)


@pytest.mark.parametrize("kind", ON_POSTGRESQL_ONLY)
def test_damage_that_only_postgresql_can_have(postgres_engine: Engine, kind: str) -> None:
    assert_found_and_mended(postgres_engine, kind)


def assert_found_and_mended(engine: Engine, kind: str) -> None:
    damage = {**DAMAGES, **ON_POSTGRESQL_ONLY}[kind]
    store = fill(engine)
    damage(engine)
    findings = list(verify(store, batch_size=2))
    assert kinds(findings) == damage.kinds
    assert_told_well(findings)
    constraint = FindingKind.CONSTRAINT_MISSING  # is tried: it depends on the rows
    assert all(finding.repairable == damage.mended or finding.kind is constraint for finding in findings)
    repairs = plan(findings)
    if damage.mended:
        assert list(repair(store, repairs)) == repairs
        assert list(verify(store)) == []
    else:
        assert list(repair(store, repairs)) == []
        assert kinds(list(verify(store))) == damage.kinds


OUT_OF_BOUNDS = {  # what no code writes: what is set to what at which version of order-1 or of a stream; what is said
    "position = 0, schema_version = 0 WHERE stream_id = 'order-1' AND version = 1": "position 0 and schema version 0",
    "codec = -1, event_type = '' WHERE stream_id = 'order-1' AND version = 2": (
        "codec -1 and an event type of 0 characters"
    ),
    "event_type = :long WHERE stream_id = 'order-1' AND version = 3": "an event type of 256 characters",
    "position = -5 WHERE stream_id = 'order-2' AND version = 1": "position -5",
    "stream_id = :long WHERE stream_id = 'order-2'": "a stream id of 256 characters",
    "stream_id = '' WHERE stream_id = 'user-1'": "a stream id of 0 characters",
}


@pytest.mark.parametrize("batch_size", [1, 1000])
def test_values_that_the_database_does_not_check_are_found(any_engine: Engine, batch_size: int) -> None:
    store, on_sqlite = fill(any_engine), any_engine.dialect.name == "sqlite"
    with unchecked(any_engine) as connection:
        if not on_sqlite:
            connection.execute(text("ALTER TABLE es_events ALTER position SET GENERATED BY DEFAULT"))
        for change in OUT_OF_BOUNDS:
            tables = ["es_events", "es_streams", "snapshots"] if change.startswith("stream_id") else ["es_events"]
            for table in tables:
                connection.execute(
                    text(f"UPDATE {table} SET {change}"), {"long": "x" * 256} if ":long" in change else {}
                )
        if on_sqlite:
            connection.execute(text("UPDATE es_events SET codec = 'one' WHERE stream_id = 'order-1' AND version = 5"))
    findings = [found for found in verify(store, batch_size=batch_size, payloads=False) if found.table is None]
    expected = {*OUT_OF_BOUNDS.values(), *(["codec that is no number"] if on_sqlite else [])}
    assert kinds(findings) == {FindingKind.VALUE_OUT_OF_BOUNDS}
    assert sorted(finding.found for finding in findings) == sorted(expected)
    assert_told_well(findings)
    assert "codec 0 to 32767 and an event type of 1 to 255 characters" in {finding.expected for finding in findings}


TOGETHER = [
    "a head that is behind", "a head that is ahead", "a head that is gone", "a head without events", "a hole",
    "a version that is doubled", "bytes that are none of a codec", "a codec that nobody knows",
    "metadata that is no object", "a snapshot beyond its head", "a snapshot that can't be read",
    "positions that begin again", "a checkpoint beyond the log", "a dead letter of no event", "an index that is gone",
    "the version of the schema", "a column that is not ours",
]  # fmt: skip


@pytest.mark.parametrize("batch_size", [1, 1000])
def test_damage_of_all_kinds_is_found_together_and_mended_together(any_engine: Engine, batch_size: int) -> None:
    store = fill(any_engine)
    for kind in sorted(TOGETHER, key=lambda kind: "begin again" in kind):  # the one that others would undo comes last
        DAMAGES[kind](any_engine)
    findings = list(verify(store, batch_size=batch_size))
    assert kinds(findings) == set().union(*(DAMAGES[kind].kinds for kind in TOGETHER))
    assert_told_well(findings)
    done = list(repair(store, plan(findings)))
    of_schema = {FindingKind.INDEX_MISSING, FindingKind.CONSTRAINT_MISSING}
    assert [each for each in done if each.finding.kind is FindingKind.CONSTRAINT_MISSING] == []
    assert done == [each for each in plan(findings) if each.finding.kind is not FindingKind.CONSTRAINT_MISSING]
    assert list(repair(store, done)) == [each for each in done if each.finding.kind not in of_schema]
    assert list(verify(store)) == [finding for finding in findings if finding not in {each.finding for each in done}]


def test_a_finding_says_where_it_is_and_what_it_is(any_engine: Engine) -> None:
    store = fill(any_engine)
    DAMAGES["a hole"](any_engine)
    DAMAGES["a head that is behind"](any_engine)
    hole, head = verify(store)
    assert (hole.stream_id, hole.version, hole.position, hole.name) == ("order-1", 4, 12, None)
    assert str(hole).startswith(
        "versions-missing: stream 'order-1', version 4, position 12: versions 2 to 3 are missing before it; "
    )
    assert (head.stream_id, head.version, head.found) == ("order-2", 2, "a head at version 2")
    assert head.expected == "version 3, that of its newest event"


def test_a_snapshot_stays_where_only_the_head_was_wrong(any_engine: Engine) -> None:
    store = fill(any_engine)
    with unchecked(any_engine) as connection:
        connection.execute(text("UPDATE es_streams SET version = 1"))
    findings = list(verify(store))
    assert kinds(findings) == {FindingKind.HEAD_BEHIND, FindingKind.SNAPSHOT_BEYOND_HEAD}
    list(repair(store, plan(findings)))
    assert list(verify(store)) == []
    assert store.snapshots.load("order-1") is not None
    assert [store.stream_version(stream_id) for stream_id in COUNTS] == list(COUNTS.values())
    assert store.append("order-1", [NewEvent("noted")], expected_version=5).version == 6


def test_what_was_repaired_is_used_again(any_engine: Engine) -> None:
    store = fill(any_engine)
    for kind in ("a head without events", "a head that is gone", "positions that begin again"):
        DAMAGES[kind](any_engine)
    list(repair(store, plan(verify(store))))
    assert store.append("order-99", [NewEvent("opened")], expected_version=0).position > 14
    assert store.append("order-3", [NewEvent("noted")], expected_version=4).version == 5
    assert list(verify(store)) == []


def test_an_old_plan_does_no_harm(any_engine: Engine) -> None:
    store = fill(any_engine)
    DAMAGES["a snapshot that can't be read"](any_engine)
    DAMAGES["a head that is behind"](any_engine)
    repairs = plan(verify(store))
    list(repair(store, repairs))
    store.append("order-2", [NewEvent("noted")], expected_version=3)
    store.snapshots.save("order-2", version=4, state="new")
    list(repair(store, repairs))
    assert store.stream_version("order-2") == 4
    snapshot = store.snapshots.load("order-2")
    assert snapshot is not None
    assert snapshot.state == "new"


def test_many_holes_of_one_stream_are_told_up_to_a_limit(
    sqlite_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = fill(sqlite_engine)
    monkeypatch.setattr(stream_checks, "BREAKS_AT_MOST", 2)
    with unchecked(sqlite_engine) as connection:
        for change in ("version * 2 + 100", "version - 100"):  # by way of versions that nobody has
            connection.execute(text(f"UPDATE es_events SET version = {change} WHERE stream_id = 'order-1'"))
        connection.execute(text("UPDATE es_streams SET version = version * 2 WHERE stream_id = 'order-1'"))
    first, last = verify(store)
    assert first.found == "version 1 is missing before it"
    assert last.found == "version 3 is missing before it, and more in this stream, which has 5 such places"


# --- event types


def test_types_and_schema_versions_that_are_not_known_are_told_once(any_engine: Engine) -> None:
    store = fill(any_engine)
    store.append("order-1", [NewEvent("opened", {}, schema_version=4)], expected_version=5)
    event_types = EventTypes()
    event_types.upcaster("opened", from_version=1)(lambda data: data)
    assert list(verify(store)) == []
    noted, newer = verify(store, event_types=event_types, batch_size=3)
    assert (noted.kind, noted.name, noted.schema_version) == (FindingKind.EVENT_TYPE_UNKNOWN, "noted", 1)
    assert (newer.kind, newer.name, newer.schema_version) == (FindingKind.SCHEMA_VERSION_UNKNOWN, "opened", 4)
    event_types.drop("noted", from_version=1)
    event_types.upcaster("opened", from_version=2)(lambda data: data)
    event_types.upcaster("opened", from_version=3)(lambda data: data)
    assert list(verify(EventStore(any_engine, event_types=event_types))) == []


def test_an_event_that_ends_a_stream_is_of_no_unknown_type(any_engine: Engine) -> None:
    store = fill(any_engine)
    store.delete_stream("order-1", expected_version=5, reason="asked for")
    event_types = EventTypes()
    for name in ("opened", "noted"):
        event_types.drop(name, from_version=1)
    assert list(verify(store, event_types=event_types)) == []


def test_an_event_that_does_not_fit_its_class_is_told_without_its_payload(any_engine: Engine) -> None:
    @dataclass
    class Opened:
        card: int

    store = fill(any_engine)
    event_types = EventTypes()
    event_types.register("opened", Opened)
    event_types.drop("noted", from_version=1)
    findings = list(verify(store, event_types=event_types))
    assert kinds(findings) == {FindingKind.EVENT_UNREADABLE}
    assert [(finding.stream_id, finding.version) for finding in findings] == [(stream_id, 1) for stream_id in COUNTS]
    assert_told_well(findings)


def test_payloads_can_be_left_out(any_engine: Engine) -> None:
    store = fill(any_engine)
    DAMAGES["bytes that are none of a codec"](any_engine)
    DAMAGES["a snapshot that can't be read"](any_engine)
    assert list(verify(store, payloads=False)) == []


# --- going on


def test_it_goes_on_from_any_place_that_it_has_told(any_engine: Engine) -> None:
    store = fill(any_engine)
    for kind in ("a hole", "a head that is gone", "bytes that are none of a codec", "a snapshot beyond its head",
                 "a dead letter of no event"):  # fmt: skip
        DAMAGES[kind](any_engine)
    told: list[tuple[Progress, int]] = []
    found: list[Finding] = []
    found.extend(verify(store, batch_size=1, on_progress=lambda step: told.append((step, len(found)))))
    assert len(found) == 5
    assert {step.place.part for step, _ in told} == set(Part)
    for step, before in told:
        place = Place.parse(str(step.place))
        assert place == step.place
        assert list(verify(store, after=place)) == found[before:], place


@pytest.mark.parametrize("place", ["", "streams", "streams:x:order-1", "order:0:order-1", "events:-1:", "events:9"])
def test_a_text_that_is_no_place_is_refused(place: str) -> None:
    with pytest.raises(InvalidInput, match="a place looks like"):
        Place.parse(place)


def test_bad_arguments_are_refused_before_anything_is_read(sqlite_engine: Engine) -> None:
    store = EventStore(sqlite_engine)
    bad: Any = "streams:0:order-1"
    with pytest.raises(InvalidInput, match="after must be a Place"):
        verify(store, after=bad)
    with pytest.raises(InvalidInput, match="batch_size"):
        verify(store, batch_size=0)
    with store.transaction() as joined, pytest.raises(InvalidInput, match="not joined"):
        verify(joined)


def test_a_missing_table_ends_it_and_missing_tables_are_no_damage(any_engine: Engine, new_engine: Engine) -> None:
    store = fill(any_engine)
    with any_engine.begin() as connection:
        connection.execute(text("DROP TABLE snapshots"))
    assert [finding.table for finding in verify(store)] == ["snapshots"]
    with pytest.raises(SchemaMissing):
        list(verify(EventStore(new_engine)))


# --- what it costs, and races


def test_a_batch_of_streams_is_read_by_the_index_analyzed_or_not(any_engine: Engine) -> None:
    store = EventStore(any_engine)
    store.append_many(
        [
            Append(f"order-{number:05}", [NewEvent("opened"), NewEvent("noted")], expected_version=0)
            for number in range(5000)
        ]
    )
    explain = "EXPLAIN " if any_engine.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN "
    bounds = {"after": "order-02000", "last": "order-02100", "page_size": 100}
    with any_engine.begin() as connection:
        for analyzed in (False, True):
            if analyzed:
                connection.execute(text("ANALYZE"))
            for statement in (stream_states(bounded=True), events_without_stream(bounded=True)):
                sql, constants = store.core.dialect.sql(statement)
                rows = connection.exec_driver_sql(explain + sql, {**constants, **bounds})
                plan_ = "\n".join(str(row[-1]) for row in rows)
                assert "Seq Scan on es_events" not in plan_, plan_
                assert "SCAN es_events" not in plan_, plan_


def test_repair_waits_for_an_append_to_the_stream_and_keeps_what_it_stores(any_engine: Engine) -> None:
    """Otherwise it would set the head back to where the events ended before the append was committed."""
    store = fill(any_engine)
    DAMAGES["a head that is ahead"](any_engine)
    repairs = plan(verify(store))
    with ThreadPoolExecutor(1) as threads:
        with store.transaction() as transaction:
            assert transaction.append("user-1", [NewEvent("noted")], expected_version=7).version == 8
            repairing = start_waiting(threads, transaction.connection, lambda: list(repair(store, repairs)))
        assert repairing.result(timeout=30) == repairs
    assert store.stream_version("user-1") == 8
    assert [finding.kind for finding in verify(store)] == [FindingKind.VERSIONS_MISSING]


def test_positions_are_mended_when_appends_under_way_have_ended(postgres_engine: Engine) -> None:
    store = fill(postgres_engine)
    DAMAGES["positions that begin again"](postgres_engine)
    repairs = plan(verify(store))
    with ThreadPoolExecutor(1) as threads:
        with postgres_engine.begin() as connection:
            connection.execute(text("SELECT setval('es_events_position_seq', 499)"))
            store.join(connection).append("user-1", [NewEvent("noted")], expected_version=2)
            repairing = start_waiting(threads, connection, lambda: list(repair(store, repairs)))
        assert repairing.result(timeout=30) == repairs
    assert store.append("user-1", [NewEvent("noted")], expected_version=3).position == 501
    assert list(verify(store)) == []


def test_heads_that_are_all_gone_are_all_made_anew(any_engine: Engine) -> None:
    store = fill(any_engine)
    with unchecked(any_engine) as connection:
        connection.execute(text("DELETE FROM es_streams"))
    findings = list(verify(store, batch_size=1))
    heads = [finding for finding in findings if finding.kind is FindingKind.HEAD_MISSING]
    assert [(finding.stream_id, finding.version) for finding in heads] == list(COUNTS.items())
    list(repair(store, plan(findings)))
    assert list(verify(store)) == []
    assert store.snapshots.load("order-1") is not None


# --- documentation


def test_the_documentation_has_all_kinds_and_says_which_are_mended() -> None:
    page = (Path(__file__).parent.parent / "docs" / "how-to" / "verify-and-repair.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| `([a-z-]+)` \|.*\| (yes|\u2013) \|$", page, re.MULTILINE))
    mended = {kind.value for kind in FindingKind if kind in ACTIONS}
    assert told == {kind.value: "yes" if kind.value in mended else "\u2013" for kind in FindingKind}
