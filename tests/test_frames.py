"""Reads as frames: their columns, what shows itself later, and who takes them."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, make_dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import attrs
import duckdb
import msgspec
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pydantic
import pytest
from sqlalchemy import Engine, event

from eventstore import EventFilter, EventStore, EventTypes, InvalidInput, NewEvent
from eventstore.codecs import JSONCodec
from eventstore.contrib import frames
from eventstore.errors import EventTooNew, FieldMismatch

BERLIN = ZoneInfo("Europe/Berlin")
KEPT = EventFilter(event_types=["kept"])


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def engine(request: pytest.FixtureRequest) -> Engine:
    name = "sqlite_engine" if request.param == "sqlite" else "shared_postgres_engine"
    engine: Engine = request.getfixturevalue(name)
    return engine


# The columns of every event


def test_the_columns_of_every_event_hold_what_read_all_returns(engine: Engine) -> None:
    store = EventStore(engine, page_size=7)
    for number in range(4):
        events = [NewEvent("placed", {"n": n}, metadata={"own": n} if n % 2 else None) for n in range(10)]
        store.append(f"order-{number}", events, expected_version=0)
    store.append("alone", [NewEvent("paid", [1, {"a": 1.5}], schema_version=3)], expected_version=0)
    store.append("order-0", [NewEvent("placed")], expected_version=10, metadata={"ü": ['"', None]})
    frame = frames.read_all(store, batch_size=9)
    read = list(store.read_all())
    batches = list(frame.reader())
    table = pa.Table.from_batches(batches)
    assert [batch.num_rows for batch in batches] == [9, 9, 9, 9, 6]
    assert table.schema == frame.schema == frame.table().schema
    for name in ("position", "stream_id", "category", "version", "event_type", "schema_version", "recorded_at"):
        assert table[name].to_pylist() == [getattr(event, name) for event in read], name
    assert table["event_id"].to_pylist() == [str(event.event_id) for event in read]
    metadata = [None if text is None else json.loads(text) for text in table["metadata"].to_pylist()]
    assert metadata == [event.metadata or None for event in read]
    assert [JSONCodec().decode(text.encode()) for text in table["data"].to_pylist()] == [event.data for event in read]
    assert str(table.schema.field("recorded_at").type) == "timestamp[us, tz=UTC]"
    for name in ("stream_id", "category", "event_type"):
        assert pa.types.is_dictionary(table.schema.field(name).type)


def test_tags_are_a_column_and_metadata_is_as_it_was_given(engine: Engine) -> None:
    store = EventStore(engine)
    metadata = {"large": 1e23, "small": 1.0, "nested": [1, {"é": None}], "text": '"$tags"'}
    given: list[tuple[list[str], Any]] = [(["x", "é:1"], metadata), ([], metadata), (["x"], None), ([], None)]
    store.append("a-1", [NewEvent("kept", tags=tags, metadata=own) for tags, own in given], expected_version=0)
    for frame in (frames.read_all(store), frames.read_stream(store, "a-1", fields=[])):
        table = frame.table()
        assert table.schema.field("tags") == pa.field("tags", pa.list_(pa.string()), nullable=False)
        assert table["tags"].to_pylist() == [tags for tags, _ in given]
        read = [None if text is None else json.loads(text) for text in table["metadata"].to_pylist()]
        assert read == [own for _, own in given]
    assert frame.polars()["tags"].to_list() == [tags for tags, _ in given]
    assert [list(tags) for tags in frame.pandas()["tags"]] == [tags for tags, _ in given]
    tagged = frames.read_all(store, EventFilter(tags=["x"], event_types=["kept"]), EventFilter(tags=["none"]))
    assert tagged.table()["version"].to_pylist() == [1, 3]


@pytest.mark.slow
def test_tags_survive_parquet_and_come_back_as_events(engine: Engine, tmp_path: Path) -> None:
    store = EventStore(engine)
    store.append("a-1", [NewEvent("kept", {"n": 1}, tags=["x", "é"]), NewEvent("kept", {"n": 2})], expected_version=0)
    pq.write_table(frames.read_all(store, KEPT).table(), tmp_path / "kept.parquet")
    written = (
        pq.read_table(tmp_path / "kept.parquet"),
        pd.read_parquet(tmp_path / "kept.parquet", dtype_backend="pyarrow"),
        frames.read_all(store, KEPT).polars(),
        frames.read_all(store, KEPT).pandas(),
    )
    for data in written:
        with EventStore.in_memory() as copy:

            def again(row: dict[str, Any]) -> NewEvent:
                return NewEvent("kept", {"n": row["n"]}, tags=row["tags"])

            frames.append(copy, data, stream_id="stream_id", event=again, key="version")
            assert [(each.tags, each.data["n"]) for each in copy.read_all()] == [(("x", "é"), 1), ((), 2)]
            assert len(copy.read_boundary(EventFilter(tags=["é"]))) == 1


def test_a_stream_and_its_parts_are_frames(engine: Engine) -> None:
    store = EventStore(engine)
    store.append("order-1", [NewEvent("placed", {"n": n}) for n in range(25)], expected_version=0)
    store.append("order-2", [NewEvent("placed", {"n": 0})], expected_version=0)
    parts: list[dict[str, Any]] = [
        {},
        {"backwards": True},
        {"after_version": 5, "up_to_version": 18},
        {"limit": 7},
        {"limit": 0},
        {"backwards": True, "limit": 12},
    ]
    for part in parts:
        frame = frames.read_stream(store, "order-1", **part, fields=["n"], batch_size=10)
        read = list(store.read_stream("order-1", **part))
        assert frame.table()["n"].to_pylist() == [event.data["n"] for event in read]
        assert frame.table()["version"].to_pylist() == [event.version for event in read]


@pytest.mark.slow
def test_filters_positions_and_limits_are_those_of_read_all(engine: Engine) -> None:
    store = EventStore(engine)
    for number in range(20):
        events = [NewEvent("placed", {"n": number}), NewEvent("paid", {"amount": number})]
        store.append(f"{'order' if number % 3 else 'offer'}-{number}", events, expected_version=0)
    cases: list[tuple[list[EventFilter], dict[str, Any]]] = [
        ([EventFilter(event_types=["paid"]), EventFilter(categories=["offer"])], {"after_position": 4}),
        ([EventFilter(event_types=["paid"], categories=["order"])], {"limit": 5}),
        ([EventFilter(stream_ids=["nobody"])], {}),
        ([EventFilter(event_types=["paid"])], {"up_to_position": 9}),
        ([], {"recorded_since": datetime(2020, 1, 1, tzinfo=UTC), "up_to_position": 7}),
        ([], {"recorded_before": datetime(2020, 1, 1, tzinfo=UTC)}),
    ]
    for filters, bounds in cases:
        table = frames.read_all(store, *filters, **bounds, batch_size=3).table()
        assert table["position"].to_pylist() == [event.position for event in store.read_all(*filters, **bounds)]
    paid = frames.read_stream(store, "order-1", event_types=["paid"]).table()
    assert (paid["version"].to_pylist(), paid["amount"].to_pylist()) == ([2], [1])


def test_the_small_pages_of_a_filter_become_whole_batches() -> None:
    with EventStore.in_memory(page_size=1) as store:  # of two fields, a page looks at 20 positions
        events = [NewEvent("paid" if n % 15 == 0 else "placed") for n in range(300)]
        store.append("order-1", events, expected_version=0)
        few = EventFilter(event_types=["paid"], categories=["order"])
        assert [batch.num_rows for batch in frames.read_all(store, few, batch_size=7).reader()] == [7, 7, 6]


def test_a_joined_store_reads_in_its_transaction(engine: Engine) -> None:
    store = EventStore(engine)
    with store.transaction() as transaction:
        transaction.append("order-1", [NewEvent("placed", {"n": 1})], expected_version=0)
        assert frames.read_stream(transaction, "order-1").table().num_rows == 1


def test_an_empty_list_of_fields_leaves_the_payloads_alone() -> None:
    with EventStore.in_memory() as store:
        store.append("a-1", [NewEvent("kept")], expected_version=0)
        strict = EventStore(store.engine, event_types=EventTypes(unregistered="error"))
        assert "data" not in frames.read_all(strict, fields=[]).table().column_names
        with pytest.raises(EventTooNew):
            frames.read_all(strict).table()


# Event classes and upcasters


class Size(Enum):
    SMALL = "s"
    LARGE = "l"


@dataclass(frozen=True)
class OfDataclass:
    price: Decimal
    at: datetime
    size: Size
    by: UUID | None = None
    tags: tuple[str, ...] = ("new",)
    parts: dict[str, int] = field(default_factory=dict)
    sizes: tuple[Size, ...] = ()


class OfStruct(msgspec.Struct, frozen=True, rename="camel"):
    unit_price: int
    on_day: date | None = None
    left_out: int | msgspec.UnsetType = msgspec.UNSET


@attrs.frozen
class OfAttrs:
    price: float
    note: str = "none"


class OfPydantic(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    price: int
    size: Size = Size.SMALL


CLASSES: list[tuple[type, list[Any]]] = [
    (
        OfDataclass,
        [
            OfDataclass(
                Decimal("1.50"),
                datetime(2026, 1, 1, tzinfo=UTC),
                Size.LARGE,
                UUID(int=1),
                ("a", "b"),
                {"a": 1},
                (Size.SMALL,),
            ),
            OfDataclass(Decimal("2.25"), datetime(2026, 1, 1, tzinfo=BERLIN), Size.SMALL),
        ],
    ),
    (OfStruct, [OfStruct(7), OfStruct(8, date(2026, 1, 1), 3)]),
    (OfAttrs, [OfAttrs(1.5), OfAttrs(2.0, "some")]),
    (OfPydantic, [OfPydantic(price=1), OfPydantic.model_validate({"price": 2, "size": "l", "colour": "red"})]),
]


@pytest.mark.parametrize(("cls", "objects"), CLASSES)
def test_the_attributes_of_event_classes_are_columns(cls: type, objects: list[Any]) -> None:
    event_types = EventTypes()
    event_types.register("kept", cls)
    with EventStore.in_memory(event_types=event_types) as store:
        store.append("a-1", objects, expected_version=0)
        table = frames.read_all(store, KEPT).table()
        read = [event.data for event in store.read_all()]
    names = [*getattr(cls, "model_fields", getattr(cls, "__match_args__", ()))]
    names += ["colour"] if cls is OfPydantic else []
    columns = {name: "data_tags" if name == "tags" else name for name in names}  # every event has tags of its own
    assert table.column_names[10:] == list(columns.values())
    for name, column in columns.items():
        found = table[column].to_pylist()
        if name in {"parts", "sizes"}:
            found = [JSONCodec().decode(text.encode()) for text in found]
        assert found == [in_a_column(getattr(each, name, None)) for each in read]


def in_a_column(value: Any) -> Any:
    """Return what stands in a column for a value of an object."""
    if isinstance(value, tuple):
        return [*value] if all(isinstance(part, str) for part in value) and value else tuple(map(in_a_column, value))
    if isinstance(value, UUID):
        return str(value)
    return value.value if isinstance(value, Enum) else None if value is msgspec.UNSET else value


def test_a_class_tells_the_type_of_what_no_event_of_the_sample_has() -> None:
    fields: list[tuple[str, Any, Any]] = [
        ("n", int, 0),
        ("note", str | None, None),
        ("day", date | None, None),
        ("sizes", list[Size] | None, None),
    ]
    cls = make_dataclass("Placed", fields)
    event_types = EventTypes()
    event_types.register("kept", cls)
    with EventStore.in_memory(event_types=event_types) as store:
        frame = frames.read_all(store, KEPT, sample_size=1)
        assert [str(frame.schema.field(name).type) for name in ("n", "note", "day")] == [
            "int64",
            "string",
            "date32[day]",
        ]
        store.append("a-1", [cls(1), cls(2, "late", date(2026, 1, 1), [Size.LARGE])], expected_version=0)
        assert frame.reader().read_all()["day"].to_pylist() == [None, date(2026, 1, 1)]


def changed_types() -> EventTypes:
    event_types = EventTypes()

    @event_types.upcaster("kept", from_version=1)
    def rename(data: Any) -> Any:
        return {"total": data["n"] * 10}

    @event_types.splitter("split", from_version=1, into=[("left", 1), ("right", 1)])
    def split(data: Any) -> Any:
        yield "left", {"n": data["n"]}
        yield "right", {"n": -data["n"]}

    event_types.drop("gone", from_version=1)
    return event_types


@pytest.mark.parametrize("backwards", [False, True])
def test_upcasters_and_splitters_are_applied_in_order(backwards: bool) -> None:
    with EventStore.in_memory() as plain:
        events = [NewEvent(name, {"n": n}) for n in range(5) for name in ("kept", "split", "gone")]
        plain.append("a-1", events, expected_version=0)
        store = EventStore(plain.engine, event_types=changed_types())
        table = frames.read_stream(store, "a-1", backwards=backwards, fields=["n", "total"], as_json=True).table()
        read = list(store.read_stream("a-1", backwards=backwards))
        assert len(read) == 15
        for name in ("version", "event_type", "schema_version"):
            assert table[name].to_pylist() == [getattr(event, name) for event in read]
        assert [json.loads(text) for text in table["data"].to_pylist()] == [event.data for event in read]
        assert table["n"].to_pylist() == [event.data.get("n") for event in read]
        assert frames.read_all(store, KEPT).table()["total"].to_pylist() == [0, 10, 20, 30, 40]
        stored = frames.read_all(store, KEPT, upcast=False).table()
        assert stored["n"].to_pylist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("as_json", [True, False])
def test_an_event_that_is_too_new_is_refused_as_by_read_all(as_json: bool) -> None:
    event_types = EventTypes()
    event_types.register("kept", OfAttrs)
    with EventStore.in_memory(event_types=event_types) as store:
        store.append("a-1", [NewEvent("kept", {"price": 1.0}, schema_version=2)], expected_version=0)
        frame = frames.read_all(store, as_json=as_json, fields=[] if as_json else ["price"])
        with pytest.raises(EventTooNew) as error:
            frame.table()
        assert (error.value.stream_id, error.value.version) == ("a-1", 1)


# What shows itself later


def later(*payloads: Any) -> EventStore:
    """A store with a thousand events that are alike, and others after them."""
    store = EventStore.in_memory()
    alike = [NewEvent("kept", {"n": n}) for n in range(1000)]
    store.append("a-1", [*alike, *(NewEvent("kept", payload) for payload in payloads)], expected_version=0)
    return store


@pytest.mark.slow
@pytest.mark.parametrize(
    ("payload", "field_name", "found", "column"),
    [
        ({"n": 1, "new": "x"}, "new", None, "new"),
        ({"n": "text"}, "n", "str", "n"),
        ({"n": 0.5}, "n", "float", "n"),
        ({"n": 2**64}, "n", "int", "n"),
        ([1], None, "list", "data"),
    ],
)
def test_what_does_not_fit_ends_the_stream_and_widens_the_table(
    payload: Any, field_name: str | None, found: str | None, column: str
) -> None:
    with later(payload) as store:
        frame = frames.read_all(store, KEPT, sample_size=10, batch_size=100)
        batches = frame.reader()
        for _ in range(10):
            batches.read_next_batch()
        with pytest.raises(FieldMismatch) as error:
            batches.read_next_batch()
        assert (error.value.field, error.value.found) == (field_name, found)
        assert (error.value.position, error.value.event_type) == (1001, "kept")
        table = frame.table()
        assert table.num_rows == 1001
        expected = payload if column == "data" else payload[column]
        last = table[column].to_pylist()[-1]
        assert last == expected or JSONCodec().decode(last.encode()) == expected
        assert frame.reader().read_all().equals(table)  # it has learned
        looked_at_all = frames.read_all(store, KEPT, sample_size=None)
        assert looked_at_all.reader().schema == table.schema


def test_an_error_tells_no_payload() -> None:
    with later({"n": "secret"}, {"n": 1, "more": "secret"}) as store, pytest.raises(FieldMismatch) as error:
        frames.read_all(store, KEPT, sample_size=10).reader().read_all()
    assert "secret" not in str(error.value)
    assert "sample_size=None" in str(error.value)


DECLARED: list[tuple[pa.DataType, list[Any]]] = [
    (pa.int16(), [1, -5, None]),
    (pa.uint64(), [2**64 - 1]),
    (pa.float32(), [0.5, 2]),
    (pa.large_string(), ["a", None]),
    (pa.dictionary(pa.int8(), pa.string()), ["a", "b", "a"]),
    (pa.decimal128(6, 2), [Decimal("1.5"), 2]),
    (pa.timestamp("ms", "Europe/Berlin"), [datetime(2026, 1, 1, 0, 0, 0, 5000, tzinfo=UTC)]),
    (pa.timestamp("s"), [datetime(2026, 1, 1)]),  # noqa: DTZ001  # on purpose
    (pa.list_(pa.int8()), [[1, None], None]),
    (pa.struct({"a": pa.int64()}), [{"a": 1}, None]),
]


@pytest.mark.parametrize(("arrow_type", "values"), DECLARED)
def test_types_can_be_declared(arrow_type: pa.DataType, values: list[Any]) -> None:
    with EventStore.in_memory() as store:
        store.append("a-1", [NewEvent("kept", {"value": value, "more": 1}) for value in values], expected_version=0)
        table = frames.read_all(store, fields={"value": arrow_type}).table()
    assert table.column_names[10:] == ["value"]
    assert table.schema.field("value").type == arrow_type
    assert table["value"].to_pylist() == values


@pytest.mark.parametrize(
    ("arrow_type", "value"),
    [
        (pa.int16(), 2**15),
        (pa.int64(), True),
        (pa.string(), 1),
        (pa.date32(), datetime(2026, 1, 1, tzinfo=UTC)),
        (pa.decimal128(6, 2), Decimal("0.125")),
        (pa.timestamp("us", "UTC"), datetime(2026, 1, 1)),  # noqa: DTZ001  # on purpose
        (pa.timestamp("s"), datetime(2026, 1, 1, 0, 0, 0, 1)),  # noqa: DTZ001  # on purpose
        (pa.float64(), 2**53 + 1),
        (pa.list_(pa.int8()), [1000]),
    ],
)
def test_what_a_declared_type_does_not_hold_exactly_is_refused(arrow_type: pa.DataType, value: Any) -> None:
    with EventStore.in_memory() as store:
        store.append("a-1", [NewEvent("kept", {"value": value})], expected_version=0)
        with pytest.raises(FieldMismatch) as error:
            frames.read_all(store, fields={"value": arrow_type}).table()
    assert (error.value.field, error.value.expected) == ("value", str(arrow_type))


def test_a_field_with_the_name_of_another_column_is_told_apart() -> None:
    with EventStore.in_memory() as store:
        payload = {"version": "v", "data_version": "d", "data": "x"}
        store.append("a-1", [NewEvent("kept", payload)], expected_version=0)
        row = frames.read_all(store, fields=[*payload], as_json=True).table().to_pylist()[0]
    assert (row["version"], row["data_version"], row["data_data_version"], row["data_data"]) == (1, "d", "v", "x")


@pytest.mark.parametrize(
    "arguments",
    [
        {"fields": "n"},
        {"fields": 7},
        {"fields": {"n": int}},
        {"sample_size": 0},
        {"batch_size": 0},
        {"limit": -1},
        {"after_position": -1},
    ],
)
def test_arguments_are_checked_where_they_are_given(arguments: dict[str, Any]) -> None:
    with EventStore.in_memory() as store, pytest.raises(InvalidInput):
        frames.read_all(store, **arguments)


# To others


@pytest.mark.slow
def test_polars_pandas_and_duckdb_take_a_frame_as_it_is() -> None:
    total: Callable[[Any], Decimal] = lambda values: sum(values, Decimal(0))  # noqa: E731
    with EventStore.in_memory() as store:
        events = [
            NewEvent("kept", {"who": "ab"[n % 2], "total": Decimal(n) / 4, "n": None if n == 3 else 2**60 + n})
            for n in range(100)
        ]
        store.append("a-1", events, expected_version=0)
        frame = frames.read_all(store, KEPT, batch_size=30)
        assert pl.DataFrame(frame).equals(frame.polars())
        assert frame.pandas().shape == (100, 13)
        if hasattr(pd.DataFrame, "from_arrow"):  # from pandas 3 on
            assert pd.DataFrame.from_arrow(frame).shape == (100, 13)
        sums = duckdb.sql("SELECT who, sum(total) FROM frame GROUP BY who ORDER BY who")
        assert sums is not None
        assert sums.fetchall() == [
            (who, total(e.data["total"] for e in events if e.data["who"] == who)) for who in "ab"
        ]
        numbers = [event.data["n"] for event in events]
        assert frame.polars()["n"].to_list() == numbers
        assert [None if value is pd.NA else int(value) for value in frame.pandas()["n"]] == numbers
        assert str(frame.pandas()["recorded_at"].dtype) == "datetime64[us, UTC]"
        assert frame.pandas()["event_type"].dtype == "category"
        declared = {"n": pa.uint64(), "who": pa.large_string()}
        in_pandas = frames.read_all(store, fields=(name for name in declared)).pandas()
        assert str(in_pandas["n"].dtype) == "Int64"
        in_pandas = frames.read_all(store, fields=declared).pandas()
        assert [str(in_pandas[name].dtype) for name in ("n", "schema_version")] == ["UInt64", "Int32"]


def test_a_stream_of_batches_asks_the_database_only_as_it_is_consumed() -> None:
    with later() as store:
        statements: list[str] = []
        event.listen(store.engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
        reader = frames.read_all(store, batch_size=100).reader()
        assert statements == []
        reader.read_next_batch()
        assert sum("UNION ALL" in statement for statement in statements) == 1  # a page and its header


# In a notebook


def test_frames_events_and_results_are_shown_escaped_and_short() -> None:
    with EventStore.in_memory() as store:
        evil = "<script>alert(1)</script>"
        result = store.append(f"a-{evil}", [NewEvent(evil, {evil: evil * 100})] * 1, expected_version=0)
        for number in range(20):
            store.append(f"b-{number}", [NewEvent("kept", {"n": number})], expected_version=0, metadata={evil: evil})
        shown = [
            frames.read_all(store)._repr_html_(),
            frames.read_stream(store, f"a-{evil}", fields=[evil])._repr_html_(),
            frames.read_stream(store, "nobody")._repr_html_(),
            next(store.read_all())._repr_html_(),
            result._repr_html_(),
            frames.Appended(rows=3)._repr_html_(),
        ]
    assert all(html.startswith("<table>") and "<script" not in html and len(html) < 10_000 for html in shown)
    assert shown[0].count("<tr>") == 1 + 10
    assert "&lt;script&gt;" in shown[3]
    assert repr(frames.read_all(store, KEPT)) == "<Frame of event types kept>"


# Without the extras

EXTRAS = ("pyarrow", "pandas", "polars", "matplotlib", "numpy", "duckdb", "flask", "django", "psycopg", "zstandard")
WITHOUT = f"""
import sys
for name in {EXTRAS}:
    sys.modules[name] = None  # importing it raises an ImportError
"""


@pytest.mark.slow
def test_all_runs_without_the_extras_and_frames_say_what_they_need() -> None:
    code = """
from eventstore import EventFilter, EventStore, NewEvent, Repository, migrations, projections, testing
from eventstore.errors import ExtraMissing
import eventstore.cli
store = EventStore.in_memory()
result = store.append("order-1", [NewEvent("placed", {"n": 1})], expected_version=0)
print(len(list(store.read_all(EventFilter(event_types=["placed"])))), "1</td>" in result._repr_html_())
try:
    from eventstore.contrib import frames
except ExtraMissing as error:
    print(error)
"""
    command = [sys.executable, "-W", "error", "-c", WITHOUT + code]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout.splitlines() == [
        "1 True",
        "pyarrow is not installed; install sqlalchemy-eventstore[arrow]",
    ]


@pytest.mark.parametrize(("package", "method"), [("pandas", "pandas"), ("polars", "polars")])
def test_a_frame_says_which_package_is_missing(package: str, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with (
        EventStore.in_memory() as store,
        pytest.raises(ImportError, match=rf"install sqlalchemy-eventstore\[{package}\]"),
    ):
        getattr(frames.read_all(store), method)()
