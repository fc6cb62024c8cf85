"""Values: data and metadata are read exactly as they were given, with either codec."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from eventstore import EncodingError, EventStore, EventTypes, NewEvent
from eventstore.codecs import Codec, JSONCodec, MessagePackCodec
from eventstore.errors import InvalidEvent
from eventstore.testing._base import ContractBase, MakeStore

VALUES: list[Any] = [
    None,
    True,
    0,
    -(2**200),
    2**64,
    1.5,
    "",
    "NUL \0 inside, and 🦆",
    b"\0\xff",
    datetime(2026, 3, 1, 12, 30, 0, 123456),  # noqa: DTZ001  # without a zone, on purpose
    datetime(2026, 3, 1, 12, tzinfo=UTC),
    datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin")),
    datetime(1890, 1, 1, tzinfo=timezone(timedelta(minutes=53, seconds=28))),
    date(2026, 2, 28),
    time(23, 59, 59, 999999),
    timedelta(days=-1, microseconds=1),
    Decimal("1.10"),
    Decimal("-0"),
    UUID(int=2**127),
    [1, [2, []]],
    (1, (2, ())),
    {1, 2, 3},
    frozenset({"a", (1, 2)}),
    {"a": {"b": [Decimal("0.1"), {1: {2: 3}}]}, "": None},
    {(1, 2): {"x"}, 7: date(2026, 1, 1), "$set": [1]},
    {"$decimal": "1.5"},
]


class Colour(Enum):
    """An enum in a typed event."""

    RED = "red"


@dataclass(frozen=True)
class Line:
    """A part of a typed event."""

    price: Decimal
    colours: frozenset[Colour]


@dataclass(frozen=True)
class OrderPlaced:
    """A typed event."""

    lines: tuple[Line, ...]
    placed_at: datetime
    by_day: dict[date, UUID]
    note: str | None = None


class Name(str, Enum):  # noqa: UP042  # a str and an Enum, unlike a StrEnum
    """Texts that an application defines as an enum."""

    FREE = "free"


@dataclass(frozen=True)
class SaleLine(Line):
    """A subclass of `Line` with another field, for a field that is declared as `Line`."""

    rebate: int = 10


@dataclass(frozen=True)
class OrderPriced:
    """A typed event whose fields accept more than they return."""

    line: Line | None = None
    weight: float = 1.0
    note: str = ""
    more: Any = None
    price: Decimal = Decimal(0)


class ValueContract(ContractBase):
    """The contract of values."""

    @pytest.fixture(params=[MessagePackCodec, JSONCodec])
    def codec(self, request: pytest.FixtureRequest) -> Codec:
        """Return each codec of the package."""
        codec: Codec = request.param()
        return codec

    def test_values_come_back_exactly(self, make_store: MakeStore, codec: Codec) -> None:
        store = make_store(codec=codec)
        store.append("values-1", [NewEvent("kept", value) for value in VALUES], expected_version=0)
        for value, event in zip(VALUES, store.read_stream("values-1"), strict=True):
            assert event.data == value
            assert repr(event.data) == repr(value) or isinstance(value, set | frozenset)

    @pytest.mark.parametrize("compress_above", [None, 0])
    def test_a_typed_event_comes_back_as_its_class(
        self, make_store: MakeStore, codec: Codec, compress_above: int | None
    ) -> None:
        event_types = EventTypes()
        event_types.register("order-placed", OrderPlaced, schema_version=2, oldest_version=2)
        store = make_store(event_types=event_types, codec=codec, compress_above=compress_above)
        placed = OrderPlaced(
            lines=(Line(Decimal("1.10"), frozenset({Colour.RED})),) * 50,
            placed_at=datetime(2026, 3, 1, tzinfo=ZoneInfo("Europe/Berlin")),
            by_day={date(2026, 3, 1): UUID(int=1)},
        )
        store.append("order-1", [placed, NewEvent("untyped", {"a": 1})], expected_version=0)
        typed, untyped = store.read_stream("order-1")
        assert (typed.event_type, typed.schema_version, typed.data) == ("order-placed", 2, placed)
        assert untyped.data == {"a": 1}

    def test_a_typed_event_that_could_not_be_read_back_is_not_written(
        self, make_store: MakeStore, codec: Codec
    ) -> None:
        event_types = EventTypes()
        event_types.register("order-placed", OrderPlaced)
        store = make_store(event_types=event_types, codec=codec)
        wrong = OrderPlaced(lines=(), placed_at="tomorrow", by_day={})  # type: ignore[arg-type]  # as dataclasses allow
        fine = OrderPlaced(lines=(), placed_at=datetime(2026, 3, 1, tzinfo=UTC), by_day={})
        with pytest.raises(EncodingError) as error:
            store.append("order-1", [fine, wrong], expected_version=0)
        assert (error.value.index, error.value.event_type) == (1, "order-placed")
        assert "$.placed_at" in str(error.value)
        assert "tomorrow" not in str(error.value)
        assert store.stream_version("order-1") == 0

    def test_a_typed_event_that_would_come_back_changed_is_not_written(
        self, make_store: MakeStore, codec: Codec
    ) -> None:
        event_types = EventTypes()
        event_types.register("order-priced", OrderPriced)
        store = make_store(event_types=event_types, codec=codec)
        wrong: dict[str, tuple[Any, str]] = {
            "$.line": (OrderPriced(SaleLine(Decimal(1), frozenset())), "SaleLine, is read back as Line"),
            "$.weight": (OrderPriced(weight=2), "int, is read back as float"),
            "$.note": (OrderPriced(note=Name.FREE), "Name, is read back as str"),
            "$.more[0]": (OrderPriced(more=[Colour.RED]), "Colour, is read back as str"),
            "$.price": (OrderPriced(price="1.10"), "str, is read back as Decimal"),  # type: ignore[arg-type]  # as dataclasses allow
        }
        for path, (event, problem) in wrong.items():
            with pytest.raises(EncodingError, match=problem) as error:
                store.append("order-1", [OrderPriced(), event], expected_version=0)
            assert (error.value.index, error.value.event_type, error.value.path) == (1, "order-priced", path)
        assert store.stream_version("order-1") == 0
        fine = OrderPriced(Line(Decimal("1.10"), frozenset({Colour.RED})), float("nan"), "text", [1, ("a", {2})])
        store.append("order-1", [fine], expected_version=0)
        assert repr(next(store.read_stream("order-1")).data) == repr(fine)

    def test_a_class_goes_under_its_own_name_and_version(self, make_store: MakeStore) -> None:
        event_types = EventTypes()
        event_types.register("order-placed", OrderPlaced, schema_version=2, oldest_version=2)
        store = make_store(event_types=event_types)
        placed = OrderPlaced(lines=(), placed_at=datetime(2026, 3, 1, tzinfo=UTC), by_day={})
        for event in (NewEvent("order-paid", placed, schema_version=2), NewEvent("order-placed", placed)):
            with pytest.raises(InvalidEvent, match="use EventTypes"):
                store.append("order-1", [event], expected_version=0)
        event = event_types.new_event(placed, metadata={"user": 7})
        store.append("order-1", [event], expected_version=0)
        assert store.append("order-1", [event], expected_version=0).duplicate
        assert next(store.read_stream("order-1")).metadata == {"user": 7}

    def test_each_row_remembers_its_codec(self, make_store: MakeStore) -> None:
        stores = [
            make_store(codec=MessagePackCodec()),
            make_store(codec=JSONCodec()),
            make_store(codec=JSONCodec(), compress_above=10),
        ]
        for version, store in enumerate(stores):
            store.append(
                "values-1", [NewEvent("kept", {"text": "x" * 1000, "is": {version}})], expected_version=version
            )
        for store in stores:
            assert [event.data["is"] for event in store.read_stream("values-1")] == [{0}, {1}, {2}]

    def test_metadata_comes_back(self, store: EventStore) -> None:
        metadata = {"user": 7, "list": [1, "a", None, True, {"x": 1.5}], "text": "ü 🦆 \"'\\ %s :x", "": {}}
        events = [NewEvent("plain"), NewEvent("own", metadata={"user": 8, "more": 1})]
        store.append("values-1", events, expected_version=0, metadata=metadata)
        store.append("values-1", [NewEvent("none")], expected_version=2)
        plain, own, none = store.read_stream("values-1")
        assert plain.metadata == metadata
        assert own.metadata == {**metadata, "user": 8, "more": 1}
        assert none.metadata == {}
