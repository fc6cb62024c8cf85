"""Exports and imports: everything comes over as it was, once, and what does not fit is refused."""

import contextlib
import io
import json
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, select

from eventstore import ANY, Append, EventFilter, EventStore, InvalidInput, NewEvent, migrations
from eventstore.backends import engine_for
from eventstore.codecs import JSONCodec
from eventstore.errors import DamagedExport, ExtraMissing, ImportConflict, SchemaMissing, SchemaOutdated, StreamDeleted
from eventstore.maintenance import verify
from eventstore.projections import Projection, ProjectionAdmin, Worker
from eventstore.tokens import PositionToken
from eventstore.transfer import Exported, ExportProgress, ImportProgress, export_events, import_events
from eventstore.transfer.resuming import read_end
from tests.fix_engines import changing_history, migrated_sqlite
from tests.fix_migrations import BringTo
from tests.waiting import start_reading

Make = Callable[..., EventStore]

VALUES: list[Any] = [
    {"total": Decimal("30.10"), "at": datetime(2026, 3, 1, 12, 0, 0, 7, tzinfo=UTC), "day": date(2026, 3, 1)},
    {"tags": {"a", "b"}, "pair": (1, b"\x00\xff"), "id": UUID(int=7), "keys": {1: "one", None: 2}},
    ["ünïcode", 2**80, -0.0, float("inf"), {"$decimal": "not one"}, {}],
    None,
    0,
]


@pytest.fixture
def here(sqlite_engine: Engine) -> EventStore:
    return EventStore(sqlite_engine)


@pytest.fixture
def there(shared_postgres_engine: Engine) -> EventStore:
    return EventStore(shared_postgres_engine)


@pytest.fixture
def elsewhere() -> Iterator[EventStore]:
    """Another store, where it does not matter of which kind."""
    with EventStore.in_memory() as store:
        yield store


@pytest.fixture
def back(tmp_path: Path) -> Iterator[EventStore]:
    (tmp_path / "back").mkdir()
    engine = engine_for(f"sqlite:///{migrated_sqlite(tmp_path / 'back')}")
    yield EventStore(engine)
    engine.dispose()


def fill(store: EventStore) -> None:
    """Streams that are mixed up in the global order, with a hole in it, every codec, a deleted one, a snapshot."""
    for number, value in enumerate(VALUES):
        for stream_id in ("order-1", "invoice-1"):
            event = NewEvent(
                f"type-{number}", value, metadata={"user": number, "nested": {"z": [1, 2.5, None], "a": "é"}}
            )
            store.append(stream_id, [event], expected_version=number)
    compressing = EventStore(store.engine, codec=JSONCodec(), compress_above=10)
    compressing.append("order-2", [NewEvent("long", {"text": "x" * 100}, schema_version=3)], expected_version=0)
    store.append_many(
        [Append(f"order-{number}", [NewEvent("a"), NewEvent("b")], expected_version=0) for number in (3, 4)]
    )
    store.snapshots.save("order-1", version=4, state={"total": Decimal("1.10")}, schema_version=2)
    store.delete_stream("order-3", expected_version=2, reason="ticket 7", metadata={"user": 1})
    store.delete_stream("order-4", expected_version=2, reason="ticket 8", reusable=True)
    store.append("order-4", [NewEvent("again")], expected_version=3)


def content(
    store: EventStore, *, positions: bool = True, times: bool = True, snapshots: bool = False
) -> dict[str, list[dict[str, Any]]]:
    """Return the columns of the events, the heads, and where asked the snapshots."""
    tables = store.tables
    left_out = {"after_position"} | (set() if positions else {"position"})  # a hint, which need not be the same
    left_out |= set() if times else {"created_at", "updated_at"}
    chosen = [tables.events, tables.streams, *([tables.snapshots] if snapshots else [])]
    found = {}
    with store.engine.connect() as connection:
        for table in chosen:
            rows = connection.execute(select(table).order_by(*table.primary_key)).mappings()
            found[table.name] = sorted(
                ({name: _comparable(value) for name, value in row.items() if name not in left_out} for row in rows),
                key=lambda row: (row["stream_id"], row["version"]),
            )
    return found


def _comparable(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return value


# --- round trips


@pytest.mark.slow
def test_there_and_back_every_column_is_the_same(
    here: EventStore, there: EventStore, back: EventStore, tmp_path: Path
) -> None:
    fill(here)
    Worker(here, Projection("totals")).run_until_caught_up()
    before = content(here, snapshots=True)
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    exported = export_events(here, first, snapshots=True, checkpoints=True)
    assert (exported.events, exported.snapshots, exported.checkpoints) == (len(before["es_events"]), 1, 1)
    imported = import_events(there, first, keep_positions=True)
    assert (imported.events, imported.repeated, imported.position) == (exported.events, 0, exported.position)
    assert content(there, snapshots=True) == before
    export_events(there, second, snapshots=True, checkpoints=True)
    import_events(back, second, keep_positions=True)
    assert content(back, snapshots=True) == before
    assert [event.data for event in back.read_all()] == [event.data for event in here.read_all()]
    assert ProjectionAdmin(back).position("totals") == ProjectionAdmin(here).position("totals")
    assert migrations.verify(there.engine) == []


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_what_was_imported_is_a_store_to_go_on_with(
    here: EventStore, there: EventStore, tmp_path: Path, suffix: str
) -> None:
    fill(here)
    export_events(here, tmp_path / f"all.{suffix}")
    import_events(there, tmp_path / f"all.{suffix}", keep_positions=True)
    assert content(there, times=False)["es_events"] == content(here)["es_events"]
    assert content(there, times=False)["es_streams"] == content(here, times=False)["es_streams"]
    for stream_id in ("order-1", "order-2"):
        first = next(there.read_stream(stream_id))
        (head,) = [row for row in content(there)["es_streams"] if row["stream_id"] == stream_id]
        if suffix == "parquet":  # it has no times of streams: they follow from the events
            assert head["created_at"] == first.recorded_at
    last = there.settled_position()
    assert there.append("order-1", [NewEvent("later")], expected_version=5).position == last + 1
    assert there.append("order-9", [NewEvent("new")], expected_version=0).position == last + 2
    with pytest.raises(StreamDeleted):
        there.append("order-3", [NewEvent("later")], expected_version=ANY)


def test_an_import_among_other_events_keeps_all_but_positions(
    here: EventStore, there: EventStore, tmp_path: Path
) -> None:
    fill(here)
    there.append("other-1", [NewEvent("a")], expected_version=0)
    export_events(here, tmp_path / "all.jsonl", EventFilter(categories=["order"]))
    import_events(there, tmp_path / "all.jsonl")
    theirs = [row for row in content(there, positions=False)["es_events"] if row["category"] != "other"]
    assert theirs == [row for row in content(here, positions=False)["es_events"] if row["category"] == "order"]
    orders = EventFilter(categories=["order"])
    assert [event.event_id for event in there.read_all(orders)] == [event.event_id for event in here.read_all(orders)]


def test_a_person_can_read_it(here: EventStore) -> None:
    here.append("order-1", [NewEvent("placed", VALUES[0], metadata={"user": 7})], expected_version=0)
    file = io.BytesIO()
    export_events(here, file, format="json-lines")  # type: ignore[arg-type]  # its name will do
    begin, event, stream, end = map(json.loads, file.getvalue().splitlines())
    assert begin == {"kind": "export", "format": 1, "after_position": 0}
    assert event["data"] == {
        "total": {"$decimal": "30.10"},
        "at": {"$datetime": "2026-03-01T12:00:00.000007+00:00"},
        "day": {"$date": "2026-03-01"},
    }
    assert (event["kind"], event["stream_id"], event["metadata"]) == ("event", "order-1", {"user": 7})
    assert (stream["kind"], stream["version"]) == ("stream", 1)
    last = {"position": 1, "event_id": event["event_id"], "stream_id": "order-1", "version": 1}
    assert end == {"kind": "end", "position": 1, "events": 1, "last": last}


@pytest.mark.parametrize("data", [b"\xc1", b"\xcd\x00\x01"], ids=["damaged", "written by another library"])
def test_bytes_that_json_can_not_stand_for_are_carried_as_they_are(
    here: EventStore, elsewhere: EventStore, tmp_path: Path, data: bytes
) -> None:
    here.append("order-1", [NewEvent("a"), NewEvent("b")], expected_version=0)
    with changing_history(here.engine) as connection:
        connection.execute(here.tables.events.update().where(here.tables.events.c.version == 1).values(data=data))
    export_events(here, tmp_path / "all.jsonl")
    import_events(elsewhere, tmp_path / "all.jsonl", keep_positions=True)
    assert content(elsewhere) == content(here)


# --- filters, and going on


def test_only_what_matches_is_exported(here: EventStore, tmp_path: Path) -> None:
    fill(here)
    exported = export_events(here, tmp_path / "some.jsonl", EventFilter(stream_ids=["order-1"]))
    lines = [json.loads(line) for line in (tmp_path / "some.jsonl").read_text("utf-8").splitlines()]
    assert {line["stream_id"] for line in lines if line["kind"] in ("event", "stream")} == {"order-1"}
    assert (exported.events, exported.streams) == (5, 1)


def test_a_second_export_goes_on_after_the_first(here: EventStore, there: EventStore, tmp_path: Path) -> None:
    here.append("order-1", [NewEvent("a"), NewEvent("b")], expected_version=0)
    first = export_events(here, tmp_path / "1.jsonl")
    here.append("order-1", [NewEvent("c")], expected_version=2)
    here.delete_stream("order-1", expected_version=3, reason="r")
    second = export_events(here, tmp_path / "2.jsonl", after_position=first.position)
    assert second.events == 1
    assert import_events(there, tmp_path / "1.jsonl").events == 2
    assert import_events(there, tmp_path / "2.jsonl").events == 1
    assert content(there, positions=False) == content(here, positions=False), "what was deleted there is gone here"
    assert import_events(there, tmp_path / "1.jsonl").repeated == 2
    assert content(there, positions=False) == content(here, positions=False)


@pytest.mark.parametrize("cut", [1, 40, 200, 500, 900])
def test_an_export_that_was_broken_off_goes_on(
    make_store: Callable[..., EventStore], elsewhere: EventStore, tmp_path: Path, cut: int
) -> None:
    here = make_store(page_size=3)
    fill(here)
    path = tmp_path / "all.jsonl"
    export_events(here, path)
    path.write_bytes(path.read_bytes()[:-cut])
    if cut > 1:
        with pytest.raises(DamagedExport):
            import_events(elsewhere, path)
    export_events(here, path, resume=True)
    import_events(elsewhere, path)
    assert content(elsewhere, positions=False) == content(here, positions=False)
    assert export_events(here, path, resume=True).events == 0


NO_EXPORTS = {
    "a text without a newline": b"my diary, in one line",
    "a text": b"my diary\n",
    "JSON of something else": b'{"kind":"invoice"}\n',
    "JSON that is no object": b"[1]\n",
    "an export without its beginning": b'{"kind":"end","position":1,"events":1}\n',
    "an export, then a text": b'{"kind":"export","format":1,"after_position":0}\nmy diary\n',
    "an export, then half a text": b'{"kind":"export","format":1,"after_position":0}\nmy diary',
    "an export, then an empty line": b'{"kind":"export","format":1,"after_position":0}\n\n',
    "a newer format": b'{"kind":"export","format":2,"after_position":0}\n',
    "Parquet": b"PAR1\n\x00\x01",
    "newlines": b"\n\n\n",
}


@pytest.mark.parametrize("what", NO_EXPORTS)
def test_a_file_that_is_no_export_is_left_as_it_is_by_a_resumed_one(
    here: EventStore, tmp_path: Path, what: str
) -> None:
    here.append("order-1", [NewEvent("a")], expected_version=0)
    path = tmp_path / "diary.jsonl"
    path.write_bytes(NO_EXPORTS[what])
    with pytest.raises(DamagedExport, match=r"diary\.jsonl"):
        export_events(here, path, resume=True)
    assert path.read_bytes() == NO_EXPORTS[what]


@pytest.mark.parametrize("size", [0, 1, 10, 30])
def test_an_export_that_was_broken_off_in_its_first_line_begins_again(
    here: EventStore, tmp_path: Path, size: int
) -> None:
    here.append("order-1", [NewEvent("a")], expected_version=0)
    path, whole = tmp_path / "all.jsonl", tmp_path / "whole.jsonl"
    export_events(here, whole)
    path.write_bytes(whole.read_bytes()[:size])
    assert export_events(here, path, resume=True).events == 1
    assert path.read_bytes() == whole.read_bytes()


@pytest.mark.slow
def test_where_an_export_ends_is_found_whatever_follows_its_last_event(
    make_store: Callable[..., EventStore], tmp_path: Path
) -> None:
    here = make_store(page_size=3)
    fill(here)
    path = tmp_path / "all.jsonl"
    export_events(here, path, snapshots=True, checkpoints=True)
    whole = path.read_bytes()
    events: list[dict[str, Any]] = []
    for end in range(1, len(whole) + 1):
        if whole[end - 1] == ord("\n"):
            record = json.loads(whole[:end].splitlines()[-1])
            events += [record] if record["kind"] == "event" else []
        path.write_bytes(whole[:end])
        found = read_end(path)
        assert found.size == whole[:end].rfind(b"\n") + 1
        assert found.position == (events[-1]["position"] if events else 0)
        last = events[-1] if events else None
        assert found.last == (
            last and PositionToken(last["position"], UUID(last["event_id"]), last["stream_id"], last["version"])
        )


def test_an_export_that_was_gone_on_with_and_broken_off_at_once_still_knows_its_last_event(
    here: EventStore, tmp_path: Path
) -> None:
    result = here.append("order-1", [NewEvent("a"), NewEvent("b")], expected_version=0)
    path = tmp_path / "all.jsonl"
    export_events(here, path, EventFilter(event_types=["a"]))
    whole = read_end(path)
    assert (whole.position, whole.last and whole.last.position) == (result.position, result.position - 1)
    assert export_events(here, path, EventFilter(event_types=["a"]), resume=True).events == 0
    assert read_end(path).last == whole.last
    begun_again = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(
        b"".join(begun_again[: [line.startswith(b'{"kind":"end"') for line in begun_again].index(True) + 2])
    )
    assert json.loads(path.read_bytes().splitlines()[-1])["kind"] == "export"
    assert (read_end(path).position, read_end(path).last) == (whole.position, whole.last)


def test_a_resumed_export_reads_only_the_beginning_and_the_end_of_the_file(here: EventStore, tmp_path: Path) -> None:
    here.append("order-1", [NewEvent("a", {"text": "x" * 1000}) for _ in range(300)], expected_version=0)
    path = tmp_path / "all.jsonl"
    export_events(here, path)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[1:100] = [b"damaged: an import tells, and whoever goes on does not look\n"]
    path.write_bytes(b"".join(lines))
    here.append("order-1", [NewEvent("b")], expected_version=300)
    assert export_events(here, path, resume=True).events == 1
    assert read_end(path).position == 301


def test_a_resumed_export_has_the_filters_that_it_had(here: EventStore, tmp_path: Path) -> None:
    here.append("order-1", [NewEvent("a")], expected_version=0)
    path = tmp_path / "all.jsonl"
    export_events(here, path, EventFilter(categories=["order"]))
    before = path.read_bytes()
    for others in ([], [EventFilter(categories=["invoice"])]):
        with pytest.raises(InvalidInput, match=r"all\.jsonl.*categories order"):
            export_events(here, path, *others, resume=True)
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["all.jsonl", "all.parquet"])
def test_an_export_that_fails_before_it_has_read_leaves_the_file_that_is_there(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"last week's export")
    engine = engine_for(f"sqlite:///{tmp_path / 'empty.db'}")
    with contextlib.closing(engine.connect()) as connection:
        connection.exec_driver_sql("CREATE TABLE other (id INTEGER)")
    with pytest.raises(SchemaMissing):
        export_events(EventStore(engine), path)
    engine.dispose()
    assert path.read_bytes() == b"last week's export"


@pytest.fixture
def make_store(sqlite_engine: Engine) -> Callable[..., EventStore]:
    return lambda **options: EventStore(sqlite_engine, **options)


def test_it_tells_how_far_it_has_come(
    make_store: Callable[..., EventStore], elsewhere: EventStore, tmp_path: Path
) -> None:
    here = make_store(page_size=2)
    here.append("order-1", [NewEvent("a")] * 1 + [NewEvent("b") for _ in range(4)], expected_version=0)
    told: list[ExportProgress] = []
    export_events(here, tmp_path / "all.jsonl", on_progress=told.append)
    assert [(step.events, step.position, step.end) for step in told] == [(2, 2, 5), (4, 4, 5), (5, 5, 5)]
    stored: list[ImportProgress] = []
    import_events(elsewhere, tmp_path / "all.jsonl", batch_size=2, on_progress=stored.append)
    assert [step.events for step in stored] == [2, 4, 5]


# --- what is there already, and what does not fit


@pytest.mark.slow
def test_an_import_can_be_repeated(here: EventStore, there: EventStore, tmp_path: Path) -> None:
    fill(here)
    export_events(here, tmp_path / "all.jsonl")
    first = import_events(there, tmp_path / "all.jsonl", keep_positions=True, batch_size=4)
    again = import_events(there, tmp_path / "all.jsonl", keep_positions=True, batch_size=3)
    assert (again.events, again.repeated) == (0, first.events)
    assert content(there) == content(here)


def test_an_import_that_was_broken_off_goes_on(here: EventStore, elsewhere: EventStore, tmp_path: Path) -> None:
    fill(here)
    export_events(here, tmp_path / "all.jsonl")

    def stop(step: ImportProgress) -> None:
        if step.events == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_events(elsewhere, tmp_path / "all.jsonl", keep_positions=True, batch_size=3, on_progress=stop)
    rest = import_events(elsewhere, tmp_path / "all.jsonl", keep_positions=True)
    assert rest.repeated == 6
    assert content(elsewhere) == content(here)


def _changed(**fields: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda line: {**line, **fields}


@pytest.mark.slow
@pytest.mark.parametrize("keep_positions", [True, False])
def test_what_does_not_fit_is_refused(
    here: EventStore, there: EventStore, tmp_path: Path, *, keep_positions: bool
) -> None:
    for number in range(3):
        here.append("order-1", [NewEvent("a", {"n": number})], expected_version=number)
    path, other = tmp_path / "all.jsonl", tmp_path / "other.jsonl"
    export_events(here, path)
    import_events(there, path, keep_positions=keep_positions)
    changes: list[Callable[[dict[str, Any]], dict[str, Any]]] = [
        _changed(event_id=str(UUID(int=1))),
        _changed(event_type="b"),
        _changed(schema_version=2),
        _changed(data={"n": 7}),
        _changed(version=9),
    ]
    before = content(there)
    for change in changes:
        lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        lines[3] = change(lines[3])
        other.write_text("\n".join(map(json.dumps, lines)) + "\n", "utf-8")
        with pytest.raises(ImportConflict) as conflict:
            import_events(there, other, keep_positions=keep_positions)
        assert conflict.value.stream_id == "order-1"
    assert content(there) == before
    export_events(here, other, EventFilter(event_types=["a"]), after_position=1)
    with pytest.raises(ImportConflict, match=r"versions in between are missing.* has gaps"):
        import_events(EventStore.in_memory(), other)


def test_positions_that_readers_may_have_passed_are_given_to_nobody(
    here: EventStore, there: EventStore, tmp_path: Path
) -> None:
    here.append("order-1", [NewEvent("a"), NewEvent("b")], expected_version=0)
    there.append("other-1", [NewEvent("a")], expected_version=0)
    export_events(here, tmp_path / "all.jsonl")
    with pytest.raises(ImportConflict, match="not above 1"):
        import_events(there, tmp_path / "all.jsonl", keep_positions=True)
    assert there.stream_version("order-1") == 0


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda lines: lines[1:], "first line"),
        (lambda lines: lines[:-1], "last line"),
        (lambda lines: [*lines[:2], *lines[3:]], "says 2 events, but there are 1"),
        (lambda lines: [lines[0], lines[2], lines[1], *lines[3:]], "follows one at position 2"),
        (lambda lines: [*lines[:2], b"{}", *lines[2:]], "line 3 of the export is no record"),
        (lambda lines: [*lines[:2], lines[2][:50]], "line 3 of the export is cut off"),
        (lambda lines: [lines[0].replace(b'"format":1', b'"format":2'), *lines[1:]], "knows formats up to 1"),
        (lambda lines: [lines[0], lines[1].replace(b'"version":1', b'"version":0'), *lines[2:]], "line 2"),
        (lambda lines: [lines[0], lines[1].replace(b'"codec":1', b'"codec":99'), *lines[2:]], "line 2"),
        (lambda lines: [*lines, *lines[1:]], "follows one at position 2"),
    ],
)
def test_a_damaged_file_is_told(here: EventStore, elsewhere: EventStore, damage: Any, told: str) -> None:
    here.append("order-1", [NewEvent("a", {"secret": "s3cret"}), NewEvent("b")], expected_version=0)
    file = io.BytesIO()
    export_events(here, file, format="json-lines")  # type: ignore[arg-type]
    damaged = b"\n".join(damage(file.getvalue().splitlines())) + (b"" if "cut off" in told else b"\n")
    with pytest.raises(DamagedExport, match=told) as error:
        import_events(elsewhere, io.BytesIO(damaged), format="json-lines")  # type: ignore[arg-type]
    assert "s3cret" not in str(error.value)


def test_a_file_that_is_no_parquet_is_told(elsewhere: EventStore, tmp_path: Path) -> None:
    (tmp_path / "all.parquet").write_bytes(b"PAR1 and so on")
    with pytest.raises(DamagedExport):
        import_events(elsewhere, tmp_path / "all.parquet")


def test_bad_arguments_are_errors(here: EventStore, tmp_path: Path) -> None:
    calls: list[Callable[[], object]] = [
        lambda: export_events(here, tmp_path / "all.csv"),
        lambda: export_events(here, tmp_path / "all.jsonl", format="csv"),  # type: ignore[arg-type]
        lambda: export_events(here, io.BytesIO()),
        lambda: export_events(here, tmp_path / "all.parquet", snapshots=True),
        lambda: export_events(here, tmp_path / "all.jsonl", EventFilter(categories=["a"]), checkpoints=True),
        lambda: export_events(here, tmp_path / "all.jsonl", resume=True, after_position=1),
        lambda: export_events(here, tmp_path / "all.jsonl", after_position=-1),
        lambda: import_events(here, tmp_path / "all.jsonl", batch_size=0),
        lambda: import_events(here, tmp_path / "all.jsonl", keep_positions=1),  # type: ignore[arg-type]
    ]
    for call in calls:
        with pytest.raises(InvalidInput):
            call()
    assert not list(tmp_path.glob("all*"))


@pytest.mark.slow
def test_tables_that_are_too_old_are_told(bring_to: BringTo, new_engine: Engine, tmp_path: Path) -> None:
    bring_to(new_engine, "es_0005")
    with pytest.raises(SchemaOutdated):
        export_events(EventStore(new_engine), tmp_path / "all.jsonl")


# --- while others append


@pytest.mark.slow
def test_an_export_ends_before_an_append_under_way(there: EventStore, tmp_path: Path) -> None:
    """The later position is stored already; the earlier one may still appear."""
    with ThreadPoolExecutor(1) as threads:
        with there.transaction() as tx:
            tx.append("order-1", [NewEvent("a")], expected_version=0)
            there.append("order-2", [NewEvent("b")], expected_version=0)
            exported = export_events(there, tmp_path / "1.jsonl", wait_seconds=0)
            assert (exported.events, exported.position) == (0, 0)
            exporting = start_reading(
                threads, there.engine, export_events, there, tmp_path / "2.jsonl", wait_seconds=60
            )
        exported = exporting.result(timeout=30)
    assert (exported.events, exported.position) == (2, 2)


@pytest.mark.slow
def test_an_export_under_writers_is_complete_up_to_its_position(
    there: EventStore, here: EventStore, tmp_path: Path
) -> None:
    """Eight writers, some of whom roll back: what is exported is what was settled, each event once."""
    stop = threading.Event()

    def write(number: int) -> None:
        version = 0
        while not stop.is_set():
            there.append(f"order-{number}", [NewEvent("a"), NewEvent("b")], expected_version=version)
            version += 2
            with contextlib.suppress(ZeroDivisionError), there.transaction() as tx:
                tx.append(f"order-{number}", [NewEvent("lost")], expected_version=version)
                1 / 0  # noqa: B018  # rolls back: a hole

    writers = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    exports: list[Exported] = []
    for writer in writers:
        writer.start()
    try:
        while there.settled_position() < 200:
            stop.wait(0.01)
        for number in range(3):
            after = exports[-1].position if exports else 0
            exports.append(export_events(there, tmp_path / f"{number}.jsonl", after_position=after))
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    for number in range(3):
        import_events(here, tmp_path / f"{number}.jsonl", keep_positions=True)
    found = [(event.position, event.event_id, event.stream_id, event.version) for event in here.read_all()]
    wanted = [
        (event.position, event.event_id, event.stream_id, event.version)
        for event in there.read_all()
        if event.position <= exports[-1].position
    ]
    assert found == wanted
    assert sum(export.events for export in exports) == len(wanted) >= 100
    assert here.settled_position() <= exports[-1].position < there.settled_position()
    for number in range(8):
        versions = [event.version for event in here.read_stream(f"order-{number}")]
        assert versions == list(range(1, here.stream_version(f"order-{number}") + 1))
    assert [*verify(there), *verify(here)] == []


def test_parquet_says_what_to_install(here: EventStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for call in (
        lambda: export_events(here, tmp_path / "all.parquet"),
        lambda: import_events(here, tmp_path / "all.parquet"),
    ):
        with pytest.raises(ExtraMissing, match=r"sqlalchemy-eventstore\[arrow\]"):
            call()
    assert not list(tmp_path.glob("all*"))
    assert export_events(here, tmp_path / "all.jsonl").events == 0
