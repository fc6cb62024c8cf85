"""Events of other programs: what `transfer.load` stores, recognises and refuses."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import Engine

from eventstore import EventFilter, EventStore, EventTypes, InvalidInput, NewEvent
from eventstore.errors import ImportConflict, RowRefused
from eventstore.events import STREAM_DELETED_EVENT
from eventstore.maintenance import verify
from eventstore.transfer import SourceEvent, last_loaded, load

AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=timezone(timedelta(hours=2)))


def records(count: int = 20, *, first: int = 0, step: int = 1) -> list[SourceEvent]:
    return [
        SourceEvent(
            f"order-{number % 3}", first + number // 3 * step, "placed", {"n": number}, AT + timedelta(seconds=number),
            metadata={"user": number} if number % 2 else None, order=number,
        )
        for number in range(count)
    ]  # fmt: skip


@pytest.fixture
def store(any_engine: Engine) -> EventStore:
    return EventStore(any_engine)


@pytest.mark.parametrize(("first", "step"), [(0, 1), (1, 1), (7, 5)])
def test_events_get_versions_from_1_and_keep_all_else(store: EventStore, first: int, step: int) -> None:
    given = records(first=first, step=step)
    done = load(store, given, source="shop", batch_size=6)
    assert (done.events, done.repeated, done.by_type) == (20, 0, {"placed": 20})
    assert done.renumbered == (0 if (first, step) == (1, 1) else 20)
    stored = list(store.read_all())
    for event, record in zip(stored, given, strict=True):
        assert (event.stream_id, event.data, event.event_type) == (record.stream_id, record.data, "placed")
        assert event.recorded_at == record.recorded_at
        origin = {"from": "shop", "version": record.version, "order": record.order}
        assert event.metadata == {**(record.metadata or {}), "$imported": origin}
    assert [event.version for event in store.read_stream("order-0")] == list(range(1, 8))
    assert list(verify(store)) == []
    assert store.append("order-0", NewEvent("paid"), expected_version=7).version == 8


@pytest.mark.parametrize(("first", "step"), [(0, 1), (7, 5)])
def test_a_repeated_load_stores_nothing(store: EventStore, first: int, step: int) -> None:
    given = records(first=first, step=step)
    load(store, given, source="shop", batch_size=6)
    before = list(store.read_all())
    for some, batch_size in ((given, 4), (given[11:], 100), (given[5:9], 1)):
        done = load(store, some, source="shop", batch_size=batch_size)
        assert (done.events, done.repeated) == (0, len(some))
    assert list(store.read_all()) == before


def test_versions_with_irregular_gaps_are_found_again(store: EventStore) -> None:
    versions = [0, 1, 2, 50, 51, 1000, 1001, 1002, 5000, 5001]
    given = [SourceEvent("a", version, "t", version) for version in versions]
    load(store, given, source="s")
    assert load(store, given, source="s", batch_size=3).repeated == 10
    assert [event.data for event in store.read_stream("a")] == versions
    with pytest.raises(RowRefused, match="version 60 of stream 'a' comes after a higher one"):
        load(store, [SourceEvent("a", 60, "t", None)], source="s")


def test_it_continues_where_it_ended(store: EventStore) -> None:
    assert last_loaded(store, "shop") is None
    load(store, records(13), source="shop")
    load(store, [SourceEvent("x", 0, "t", 1, order=99)], source="other")
    store.append("mine-1", NewEvent("a"), expected_version=0)
    origin = last_loaded(store, "shop")
    assert origin is not None
    assert (origin.order, origin.version) == (12, 4)
    rest = [record for record in records() if record.order > origin.order]  # type: ignore[operator]  # numbers
    assert load(store, rest, source="shop").events == 7
    assert [event.data["n"] for event in store.read_all(EventFilter(categories=["order"]))] == list(range(20))


def test_ids_are_the_same_in_each_store_and_differ_by_source(store: EventStore) -> None:
    with EventStore.in_memory() as other, EventStore.in_memory() as third:
        for target, source in ((store, "shop"), (other, "shop"), (third, "shop2")):
            load(target, records(), source=source)
        ids = [[event.event_id for event in each.read_all()] for each in (store, other, third)]
    assert ids[0] == ids[1]
    assert not {*ids[0]} & {*ids[2]}
    assert {each.version for each in ids[0]} == {5}


BAD: dict[str, tuple[Callable[[SourceEvent], SourceEvent], str]] = {
    "NUL in the stream": (lambda e: replace(e, stream_id="a\0b"), "NUL"),
    "a surrogate": (lambda e: replace(e, stream_id="a\ud800"), "surrogate"),
    "too long": (lambda e: replace(e, stream_id="a" * 256), "255"),
    "a long type": (lambda e: replace(e, event_type="a" * 256), "255"),
    "a surrogate in the data": (lambda e: replace(e, data={"a": "\udfff"}), "surrogate"),
    "no data of a codec": (lambda e: replace(e, data={"a": object()}), r"\$\.a"),
    "a naive time": (lambda e: replace(e, recorded_at=datetime(2026, 1, 1)), "no time zone"),  # noqa: DTZ001
    "an end of time": (
        lambda e: replace(e, recorded_at=datetime.max.replace(tzinfo=timezone(-timedelta(hours=2)))),
        "9999",
    ),
    "a negative version": (lambda e: replace(e, version=-1), "between 0"),
    "a text as version": (lambda e: replace(e, version="1"), "integer"),  # type: ignore[arg-type]  # on purpose
    "an id as text": (lambda e: replace(e, event_id="7"), "UUID"),  # type: ignore[arg-type]  # on purpose
    "metadata with NaN": (lambda e: replace(e, metadata={"a": float("nan")}), "NaN"),
    "metadata of an import": (lambda e: replace(e, metadata={"$imported": 1}), "imported"),
    "tags in metadata": (lambda e: replace(e, metadata={"$tags": []}), "tags"),
    "a tombstone": (lambda e: replace(e, event_type=STREAM_DELETED_EVENT), "only the store appends"),
    "a schema version of 0": (lambda e: replace(e, schema_version=0), "schema version"),
}


@pytest.fixture
def small() -> Any:
    with EventStore.in_memory() as store:
        yield store


@pytest.mark.parametrize("what", BAD)
def test_what_can_not_be_stored_is_refused_before_its_batch_is_written(small: EventStore, what: str) -> None:
    change, text = BAD[what]
    given = [*records(4), change(replace(records(1)[0], stream_id="secret-1", data={"secret": "payload"})), *records(2)]
    with pytest.raises(RowRefused, match=text) as refused:
        load(small, given, source="shop")
    assert refused.value.place.startswith("record 5")
    assert "payload" not in str(refused.value)
    assert not list(small.read_all())
    done = load(small, given, source="shop", skip_invalid=True)
    assert (done.events, done.repeated, done.skipped) == (4, 0, 1) or (done.events, done.skipped) == (4, 3)
    assert "record 5" in str(done.refusals[0])


def test_wrong_arguments(small: EventStore) -> None:
    for arguments in (
        {"records": [NewEvent("a")], "source": "s"},
        {"records": [], "source": ""},
        {"records": [], "source": "s", "batch_size": 0},
        {"records": [], "source": "s", "skip_invalid": "no"},
    ):
        with pytest.raises(InvalidInput):
            load(small, **arguments)


def test_a_row_that_comes_twice_or_late_is_refused(small: EventStore) -> None:
    for given, text in (
        ([SourceEvent("a", 0, "t", 1), SourceEvent("a", 0, "t", 1)], "comes after a higher one"),
        ([SourceEvent("a", 1, "t", 1), SourceEvent("a", 0, "t", 1)], "comes after a higher one"),
    ):
        with pytest.raises(RowRefused, match=text):
            load(small, given, source="s")
    load(small, [SourceEvent("a", 3, "t", 1, order=1)], source="s")
    with pytest.raises(RowRefused, match="twice in the source"):
        load(small, [SourceEvent("a", 3, "t", 1, order=2)], source="s")
    assert len(list(small.read_all())) == 1


def test_streams_that_have_other_events_are_refused(small: EventStore) -> None:
    small.append("order-1", NewEvent("mine"), expected_version=0)
    with pytest.raises(ImportConflict, match="not from this import"):
        load(small, records(), source="shop")
    load(small, [SourceEvent("a", 0, "t", 1)], source="one")
    with pytest.raises(ImportConflict, match="not from this import"):
        load(small, [SourceEvent("a", 1, "t", 1)], source="other")


def test_changed_content_is_refused(small: EventStore) -> None:
    load(small, records(), source="shop")
    with pytest.raises(ImportConflict, match="other content"):
        load(small, [replace(records()[4], data={"n": "changed"})], source="shop")


def test_a_stream_that_was_deleted_is_not_restored(store: EventStore) -> None:
    load(store, records(), source="shop")
    store.delete_stream("order-1", expected_version=7, reason="r")
    done = load(store, [*records(), SourceEvent("order-1", 9, "placed", {})], source="shop")
    assert (done.events, done.repeated, done.ended) == (0, 13, 8)
    assert [event.event_type for event in store.read_stream("order-1")] == [STREAM_DELETED_EVENT]


def test_registered_classes_give_tags_and_refuse_what_does_not_fit(any_engine: Engine) -> None:
    event_types = EventTypes()

    @event_types.register("placed", schema_version=2, tags={"customer": "customer_id"})
    @dataclass(frozen=True)
    class Placed:
        customer_id: str
        total: int

    @event_types.upcaster("placed", from_version=1)
    def add_total(data: dict[str, Any]) -> dict[str, Any]:
        return {**data, "total": 0}

    store = EventStore(any_engine, event_types=event_types)
    given = [
        SourceEvent("order-1", 0, "placed", {"customer_id": "c1"}, tags=["old"]),
        SourceEvent("order-1", 1, "placed", {"customer_id": "c2", "total": 3}, schema_version=2),
    ]
    load(store, given, source="shop")
    (found,) = store.read_all(EventFilter(tags=["customer:c1"]))
    assert (found.tags, found.data) == (("old", "customer:c1"), Placed("c1", 0))
    assert [event.version for event in store.read_all(EventFilter(tags=["customer:c2"]))] == [2]
    assert next(store.read_stream("order-1", upcast=False)).data == {"customer_id": "c1"}
    with pytest.raises(RowRefused, match="total"):
        load(
            store,
            [SourceEvent("order-2", 0, "placed", {"customer_id": "c", "total": "x"}, schema_version=2)],
            source="s",
        )
    assert list(verify(store)) == []


def test_times_default_to_the_import(small: EventStore) -> None:
    before = datetime.now(UTC)
    load(small, [SourceEvent("a", 0, "t", 1)], source="s")
    assert before <= next(small.read_all()).recorded_at <= datetime.now(UTC)
