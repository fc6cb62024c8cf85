"""Values to bytes and back."""

import base64
import json
import math
import sys
import threading
import traceback
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from functools import partial
from http import HTTPStatus
from random import Random
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import msgpack
import pytest
import zstandard
from hypothesis import example, given
from hypothesis import strategies as st

from eventstore import DecodingError, EncodingError, InvalidInput
from eventstore.codecs import Codec, JSONCodec, MessagePackCodec
from eventstore.codecs.payload import PayloadCodec
from tests.fix_leaks import SECRET

CODECS: dict[str, PayloadCodec] = {
    "msgpack": PayloadCodec(MessagePackCodec()),
    "json": PayloadCodec(JSONCodec()),
    "msgpack-zstd": PayloadCodec(MessagePackCodec(), compress_above=0),
    "json-zstd": PayloadCodec(JSONCodec(), compress_above=0),
}

each_codec = pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
each_format = pytest.mark.parametrize("codec", [CODECS["msgpack"], CODECS["json"]], ids=["msgpack", "json"])


def there_and_back(codec: PayloadCodec, value: Any, *, typed: bool = False) -> Any:
    return codec.decode(*codec.encode(value, typed=typed))


def description(value: Any) -> Any:  # noqa: PLR0911  # one line a type
    """Return what two values have in common only if they are the same in type, value and all that `==` overlooks."""
    kind = type(value).__name__
    match value:
        case float():
            return kind, repr(value)
        case Decimal():
            return kind, value.as_tuple()
        case datetime() | time():
            return (
                kind,
                value.replace(tzinfo=None).isoformat(),
                value.fold,
                description(value.tzinfo),
                value.utcoffset(),
            )
        case ZoneInfo():
            return kind, value.key
        case dict():
            return kind, [(description(key), description(part)) for key, part in value.items()]
        case list() | tuple():
            return kind, [description(part) for part in value]
        case set() | frozenset():
            return kind, sorted(repr(description(part)) for part in value)
    return kind, value


# --- any value comes back

longest_offset = timedelta(hours=24) - timedelta.resolution
offsets = st.timedeltas(-longest_offset, longest_offset).filter(
    lambda offset: not offset or abs(offset) >= timedelta(seconds=1)
)
zones: st.SearchStrategy[tzinfo | None] = st.none() | st.timezones() | offsets.map(timezone) | st.just(UTC)
folds = st.integers(0, 1)
texts = st.text() | st.sampled_from(["", "\0", "a\0b", "$set", "🦆", "\u2028", "\uffff", "\U0010ffff"])
whole_numbers = st.one_of(
    st.integers(),
    st.integers(-(2**3000), 2**3000),
    st.sampled_from(
        [sign * 2**bits + step for bits in (7, 8, 31, 32, 63, 64, 2000) for sign in (1, -1) for step in (-1, 0, 1)]
    ),
)
decimals = st.decimals() | st.builds(
    Decimal, st.tuples(folds, st.lists(st.integers(0, 9), max_size=40).map(tuple), st.integers(-9000, 9000))
)
moments = st.builds(lambda value, zone, fold: value.replace(tzinfo=zone, fold=fold), st.datetimes(), zones, folds)
clock_times = st.builds(lambda value, zone, fold: value.replace(tzinfo=zone, fold=fold), st.times(), zones, folds)
hashable_scalars: st.SearchStrategy[Hashable] = st.one_of(
    st.none(),
    st.booleans(),
    whole_numbers,
    st.floats(),
    texts,
    st.binary(),
    moments,
    st.dates(),
    clock_times,
    st.timedeltas(),
    decimals.filter(lambda value: not value.is_snan()),
    st.uuids(),
)
scalars = hashable_scalars | decimals | st.just(Decimal("sNaN123"))
hashables: st.SearchStrategy[Hashable] = st.recursive(
    hashable_scalars,
    lambda inner: st.lists(inner, max_size=4).map(tuple) | st.frozensets(inner, max_size=4),
    max_leaves=6,
)
values: st.SearchStrategy[Any] = st.recursive(
    scalars | hashables,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(texts, inner, max_size=4),
        st.dictionaries(hashables, inner, max_size=3),
        st.dictionaries(st.sampled_from(["$set", "$dict", "$decimal", "$", "$mine"]), inner, min_size=1, max_size=2),
        st.sets(hashables, max_size=4),
    ),
    max_leaves=12,
)

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.slow
@each_codec
@given(value=values)
@example(value=datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN))
@example(value=datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=BERLIN))
@example(value=datetime(2026, 3, 29, 2, 30, tzinfo=BERLIN))
@example(value=datetime(2026, 3, 29, 2, 30, fold=1, tzinfo=BERLIN))
@example(value=datetime(1890, 1, 1, tzinfo=BERLIN))
@example(value=datetime.max.replace(tzinfo=BERLIN))
@example(value=datetime.min.replace(tzinfo=ZoneInfo("Asia/Tokyo")))
@example(value=datetime(2026, 10, 25, 2, 30, fold=1))  # noqa: DTZ001  # a local time without its zone
@example(value=time(12, tzinfo=BERLIN))
@example(value=time(12, fold=1, tzinfo=ZoneInfo("Etc/GMT+5")))
@example(value=10**5000)
@example(value=[-(10**5000)])
@example(value={(1, frozenset({b"\0"})): {"$set": [1]}})
@example(value={"$dict": [["a", 1]]})
@example(value=[[], (), set(), {}, [None], (None,)])
def test_any_value_comes_back_exactly(codec: PayloadCodec, value: Any) -> None:
    value = [value, 500 * "enough to be compressed"]
    assert description(there_and_back(codec, value)) == description(value)


@pytest.mark.slow
@each_format
@given(
    members=st.lists(hashables, unique_by=lambda member: repr(description(member))),
    random=st.randoms(use_true_random=False),
)
def test_equal_sets_are_equal_bytes(codec: PayloadCodec, members: list[Hashable], random: Random) -> None:
    shuffled = random.sample(members, len(members))
    padded = set(shuffled) | set(range(10**9, 10**9 + 100))  # larger tables have another order
    for member in range(10**9, 10**9 + 100):
        padded.discard(member)
    if len(set(members)) == len(members):
        assert codec.encode(set(members)) == codec.encode(padded)
        assert codec.encode([frozenset(members)]) == codec.encode([frozenset(shuffled)])


def test_nan_keeps_its_bits_in_messagepack() -> None:
    for bits in ("7ff8000000000001", "fff8000000000000", "7ff0000000000001"):
        packed = b"\xcb" + bytes.fromhex(bits)
        assert CODECS["msgpack"].encode(CODECS["msgpack"].decode(1, packed)) == (1, packed)


# --- the stored format


GOLDEN: list[tuple[Any, bytes, str]] = [
    (None, b"\xc0", "null"),
    (True, b"\xc3", "true"),
    (-1, b"\xff", "-1"),
    (2**64 - 1, b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", "18446744073709551615"),
    (2**64, b"\xc7\t\n\x01\x00\x00\x00\x00\x00\x00\x00\x00", "18446744073709551616"),
    (-(2**63) - 1, b"\xc7\t\n\xff\x7f\xff\xff\xff\xff\xff\xff\xff", "-9223372036854775809"),
    (2**2000, b"\xc7\xfb\n\x01" + bytes(250), '{"$int":"' + hex(2**2000) + '"}'),
    (1.5, b"\xcb?\xf8\x00\x00\x00\x00\x00\x00", "1.5"),
    (-0.0, b"\xcb\x80\x00\x00\x00\x00\x00\x00\x00", "-0.0"),
    (math.inf, b"\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00", '{"$float":"inf"}'),
    ("NUL \0, é and 🦆", b"\xb2NUL \x00, \xc3\xa9 and \xf0\x9f\xa6\x86", '"NUL \\u0000, é and 🦆"'),
    (b"\0\xff", b"\xc4\x02\x00\xff", '{"$bytes":"AP8="}'),
    (
        datetime(2026, 3, 1, 12, 30, 0, 123456),  # noqa: DTZ001
        b"\xc7\x1a\x012026-03-01T12:30:00.123456",
        '{"$datetime":"2026-03-01T12:30:00.123456"}',
    ),
    (
        datetime(2026, 3, 1, 12, tzinfo=UTC),
        b"\xc7\x19\x012026-03-01T12:00:00+00:00",
        '{"$datetime":"2026-03-01T12:00:00+00:00"}',
    ),
    (
        datetime(1890, 1, 1, tzinfo=timezone(timedelta(minutes=53, seconds=28))),
        b"\xc7\x1c\x011890-01-01T00:00:00+00:53:28",
        '{"$datetime":"1890-01-01T00:00:00+00:53:28"}',
    ),
    (
        datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN),
        b"\xc7(\x012026-10-25T02:30:00+02:00[Europe/Berlin]",
        '{"$datetime":"2026-10-25T02:30:00+02:00[Europe/Berlin]"}',
    ),
    (
        datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=BERLIN),
        b"\xc71\x012026-10-25T02:30:00+01:00[Europe/Berlin][_fold=1]",
        '{"$datetime":"2026-10-25T02:30:00+01:00[Europe/Berlin][_fold=1]"}',
    ),
    (date(2026, 2, 28), b"\xc7\n\x022026-02-28", '{"$date":"2026-02-28"}'),
    (time(23, 59, 59, 999999), b"\xc7\x0f\x0323:59:59.999999", '{"$time":"23:59:59.999999"}'),
    (time(12, tzinfo=BERLIN), b"\xc7\x17\x0312:00:00[Europe/Berlin]", '{"$time":"12:00:00[Europe/Berlin]"}'),
    (timedelta(days=-1, seconds=2, microseconds=3), b"\xc7\x06\x04-1 2 3", '{"$timedelta":"-1 2 3"}'),
    (Decimal("1.10"), b"\xd6\x051.10", '{"$decimal":"1.10"}'),
    (Decimal("-0E+3"), b"\xc7\x05\x05-0E+3", '{"$decimal":"-0E+3"}'),
    (Decimal("sNaN7"), b"\xc7\x05\x05sNaN7", '{"$decimal":"sNaN7"}'),
    (
        UUID("0190a1b2-0000-7000-8000-000000000001"),
        b"\xd8\x06\x01\x90\xa1\xb2\x00\x00p\x00\x80\x00\x00\x00\x00\x00\x00\x01",
        '{"$uuid":"0190a1b2-0000-7000-8000-000000000001"}',
    ),
    ([1, [2, []]], b"\x92\x01\x92\x02\x90", "[1,[2,[]]]"),
    ((1, (2, ())), b"\x93\xd4\x07t\x01\x93\xd4\x07t\x02\x91\xd4\x07t", '{"$tuple":[1,{"$tuple":[2,{"$tuple":[]}]}]}'),
    ({3, 1, 2}, b"\x94\xd4\x07s\x01\x02\x03", '{"$set":[1,2,3]}'),
    (frozenset({("a", 1)}), b"\x92\xd4\x07f\x93\xd4\x07t\xa1a\x01", '{"$frozenset":[{"$tuple":["a",1]}]}'),
    ({"a": {"b": None}}, b"\x81\xa1a\x81\xa1b\xc0", '{"a":{"b":null}}'),
    ({1: "x", (1, 2): "y"}, b"\x82\x01\xa1x\x93\xd4\x07t\x01\x02\xa1y", '{"$dict":[[1,"x"],[{"$tuple":[1,2]},"y"]]}'),
    ({"$set": [1]}, b"\x81\xa4$set\x91\x01", '{"$dict":[["$set",[1]]]}'),
    ({"$set": 1, "a": 2}, b"\x82\xa4$set\x01\xa1a\x02", '{"$set":1,"a":2}'),
]


@pytest.mark.parametrize(("value", "packed", "text"), GOLDEN)
def test_the_stored_format_never_changes(value: Any, packed: bytes, text: str) -> None:
    """These bytes are in people's databases. Where this test fails, the code is wrong."""
    assert CODECS["msgpack"].encode(value) == (1, packed)
    assert CODECS["json"].encode(value) == (2, text.encode())
    assert description(CODECS["msgpack"].decode(1, packed)) == description(value)
    assert description(CODECS["json"].decode(2, text.encode())) == description(value)


def test_compressed_bytes_stay_readable() -> None:
    data = b"(\xb5/\xfd l}\x00\x00H\x81\xa4text\xd9dx\x01\x00 \x05G"
    assert CODECS["msgpack"].decode(257, data) == {"text": "x" * 100}


# --- types that are equal to another one


class Pair(NamedTuple):
    left: int
    right: Any


class Text(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "another text"


class SafeText(str):
    """As Django's: `str()` of it is not a str."""

    __slots__ = ()

    def __str__(self) -> str:
        return self


class Whole(int):
    pass


class Real(float):
    pass


class Blob(bytes):
    pass


class Members(set[Any]):
    pass


class Frozen(frozenset[Any]):
    pass


class Money(Decimal):
    pass


class Id(UUID):
    pass


class FrozenDate(date):
    pass


class FrozenDatetime(datetime):
    pass


class Timestamp(datetime):
    """As pandas has it: finer than a datetime."""

    nanosecond = 0

    def isoformat(self, *arguments: Any) -> str:
        text = super().isoformat(*arguments)
        return f"{text}.{self.microsecond:06}{self.nanosecond:03}" if self.nanosecond else text


class NotATime(datetime):
    """As pandas has it."""

    def isoformat(self, *_: Any) -> str:
        return "NaT"


class Timedelta(timedelta):
    """As pandas has it: finer than a timedelta."""

    __hash__ = timedelta.__hash__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Timedelta)

    def __ne__(self, other: object) -> bool:
        return not self == other


class ReadOnly(Mapping[str, int]):
    def __getitem__(self, key: str) -> int:
        return {"a": 1}[key]

    def __iter__(self) -> Iterator[str]:
        return iter(["a"])

    def __len__(self) -> int:
        return 1


class HashableMapping(ReadOnly):
    def __hash__(self) -> int:
        return 1


class HashableList(list[Any]):
    def __hash__(self) -> int:  # type: ignore[override]  # a list has none
        return 1


class Colour(Enum):
    RED = "red"
    LARGE = 2**100
    PAIR = (1, 2)
    NOTHING = None


class Level(IntEnum):
    LOW = 1


class Unit(StrEnum):
    METRE = "m"


EQUALS: list[tuple[Any, Any]] = [
    (Pair(1, Pair(2, [3])), (1, (2, [3]))),
    ([Pair(1, 2)], [(1, 2)]),
    ({Pair(1, 2): Pair(3, 4)}, {(1, 2): (3, 4)}),
    (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
    (defaultdict(list, a=[1]), {"a": [1]}),
    (Counter("aab"), {"a": 2, "b": 1}),
    (MappingProxyType({"a": (1,)}), {"a": (1,)}),
    (ReadOnly(), {"a": 1}),
    (Text("text"), "text"),
    (SafeText("text"), "text"),
    ({Text("key"): 1}, {"key": 1}),
    (Whole(5), 5),
    (Whole(2**100), 2**100),
    (Real(1.5), 1.5),
    (Real("inf"), math.inf),
    (Blob(b"\0"), b"\0"),
    (bytearray(b"\0"), b"\0"),
    (memoryview(b"\0"), b"\0"),
    (Members({1}), {1}),
    (Frozen({1}), frozenset({1})),
    (Money("1.10"), Decimal("1.10")),
    (Money("sNaN"), Decimal("sNaN")),
    (Id(int=7), UUID(int=7)),
    (FrozenDate(2026, 1, 1), date(2026, 1, 1)),
    (FrozenDatetime(2026, 10, 25, 2, 30, fold=1, tzinfo=BERLIN), datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=BERLIN)),
    (Timestamp(2026, 1, 1, 0, 0, 0, 5, UTC), datetime(2026, 1, 1, 0, 0, 0, 5, UTC)),
]


@each_format
@pytest.mark.parametrize(("value", "expected"), EQUALS)
@pytest.mark.parametrize("typed", [False, True])
def test_a_subclass_comes_back_as_what_it_is_equal_to(
    codec: PayloadCodec, value: Any, expected: Any, *, typed: bool
) -> None:
    assert description(there_and_back(codec, value, typed=typed)) == description(expected)
    assert description(there_and_back(codec, {"in": [value]}, typed=typed)) == description({"in": [expected]})


@each_format
def test_enums_are_their_values_in_typed_data(codec: PayloadCodec) -> None:
    data = [*Colour, Level.LOW, Unit.METRE, {Level.LOW: Unit.METRE}, {Colour.RED}]
    expected = ["red", 2**100, (1, 2), None, 1, "m", {1: "m"}, {"red"}]
    assert description(there_and_back(codec, data, typed=True)) == description(expected)


# --- zones

WRITERS: list[tuple[PayloadCodec, int, Callable[[str], bytes]]] = [
    (CODECS["msgpack"], 1, lambda text: msgpack.packb(msgpack.ExtType(1, text.encode()))),
    (CODECS["json"], 2, lambda text: json.dumps({"$datetime": text}).encode()),
]
each_writer = pytest.mark.parametrize(("codec", "number", "written"), WRITERS, ids=["msgpack", "json"])


@each_writer
@pytest.mark.parametrize("zone", ["Mars/Olympus", "Europe", "../../etc/passwd", "a" * 5000, "a\0b", "[]", ""])
def test_a_zone_that_is_unknown_here_keeps_the_instant(
    codec: PayloadCodec, number: int, written: Callable[[str], bytes], zone: str
) -> None:
    value = codec.decode(number, written(f"2026-07-01T12:00:00+02:00[{zone}]"))
    assert description(value) == description(datetime(2026, 7, 1, 12, tzinfo=timezone(timedelta(hours=2))))


@each_writer
def test_new_rules_of_a_zone_keep_the_instant(
    codec: PayloadCodec, number: int, written: Callable[[str], bytes]
) -> None:
    value = codec.decode(number, written("2026-07-01T12:00:00+05:00[Europe/Berlin]"))
    assert description(value) == description(datetime(2026, 7, 1, 9, tzinfo=BERLIN))


@each_writer
def test_new_rules_at_the_end_of_time(codec: PayloadCodec, number: int, written: Callable[[str], bytes]) -> None:
    value = codec.decode(number, written("9999-12-31T23:59:59-05:00[Europe/Berlin]"))
    assert description(value) == description(datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone(timedelta(hours=-5))))


class Permanent(tzinfo):
    """A tzinfo that is neither of zoneinfo nor of datetime."""

    def utcoffset(self, _: datetime | None, /) -> timedelta:
        return timedelta(hours=3)

    def dst(self, _: datetime | None, /) -> timedelta | None:
        return None

    def tzname(self, _: datetime | None, /) -> str:
        return "PERM"


@each_format
def test_another_tzinfo_keeps_the_offset(codec: PayloadCodec) -> None:
    value = datetime(2026, 1, 1, tzinfo=Permanent())
    back = there_and_back(codec, value)
    assert back == value
    assert back.tzinfo == timezone(timedelta(hours=3))


# --- what can't be encoded


class Unencodable:
    def __repr__(self) -> str:
        return SECRET

    __str__ = __repr__


@dataclass
class Unregistered:
    part: int = 1


@dataclass
class Incomplete:
    part: int = field(init=False)


NOT_EXACT = "a type that is not stored exactly; convert it to a plain value, or register an event class"
UNENCODABLE: list[tuple[Any, str]] = [
    (Unencodable(), NOT_EXACT),
    (Unregistered(), NOT_EXACT),
    (1j, NOT_EXACT),
    (range(3), NOT_EXACT),
    (deque([1]), NOT_EXACT),
    (int, NOT_EXACT),
    (len, NOT_EXACT),
    (UTC, NOT_EXACT),
    (NotATime(2026, 1, 1), NOT_EXACT),
    (f"{SECRET}\ud800", "not valid Unicode (half of a surrogate pair)"),
    (datetime(2026, 1, 1, tzinfo=timezone(timedelta.resolution)), "less than a second away from UTC"),
    (time(12, tzinfo=timezone(-timedelta.resolution)), "less than a second away from UTC"),
    (HTTPStatus.OK, "an enum keeps its class only in a registered event class; pass its value"),
    (Unit.METRE, "an enum keeps its class only in a registered event class; pass its value"),
    (Timedelta(1), "finer than a microsecond"),
    (HashableMapping(), "is hashable, but would be read back as a dict, which is not; convert it"),
    (HashableList(), "is hashable, but would be read back as a list, which is not; convert it"),
]


def fine_timestamp() -> Timestamp:
    stamp = Timestamp(2026, 1, 1)
    stamp.nanosecond = 7
    return stamp


@each_format
@pytest.mark.parametrize(
    ("value", "problem"),
    [*UNENCODABLE, (fine_timestamp(), "finer than a microsecond")],
    ids=lambda value: type(value).__name__,
)
def test_what_cannot_be_encoded_is_named(codec: PayloadCodec, value: Any, problem: str) -> None:
    with pytest.raises(EncodingError) as error:
        codec.encode({"a": [1, (value,)]}, index=3, event_type="order-placed")
    found = error.value
    assert (found.path, found.value_type, found.problem) == ("$.a[1][0]", type(value).__name__, problem)
    assert (found.index, found.event_type) == (3, "order-placed")
    assert SECRET not in str(found)
    assert found.__suppress_context__


def test_a_memoryview_with_gaps() -> None:
    with pytest.raises(EncodingError, match="a type that is not stored exactly"):
        CODECS["msgpack"].encode(memoryview(b"abcdef")[::2])


def test_an_object_with_an_unset_field() -> None:
    with pytest.raises(EncodingError, match=r"its fields can't be read \(AttributeError\)"):
        CODECS["msgpack"].encode(Incomplete(), typed=True)


Wrap = Callable[[Any], tuple[str, Any]]
"""Puts a value into a container: returns the step of the path to it, and the container."""

siblings = hashables.filter(lambda value: value == value) | st.just(SECRET)  # noqa: PLR0124  # without NaN, which is no good key


def into_list(before: list[Any], after: list[Any], kind: Callable[[list[Any]], Any]) -> Wrap:
    return lambda value: (f"[{len(before)}]", kind([*before, value, *after]))


def into_dict(others: dict[Hashable, Any], key: Hashable) -> Wrap:
    others = {other: part for other, part in others.items() if other != key}
    step = f".{key}" if isinstance(key, str) and key.isprintable() else f"[{type(key).__name__}]"
    return lambda value: (step, {**others, key: value})


def into_set(others: set[Hashable], kind: Callable[[set[Any]], Any]) -> Wrap:
    return lambda value: ("{}", kind({*others, value}))


def into_key(others: dict[Hashable, Any]) -> Wrap:
    return lambda value: (f"[key of type {type(value).__name__}]", {**others, value: SECRET})


some = st.lists(siblings, max_size=3)
hashable_wraps = st.one_of(
    st.builds(into_list, some, some, st.just(tuple)),
    st.builds(into_set, st.sets(siblings, max_size=3), st.just(frozenset)),
)
outer_wraps = st.one_of(
    st.builds(into_list, some, some, st.sampled_from([list, tuple])),
    st.builds(into_dict, st.dictionaries(siblings, siblings, max_size=3), siblings.filter(lambda key: key != SECRET)),
)
between = st.one_of(
    st.just(None),
    st.builds(into_set, st.sets(siblings, max_size=3), st.just(set)),
    st.builds(into_key, st.dictionaries(siblings, siblings, max_size=3)),
)


@pytest.mark.slow
@each_format
@given(
    culprit=st.sampled_from([Unencodable(), 1j, f"{SECRET}\ud800", Unit.METRE, len]),
    inner=st.lists(hashable_wraps, max_size=4),
    middle=between,
    outer=st.lists(outer_wraps, max_size=6),
)
def test_the_path_leads_to_what_cannot_be_encoded(
    codec: PayloadCodec, culprit: Any, inner: list[Wrap], middle: Wrap | None, outer: list[Wrap]
) -> None:
    path, value = "", culprit
    for wrap in [*inner, *([middle] if middle else []), *outer]:
        step, value = wrap(value)
        path = step + path
    with pytest.raises(EncodingError) as error:
        codec.encode(value, index=0, event_type="e")
    assert (error.value.path, error.value.value_type) == (f"${path}", type(culprit).__name__)
    assert SECRET not in str(error.value)


@pytest.mark.slow
@each_format
def test_data_that_contains_itself(codec: PayloadCodec) -> None:
    endless: dict[str, Any] = {}
    endless["part"] = [endless]
    with pytest.raises(EncodingError, match="it contains itself") as error:
        codec.encode(endless)
    assert len(str(error.value)) < 2000


# --- nesting

NESTINGS: dict[str, Callable[[Any], Any]] = {
    "list": lambda value: [value],
    "tuple": lambda value: (value,),
    "dict": lambda value: {"a": value},
    "dict with keys that are not strings": lambda value: {1: value},
    "tuple in frozenset": lambda value: frozenset({(value,)}),
    "frozenset": lambda value: frozenset({value}),
    "subclass": lambda value: Pair(1, value),
}


def nested(wrap: Callable[[Any], Any], depth: int) -> Any:
    value: Any = Decimal("1.5")
    for _ in range(depth):
        value = wrap(value)
    return value


def on_a_deep_stack(call: Callable[[], Any], frames_left: int) -> Any:
    depth = sys.getrecursionlimit() - frames_left
    frame = sys._getframe()
    while frame := frame.f_back:  # type: ignore[assignment]  # None at the end
        depth -= 1

    def deeper(levels: int) -> Any:
        return deeper(levels - 1) if levels > 0 else call()

    return deeper(depth)


@pytest.mark.slow
@each_format
@pytest.mark.parametrize("wrap", NESTINGS.values(), ids=NESTINGS)
def test_what_is_written_can_be_read_however_deep(codec: PayloadCodec, wrap: Callable[[Any], Any]) -> None:
    depths = (1, 8, 9, 50, 99, 100, 101, 250, 500, 511, 512, 513, 900, 1022, 1023, 1024, 1025, 1026)
    for depth in (*depths, 3000, 10_000) if wrap is NESTINGS["list"] else depths:
        value = nested(wrap, depth)
        try:
            stored = codec.encode(value)
        except EncodingError as error:
            problem, limit = error.problem, 8 if isinstance(value, frozenset) else 100
            assert (problem, depth > limit) == ("nested too deeply, or it contains itself", True)
            continue
        for back in (codec.decode(*stored), on_a_deep_stack(partial(codec.decode, *stored), frames_left=400)):
            assert codec.encode(back) == stored


def test_a_value_that_is_too_deep_is_refused_after_few_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each attempt takes as long as the whole encoding, and the value may be a stranger's."""
    attempts: list[Any] = []
    codec = CODECS["msgpack"]
    encode = type(codec.codec).encode

    def counted(self: Any, value: Any, **options: Any) -> bytes:
        attempts.append(value)
        return encode(self, value, **options)

    monkeypatch.setattr(type(codec.codec), "encode", counted)
    with pytest.raises(EncodingError, match=r"at (\$(\[0\]){8}): list, nested too deeply"):
        codec.encode(nested(NESTINGS["list"], 10_000))
    assert len(attempts) <= 10


@pytest.mark.parametrize(("codec", "depth"), [(CODECS["json"], 100), (CODECS["msgpack"], 500)], ids=["json", "msgpack"])
def test_the_documented_depth(codec: PayloadCodec, depth: int) -> None:
    for wrap in (
        NESTINGS["list"],
        NESTINGS["tuple"],
        NESTINGS["dict"],
        NESTINGS["dict with keys that are not strings"],
    ):
        codec.encode(nested(wrap, depth))
    codec.encode(nested(NESTINGS["frozenset"], 8))


def test_a_thousand_tuples_need_no_thousand_frames_of_c() -> None:
    """Where each level was bytes in bytes, two hundred of them overflowed the stack and killed the process."""
    stored = CODECS["msgpack"].encode(nested(NESTINGS["tuple"], 500))
    bytes_in_bytes = b"\x01"
    for _ in range(1000):
        bytes_in_bytes = msgpack.packb(msgpack.ExtType(7, b"\x91" + bytes_in_bytes))
    outcomes: list[Any] = []

    def decode() -> None:
        outcomes.append(CODECS["msgpack"].encode(CODECS["msgpack"].decode(*stored)))
        with pytest.raises(DecodingError):
            CODECS["msgpack"].decode(1, bytes_in_bytes)
        outcomes.append("refused")

    before = threading.stack_size(512 * 1024)
    try:
        thread = threading.Thread(target=decode)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
    assert outcomes == [stored, "refused"]


# --- damaged bytes

numbers = st.sampled_from([1, 2, 257, 258])


def readable_or_damaged(number: int, data: bytes) -> None:
    try:
        CODECS["msgpack"].decode(number, data)
    except DecodingError as error:
        text = "".join(traceback.format_exception(error))
        if SECRET in text:
            pytest.fail(text)


@pytest.mark.slow
@given(number=numbers | st.integers(-(2**15), 2**15 - 1), data=st.binary())
@example(number=1, data=b"")
@example(number=2, data=b"")
@example(number=1, data=b"\x91" * 5000)
@example(number=2, data=b"[" * 100_000)
@example(number=2, data=b'{"a":' * 100_000)
@example(number=1, data=b"\xdd\xff\xff\xff\xff")
@example(number=1, data=b"\x91\xd4\x07x")
@example(number=1, data=b"\x81\x90\xc0")
@example(number=1, data=b"\xd4\x63\0")
@example(number=2, data=b'{"$dict":[[{},1]]}')
@example(number=2, data=b'{"$uuid":{}}')
@example(number=2, data=b'{"$int":"' + b"9" * 100_000 + b'"}')
@example(number=2, data=b"9" * 100_000)
@example(number=2, data=b"\xff\xfe")
def test_random_bytes_are_a_decoding_error_or_a_value(number: int, data: bytes) -> None:
    readable_or_damaged(number, data)


@pytest.mark.slow
@given(
    tag=st.sampled_from(
        [
            "$datetime",
            "$date",
            "$time",
            "$timedelta",
            "$decimal",
            "$uuid",
            "$int",
            "$float",
            "$bytes",
            "$tuple",
            "$set",
            "$frozenset",
            "$dict",
            "$mine",
        ]
    ),
    content=st.recursive(
        st.none() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ),
)
def test_any_content_of_a_tag(tag: str, content: Any) -> None:
    readable_or_damaged(2, json.dumps({tag: content}).encode())


@pytest.mark.slow
@given(number=st.integers(-128, 127), content=st.binary(max_size=20) | st.text(max_size=20).map(str.encode))
def test_any_content_of_an_extension(number: int, content: bytes) -> None:
    readable_or_damaged(
        1,
        msgpack.packb(msgpack.ExtType(number, content))
        if number >= 0
        else b"\xc7" + bytes([len(content), number % 256]) + content,
    )


@pytest.mark.slow
@each_codec
@given(value=values, cut=st.floats(0, 1), byte=st.integers(0, 255))
def test_damaged_bytes_are_a_decoding_error_or_another_value(
    codec: PayloadCodec, value: Any, cut: float, byte: int
) -> None:
    number, data = codec.encode([SECRET, value, [SECRET] * 20])
    place = int(cut * len(data))
    readable_or_damaged(number, data[:place])
    readable_or_damaged(number, data[:place] + bytes([byte]) + data[place + 1 :])


def test_a_damaged_row_shows_nothing_of_the_value() -> None:
    number, data = CODECS["json"].encode({"card": SECRET, "at": date(2026, 1, 1)})
    with pytest.raises(DecodingError) as error:
        CODECS["json"].decode(number, data.replace(b"2026-01-01", SECRET.encode()))
    assert error.value.problem == "the stored bytes are damaged, or not of codec 2 (ValueError)"
    assert error.value.__suppress_context__


# --- codecs of one's own, other numbers, compression


class ReprCodec:
    def __init__(self, number: Any = 64) -> None:
        self.number = number

    def encode(self, value: Any, *, typed: bool = False) -> bytes:  # noqa: ARG002
        return base64.b64encode(str(value["text"]).encode("ascii"))

    def decode(self, data: bytes) -> Any:
        return {"text": base64.b64decode(data, validate=True).decode()}


@pytest.mark.parametrize("number", [64, 255])
@pytest.mark.parametrize("compress_above", [None, 0])
def test_a_codec_of_ones_own(number: int, compress_above: int | None) -> None:
    codec = PayloadCodec(ReprCodec(number), compress_above=compress_above)
    stored = codec.encode({"text": "a" * 500})
    assert stored[0] == number + (0 if compress_above is None else 256)
    assert codec.decode(*stored) == {"text": "a" * 500}
    assert codec.decode(*CODECS["json"].encode([1])) == [1]
    with pytest.raises(DecodingError):
        codec.decode(number, b"?")
    with pytest.raises(DecodingError, match=f"number {number}"):
        CODECS["json"].decode(number, stored[1])


def test_what_a_codec_of_ones_own_refuses() -> None:
    with pytest.raises(EncodingError) as error:
        PayloadCodec(ReprCodec()).encode({"text": SECRET + "é"})
    assert SECRET not in str(error.value)


@pytest.mark.parametrize("number", [-1, 0, 1, 2, 63, 256, 257, True, "64", 64.0, None])
def test_a_number_that_is_not_free(number: Any) -> None:
    with pytest.raises(InvalidInput, match="between 64 and 255"):
        PayloadCodec(ReprCodec(number))


def test_an_heir_of_a_built_in_codec_needs_a_number_of_its_own() -> None:
    class Heir(JSONCodec):
        pass

    class NumberedHeir(JSONCodec):
        number = 64  # type: ignore[misc]  # final in JSONCodec

    with pytest.raises(InvalidInput):
        PayloadCodec(Heir())
    assert PayloadCodec(NumberedHeir()).encode(1) == (64, b"1")


@pytest.mark.parametrize("codec", [None, JSONCodec, "json", object()])
def test_what_is_no_codec(codec: Any) -> None:
    with pytest.raises(InvalidInput):
        PayloadCodec(codec)


@pytest.mark.parametrize("number", [3, 63, 64, 255, 256, 259, 512, 513, 32_767, -1, -255, -32_768])
def test_an_unknown_number_in_a_row(number: int) -> None:
    with pytest.raises(DecodingError, match=f"the codec with number {number},"):
        CODECS["msgpack"].decode(number, b"\xc0")


@pytest.mark.parametrize("codec", [MessagePackCodec(), JSONCodec()])
def test_rows_of_other_codecs_stay_readable(codec: Codec) -> None:
    reader = PayloadCodec(codec)
    value = {"text": "x" * 1000, "members": {1}}
    for writer in CODECS.values():
        assert reader.decode(*writer.encode(value)) == value


def test_rows_of_an_earlier_codec_of_ones_own_stay_readable() -> None:
    earlier = ReprCodec(64)
    stored = PayloadCodec(earlier).encode({"text": "a"})
    assert PayloadCodec(ReprCodec(65), also_reads=[earlier]).decode(*stored) == {"text": "a"}
    assert PayloadCodec(JSONCodec(), also_reads=[earlier, MessagePackCodec()]).decode(*stored) == {"text": "a"}


def test_two_codecs_under_one_number_are_refused() -> None:
    with pytest.raises(InvalidInput, match="two codecs have the number 64"):
        PayloadCodec(ReprCodec(64), also_reads=[ReprCodec(64)])
    with pytest.raises(InvalidInput, match="between 64 and 255"):
        PayloadCodec(JSONCodec(), also_reads=[ReprCodec(1)])
    with pytest.raises(InvalidInput, match="also_reads"):
        PayloadCodec(JSONCodec(), also_reads=ReprCodec(65))  # type: ignore[arg-type]  # on purpose


@pytest.mark.parametrize("codec", [MessagePackCodec(), JSONCodec()])
def test_only_what_is_larger_is_compressed_and_only_where_that_helps(codec: Codec) -> None:
    size = len(codec.encode("x" * 1000))
    number = codec.number
    assert PayloadCodec(codec, compress_above=size).encode("x" * 1000)[0] == number
    assert PayloadCodec(codec, compress_above=size - 1).encode("x" * 1000)[0] == number + 256
    assert PayloadCodec(codec, compress_above=0).encode("x")[0] == number


@pytest.mark.slow
def test_a_few_bytes_do_not_fill_the_memory_of_a_reader() -> None:
    """What a store writes it also reads: what would shrink more is stored as it is."""
    codec = PayloadCodec(MessagePackCodec(), compress_above=0)
    fine, too_much = b"x" * (16 * 2**20 - 10), b"x" * (16 * 2**20)
    number, data = codec.encode(fine)
    assert (number, len(data) < 10_000, codec.decode(number, data) == fine) == (257, True, True)
    assert codec.encode(too_much)[0] == 1
    bomb = zstandard.compress(MessagePackCodec().encode(too_much))
    with pytest.raises(
        DecodingError, match=r"compressed bytes would become 16777221, which is more than a store compresses"
    ):
        codec.decode(257, bomb)
    streamed = zstandard.ZstdCompressor(write_content_size=False).compress(MessagePackCodec().encode(too_much))
    with pytest.raises(DecodingError, match="damaged"):
        codec.decode(257, streamed)
    with pytest.raises(DecodingError, match="more than a store compresses"):
        codec.encode_as(257, too_much)


def test_what_hardly_shrinks_may_be_of_any_size() -> None:
    codec = PayloadCodec(MessagePackCodec(), compress_above=0)
    large = Random(1).randbytes(1000) * 20_000
    number, data = codec.encode(large + Random(2).randbytes(100_000))
    assert (number, len(codec.decode(number, data))) == (257, 20_100_000)


@pytest.mark.parametrize("compress_above", [True, False, -1, 1.5, "1000", 2**63])
def test_bad_values_of_compress_above(compress_above: Any) -> None:
    with pytest.raises(InvalidInput, match="compress_above"):
        PayloadCodec(MessagePackCodec(), compress_above=compress_above)


def test_without_zstd(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = CODECS["json-zstd"].encode("x" * 1000)
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(InvalidInput, match=r"zstd is not installed; install sqlalchemy-eventstore\[zstd\]"):
        PayloadCodec(JSONCodec(), compress_above=1000)
    with pytest.raises(DecodingError, match="zstd is not installed"):
        PayloadCodec(JSONCodec()).decode(*stored)
    assert there_and_back(PayloadCodec(JSONCodec()), [1]) == [1]
