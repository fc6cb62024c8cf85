"""Invalid input: a typed error, before anything is written, without a payload in its text."""

import math
from dataclasses import dataclass
from enum import Enum, IntEnum
from http import HTTPStatus
from typing import Any
from uuid import UUID

import pytest

from eventstore import Append, EncodingError, EventFilter, EventStore, EventTypes, InvalidInput, NewEvent, Repository
from eventstore.errors import (
    InvalidEvent,
    InvalidExpectedVersion,
    InvalidMetadata,
    InvalidStreamId,
    UnregisteredEventType,
)
from eventstore.projections import Projection, ProjectionAdmin, Worker
from eventstore.testing._base import ContractBase, MakeStore, numbered


class Kind(str, Enum):  # noqa: UP042  # a StrEnum is formatted by its value
    """Names that an application defines as an enum."""

    STREAM = "order-1"
    ORDER = "order"
    PLACED = "order-placed"


class Number(IntEnum):
    """Numbers that an application defines as an enum."""

    NONE = 0
    ONE = 1


@dataclass
class Placed:
    """An event class."""

    a: int


BAD_IDS: list[Any] = ["", "x" * 256, None, 42, b"order-1", "order-\0", "order-\ud800", "\udfff"]
SECRET = "4000-1234-5678-9010"

UNENCODABLE: list[tuple[Any, str, str]] = [
    (object(), "$", "object"),
    ({"lines": [1, {"price": object()}]}, "$.lines[1].price", "object"),
    ({"a": {"b": 1j}}, "$.a.b", "complex"),
    ({"text": f"{SECRET}\ud800"}, "$.text", "str"),
    ({"parts": ({1, 2}, lambda: None)}, "$.parts[1]", "function"),
    ({"members": {1, frozenset({UnicodeError})}}, "$.members{}{}", "type"),
    ({"by_key": {object: 1}}, "$.by_key[key of type type]", "type"),
    ({"state": HTTPStatus.OK}, "$.state", "HTTPStatus"),
]
"""Invalid data, the path of the invalid value, and the name of its type."""

BAD_METADATA: list[tuple[Any, str]] = [
    ([("user", 7)], "$"),
    ("text", "$"),
    ({7: "user"}, "$"),
    ({"cost": math.nan}, "$.cost"),
    ({"costs": [1.0, math.inf]}, "$.costs[1]"),
    ({"cost": -0.0}, "$.cost"),
    ({"name": f"{SECRET}\0"}, "$.name"),
    ({"na\0me": 1}, "$ (a key)"),
    ({"deep": {"name": "\ud800"}}, "$.deep.name"),
    ({"id": UUID(int=7)}, "$.id"),
    ({"pair": (1, 2)}, "$.pair"),
    ({"digits": 10**5000}, "$"),
]
"""Invalid metadata, and the path of the invalid value."""


class InputContract(ContractBase):
    """The contract of invalid input."""

    def test_bad_stream_ids(self, store: EventStore) -> None:
        for stream_id in BAD_IDS:
            for call in (
                lambda bad: store.append(bad, numbered(1), expected_version=0),
                lambda bad: store.append_many([Append(bad, numbered(1), expected_version=0)]),
                store.read_stream,
                store.stream_version,
                lambda bad: store.snapshots.save(bad, version=1, state=1),
                store.snapshots.load,
                store.snapshots.delete,
            ):
                with pytest.raises(InvalidStreamId):
                    call(stream_id)

    def test_unusual_stream_ids_are_fine(self, store: EventStore) -> None:
        for stream_id in ("x" * 255, "é" * 255, "-", "a b%c'\"\\\n", "🦆-1", "%(x)s", ":x"):
            store.append(stream_id, numbered(1), expected_version=0)
            store.append_many([Append(stream_id, numbered(1), expected_version=1)])
            events = list(store.read_stream(stream_id))
            assert [(event.stream_id, event.version) for event in events] == [(stream_id, 1), (stream_id, 2)]

    def test_an_enum_of_strings_stands_for_its_value(self, store: EventStore, make_store: MakeStore) -> None:
        """Python formats such a member by its name, and hashes it by its name, too."""
        event = NewEvent(Kind.PLACED, {"a": 1}, metadata={Kind.PLACED: Kind.ORDER}, schema_version=Number.ONE)
        first = store.append(Kind.STREAM, [event], expected_version=Number.NONE)
        assert store.append_many([Append(Kind.STREAM, [event], expected_version=Number.NONE)])[0].duplicate
        assert (first.stream_id, store.stream_version(Kind.STREAM)) == ("order-1", 1)
        (read,) = store.read_stream(Kind.STREAM)
        assert [type(text) for text in (read.stream_id, read.event_type)] == [str, str]
        assert (read.stream_id, read.event_type, read.metadata) == (
            "order-1",
            "order-placed",
            {"order-placed": "order"},
        )
        filters: list[dict[str, Any]] = [
            {"event_types": [Kind.PLACED]}, {"categories": [Kind.ORDER]}, {"stream_ids": [Kind.STREAM]},
        ]  # fmt: skip
        for each in filters:
            assert list(store.read_all(EventFilter(**each))) == [read]
        assert [info.stream_id for info in store.list_streams(category=Kind.ORDER)] == ["order-1"]
        assert list(store.list_streams(after_stream_id=Kind.STREAM)) == []
        assert store.snapshots.save(Kind.STREAM, version=1, state=1)
        assert store.snapshots.load(Kind.STREAM) is not None
        assert [info.stream_id for info in store.snapshots.list(category=Kind.ORDER)] == ["order-1"]
        orders = Repository(store, category=Kind.ORDER, initial=int, evolve=lambda state, _: state + 1)
        assert [orders.stream_id(id_) for id_ in (Kind.ORDER, Number.ONE)] == ["order-order", "order-1"]
        assert orders.load(Number.ONE).state == 1

        handled: list[str] = []
        projection = Projection(Kind.ORDER)
        projection.on(Kind.PLACED)(lambda event, _: handled.append(event.event_type))
        Worker(store, projection).run_until_caught_up()
        assert (handled, ProjectionAdmin(store).position(Kind.ORDER)) == (["order-placed"], first.position)

        event_types = EventTypes()
        event_types.register(Kind.PLACED, Placed, schema_version=2)
        event_types.upcaster(Kind.PLACED, from_version=Number.ONE)(lambda data: data)
        assert next(make_store(event_types=event_types).read_stream("order-1")).data == Placed(1)
        store.delete_stream(Kind.STREAM, expected_version=1, reason=Kind.ORDER)
        assert next(store.read_stream("order-1")).data == {"reason": "order", "reusable": False}

    def test_bad_expected_versions(self, store: EventStore) -> None:
        bad: list[Any] = [-1, True, False, 1.0, "1", None, 2**63, "ANY"]
        for expected in bad:
            with pytest.raises(InvalidExpectedVersion):
                store.append("order-1", numbered(1), expected_version=expected)
        assert store.stream_version("order-1") == 0

    def test_a_version_beyond_the_largest(self, store: EventStore) -> None:
        with pytest.raises(InvalidExpectedVersion):
            store.append("order-1", numbered(2), expected_version=2**63 - 2)

    def test_no_events(self, store: EventStore) -> None:
        with pytest.raises(InvalidInput, match="nothing to append to stream 'order-1'"):
            store.append("order-1", [], expected_version=0)
        with pytest.raises(InvalidInput, match="nothing to append to stream 'order-3'"):
            store.append_many(
                [Append("order-2", numbered(1), expected_version=0), Append("order-3", [], expected_version=0)]
            )
        assert store.stream_version("order-2") == 0

    def test_events_that_are_neither_an_event_nor_a_list(self, store: EventStore) -> None:
        bad: list[Any] = [None, {"a": 1}, "placed", b"placed", 7, object(), NewEvent]
        for events in bad:
            with pytest.raises(InvalidInput, match="events must be one event or a list of events"):
                store.append("order-1", events, expected_version=0)
            with pytest.raises(InvalidInput, match="events must be one event or a list of events"):
                store.append_many([Append("order-1", events, expected_version=0)])
        assert store.stream_version("order-1") == 0

    def test_appends_that_are_no_list_of_appends(self, store: EventStore) -> None:
        append = Append("order-1", numbered(1), expected_version=0)
        bad: list[Any] = [None, append, "order-1", [append, ("order-2", numbered(1))], [None]]
        for appends in bad:
            with pytest.raises(InvalidInput, match="append_many needs a list of Append"):
                store.append_many(appends)
        assert store.stream_version("order-1") == 0

    def test_atomic_is_true_or_false(self, store: EventStore) -> None:
        for value in (None, 1, "yes"):
            with pytest.raises(InvalidInput, match="atomic"):
                store.append_many([Append("order-1", numbered(1), expected_version=0)], atomic=value)  # type: ignore[call-overload]
        assert store.stream_version("order-1") == 0

    def test_events_that_are_no_events(self, store: EventStore) -> None:
        bad: list[Any] = [{"total": 30}, "placed", None, object()]
        for event in bad:
            with pytest.raises(UnregisteredEventType):
                store.append("order-1", [NewEvent("placed"), event], expected_version=0)
        assert store.stream_version("order-1") == 0

    @pytest.mark.parametrize("event_type", ["", "x" * 256, None, 7, "a\0b", "\ud800"])
    def test_bad_event_types(self, event_type: Any) -> None:
        with pytest.raises(InvalidEvent):
            NewEvent(event_type)

    @pytest.mark.parametrize(
        "options",
        [
            {"event_id": "x"},
            {"event_id": None},
            {"schema_version": 0},
            {"schema_version": True},
            {"schema_version": 2**31},
        ],
    )
    def test_bad_ids_and_schema_versions(self, options: dict[str, Any]) -> None:
        with pytest.raises(InvalidEvent):
            NewEvent("placed", **options)

    def test_one_event_id_twice(self, store: EventStore) -> None:
        event_id = UUID(int=7)
        events = [NewEvent("placed", event_id=event_id), NewEvent("other"), NewEvent("paid", event_id=event_id)]
        with pytest.raises(InvalidInput, match=f"event 2 .* repeats the event id {event_id}"):
            store.append("order-1", events, expected_version=0)
        assert store.stream_version("order-1") == 0

    def test_data_that_cannot_be_encoded(self, store: EventStore) -> None:
        for data, path, value_type in UNENCODABLE:
            events = [NewEvent("fine", {}), NewEvent("broken", data)]
            with pytest.raises(EncodingError) as error:
                store.append("order-1", events, expected_version=0)
            raised = error.value
            assert (raised.index, raised.event_type, raised.path, raised.value_type) == (1, "broken", path, value_type)
            assert SECRET not in str(raised)
        assert store.stream_version("order-1") == 0

    def test_data_that_contains_itself(self, store: EventStore) -> None:
        endless: list[Any] = []
        endless.append(endless)
        with pytest.raises(EncodingError) as error:
            store.append("order-1", [NewEvent("broken", endless)], expected_version=0)
        assert error.value.path == "$[0]"

    def test_bad_metadata(self, store: EventStore) -> None:
        for metadata, path in BAD_METADATA:
            with pytest.raises(InvalidMetadata) as error:
                store.append("order-1", numbered(1), expected_version=0, metadata=metadata)
            assert error.value.path == path
            assert SECRET not in str(error.value)
            with pytest.raises(InvalidMetadata):
                store.append("order-1", [NewEvent("placed", metadata=metadata)], expected_version=0)
        assert store.stream_version("order-1") == 0

    @pytest.mark.parametrize("name", ["after_version", "up_to_version", "limit"])
    def test_bad_ranges(self, store: EventStore, name: str) -> None:
        bad: list[Any] = [-1, True, 1.5, "1", 2**63]
        for value in bad:
            with pytest.raises(InvalidInput, match=name):
                store.read_stream("order-1", **{name: value})
