"""MessagePack is read by msgspec if msgpack reads the same from it, and by msgpack otherwise."""

import sys
from collections.abc import Callable
from typing import Any

import msgpack
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from eventstore.codecs import MessagePackCodec, messagepack
from eventstore.codecs.messagepack import unpack

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(),
    st.text(),
    st.binary(max_size=20),
    st.builds(msgpack.ExtType, st.integers(0, 127), st.binary(max_size=20)),
    st.builds(msgpack.Timestamp, st.integers(0, 2**34), st.integers(0, 999_999_999)),
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(), st.text()),
    lambda parts: st.lists(parts, max_size=4) | st.dictionaries(st.text(), parts, max_size=4),
    max_leaves=12,
)
PARTS = st.recursive(
    SCALARS,
    lambda parts: st.lists(parts, max_size=4) | st.lists(st.tuples(SCALARS | st.lists(SCALARS, max_size=2), parts)),
    max_leaves=12,
)
"""A list of pairs is packed as a map, so keys can be anything, and more than once."""


def packed(value: Any) -> bytes:
    packer = msgpack.Packer()
    if type(value) is list and value and all(type(part) is tuple for part in value):
        head: bytes = packer.pack_map_header(len(value))
        return head + b"".join(packed(key) + packed(part) for key, part in value)
    if type(value) is list:
        return bytes(packer.pack_array_header(len(value))) + b"".join(map(packed, value))
    return bytes(packer.pack(value))


def mutated(data: bytes, changes: list[tuple[int, int]], cut: int) -> bytes:
    changed = bytearray(data)
    for place, byte in changes:
        if changed:
            changed[place % len(changed)] = byte
    return bytes(changed[: len(changed) - cut] if cut else changed)


MESSAGES = st.one_of(
    PARTS.map(packed),
    JSON.map(msgpack.packb),
    st.builds(
        mutated,
        PARTS.map(packed) | JSON.map(msgpack.packb),
        st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 255)), max_size=3),
        st.integers(0, 3),
    ),
    st.builds(bytes.__add__, JSON.map(msgpack.packb), st.binary(max_size=2)),
    st.binary(max_size=40),
)


def outcome(read: Callable[[bytes], Any], data: bytes) -> Any:
    """Return the value with the types of all its parts, or the type and the text of the error."""
    try:
        return described(read(data))
    except Exception as error:  # noqa: BLE001  # damaged bytes make it raise anything
        return type(error), str(error)


def described(value: Any) -> Any:
    if isinstance(value, dict):
        return dict, [(described(key), described(part)) for key, part in value.items()]
    if isinstance(value, list | tuple):
        return type(value), [described(part) for part in value]
    return type(value), repr(value)


def nested(depth: int, wrap: Callable[[bytes], bytes]) -> bytes:
    data = b"\x01"
    for _ in range(depth):
        data = wrap(data)
    return data


@pytest.mark.slow
@settings(max_examples=50)
@given(data=MESSAGES)
@example(data=b"")
@example(data=b"\xc1")
@example(data=b"\x01\x02")
@example(data=b"\x81\x91\x01\x02")  # a list as a key, of which msgspec can make a tuple
@example(data=b"\x82\xa1a\x81\x91\x01\x02\xa1b\x03")  # the same, further inside
@example(data=b"\x81\x81\x01\x02\x03")  # a map as a key
@example(data=b"\x81\xc4\x01a\x02")  # bytes as a key
@example(data=b"\x84\x01\x02\xc3\x03\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00\x04\xc0\x05")  # 1, True, 1.0 and None as keys
@example(data=b"\x82\xa1a\x01\xa1a\x02")  # a key twice
@example(data=b"\x81\xa1a\xd6\xff\x00\x00\x00\x01")  # a timestamp
@example(data=b"\x81\xa1a\xd6\x63\x00\x00\x00\x01")  # an unknown extension
@example(data=b"\x81\xa1a\xca\x7f\xc0\x00\x00")  # NaN, in 32 bits
@example(data=b"\x81\xa1a\xcb\x80\x00\x00\x00\x00\x00\x00\x00")  # -0.0
@example(data=b"\x81\xa1a\xcf\xff\xff\xff\xff\xff\xff\xff\xff")  # the largest integer
@example(data=b"\x81\xa1a\xa3\xed\xa0\x80")  # half of a surrogate pair
@example(data=b"\x81\xa3\xed\xa0\x80\x01")  # the same, as a key
@example(data=b"\x81\xa1a\xdd\xff\xff\xff\xff")  # more parts than bytes
@example(data=b"\xdf\xff\xff\xff\xff\xa1a\x01")
@example(data=b"\xdb\xff\xff\xff\xff\x61")
def test_both_ways_read_the_same(data: bytes) -> None:
    assert outcome(MessagePackCodec().decode, data) == outcome(unpack, data)


@pytest.mark.slow
@pytest.mark.parametrize("wrap", [lambda data: b"\x91" + data, lambda data: b"\x81\xa1k" + data], ids=["list", "dict"])
@pytest.mark.parametrize("depth", [1, 4, 5, 6, 100, 500, 1022, 1023, 1024, 1025, 5000])
def test_both_ways_read_the_same_at_any_depth(depth: int, wrap: Callable[[bytes], bytes]) -> None:
    data, limit = nested(depth, wrap), sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)  # deeper than msgpack reads
    try:
        assert outcome(MessagePackCodec().decode, data) == outcome(unpack, data)
    finally:
        sys.setrecursionlimit(limit)


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"amount": 30},
        {"article": "ä", "price": 1.5, "is_paid": True, "note": None},
        {"lines": [{"sku": "a", "options": {"colours": ["red"]}}]},
        [],
        "text",
        2**64 - 1,
    ],
)
def test_json_types_do_not_need_msgpack(value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    data = MessagePackCodec().encode(value)
    monkeypatch.delattr(messagepack, "unpack")
    assert described(MessagePackCodec().decode(data)) == described(value)
