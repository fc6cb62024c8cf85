"""Snapshots of one class are never taken for another's, however well they would fit."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, make_dataclass
from datetime import datetime
from enum import Enum
from typing import Annotated, Any, Literal, Optional

import attrs
import msgspec
import pydantic
import pytest

from eventstore import EventStore, NewEvent, Repository
from eventstore.repository import always
from eventstore.repository.fingerprint import describe, fingerprint_of
from tests.accounts import AttrsAccount, FrozenAccount, MutableAccount, PydanticAccount, StructAccount


@pytest.fixture
def store() -> Iterator[EventStore]:
    with EventStore.in_memory() as store:
        yield store


def entry(**more: Any) -> type:
    return make_dataclass("Entry", [("number", int, 0), *((name, int, default) for name, default in more.items())])


def holder(name: str, *fields: tuple[str, Any]) -> type:
    return make_dataclass(name, [(field_name, cls, field(default_factory=cls)) for field_name, cls in fields])


def log_of(store: EventStore, initial: Callable[[], Any], **options: Any) -> Repository[Any]:
    return Repository(
        store, category="log", initial=initial, evolve=lambda state, _: state, snapshots=always, **options
    )


@pytest.mark.parametrize(
    ("saved", "read"),
    [
        (holder("Log", ("count", int)), holder("Log", ("total", int))),
        (holder("Log", ("count", int)), holder("Log", ("count", int), ("total", int))),
        (holder("Log", ("count", int), ("total", int)), holder("Log", ("count", int))),
        (holder("Log", ("count", int)), holder("Log", ("count", float))),
        (holder("Log", ("count", int)), holder("Journal", ("count", int))),
        (holder("Log", ("entry", entry())), holder("Log", ("entry", entry(more=7)))),
        (holder("Log", ("entry", entry(more=7))), holder("Log", ("entry", entry()))),
        (holder("Log", ("count", int)), dict),
        (dict, holder("Log", ("count", int))),
        (dict, list),
        (int, bool),
        (int, dict),
        (str, int),
    ],
)
def test_a_state_of_another_shape_is_a_miss(
    store: EventStore, saved: Any, read: Any, caplog: pytest.LogCaptureFixture
) -> None:
    log_of(store, saved).execute("1", lambda _: [NewEvent("noted")])
    assert log_of(store, saved).load("1").snapshot_version == 1
    loaded = log_of(store, read).load("1")
    assert (loaded.snapshot_version, loaded.state, type(loaded.state)) == (0, read(), read)
    assert "another" in caplog.text


@pytest.mark.parametrize("initial", [dict, int, holder("Log", ("count", int))])
def test_functions_and_defaults_do_not_read_each_other(store: EventStore, initial: Any) -> None:
    functions: dict[str, Any] = {"to_snapshot": lambda state: state, "from_snapshot": lambda plain: plain}
    if initial not in (dict, int):
        functions = {"to_snapshot": vars, "from_snapshot": lambda plain: initial(**plain)}
    for first, second in (({}, functions), (functions, {})):
        store.snapshots.delete("log-1")
        log_of(store, initial, **first).execute("1", lambda _: [NewEvent("noted")])
        assert log_of(store, initial, **first).load("1").snapshot_version > 0
        loaded = log_of(store, initial, **second).load("1")
        assert (loaded.snapshot_version, loaded.state) == (0, initial())


def test_what_was_saved_by_hand_is_a_miss(store: EventStore) -> None:
    log_of(store, dict).execute("1", lambda _: [NewEvent("noted")])
    store.snapshots.delete("log-1")
    store.snapshots.save("log-1", version=1, state={"count": 7})
    assert log_of(store, dict).load("1").state == {}


class Colour(Enum):
    RED = 1


@dataclass
class Everything:
    number: Annotated[int, msgspec.Meta(ge=0)]
    colour: Colour
    when: datetime | None
    kind: Literal["a", "b"]
    nested: dict[str, list[FrozenAccount]]
    parent: Optional["Everything"] = None
    any: Any = None


class Renamed(msgspec.Struct, rename="camel"):
    unit_price: int


class NotRenamed(msgspec.Struct):
    unit_price: int


def test_a_shape_names_all_fields_to_the_innermost() -> None:
    assert describe(Everything, set()) == (
        "Everything(number: int, colour: Colour, when: Union[datetime, NoneType], kind: typing.Literal[a, b], "
        "nested: dict[str, list[FrozenAccount(owner: str, balance: Decimal, "
        "entries: tuple[Entry(version: int, balance: Decimal; ), Ellipsis]; )]], "
        "parent: Union[Everything, NoneType], any: Any; )"
    )
    assert "unitPrice" in describe(Renamed, set())
    assert "unitPrice" not in describe(NotRenamed, set())


KINDS = [FrozenAccount, MutableAccount, AttrsAccount, StructAccount, PydanticAccount, Everything]


@pytest.mark.parametrize("cls", KINDS)
def test_every_kind_of_class_shows_its_fields(cls: type) -> None:
    text = describe(cls, set())
    assert "0x" not in text
    if cls is not Everything:
        assert "balance: Decimal" in text
        assert "Entry(version: int" in text


@pytest.mark.slow
def test_shapes_are_the_same_in_every_process() -> None:
    names = [cls.__name__ for cls in KINDS[:-1]]
    code = (
        "from tests import accounts; from eventstore.repository.fingerprint import fingerprint_of\n"
        f"print(*[fingerprint_of(getattr(accounts, name)) for name in {names}])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == [fingerprint_of(cls) for cls in KINDS[:-1]]


def test_local_classes_have_shapes() -> None:
    @dataclass
    class Local:
        other: "NotYet"  # type: ignore[name-defined]  # noqa: F821

    @attrs.define
    class LocalAttrs:
        number: int

    class LocalModel(pydantic.BaseModel):
        number: int

    assert "other: NotYet" in describe(Local, set())
    assert "number: int" in describe(LocalAttrs, set())
    assert "number: int" in describe(LocalModel, set())
