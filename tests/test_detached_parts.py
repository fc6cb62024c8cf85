"""Parts of the log that were detached: their exports, and that no read silently returns less."""

import contextlib
import json
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Engine, text

from eventstore import (
    ANY,
    EventFilter,
    EventStore,
    EventTypes,
    LogWentBack,
    NewEvent,
    Projection,
    RecordedEvent,
    Repository,
    Worker,
    migrations,
)
from eventstore.cli import main
from eventstore.contrib import frames
from eventstore.decisions import Decision
from eventstore.detaching import (
    check_part,
    detach_part,
    export_part,
    load_part,
    read_part,
)
from eventstore.detaching.reading import stored_events
from eventstore.errors import (
    BoundaryChanged,
    DamagedExport,
    HistoryDetached,
    ImportConflict,
    InvalidInput,
    PartInUse,
    TableLocked,
)
from eventstore.findings import Level
from eventstore.maintenance import plan, repair, verify
from eventstore.migrations import partitioning
from eventstore.migrations.partitioning.indexes import build_index
from eventstore.parts import PartState
from eventstore.projections import ProjectionAdmin
from eventstore.repository import SnapshotPolicy, every, never
from eventstore.rows.mapper import StoredEvent
from eventstore.transfer import export_events, import_events
from tests.fix_documentation import ROOT, run_document
from tests.fix_migrations import url_of
from tests.fix_postgresql import Databases
from tests.partitioned import partition
from tests.processes import run_python
from tests.waiting import start_waiting, until

SIZE = 10
PART = "es_events_1"


def fill(store: EventStore, *, rounds: int = 12) -> None:
    """Append two events for each round, to three streams in turn."""
    for number in range(rounds):
        events = [
            NewEvent("counted", {"n": number}, tags=["all:1", f"round:{number}"]),
            NewEvent("noted", {"text": "x" * number, "raw": b"\x00\xff"}, metadata={"who": "é", "n": [1, None]}),
        ]
        store.append(f"a-{number % 3}", events, expected_version=ANY)


@pytest.fixture
def store(postgres_engine: Engine, postgres_databases: Databases) -> EventStore:
    """A store with 24 events, in parts of 10 positions: a copy of one that was partitioned and filled once."""

    def partition_and_fill(template: Engine) -> None:
        migrations.upgrade(template)
        partition(template, size=SIZE, count=5)
        fill(EventStore(template))

    postgres_engine.dispose()
    postgres_databases.replace(postgres_engine.url, "24 events in parts of 10", partition_and_fill)
    return EventStore(postgres_engine)


def detach(store: EventStore, folder: Path | None, part: str = PART, **options: Any) -> None:
    detach_part(store, part, folder=folder, streams_may_lose_history=True, **options)


@pytest.fixture
def before(store: EventStore) -> list[RecordedEvent]:
    """All events, before any was detached."""
    return list(store.read_all())


def of_stream(events: list[RecordedEvent], stream_id: str) -> list[RecordedEvent]:
    return [event for event in events if event.stream_id == stream_id]


# --- exports


@dataclass(frozen=True)
class Measured:
    degrees: int


_COLUMNS = [
    "position", "stream_id", "version", "event_id", "event_type", "schema_version", "codec", "data", "metadata",
    "recorded_at",
]  # fmt: skip


def columns(engine: Engine, table: str) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(text(f"SELECT {', '.join(_COLUMNS)} FROM {table} ORDER BY position")))


@pytest.mark.slow
@pytest.mark.parametrize("by_stream", [False, True])
def test_an_export_is_read_back_and_loaded_as_it_was(
    store: EventStore, before: list[RecordedEvent], sqlite_engine: Engine, tmp_path: Path, by_stream: bool
) -> None:
    folder = tmp_path / "part"
    stored = columns(store.engine, PART)
    manifest = export_part(store, PART, folder, by_stream=by_stream)
    assert (manifest.first_position, manifest.last_position, manifest.events) == (1, SIZE, SIZE)
    assert (manifest.first_event_id, manifest.last_event_id) == (before[0].event_id, before[9].event_id)
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [*(file.name for file in manifest.files), "manifest.json"]
    )
    assert check_part(folder) == manifest == export_part(store, PART, folder, by_stream=by_stream)
    assert list(read_part(store, folder)) == before[:SIZE]
    for check in (True, False):
        found = read_part(EventStore.from_url("sqlite://"), folder, stream_id="a-1", check=check)
        assert list(found) == of_stream(before[:SIZE], "a-1")

    loaded = EventStore(sqlite_engine)
    assert load_part(loaded, folder).events == SIZE
    assert list(loaded.read_all()) == before[:SIZE]
    assert load_part(loaded, folder).repeated == SIZE
    assert columns(store.engine, PART) == stored


@pytest.mark.slow
def test_parts_are_loaded_in_order(
    store: EventStore, before: list[RecordedEvent], sqlite_engine: Engine, tmp_path: Path
) -> None:
    for number in (1, 2):
        export_part(store, f"es_events_{number}", tmp_path / str(number))
    loaded = EventStore(sqlite_engine)
    with pytest.raises(ImportConflict):
        load_part(loaded, tmp_path / "2")
    for number in (1, 2):
        load_part(loaded, tmp_path / str(number))
    assert list(loaded.read_all()) == before[: 2 * SIZE]


@pytest.mark.slow
def test_payloads_are_read_by_the_store_that_is_passed(postgres_engine: Engine, tmp_path: Path) -> None:
    types = EventTypes()
    types.register("measured", Measured, schema_version=2)
    types.upcaster("measured", from_version=1)(lambda data: {"degrees": data["n"]})
    partition(postgres_engine, size=2, count=3)
    store = EventStore(postgres_engine, compress_above=10)
    for number in range(3):
        event = NewEvent("measured", {"n": number, "text": "long " * 100})
        store.append("a-1", event, expected_version=ANY)
    export_part(store, PART, tmp_path / "part")
    typed = EventStore.in_memory(event_types=types)
    assert [event.data for event in read_part(typed, tmp_path / "part")] == [Measured(0), Measured(1)]
    assert [event.data["n"] for event in read_part(typed, tmp_path / "part", upcast=False)] == [0, 1]


@pytest.mark.slow
def test_a_damaged_export_is_recognised(store: EventStore, tmp_path: Path) -> None:
    folder = tmp_path / "part"
    manifest = export_part(store, PART, folder)
    events, text_of_manifest = folder / "events.parquet", folder / "manifest.json"
    content, record = events.read_bytes(), text_of_manifest.read_text()

    def refused(match: str) -> None:
        with pytest.raises(DamagedExport, match=match):
            list(read_part(store, folder))
        with pytest.raises(DamagedExport, match=match):
            export_part(store, PART, folder)

    events.write_bytes(content[:-1] + b"\x00")
    refused("SHA-256")
    events.unlink()
    refused("missing")
    events.write_bytes(content)
    for change, match in (
        ({"format": 2}, "format 1"),
        ({"events": 11}, "11"),
        ({"first_event_id": str(manifest.last_event_id)}, "another one"),
        ({"last_position": 9}, "another one"),
        ({"files": [{**asdict(manifest.files[0]), "name": "../events.parquet"}]}, "not a manifest"),
    ):
        changed = {**json.loads(record), **change}
        text_of_manifest.write_text(json.dumps(changed, indent=2) + "\n")
        refused(match)
    text_of_manifest.write_text(record + " ")
    refused("was changed")
    text_of_manifest.unlink()
    refused("no manifest.json")


@pytest.mark.slow
def test_an_export_is_compared_with_the_table(store: EventStore, tmp_path: Path) -> None:
    export_part(store, PART, tmp_path / "part")
    store.delete_stream("a-0", expected_version=store.stream_version("a-0"), reason="asked for")
    with pytest.raises(DamagedExport, match="deleted since"):
        detach(store, tmp_path / "part")
    assert partitioning.parts(store.engine)[0].state is PartState.ATTACHED
    export_part(store, PART, tmp_path / "again")
    with pytest.raises(InvalidInput, match="of es_events_1, not of es_events_2"):
        export_part(store, "es_events_2", tmp_path / "again")


def test_what_can_not_be_exported_is_refused(store: EventStore, sqlite_engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(
        InvalidInput, match="es_events_3 takes events up to position 30, and the log is settled up to 24"
    ):
        export_part(store, "es_events_3", tmp_path / "part")
    with pytest.raises(InvalidInput, match="no partition 'es_streams'"):
        export_part(store, "es_streams", tmp_path / "part")
    with pytest.raises(InvalidInput, match="only PostgreSQL has partitions, and this store is on sqlite"):
        export_part(EventStore(sqlite_engine), PART, tmp_path / "part")
    with store.engine.begin() as connection, pytest.raises(InvalidInput, match="joined"):
        export_part(store.join(connection), PART, tmp_path / "part")
    assert not list(tmp_path.glob("part*"))


# --- detaching


@pytest.mark.slow
def test_reads_that_need_a_detached_part_say_so(store: EventStore, before: list[RecordedEvent], tmp_path: Path) -> None:
    store.append("b-1", [NewEvent("late")], expected_version=0)
    after = list(store.read_all(after_position=SIZE))
    detach(store, tmp_path / "part", location="https://archive.example/part 1")
    for of_same in (store, EventStore(store.engine, page_size=3)):
        for read in reads_of_the_part(of_same, before):
            with pytest.raises(HistoryDetached) as raised:
                read()
            error = raised.value
            assert (error.part, error.first_position, error.last_position) == (PART, 1, SIZE)
            assert error.location == "https://archive.example/part 1"
            assert error.sha256 == check_part(tmp_path / "part").sha256
        for read, expected in reads_of_the_rest(of_same, before, after):
            assert read() == expected


def reads_of_the_part(store: EventStore, before: list[RecordedEvent]) -> Iterator[Callable[[], object]]:
    yield lambda: list(store.read_all())
    yield lambda: list(store.read_all(limit=1))
    yield lambda: list(store.read_all(after_position=SIZE - 1))
    yield lambda: list(store.read_all(after_position=before[SIZE - 2].token))
    yield lambda: list(store.read_all(backwards=True))
    yield lambda: list(store.read_all(EventFilter(categories=["a"])))
    yield lambda: list(
        store.read_all(EventFilter(event_types=["noted"]), EventFilter(stream_ids=["a-1"], categories=["a"]))
    )
    yield lambda: list(store.read_all(EventFilter(event_types=["noted"]), backwards=True))
    yield lambda: list(store.read_all(EventFilter(tags=["all:1"])))
    yield lambda: next(iter(store.subscribe(after_position=0, idle_timeout_seconds=1)))
    yield lambda: list(store.read_stream("a-0"))
    yield lambda: list(store.read_stream("a-0", limit=1))
    yield lambda: list(store.read_stream("a-0", after_version=3))
    yield lambda: list(store.read_stream("a-0", up_to_version=2))
    yield lambda: list(store.read_stream("a-0", up_to_version=2, backwards=True))
    yield lambda: list(store.read_stream("a-0", backwards=True))
    yield lambda: store.read_boundary(EventFilter(tags=["all:1"]))
    yield lambda: store.read_boundary(EventFilter(tags=["round:1"]), EventFilter(tags=["round:11"]))
    yield lambda: store.read_boundary(EventFilter(tags=["round:1"], event_types=["other"]))
    yield lambda: export_events(store, os.devnull, format="json-lines")  # type: ignore[arg-type]  # the name of one
    yield lambda: store.read_boundary(EventFilter(event_types=["other"]), lock_all_appends=True)
    yield lambda: list(store.read_stream("a-0", event_types=["none"]))
    yield lambda: list(store.read_stream("a-0", event_types=["none"], backwards=True))
    yield lambda: store.first_and_last("a-0")
    yield lambda: list(store.find_events(event_id=before[0].event_id))
    yield lambda: list(store.find_events(correlation_id="none"))
    yield store.count_events
    yield lambda: store.count_events(EventFilter(event_types=["none"]), recorded_since=before[0].recorded_at)
    yield lambda: list(store.read_all(recorded_since=before[0].recorded_at))
    yield lambda: list(store.read_all(recorded_since=before[0].recorded_at, backwards=True))
    yield lambda: frames.read_all(store).table()
    yield lambda: frames.read_stream(store, "a-0").table()
    yield lambda: counting(store).load("0")
    yield lambda: counting(store).load("0", version=2)
    yield lambda: counting(store).load("0", as_of=before[0].recorded_at)


def reads_of_the_rest(
    store: EventStore, before: list[RecordedEvent], after: list[RecordedEvent]
) -> Iterator[tuple[Callable[[], object], object]]:
    yield lambda: list(store.read_all(after_position=SIZE)), after
    yield lambda: list(store.read_all(after_position=before[SIZE - 1].token)), after
    yield lambda: list(store.read_all(EventFilter(categories=["a"]), after_position=SIZE)), after[:-1]
    yield lambda: list(store.read_all(backwards=True, limit=len(after))), after[::-1]
    yield lambda: list(store.read_all(backwards=True, after_position=SIZE)), after[::-1]
    yield lambda: list(store.read_stream("a-0", after_version=4)), of_stream(after, "a-0")
    yield lambda: list(store.read_stream("a-0", backwards=True, limit=4)), of_stream(after, "a-0")[::-1]
    yield lambda: list(store.read_stream("a-0", backwards=True, after_version=4)), of_stream(after, "a-0")[::-1]
    yield lambda: list(store.read_stream("a-0", after_version=8)), []
    yield lambda: list(store.read_stream("a-0", after_version=8, backwards=True)), []
    yield lambda: list(store.read_stream("b-1")), after[-1:]
    yield lambda: list(store.read_stream("a-0", event_types=["none"], after_version=4)), []
    yield lambda: store.first_and_last("b-1"), (after[-1], after[-1])
    yield lambda: store.first_and_last("c-1"), None
    yield lambda: list(store.find_events(event_id=after[0].event_id)), after[:1]
    yield lambda: list(store.find_events(correlation_id="none", after_position=SIZE)), []
    yield lambda: store.count_events(after_position=SIZE), len(after)
    yield lambda: store.count_events(EventFilter(categories=["a"]), after_position=SIZE), len(after) - 1
    yield lambda: list(store.read_all(recorded_since=before[0].recorded_at, after_position=SIZE)), after
    yield lambda: list(store.read_all(recorded_since=before[0].recorded_at, backwards=True, limit=2)), after[:-3:-1]
    yield lambda: list(store.read_stream("c-1")), []
    yield lambda: list(store.read_boundary(EventFilter(tags=["round:11"]))), before[22:23]
    yield lambda: len(store.read_boundary(EventFilter(tags=["round:99"]))), 0
    yield lambda: store.wait_for(before[0].token) is store, True
    yield lambda: store.stream_version("a-0"), 8
    yield lambda: counting(store, "b").load("1").state, 1
    yield lambda: counting(store).load("9", must_exist=False).state, 0


def counting(store: EventStore, category: str = "a", snapshots: SnapshotPolicy = never) -> Repository[int]:
    """Return a repository of aggregates whose state is the number of their events."""
    return Repository(
        store, category=category, initial=lambda: 0, evolve=lambda state, _: state + 1, snapshots=snapshots
    )


@pytest.mark.slow
def test_a_read_backwards_returns_what_is_left_before_it_says_so(
    store: EventStore, before: list[RecordedEvent], tmp_path: Path
) -> None:
    detach(store, tmp_path / "part")
    for reading, left in (
        (store.read_all(backwards=True), before[: SIZE - 1 : -1]),
        (store.read_stream("a-0", backwards=True), of_stream(before[SIZE:], "a-0")[::-1]),
    ):
        found: list[RecordedEvent] = []
        with pytest.raises(HistoryDetached):
            found.extend(reading)
        assert found == left


@pytest.mark.slow
def test_a_repository_goes_on_from_a_newer_snapshot(store: EventStore, tmp_path: Path) -> None:
    repository = counting(store, snapshots=every(1))
    repository.execute("0", lambda _: [NewEvent("counted")])
    detach(store, tmp_path / "part")
    assert repository.load("0").state == 9
    repository.execute("0", lambda state: [NewEvent("counted", {"n": state})])
    assert repository.load("0").state == 10
    with pytest.raises(HistoryDetached):
        repository.execute("1", lambda _: [NewEvent("counted")])
    with pytest.raises(HistoryDetached):
        repository.load("0", version=8)


@pytest.mark.slow
def test_a_log_of_which_all_readers_have_passed_the_part_goes_on(store: EventStore, tmp_path: Path) -> None:
    projection = Projection("numbers")
    seen: list[int] = []

    @projection.on("counted")
    def count(event: RecordedEvent, _: Any) -> None:
        seen.append(event.position)

    worker = Worker(store, projection)
    worker.run_until_caught_up()
    subscription = store.subscribe(after_position=store.settled_position(), idle_timeout_seconds=0.2)
    detach(store, tmp_path / "part")
    store.append("a-0", NewEvent("counted"), expected_version=ANY)
    worker.run_until_caught_up()
    assert seen[-1] == 25
    assert [event.position for event in subscription] == [25]
    ((status),) = ProjectionAdmin(store).status()
    assert not status.log_went_back
    ProjectionAdmin(store).reset("numbers")
    with pytest.raises(HistoryDetached):
        worker.run_until_caught_up()
    with pytest.raises(HistoryDetached):
        Worker(store, Projection("another")).run_until_caught_up()


@pytest.mark.slow
def test_a_checkpoint_at_the_last_event_of_a_part_goes_on(store: EventStore, tmp_path: Path) -> None:
    token = next(iter(store.read_all(after_position=SIZE - 1))).token
    Worker(store, Projection("numbers")).run_until_caught_up()
    with store.engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE es_checkpoints SET position = :position, event_position = :position, event_id = :id, "
                "event_stream_id = :stream, event_version = :version"
            ),
            {"position": SIZE, "id": token.event_id, "stream": token.stream_id, "version": token.version},
        )
    detach(store, tmp_path / "part")
    (status,) = ProjectionAdmin(store).status()
    assert not status.log_went_back
    assert Worker(store, Projection("numbers")).run_until_caught_up() == 0  # it handles no type, but passes all events
    with pytest.raises(LogWentBack):  # at a position that was not detached, no event may be gone
        list(store.read_all(after_position=type(token)(12, token.event_id, token.stream_id, token.version)))


@pytest.mark.slow
def test_a_part_in_use_is_not_detached(store: EventStore, tmp_path: Path) -> None:
    folder = tmp_path / "part"
    with pytest.raises(PartInUse, match=r"streams that take events have some in it: 'a-0', 'a-1', 'a-2'; archive"):
        detach_part(store, PART, folder=folder)
    with store.engine.begin() as connection:
        connection.execute(text("INSERT INTO es_checkpoints (name, position) VALUES ('numbers', 9), ('others', 10)"))
        connection.execute(
            text(
                "INSERT INTO es_dead_letters (projection, position, version, attempts, event_id, status, stream_id, "
                "event_type) SELECT 'others', position, version, 1, event_id, 'pending', stream_id, event_type "
                "FROM es_events WHERE position IN (10, 11)"
            )
        )
    with pytest.raises(PartInUse) as raised:
        detach(store, folder)
    assert raised.value.problems == (
        "projections have not handled its events up to position 10: numbers (at 9)",
        "dead letters in it are pending, retry or discard them: 10 of others",
    )
    with pytest.raises(InvalidInput, match="not the oldest part of the log; detach es_events_1 first"):
        detach(store, folder, "es_events_2")
    assert not folder.exists()
    with store.engine.begin() as connection:
        connection.execute(text("UPDATE es_checkpoints SET position = 10"))
        connection.execute(text("UPDATE es_dead_letters SET status = 'discarded'"))
    detach(store, folder, dry_run=True)
    assert partitioning.parts(store.engine)[0].state is PartState.ATTACHED
    assert not folder.exists()
    detach(store, folder)
    assert partitioning.parts(store.engine)[0].state is PartState.DETACHED


@pytest.mark.slow
def test_a_part_of_closed_streams_needs_no_flag(postgres_engine: Engine, tmp_path: Path) -> None:
    partition(postgres_engine, size=2, count=3)
    store = EventStore(postgres_engine)
    store.append("a-1", NewEvent("counted"), expected_version=0)
    store.delete_stream("a-1", expected_version=1, reason="done")
    store.append("a-2", NewEvent("counted"), expected_version=0)
    detach_part(store, PART, folder=tmp_path / "part")
    with pytest.raises(HistoryDetached):
        list(store.read_stream("a-1"))
    assert len(list(store.read_stream("a-2"))) == 1


@pytest.mark.slow
def test_a_part_that_was_detached_without_an_export_is_exported_before_it_is_dropped(
    store: EventStore, before: list[RecordedEvent], tmp_path: Path
) -> None:
    detach(store, None)
    with pytest.raises(HistoryDetached, match="it was not exported"):
        list(store.read_all())
    (tmp_path / "part").mkdir()
    with pytest.raises(DamagedExport):
        detach(store, tmp_path / "part", drop=True)
    assert partitioning.parts(store.engine)[0].state is PartState.DETACHED
    detach(store, tmp_path / "1", drop=True)
    assert list(read_part(store, tmp_path / "1")) == before[:SIZE]
    with pytest.raises(HistoryDetached) as raised:
        list(store.read_all())
    assert (raised.value.location, raised.value.sha256) == (str(tmp_path / "1"), check_part(tmp_path / "1").sha256)
    assert partitioning.parts(store.engine)[0].state is PartState.DROPPED
    detach(store, None, drop=True)
    detach(store, None, "es_events_2", drop=True)
    assert [part.state for part in partitioning.parts(store.engine)][:3] == [
        PartState.DROPPED,
        PartState.DROPPED,
        PartState.ATTACHED,
    ]


@pytest.mark.slow
def test_older_code_is_refused_from_then_on(store: EventStore, tmp_path: Path) -> None:
    detach(store, tmp_path / "part")
    with store.engine.connect() as connection:
        assert connection.execute(text("SELECT breaking_version FROM es_schema")).scalar() == 11


@pytest.mark.slow
def test_streams_are_deleted_and_archived_beside_detached_events(
    store: EventStore, sqlite_engine: Engine, tmp_path: Path
) -> None:
    detach(store, tmp_path / "part")
    with pytest.raises(HistoryDetached):
        store.archive_stream("a-0", into=EventStore(sqlite_engine), expected_version=8, reason="old")
    assert store.stream_version("a-0") == 8
    store.delete_stream("a-0", expected_version=8, reason="asked for")
    assert [event.event_type for event in store.read_stream("a-0")] == ["$stream-deleted"]
    assert len(list(read_part(store, tmp_path / "part", stream_id="a-0"))) == 4


@pytest.mark.slow
def test_an_import_of_detached_events_says_why_they_can_not_be_compared(store: EventStore, tmp_path: Path) -> None:
    export_events(store, tmp_path / "events.jsonl")
    detach(store, None)
    for keep_positions in (False, True):
        with pytest.raises(HistoryDetached, match=r"not exported\. Attach its table"):
            import_events(store, tmp_path / "events.jsonl", keep_positions=keep_positions)
    export_events(store, tmp_path / "later.jsonl", after_position=SIZE)
    assert import_events(store, tmp_path / "later.jsonl", keep_positions=True).events == 0


@pytest.mark.slow
def test_a_reader_that_has_begun_stops_at_a_part_that_is_detached(store: EventStore) -> None:
    """Each has read a page of it; the next page says so."""
    paging = EventStore(store.engine, page_size=3)
    readers: dict[str, Iterator[Any]] = {
        "all": iter(paging.read_all()),
        "stream": iter(paging.read_stream("a-0")),
        "subscription": iter(paging.subscribe(after_position=0, idle_timeout_seconds=5)),
        "filtered": iter(paging.read_all(EventFilter(event_types=["counted"]))),
        "frame": iter(frames.read_all(paging, batch_size=3, sample_size=1).reader()),
    }
    for reader in readers.values():
        next(reader)
    detach(store, None)
    ended = {}
    for name, reader in readers.items():
        try:
            ended[name] = str(len(list(reader)))
        except HistoryDetached as error:
            ended[name] = error.part
    assert ended == dict.fromkeys(readers, PART)


@pytest.mark.slow
def test_verify_and_repair_agree_with_what_was_detached(store: EventStore, tmp_path: Path) -> None:
    store.append("z-1", NewEvent("late"), expected_version=0)
    with store.engine.begin() as connection:  # all of its events are in the part
        connection.execute(text("INSERT INTO es_streams (stream_id, version, after_position) VALUES ('gone-1', 2, 0)"))
    store.snapshots.save("gone-1", version=2, state={"n": 1})
    detach(store, tmp_path / "part")
    fresh = EventStore(store.engine)  # which has not looked at the tables
    findings = list(verify(fresh))
    assert [(each.level, each.subject) for each in findings if each.kind is None] == [(Level.OK, "part es_events_1")]
    damage = [each for each in findings if each.level is not Level.OK]
    assert damage == []
    list(repair(EventStore(store.engine), plan(damage)))
    assert fresh.stream_version("gone-1") == 2


@pytest.mark.slow
def test_a_head_that_is_repaired_still_says_what_was_detached(store: EventStore, tmp_path: Path) -> None:
    detach(store, tmp_path / "part")
    with store.engine.begin() as connection:
        connection.execute(text("UPDATE es_streams SET version = 3 WHERE stream_id = 'a-0'"))
    list(repair(EventStore(store.engine), plan(verify(EventStore(store.engine)))))
    assert store.stream_version("a-0") == 8
    with pytest.raises(HistoryDetached):
        list(store.read_stream("a-0"))


@pytest.mark.slow
def test_a_decision_says_what_was_detached(store: EventStore, tmp_path: Path) -> None:
    boundary = store.read_boundary(EventFilter(tags=["round:1"]))
    detach(store, tmp_path / "part")
    with pytest.raises(BoundaryChanged):  # its event is not there
        store.append("c-1", NewEvent("decided"), expected_version=0, condition=boundary)
    decision = Decision(
        store,
        queries=lambda number: [EventFilter(tags=[f"round:{number}"])],
        initial=lambda: 0,
        evolve=lambda state, _: state + 1,
        decide=lambda state, _: [NewEvent("decided", {"n": state})],
    )
    with pytest.raises(HistoryDetached):
        decision.execute(1)
    assert decision.execute(11).events


# --- between the look at the list and the page


READS: dict[str, Callable[[EventStore], object]] = {
    "all": lambda store: list(store.read_all()),
    "filtered": lambda store: list(store.read_all(EventFilter(event_types=["counted"]))),
    "stream": lambda store: list(store.read_stream("a-0")),
    "aggregate": lambda store: counting(store).load("0"),
    "boundary": lambda store: list(store.read_boundary(EventFilter(tags=["all:1"]))),
}


@pytest.mark.slow
@pytest.mark.parametrize("read", READS)
def test_a_store_that_has_looked_before_the_log_was_partitioned_says_so_too(
    postgres_engine: Engine, tmp_path: Path, read: str
) -> None:
    store, another = EventStore(postgres_engine), EventStore(postgres_engine)
    fill(store, rounds=1)
    READS[read](store)
    partition(postgres_engine, size=2, count=3)
    fill(another, rounds=2)
    detach(another, tmp_path / "part")
    with pytest.raises(HistoryDetached):
        READS[read](store)


@pytest.mark.slow
@pytest.mark.parametrize("read", READS)
def test_a_part_that_is_detached_while_a_page_waits_is_not_missing(
    store: EventStore, before: list[RecordedEvent], read: str
) -> None:
    """The page has begun, and waits for the lock of the DETACH, which commits before it reads."""
    READS[read](store)  # a log view is known, and statements may be prepared
    with store.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO es_detached_parts (first_position, last_position, events, name) "
                "VALUES (1, 10, 10, 'es_events_1')"
            )
        )
    with ThreadPoolExecutor(1) as threads:
        with store.engine.connect() as holder:
            holder.execute(text("ALTER TABLE es_events DETACH PARTITION es_events_1"))
            waiting = start_waiting(threads, holder, READS[read], store)
            holder.commit()
        with pytest.raises(HistoryDetached):
            waiting.result(30)


@pytest.mark.slow
@pytest.mark.parametrize("isolation_level", ["READ COMMITTED", "REPEATABLE READ"])
@pytest.mark.parametrize("read", ["stream", "aggregate"])
def test_a_transaction_that_does_not_see_the_list_sees_the_part(
    store: EventStore, before: list[RecordedEvent], tmp_path: Path, read: str, isolation_level: str
) -> None:
    """Its snapshot is from before the part was listed. So the part is not detached until it has ended."""
    steps: list[str] = []
    with ThreadPoolExecutor(1) as threads, store.engine.connect() as connection:
        connection.execution_options(isolation_level=isolation_level)
        joined = store.join(connection)
        connection.execute(text("SELECT 1"))  # the snapshot of REPEATABLE READ; no lock on any of our tables
        running = threads.submit(detach, store, tmp_path / "part", on_progress=lambda step: steps.append(step.step))
        until(lambda: "wait" in steps, running)
        (part, *_) = partitioning.parts(store.engine)
        assert part.state is PartState.LISTED
        found, expected = READS[read](joined), of_stream(before, "a-0")
        assert found == expected if read == "stream" else found.state == len(expected)  # type: ignore[attr-defined]
        assert not running.done()
        assert "detach" not in steps
        connection.rollback()
        running.result(30)
    assert steps[-1] == "detach"


@pytest.mark.slow
def test_detaching_gives_up_when_a_transaction_does_not_end(store: EventStore, tmp_path: Path) -> None:
    with store.engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar()
        with pytest.raises(TableLocked, match=f"pid {pid}"):
            detach(store, tmp_path / "part", wait_seconds=0.2)
    assert partitioning.parts(store.engine)[0].state is PartState.LISTED
    detach(store, tmp_path / "part")
    assert partitioning.parts(store.engine)[0].state is PartState.DETACHED


# --- interrupted

_KILLED = """
import os, signal, sys
from sqlalchemy import create_engine
from eventstore import EventStore
from eventstore.detaching import detach_part

url, folder, step = sys.argv[1:]

def kill(progress):
    if progress.step == step:
        os.kill(os.getpid(), signal.SIGKILL)

detach_part(
    EventStore(create_engine(url)), "es_events_1", folder=folder, streams_may_lose_history=True, drop=True,
    on_progress=kill,
)
"""


@pytest.mark.slow
def test_a_run_that_is_killed_at_any_step_is_run_again(
    store: EventStore, before: list[RecordedEvent], postgres_url: str, tmp_path: Path
) -> None:
    folder = tmp_path / "part"
    states = []
    for step in ("export", "compare", "list", "wait", "detach", "drop"):
        killed = run_python("-c", _KILLED, postgres_url, str(folder), step)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        states.append(partitioning.parts(store.engine)[0].state)
        assert list(store.read_all(after_position=SIZE)) == before[SIZE:]
        store.append("a-0", NewEvent("counted"), expected_version=ANY)
        before = [*before, next(store.read_all(after_position=before[-1].position))]
        if states[-1] is PartState.ATTACHED:
            assert list(store.read_all()) == before
        else:
            with pytest.raises(HistoryDetached):
                list(store.read_all())
    assert states == [
        PartState.ATTACHED, PartState.ATTACHED, PartState.ATTACHED,
        PartState.LISTED, PartState.LISTED, PartState.DETACHED,
    ]  # fmt: skip
    detach(store, folder, drop=True)
    assert partitioning.parts(store.engine)[0].state is PartState.DROPPED
    assert list(read_part(store, folder)) == before[:SIZE]
    assert [path.name for path in tmp_path.iterdir()] == ["part"]


@pytest.mark.slow
def test_a_detach_that_was_interrupted_is_finalized(store: EventStore, tmp_path: Path) -> None:
    """A reader's transaction holds its lock on es_events, so DETACH … CONCURRENTLY stops after its first half."""
    steps: list[str] = []
    with ThreadPoolExecutor(1) as threads, store.engine.connect() as reader:
        running = threads.submit(detach, store, tmp_path / "part", on_progress=lambda step: steps.append(step.step))
        until(lambda: "list" in steps, running)
        until(lambda: partitioning.parts(store.engine)[0].state is not PartState.ATTACHED or running.done())
        reader.execute(text("SELECT count(*) FROM es_events")).all()
        reader.rollback()
        running.result(60)
    assert steps.count("detach") >= 1


@pytest.mark.slow
def test_finalize(store: EventStore, tmp_path: Path) -> None:
    steps: list[str] = []
    detach(store, tmp_path / "part", dry_run=True)

    def hold(progress: Any) -> None:
        steps.append(progress.step)
        if progress.step == "detach" and len([step for step in steps if step == "detach"]) == 1:
            reader.execute(text("SELECT count(*) FROM es_events")).all()
        if progress.step == "finalize":
            states.append(partitioning.parts(store.engine)[0].state)
            build_index(store.engine, "of_times", "(recorded_at)")  # not of this part, which can't get it any more
            reader.rollback()

    states: list[PartState] = []
    with store.engine.connect() as reader:
        detach(store, tmp_path / "part", on_progress=hold)
    assert steps[-2:] == ["detach", "finalize"]
    assert states == [PartState.DETACHING]
    assert partitioning.parts(store.engine)[0].state is PartState.DETACHED
    assert is_valid(store.engine, "of_times")


def is_valid(engine: Engine, index: str) -> bool:
    with engine.connect() as connection:
        query = text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)")
        return bool(connection.execute(query, {"name": index}).scalar_one())


@pytest.mark.slow
def test_an_index_that_only_a_detached_part_lacked_is_completed(store: EventStore) -> None:
    with store.engine.begin() as connection:
        connection.exec_driver_sql("CREATE INDEX of_times ON ONLY es_events (recorded_at)")
        for number in range(2, 6):
            connection.exec_driver_sql(f"CREATE INDEX of_times_{number} ON es_events_{number} (recorded_at)")
            connection.exec_driver_sql(f"ALTER INDEX of_times ATTACH PARTITION of_times_{number}")
    detach(store, None)
    assert not is_valid(store.engine, "of_times")
    build_index(store.engine, "of_times", "(recorded_at)")
    assert is_valid(store.engine, "of_times")


# --- the command line


def run(engine: Engine, *arguments: str) -> Result:
    runner = CliRunner(env={"EVENTSTORE_URL": "", "EVENTSTORE_SCHEMA": ""})
    return runner.invoke(main, ["partitions", *arguments, "--url", url_of(engine)], catch_exceptions=False)


@pytest.mark.slow
def test_the_commands(store: EventStore, before: list[RecordedEvent], tmp_path: Path) -> None:
    folder = str(tmp_path / "part")
    exported = run(store.engine, "export", PART, folder)
    assert (exported.exit_code, exported.stdout) == (0, f"exported 10 events of {PART} to {folder}\n")
    as_json = json.loads(run(store.engine, "export", PART, folder, "--json").stdout)
    assert (as_json["events"], as_json["sha256"]) == (10, check_part(folder).sha256)

    assert run(store.engine, "detach", PART).exit_code == 2
    assert run(store.engine, "detach", PART, "--to", folder, "--without-export").exit_code == 2
    refused = run(store.engine, "detach", PART, "--to", folder)
    assert (refused.exit_code, "--streams-may-lose-history" in refused.stderr) == (1, True)
    options = ["--to", folder, "--streams-may-lose-history", "--location", "shelf 3"]
    dry = run(store.engine, "detach", PART, *options, "--dry-run")
    assert dry.exit_code == 0
    assert dry.stdout.endswith(f"would detach {PART} from es_events\n{PART}, positions 1 to 10, is attached\n")
    done = run(store.engine, "detach", PART, *options)
    assert done.exit_code == 0
    assert done.stdout.endswith(f"{PART}, positions 1 to 10, is now detached\n")
    assert [line for line in done.stderr.splitlines() if line in {"list", "wait", "detach"}] == [
        "list",
        "wait",
        "detach",
    ]
    again = json.loads(run(store.engine, "detach", PART, *options, "--drop", "--json").stdout)
    assert (again["state"], again["location"], again["steps"]) == ("dropped", "shelf 3", [f"drop the table {PART}"])


def test_the_commands_refuse_sqlite(sqlite_engine: Engine, tmp_path: Path) -> None:
    for command in (["export", PART, str(tmp_path / "part")], ["detach", PART, "--without-export"]):
        refused = run(sqlite_engine, *command)
        assert (refused.exit_code, refused.stderr) == (
            2, "error: only PostgreSQL has partitions, and this store is on sqlite\n",
        )  # fmt: skip


# --- what the documentation shows


@pytest.mark.slow
def test_the_page(postgres_engine: Engine, tmp_path: Path) -> None:
    partition(postgres_engine, size=SIZE, count=3)
    events = [NewEvent("counted", {"n": number}) for number in range(12)]
    EventStore(postgres_engine).append("order-1", events, expected_version=0)
    page = (ROOT / "docs" / "how-to" / "detach.md").read_text("utf-8")
    assert page.count('"postgresql+psycopg://shop@db/shop"') == 1
    (tmp_path / "detach.md").write_text(page.replace("postgresql+psycopg://shop@db/shop", url_of(postgres_engine)))
    run_document(tmp_path / "detach.md")


@pytest.mark.slow
def test_a_part_that_was_detached_by_hand_is_found(store: EventStore) -> None:
    with store.engine.begin() as connection:
        connection.execute(text("ALTER TABLE es_events DETACH PARTITION es_events_1"))
    (finding,) = migrations.verify(store.engine)
    assert "positions 1 to 10" in finding.found
    migrations.fix(store.engine, finding)
    assert migrations.verify(store.engine) == []
    with pytest.raises(HistoryDetached, match="detached by hand"):
        list(store.read_all())


@pytest.mark.slow
def test_a_part_is_attached_again_without_streams_that_were_deleted_since(
    store: EventStore, before: list[RecordedEvent]
) -> None:
    detach(store, None)
    store.delete_stream("a-0", expected_version=store.stream_version("a-0"), reason="asked for")
    page = (ROOT / "docs" / "how-to" / "detach.md").read_text("utf-8").partition("To bring a part back")[2]
    recipe = page.partition("```sql\n")[2].partition("```")[0].replace("100000001", str(SIZE + 1))
    with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(recipe)
    kept = [event for event in before if event.stream_id != "a-0"]
    assert [*store.read_all()][:-1] == kept
    assert [event.event_type for event in store.read_stream("a-0")] == ["$stream-deleted"]
    assert [finding for finding in verify(store) if finding.level is not Level.OK] == []


# --- beside writers, and with many events


@pytest.mark.slow
def test_appends_and_reads_go_on_while_a_part_is_detached(postgres_engine: Engine, tmp_path: Path) -> None:
    partition(postgres_engine, size=200, count=30)
    store = EventStore(postgres_engine)
    store.append("w-0", [NewEvent("counted") for _ in range(250)], expected_version=0)
    positions: list[int] = []
    is_done = threading.Event()

    def write(number: int) -> float:
        longest = 0.0
        while not is_done.is_set():
            begun = time.monotonic()
            if random.random() < 0.2:
                with contextlib.suppress(ZeroDivisionError), store.transaction() as joined:
                    joined.append(f"w-{number}", NewEvent("counted"), expected_version=ANY)
                    1 / random.randint(0, 1)
            else:
                store.append(f"w-{number}", NewEvent("counted"), expected_version=ANY)
            longest = max(longest, time.monotonic() - begun)
        return longest

    def follow() -> None:
        for event in store.subscribe(after_position=200, idle_timeout_seconds=60):
            positions.append(event.position)
            if event.stream_id == "last":
                break

    with ThreadPoolExecutor(4) as threads:
        writers = [threads.submit(write, number) for number in range(1, 4)]
        follower = threads.submit(follow)
        try:
            detach(store, tmp_path / "part", drop=True)
            until(lambda: store.settled_position() > 600, *writers)
        finally:
            is_done.set()
            wait(writers)
            store.append("last", NewEvent("counted"), expected_version=0)
        longest = max(writer.result() for writer in writers)
        follower.result(60)
    assert positions == [event.position for event in store.read_all(after_position=200)]
    print(f"the longest append took {longest:.3f} s, of {len(positions)}")
    assert longest < 5


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_300_000_events_are_detached_and_read_back(postgres_engine: Engine, tmp_path: Path) -> None:
    count = int(os.environ.get("EVENTSTORE_TEST_DETACHED_EVENTS", "300000"))
    partition(postgres_engine, size=count, count=3)
    store = EventStore(postgres_engine)
    for start in range(0, count + 10_000, 10_000):
        events = [
            NewEvent(
                "counted",
                {"n": number, "text": f"event {number}"},
                metadata={"k": number % 7},
                tags=[f"t:{number % 1000}"],
            )
            for number in range(start, start + 10_000)
        ]
        store.append(f"a-{start // 10_000 % 5}", events, expected_version=ANY)
    stored = columns(store.engine, PART)
    assert len(stored) == count
    begun = time.monotonic()
    export_part(store, PART, tmp_path / "part", by_stream=True)
    exported = time.monotonic()
    detach(store, tmp_path / "part", by_stream=True)
    detached = time.monotonic()
    names = [*StoredEvent.__dataclass_fields__]
    manifest = check_part(tmp_path / "part")
    for file in manifest.files:
        read = [
            tuple(getattr(event, name) for name in names) for event in stored_events(tmp_path / "part", manifest, file)
        ]
        read.sort()
        assert len(read) == count
        for found, row in zip(read, stored, strict=True):
            values = dict(zip(_COLUMNS, row, strict=True))
            metadata = None if found[8] is None else json.loads(found[8])
            assert (*found[:8], metadata, found[9]) == tuple(values[name] for name in names)
    sizes = {file.name: file.size for file in manifest.files}
    print(f"exported in {exported - begun:.0f} s, compared and detached in {detached - exported:.0f} s, {sizes}")
    with pytest.raises(HistoryDetached):
        Worker(store, Projection("numbers")).run_until_caught_up()
    begun = time.monotonic()
    of_one = list(read_part(store, tmp_path / "part", stream_id="a-3", check=False))
    print(f"one stream of {len(of_one)} events in {time.monotonic() - begun:.3f} s")
    assert [event.version for event in of_one] == list(range(1, count // 5 + 1))
