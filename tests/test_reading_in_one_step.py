"""Objects that are made of MessagePack in one step: they are what two steps would have made."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore import NO_STREAM, DecodingError, EventStore, EventTypes, NewEvent
from eventstore.codecs import MessagePackCodec
from eventstore.event_types.classes import builder, reader


@dataclass(frozen=True)
class Line:
    article: str
    count: int = 1


@dataclass(frozen=True)
class Simple:
    name: str = ""
    number: int = 0
    share: float = 0.0
    is_paid: bool = False
    note: str | None = None
    tags: list[str] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    prices: dict[str, int] = field(default_factory=dict)


class Struct(msgspec.Struct):
    name: str
    number: int | None = None


@dataclass(frozen=True)
class WithTuple:
    names: tuple[str, ...]


@dataclass(frozen=True)
class WithDecimal:
    total: Decimal


@dataclass(frozen=True)
class WithAny:
    anything: Any


@dataclass(frozen=True)
class WithOtherKeys:
    by_number: dict[int, str]


numbers = st.integers(min_value=-(2**70), max_value=2**70)
lines = st.builds(Line, st.text(), numbers)
simple = st.builds(
    Simple, st.text(), numbers, st.floats(allow_nan=False), st.booleans(), st.none() | st.text(),
    st.lists(st.text()), st.lists(lines), st.dictionaries(st.text(), numbers),
)  # fmt: skip
plain = st.recursive(
    st.none() | st.booleans() | numbers | st.floats(allow_nan=False) | st.text() | st.binary() | st.dates(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(0, 9), inner) | st.tuples(inner, inner),
    max_leaves=5,
)


def result_of(make: Callable[[], Any]) -> Any:
    try:
        return make()
    except Exception:  # noqa: BLE001
        return "refused"


@pytest.mark.slow
@given(simple)
def test_an_object_comes_back_equal(value: Simple) -> None:
    codec, types = MessagePackCodec(), EventTypes()
    types.register("simple", Simple)
    store = EventStore.in_memory(event_types=types)
    store.append("order-1", [value], expected_version=NO_STREAM)
    (event,) = store.read_stream("order-1")
    assert event.data == value
    assert event.data == builder(Simple)(codec.decode(codec.encode(value, typed=True)))
    store.close()


@pytest.mark.slow
@given(st.dictionaries(st.sampled_from([*Simple.__dataclass_fields__, "unknown"]), plain))
def test_whatever_is_stored_one_step_makes_the_same_or_nothing(stored: dict[str, Any]) -> None:
    codec, read = MessagePackCodec(), reader(Simple)
    assert read is not None
    data = codec.encode(stored)
    two_steps = result_of(lambda: builder(Simple)(codec.decode(data)))
    one_step = result_of(lambda: read(data))
    assert one_step in ("refused", two_steps)
    assert repr(one_step) in (repr("refused"), repr(two_steps))  # 1, 1.0 and True are equal


@pytest.mark.parametrize(
    ("cls", "in_one_step"),
    [
        (Simple, True),
        (Struct, True),
        (WithTuple, False),
        (WithDecimal, False),
        (WithAny, False),
        (WithOtherKeys, False),
    ],
)
def test_only_what_messagepack_has_itself_is_read_in_one_step(cls: type, *, in_one_step: bool) -> None:
    assert (reader(cls) is not None) == in_one_step


def test_a_tuple_that_was_stored_for_a_list_takes_two_steps() -> None:
    types = EventTypes()
    types.register("simple", Simple)
    with EventStore.in_memory(event_types=types) as store:
        store.append("order-1", [NewEvent("simple", {"tags": ("a", "b")})], expected_version=NO_STREAM)
        (event,) = store.read_stream("order-1")
        assert event.data == Simple(tags=["a", "b"])


def test_what_does_not_fit_is_refused_with_its_place() -> None:
    types = EventTypes()
    types.register("simple", Simple)
    with EventStore.in_memory(event_types=types) as store:
        store.append("order-1", [NewEvent("simple", {"number": date(2026, 1, 1)})], expected_version=NO_STREAM)
        with pytest.raises(DecodingError) as refused:
            list(store.read_stream("order-1"))
        assert "at $.number" in str(refused.value)


def test_a_class_that_is_registered_anew_is_the_one_that_is_read() -> None:
    """As when the cell of a notebook is run again."""
    types = EventTypes()

    def cell() -> type:
        @dataclass(frozen=True)
        class Placed:
            total: int

        Placed.__module__, Placed.__qualname__ = "__main__", "Placed"
        return types.register("placed", Placed)

    first, second = cell(), cell()
    with EventStore.in_memory(event_types=types) as store:
        store.append("order-1", [second(1)], expected_version=NO_STREAM)
        (event,) = store.read_stream("order-1")
        assert type(event.data) is second is not first
