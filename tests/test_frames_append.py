"""Events out of data frames: in batches, recognised when they come again."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any
from uuid import NAMESPACE_DNS, UUID
from zoneinfo import ZoneInfo

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sqlalchemy import Engine

from eventstore import ConcurrencyConflict, EncodingError, EventIdReused, EventStore, EventTypes, InvalidInput, NewEvent
from eventstore.contrib import frames

NOON = datetime(2026, 3, 1, 12, tzinfo=ZoneInfo("UTC"))
CENT = Decimal("0.01")
ROWS: list[dict[str, Any]] = [
    {
        "id": number,
        "who": f"c{number % 7}",
        "total": (Decimal(number) / 4).quantize(CENT),
        "at": NOON + timedelta(microseconds=number),
    }
    for number in range(50)
]
"""As a data frame has them: all amounts with the same number of digits, and UTC as a named zone."""


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def store(request: pytest.FixtureRequest) -> EventStore:
    name = "sqlite_engine" if request.param == "sqlite" else "shared_postgres_engine"
    engine: Engine = request.getfixturevalue(name)
    return EventStore(engine)


def stream_of(row: Mapping[str, Any]) -> str:
    return f"customer-{row['who']}"


def bought(row: dict[str, Any]) -> NewEvent:
    return NewEvent("bought", row)


def load(store: EventStore, data: Any, **options: Any) -> frames.Appended:
    return frames.append(store, data, **{"stream_id": stream_of, "event": bought, "key": "id", **options})


def stored(store: EventStore) -> list[Any]:
    return [event.data for event in store.read_all()]


@cache  # before DuckDB 2, a relation does not keep its connection open
def in_utc() -> duckdb.DuckDBPyConnection:
    """Return a connection that calls the zone of times UTC; DuckDB has names of its own for it."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    return connection


SOURCES: dict[str, Callable[[list[dict[str, Any]]], Any]] = {
    "dicts": lambda rows: rows,
    "a generator": iter,
    "Arrow": pa.Table.from_pylist,
    "a batch": pa.RecordBatch.from_pylist,
    "Polars": pl.DataFrame,
    "DuckDB": lambda rows: in_utc().from_arrow(pa.Table.from_pylist(rows)),
    "pandas, with an index": lambda rows: pl.DataFrame(rows).to_pandas().set_axis([f"i{n}" for n in range(len(rows))]),
    "pandas": lambda rows: pl.DataFrame(rows).to_pandas(use_pyarrow_extension_array=True),
}


@pytest.mark.parametrize("name", SOURCES)
def test_rows_of_any_source_become_the_same_events(name: str) -> None:
    with EventStore.in_memory() as store:
        load(store, ROWS, key=["id", "at"])
        again = load(store, SOURCES[name](ROWS), key=["id", "at"])
        assert (again.rows, again.events, again.repeated) == (50, 50, 50)
        assert stored(store) == ROWS


def test_a_rerun_stores_nothing_twice_whatever_its_batches_are(store: EventStore) -> None:
    assert load(store, ROWS[:20], batch_size=8).repeated == 0
    done = load(store, pl.DataFrame(ROWS), batch_size=13)
    assert done == frames.Appended(rows=50, total=50, events=50, repeated=20, position=done.position)
    assert load(store, pd.DataFrame(ROWS), batch_size=50).repeated == 50
    assert stored(store) == ROWS
    for number in range(7):
        versions = [event.version for event in store.read_stream(f"customer-c{number}")]
        assert versions == list(range(1, len(versions) + 1))
    assert done.position == max(event.position for event in store.read_all())


def test_an_interrupted_load_goes_on_from_the_last_batch(store: EventStore) -> None:
    def broken() -> Iterator[dict[str, Any]]:
        yield from ROWS[:25]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load(store, broken(), batch_size=10)
    assert stored(store) == ROWS[:20]
    assert load(store, ROWS, batch_size=10).repeated == 20
    assert stored(store) == ROWS


def test_another_writer_of_the_same_stream_is_a_conflict(store: EventStore) -> None:
    load(store, ROWS[:10])
    store.append("customer-c3", [NewEvent("left")], expected_version=1)
    with pytest.raises(ConcurrencyConflict) as conflict:
        load(store, ROWS, batch_size=20)
    assert (conflict.value.stream_id, conflict.value.actual) == ("customer-c3", 2)
    assert conflict.value.__notes__ == ["in the rows 0 to 19 of the data, counted from 0"]
    assert stored(store)[:10] == ROWS[:10]
    assert len(stored(store)) == 11  # and nothing of the batch


def test_streams_that_exist_are_continued_from_their_versions() -> None:
    with EventStore.in_memory() as store:
        store.append("customer-c3", [NewEvent("joined")] * 1 + [NewEvent("moved")], expected_version=0)
        for repeated in (0, 50):
            assert load(store, ROWS, expected_version={"customer-c3": 2}).repeated == repeated
        assert store.stream_version("customer-c3") == 2 + 7


def test_a_row_that_has_changed_is_told() -> None:
    with EventStore.in_memory() as store:
        load(store, ROWS)
        with pytest.raises(EventIdReused):
            load(store, [{**ROWS[0], "total": Decimal(1)}, *ROWS[1:]])


def test_another_namespace_makes_other_ids() -> None:
    ids = []
    options: dict[str, Any]
    for options in ({}, {}, {"namespace": NAMESPACE_DNS}):
        with EventStore.in_memory() as store:
            load(store, ROWS[:1], **options)
            ids.append(next(store.read_all()).event_id)
    assert ids[0] == ids[1] != ids[2]
    assert ids[0] == UUID("c661bfe3-92a4-57d2-8d6a-386d85f29519")  # for ever: it is in people's databases


def test_a_row_can_be_several_events_or_none_and_objects_of_classes() -> None:
    event_types = EventTypes()

    @event_types.register("bought")
    @dataclass(frozen=True)
    class Bought:
        total: Decimal

    def story(row: Mapping[str, Any]) -> Any:
        if row["id"] % 3 == 0:
            return None
        bought = Bought(row["total"])
        return [bought, bought, NewEvent("paid", {"at": row["at"]})] if row["id"] % 3 == 1 else bought

    with EventStore.in_memory(event_types=event_types) as store:
        for repeated in (0, 3 * 3 + 3):
            done = load(store, ROWS[:10], event=story, metadata={"by": "import"})
            assert (done.rows, done.events, done.repeated) == (10, 12, repeated)
        events = list(store.read_all())
        assert [event.event_type for event in events[:4]] == ["bought", "bought", "paid", "bought"]
        assert events[0].data == Bought(Decimal("0.25"))
        assert {event.metadata["by"] for event in events} == {"import"}
        assert len({event.event_id for event in events}) == 12


def test_a_function_may_change_its_row_and_set_ids_of_its_own() -> None:
    own = NewEvent("named", {"n": 1})
    rows = [{"stream": "a-1", "id": 1, "type": "plain"}]
    with EventStore.in_memory() as store:
        load(store, rows, stream_id="stream", event=lambda row: NewEvent(row.pop("type"), {"n": row.pop("id")}))
        load(store, [{"stream": "a-2"}], stream_id="stream", event=lambda _: own, key=None)
        plain, named = store.read_all()
        assert (plain.stream_id, plain.event_type, plain.data) == ("a-1", "plain", {"n": 1})
        assert (named.stream_id, named.event_id) == ("a-2", own.event_id)
    assert rows == [{"stream": "a-1", "id": 1, "type": "plain"}]


def test_progress_is_told_after_each_batch(capsys: pytest.CaptureFixture[str]) -> None:
    told: list[frames.Appended] = []
    with EventStore.in_memory() as store:
        load(store, ROWS, batch_size=20, progress=told.append)
        assert [(each.rows, each.total) for each in told] == [(20, 50), (40, 50), (50, 50)]
        load(store, iter(ROWS), progress=told.append)
        assert told[-1].total is None
        load(store, ROWS, progress=True)
    assert "50/50" in capsys.readouterr().out


def test_a_joined_store_appends_in_its_transaction(store: EventStore) -> None:
    with pytest.raises(ZeroDivisionError), store.transaction() as transaction:
        load(transaction, ROWS)
        raise ZeroDivisionError
    assert stored(store) == []


def test_what_a_row_or_an_argument_has_wrong_is_told() -> None:
    finer = pd.DataFrame({"id": [1], "who": ["x"], "at": pd.Series([1], dtype="datetime64[ns]")})
    with EventStore.in_memory() as store:
        wrong: list[tuple[Any, dict[str, Any]]] = [
            (7, {}),
            ("text", {}),
            ([1], {}),
            (ROWS, {"key": ["id", "nothing"]}),
            (ROWS, {"key": []}),
            (ROWS, {"key": 7}),
            ([{"id": object(), "who": "x"}], {}),
            ([{"id": "\ud800", "who": "x"}], {}),
            (ROWS, {"stream_id": None}),
            (ROWS, {"stream_id": "nothing"}),
            (ROWS, {"stream_id": "id"}),
            (ROWS, {"stream_id": lambda _: ""}),
            ([{"id": 1, "who": ["x"]}], {"stream_id": "who"}),
            (ROWS, {"event": "bought"}),
            (ROWS, {"expected_version": "any"}),
            (ROWS, {"batch_size": 0}),
            (finer, {}),
        ]
        for data, options in wrong:
            with pytest.raises(InvalidInput):
                load(store, data, **options)
        with pytest.raises(ZeroDivisionError) as error:
            load(store, ROWS, event=lambda row: NewEvent("n", {"n": 1 // (3 - row["id"])}))
        assert error.value.__notes__ == ["in the row 3 of the data, counted from 0"]
        with pytest.raises(EncodingError):
            load(store, [{"id": 1, "who": "x", "odd": object()}])
        assert stored(store) == []
