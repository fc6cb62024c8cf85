"""Upcasters: what can be registered, what is read, and what goes wrong."""

import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine

from eventstore import ANY, NO_STREAM, DecodingError, EventStore, EventTypes, InvalidInput, NewEvent, RecordedEvent
from eventstore.codecs import JSONCodec
from eventstore.errors import EventTooNew, InvalidEvent, UpcasterCycle, UpcasterMissing, UpcasterTaken, UpcastingFailed
from tests.fix_leaks import SECRET


@dataclass(frozen=True)
class OrderPlaced:
    customer: str
    total: Decimal
    currency: str


@dataclass(frozen=True)
class ItemAdded:
    item: str
    count: int = 1


@dataclass(frozen=True)
class Third:
    value: int


def same(data: Any) -> Any:
    return data


@pytest.fixture
def event_types() -> EventTypes:
    """Return event types by which order-opened 1 becomes 2, then order-placed 3 and items; notes are dropped."""
    event_types = EventTypes()
    event_types.register("order-placed", OrderPlaced, schema_version=3, oldest_version=3)
    event_types.register("item-added", ItemAdded)

    @event_types.upcaster("order-opened", from_version=1)
    def add_currency(data: dict[str, Any]) -> dict[str, Any]:
        data["currency"] = "EUR"
        return data

    @event_types.splitter("order-opened", from_version=2, into=[("order-placed", 3), ("item-added", 1)])
    def part_items(data: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        items = data.pop("items")
        yield "order-placed", data
        for item in items:
            yield "item-added", {"item": item}

    event_types.drop("order-noted", from_version=1)
    return event_types


OLD = [
    NewEvent("order-opened", {"customer": "Ada", "total": Decimal(4), "items": ["tea", "cup"]}),
    NewEvent("order-noted", {"text": "hm"}),
    NewEvent(
        "order-opened", {"customer": "Alan", "total": Decimal(0), "currency": "GBP", "items": []}, schema_version=2
    ),
    NewEvent("order-closed", {"by": "Ada"}),
    NewEvent("order-noted", {"text": "hm"}),
]
NEW: list[tuple[int, str, int, Any]] = [
    (1, "order-placed", 3, OrderPlaced("Ada", Decimal(4), "EUR")),
    (1, "item-added", 1, ItemAdded("tea")),
    (1, "item-added", 1, ItemAdded("cup")),
    (3, "order-placed", 3, OrderPlaced("Alan", Decimal(0), "GBP")),
    (4, "order-closed", 1, {"by": "Ada"}),
]


def seen(events: Iterator[RecordedEvent]) -> list[tuple[int, str, int, Any]]:
    return [(event.version, event.event_type, event.schema_version, event.data) for event in events]


# --- what is read


@pytest.mark.parametrize("codec", [None, JSONCodec()])
def test_old_events_are_renamed_split_and_dropped_when_they_are_read(
    any_engine: Engine, event_types: EventTypes, codec: Any
) -> None:
    store = EventStore(any_engine, event_types=event_types, codec=codec)
    result = store.append("order-1", OLD, expected_version=NO_STREAM, metadata={"user": 7})
    events = list(store.read_stream("order-1"))
    assert seen(iter(events)) == NEW
    first, second, third, *_ = events
    assert first.event_id == second.event_id == third.event_id == OLD[0].event_id
    assert first.position == second.position == third.position == result.position - 4
    assert first.metadata == third.metadata == {"user": 7}
    assert first.recorded_at == third.recorded_at
    assert store.stream_version("order-1") == 5


def test_backwards_is_the_reverse_of_forwards(any_engine: Engine, event_types: EventTypes) -> None:
    store = EventStore(any_engine, event_types=event_types, page_size=2)
    store.append("order-1", OLD, expected_version=NO_STREAM)
    assert list(store.read_stream("order-1", backwards=True)) == list(store.read_stream("order-1"))[::-1]


@pytest.mark.parametrize("page_size", [1, 2, 1000])
def test_limit_and_versions_count_what_is_stored(any_engine: Engine, event_types: EventTypes, page_size: int) -> None:
    store = EventStore(any_engine, event_types=event_types, page_size=page_size)
    store.append("order-1", OLD, expected_version=NO_STREAM)
    assert seen(store.read_stream("order-1", limit=1)) == NEW[:3]
    assert seen(store.read_stream("order-1", limit=2)) == NEW[:3]
    assert seen(store.read_stream("order-1", limit=3)) == NEW[:4]
    assert seen(store.read_stream("order-1", after_version=1, limit=1)) == []
    assert seen(store.read_stream("order-1", after_version=1, up_to_version=3)) == NEW[3:4]
    assert seen(store.read_stream("order-1", limit=2, backwards=True)) == NEW[4:]


def test_what_is_stored_can_be_seen(any_engine: Engine, event_types: EventTypes) -> None:
    store = EventStore(any_engine, event_types=event_types)
    store.append("order-1", [*OLD, ItemAdded("tea")], expected_version=NO_STREAM)
    stored = list(store.read_stream("order-1", upcast=False))
    assert [(event.event_type, event.schema_version, event.data) for event in stored] == [
        *((event.event_type, event.schema_version, event.data) for event in OLD),
        ("item-added", 1, {"item": "tea", "count": 1}),
    ]
    assert [event.version for event in stored] == [1, 2, 3, 4, 5, 6]
    with store.transaction() as joined:
        assert list(joined.read_stream("order-1", upcast=False)) == stored


def test_new_events_of_a_class_with_upcasters_are_read_back_before_they_are_written(any_engine: Engine) -> None:
    event_types = EventTypes()
    event_types.register("third", Third, schema_version=3)
    event_types.upcaster("third", from_version=1)(lambda data: {"value": data["v"]})
    event_types.upcaster("third", from_version=2)(same)
    store = EventStore(any_engine, event_types=event_types)
    store.append("a-1", [Third(1), NewEvent("third", {"v": 2})], expected_version=NO_STREAM)
    assert seen(store.read_stream("a-1")) == [(1, "third", 3, Third(1)), (2, "third", 3, Third(2))]
    wrong: Any = "one"
    with pytest.raises(ValueError, match="could not be read back"):
        store.append("a-1", [Third(wrong)], expected_version=2)


def test_a_repeated_append_of_an_old_event_is_recognised(any_engine: Engine, event_types: EventTypes) -> None:
    store = EventStore(any_engine, event_types=event_types)
    store.append("order-1", OLD, expected_version=NO_STREAM)
    assert store.append("order-1", OLD, expected_version=NO_STREAM).duplicate


def test_types_without_a_class_are_upcast_as_plain_data() -> None:
    event_types = EventTypes()
    event_types.upcaster("a", from_version=1)(lambda data: data + 1)
    event_types.upcaster("a", from_version=2, to=("b", 5))(lambda data: [data])
    with EventStore.in_memory(event_types=event_types) as store:
        store.append("a-1", [NewEvent("a", 1), NewEvent("a", 1, schema_version=2)], expected_version=NO_STREAM)
        assert seen(store.read_stream("a-1")) == [(1, "b", 5, [2]), (2, "b", 5, [1])]


def test_a_type_registered_after_the_store_was_made_counts_too() -> None:
    event_types = EventTypes()
    with EventStore.in_memory(event_types=event_types) as store:
        store.append("a-1", [NewEvent("third", {"v": 1})], expected_version=NO_STREAM)
        event_types.register("third", Third, schema_version=2)
        with pytest.raises(DecodingError, match="from which no upcaster leads to 2"):
            next(store.read_stream("a-1"))
        event_types.upcaster("third", from_version=1)(lambda data: {"value": data["v"]})
        assert next(store.read_stream("a-1")).data == Third(1)


def test_upcast_shows_what_upcasters_make_without_a_store(event_types: EventTypes) -> None:
    made = event_types.upcast("order-opened", 1, {"customer": "Ada", "items": ["tea"]})
    assert made == [
        ("order-placed", 3, {"customer": "Ada", "currency": "EUR"}),
        ("item-added", 1, {"item": "tea"}),
    ]
    assert event_types.upcast("order-noted", 1, {}) == []
    assert event_types.upcast("unknown", 9, 1) == [("unknown", 9, 1)]


def test_a_decorated_function_is_unchanged() -> None:
    event_types = EventTypes()
    assert event_types.upcaster("a", from_version=1)(same) is same
    assert event_types.splitter("a", from_version=2, into=[])(same) is same


# --- newer code


def newer_events(store: EventStore) -> None:
    store.append("a-1", [NewEvent("third", {"w": 1}, schema_version=4), NewEvent("b", 1)], expected_version=ANY)


def test_an_event_of_newer_code_is_an_error_that_names_both_versions(any_engine: Engine) -> None:
    event_types = EventTypes()
    event_types.register("third", Third, schema_version=3, oldest_version=3)
    store = EventStore(any_engine, event_types=event_types)
    newer_events(store)
    with pytest.raises(EventTooNew) as error:
        next(store.read_stream("a-1"))
    assert (error.value.found_type, error.value.found, error.value.known) == ("third", 4, 3)
    assert (error.value.stream_id, error.value.version, error.value.event_type) == ("a-1", 1, "third")
    assert "schema version 4" in str(error.value)
    assert "this code knows versions up to 3 only" in str(error.value)
    assert next(store.read_stream("a-1", upcast=False)).data == {"w": 1}


def test_an_event_of_newer_code_passes_as_plain_data_where_asked(any_engine: Engine) -> None:
    event_types = EventTypes(newer="plain")
    event_types.register("third", Third, schema_version=3)
    event_types.upcaster("third", from_version=1, to=("third", 3))(same)
    store = EventStore(any_engine, event_types=event_types)
    newer_events(store)
    assert seen(store.read_stream("a-1")) == [(1, "third", 4, {"w": 1}), (2, "b", 1, 1)]


def test_a_newer_version_than_upcasters_know_is_an_error_without_a_class_too() -> None:
    event_types = EventTypes()
    event_types.upcaster("third", from_version=1)(same)
    with EventStore.in_memory(event_types=event_types) as store:
        newer_events(store)
        with pytest.raises(EventTooNew) as error:
            next(store.read_stream("a-1"))
    assert (error.value.found, error.value.known) == (4, 2)


def test_an_unknown_event_type_is_an_error_where_asked(any_engine: Engine) -> None:
    event_types = EventTypes(unregistered="error", newer="plain")
    event_types.register("third", Third)
    event_types.upcaster("c", from_version=1)(same)
    store = EventStore(any_engine, event_types=event_types)
    newer_events(store)
    store.append("c-1", [NewEvent("c", 1)], expected_version=NO_STREAM)
    assert seen(store.read_stream("c-1")) == [(1, "c", 2, 1)]
    with pytest.raises(EventTooNew, match="does not know the event type") as error:
        list(store.read_stream("a-1"))
    assert (error.value.found_type, error.value.found, error.value.known, error.value.version) == ("b", 1, None, 2)


@pytest.mark.parametrize("options", [{"newer": "raw"}, {"unregistered": None}, {"newer": True}])
def test_bad_options_of_the_registry_are_refused(options: Any) -> None:
    with pytest.raises(InvalidInput, match=next(iter(options))):
        EventTypes(**options)


# --- two steps, circles, holes


def test_two_upcasters_from_one_version_are_refused() -> None:
    event_types = EventTypes()
    event_types.upcaster("a", from_version=1)(same)
    seconds: list[Callable[[], Any]] = [
        lambda: event_types.upcaster("a", from_version=1)(lambda data: data),
        lambda: event_types.splitter("a", from_version=1, into=[("b", 1)])(lambda _: []),
        lambda: event_types.drop("a", from_version=1),
    ]
    for second in seconds:
        with pytest.raises(UpcasterTaken, match="belongs to the upcaster same") as error:
            second()
        assert (error.value.event_type, error.value.schema_version) == ("a", 1)
    assert event_types.upcast("a", 1, 5) == [("a", 2, 5)]


def test_one_shape_has_a_class_or_an_upcaster() -> None:
    event_types = EventTypes()
    event_types.register("a", Third, schema_version=2)
    with pytest.raises(UpcasterTaken, match="belongs to the class Third"):
        event_types.upcaster("a", from_version=2)(same)
    event_types.upcaster("b", from_version=1)(same)
    with pytest.raises(UpcasterTaken, match="belongs to an upcaster"):
        event_types.register("b", ItemAdded)
    assert ("b", 1) not in event_types.classes
    assert event_types.type_of(ItemAdded("tea")) is None


def test_circles_are_refused_when_they_are_closed() -> None:
    event_types = EventTypes()
    with pytest.raises(UpcasterCycle) as error:
        event_types.upcaster("a", from_version=1, to=("a", 1))(same)
    assert error.value.path == (("a", 1), ("a", 1))
    event_types.upcaster("a", from_version=1)(same)
    event_types.splitter("a", from_version=2, into=[("c", 1), ("b", 1)])(lambda _: [])
    event_types.upcaster("b", from_version=1)(same)
    with pytest.raises(UpcasterCycle, match="form a cycle: 'b' 2 -> 'a' 1 -> 'a' 2 -> 'b' 1 -> 'b' 2") as error:
        event_types.upcaster("b", from_version=2, to=("a", 1))(same)
    assert error.value.path == (("b", 2), ("a", 1), ("a", 2), ("b", 1), ("b", 2))
    event_types.upcaster("b", from_version=2, to=("c", 1))(same)  # two ways to one shape are no circle
    event_types.validate()


def with_class(schema_version: int, *steps: int, **options: Any) -> EventTypes:
    event_types = EventTypes()
    event_types.register("third", Third, schema_version=schema_version, **options)
    for step in steps:
        event_types.upcaster("third", from_version=step)(same)
    return event_types


@pytest.mark.parametrize(
    ("event_types", "hole"),
    [
        (with_class(2), ("third", 1, 2)),
        (with_class(4, 2, 3), ("third", 1, 4)),
        (with_class(4, 1, 3), ("third", 2, 4)),
        (with_class(4, 1, 2), ("third", 3, 4)),
        (with_class(4, 3, oldest_version=2), ("third", 2, 4)),
        (with_class(2, 1, 3), ("third", 4, 2)),
    ],
)
def test_a_hole_is_found_when_a_store_is_made(
    sqlite_engine: Engine, event_types: EventTypes, hole: tuple[str, int, int]
) -> None:
    for find in (event_types.validate, lambda: EventStore(sqlite_engine, event_types=event_types)):
        with pytest.raises(UpcasterMissing) as error:
            find()
        assert (error.value.event_type, error.value.schema_version, error.value.newest) == hole


@pytest.mark.parametrize(
    "event_types",
    [with_class(1), with_class(4, 1, 2, 3), with_class(4, 3, oldest_version=3), with_class(4, oldest_version=4)],
)
def test_a_whole_chain_is_valid(event_types: EventTypes) -> None:
    event_types.validate()


def test_holes_without_a_class_and_behind_a_new_name_are_found() -> None:
    event_types = EventTypes()
    event_types.upcaster("a", from_version=1)(same)
    event_types.upcaster("a", from_version=3)(same)
    with pytest.raises(UpcasterMissing) as error:
        event_types.validate()
    assert (error.value.event_type, error.value.schema_version, error.value.newest) == ("a", 2, 4)
    event_types = with_class(3, 2, oldest_version=2)
    event_types.upcaster("a", from_version=1, to=("third", 1))(same)
    with pytest.raises(UpcasterMissing) as error:
        event_types.validate()
    assert (error.value.event_type, error.value.schema_version, error.value.newest) == ("third", 1, 3)
    event_types.upcaster("third", from_version=1)(same)
    event_types.validate()


def test_a_version_that_was_jumped_over_is_no_hole_but_cannot_be_read() -> None:
    event_types = EventTypes()
    event_types.register("third", Third, schema_version=20261125, oldest_version=20240101)
    event_types.upcaster("third", from_version=20240101, to=("third", 20261125))(same)
    event_types.validate()
    with pytest.raises(DecodingError, match="from which no upcaster leads to 20261125"):
        event_types.from_plain("third", 20250101, {"value": 1})


def test_the_function_of_a_cell_that_is_run_again_replaces_the_first() -> None:
    event_types = EventTypes()
    source = "@event_types.upcaster('a', from_version=1, to=('a', {to}))\ndef step(data): return {to}"
    for to in (7, 2):
        exec(source.format(to=to), {"event_types": event_types, "__name__": "__main__"})  # noqa: S102  # a notebook's cell
    assert event_types.upcast("a", 1, 0) == [("a", 2, 2)]
    event_types.validate()


def test_another_function_of_a_notebook_is_refused() -> None:
    event_types = EventTypes()
    source = "@event_types.upcaster('a', from_version=1)\ndef {name}(data): return 1"
    exec(source.format(name="first"), {"event_types": event_types, "__name__": "__main__"})  # noqa: S102  # a notebook's cell
    with pytest.raises(UpcasterTaken, match="the upcaster first"):
        exec(source.format(name="second"), {"event_types": event_types, "__name__": "__main__"})  # noqa: S102  # another


def test_the_order_of_registration_does_not_matter() -> None:
    event_types = EventTypes()
    for version in (2, 3, 1):
        event_types.upcaster("a", from_version=version)(same)
    event_types.validate()
    assert event_types.from_plain("a", 4, 7) == 7
    with pytest.raises(EventTooNew):
        event_types.from_plain("a", 5, 7)


# --- bad input


@pytest.mark.parametrize(
    "register",
    [
        lambda types: types.upcaster("", from_version=1),
        lambda types: types.upcaster(7, from_version=1),
        lambda types: types.upcaster("a", from_version=0),
        lambda types: types.upcaster("a", from_version="1"),
        lambda types: types.upcaster("a", from_version=True),
        lambda types: types.upcaster("a", from_version=1, to="b"),
        lambda types: types.upcaster("a", from_version=1, to=("b", 0)),
        lambda types: types.upcaster("a", from_version=1, to=("", 1)),
        lambda types: types.upcaster("a", from_version=1, to=("b", 1, 1)),
        lambda types: types.upcaster("a", from_version=2**31 - 1)(same),
        lambda types: types.upcaster("a", from_version=1)("no function"),
        lambda types: types.splitter("a", from_version=1, into="b"),
        lambda types: types.splitter("a", from_version=1, into=None),
        lambda types: types.splitter("a", from_version=1, into=["b"]),
        lambda types: types.splitter("a", from_version=1, into=[("b", 1), ("b", 2)]),
        lambda types: types.splitter("a", from_version=1, into=[("b", 1.5)]),
        lambda types: types.splitter("a", from_version=1, into=[])(None),
        lambda types: types.drop("a\0", from_version=1),
        lambda types: types.drop("a", from_version=None),
        lambda types: types.register("a", Third, schema_version=2, oldest_version=3),
        lambda types: types.register("a", Third, oldest_version=0),
        lambda types: types.register("a", oldest_version="1"),
    ],
)
def test_what_cannot_be_registered_is_refused_at_once(register: Callable[[Any], Any]) -> None:
    event_types = EventTypes()
    with pytest.raises(InvalidInput):
        register(event_types)
    assert (event_types.steps, event_types.classes) == ({}, {})


def test_a_bad_name_is_an_invalid_event() -> None:
    with pytest.raises(InvalidEvent, match="event type"):
        EventTypes().upcaster("x" * 256, from_version=1)


# --- upcasters that fail


def raises(data: Any) -> Any:
    raise ValueError(data["card"])


def yields_and_raises(data: Any) -> Iterator[tuple[str, Any]]:
    yield "third", data
    raise KeyError(data["card"])


FAILING: list[tuple[Any, str]] = [
    (raises, "has raised ValueError in test_upcasting.py, line "),
    (lambda _: None, "has returned None"),
    (lambda data: data["missing"], "has raised KeyError in test_upcasting.py, line "),
]
FAILING_SPLITTERS: list[tuple[Any, str]] = [
    (raises, "has raised ValueError in test_upcasting.py, line "),
    (yields_and_raises, "has raised KeyError in test_upcasting.py, line "),
    (lambda _: None, "has raised TypeError"),
    (lambda data: data, "has not returned pairs"),
    (lambda data: [data], "has not returned pairs"),
    (lambda data: [("third", data, 1)], "has not returned pairs"),
    (lambda _: [("third", None)], "has not returned pairs"),
    (lambda data: [(3, data)], "has returned an event of a type that is not among ['other', 'third']"),
    (lambda data: [(data["card"], data)], "has returned an event of a type that is not among ['other', 'third']"),
    (lambda data: [([], data)], "has returned an event of a type that is not among ['other', 'third']"),
]


@pytest.mark.parametrize(
    ("function", "problem", "splits"),
    [*((*each, False) for each in FAILING), *((*each, True) for each in FAILING_SPLITTERS)],
)
def test_an_upcaster_that_fails_is_named_without_the_data(function: Any, problem: str, *, splits: bool) -> None:
    event_types = EventTypes()
    event_types.upcaster("first", from_version=1)(same)
    if splits:
        event_types.splitter("first", from_version=2, into=[("third", 1), ("other", 1)])(function)
    else:
        event_types.upcaster("first", from_version=2, to=("third", 1))(function)
    with EventStore.in_memory(event_types=event_types) as store:
        store.append("a-1", [NewEvent("first", {"card": SECRET})], expected_version=NO_STREAM)
        with pytest.raises(UpcastingFailed) as error:
            next(store.read_stream("a-1"))
        assert (error.value.stream_id, error.value.version, error.value.event_type) == ("a-1", 1, "first")
        assert error.value.step == ("first", 2)
        assert f"the upcaster from schema version 2 of 'first' {problem}" in str(error.value)
        assert SECRET not in "".join(traceback.format_exception(error.value))
        assert next(store.read_stream("a-1", upcast=False)).data == {"card": SECRET}


def test_upcast_data_that_does_not_fit_the_class_is_a_decoding_error() -> None:
    with EventStore.in_memory(event_types=with_class(2, 1)) as store:
        store.append("a-1", [NewEvent("third", {"value": SECRET})], expected_version=NO_STREAM)
        with pytest.raises(DecodingError, match=r"version 1 of stream 'a-1' \('third'\): .* class Third at \$\.value"):
            next(store.read_stream("a-1"))


def test_an_error_in_the_middle_of_a_stream_comes_after_the_events_before_it(event_types: EventTypes) -> None:
    with EventStore.in_memory(event_types=event_types) as store:
        store.append("order-1", [*OLD[:1], NewEvent("order-opened", {})], expected_version=NO_STREAM)
        events = store.read_stream("order-1")
        assert [next(events).version for _ in range(3)] == [1, 1, 1]
        with pytest.raises(UpcastingFailed):
            next(events)
