"""Metadata: what comes back, and what is refused."""

import contextlib
import json
import math
import sys
from collections import OrderedDict
from collections.abc import Callable, Mapping
from decimal import Decimal
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from eventstore import DecodingError
from eventstore.codecs.metadata import decode_metadata, encode_metadata
from eventstore.errors import InvalidMetadata
from tests.fix_leaks import SECRET

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
values: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.integers(-(10**400), 10**400),
        st.floats(allow_nan=False, allow_infinity=False).map(lambda value: value or 0.0),  # -0.0 is refused
        st.floats(1e15, 1e24),
        texts,
    ),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
metadatas = st.dictionaries(texts, values, max_size=5)


def as_postgresql_keeps_it(text: str) -> str:
    """Return the text of a JSONB value: its numbers are decimals, printed without an exponent; its keys are sorted."""

    class Digits(float):
        digits = ""

        def __repr__(self) -> str:
            return self.digits

    def decimal(digits: str) -> Any:
        number = Digits(1.0)
        number.digits = f"{Decimal(digits):f}".removeprefix("-" if Decimal(digits) == 0 else "")
        return number

    def printed(value: Any) -> str:
        match value:
            case Digits():
                return value.digits
            case list():
                return f"[{', '.join(map(printed, value))}]"
            case dict():
                return f"{{{', '.join(f'{printed(key)}: {printed(part)}' for key, part in sorted(value.items()))}}}"
        return json.dumps(value, ensure_ascii=False)

    return printed(json.loads(text, parse_float=decimal))


def typed(value: Any) -> Any:
    """Return the value with the types of all numbers in it, as 1, 1.0 and True are equal."""
    match value:
        case list():
            return [typed(part) for part in value]
        case dict():
            return {key: typed(part) for key, part in value.items()}
    return type(value), value


@pytest.mark.slow
@given(metadata=st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text(), max_size=4))
@example(metadata={"a": "\\u0000"})
@example(metadata={"a": "\0"})
@example(metadata={"a": "\ud800"})
@example(metadata={"\ud800": 1})
@example(metadata={"a": 10**400, "b": -(2**64)})
def test_what_is_simple_is_written_as_anything_else(metadata: dict[str, Any]) -> None:
    """It takes a shorter way."""

    def outcome(value: Mapping[str, Any]) -> str | None:
        try:
            return encode_metadata(value)
        except InvalidMetadata as error:
            return f"refused: {error}"

    assert outcome(metadata) == outcome(MappingProxyType(metadata))


@pytest.mark.slow
@given(metadata=metadatas)
@example(metadata={"f": [1e16, 1e22, 1e23, -1.7e308, 9999999999999998.0, 5e-324, 0.0, 123456789012345680.0]})
@example(metadata={"n": [2**53 + 1, 2**63, 2**64, -(2**63) - 1, 10**4299]})
@example(metadata={"": {"": []}, '\u2028\x7f\x1f"\\/': "🦆\uffff"})
@example(metadata={"$set": [1], "a.b": {"c d": 1}})
def test_metadata_comes_back_as_it_was(metadata: dict[str, Any]) -> None:
    text = encode_metadata(metadata)
    assert typed(decode_metadata(text)) == typed(metadata)
    if text is not None:
        json.loads(text)  # anyone can read it
        assert typed(decode_metadata(as_postgresql_keeps_it(text))) == typed(metadata)


@pytest.mark.parametrize("metadata", [None, {}, MappingProxyType({}), OrderedDict()])
def test_no_metadata(metadata: Mapping[str, Any] | None) -> None:
    assert encode_metadata(metadata) is None
    assert decode_metadata(None) == {}


class Level(IntEnum):
    LOW = 1


class Unit(StrEnum):
    METRE = "m"


class Text(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "another text"


class Real(float):
    def __repr__(self) -> str:
        return "another number"


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        (MappingProxyType({"a": 1}), {"a": 1}),
        ({"a": OrderedDict(b=1)}, {"a": {"b": 1}}),
        ({Text("key"): Text("value")}, {"key": "value"}),
        ({Unit.METRE: Unit.METRE}, {"m": "m"}),
        ({"level": Level.LOW}, {"level": 1}),
        ({"real": Real(1.5), "large": Real(1e300)}, {"real": 1.5, "large": 1e300}),
    ],
)
def test_subclasses_come_back_as_what_they_are_equal_to(metadata: Mapping[str, Any], expected: dict[str, Any]) -> None:
    assert typed(decode_metadata(encode_metadata(metadata))) == typed(expected)


# --- what is refused

NOT_JSON = "is not a JSON value but {}; convert it, for example to a string"
NOT_FINITE = "is NaN or an infinity, which JSON does not have"
NEGATIVE_ZERO = "is -0.0, whose sign PostgreSQL does not keep in JSON; use 0.0, or a string"
NUL = "contains the character NUL, which PostgreSQL can't store in JSON"
SURROGATE = "is not valid Unicode: half of a surrogate pair"

REFUSED: list[tuple[Any, str]] = [
    (math.nan, NOT_FINITE),
    (math.inf, NOT_FINITE),
    (-math.inf, NOT_FINITE),
    (Real("nan"), NOT_FINITE),
    (-0.0, NEGATIVE_ZERO),
    (Real("-0.0"), NEGATIVE_ZERO),
    (f"{SECRET}\0", NUL),
    (f"{SECRET}\ud800", SURROGATE),
    ((1, 2), NOT_JSON.format("tuple")),
    ({1}, NOT_JSON.format("set")),
    (SECRET.encode(), NOT_JSON.format("bytes")),
    (UUID(int=7), NOT_JSON.format("UUID")),
    (Decimal(1), NOT_JSON.format("Decimal")),
    (object, NOT_JSON.format("type")),
    (MappingProxyType({}), NOT_JSON.format("mappingproxy")),
    ({7: 1}, "has a key that is not a string but int"),
    ({None: 1}, "has a key that is not a string but NoneType"),
    ({b"": 1}, "has a key that is not a string but bytes"),
]
REFUSED_KEYS = [(f"{SECRET[:4]}\0", NUL), ("\udfff", SURROGATE)]


@pytest.mark.parametrize("metadata", [[], [("a", 1)], "", "a", 0, 7, (), set(), object()])
def test_what_is_no_mapping(metadata: Any) -> None:
    with pytest.raises(InvalidMetadata) as error:
        encode_metadata(metadata)
    assert error.value.path == "$"
    assert str(error.value) == f"metadata at $ is not a mapping but {type(metadata).__name__}"


steps = st.lists(
    st.one_of(
        st.builds(
            lambda before: (f"[{len(before)}]", lambda value: [*before, value]), st.lists(st.just(SECRET), max_size=3)
        ),
        texts.map(lambda key: (f".{key}", lambda value: {"before": SECRET, key: value})),
    ),
    max_size=6,
)


@pytest.mark.slow
@given(refused=st.sampled_from(REFUSED), key=texts, steps=steps)
def test_the_path_leads_to_what_is_refused(
    refused: tuple[Any, str], key: str, steps: list[tuple[str, Callable[[Any], Any]]]
) -> None:
    (value, problem), path = refused, ""
    for step, wrap in [*steps, (f".{key}", lambda part: {key: part})]:
        path, value = step + path, wrap(value)
    with pytest.raises(InvalidMetadata) as error:
        encode_metadata(value)
    assert error.value.path == f"${path}"
    assert str(error.value) == f"metadata at ${path} {problem}"
    assert SECRET not in problem
    assert error.value.__context__ is None or error.value.__suppress_context__


@pytest.mark.parametrize(("key", "problem"), REFUSED_KEYS, ids=["NUL", "surrogate"])
def test_a_refused_key_is_not_shown(key: str, problem: str) -> None:
    with pytest.raises(InvalidMetadata) as error:
        encode_metadata({"a": [{key: SECRET}]})
    assert str(error.value) == f"metadata at $.a[0] (a key) {problem}"


def test_an_integer_of_too_many_digits() -> None:
    with pytest.raises(InvalidMetadata, match="an integer of too many digits"):
        encode_metadata({"a": 10**5000})


def nested(wrap: Callable[[Any], Any], depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = wrap(value)
    return value


@pytest.mark.slow
@pytest.mark.parametrize("wrap", [lambda value: [value], lambda value: {"a": value}], ids=["list", "dict"])
def test_metadata_is_nested_100_levels_deep_at_most(wrap: Callable[[Any], Any]) -> None:
    deepest = {"a": nested(wrap, 99)}
    assert decode_metadata(encode_metadata(deepest)) == deepest
    for depth in (100, 1000, 100_000):
        with pytest.raises(InvalidMetadata, match="more than 100 levels"):
            encode_metadata({"a": nested(wrap, depth)})


def test_metadata_that_contains_itself() -> None:
    endless: dict[str, Any] = {}
    endless["a"] = [endless]
    with pytest.raises(InvalidMetadata, match="contains itself") as error:
        encode_metadata(endless)
    assert len(str(error.value)) < 1000


def test_the_deepest_metadata_is_readable_from_a_deep_stack() -> None:
    text = encode_metadata({"a": nested(lambda value: [value], 99)})
    frame, depth = sys._getframe(), 0
    while frame := frame.f_back:  # type: ignore[assignment]  # None at the end
        depth += 1

    def deeper(levels: int) -> dict[str, Any]:
        return deeper(levels - 1) if levels else decode_metadata(text)

    assert deeper(sys.getrecursionlimit() - depth - 200) == decode_metadata(text)


# --- what is stored


def test_the_stored_text_never_changes() -> None:
    metadata = {"user": 7, "tags": ["ü", None, True, 1.5], "large": 1e23, "text": '"\n', "": {}}
    text = '{"user":7,"tags":["ü",null,true,1.5],"large":99999999999999991611392.0,"text":"\\"\\n","":{}}'
    assert encode_metadata(metadata) == text
    assert decode_metadata(text) == metadata


@pytest.mark.parametrize(
    "text", ["", "[]", "1", "null", "{", f'{{"a": "{SECRET}}}', '{"a": 01}', "[" * 100_000, '{"a":' * 100_000]
)
def test_stored_text_that_is_no_object(text: str) -> None:
    with pytest.raises(DecodingError) as error:
        decode_metadata(text)
    assert error.value.problem == "the stored metadata is not a JSON object"
    assert error.value.__suppress_context__


@pytest.mark.slow
@given(text=st.text())
def test_any_stored_text_is_a_decoding_error_or_an_object(text: str) -> None:
    with contextlib.suppress(DecodingError):
        assert isinstance(decode_metadata(text), dict)
