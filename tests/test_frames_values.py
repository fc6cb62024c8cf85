"""Columns hold what `read_all` returns, column by column, for every type of value."""

import random
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventstore import DecodingError, EventFilter, EventStore, NewEvent
from eventstore.codecs import JSONCodec, MessagePackCodec
from eventstore.contrib import frames
from eventstore.testing.value_contract import VALUES

BERLIN = ZoneInfo("Europe/Berlin")
KEPT = EventFilter(event_types=["kept"])

# Of values that are alike, the type of their column. Each is equal to what `read_all` returns.
TYPED: dict[str, tuple[pa.DataType, list[Any]]] = {
    "booleans": (pa.bool_(), [True, False, None]),
    "integers": (pa.int64(), [0, -(2**63) + 1, 2**63 - 1, None]),
    "floats": (pa.float64(), [1.5, -0.0, float("inf"), 1e300, None]),
    "floats and integers": (pa.float64(), [1.5, 2, -(2**53)]),
    "texts": (pa.string(), ["", "NUL \0 inside, and 🦆", "true", None]),
    "bytes": (pa.binary(), [b"\0\xff", b"", None]),
    "dates": (pa.date32(), [date(1, 1, 1), date(9999, 12, 31), None]),
    "times with a zone": (
        pa.timestamp("us", "UTC"),
        [
            datetime(2026, 3, 1, 12, 30, 0, 123456, tzinfo=UTC),
            datetime(1890, 1, 1, tzinfo=timezone(timedelta(minutes=53, seconds=28))),
            datetime(9999, 12, 31, tzinfo=UTC),
            None,
        ],
    ),
    "times without a zone": (pa.timestamp("us"), [datetime(2026, 3, 1, 12, 30, 0, 123456), None]),  # noqa: DTZ001  # on purpose
    "times of day": (pa.time64("us"), [time(23, 59, 59, 999999), time(0), None]),
    "durations": (pa.duration("us"), [timedelta(days=-1, microseconds=1), timedelta(days=10**5), None]),
    "decimals": (pa.decimal128(38, 3), [Decimal("1.10"), Decimal("-0"), Decimal("1E+3"), Decimal("0.125"), 7, None]),
    "lists": (pa.list_(pa.int64()), [[1, None], [], None]),
    "lists of lists": (pa.list_(pa.list_(pa.string())), [[["a"], []], [None]]),
    "lists of decimals": (pa.list_(pa.decimal128(38, 1)), [[Decimal("0.5")], [Decimal(2)]]),
}
# What is in no column but one of JSON text.
UNTYPED: dict[str, list[Any]] = {
    "huge integers": [2**63, -(2**200), 1],
    "a float and a huge integer": [0.5, 2**53 + 1],
    "mixed types": [1, "1", True, None],
    "texts and ids": ["a", UUID(int=1)],
    "booleans and integers": [True, 1],
    "times with and without a zone": [datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 1)],  # noqa: DTZ001  # on purpose
    "the later of two equal times": [datetime(2026, 10, 25, 2, 30, fold=1)],  # noqa: DTZ001  # on purpose
    "times before the first": [datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5)))],
    "times of day with a zone": [time(12, tzinfo=UTC)],
    "durations too long": [timedelta.max],
    "decimals without a value": [Decimal("NaN"), Decimal("Infinity")],
    "decimals too long": [Decimal("1E+30"), Decimal("1E-30")],
    "dicts": [{"a": {"b": [Decimal("0.1"), {1: {2: 3}}]}, "": None}, {"$decimal": "1.5"}, {}],
    "sets": [{1, 2, 3}, frozenset({"a"})],
    "lists of different things": [[1, "a"], [Decimal(1)]],
    "lists of huge integers": [[2**70]],
    "nothing but None": [None, None],
    "a float that is no number": [{"a": float("nan")}, [float("inf")]],
}


@pytest.fixture(scope="module", params=[MessagePackCodec, JSONCodec])
def store_of_values(request: pytest.FixtureRequest) -> EventStore:
    """A store in which each case is an event type of its own, its values one field of the payload."""
    store = EventStore.in_memory(codec=request.param())
    cases = {**{name: values for name, (_, values) in TYPED.items()}, **UNTYPED}
    for number, (name, values) in enumerate(cases.items()):
        events = [NewEvent(name, {"value": value}) for value in values]
        store.append(f"values-{number}", events, expected_version=0)
    return store


def same(one: Any, other: Any) -> bool:
    """Equal, and not only by being numbers; NaN is itself."""
    return repr(one) == repr(other) or (one == other and type(one) is type(other))


@pytest.mark.parametrize("name", TYPED)
def test_values_that_are_alike_are_a_typed_column(store_of_values: EventStore, name: str) -> None:
    only = EventFilter(event_types=[name])
    column = frames.read_all(store_of_values, only).table()["value"]
    read = [event.data["value"] for event in store_of_values.read_all(only)]
    assert column.type == TYPED[name][0]
    assert column.to_pylist() == read == TYPED[name][1]


@pytest.mark.parametrize("name", UNTYPED)
def test_values_that_have_no_column_type_in_common_are_json_that_comes_back_exactly(
    store_of_values: EventStore, name: str
) -> None:
    only = EventFilter(event_types=[name])
    column = frames.read_all(store_of_values, only).table()["value"]
    assert column.type == pa.string()
    back = [None if text is None else JSONCodec().decode(text.encode()) for text in column.to_pylist()]
    read = [event.data["value"] for event in store_of_values.read_all(only)]
    assert len(back) == len(read)
    assert all(map(same, back, read)), (back, read)


def test_an_instant_is_kept_where_its_zone_is_not() -> None:
    with EventStore.in_memory() as store:
        twice = [datetime(2026, 10, 25, 2, 30, fold=fold, tzinfo=BERLIN) for fold in (0, 1)]
        store.append("a-1", [NewEvent("kept", {"at": at}) for at in twice], expected_version=0)
        column = frames.read_all(store, KEPT).table()["at"]
        assert column.to_pylist() == [at.astimezone(UTC) for at in twice]


def test_an_integer_of_more_digits_than_python_writes_comes_back() -> None:
    with EventStore.in_memory() as store:
        store.append("a-1", [NewEvent("kept", {"n": 2**20_000})], expected_version=0)
        (text,) = frames.read_all(store).table()["data"].to_pylist()
    assert JSONCodec().decode(text.encode()) == {"n": 2**20_000}


def test_what_is_nested_too_deeply_for_json_is_told() -> None:
    deep: Any = Decimal(1)
    for _ in range(150):
        deep = [deep]
    with EventStore.in_memory() as store:
        store.append("a-1", [NewEvent("kept", deep)], expected_version=0)
        with pytest.raises(DecodingError, match="nested too deeply") as error:
            frames.read_all(store).table()
        assert (error.value.stream_id, error.value.version) == ("a-1", 1)


def test_ids_are_texts() -> None:
    with EventStore.in_memory() as store:
        store.append("a-1", [NewEvent("kept", {"id": UUID(int=7)})], expected_version=0)
        assert frames.read_all(store, KEPT).table()["id"].to_pylist() == [str(UUID(int=7))]


@pytest.mark.parametrize("seed", range(3))
def test_any_mixture_of_values_comes_back(seed: int) -> None:
    randomly = random.Random(seed)
    pool = [value for _, values in TYPED.values() for value in values] + [*VALUES]
    payloads = [{name: randomly.choice(pool) for name in "abcdefgh" if randomly.random() < 0.8} for _ in range(50)]
    with EventStore.in_memory() as store:
        store.append("a-1", [NewEvent("kept", payload) for payload in payloads], expected_version=0)
        table = frames.read_all(store, fields=list("abcdefgh"), as_json=True).table()
    texts = table["data"].to_pylist()
    assert all(same(JSONCodec().decode(text.encode()), payload) for text, payload in zip(texts, payloads, strict=True))
    for name in "abcdefgh":
        assert table.schema.field(name).type == pa.string()
        for text, payload in zip(table[name].to_pylist(), payloads, strict=True):
            value = payload.get(name)
            assert (text is None) == (value is None)
            assert text is None or same(JSONCodec().decode(text.encode()), value)


plain = (
    st.none() | st.booleans() | st.integers(-(2**65), 2**65) | st.floats() | st.text('a\n\u2028\u05d0{$"', max_size=3)
)
payloads = st.recursive(
    plain,
    lambda parts: (
        st.lists(parts, max_size=3) | st.dictionaries(st.sampled_from(["a", "$decimal", "\n"]), parts, max_size=2)
    ),
    max_leaves=8,
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.lists(payloads, min_size=1, max_size=4))
def test_the_text_of_any_payload_is_decoded_to_it(store_of_values: EventStore, data: list[Any]) -> None:
    stream_id = f"payloads-{uuid4()}"
    store_of_values.append(stream_id, [NewEvent("payload", payload) for payload in data], expected_version=0)
    texts = frames.read_stream(store_of_values, stream_id).table()["data"].to_pylist()
    assert [repr(JSONCodec().decode(text.encode())) for text in texts] == [repr(payload) for payload in data]
