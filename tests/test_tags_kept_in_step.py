"""The table of tags is what the metadata of events says: after imports, archives, repairs, and on new tables."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text

from eventstore import ANY, Append, EventFilter, EventStore, EventTypes, NewEvent, migrations, transfer
from eventstore.contrib import frames
from eventstore.decisions import Decision
from eventstore.errors import BoundaryChanged, DamagedExport, ImportConflict, InvalidInput, SchemaOutdated
from eventstore.findings import FindingKind
from eventstore.maintenance import fill_tags, plan, repair, verify
from eventstore.projections import Projection, Worker
from tests.fix_command_line import CommandLine
from tests.fix_engines import changing_history, migrated_sqlite
from tests.fix_migrations import url_of

COURSE = EventFilter(tags=["course:1"])


@pytest.fixture
def store(any_engine: Engine) -> EventStore:
    store = EventStore(any_engine)
    events = [NewEvent("opened", tags=["course:1"]), NewEvent("other"), NewEvent("enrolled", tags=["course:1", "s:1"])]
    store.append("a-1", events, expected_version=ANY, metadata={"user": 1})
    store.append("a-2", NewEvent("enrolled", tags=["course:1", "s:2"]), expected_version=ANY)
    return store


def rows(engine: Engine) -> list[tuple[int, str, str]]:
    with engine.connect() as connection:
        found = connection.execute(text("SELECT position, tag, event_type FROM es_event_tags ORDER BY 1, 2"))
        return [tuple(row) for row in found]


def damage(engine: Engine, *statements: str) -> None:
    with changing_history(engine) as connection:
        for statement in statements:
            connection.execute(text(statement))


GENERATIONS = ((1, "", ""), (2, "", ""))
"""After a repair: one of what it has deleted, one of what it has stored."""

DAMAGES = (
    "DELETE FROM es_event_tags WHERE tag = 's:1'",
    "UPDATE es_event_tags SET event_type = 'x' WHERE tag = 's:2'",
    "INSERT INTO es_event_tags VALUES (2, 'course:1', 'other')",
    "INSERT INTO es_event_tags VALUES (99, 'course:1', 'x')",
)


@pytest.mark.slow
def test_verify_finds_what_is_not_in_step_and_repair_makes_it_so(store: EventStore) -> None:
    right = rows(store.engine)
    assert list(verify(store)) == []
    boundary = store.read_boundary(COURSE)
    damage(store.engine, *DAMAGES)
    findings = list(verify(store, batch_size=1))
    assert {(finding.kind, finding.position) for finding in findings} == {
        (FindingKind.TAG_MISSING, 3), (FindingKind.TAG_MISSING, 4),
        (FindingKind.TAG_SUPERFLUOUS, 2), (FindingKind.TAG_SUPERFLUOUS, 4), (FindingKind.TAG_SUPERFLUOUS, 99),
    }  # fmt: skip
    assert not any("course:1" in str(finding) or "s:1" in str(finding) for finding in findings)
    (repaired,) = repair(store, plan(findings))
    assert "es_event_tags" in str(repaired)
    assert (list(verify(store)), rows(store.engine)) == ([], sorted([*GENERATIONS, *right]))
    with pytest.raises(BoundaryChanged):
        store.append("b-1", NewEvent("x"), expected_version=ANY, condition=boundary)
    store.append("b-1", NewEvent("x"), expected_version=ANY, condition=store.read_boundary(COURSE))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["all.jsonl", "all.parquet"])
def test_an_export_and_its_import_keep_tags(store: EventStore, tmp_path: Path, name: str) -> None:
    transfer.export_events(store, tmp_path / name)
    copy = EventStore(create_engine(f"sqlite:///{migrated_sqlite(tmp_path)}"))
    transfer.import_events(copy, tmp_path / name, keep_positions=True)
    assert rows(copy.engine) == rows(store.engine)
    assert [event.tags for event in copy.read_all()] == [event.tags for event in store.read_all()]
    assert list(verify(copy)) == []
    transfer.import_events(copy, tmp_path / name, keep_positions=True)
    boundary = copy.read_boundary(COURSE)
    assert copy.append("b-1", NewEvent("x"), expected_version=ANY, condition=boundary).version == 1
    copy.engine.dispose()


def test_an_export_by_tags_has_these_events_and_no_streams_and_its_errors_name_no_tag(
    store: EventStore, tmp_path: Path
) -> None:
    path = tmp_path / "some.jsonl"
    assert transfer.export_events(store, path, COURSE).events == 3
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert [line["kind"] for line in lines] == ["export", "event", "event", "event", "end"]
    assert transfer.export_events(store, path, COURSE, resume=True).events == 0
    for others in ([], [EventFilter(tags=["s:1"])]):
        with pytest.raises(InvalidInput, match="an export of events with tags, so") as refused:
            transfer.export_events(store, path, *others, resume=True)
        assert not any(tag in str(refused.value) for tag in ("course:1", "s:1"))
    with EventStore.in_memory() as copy, pytest.raises(ImportConflict, match="filtered by event type or tag"):
        transfer.import_events(copy, path)


@pytest.mark.slow
def test_bad_tags_in_a_file_are_refused_and_older_tables_too(store: EventStore, tmp_path: Path) -> None:
    transfer.export_events(store, tmp_path / "all.jsonl")
    lines = (tmp_path / "all.jsonl").read_text()
    assert '"s:1"' in lines
    (tmp_path / "bad.jsonl").write_text(lines.replace('"s:1"', '""'))
    copy = EventStore(create_engine(f"sqlite:///{migrated_sqlite(tmp_path)}"))
    with pytest.raises(DamagedExport):
        transfer.import_events(copy, tmp_path / "bad.jsonl")
    copy.engine.dispose()
    older = create_engine(f"sqlite:///{tmp_path}/older.db")
    migrations.upgrade(older, "es_0008")
    with pytest.raises(SchemaOutdated, match="migrate"):
        transfer.import_events(EventStore(older), tmp_path / "all.jsonl")
    older.dispose()


@pytest.mark.slow
def test_an_archive_takes_the_tags_along(store: EventStore) -> None:
    with EventStore.in_memory() as archive:
        old = archive.read_boundary(COURSE)
        store.archive_stream("a-1", into=archive, expected_version=3, reason="test")
        assert [event.stream_id for event in store.read_boundary(COURSE)] == ["a-2"]
        assert [event.event_type for event in archive.read_boundary(COURSE)] == ["opened", "enrolled"]
        assert (list(verify(store)), list(verify(archive))) == ([], [])
        with pytest.raises(BoundaryChanged):
            archive.append("b-1", NewEvent("x"), expected_version=ANY, condition=old)


def test_a_deleted_stream_has_no_tags(store: EventStore) -> None:
    store.delete_stream("a-1", expected_version=3, reason="test")
    assert [tag for _, tag, _ in rows(store.engine)] == ["course:1", "s:2"]
    assert list(verify(store)) == []


@pytest.mark.slow
def test_tables_that_are_made_again_are_filled_by_repair(any_engine: Engine, store: EventStore) -> None:
    right = rows(any_engine)
    migrations.downgrade(any_engine, "es_0008")
    migrations.upgrade(any_engine)
    assert rows(any_engine) == []
    list(repair(store, plan(verify(store))))
    assert rows(any_engine) == sorted([*GENERATIONS, *right])


@pytest.mark.slow
@pytest.mark.postgresql
def test_a_key_without_the_event_type_that_it_includes_is_found_and_repaired(postgres_engine: Engine) -> None:
    """A decision would then read each event that has its tag, whatever its type."""
    store = EventStore(postgres_engine)
    key = "ADD CONSTRAINT es_event_tags_pkey PRIMARY KEY (tag, position)"
    damage(postgres_engine, f"ALTER TABLE es_event_tags DROP CONSTRAINT es_event_tags_pkey, {key}")
    store.append("a-1", NewEvent("opened", tags=["course:1"]), expected_version=ANY)
    (finding,) = migrations.verify(postgres_engine)
    assert (finding.kind, finding.name) == (FindingKind.CONSTRAINT_MISSING, "es_event_tags_pkey")
    assert (finding.found, finding.expected) == (
        'is PRIMARY KEY USING btree (tag, "position")',
        'PRIMARY KEY USING btree (tag, "position") INCLUDE (event_type)',
    )
    list(repair(store, plan(verify(store))))
    assert list(verify(store)) == []


@dataclass(frozen=True)
class Opened:
    course_id: str


@pytest.mark.slow
def test_on_older_tables_whatever_uses_tags_names_the_command_and_writes_nothing(
    any_engine: Engine, tmp_path: Path
) -> None:
    with EventStore.in_memory() as other:
        boundary = other.read_boundary(COURSE)
    migrations.downgrade(any_engine, "es_0008")
    event_types = EventTypes()
    event_types.register("opened", Opened, tags={"course": "course_id"})
    store = EventStore(any_engine, event_types=event_types)
    tagged, plain = NewEvent("a", tags=["x"]), NewEvent("a")
    projection = Projection("tagged", COURSE)
    projection.on("a")(lambda *_: None)
    decision = Decision(
        store, queries=lambda: [COURSE], initial=int, evolve=lambda state, _: state, decide=lambda _: [plain]
    )
    uses: list[Callable[[], object]] = [
        lambda: store.append("a-1", tagged, expected_version=ANY),
        lambda: store.append("a-1", [plain, tagged], expected_version=ANY),
        lambda: store.append("a-1", Opened("c1"), expected_version=ANY),
        lambda: store.append("a-1", plain, expected_version=ANY, condition=boundary),
        lambda: store.append_many([Append("a-1", tagged, expected_version=ANY)]),
        lambda: store.append_many([Append("a-1", plain, expected_version=ANY)], condition=boundary),
        lambda: store.read_boundary(COURSE),
        lambda: list(store.read_all(COURSE)),
        lambda: list(store.read_all(COURSE, backwards=True)),
        lambda: next(iter(store.subscribe(COURSE, after_position=0))),
        lambda: frames.read_all(store, COURSE).table(),
        lambda: transfer.export_events(store, tmp_path / "tagged.jsonl", COURSE),
        lambda: Worker(store, projection).run_until_caught_up(),
        decision.execute,
        lambda: fill_tags(store),
    ]
    store.append("b-1", plain, expected_version=0)
    for use in uses:
        with pytest.raises(SchemaOutdated, match="eventstore migrate"):
            use()
    run = CommandLine(url_of(any_engine))
    for arguments in (
        ["tail", "--tag", "x"],
        ["append", "a-1", "{}", "--type", "a", "--tag", "x", "--expected-version", "any"],
    ):
        refused = run(*arguments)
        assert (refused.exit_code, "eventstore migrate" in refused.stderr) == (4, True)
    assert store.stream_version("a-1") == 0
    assert [event.tags for event in store.read_all()] == [()]
    assert not [
        finding for finding in verify(store) if finding.kind in (FindingKind.TAG_MISSING, FindingKind.SCHEMA_INCOMPLETE)
    ]
