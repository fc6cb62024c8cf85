"""Golden files: written once, and what is said where today's code no longer reads them, or reads them differently."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from eventstore import EncodingError, EventTypes, NewEvent
from eventstore.codecs import JSONCodec
from eventstore.errors import UnregisteredEventType
from eventstore.testing.event_types import GoldenFiles


class Channel(Enum):
    WEB = "web"


@dataclass(frozen=True)
class OrderPlaced:
    customer: str
    total: Decimal
    channel: Channel
    placed_at: datetime
    tags: frozenset[str] = frozenset()


@dataclass(frozen=True)
class OrderPlacedLater:
    customer: str
    total: Decimal
    currency: str = "EUR"


@dataclass(frozen=True)
class ItemAdded:
    item: str
    more: dict[str, Any] = field(default_factory=dict)


PLACED = OrderPlaced("Ada", Decimal("4.20"), Channel.WEB, datetime(2026, 3, 1, tzinfo=UTC), frozenset({"b", "a", "ü"}))
EXAMPLES = [PLACED, ItemAdded("tea"), ItemAdded("cup", {"colour": "red"})]


def registry(cls: Any = OrderPlaced, schema_version: int = 1, *, upcasts: bool = False) -> EventTypes:
    event_types = EventTypes()
    event_types.register("order/placed", cls, schema_version=schema_version)
    event_types.register("item-added", ItemAdded)
    if upcasts:
        event_types.upcaster("order/placed", from_version=1)(
            lambda data: {"customer": data["customer"], "total": data["total"]}
        )
    return event_types


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the golden files of a first release."""
    GoldenFiles(tmp_path / "golden", registry()).write(EXAMPLES)
    return tmp_path / "golden"


def failure(golden_files: GoldenFiles) -> str:
    with pytest.raises(AssertionError) as error:
        golden_files.check()
    return str(error.value)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_file_can_be_read_by_people(folder: Path) -> None:
    assert sorted(contents(folder)) == ["item-added.1.2.json", "item-added.1.json", "order_placed.1.json"]
    content = json.loads((folder / "order_placed.1.json").read_text(encoding="utf-8"))
    data = {
        "customer": "Ada",
        "total": {"$decimal": "4.20"},
        "channel": "web",
        "placed_at": {"$datetime": "2026-03-01T00:00:00+00:00"},
        "tags": {"$frozenset": ["a", "b", "ü"]},
    }
    assert list(content) == ["event_type", "schema_version", "stored", "codec", "bytes", "read"]
    assert (content["event_type"], content["schema_version"], content["codec"]) == ("order/placed", 1, 1)
    assert content["stored"] == data
    assert content["read"] == [{"event_type": "order/placed", "schema_version": 1, "is_object": True, "data": data}]
    assert "ü" in (folder / "order_placed.1.json").read_text(encoding="utf-8")


def test_files_that_are_read_as_before_pass(folder: Path) -> None:
    GoldenFiles(folder, registry()).check()


def test_files_are_written_once(folder: Path) -> None:
    before = contents(folder)
    golden_files = GoldenFiles(folder, registry())
    assert golden_files.write(EXAMPLES) == golden_files.write(EXAMPLES, accept_changes=True) == []
    assert contents(folder) == before
    assert golden_files.write([*EXAMPLES, ItemAdded("pot"), ItemAdded("pot")]) == [folder / "item-added.1.3.json"]
    assert {name: data for name, data in contents(folder).items() if name in before} == before


def test_a_new_schema_version_needs_a_file_of_its_own_and_consent_to_what_became_of_the_old(folder: Path) -> None:
    before = contents(folder)
    later = GoldenFiles(folder, registry(OrderPlacedLater, 2, upcasts=True))
    text = failure(later)
    assert "order_placed.1.json is read differently" in text
    assert "accept_changes=True" in text
    assert "no file has 'order/placed' with schema version 2: pass an example to GoldenFiles.write" in text
    assert "item-added" not in text
    written = later.write([OrderPlacedLater("Alan", Decimal(1)), *EXAMPLES[1:]], accept_changes=True)
    assert [path.name for path in written] == ["order_placed.1.json", "order_placed.2.json"]
    later.check()
    old, new = (json.loads(each) for each in (before["order_placed.1.json"], contents(folder)["order_placed.1.json"]))
    assert {**old, "read": None} == {**new, "read": None}
    assert [(each["event_type"], each["schema_version"]) for each in new["read"]] == [("order/placed", 2)]


def test_a_class_that_no_longer_fits_is_told_to_use_an_upcaster(folder: Path) -> None:
    @dataclass(frozen=True)
    class Changed:
        customer: str
        sum: Decimal

    text = failure(GoldenFiles(folder, registry(Changed)))
    assert "order_placed.1.json can't be read any more: the stored data does not fit the class" in text
    assert "add an upcaster" in text


def broken(data: Any) -> Any:
    return {"customer": data["client"]}


def test_an_upcaster_that_fails_is_named(folder: Path) -> None:
    event_types = registry(OrderPlacedLater, 2)
    event_types.upcaster("order/placed", from_version=1)(broken)
    assert "the upcaster from schema version 1 of 'order/placed' has raised KeyError" in failure(
        GoldenFiles(folder, event_types)
    )


def test_a_new_default_is_a_difference(folder: Path) -> None:
    @dataclass(frozen=True)
    class WithNote(OrderPlaced):
        note: str = ""

    assert '"note": ""' in failure(GoldenFiles(folder, registry(WithNote)))


def test_an_event_type_that_lost_its_class_is_a_difference(folder: Path) -> None:
    event_types = EventTypes()
    event_types.register("item-added", ItemAdded)
    text = failure(GoldenFiles(folder, event_types))
    assert "order_placed.1.json is read differently" in text
    assert '"is_object": false' in text


def test_an_event_that_is_dropped_now_is_a_difference(folder: Path) -> None:
    event_types = EventTypes()
    event_types.register("item-added", ItemAdded)
    event_types.drop("order/placed", from_version=1)
    golden_files = GoldenFiles(folder, event_types)
    assert "it is []" in failure(golden_files)
    golden_files.write([], accept_changes=True)
    golden_files.check()


def test_an_old_event_that_has_no_class_any_more_can_be_written_as_a_new_event(tmp_path: Path) -> None:
    golden_files = GoldenFiles(tmp_path / "golden", registry(OrderPlacedLater, 2, upcasts=True))
    examples = [
        NewEvent("order/placed", {"customer": "Ada", "total": Decimal(1), "old": 1}),
        OrderPlacedLater("Ada", Decimal(1)),
        ItemAdded("tea"),
    ]
    text = failure(golden_files)
    for shape in ("'order/placed' with schema version 1", "'order/placed' with schema version 2", "'item-added'"):
        assert f"no file has {shape}" in text
    golden_files.write(examples)
    golden_files.check()


def test_names_of_files_that_would_meet_are_told_apart(tmp_path: Path) -> None:
    golden_files = GoldenFiles(tmp_path, EventTypes())
    golden_files.write([NewEvent("a/b", 1), NewEvent("a b", 1), NewEvent("ü" * 255, 1)])
    assert sorted(contents(tmp_path)) == ["_" * 100 + ".1.json", "a_b.1.2.json", "a_b.1.json"]
    golden_files.check()


Change = Callable[[dict[str, Any]], Any]
CHANGES: list[tuple[Change, str]] = [
    (lambda content: {**content, "stored": {}}, "has other bytes than `stored`"),
    (
        lambda content: {**content, "bytes": content["bytes"][8:]},
        "can't be read any more: the stored bytes are damaged",
    ),
    (lambda content: {**content, "codec": 77}, "can't be read any more: written by the codec with number 77"),
    (lambda content: {**content, "bytes": "x"}, "is not a golden file"),
    (lambda content: {key: value for key, value in content.items() if key != "read"}, "is not a golden file"),
    (lambda content: [content], "is not a golden file"),
]


@pytest.mark.parametrize(("change", "problem"), CHANGES)
def test_a_file_that_was_changed_by_hand_is_found(folder: Path, change: Change, problem: str) -> None:
    path = folder / "order_placed.1.json"
    path.write_text(json.dumps(change(json.loads(path.read_text(encoding="utf-8")))), encoding="utf-8")
    assert f"order_placed.1.json {problem}" in failure(GoldenFiles(folder, registry()))


def test_text_that_is_no_json_is_found(folder: Path) -> None:
    (folder / "order_placed.1.json").write_text("<<<<<<< ours", encoding="utf-8")
    assert "is not a golden file" in failure(GoldenFiles(folder, registry()))


class ReversedJSON(JSONCodec):
    number = 70  # type: ignore[misc]  # another codec's


def test_files_of_other_codecs_are_read_too(folder: Path) -> None:
    GoldenFiles(folder, registry(), codec=JSONCodec()).write([PLACED])
    GoldenFiles(folder, registry(), codec=ReversedJSON()).write([PLACED])
    assert len(contents(folder)) == 5
    GoldenFiles(folder, registry(), also_reads=[ReversedJSON()]).check()
    assert "written by the codec with number 70" in failure(GoldenFiles(folder, registry()))


def test_an_example_that_a_store_would_refuse_is_refused(tmp_path: Path) -> None:
    golden_files = GoldenFiles(tmp_path, registry())
    wrong: Any = "cheap"
    with pytest.raises(EncodingError):
        golden_files.write([OrderPlaced("Ada", wrong, Channel.WEB, datetime(2026, 3, 1, tzinfo=UTC))])
    with pytest.raises(UnregisteredEventType):
        golden_files.write([OrderPlacedLater("Ada", Decimal(1))])
    assert contents(tmp_path) == {}
