"""The registry: classes there and back, what can be registered, and what does not fit."""

import threading
import traceback
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import InitVar, dataclass, field, make_dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, Flag, IntEnum, StrEnum
from pathlib import Path
from typing import Annotated, Any, ClassVar, Generic, Literal, NamedTuple, NewType, TypedDict, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import attrs
import msgspec
import pydantic
import pydantic.dataclasses
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore import NO_STREAM, DecodingError, EncodingError, EventStore, EventTypes, NewEvent
from eventstore.codecs import JSONCodec, MessagePackCodec
from eventstore.codecs.payload import PayloadCodec
from eventstore.errors import EventTypeError, EventTypeTaken, InvalidEvent, UnregisteredEventType
from tests.fix_leaks import SECRET

CODECS = [
    PayloadCodec(MessagePackCodec()),
    PayloadCodec(JSONCodec()),
    PayloadCodec(MessagePackCodec(), compress_above=0),
]
each_codec = pytest.mark.parametrize("codec", CODECS, ids=["msgpack", "json", "zstd"])


def there_and_back(codec: PayloadCodec, event: Any) -> Any:
    """Return what a store reads after it has appended the object."""
    event_types = EventTypes()
    event_types.register("event", type(event))
    new = event_types.new_event(event)
    number, data = codec.encode(new.data, typed=event_types.type_of(new.data) is not None)
    return event_types.from_plain(new.event_type, new.schema_version, codec.decode(number, data))


# --- classes there and back


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1


class Unit(StrEnum):
    METRE = "m"


class Rights(Flag):
    READ = 1
    WRITE = 2


class Point(NamedTuple):
    x: int
    y: Decimal


class Address(TypedDict):
    street: str
    number: int


@dataclass(frozen=True)
class Line:
    price: Decimal
    colours: frozenset[Colour] = frozenset()


class Rectangle(msgspec.Struct, frozen=True, tag=True):
    width: int


class Circle(msgspec.Struct, frozen=True, tag="circle"):
    radius: float


class Model(pydantic.BaseModel):
    amount: Decimal
    tags: set[str] = set()


@attrs.frozen
class Weight:
    grams: int = attrs.field(validator=attrs.validators.ge(0))


Money = NewType("Money", Decimal)
T = TypeVar("T")
BERLIN = ZoneInfo("Europe/Berlin")

FIELDS: list[tuple[Any, Any]] = [
    (int, 2**200),
    (int, -1),
    (float, float("inf")),
    (bool, True),
    (str, "NUL \0 and 🦆"),
    (bytes, b"\0\xff"),
    (Decimal, Decimal("1.10")),
    (UUID, UUID(int=7)),
    (datetime, datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=BERLIN)),
    (datetime, datetime(2026, 1, 1)),  # noqa: DTZ001
    (date, date(2026, 2, 28)),
    (time, time(12, tzinfo=BERLIN)),
    (timedelta, timedelta(days=-1, microseconds=1)),
    (Colour, Colour.RED),
    (Level, Level.LOW),
    (Unit, Unit.METRE),
    (Rights, Rights.READ | Rights.WRITE),
    (Colour | None, None),
    (list[Colour], [Colour.RED, Colour.BLUE]),
    (set[Colour], {Colour.RED, Colour.BLUE}),
    (frozenset[int], frozenset({1, 2})),
    (tuple[int, str], (1, "a")),
    (tuple[Line, ...], (Line(Decimal(1)), Line(Decimal(2), frozenset({Colour.RED})))),
    (frozenset[Line], frozenset({Line(Decimal(1)), Line(Decimal(2), frozenset({Colour.RED}))})),
    (set[tuple[Line, int]], {(Line(Decimal(1)), 2)}),
    (frozenset[frozenset[Rectangle]], frozenset({frozenset({Rectangle(1), Rectangle(2)}), frozenset()})),
    (dict[date, UUID], {date(2026, 1, 1): UUID(int=1)}),
    (dict[Colour, list[Line]], {Colour.RED: [Line(Decimal(1))]}),
    (dict[tuple[int, Colour], str], {(1, Colour.RED): "a"}),
    (dict[Point, int], {Point(1, Decimal(2)): 3}),
    (dict[str, Any], {"$set": [1], "b": {"c": (1, {2})}}),
    (Mapping[int, str], {1: "a"}),
    (Sequence[int], [1, 2]),
    (Literal["a", "b"], "b"),
    (Point, Point(1, Decimal("1.5"))),
    (Address, {"street": "Main", "number": 7}),
    (Line, Line(Decimal("0.1"))),
    (Line | None, Line(Decimal("0.1"))),
    (Rectangle | Circle, Circle(1.5)),
    (list[Rectangle | Circle], [Rectangle(1), Circle(2.0)]),
    (Weight, Weight(5)),
    (Model, Model(amount=Decimal("1.10"), tags={"a"})),
    (Model | None, None),
    (list[Model], [Model(amount=Decimal(1)), Model(amount=Decimal(2))]),
    (int | str | None, "a"),
    (Decimal | int, Decimal("1.0")),
    (Annotated[int, msgspec.Meta(ge=0)], 1),
    (Money, Money(Decimal("1.10"))),
    (Any, {"plain": [1, (2,), {3}]}),
]


@each_codec
@pytest.mark.parametrize(("annotation", "value"), FIELDS)
def test_a_field_of_a_dataclass_attrs_class_or_struct(codec: PayloadCodec, annotation: Any, value: Any) -> None:
    makers: list[Callable[[], type]] = [
        lambda: make_dataclass("Event", [("value", annotation)], frozen=True, slots=True),
        lambda: attrs.make_class("Event", {"value": attrs.field(type=annotation)}),
        lambda: msgspec.defstruct("Event", [("value", annotation)]),
        lambda: msgspec.defstruct("Event", [("value", annotation)], array_like=True, tag="e"),
    ]
    for make in makers:
        event = make()(value)
        back = there_and_back(codec, event)
        assert back == event
        assert repr(back) == repr(event) or "set" in str(annotation)  # a set has no order to compare
        assert type(back.value) is type(value)


NOT_FOR_PYDANTIC = ("Rectangle", "Circle", "Weight", "Address", "frozenset[tests.", "set[tuple[tests.")
PYDANTIC_FIELDS = [
    *(each for each in FIELDS if not any(name in str(each[0]) for name in NOT_FOR_PYDANTIC)),
    (datetime | str, "2026-01-01"),
    (tuple[int, ...] | list[int], (1, 2)),
]


@each_codec
@pytest.mark.parametrize(("annotation", "value"), PYDANTIC_FIELDS)
def test_a_field_of_a_pydantic_model(codec: PayloadCodec, annotation: Any, value: Any) -> None:
    event = pydantic.create_model("Event", value=(annotation, ...))(value=value)
    back = there_and_back(codec, event)
    assert back == event
    assert type(back.value) is type(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderPlaced:
    order_id: UUID
    lines: tuple[Line, ...]
    placed_at: datetime
    by_day: dict[date, Decimal] = field(default_factory=dict)
    note: str | None = None
    currency: ClassVar[str] = "EUR"


@dataclass
class Tree:
    value: int
    children: list["Tree"] = field(default_factory=list)


@dataclass
class Computed:
    price: Decimal
    count: int
    total: Decimal = field(init=False)

    def __post_init__(self) -> None:
        self.total = self.price * self.count


@dataclass
class Box(Generic[T]):
    content: T


def loud(text: str) -> str:
    return text.upper()


@attrs.define(slots=True)
class Shipped:
    _secret: int
    weight: Weight
    parts: list[Weight] = attrs.field(factory=list)
    carrier: str = attrs.field(alias="by", default="post", converter=loud)


class Renamed(
    msgspec.Struct, rename="camel", forbid_unknown_fields=True, tag_field="kind", tag="renamed", kw_only=True
):
    order_id: int
    total_price: Decimal = Decimal(0)
    unset: int | msgspec.UnsetType = msgspec.UNSET
    renamed: str = msgspec.field(name="x", default="")


class Inner(pydantic.BaseModel):
    value: int = pydantic.Field(alias="innerValue")


class Outer(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", strict=True)

    order_id: int = pydantic.Field(validation_alias="id", serialization_alias="orderId")
    inner: Inner
    inners: dict[Colour, list[Inner]] = {}
    colour: Colour = Colour.RED
    moment: datetime | None = None

    @pydantic.computed_field
    def twice(self) -> int:
        return 2 * self.order_id

    @pydantic.field_serializer("order_id", when_used="json")
    def as_text(self, value: int) -> str:
        return str(value)


class WithPrivate(pydantic.BaseModel):
    value: int
    _cache: int = pydantic.PrivateAttr(default=5)


class Numbers(pydantic.RootModel[list[int]]):
    pass


class Open(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")


@pydantic.dataclasses.dataclass
class Validated:
    value: int
    others: list[int] = pydantic.Field(default_factory=list)


EVENTS: list[Any] = [
    OrderPlaced(order_id=UUID(int=1), lines=(Line(Decimal("1.10")),), placed_at=datetime(2026, 1, 1, tzinfo=UTC)),
    Tree(1, [Tree(2), Tree(3, [Tree(4)])]),
    Computed(Decimal("1.10"), 3),
    Box({"a": [1]}),
    Shipped(secret=1, weight=Weight(5), parts=[Weight(2)], by="dhl"),
    Renamed(order_id=1, renamed="y"),
    Renamed(order_id=1, unset=5),
    Outer.model_validate(
        {
            "id": 1,
            "inner": Inner(innerValue=2),
            "inners": {Colour.BLUE: [Inner(innerValue=3)]},
            "moment": datetime(2026, 1, 1, tzinfo=BERLIN),
        }
    ),
    WithPrivate(value=1),
    Numbers([1, 2]),
    Open.model_validate({"more": {"a": (1, 2)}}),
    Validated(1, [2]),
]


@each_codec
@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_comes_back(codec: PayloadCodec, event: Any) -> None:
    back = there_and_back(codec, event)
    assert back == event
    assert type(back) is type(event)
    assert repr(back) == repr(event)


events = st.builds(
    OrderPlaced,
    order_id=st.uuids(),
    lines=st.lists(st.builds(Line, st.decimals(allow_nan=False), st.frozensets(st.sampled_from(Colour)))).map(tuple),
    placed_at=st.datetimes(timezones=st.timezones() | st.none()),
    by_day=st.dictionaries(st.dates(), st.decimals(allow_nan=False)),
    note=st.none() | st.text(),
)


@pytest.mark.slow
@each_codec
@given(event=events)
def test_any_event_comes_back(codec: PayloadCodec, event: OrderPlaced) -> None:
    back = there_and_back(codec, event)
    assert back == event
    assert repr(back.placed_at) == repr(event.placed_at)


def test_what_is_stored() -> None:
    """Names of fields, never of classes: what is in the database is plain data."""
    plain = [CODECS[0].decode(*CODECS[0].encode(event, typed=True)) for event in EVENTS]
    assert plain[0] == {
        "order_id": UUID(int=1),
        "lines": ({"price": Decimal("1.10"), "colours": frozenset()},),
        "placed_at": datetime(2026, 1, 1, tzinfo=UTC),
        "by_day": {},
        "note": None,
    }
    assert plain[4] == {"_secret": 1, "weight": {"grams": 5}, "parts": [{"grams": 2}], "carrier": "DHL"}
    assert plain[5] == {"kind": "renamed", "orderId": 1, "totalPrice": Decimal(0), "x": "y"}
    assert plain[7]["order_id"] == 1
    assert plain[7]["inners"] == {"blue": [{"value": 3}]}
    assert set(plain[7]) == {"order_id", "inner", "inners", "colour", "moment"}
    assert plain[8] == {"value": 1}
    assert plain[9] == [1, 2]


@each_codec
def test_missing_fields_take_their_defaults_and_unknown_ones_are_ignored(codec: PayloadCodec) -> None:
    event_types = EventTypes()
    for name, cls in {"dataclass": Line, "attrs": Shipped, "pydantic": Model, "validated": Validated}.items():
        event_types.register(name, cls)
    weight = {"grams": 1}
    stored = [
        ("dataclass", {"price": Decimal(1), "later": 1}, Line(Decimal(1))),
        ("attrs", {"_secret": 1, "weight": weight}, Shipped(1, Weight(1))),
        ("pydantic", {"amount": Decimal(1), "later": 1}, Model(amount=Decimal(1))),
        ("validated", {"value": 1}, Validated(1, [])),
    ]
    for name, data, expected in stored:
        back = event_types.from_plain(name, 1, codec.decode(*codec.encode(data)))
        assert str(back).upper() == str(expected).upper()


# --- registering


def test_the_decorator_and_the_function_return_the_class() -> None:
    event_types = EventTypes()

    @event_types.register("decorated", schema_version=3)
    @dataclass
    class Decorated:
        value: int

    returned = event_types.register("called", Line)
    assert returned is Line
    price: Decimal = returned(Decimal(1)).price  # mypy knows the class
    value: int = Decorated(1).value
    assert [price, value] == [1, 1]
    new = event_types.new_event(Decorated(1))
    assert (new.event_type, new.schema_version, new.data, new.metadata) == ("decorated", 3, Decorated(1), None)
    new = event_types.new_event(Line(Decimal(1)), event_id=UUID(int=5), metadata={"a": 1})
    assert (new.event_type, new.event_id, new.metadata) == ("called", UUID(int=5), {"a": 1})
    assert event_types.type_of(Line(Decimal(1))) is not None
    assert event_types.type_of(Line) is None
    assert event_types.type_of(NewEvent("called")) is None


def test_an_unregistered_class() -> None:
    class Heir(Line):
        pass

    event_types = EventTypes()
    event_types.register("line", Line)
    for event in (Heir(Decimal(1)), Weight(1), object(), {"price": 1}, None):
        with pytest.raises(UnregisteredEventType) as error:
            event_types.new_event(event)
        assert error.value.class_name == type(event).__qualname__


def test_one_object_of_an_unregistered_class_is_named_by_its_class() -> None:
    class Empty(pydantic.BaseModel):
        pass

    store = EventStore.in_memory()
    for event in (Model(amount=Decimal(1)), Empty(), Line(Decimal(1)), Weight(1), Circle(1.0)):  # models are iterable
        with pytest.raises(UnregisteredEventType) as error:
            store.append("line-1", event, expected_version=NO_STREAM)
        assert error.value.class_name == type(event).__qualname__


def test_a_class_has_one_name_and_a_name_one_class() -> None:
    event_types = EventTypes()
    event_types.register("line", Line, schema_version=2)
    with pytest.raises(
        EventTypeTaken, match="Line is already registered as 'line' with schema version 2, so it can't be 'row'"
    ):
        event_types.register("row", Line, schema_version=2)
    with pytest.raises(EventTypeTaken, match="it can't be 'line' with 3, too"):
        event_types.register("line", Line, schema_version=3)
    with pytest.raises(
        EventTypeTaken, match="the event type 'line' belongs to Line; register Weight under another name"
    ):
        event_types.register("line", Weight)
    event_types.register("line", Line, schema_version=2)
    assert event_types.new_event(Line(Decimal(1))).schema_version == 2
    assert event_types.type_of(Weight(1)) is None


def test_two_classes_of_the_same_name_elsewhere_than_in_a_notebook() -> None:
    def make() -> type:
        @dataclass
        class Placed:
            value: int

        return Placed

    event_types = EventTypes()
    event_types.register("placed", make())
    with pytest.raises(EventTypeTaken):
        event_types.register("placed", make())


def test_a_cell_of_a_notebook_may_be_run_again() -> None:
    event_types = EventTypes()
    cell = "@event_types.register('placed')\n@dataclass\nclass Placed:\n    value: {}"
    notebook: dict[str, Any] = {"__name__": "__main__", "event_types": event_types, "dataclass": dataclass}
    exec(cell.format("int"), notebook)  # noqa: S102  # as a notebook does
    first = notebook["Placed"](1)
    exec(cell.format("str"), notebook)  # noqa: S102
    second = notebook["Placed"]("a")
    assert event_types.from_plain("placed", 1, {"value": "b"}) == notebook["Placed"]("b")
    assert event_types.new_event(second).event_type == "placed"
    assert event_types.type_of(first) is None


@pytest.mark.parametrize("name", ["", "x" * 256, None, 7, "a\0b", "\ud800", Line])
def test_bad_names(name: Any) -> None:
    with pytest.raises(InvalidEvent):
        EventTypes().register(name, Line)
    with pytest.raises(InvalidEvent):
        EventTypes().register(name)


@pytest.mark.parametrize("schema_version", [0, -1, True, 2**31, "1", None])
def test_bad_schema_versions(schema_version: Any) -> None:
    with pytest.raises(InvalidEvent):
        EventTypes().register("line", Line, schema_version=schema_version)


class Ordinary:
    value: int


@pytest.mark.parametrize("cls", [Ordinary, int, dict, Point, Address, Colour, Line(Decimal(1)), "Line", Box[int], 7])
def test_what_is_no_event_class(cls: Any) -> None:
    with pytest.raises(EventTypeError, match="is not a dataclass, attrs class, msgspec Struct or pydantic model"):
        EventTypes().register("event", cls)


class Text(str):
    __slots__ = ()


class Measured(Enum):
    HALF = 0.5


UNSUPPORTED: list[tuple[Any, str]] = [
    (Ordinary, "Ordinary is not supported"),
    (list[Ordinary | None], "Ordinary is not supported"),
    (OrderedDict[str, int], "OrderedDict is not supported"),
    (deque[int], "deque is not supported"),
    (Text, "Text is not supported"),
    (complex, "complex is not supported"),
    (Path, "Path is not supported"),
    (Iterable[int], "Iterable is not supported"),
    (dict[Line, int], "the keys of a dict can't be objects with fields"),
    (list[dict[tuple[Rectangle, int], str]], "the keys of a dict can't be objects with fields"),
    (dict[Model, int], "the keys of a dict can't be objects with fields"),
    (Line | Weight, "may not contain more than one dataclass or attrs type"),
    (datetime | str, "may not contain more than one str-like type"),
    (list[int] | tuple[int, ...], "may not contain more than one array-like"),
    (Measured, "Enums must contain either all str or all int values"),
    (Literal[1.5], "Literal may only contain"),
]


@pytest.mark.parametrize(("annotation", "problem"), UNSUPPORTED)
def test_a_field_that_could_not_be_brought_back_is_found_at_registration(annotation: Any, problem: str) -> None:
    inner = make_dataclass("Inner", [("value", annotation)])
    classes = [
        make_dataclass("Event", [("value", annotation)]),
        make_dataclass("Event", [("inner", list[inner])]),  # type: ignore[valid-type]  # made at runtime
        attrs.make_class("Event", {"value": attrs.field(type=annotation)}),
    ]
    for cls in classes:
        event_types = EventTypes()
        with pytest.raises(EventTypeError, match="Event has a field whose type can't be restored: ") as error:
            event_types.register("event", cls)
        assert problem in str(error.value)
        event_types.register("event", Line)  # nothing was kept


def test_other_oddities_are_found_at_registration() -> None:
    @dataclass
    class WithInitVar:
        value: InitVar[int]

    @attrs.define
    class WithOwnDefault:
        first: int
        second: int = attrs.Factory(lambda self: self.first, takes_self=True)

    untyped = attrs.make_class("Untyped", ["value"])
    for cls in (WithInitVar, WithOwnDefault, untyped):
        with pytest.raises(EventTypeError, match="has a field whose type can't be restored"):
            EventTypes().register("event", cls)


def test_an_old_pydantic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pydantic, "VERSION", "2.10.6")
    with pytest.raises(EventTypeError, match=r"Model needs pydantic 2.11 or newer; this is 2.10.6"):
        EventTypes().register("model", Model)


def test_annotations_that_name_what_is_defined_later() -> None:
    namespace: dict[str, Any] = {"__name__": __name__, "dataclass": dataclass}
    event_types = EventTypes()
    later = {"Later": "int", "Unsupported": "complex"}
    for name in [*later, "Never"]:
        exec(f"@dataclass\nclass Has{name}:\n    value: '{name}'", namespace)  # noqa: S102
        event_types.register(name, namespace[f"Has{name}"])
    with pytest.raises(
        EventTypeError, match=r"an annotation of HasLater uses a name that is not defined: name 'Later'"
    ):
        event_types.new_event(namespace["HasLater"](1))
    with pytest.raises(DecodingError, match=r"the stored data does not fit the class HasLater \(NameError\)"):
        event_types.from_plain("Later", 1, {"value": 1})
    for name, annotation in later.items():
        globals()[name] = eval(annotation)  # noqa: S307  # where msgspec looks: in the module
    try:
        event = namespace["HasLater"](1)
        assert event_types.from_plain("Later", 1, {"value": event_types.new_event(event).data.value}) == event
        assert event_types.new_event(event).event_type == "Later"
        with pytest.raises(EventTypeError, match="complex is not supported"):
            event_types.new_event(namespace["HasUnsupported"](1))
    finally:
        for name in later:
            del globals()[name]


# --- data that does not fit


@dataclass
class Strict:
    value: int
    lines: list[Line] = field(default_factory=list)
    by_colour: dict[Colour, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.value == 13:
            raise ValueError(SECRET)
        if self.value == 14:
            raise KeyError(SECRET)


class StrictModel(pydantic.BaseModel):
    value: int
    lines: list[Inner] = []

    @pydantic.field_validator("value")
    @classmethod
    def check(cls, value: int) -> int:
        if value == 13:
            raise ValueError(SECRET)
        if value == 14:
            raise KeyError(SECRET)
        return value


MISFITS: list[tuple[Any, str]] = [
    ({"value": SECRET}, " at $.value"),
    ({}, " at $.value, which is missing"),
    ({"value": 1, "lines": [{"price": Decimal(1)}, {}]}, " at $.lines[1].price, which is missing"),
    (None, ""),
    (SECRET, ""),
    ({"value": 1, "lines": [{"price": Decimal(1)}, {"price": [SECRET]}]}, " at $.lines[1].price"),
    ({"value": 1, "by_colour": {SECRET: 1}}, " at $.by_colour"),
    ({"value": 1, "by_colour": {"red": SECRET}}, " at $.by_colour[...]"),
    ({"value": 13}, ""),
    ({"value": 14}, ""),
]
MODEL_MISFITS: list[tuple[Any, str]] = [
    ({"value": SECRET}, " at $.value"),
    ({}, " at $.value, which is missing"),
    (SECRET, " at $"),
    ({"value": SECRET, "lines": [{"value": 1}, {"value": SECRET}]}, " at $.value, $.lines[1].value"),
    ({"value": 13}, " at $.value"),
    ({"value": 14}, ""),
]


@pytest.mark.parametrize(
    ("cls", "data", "place"),
    [*((Strict, *misfit) for misfit in MISFITS), *((StrictModel, *misfit) for misfit in MODEL_MISFITS)],
)
def test_data_that_does_not_fit_is_named_without_its_value(cls: type, data: Any, place: str) -> None:
    event_types = EventTypes()
    event_types.register("event", cls)
    with pytest.raises(DecodingError) as error:
        event_types.from_plain("event", 1, data)
    assert error.value.problem.startswith(f"the stored data does not fit the class {cls.__name__}{place}")
    assert error.value.path == (place.removeprefix(" at ").split(",")[0] or None)
    assert SECRET not in "".join(traceback.format_exception(error.value))
    assert error.value.__cause__ is None
    assert error.value.__suppress_context__


def test_another_schema_version_names_both() -> None:
    event_types = EventTypes()
    event_types.register("line", Line, schema_version=2)
    with pytest.raises(DecodingError, match="stored with schema version 1, from which no upcaster leads to 2"):
        event_types.from_plain("line", 1, {"price": Decimal(1)})


def test_an_event_type_without_a_class_stays_plain() -> None:
    data = {"a": (1, 2)}
    assert EventTypes().from_plain("other", 7, data) is data


# --- objects that are not what their annotations say


@dataclass
class Annotated_:  # noqa: N801
    whole: int = 0
    real: float = 0.0
    pair: tuple[int, ...] = ()
    text: str = ""
    line: Line | None = None
    anything: Any = None


@pytest.mark.parametrize(
    ("field_name", "value", "place"),
    [
        ("whole", "1", "$.whole"),
        ("whole", 1.5, "$.whole"),
        ("text", b"a", "$.text"),
        ("line", Weight(1), "$.line"),
        ("real", "1", "$.real"),
    ],
)
@each_codec
def test_a_wrong_value_is_found_when_it_is_read(codec: PayloadCodec, field_name: str, value: Any, place: str) -> None:
    event = Annotated_(**{field_name: value})
    with pytest.raises(DecodingError, match=r"does not fit the class Annotated_ at ") as error:
        there_and_back(codec, event)
    assert place in str(error.value)


@each_codec
def test_an_almost_right_value_becomes_what_the_annotation_says(codec: PayloadCodec) -> None:
    back = there_and_back(codec, Annotated_(real=1, pair=[1, 2], anything=Line(Decimal(1))))  # type: ignore[arg-type]  # on purpose
    assert (back.real, back.pair) == (1.0, (1, 2))
    assert type(back.real) is float
    assert back.anything == {"price": Decimal(1), "colours": frozenset()}


@each_codec
def test_an_object_whose_field_cannot_be_encoded(codec: PayloadCodec) -> None:
    event_types = EventTypes()
    event_types.register("renamed", Renamed)
    event_types.register("order", OrderPlaced)
    wrong: Any = 1j
    lines = (Line(Decimal(1)), Line(wrong))
    order = OrderPlaced(order_id=UUID(int=1), lines=lines, placed_at=datetime(2026, 1, 1, tzinfo=UTC))
    for event, path, value_type in [
        (order, "$.lines[1].price", "complex"),
        (Renamed(order_id=1, total_price=wrong), "$.totalPrice", "complex"),
        (Model.model_construct(amount=f"{SECRET}\ud800", tags={"a"}), "$.amount", "str"),
        (Model.model_construct(tags=[1j]), "$.tags[0]", "complex"),
    ]:
        with pytest.raises(EncodingError) as error:
            codec.encode(event, typed=True, index=0, event_type="e")
        assert (error.value.path, error.value.value_type) == (path, value_type)
        assert SECRET not in str(error.value)


def test_a_set_of_pydantic_models_is_refused_when_it_is_written() -> None:
    """Pydantic itself can't dump it."""

    class Frozen(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(frozen=True)
        value: int

    class Group(pydantic.BaseModel):
        members: frozenset[Frozen]

    with pytest.raises(EncodingError) as error:
        CODECS[0].encode(Group(members=frozenset({Frozen(value=1)})), typed=True)
    assert error.value.path == "$"


# --- threads


@pytest.mark.slow
def test_many_threads_read_while_one_registers() -> None:
    event_types = EventTypes()
    event_types.register("line", Line)
    number, data = CODECS[0].encode(Line(Decimal(1)), typed=True)
    failures: list[BaseException] = []
    done = threading.Event()

    def read() -> None:
        try:
            while not done.is_set():
                new = event_types.new_event(Line(Decimal(1)))
                assert event_types.from_plain(new.event_type, 1, CODECS[0].decode(number, data)) == Line(Decimal(1))
        except BaseException as error:  # noqa: BLE001  # shown by the main thread
            failures.append(error)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for index in range(200):
        event_types.register(f"event-{index}", make_dataclass(f"Event{index}", [("value", int)]))
    done.set()
    for thread in threads:
        thread.join()
    assert failures == []
