"""JSON Schema of event types describes the payloads that JSONCodec stores."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypedDict
from uuid import UUID

import attrs
import msgspec
import pydantic
import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from sqlalchemy import select

from eventstore import EventStore, EventTypes
from eventstore.cli import main
from eventstore.codecs import JSONCodec
from eventstore.errors import EventTypeError, InvalidInput

registry = EventTypes()


class Colour(Enum):
    RED = "red"


class Size(IntEnum):
    LARGE = 3


class Point(NamedTuple):
    x: int
    y: float


class Address(TypedDict):
    street: str


@dataclass(frozen=True)
class Item:
    """A line of an order."""

    name: str
    price: Decimal
    parts: "list[Item]" = field(default_factory=list)


@registry.register("everything-kept", schema_version=1)
@dataclass(frozen=True)
class Everything:
    text: str
    integer: int
    float_: float
    boolean: bool
    total: Decimal
    moment: datetime
    day: date
    clock: time
    duration: timedelta
    uuid: UUID
    raw: bytes
    colour: Colour
    size: Size
    word: Literal["one", "two"]
    items: list[Item]
    optional: str | None
    numbers: set[int]
    names: frozenset[str]
    pair: tuple[str, int]
    row: tuple[Decimal, ...]
    by_name: dict[str, Decimal]
    by_day: dict[date, int]
    address: Address
    anything: Any = None
    listed: Sequence[str] = ()


@registry.register("order-placed", schema_version=1)
class OrderPlaced(msgspec.Struct, tag="placed", rename="camel", forbid_unknown_fields=True):
    customer_name: Annotated[str, msgspec.Meta(min_length=1)]
    total: Decimal | None = None
    quantity: Annotated[int, msgspec.Meta(ge=1)] = 1


@registry.register("row-added")
class RowAdded(msgspec.Struct, array_like=True, tag="row"):
    name: str
    price: float = 0.0


class Child(pydantic.BaseModel):
    born: date
    toys: set[str] = set()


@registry.register("customer-named")
class CustomerNamed(pydantic.BaseModel):
    name: str = pydantic.Field(alias="fullName", min_length=1)
    debt: Decimal = Decimal(0)
    at: datetime | None = None
    children: list[Child] = []
    pair: tuple[int, UUID] | None = None
    by_day: dict[date, float] = {}
    size: Size = Size.LARGE
    raw: bytes = b""

    model_config = pydantic.ConfigDict(populate_by_name=True)


class Node(pydantic.BaseModel):
    children: "list[Node]" = []


@registry.register("tree-grown")
class TreeGrown(pydantic.BaseModel):
    root: Node


@registry.register("tree-planted")
@dataclass
class TreePlanted:
    root: Node


@registry.register("shipped")
@attrs.define
class Shipped:
    parcels: int
    weight: float | None = None


YES = True
ITEM = Item("tea", Decimal("4.20"), [Item("leaf", Decimal(1))])
EVERYTHING = Everything(
    "it's", 7, 1.5, YES, Decimal("1.10"), datetime(2026, 10, 25, tzinfo=UTC), date(2026, 10, 25), time(23, 59),
    timedelta(days=-1, microseconds=1), UUID(int=7), b"\x00\xff", Colour.RED, Size.LARGE, "two", [ITEM], None, {1, 2},
    frozenset({"a"}), ("a", 1), (Decimal(1), Decimal(2)), {"a": Decimal(1)}, {date(2026, 1, 1): 1},
    Address(street="High Street"), {"any": [1, None]}, ["a"],
)  # fmt: skip
EXAMPLES: list[Any] = [
    EVERYTHING,
    msgspec.structs.replace(OrderPlaced("Ada"), total=Decimal(5), quantity=3),
    OrderPlaced("Ada"),
    RowAdded("tea", float("nan")),
    CustomerNamed(fullName="Ada"),
    CustomerNamed(
        fullName="Ada", debt=Decimal("0.10"), at=datetime(2026, 1, 1, tzinfo=UTC),
        children=[Child(born=date(2020, 1, 1), toys={"ball", "car"})], pair=(1, UUID(int=1)),
        by_day={date(2026, 1, 1): 0.5}, raw=b"x",
    ),
    TreeGrown(root=Node(children=[Node(), Node(children=[Node()])])),
    TreePlanted(root=Node(children=[Node(), Node(children=[Node()])])),
    Shipped(3),
    Shipped(10**700, float("inf")),
]  # fmt: skip


def stored(event: Any) -> Any:
    """Return the payload as it is in the database."""
    with EventStore.in_memory(event_types=registry, codec=JSONCodec()) as store:
        store.append("all-1", [event], expected_version=0)
        with store.engine.connect() as connection:
            return json.loads(connection.execute(select(store.tables.events.c.data)).scalar_one())


def validator(event_type: str) -> Any:
    schema = registry.json_schema(event_type)[event_type]
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    return Draft202012Validator(schema)


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: type(event).__name__)
def test_what_is_stored_fits_the_schema(event: Any) -> None:
    shape = registry.type_of(event)
    assert shape is not None
    validator(shape[0]).validate(stored(event))


@pytest.mark.parametrize(
    ("event", "path", "wrong"),
    [
        (EVERYTHING, ["total"], "1.10"),
        (EVERYTHING, ["total"], {"$decimal": 1}),
        (EVERYTHING, ["moment"], "2026-10-25T00:00:00+00:00"),
        (EVERYTHING, ["integer"], 1.5),
        (EVERYTHING, ["colour"], "blue"),
        (EVERYTHING, ["word"], "three"),
        (EVERYTHING, ["items", 0, "price"], 4.2),
        (EVERYTHING, ["numbers"], [1, 2]),
        (EVERYTHING, ["pair", "$tuple"], ["a"]),
        (EVERYTHING, ["by_day"], {"2026-01-01": 1}),
        (EVERYTHING, ["address", "street"], 7),
        (OrderPlaced("Ada"), ["type"], "other"),
        (OrderPlaced("Ada"), ["customerName"], ""),
        (OrderPlaced("Ada"), ["quantity"], 0),
        (OrderPlaced("Ada"), ["more"], 1),
        (RowAdded("tea"), [1], 7),
        (CustomerNamed(fullName="Ada"), ["debt"], "0"),
        (CustomerNamed(fullName="Ada"), ["name"], ""),
        (CustomerNamed(fullName="Ada"), ["size"], 4),
        (CustomerNamed(fullName="Ada"), ["by_day"], {"2026-01-01": 1}),
        (TreePlanted(root=Node(children=[Node()])), ["root", "children", 0], 7),
        (Shipped(3), ["parcels"], "3"),
    ],
    ids=lambda value: str(value) if isinstance(value, list) else type(value).__name__,
)
def test_another_value_does_not(event: Any, path: list[Any], wrong: Any) -> None:
    payload = stored(event)
    *steps, last = path
    target = payload
    for step in steps:
        target = target[step]
    target[last] = wrong
    shape = registry.type_of(event)
    assert shape is not None
    with pytest.raises(ValidationError):
        validator(shape[0]).validate(payload)


def test_a_schema_names_its_event_type_and_version() -> None:
    event_types = EventTypes()
    event_types.upcaster("order-placed", from_version=1)(lambda data: data)
    event_types.register("order-placed", Item, schema_version=2)
    ((event_type, schema),) = event_types.json_schema().items()
    assert (event_type, schema["title"], schema["x-schema-version"]) == ("order-placed", "order-placed", 2)
    assert schema["$defs"]["Item"]["description"] == "A line of an order."
    assert schema["$defs"]["Item"]["required"] == ["name", "price"]


def test_what_has_no_schema_is_refused() -> None:
    with pytest.raises(InvalidInput, match=re.escape("'none' is not a registered event type; these are: customer-")):
        registry.json_schema("none")
    event_types = EventTypes()
    later: Any = dataclass(type("Later", (), {"__annotations__": {"value": "NotDefined"}}))
    event_types.register("later", later)
    with pytest.raises(EventTypeError, match="NotDefined"):
        event_types.json_schema()


def test_the_command_prints_schemas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parent.parent)
    arguments = ["schema", "--event-types", "tests.test_json_schema:registry"]
    everything = CliRunner().invoke(main, arguments)
    assert json.loads(everything.output) == registry.json_schema()
    one = CliRunner().invoke(main, [*arguments, "--type", "shipped"])
    assert json.loads(one.output) == registry.json_schema("shipped")["shipped"]
    wrong = CliRunner().invoke(main, [*arguments, "--type", "none"])
    assert (wrong.exit_code, "not a registered event type" in wrong.output + wrong.stderr) == (2, True)
