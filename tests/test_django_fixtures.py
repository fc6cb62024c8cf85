"""Fixtures of Django: `dumpdata` and `loaddata` bring back every row, and never change what is stored."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.core import serializers
from django.core.management import CommandError, call_command
from django.db import connection

from eventstore import ANY, NO_STREAM, EventStore, NewEvent, RecordedEvent
from eventstore.contrib.django import engine_of, get_store
from eventstore.errors import EventStoreError, FixtureConflict, ImportConflict
from eventstore.maintenance import fill_tags
from eventstore.projections import OnFailure, Projection, ProjectionAdmin, Worker
from eventstore.streams import STREAM_EXISTS

pytestmark = pytest.mark.usefixtures("django_database")

TABLES = ("es_events", "es_streams", "snapshots", "es_checkpoints", "es_dead_letters", "es_event_tags")


def failing() -> Projection:
    projection = Projection("failing", on_failure=OnFailure.DEAD_LETTER)

    @projection.on("paid")
    def fail(_event: RecordedEvent, _connection: object) -> None:
        raise ZeroDivisionError

    return projection


@pytest.fixture
def rows() -> dict[str, list[Any]]:
    """Fill all tables, and return their rows."""
    store = get_store()
    metadata = {"correlation_id": "request-1", "ratio": 0.1, "large": 1e20, "parts": [1, None, "ü"]}
    store.append("order-1", [NewEvent("placed", {"total": 30}, metadata=metadata)], expected_version=NO_STREAM)
    store.append("order-2", [NewEvent("placed", b"\x00\xff"), NewEvent("paid", None)], expected_version=NO_STREAM)
    store.append("order-1", [NewEvent("paid", tags=["é:1", "x"]), NewEvent("sent")], expected_version=1)
    store.append("order-3", [NewEvent("placed", tags=["x"]), NewEvent("paid")], expected_version=NO_STREAM)
    store.snapshots.save("order-1", version=2, state={"total": 30})
    store.snapshots.save("order-1", version=3, state=[30], schema_version=2)
    Worker(store, failing()).run_until_caught_up()
    ProjectionAdmin(store).dead_letters.discard("failing", 3, note="seen")
    store.delete_stream("order-3", expected_version=2, reason="ticket 7")
    store.append("order-4", [NewEvent("placed")], expected_version=NO_STREAM)
    store.delete_stream("order-4", expected_version=1, reason="again", reusable=True)
    store.append("order-4", [NewEvent("placed")], expected_version=STREAM_EXISTS)
    fill_tags(EventStore(engine_of()), tags_of=lambda event: ["filled"] if event.stream_id == "order-4" else [])
    return stored()


def stored() -> dict[str, list[Any]]:
    found = {}
    with connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute(f"SELECT * FROM {table}")
            found[table] = sorted(map(repr, cursor.fetchall()))
    return found


def dumped(path: Path, *labels: str) -> list[dict[str, Any]]:
    call_command("dumpdata", *labels or ["eventstore"], output=str(path), format=path.suffix[1:], verbosity=0)
    rows: list[dict[str, Any]] = json.loads(path.read_text()) if path.suffix == ".json" else []
    return rows


def refused(path: Path, rows: list[dict[str, Any]], kind: type[EventStoreError], text: str) -> None:
    """Load rows, and see them refused, so that nothing is changed."""
    before = stored()
    path.write_text(json.dumps(rows))
    with pytest.raises(CommandError, match=text) as error:
        call_command("loaddata", str(path), verbosity=0)
    assert isinstance(error.value.__cause__, kind)
    assert stored() == before


@pytest.mark.slow
@pytest.mark.parametrize("format_", ["json", "xml"])
def test_what_was_dumped_is_loaded_into_an_empty_database(
    rows: dict[str, list[Any]], tmp_path: Path, format_: str
) -> None:
    path = tmp_path / f"all.{format_}"
    dumped(path)
    call_command("flush", interactive=False, verbosity=0)
    assert stored() == {table: [] for table in TABLES}
    for _ in range(2):  # the second time there is nothing to do
        call_command("loaddata", str(path), verbosity=0)
        assert stored() == rows
    store = get_store()
    last = max(event.position for event in store.read_all())
    appended = store.append("order-1", [NewEvent("noted")], expected_version=3)
    assert (appended.version, appended.position > last) == (4, True)
    assert [event.version for event in store.read_all(after_position=last)] == [4]
    snapshot = store.snapshots.load("order-1", schema_version=2)
    assert snapshot is not None
    assert snapshot.state == [30]
    assert Worker(store, failing()).run_until_caught_up() == 0  # its checkpoint is before the tombstones


@pytest.mark.slow
def test_a_fixture_made_with_other_settings_of_time_zones_is_the_same(
    rows: dict[str, list[Any]], tmp_path: Path, settings_of_time: Any
) -> None:
    path = tmp_path / "all.json"
    with settings_of_time(USE_TZ=False, TIME_ZONE="Asia/Tokyo"):
        dumped(path)
        call_command("flush", interactive=False, verbosity=0)
        call_command("loaddata", str(path), verbosity=0)
    assert stored() == rows


@pytest.mark.slow
def test_what_contradicts_the_log_is_refused(rows: dict[str, list[Any]], tmp_path: Path) -> None:
    path = tmp_path / "all.json"
    fixture = dumped(path)
    events = [row for row in fixture if row["model"] == "eventstore.event"]
    other = {**events[0]["fields"], "event_id": "0" * 32}
    refused(path, [{**events[0], "fields": other}], ImportConflict, "another event is stored there")
    late = {**events[0]["fields"], "stream": "order-9", "event_id": "0" * 32}
    refused(path, [{**events[0], "fields": late}], ImportConflict, "is not above")
    get_store().append("order-1", [NewEvent("noted")], expected_version=3)
    refused(path, fixture, FixtureConflict, "stream order-1 can't be loaded: its version is 3, but 4 here")


@pytest.mark.slow
def test_what_contradicts_a_projection_is_refused(rows: dict[str, list[Any]], tmp_path: Path) -> None:
    path = tmp_path / "all.json"
    fixture = dumped(path)
    checkpoints = [row for row in fixture if row["model"] == "eventstore.checkpoint"]
    moved = [{**row, "fields": {**row["fields"], "position": 1}} for row in checkpoints]
    refused(path, moved, FixtureConflict, "checkpoint failing can't be loaded: its position is 1, but")
    letters = [row for row in fixture if row["model"] == "eventstore.deadletter"]
    opened = [{**row, "fields": {**row["fields"], "status": "pending"}} for row in letters]
    refused(path, opened, FixtureConflict, "dead letter failing, 3 .* its status is pending, but discarded")


@pytest.mark.slow
def test_streams_need_their_events_and_snapshots_their_streams(rows: dict[str, list[Any]], tmp_path: Path) -> None:
    path = tmp_path / "all.json"
    streams = dumped(path, "eventstore.Stream")
    snapshots = dumped(path, "eventstore.Snapshot")
    call_command("flush", interactive=False, verbosity=0)
    refused(path, streams, FixtureConflict, "dump eventstore.Event before eventstore.Stream")
    refused(path, snapshots, FixtureConflict, "it is of version 2, but the stream is at 0")


@pytest.mark.slow
def test_tags_need_their_events_and_errors_show_none(rows: dict[str, list[Any]], tmp_path: Path) -> None:
    path = tmp_path / "all.json"
    tags = [row for row in dumped(path, "eventstore.EventTag") if row["fields"].get("tag", row["pk"]) != ""]
    other = [{**row, "fields": {**row["fields"], "event_type": "other"}} for row in tags]
    message = "tag of the event at position .* dump eventstore.Event before eventstore.EventTag"
    refused(path, other, FixtureConflict, message)
    call_command("flush", interactive=False, verbosity=0)
    refused(path, tags, FixtureConflict, message)


@pytest.mark.slow
def test_a_row_is_saved_by_a_fixture_only(rows: dict[str, list[Any]]) -> None:
    event: Any = apps.get_model("eventstore", "Event").objects.get(pk=1)
    with pytest.raises(TypeError, match="only the event store"):
        event.save_base()
    (again,) = serializers.deserialize("json", serializers.serialize("json", [event]))
    again.save()
    assert stored() == rows


def test_autocommit_off_is_refused(django_database: dict[str, Any], tmp_path: Path) -> None:
    get_store().append("order-1", [NewEvent("placed")], expected_version=ANY)
    path = tmp_path / "all.json"
    dumped(path)
    connection.set_autocommit(False)
    for command in (["loaddata", str(path)], ["flush"]):
        with pytest.raises(CommandError, match="AUTOCOMMIT is off"):
            call_command(*command, verbosity=0, **({} if len(command) > 1 else {"interactive": False}))
    connection.rollback()
    connection.set_autocommit(True)
