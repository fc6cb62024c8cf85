"""What a data frame holds is appended exactly, or refused before anything is written."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import partial
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventstore import EncodingError, EventStore, InvalidInput, NewEvent
from eventstore.contrib import frames

BERLIN = ZoneInfo("Europe/Berlin")
NEW_YORK = ZoneInfo("America/New_York")
EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  # the columns have no zone
Cells = list[Any]
SLOW = [HealthCheck.too_slow]  # of a machine with other work


@dataclass(frozen=True)
class Kind:
    """Columns of one kind.

    Attributes:
        cells: What can be put in.
        column: Makes a column of a list of these.
        held: Returns what a cell then holds; raises Refused if no event can hold it exactly.
    """

    cells: st.SearchStrategy[Any]
    column: Callable[[Cells], Any]
    held: Callable[[Any], Any] = lambda cell: cell


class Refused(Exception):
    """A cell that no event can hold exactly."""


def refuse(_: Any) -> Any:
    raise Refused


def or_refused(cell: Any, *, fits: bool) -> Any:
    if not fits:
        raise Refused
    return cell


def exactly(one: Any, other: Any) -> bool:
    """Whether two values are the same in every part: classes, digits, zones."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(exactly(part, other[name]) for name, part in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(exactly, one, other))
    if isinstance(one, datetime):
        return (one, one.fold, str(one.tzinfo), one.utcoffset()) == (
            other, other.fold, str(other.tzinfo), other.utcoffset()
        )  # fmt: skip
    if isinstance(one, set):
        return one == other and {*map(repr, one)} == {*map(repr, other)}
    return bool(repr(one) == repr(other))


# --- what is in cells

nothing = st.none()
whole_numbers = st.integers(-(2**63), 2**63 - 1)
numbers = st.floats(allow_nan=False)
texts = st.text(max_size=5)
decimals = st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-(10**6), max_value=10**6)
first, last = datetime(1700, 1, 1), datetime(2200, 1, 1)  # noqa: DTZ001  # zones are put on them
times = st.datetimes(first, last).map(lambda each: each.replace(fold=0))
durations = st.timedeltas(timedelta(days=-(10**5)), timedelta(days=10**5))
plain = nothing | st.booleans() | st.integers() | st.floats() | texts | decimals | st.dates() | times | st.uuids()
names = st.sampled_from("abc")
nested = st.recursive(
    plain,
    lambda parts: (
        st.lists(parts, max_size=3)
        | st.dictionaries(names, parts, max_size=3)
        | st.lists(parts, max_size=2).map(tuple)
        | st.sets(texts, max_size=2)
    ),
    max_leaves=5,
)
odd = st.sampled_from(
    [
        pd.Period("2026-03", "M"), pd.Interval(0, 1), 1j, object(), np.int64(1), np.array([1]), np.datetime64("2026"),
        pd.Timestamp(1), [pd.NaT], {"a": pd.NA}, "\ud800",
    ]
)  # fmt: skip


def zoned(cells: Cells, zone: tzinfo) -> Any:
    return pd.Series(pd.to_datetime(pd.Series(cells, dtype="datetime64[us]"), utc=True)).dt.tz_convert(zone)


def missing(cell: Any) -> Any:
    """What pandas takes for missing in a column of objects is None."""
    return None if (isinstance(cell, float) and math.isnan(cell)) or cell is pd.NA or cell is pd.NaT else cell


def with_zone(zone: tzinfo) -> Callable[[datetime | None], datetime | None]:
    return lambda cell: cell and cell.replace(tzinfo=UTC).astimezone(zone)


def of_dtype(dtype: Any) -> Callable[[Cells], Any]:
    return lambda cells: pd.Series(cells, dtype=dtype)


PANDAS: dict[str, Kind] = {
    "objects": Kind(nested | st.datetimes(first, last) | st.sampled_from([pd.NA, pd.NaT]), of_dtype(object), missing),
    "dicts with different keys": Kind(st.dictionaries(names, nested), of_dtype(object)),
    "odd objects": Kind(odd, of_dtype(object), refuse),
    "int64": Kind(whole_numbers, of_dtype("int64")),
    "uint64": Kind(st.integers(0, 2**64 - 1), of_dtype("uint64")),
    "int8": Kind(st.integers(-128, 127), of_dtype("int8")),
    "Int64": Kind(whole_numbers | nothing, of_dtype("Int64")),
    "float64": Kind(numbers | nothing, of_dtype("float64")),
    "float32": Kind(st.floats(width=32, allow_nan=False), of_dtype("float32")),
    "Float64": Kind(numbers | nothing, of_dtype("Float64")),
    "bool": Kind(st.booleans(), of_dtype("bool")),
    "boolean": Kind(st.booleans() | nothing, of_dtype("boolean")),
    "texts": Kind(texts | nothing, pd.Series),
    "string": Kind(texts | nothing, of_dtype("string")),
    "microseconds": Kind(times | nothing, of_dtype("datetime64[us]")),
    "seconds": Kind(
        st.integers(-(10**12), 10**12),
        lambda cells: pd.Series(np.array(cells, "datetime64[s]")),
        lambda cell: or_refused(timedelta(seconds=cell), fits=-62135596800 <= cell < 253402300800) + EPOCH,
    ),
    "nanoseconds": Kind(
        st.integers(-(10**18), 10**18) | st.integers(-(10**15), 10**15).map(lambda each: each * 1000),
        lambda cells: pd.Series(np.array(cells, "datetime64[ns]")),
        lambda cell: or_refused(timedelta(microseconds=cell // 1000), fits=cell % 1000 == 0) + EPOCH,
    ),
    "times in Berlin": Kind(times | nothing, lambda cells: zoned(cells, BERLIN), with_zone(BERLIN)),
    "times in New York, by pandas": Kind(
        times | nothing,
        lambda cells: zoned(cells, UTC).dt.tz_convert("America/New_York"),  # pandas 2 calls pytz
        with_zone(NEW_YORK),
    ),
    "times at an offset": Kind(
        times | nothing,
        lambda cells: zoned(cells, timezone(timedelta(hours=-3, minutes=-30))),
        with_zone(timezone(timedelta(hours=-3, minutes=-30))),
    ),
    "durations": Kind(durations | nothing, of_dtype("timedelta64[us]")),
    "periods": Kind(
        whole_numbers, lambda cells: pd.Series(pd.period_range("2026", periods=len(cells), freq="D")), refuse
    ),
    "intervals": Kind(nothing, lambda cells: pd.Series(pd.interval_range(0, len(cells))), refuse),
    "complex": Kind(nothing, lambda cells: pd.Series([1j] * len(cells)), refuse),
    "categories": Kind(texts | nothing, of_dtype("category")),
    "categories of dates": Kind(st.dates(), of_dtype("category")),
    "categories of intervals": Kind(
        nothing, lambda cells: pd.Series(pd.interval_range(0, len(cells)), dtype="category"), refuse
    ),
    "sparse": Kind(whole_numbers, lambda cells: pd.Series(pd.arrays.SparseArray(cells)), refuse),
    "lists in Arrow": Kind(
        st.lists(whole_numbers | nothing, max_size=3) | nothing, of_dtype(pd.ArrowDtype(pa.list_(pa.int64())))
    ),
    "decimals in Arrow": Kind(decimals | nothing, of_dtype(pd.ArrowDtype(pa.decimal128(20, 2)))),
}


def of_polars(dtype: Any) -> Callable[[Cells], Any]:
    return lambda cells: pl.Series(cells, dtype=dtype, strict=True)


zoned_times = times.map(lambda each: each.replace(tzinfo=UTC))
POLARS: dict[str, Kind] = {
    "Int64": Kind(whole_numbers | nothing, of_polars(pl.Int64)),
    "UInt64": Kind(st.integers(0, 2**64 - 1) | nothing, of_polars(pl.UInt64)),
    "Float64": Kind(st.floats() | nothing, of_polars(pl.Float64)),
    "Float32": Kind(st.floats(width=32) | nothing, of_polars(pl.Float32)),
    "Boolean": Kind(st.booleans() | nothing, of_polars(pl.Boolean)),
    "String": Kind(texts | nothing, of_polars(pl.String)),
    "Binary": Kind(st.binary() | nothing, of_polars(pl.Binary)),
    "Categorical": Kind(texts | nothing, of_polars(pl.Categorical)),
    "Enum": Kind(names | nothing, of_polars(pl.Enum(["a", "b", "c"]))),
    "Date": Kind(st.dates() | nothing, of_polars(pl.Date)),
    "Time": Kind(st.times().map(lambda each: each.replace(fold=0)) | nothing, of_polars(pl.Time)),
    "Duration": Kind(durations | nothing, of_polars(pl.Duration("ns"))),
    "Datetime": Kind(times | nothing, of_polars(pl.Datetime("ns"))),
    "Datetime in Berlin": Kind(
        zoned_times | nothing,
        of_polars(pl.Datetime("us", "Europe/Berlin")),
        lambda cell: cell and cell.astimezone(BERLIN),
    ),
    "Decimal": Kind(decimals | nothing, of_polars(pl.Decimal(20, 2))),
    "List of times": Kind(
        st.lists(zoned_times | nothing, max_size=3) | nothing,
        of_polars(pl.List(pl.Datetime("ns", "Europe/Berlin"))),
        lambda cell: cell and [part and part.astimezone(BERLIN) for part in cell],
    ),
    "Array": Kind(st.lists(whole_numbers, min_size=2, max_size=2) | nothing, of_polars(pl.Array(pl.Int64, 2))),
    "Struct": Kind(
        st.fixed_dictionaries({"n": whole_numbers | nothing, "at": times | nothing}) | nothing,
        of_polars(pl.Struct({"n": pl.Int64, "at": pl.Datetime("ns")})),
    ),
    "Null": Kind(nothing, of_polars(pl.Null)),
}


@pytest.fixture(scope="module")
def store() -> Iterator[EventStore]:
    with EventStore.in_memory() as store:
        yield store


def check(store: EventStore, data: Any, held: dict[str, Callable[[], Cells]]) -> None:
    """Append the rows to a new stream; they must be those that are held, or none if one is refused."""
    stream_id = f"rows-{uuid4()}"
    try:
        columns = {name: cells() for name, cells in held.items()}
    except Refused:
        with pytest.raises((InvalidInput, EncodingError)):
            append(store, stream_id, data)
        assert store.stream_version(stream_id) == 0
        return
    append(store, stream_id, data)
    rows = [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
    stored = [event.data for event in store.read_stream(stream_id)]
    assert len(stored) == len(rows)
    for one, other in zip(rows, stored, strict=True):
        assert exactly(one, other), (one, other)


def append(store: EventStore, stream_id: str, data: Any) -> None:
    frames.append(store, data, stream_id=lambda _: stream_id, event=lambda row: NewEvent("kept", row), key=None)


@st.composite
def columns(draw: st.DrawFn, kinds: dict[str, Kind]) -> dict[str, tuple[Kind, Cells]]:
    """Some columns of the same length, each of some kind."""
    length = draw(st.integers(1, 4))
    chosen = draw(st.lists(st.sampled_from(sorted(kinds)), min_size=1, max_size=3, unique=True))
    return {name: (kinds[name], draw(st.lists(kinds[name].cells, min_size=length, max_size=length))) for name in chosen}


def held_in(drawn: dict[str, tuple[Kind, Cells]]) -> dict[str, Callable[[], Cells]]:
    return {name: partial(held_by, kind, cells) for name, (kind, cells) in drawn.items()}


def held_by(kind: Kind, cells: Cells) -> Cells:
    return [kind.held(cell) for cell in cells]


@pytest.mark.slow
@settings(max_examples=100, deadline=None, suppress_health_check=SLOW)
@given(drawn=columns(PANDAS))
def test_what_a_data_frame_of_pandas_holds_is_appended_exactly_or_refused(
    store: EventStore, drawn: dict[str, tuple[Kind, Cells]]
) -> None:
    data = pd.DataFrame({name: kind.column(cells) for name, (kind, cells) in drawn.items()})
    check(store, data, held_in(drawn))


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=SLOW)
@given(drawn=columns(POLARS))
def test_what_a_data_frame_of_polars_holds_is_appended_exactly_or_refused(
    store: EventStore, drawn: dict[str, tuple[Kind, Cells]]
) -> None:
    check(store, pl.DataFrame({name: kind.column(cells) for name, (kind, cells) in drawn.items()}), held_in(drawn))


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=SLOW)
@given(rows=st.lists(st.dictionaries(names, nested), min_size=1, max_size=4))
def test_mappings_are_appended_as_they_are(store: EventStore, rows: list[dict[str, Any]]) -> None:
    stream_id = f"rows-{uuid4()}"
    append(store, stream_id, rows)
    stored = [event.data for event in store.read_stream(stream_id)]
    assert len(stored) == len(rows)
    assert all(map(exactly, stored, rows))


# --- names, indexes, and what is refused by name


def test_named_levels_of_an_index_of_pandas_are_columns_and_others_are_not(store: EventStore) -> None:
    levels = pd.MultiIndex.from_tuples([(1, "x"), (2, "y")], names=["id", None])
    indexes = {"x": pd.RangeIndex(2), "y": pd.Index([1, 2], name="id"), "z": levels}
    for name, index in indexes.items():
        append(store, f"index-{name}", pd.DataFrame({"n": [7, 8]}, index=index))
        stored = [event.data for event in store.read_stream(f"index-{name}")]
        assert stored == ([{"n": 7}, {"n": 8}] if name == "x" else [{"id": 1, "n": 7}, {"id": 2, "n": 8}])


NESTED_TIMES: Any = pa.struct({"at": pa.list_(pa.timestamp("ns"))})
REFUSED: dict[str, Callable[[], Any]] = {
    "must be text, not int": lambda: pd.DataFrame([[1, 2]]),
    "must be text, not tuple": lambda: pd.DataFrame([[1]], columns=pd.MultiIndex.from_tuples([("a", "b")])),
    "two columns 'a'": lambda: pd.DataFrame([[1, 2]], columns=["a", "a"]),
    "two columns 'n'": lambda: pd.DataFrame({"n": [1]}, index=pd.Index([1], name="n")),
    "two columns 'x'": lambda: pa.Table.from_arrays([pa.array([1])] * 2, names=["x", "x"]),
    "struct<x: int64, x: int64>": lambda: pa.table({"n": pa.StructArray.from_arrays([pa.array([1])] * 2, ["x", "x"])}),
    "pandas.period": lambda: pa.Table.from_pandas(pd.DataFrame({"n": pd.period_range("2026", periods=1, freq="M")})),
    "map<string, int64>": lambda: pa.table({"n": pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64()))}),
    "month_day_nano_interval": lambda: pa.table({"n": pa.array([(1, 2, 3)], pa.month_day_nano_interval())}),
    "tz=Mars/Base": lambda: pa.table({"n": pa.array([1], pa.timestamp("us", "Mars/Base"))}),
    "type Object": lambda: pl.DataFrame({"n": pl.Series([object()], dtype=pl.Object)}),
    "type TIME WITH TIME ZONE": lambda: duckdb.sql("SELECT '12:00:00+02'::TIMETZ AS n"),
    "type BIT": lambda: duckdb.sql("SELECT '0101'::BIT AS n"),
    "can't be read as Arrow columns": lambda: pl.Series([1]),
    "finer than a microsecond": lambda: pa.table({"n": pa.array([{"at": [1]}], NESTED_TIMES)}),
    "after the year 9999": lambda: pa.table({"n": pa.array([10**8], pa.date32())}),
}


@pytest.mark.parametrize("part", REFUSED)
def test_what_can_not_be_appended_exactly_is_refused_by_name(store: EventStore, part: str) -> None:
    stream_id = f"refused-{uuid4()}"
    with pytest.raises(InvalidInput) as error:
        append(store, stream_id, REFUSED[part]())
    assert part in str(error.value)
    assert store.stream_version(stream_id) == 0


@pytest.mark.slow
def test_rows_are_read_a_thousand_at_a_time_however_large_a_batch_of_arrow_is(store: EventStore) -> None:
    finer = pa.table({"n": pa.array([*range(0, 3_000_000, 1000), 1], pa.timestamp("ns"))})
    told: list[int] = []
    with pytest.raises(InvalidInput):
        frames.append(
            store,
            finer,
            stream_id=lambda _: "large-1",
            event=lambda row: NewEvent("kept", row),
            key=None,
            batch_size=500,
            progress=lambda done: told.append(done.rows),
        )
    assert told == [500, 1000, 1500, 2000, 2500, 3000]  # and what can't be appended comes after these
