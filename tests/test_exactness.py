"""What is read is what was given, of the same class, or the append refuses it, names the field and writes nothing."""

import dataclasses
import itertools
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, make_dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from types import GenericAlias
from typing import Annotated, Any, Literal, NamedTuple, TypedDict
from uuid import UUID
from zoneinfo import ZoneInfo

import attrs
import msgspec
import pydantic
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from eventstore import EncodingError, EventStore, EventTypes, NewEvent, RecordedEvent, Repository
from eventstore.codecs import Codec, JSONCodec, MessagePackCodec
from eventstore.codecs.payload import PayloadCodec
from eventstore.errors import EventTypeError, UnregisteredEventType
from eventstore.events import Append
from eventstore.repository import SnapshotCounts, always
from eventstore.repository.states import state_codec
from eventstore.rows.mapper import EventMapper

CODECS: list[Codec] = [MessagePackCodec(), JSONCodec()]
names = itertools.count()


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1


class Kind(str, Enum):  # noqa: UP042  # a str, and yet none
    ORDER = "order"


class Text(str):
    __slots__ = ()


class Moment(datetime):
    """As a clock that is stopped in tests makes them."""


class Address(TypedDict):
    street: str


class Point(NamedTuple):
    x: int
    y: float


@dataclass(frozen=True)
class Payment:
    amount: Decimal


@dataclass(frozen=True)
class CardPayment(Payment):
    card: str = "1"


@attrs.frozen
class AttrsPayment:
    amount: Decimal


@attrs.frozen
class AttrsCardPayment(AttrsPayment):
    card: str = "1"


class StructPayment(msgspec.Struct, frozen=True):
    amount: Decimal


class StructCardPayment(StructPayment, frozen=True):
    card: str = "1"


class Model(pydantic.BaseModel):
    amount: Decimal


class CardModel(Model):
    card: str = "1"


class Cat(pydantic.BaseModel):
    name: str


class Fox(pydantic.BaseModel):
    name: str


class Square(msgspec.Struct, frozen=True, tag=True):
    side: float


class Circle(msgspec.Struct, frozen=True, tag=True):
    radius: float


def difference_of(event: Any, codec: Codec) -> tuple[str, str] | None:
    """Return the path and the problem of the refusal; None if the event is accepted, and what is read is it."""
    try:
        read = there_and_back(event, codec)
    except EncodingError as error:
        return error.path, error.problem
    assert described(read) == described(event)
    return None


def there_and_back(event: Any, codec: Codec) -> Any:
    """Return what a store reads after it has appended the object."""
    event_types = EventTypes()
    event_types.register("event", type(event))
    mapper = EventMapper(event_types, PayloadCodec(codec))
    pending = mapper.pending(Append("a-1", [event], expected_version=0))
    row = (1, "a-1", 1, UUID(int=1), "event", 1, pending.codecs[0], pending.data[0], None, datetime.now(UTC))
    (recorded,) = mapper.recorded([row], lambda value: value, lambda value: value)
    return recorded.data


def described(value: Any) -> Any:
    """Return all that must be the same, in another way than the store finds it: classes, fields, texts of leaves."""
    cls: Any = type(value)
    if isinstance(value, Enum):
        return (cls, value.name)
    fields = declared(value)
    if fields is not None:
        return (cls, {name: described(part) for name, part in fields.items()})
    if isinstance(value, list | tuple):
        return (cls, [described(part) for part in value])
    if isinstance(value, set | frozenset | dict):
        members = value.items() if isinstance(value, dict) else value
        return (cls, sorted(map(described, members), key=repr))
    return leaf(value)


def declared(value: Any) -> dict[str, Any] | None:
    """Return the fields that the class of an object declares."""
    cls: Any = type(value)
    if isinstance(value, pydantic.BaseModel):
        return {name: value.__dict__.get(name) for name in cls.model_fields} | (value.__pydantic_extra__ or {})
    if dataclasses.is_dataclass(cls):
        return {each.name: getattr(value, each.name, None) for each in dataclasses.fields(cls)}
    if attrs.has(cls):
        return {each.name: getattr(value, each.name, None) for each in attrs.fields(cls)}
    names = getattr(cls, "_fields", None) or getattr(cls, "__struct_fields__", None)
    return names and {name: getattr(value, name, None) for name in names}


def leaf(value: Any) -> Any:
    """Return a leaf as the type that it stands for, and its text."""
    for base in (str, bool, int, float, bytes, Decimal, datetime, date, timedelta, UUID):
        if isinstance(value, base):
            zone = getattr(getattr(value, "tzinfo", None), "key", None)
            return (base, datetime.isoformat(value) if isinstance(value, datetime) else base.__repr__(value), zone)
    return (type(value), repr(value))


# --- one by one


@dataclass
class Taken:
    """Fields that take more than they bring back."""

    real: float = 1.0
    data: bytes = b""
    text: str = ""
    price: Decimal = Decimal(0)
    at: datetime | None = None
    payment: Payment | None = None
    attrs_payment: AttrsPayment | None = None
    struct_payment: StructPayment | None = None
    model: Model | None = None
    of_either: Square | Circle | None = None
    several: list[Any] = field(default_factory=list)
    pair: tuple[Any, ...] = ()
    unlike: set[Any] = field(default_factory=set)
    address: Address | None = None
    by_name: dict[str, Any] = field(default_factory=dict)
    by_unit: dict[Colour, int] = field(default_factory=dict)
    hidden: float = field(default=0.0, compare=False, repr=False)
    level: Level = Level.LOW
    anything: Any = None


CHANGED: list[tuple[str, Any, str, str]] = [
    ("real", 1, "$.real", "is read back as float"),
    ("real", 2**60 + 1, "$.real", "is read back as float"),
    ("hidden", 5, "$.hidden", "is read back as float"),
    ("data", "aGk=", "$.data", "is read back as bytes"),
    ("text", Kind.ORDER, "$.text", "is read back as str"),
    ("price", "1.10", "$.price", "is read back as Decimal"),
    ("price", 1.5, "$.price", "is read back as Decimal"),
    ("at", "2026-03-01T00:00:00", "$.at", "is read back as datetime"),
    ("payment", CardPayment(Decimal(1)), "$.payment", "is read back as Payment"),
    ("attrs_payment", AttrsCardPayment(Decimal(1)), "$.attrs_payment", "is read back as AttrsPayment"),
    ("struct_payment", StructCardPayment(Decimal(1)), "$.struct_payment", "is read back as StructPayment"),
    ("payment", StructPayment(Decimal(1)), "$.payment", "is read back as Payment"),
    ("payment", {"amount": Decimal(1)}, "$.payment", "is read back as Payment"),
    ("model", CardModel(amount=Decimal(1)), "$.model", "is read back as Model"),
    ("of_either", Square(1), "$.of_either.side", "is read back as float"),
    ("several", (1,), "$.several", "is read back as list"),
    ("several", [1, Payment(Decimal(1))], "$.several[1]", "is read back as dict"),
    ("several", [Point(1, 2.0)], "$.several[0]", "is read back as tuple"),
    ("pair", [1], "$.pair", "is read back as tuple"),
    ("unlike", frozenset({1}), "$.unlike", "is read back as set"),
    ("address", {"street": "a", "city": "b"}, "$.address.city", "is not read back"),
    ("by_name", OrderedDict(a=1), "$.by_name", "is read back as dict"),
    ("by_name", defaultdict(int, a=1), "$.by_name", "is read back as dict"),
    ("by_name", {"a": [Colour.RED]}, "$.by_name.a[0]", "is read back as str"),
    ("by_unit", {"red": 1}, "$.by_unit[key of type str]", "is read back as Colour"),
    ("level", 1, "$.level", "is read back as Level"),
    ("anything", Colour.RED, "$.anything", "is read back as str"),
    ("anything", Counter("a"), "$.anything", "is read back as dict"),
]


@pytest.mark.parametrize(("name", "value", "path", "problem"), CHANGED)
def test_a_field_that_would_come_back_changed_is_named(name: str, value: Any, path: str, problem: str) -> None:
    for codec in CODECS:
        found = difference_of(Taken(**{name: value}), codec)
        assert found is not None
        assert found[0] == path
        assert found[1].startswith(problem)


KEPT: list[tuple[str, Any]] = [
    ("real", float("nan")),
    ("real", -0.0),
    ("text", Text("a")),
    ("price", Decimal("sNaN")),
    ("price", Decimal("1.00")),
    ("at", Moment(2026, 3, 1, tzinfo=UTC)),
    ("at", datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin"))),
    ("data", bytearray(b"a")),
    ("payment", Payment(Decimal("1.0"))),
    ("of_either", Circle(2.0)),
    ("several", [1, True, 1.0, (1, 2), {1, 2}, frozenset()]),
    ("unlike", {1, "a", (2, 3), frozenset({4})}),
    ("address", {"street": "a"}),
    ("by_name", {"b": 1, "a": float("nan")}),
    ("by_unit", {Colour.RED: 1, Colour.BLUE: 2}),
    ("anything", {1: {"$decimal": "1"}, (1, 2): None}),
]


@pytest.mark.parametrize(("name", "value"), KEPT)
def test_a_field_that_comes_back_is_kept(name: str, value: Any) -> None:
    for codec in CODECS:
        if name == "data":  # bytes are what it stands for
            assert there_and_back(Taken(data=value), codec).data == b"a"
        else:
            assert difference_of(Taken(**{name: value}), codec) is None


class Louder(pydantic.BaseModel):
    """Each time that one is made, it is made of something else."""

    text: str = ""
    either: Cat | Fox | None = None
    kept_back: int = pydantic.Field(default=0, exclude=True)
    seen: list[int] = []
    url: Annotated[complex, pydantic.PlainSerializer(str), pydantic.BeforeValidator(complex)] = 1j
    _private: int = pydantic.PrivateAttr(default=0)

    @pydantic.field_validator("text")
    @classmethod
    def louder(cls, text: str) -> str:
        return f"{text}!" if text else text

    @pydantic.model_validator(mode="after")
    def count(self) -> "Louder":
        if self.seen:
            self.seen.append(len(self.seen))
        return self

    @pydantic.computed_field
    def twice(self) -> str:
        return self.text * 2


class Stripped(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(str_strip_whitespace=True, extra="allow")
    text: str = ""


class Rounded(pydantic.BaseModel):
    amount: Decimal

    @pydantic.field_serializer("amount")
    def round(self, amount: Decimal) -> Decimal:
        return round(amount, 1)


class Discriminated(pydantic.BaseModel):
    pet: Annotated[Annotated[Cat, pydantic.Tag("Cat")] | Annotated[Fox, pydantic.Tag("Fox")],
                   pydantic.Discriminator(lambda value: "Cat" if isinstance(value, Cat) else "Fox")]  # fmt: skip


class Numbers(pydantic.RootModel[list[float]]):
    pass


@dataclass
class Older:
    """It has a birthday whenever it is read."""

    age: int

    def __post_init__(self) -> None:
        self.age += 1


@attrs.define
class Defaulted:
    seen: int = attrs.field(default=0, eq=False, converter=int)


class Grown(msgspec.Struct):
    age: int

    def __post_init__(self) -> None:
        self.age += 1


MADE_ANEW: list[tuple[Any, str | None]] = [
    (Louder(text="a"), "$.text"),
    (Louder(either=Fox(name="a")), "$.either"),
    (Louder(either=Cat(name="a")), None),
    (Louder(kept_back=1), "$.kept_back"),
    (Louder(seen=[1]), "$.seen"),
    (Louder(url=2 + 1j), None),
    (Louder.model_construct(text=" a", either=None, kept_back=0, seen=[], url=1j), "$.text"),
    (Stripped.model_construct(text=" a "), "$.text"),
    (Stripped.model_validate({"text": "a", "more": {"b": [1]}}), None),
    (Stripped.model_validate({"more": [Colour.RED]}), "$.more[0]"),
    (Stripped.model_validate({"more": Cat(name="a")}), "$.more"),
    (Rounded(amount=Decimal("1.23")), "$.amount"),
    (Rounded(amount=Decimal("1.2")), None),
    (Discriminated(pet=Cat(name="a")), "$.pet"),
    (Discriminated(pet=Fox(name="a")), None),
    (Numbers([1.5]), None),
    (Numbers.model_construct([1]), "$.root[0]"),
    (Older(1), "$.age"),
    (Grown(1), "$.age"),
    (Defaulted(5), None),
]


@pytest.mark.parametrize(("event", "path"), MADE_ANEW)
def test_code_of_a_class_that_changes_what_is_read_is_found(event: Any, path: str | None) -> None:
    for codec in CODECS:
        found = difference_of(event, codec)
        assert (found and found[0]) == path, found


def test_private_attributes_and_what_is_computed_are_outside() -> None:
    event = Louder()
    event._private = 5  # what is not stored
    assert difference_of(event, CODECS[0]) is None


def test_an_object_of_a_subclass_that_is_not_registered_is_refused() -> None:
    event_types = EventTypes()
    event_types.register("payment", Payment)
    with EventStore.in_memory(event_types=event_types) as store:
        with pytest.raises(UnregisteredEventType):
            store.append("a-1", [CardPayment(Decimal(1))], expected_version=0)
        with pytest.raises(EncodingError):
            store.append("a-1", [NewEvent("payment", CardPayment(Decimal(1)))], expected_version=0)
        assert store.stream_version("a-1") == 0


@dataclass
class Tree:
    value: Any
    children: list["Tree"] = field(default_factory=list)


def test_what_is_nested_deeply_is_compared_to_the_end() -> None:
    for value, path in ((1.0, None), (Colour.RED, f"${'.children[0]' * 150}.value")):
        tree = Tree(value)
        for _ in range(150):
            tree = Tree(1, [tree])
        found = difference_of(tree, CODECS[0])
        assert (found and found[0]) == path


class Simple(msgspec.Struct):
    number: int | None
    text: str
    real: float
    price: Decimal
    day: date


def test_simple_values_in_simple_fields_are_not_read_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of which classes that is true is found out when they are registered."""
    event_types = EventTypes()
    event_types.register("simple", Simple)
    event_types.register("older", Older)
    event_types.register("taken", Taken)
    mapper = EventMapper(event_types, PayloadCodec(CODECS[0]))
    read: list[Any] = []
    read_back = EventMapper._read_back

    def note(mapper: EventMapper, registered: Any, codec: int, data: bytes) -> Any:
        read.append(registered)
        return read_back(mapper, registered, codec, data)

    monkeypatch.setattr(EventMapper, "_read_back", note)
    simple = Simple(1, "a", 1.0, Decimal(1), date(2026, 3, 1))
    for event, is_read in (
        (simple, False),
        (msgspec.structs.replace(simple, number=None), False),
        (msgspec.structs.replace(simple, text=Text("a")), True),
        (Taken(), True),
    ):
        read.clear()
        mapper.pending(Append("a-1", [event], expected_version=0))
        assert bool(read) is is_read
    for wrong in (msgspec.structs.replace(simple, real=1), Older(1)):
        with pytest.raises(EncodingError):
            mapper.pending(Append("a-1", [wrong], expected_version=0))


class Lossy:
    """A codec of an application's own that does not keep what it takes."""

    number = 70

    def encode(self, value: Any, *, typed: bool = False) -> bytes:
        return MessagePackCodec().encode(value, typed=typed)

    def decode(self, data: bytes) -> Any:
        value = MessagePackCodec().decode(data)
        return {**value, "text": value["text"].strip()}


def test_codecs_of_ones_own_are_not_trusted() -> None:
    event = Simple(1, "a ", 1.0, Decimal(1), date(2026, 3, 1))
    assert difference_of(event, Lossy()) == ("$.text", "is read back as another value")


# --- states


@dataclass(frozen=True)
class State:
    total: float = 0.0
    lines: tuple[Any, ...] = ()


@pytest.mark.parametrize("state", [State(total=1), State(lines=(Payment(Decimal(1)),)), State(lines=(Colour.RED,))])
def test_a_state_that_would_come_back_changed_is_not_saved(any_engine: Engine, state: Any) -> None:
    store = EventStore(any_engine)
    states: Repository[Any] = Repository(
        store, category="state", initial=State, evolve=lambda _, __: state, snapshots=always
    )
    states.execute("1", lambda _: [NewEvent("noted")])
    assert states.load("1").state is state
    assert states.snapshot_counts == SnapshotCounts(failed=1)
    assert store.snapshots.load("state-1") is None


def test_a_plain_state_that_would_come_back_changed_is_not_saved(any_engine: Engine) -> None:
    """A counter that counts what is missing as 0 would raise KeyErrors once it was a dict."""

    def count(state: Any, event: RecordedEvent) -> Any:
        return Counter(state) + Counter([event.event_type])

    counts: Repository[Any] = Repository(
        EventStore(any_engine), category="count", initial=dict, evolve=count, snapshots=always
    )
    counts.execute("1", lambda _: [NewEvent("noted")])
    assert counts.snapshot_counts == SnapshotCounts(failed=1)
    assert counts.load("1").state["other"] == 0


# --- all kinds of classes

LEAVES: dict[Any, st.SearchStrategy[Any]] = {
    int: st.integers(-(2**70), 2**70),
    float: st.floats(),
    str: st.text(max_size=5),
    bytes: st.binary(max_size=5),
    bool: st.booleans(),
    Decimal: st.decimals(),
    datetime: st.datetimes(timezones=st.sampled_from([None, UTC, ZoneInfo("Europe/Berlin")])),
    date: st.dates(),
    timedelta: st.timedeltas(),
    UUID: st.uuids(),
    Colour: st.sampled_from(Colour),
    Level: st.sampled_from(Level),
    Kind: st.sampled_from(Kind),
    Literal["a", 1]: st.sampled_from(["a", 1]),
    Annotated[int, msgspec.Meta(ge=0)]: st.integers(-1, 5),
}
AMOUNTS = st.decimals(allow_nan=False, allow_infinity=False, places=2)
OBJECTS: dict[Any, st.SearchStrategy[Any]] = {
    Payment: st.builds(Payment, AMOUNTS) | st.builds(CardPayment, AMOUNTS),
    AttrsPayment: st.builds(AttrsPayment, AMOUNTS) | st.builds(AttrsCardPayment, AMOUNTS),
    StructPayment: st.builds(StructPayment, AMOUNTS) | st.builds(StructCardPayment, AMOUNTS),
    Model: st.builds(Model, amount=AMOUNTS) | st.builds(CardModel, amount=AMOUNTS),
    Cat | Fox: st.builds(Cat, name=st.text(max_size=3)) | st.builds(Fox, name=st.text(max_size=3)),
    Square | Circle: st.builds(Square, st.floats()) | st.builds(Circle, st.floats() | st.integers()),
    Address: st.fixed_dictionaries({"street": st.text(max_size=3)}, optional={"city": st.text(max_size=3)}),
    Point: st.builds(Point, st.integers(), st.floats() | st.integers()),
}
ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.one_of(*LEAVES.values(), *OBJECTS.values(), st.builds(Text, st.text(max_size=3))),
    lambda parts: (
        st.lists(parts, max_size=3)
        | st.tuples(parts)
        | st.dictionaries(st.text(max_size=3) | st.sampled_from([1, True, Colour.RED]), parts, max_size=3)
        | st.dictionaries(st.text(max_size=3), parts, max_size=2).map(OrderedDict)
    ),
    max_leaves=4,
)
Field = tuple[Any, st.SearchStrategy[Any]]


def fields_of_any_type() -> st.SearchStrategy[Field]:
    """Return annotations, each with the values that it is for."""
    leaves: list[Field] = [*LEAVES.items(), *OBJECTS.items(), (Any, ANYTHING)]
    return st.recursive(
        st.sampled_from(leaves),
        lambda parts: st.one_of(
            parts.map(lambda part: (GenericAlias(list, part[0]), st.lists(part[1], max_size=2))),
            parts.map(lambda part: (GenericAlias(tuple, (part[0], ...)), st.lists(part[1], max_size=2).map(tuple))),
            parts.map(
                lambda part: (
                    GenericAlias(dict, (str, part[0])),
                    st.dictionaries(st.text(max_size=3), part[1], max_size=2),
                )
            ),
            parts.map(lambda part: (part[0] | None, st.none() | part[1])),
            st.sampled_from(
                [(GenericAlias(set, each), st.sets(LEAVES[each], max_size=2)) for each in (int, str, Colour, date)]
            ),
            st.tuples(parts, parts).map(lambda pair: (pair[0][0] | pair[1][0], pair[0][1] | pair[1][1])),
        ),
        max_leaves=3,
    )


def change_text(value: Any) -> Any:
    return f"{value}!" if type(value) is str else value


def change_first_text(event: Any) -> None:
    event.f0 = change_text(event.f0)


def dataclass_of(annotations: dict[str, Any], draw: Any) -> type:
    hooks: list[Any] = [None, change_first_text, lambda _: None]
    hook = draw(st.sampled_from(hooks))
    options = [{}, {"compare": False}, {"repr": False, "default": None}, {"kw_only": True}]
    fields = [(name, annotation, field(**draw(st.sampled_from(options)))) for name, annotation in annotations.items()]
    fields.sort(key=lambda each: each[2].default is not dataclasses.MISSING)
    namespace = {} if hook is None else {"__post_init__": hook}
    return make_dataclass("Event", fields, namespace=namespace, slots=draw(st.booleans()))


def attrs_class_of(annotations: dict[str, Any], draw: Any) -> type:
    fields = {
        name: attrs.field(
            type=annotation,
            eq=draw(st.booleans()),
            converter=draw(st.sampled_from([None, change_text])),
            validator=draw(st.sampled_from([None, lambda *_: None])),
        )
        for name, annotation in annotations.items()
    }
    return attrs.make_class("Event", fields, slots=draw(st.booleans()))


def struct_of(annotations: dict[str, Any], draw: Any) -> type:
    hook = draw(st.sampled_from([None, change_first_text]))
    return msgspec.defstruct(
        "Event",
        list(annotations.items()),
        namespace={} if hook is None else {"__post_init__": hook},
        rename=draw(st.sampled_from([None, "camel"])),
        array_like=draw(st.booleans()),
        omit_defaults=draw(st.booleans()),
        tag=draw(st.sampled_from([None, "event"])),
        forbid_unknown_fields=draw(st.booleans()),
    )


def model_of(annotations: dict[str, Any], draw: Any) -> type:
    options: list[dict[str, Any]] = [{}, {"exclude": True}, {"alias": "x"}, {"default": None}, {"deprecated": True}]
    fields: dict[str, Any] = {
        name: (annotation, pydantic.Field(**draw(st.sampled_from(options)))) for name, annotation in annotations.items()
    }
    validators: list[dict[str, Any]] = [
        {},
        {"louder": pydantic.field_validator("f0", mode="after")(change_text)},
        {"louder": pydantic.field_validator("f0", mode="before")(change_text)},
        {"round": pydantic.field_serializer("f0")(change_text)},
        {"twice": pydantic.computed_field(property(lambda _: 2))},
    ]
    config = pydantic.ConfigDict(
        extra=draw(st.sampled_from(["allow", "ignore"])),
        str_strip_whitespace=draw(st.booleans()),
        validate_by_name=True,
        validate_by_alias=True,
    )
    base = type("Base", (pydantic.BaseModel,), {"model_config": config})
    return pydantic.create_model("Event", __base__=base, __validators__=draw(st.sampled_from(validators)), **fields)


MAKERS: list[Callable[[dict[str, Any], Any], type]] = [dataclass_of, attrs_class_of, struct_of, model_of]


@st.composite
def events(draw: Any) -> Any:
    """Return an object of a class that was made for it, whose fields hold what they are for, or anything at all."""
    fields: list[Field] = draw(st.lists(fields_of_any_type(), min_size=1, max_size=3))
    annotations = {f"f{number}": annotation for number, (annotation, _) in enumerate(fields)}
    try:
        cls: Any = draw(st.sampled_from(MAKERS))(annotations, draw)
        EventTypes().register("event", cls)
    except (EventTypeError, pydantic.errors.PydanticSchemaGenerationError, pydantic.errors.PydanticUserError):
        return None
    values = {
        f"f{number}": draw(values if draw(st.integers(0, 4)) else ANYTHING) for number, (_, values) in enumerate(fields)
    }
    if issubclass(cls, pydantic.BaseModel) and draw(st.booleans()):
        return cls.model_construct(**values)
    try:
        return cls(**values)
    except (pydantic.ValidationError, TypeError, ValueError):
        return None


def check(event: Any, codec: Codec) -> str:
    """Check that an event is read as it was, or refused; return which."""
    if event is None:
        return "no such class"
    try:
        read = there_and_back(event, codec)
    except EncodingError:
        return "refused"
    assert type(read) is type(event)
    assert described(read) == described(event)
    return "read"


@pytest.mark.slow
@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(event=events(), codec=st.sampled_from(CODECS))
def test_whatever_is_accepted_comes_back(event: Any, codec: Codec) -> None:
    check(event, codec)


@pytest.mark.long
@pytest.mark.timeout(1200)
@settings(deadline=None, max_examples=2000, suppress_health_check=list(HealthCheck))
@given(event=events(), codec=st.sampled_from(CODECS))
def test_whatever_is_accepted_comes_back_many_times(event: Any, codec: Codec) -> None:
    check(event, codec)


@pytest.mark.slow
@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(state=events(), codec=st.sampled_from(CODECS))
def test_whatever_state_is_saved_comes_back(state: Any, codec: Codec) -> None:
    if state is None:
        return
    try:
        states = state_codec(PayloadCodec(codec), state, None, None)
        encoded = states.encode(state)
    except (EncodingError, ValueError):  # it can't be one, and that is said
        return
    assert described(states.decode(*encoded)) == described(state)


@pytest.mark.slow
@settings(deadline=None, max_examples=15, suppress_health_check=list(HealthCheck))
@given(events=st.lists(events().filter(lambda event: event is not None), min_size=1, max_size=3))
def test_in_a_database_it_is_all_or_nothing(any_engine: Engine, events: list[Any]) -> None:
    event_types = EventTypes()
    for number, cls in enumerate({type(event): None for event in events}):
        event_types.register(f"event-{number}", cls)
    store, stream_id = EventStore(any_engine, event_types=event_types), f"a-{next(names)}"
    try:
        store.append(stream_id, events, expected_version=0)
    except EncodingError as error:
        assert (error.index is None, store.stream_version(stream_id)) == (False, 0)  # noqa: PT017  # one of two outcomes
    else:
        read = [event.data for event in store.read_stream(stream_id)]
        assert [described(each) for each in read] == [described(each) for each in events]


@pytest.mark.slow
def test_the_strategy_makes_all_kinds_of_events() -> None:
    """Both outcomes, of each kind of class; else the tests above would show nothing."""
    seen: Counter[tuple[str, str]] = Counter()

    @settings(deadline=None, max_examples=200, suppress_health_check=list(HealthCheck), database=None, derandomize=True)
    @given(event=events())
    def count(event: Any) -> None:
        if event is not None:
            kind = next(mark for mark in ("model_dump", "__attrs_attrs__", "__struct_fields__", "__dataclass_fields__")
                        if hasattr(event, mark))  # fmt: skip
            seen[kind, check(event, CODECS[0])] += 1

    count()
    assert len(seen) == 8, seen
