"""Imports of tables of other programs: complete, in order, repeatable, or refused before anything is written."""

import base64
import json
import pickle
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from msgspec import structs
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.event import listen

from eventstore import EventFilter, EventStore, EventTypes, NewEvent
from eventstore.cli.payloads import one_line
from eventstore.errors import (
    DatabaseMissing,
    EventStoreError,
    ImportConflict,
    InvalidInput,
    InvalidTableMap,
    RowRefused,
    UnsuitableSource,
    UnsupportedDatabase,
)
from eventstore.maintenance import verify
from eventstore.transfer import TableMap, TableProgress, compare_table, import_table, load, open_source
from eventstore.transfer.sources.source_table import SourceTable
from eventstore.transfer.sources.table_map import Payload
from tests.fix_engines import changing_history
from tests.source_tables import DEFINITIONS, MAP, OF_EVENTSOURCING, create_source, insert

READERS = [
    pytest.param((database, reader), id=f"{database}, {reader}", marks=[pytest.mark.postgresql] * is_server)
    for database, is_server in (("sqlite", False), ("postgresql", True))
    for reader in DEFINITIONS[database]
]


@dataclass(frozen=True)
class Old:
    """A table of another program."""

    engine: Engine
    reader: str
    map: TableMap

    def insert(self, *numbers: int) -> None:
        with self.engine.begin() as connection:
            for number in numbers:
                insert(connection, self.reader, number)

    def execute(self, sql: str, **values: Any) -> None:
        with self.engine.begin() as connection:
            connection.execute(text(sql), values)


@pytest.fixture
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Old]:
    """The table of a reader, in the database of the parameter: empty."""
    database, reader = request.param
    url = f"sqlite:///{tmp_path / 'old.db'}"
    if database == "postgresql":
        url = request.getfixturevalue("postgres_url")
    else:
        (tmp_path / "old.db").touch()
    engine = open_source(url) if database == "postgresql" else _writable(url)
    yield Old(engine, reader, create_source(engine, reader))
    engine.dispose()


def _writable(url: str) -> Engine:
    """Return an engine that writes without waiting for the disk."""
    engine = create_engine(url)
    listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous = OFF"))
    return engine


@pytest.fixture
def store() -> Iterator[EventStore]:
    with EventStore.in_memory() as store:
        yield store


def of(database: str, reader: str) -> pytest.MarkDecorator:
    marks = [pytest.mark.postgresql] if database == "postgresql" else []
    return pytest.mark.parametrize("old", [pytest.param((database, reader), marks=marks)], indirect=True)


_ORDERS = {
    "characters": ("postgresql", "char(8)", [f"{n:02}" for n in range(7)]),
    "bits": ("postgresql", "bit(4)", [f"{n:04b}" for n in range(7)]),
    "fractions": ("postgresql", "real", [n / 10 for n in range(7)]),
    "times": ("postgresql", "timestamptz", [f"2026-01-0{n + 1}T00:00:00.5+02" for n in range(7)]),
    "characters of SQLite": ("sqlite", "char(8)", [f"{n:02}" for n in range(7)]),
    "fractions of SQLite": ("sqlite", "", [n / 10 for n in range(7)]),
}
"""Columns that rows are ordered by: the database, the type, and values."""


def of_orders() -> list[Any]:
    marks = {"postgresql": [pytest.mark.postgresql], "sqlite": []}
    return [
        pytest.param((database, "table"), type_, values, id=name, marks=marks[database])
        for name, (database, type_, values) in _ORDERS.items()
    ]


def create_ordered(old: Old, type_: str, values: list[Any]) -> TableMap:
    """Create a table that is ordered by values of a type."""
    old.execute(f'CREATE TABLE ordered (place {type_}, version integer, "of.100%" text, data text)')
    for number, value in enumerate(values):
        sql = f"INSERT INTO ordered VALUES (CAST(:place AS {type_}), :version, 'a-1', '{{}}')"
        sql = sql.replace(f"CAST(:place AS {type_})", ":place") if old.engine.dialect.name == "sqlite" else sql
        old.execute(sql, place=value, version=number)
    return TableMap.of(
        {"table": "ordered", "order": "place", "version": "version", "stream": "x-{of.100%}", "type": {"value": "x"}}
    )


# --- everything comes over


@pytest.mark.parametrize(("old", "type_", "values"), of_orders(), indirect=["old"])
def test_rows_come_in_the_order_of_columns_of_many_types(
    old: Old, store: EventStore, type_: str, values: list[Any]
) -> None:
    table_map = create_ordered(old, type_, values)
    assert import_table(store, old.engine, table_map, batch_size=2).events == len(values)
    assert [event.metadata["$imported"]["version"] for event in store.read_stream("x-a-1")] == list(range(len(values)))
    assert compare_table(store, old.engine, table_map, batch_size=2).is_equal
    assert import_table(store, old.engine, table_map).events == 0


@of("sqlite", "table")
def test_an_order_of_bytes_is_refused(old: Old, store: EventStore) -> None:
    table_map = create_ordered(old, "blob", [b"a", b"b"])
    with pytest.raises(UnsuitableSource, match="place has no usable order: it is bytes"):
        import_table(store, old.engine, table_map)


@of("sqlite", "table")
def test_rows_that_are_not_found_in_the_order_are_noticed(
    old: Old, store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    table_map = create_ordered(old, "integer", [1, 2, 3])
    rows = SourceTable.rows
    monkeypatch.setattr(SourceTable, "rows", lambda *args, **options: rows(*args, **options)[:2])
    with pytest.raises(UnsuitableSource, match="only 2 of its 3 rows are found in the order of place"):
        import_table(store, old.engine, table_map)
    assert list(store.read_all()) == []
    with pytest.raises(UnsuitableSource, match="only 2 of its 3 rows"):
        compare_table(store, old.engine, table_map)


@of("postgresql", "table")
def test_odd_names_and_values_of_a_table(old: Old, store: EventStore) -> None:
    old.execute('CREATE TABLE "50%s of it" (id integer PRIMARY KEY, "0" text, data jsonb)')
    old.execute("INSERT INTO \"50%s of it\" VALUES (1, 'a-1', '{}'), (2, 'a-2', '{}')")
    parts: dict[str, Any] = {"table": "50%s of it", "order": "id", "stream": "{0}", "type": {"value": "x"}}
    assert import_table(store, old.engine, TableMap.of({**parts, "where": {"0": "a-2"}})).events == 1
    with pytest.raises(InvalidTableMap, match="where: id is integer, to which 'one' can't be compared"):
        import_table(store, old.engine, TableMap.of({**parts, "where": {"id": "one"}}))
    by_json = TableMap.of({**parts, "order": ["data", "id"], "version": "id"})
    with pytest.raises(UnsuitableSource, match="is JSON"):
        import_table(store, old.engine, by_json)


@of("sqlite", "table")
def test_a_table_is_named_with_its_database(old: Old, store: EventStore) -> None:
    old.insert(0)
    assert import_table(store, old.engine, TableMap.of({**MAP, "table": "main.events"})).events == 1
    with pytest.raises(InvalidTableMap, match="there is no database 'other'"):
        import_table(store, old.engine, TableMap.of({**MAP, "table": "other.events"}))


def test_a_map_adds_to_what_is_usual_for_the_reader() -> None:
    usual = TableMap.of({}, reader="eventsourcing").data
    adding = TableMap.of({"data": {"leave_out": ["a"], "compression": "zlib"}}, reader="eventsourcing").data
    assert adding == structs.replace(usual, leave_out=["a"], compression="zlib")  # type: ignore[type-var]  # a Payload
    assert TableMap.of({"data": {"column": "b"}}, reader="eventsourcing").data == Payload(column="b")
    with pytest.raises(InvalidTableMap, match="a map must be a mapping, not list"):
        TableMap.of([])  # type: ignore[arg-type]  # that is tested


@pytest.mark.parametrize("old", READERS, indirect=True)
def test_all_rows_come_over_in_order_and_only_once(old: Old, store: EventStore) -> None:
    old.insert(*range(50))
    done = import_table(store, old.engine, old.map, batch_size=8)
    assert (done.events, done.repeated, done.streams, done.is_complete, done.order) == (50, 0, 7, True, 50)
    assert done.renumbered == {"eventsourcing": 0, "message-db": 50, "table": 43}[old.reader]
    compared = compare_table(store, old.engine, old.map, batch_size=7)
    assert compared.is_equal
    assert (compared.rows, compared.streams) == (done.by_type, 7)
    before = list(store.read_all())
    assert [event.metadata["$imported"]["order"] for event in before] == list(range(1, 51))
    again = import_table(store, old.engine, old.map)
    assert (again.events, again.resumed_after) == (0, 50)
    old.insert(*range(50, 60))
    assert import_table(store, old.engine, old.map).events == 10
    assert list(store.read_all())[:50] == before
    assert list(verify(store)) == []
    assert compare_table(store, old.engine, old.map).is_equal


@of("sqlite", "table")
def test_the_values_of_a_row(old: Old, store: EventStore) -> None:
    old.insert(*range(8))
    import_table(store, old.engine, old.map)
    row = list(store.read_all())[7]
    assert (row.stream_id, row.version, row.event_type) == ("order-0", 2, "type-1")
    assert row.data == {"number": 7, "price": 1.1, "text": "ünï", "list": [None, True]}
    origin = {"from": "events", "version": 2, "order": 8}
    assert row.metadata == {"user": 2, "nested": {"a": [1.5]}, "$imported": origin}
    assert row.recorded_at == datetime(2026, 1, 2, 3, 4, 12, 678901, tzinfo=UTC)


@of("sqlite", "eventsourcing")
def test_a_table_that_eventsourcing_has_written(old: Old, store: EventStore) -> None:
    assert OF_EVENTSOURCING["version"] == "9.5.6"
    for row in OF_EVENTSOURCING["rows"]:
        old.execute(
            "INSERT INTO stored_events VALUES (:id, :version, :topic, :state)",
            id=UUID(row["originator_id"]).hex, version=row["originator_version"], topic=row["topic"],
            state=row["state"].encode(),
        )  # fmt: skip
    import_table(store, old.engine, old.map)
    assert compare_table(store, old.engine, old.map).is_equal
    values: dict[str, Callable[[str], Any]] = {"$decimal": Decimal, "$datetime": datetime.fromisoformat, "$uuid": UUID}
    for event, row in zip(store.read_all(), OF_EVENTSOURCING["rows"], strict=True):
        fields = {
            name: values[next(iter(value))](next(iter(value.values()))) if isinstance(value, dict) else value
            for name, value in row["read_back"].items()
        }
        category = {"BankAccount": "bank_account", "Dog": "dog"}[row["topic"].split(":")[1].split(".")[0]]
        assert event.stream_id == f"{category}-{row['originator_id']}"
        assert (event.version, event.event_type) == (row["originator_version"], row["topic"])
        assert event.recorded_at == fields.pop("timestamp")
        assert event.schema_version == json.loads(row["state"]).get("class_version", 1)
        assert event.data == fields
    assert {event.schema_version for event in store.read_all()} == {1, 2}


@of("sqlite", "eventsourcing")
def test_ids_that_are_text_name_their_category_themselves(old: Old, store: EventStore) -> None:
    state = b'{"timestamp":{"_type_":"datetime_iso","_data_":"2026-01-02T03:04:05+00:00"}}'
    insert_row = "INSERT INTO stored_events VALUES ('account-7', 1, 'bank:Account.Opened', :state)"
    old.execute(insert_row, state=state)
    import_table(store, old.engine, old.map)
    assert next(store.read_all()).stream_id == "account-7"


@of("postgresql", "message-db")
def test_ids_and_nulls_of_message_db_are_kept(old: Old, store: EventStore) -> None:
    old.insert(0, 1)
    old.execute("INSERT INTO message_store.messages (position, stream_name, type) VALUES (0, 'account-9', 'Closed')")
    import_table(store, old.engine, old.map)
    events = list(store.read_all())
    assert [event.event_id for event in events[:2]] == [UUID(int=1), UUID(int=2)]
    assert (events[2].data, events[2].stream_id, events[2].version) == (None, "account-9", 1)
    assert events[0].recorded_at == datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


@of("postgresql", "table")
def test_columns_of_many_types_become_fields(old: Old, any_engine: Engine) -> None:
    store = EventStore(any_engine)
    old.execute(
        "CREATE TABLE audit (id uuid PRIMARY KEY, at timestamp NOT NULL, amount numeric, ratio float8, raw bytea, ok"
        " boolean, day date, labels text[], doc json, address inet, nothing text)"
    )
    old.execute(
        "INSERT INTO audit SELECT md5(n::text)::uuid, '2026-03-01 12:00:00.000007', 1.10, 0.1, '\\x00ff', true,"
        " '2026-03-01', ARRAY['a', 'b'], '{\"a\": 12345678901234567890.123, \"b\": 1.5}', '10.0.0.1', NULL"
        " FROM generate_series(1, 30) AS n"
    )
    fields = {name: name for name in ("amount", "ratio", "raw", "ok", "day", "labels", "doc", "nothing", "id")}
    table_map = TableMap.of({
        "table": "public.audit", "stream": {"value": "audit"}, "order": ["at", "id"], "version": "n",
        "type": {"value": "audited"}, "time": {"column": "at", "timezone": "Europe/Berlin"},
        "data": {"fields": {**fields, "address": {"column": "address", "type": "text"}}},
        "metadata": {"fields": {"amount": "amount", "id": "id"}}, "tags": {"column": "labels"},
    })  # fmt: skip
    with pytest.raises(InvalidTableMap, match="no column 'n'"):
        import_table(store, old.engine, table_map)
    old.execute("ALTER TABLE audit ADD n bigint")
    old.execute(
        "UPDATE audit SET n = r FROM (SELECT id i, row_number() OVER (ORDER BY at, id) r FROM audit) x WHERE i = id"
    )
    import_table(store, old.engine, table_map, batch_size=7)
    event = next(store.read_all(EventFilter(tags=["a"])))
    assert event.data == {
        "amount": Decimal("1.10"), "ratio": 0.1, "raw": b"\x00\xff", "ok": True, "day": datetime(2026, 3, 1).date(),  # noqa: DTZ001
        "labels": ["a", "b"], "doc": {"a": Decimal("12345678901234567890.123"), "b": 1.5}, "nothing": None,
        "address": "10.0.0.1/32", "id": event.data["id"],
    }  # fmt: skip
    assert isinstance(event.data["id"], UUID)
    assert event.recorded_at == datetime(2026, 3, 1, 11, 0, 0, 7, tzinfo=UTC)
    assert event.metadata["amount"] == "1.10"
    assert compare_table(store, old.engine, table_map, batch_size=7).is_equal
    assert import_table(store, old.engine, table_map).events == 0
    assert len(list(store.read_all())) == 30


# --- what the map says


@of("sqlite", "table")
def test_types_are_renamed_and_left_out(old: Old, store: EventStore) -> None:
    old.insert(*range(30))
    types = {"type-0": "zero", "type-1": {"type": "one", "schema_version": 3}, "type-2": False}
    table_map = TableMap.of({**MAP, "types": types, "where": {"kind": "order"}})
    done = import_table(store, old.engine, table_map)
    assert (done.by_type, done.left_out) == ({"one": 10, "zero": 10}, 10)
    assert {(event.event_type, event.schema_version) for event in store.read_all()} == {("zero", 1), ("one", 3)}
    assert compare_table(store, old.engine, table_map).is_equal
    none = TableMap.of({**MAP, "where": {"kind": "invoice"}, "source": "invoices"})
    assert import_table(store, old.engine, none).events == 0


@of("sqlite", "table")
def test_a_table_without_versions_is_numbered_by_its_order(old: Old, store: EventStore) -> None:
    old.insert(*range(20))
    table_map = TableMap.of({name: value for name, value in MAP.items() if name != "version"})
    import_table(store, old.engine, table_map)
    assert [event.version for event in store.read_stream("order-3")] == [1, 2, 3]
    assert [event.metadata["$imported"]["version"] for event in store.read_stream("order-3")] == [4, 11, 18]


@of("sqlite", "table")
def test_without_an_order_streams_come_one_after_the_other(old: Old, store: EventStore) -> None:
    old.insert(*range(20))
    old.execute("CREATE UNIQUE INDEX one ON events (kind, entity, version)")
    table_map = TableMap.of({name: value for name, value in MAP.items() if name != "order"})
    import_table(store, old.engine, table_map, batch_size=3)
    assert [event.stream_id for event in store.read_all()] == sorted(event.stream_id for event in store.read_all())
    assert compare_table(store, old.engine, table_map).is_equal
    assert import_table(store, old.engine, table_map).events == 0
    with pytest.raises(UnsuitableSource, match="follow"):
        import_table(store, old.engine, table_map, follow=True)


def test_a_map_in_toml(tmp_path: Path) -> None:
    path = tmp_path / "events.toml"
    path.write_text('table = "a"\nstream = "s"\norder = "id"\ntype = { value = "t" }\n[where]\nx = 1\n', "utf-8")
    assert TableMap.from_toml(path).where == {"x": 1}
    assert TableMap.from_toml(path, table="b").source_name == "b"
    path.write_text("table = ", "utf-8")
    with pytest.raises(InvalidTableMap, match=r"events\.toml.*TOML"):
        TableMap.from_toml(path)
    assert TableMap.from_toml(None, reader="message-db").table == "message_store.messages"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"stream": None}, "stream"), ({"sorder": "id"}, "it has the unknown key 'sorder'; .*, order, version,"),
        ({"time": {"colum": "at"}}, "time has the unknown key 'colum'; .* column, field, type, timezone, compression"),
        ({"data": {"fields": {"a": {"nam": "a"}}}}, r"data\.fields\.a has the unknown key 'nam'; .* column, field"),
        ({"types": {"a": {"typ": "b"}}}, r"types\.a has the unknown key 'typ'; .* type, schema_version"),
        ({"order": None, "version": None}, "version"),
        ({"stream": "a-{}"}, "template"), ({"stream": "a-{b"}, "template"), ({"stream": "a-{b!r}"}, "template"),
        ({"data": {"column": "a", "fields": {}}}, "data"), ({"time": {"timezone": "UTC"}}, "time"),
        ({"time": {"column": "a", "timezone": "Mars"}}, "Mars"), ({"types": {"a": True}}, "true"),
        ({"types": {"a": "x" * 256}}, "255"), ({"source": "a\0"}, "NUL"), ({"order": []}, "order"),
        ({"data": {"column": "a", "type": "pickle"}}, "data.type is 'pickle'; .* 'json' or 'text' or 'bytes'"),
        ({"data": {"fields": {"a": {"column": "a", "type": "dat"}}}}, r"fields\.a\.type is 'dat'; .* or 'date' or"),
        ({"data": {"column": "a", "transcodings": {"x": "list"}}}, r"transcodings\.x is 'list'; .* 'tuple' or 'set'"),
        ({"time": {"column": "at", "compression": "gzip"}}, "time.compression is 'gzip'; it must be 'zlib'"),
        ({"time": {"column": "at", "compression": "zlib"}}, 'time has a compression, so its type must be "json" or'),
        ({"data": {"column": "a", "type": "text", "compression": "zlib"}}, "data has a compression, so its type must"),
        ({"data": {"fields": {"a": "b"}, "type": "text"}}, "data has fields, so it has no type of its own"),
        ({"data": {"fields": {"a": {"field": "b"}}}}, r"data\.fields\.a must name a column, and no field"),
        ({"data": {"fields": {"a": {}}}}, r"data\.fields\.a must name a column, and no field"),
    ],
)  # fmt: skip
def test_a_map_that_is_not_valid_is_refused(change: dict[str, Any], said: str) -> None:
    parts = {name: value for name, value in {**MAP, **change}.items() if value is not None}
    with pytest.raises(InvalidTableMap, match=said):
        TableMap.of(parts)
    with pytest.raises(InvalidTableMap, match="reader"):
        TableMap.of(MAP, reader="kurrent")  # type: ignore[arg-type]  # on purpose


# --- what is refused, before anything is written

ALL_ROWS = ("is a pickle", "exact", "nor a UUID")
"""What a row is refused for only if all have it."""

_TRANSCODED: dict[str, Any] = {"data": {"column": "payload", "transcoder": "eventsourcing"}}


def _field(column: str, type_: str) -> dict[str, Any]:
    return {"data": {"fields": {"a": {"column": column, "type": type_}}}, "metadata": None}


PICKLE = pickle.dumps({"secret": "payload"})
ROWS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "a pickle": ({}, {"payload": PICKLE}, "pickle.*transfer.load"),
    "a pickle in base64": ({}, {"payload": base64.b64encode(PICKLE).decode()}, "pickle"),
    "an old pickle": ({}, {"payload": pickle.dumps([1, "secret"], 0)}, "pickle"),
    "a pickle as bytes": ({"data": {"column": "payload", "type": "bytes"}}, {"payload": PICKLE}, "is a pickle"),
    "compressed": ({}, {"payload": zlib.compress(b"{}")}, "zlib"),
    "not compressed": ({"data": {"column": "payload", "compression": "zlib"}}, {"payload": b"{}"}, "zlib"),
    "no JSON": ({}, {"payload": "secret"}, "no JSON"),
    "no UTF-8": ({}, {"payload": b'"\xff"'}, "UTF-8"),
    "a number": ({}, {"payload": 7}, "neither text nor bytes"),
    "a key twice": ({}, {"payload": '{"secret": 1, "secret": 2}'}, "same key twice"),
    "a surrogate": ({}, {"payload": '{"a": "\\ud800"}'}, "surrogate"),
    "deep": ({}, {"payload": "[" * 100_000}, "deep"),
    "an integer that is too long": ({}, {"payload": f'{{"a": -{"7" * 5000}}}'}, "integer of 5000 digits"),
    "an exponent that is too large": ({}, {"payload": '{"a": 1e9999999999999999999}'}, "exponent is too large"),
    "metadata that is a list": ({}, {"context": "[1]"}, "mapping"),
    "metadata with NUL": ({}, {"context": '{"a": "\\u0000"}'}, "NUL"),
    "a naive time": ({}, {"created_at": "2026-01-01T00:00:00"}, "without a zone.*timezone"),
    "no time": ({}, {"created_at": "yesterday"}, "ISO 8601"),
    "a number as time": ({}, {"created_at": 1}, "unix-seconds") ,
    "a fine time": ({}, {"created_at": "2026-01-01T00:00:00.1234567Z"}, "finer than a microsecond"),
    "a far time": ({"time": {"column": "version", "type": "unix-seconds"}}, {"version": 10**15}, "9999"),
    "a version of text": ({}, {"version": "first"}, "no integer"),
    "a negative version": ({}, {"version": -7}, "version -7"),
    "an empty type": ({}, {"name": ""}, "1 to 255"),
    "a long type": ({}, {"name": "a" * 256}, "255"),
    "a type with NUL": ({}, {"name": "a\0b"}, "NUL"),
    "a float as id": ({"stream": "{context}", "version": "id", "metadata": None}, {"context": 1.5}, "nor a UUID"),
    "no UUID": ({"event_id": "name"}, {}, "no UUID"),
    "a decimal of a float": (_field("context", "decimal"), {"context": 1.5}, "exact"),
    "no boolean": (_field("name", "boolean"), {}, "true nor false"),
    "no date": (_field("name", "date"), {}, "no date"),
    "tags that are no list": ({"tags": "payload"}, {"payload": '{"a": 1}'}, "list of tags"),
    "no field for the time": ({"time": {"field": "at"}}, {}, "NULL or missing"),
    "a transcoding": (_TRANSCODED, {"payload": '{"a": {"_type_": "money", "_data_": 1}}'}, "money.*transcodings"),
    "a damaged transcoding": (_TRANSCODED, {"payload": '{"_type_": "uuid_hex", "_data_": "secret"}'}, "uuid_hex"),
    "a transcoding of a number": (_TRANSCODED, {"payload": '{"_type_": "uuid_hex", "_data_": 5}'}, "uuid_hex"),
}  # fmt: skip


@of("sqlite", "table")
def test_a_column_of_sqlite_may_be_generated(old: Old, store: EventStore) -> None:
    old.insert(1)
    old.execute("ALTER TABLE events ADD COLUMN made TEXT GENERATED ALWAYS AS ('{\"a\": 1}') VIRTUAL")
    import_table(store, old.engine, TableMap.of({**MAP, "data": "made"}))
    assert [event.data for event in store.read_all()] == [{"a": 1}]


@of("sqlite", "table")
@pytest.mark.parametrize("what", ROWS)
def test_a_row_that_can_not_be_an_event_is_refused_before_anything_is_written(
    old: Old, store: EventStore, what: str
) -> None:
    change, values, said = ROWS[what]
    old.execute("DROP TABLE events")  # columns without types keep what they are given
    columns = "kind, entity, version, name, payload, context, created_at"
    old.execute(f"CREATE TABLE events (id INTEGER PRIMARY KEY, {columns})")
    old.insert(*range(9))
    table_map = TableMap.of({**MAP, **change})
    for column, value in values.items():
        where = "" if table_map.order == "id" and said in ALL_ROWS else "WHERE id = 9"
        old.execute(f"UPDATE events SET {column} = :value {where}", value=value)
    with pytest.raises(RowRefused, match=said) as refused:
        import_table(store, old.engine, table_map, batch_size=2)
    assert refused.value.place.startswith("row id=")
    assert "secret" not in str(refused.value)
    assert not list(store.read_all())
    checked = import_table(store, old.engine, table_map, dry_run=True)
    assert checked.skipped >= 1
    assert not list(store.read_all())


@of("sqlite", "table")
def test_invalid_rows_are_left_out_if_asked(old: Old, store: EventStore) -> None:
    old.insert(*range(20))
    old.execute("UPDATE events SET payload = 'no' WHERE id IN (3, 9, 20)")
    done = import_table(store, old.engine, old.map, skip_invalid=True, batch_size=4)
    assert (done.events, done.skipped) == (17, 3)
    assert [error.place for error in done.refusals] == ["row id=3", "row id=9", "row id=20"]
    assert {error.column for error in done.refusals} == {"payload"}
    assert import_table(store, old.engine, old.map, skip_invalid=True).events == 0
    compared = compare_table(store, old.engine, old.map)
    assert (compared.is_equal, compared.skipped) == (True, 3)


@pytest.mark.parametrize(
    ("reader", "change", "said"),
    [
        ("table", "UPDATE events SET version = 0 WHERE id = 15", "a row before it in its stream has version 2"),
        ("table", "UPDATE events SET version = 2 WHERE id = 15", "a row before it in its stream has version 2"),
        ("eventsourcing", "UPDATE stored_events SET originator_version = 5 WHERE rowid = 15", "gaps = true"),
        ("eventsourcing", "DELETE FROM stored_events WHERE rowid = 1", "rows are missing"),
    ],
)
def test_versions_that_do_not_follow_are_refused(
    tmp_path: Path, store: EventStore, reader: str, change: str, said: str
) -> None:
    engine = _writable(f"sqlite:///{tmp_path / 'old.db'}")
    old = Old(engine, reader, create_source(engine, reader))
    old.insert(*range(20))
    old.execute(change)
    with pytest.raises(RowRefused, match=said):
        import_table(store, engine, old.map)
    assert not list(store.read_all())
    engine.dispose()


@of("sqlite", "eventsourcing")
def test_a_gap_that_comes_later_is_refused_too(old: Old, store: EventStore) -> None:
    old.insert(*range(20))
    import_table(store, old.engine, old.map)
    old.insert(27)
    with pytest.raises(RowRefused, match="gaps = true"):
        import_table(store, old.engine, old.map)
    table_map = TableMap.of({"gaps": True}, reader="eventsourcing")
    assert import_table(store, old.engine, table_map).events == 1


@of("sqlite", "eventsourcing")
def test_snapshots_are_not_imported(old: Old, store: EventStore) -> None:
    old.execute(
        "CREATE TABLE snapshots (originator_id TEXT, originator_version INTEGER, topic TEXT, state BLOB, PRIMARY KEY"
        " (originator_id, originator_version)) WITHOUT ROWID"
    )
    with pytest.raises(InvalidTableMap, match="snapshots is not imported"):
        import_table(store, old.engine, TableMap.of({"table": "snapshots"}, reader="eventsourcing"))
    old.execute("INSERT INTO stored_events VALUES ('a1', 1, 'eventsourcing.domain:Aggregate.Snapshot', '{}')")
    old.execute("UPDATE stored_events SET originator_id = :id", id=UUID(int=1).hex)
    with pytest.raises(RowRefused, match="it is a snapshot"):
        import_table(store, old.engine, old.map)


@of("sqlite", "table")
def test_sources_that_can_not_be_read_in_order_are_refused(old: Old, store: EventStore, tmp_path: Path) -> None:
    old.insert(*range(9))
    wrong: list[tuple[dict[str, Any], str]]
    wrong = [({"table": "nothing"}, "no table"), ({"where": {"x": 1}}, "no column 'x'"), ({"data": "x"}, "'x'")]
    for change, said in (({"order": "version"}, "same in several rows"), ({"order": "context"}, "NULL in context")):
        with pytest.raises(UnsuitableSource, match=said):
            import_table(store, old.engine, TableMap.of({**MAP, **change}))
    for change, said in wrong:
        with pytest.raises(InvalidTableMap, match=said):
            import_table(store, old.engine, TableMap.of({**MAP, **change}))
    with pytest.raises(DatabaseMissing):
        open_source(f"sqlite:///{tmp_path / 'none.db'}")
    with pytest.raises(InvalidInput):
        open_source("nothing")
    with pytest.raises(UnsupportedDatabase):
        open_source("mysql://host/db")


def test_a_source_in_a_file_is_only_read(tmp_path: Path, store: EventStore) -> None:
    engine = _writable(f"sqlite:///{tmp_path / 'old.db'}")
    old = Old(engine, "table", create_source(engine, "table"))
    old.insert(*range(9))
    engine.dispose()
    before = (tmp_path / "old.db").read_bytes()
    source = open_source(f"sqlite:///{tmp_path / 'old.db'}")
    assert import_table(store, source, old.map).events == 9
    with source.connect() as connection, pytest.raises(Exception, match="readonly"):
        connection.exec_driver_sql("DELETE FROM events")
    source.dispose()
    assert (tmp_path / "old.db").read_bytes() == before


# --- again, and after an interruption


@of("sqlite", "table")
@pytest.mark.parametrize("batches", [1, 2, 5])
def test_an_interrupted_import_continues(old: Old, any_engine: Engine, batches: int) -> None:
    store = EventStore(any_engine)
    old.insert(*range(30))
    steps: list[TableProgress] = []

    def interrupt(step: TableProgress) -> None:
        steps.append(step)
        if [each.phase for each in steps].count("importing") == batches:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_table(store, old.engine, old.map, batch_size=5, on_progress=interrupt)
    assert (steps[-1].order, steps[-1].end) == (batches * 5, 30)
    done = import_table(store, old.engine, old.map)
    assert (done.resumed_after, done.events, done.repeated) == (batches * 5, 30 - batches * 5, 0)
    assert compare_table(store, old.engine, old.map).is_equal


@of("sqlite", "table")
def test_two_imports_at_once_store_each_row_once(old: Old, store: EventStore) -> None:
    old.insert(*range(30))

    def another(step: TableProgress) -> None:
        if step.phase == "importing" and step.rows == 5:
            import_table(store, old.engine, old.map, batch_size=7)

    done = import_table(store, old.engine, old.map, batch_size=5, on_progress=another)
    assert (done.events, done.repeated) == (5, 25)
    assert compare_table(store, old.engine, old.map).is_equal


@of("sqlite", "table")
def test_a_map_that_was_changed_meanwhile_is_found_out(old: Old, store: EventStore) -> None:
    old.insert(*range(9))
    import_table(store, old.engine, old.map)
    changed = TableMap.of({**MAP, "type": {"value": "other"}})
    compared = compare_table(store, old.engine, changed)
    assert not compared.is_equal
    assert compared.shown[0].problem == "differs in event_type"
    other_order = TableMap.of({**MAP, "order": ["created_at", "id"]})
    with pytest.raises(InvalidTableMap, match="another order"):
        import_table(store, old.engine, other_order)
    load(store, [], source="program")


@of("sqlite", "table")
def test_a_comparison_finds_every_kind_of_difference(old: Old, store: EventStore) -> None:
    old.insert(*range(12))
    import_table(store, old.engine, old.map)
    old.execute("UPDATE events SET payload = '{\"n\": 0}' WHERE id = 2")
    old.execute("UPDATE events SET context = '{\"n\": 1}' WHERE id = 3")
    old.execute("UPDATE events SET created_at = '2026-01-01T00:00:00Z' WHERE id = 4")
    old.execute("DELETE FROM events WHERE id = 6")
    old.insert(12)
    with changing_history(store.engine) as connection:
        connection.execute(store.tables.events.delete().where(store.tables.events.c.position == 8))
    compared = compare_table(store, old.engine, old.map)
    assert [(each.order, each.problem) for each in compared.shown] == [
        (2, "differs in data"), (3, "differs in metadata"), (4, "differs in recorded_at"), (6, "is not in the table"),
        (8, "is not stored"), (13, "is not stored"),
    ]  # fmt: skip
    assert sum(compared.differences.values()) == 6


@of("sqlite", "table")
def test_streams_deleted_here_are_no_differences(old: Old, store: EventStore) -> None:
    old.insert(*range(12))
    import_table(store, old.engine, old.map)
    store.delete_stream("order-1", expected_version=2, reason="r")
    old.insert(*range(12, 20))
    done = import_table(store, old.engine, old.map)
    assert done.ended == 1
    compared = compare_table(store, old.engine, old.map)
    assert (compared.is_equal, compared.ended) == (True, 3)


@of("sqlite", "table")
def test_only_the_import_may_append_to_its_streams(old: Old, store: EventStore) -> None:
    old.insert(*range(9))
    import_table(store, old.engine, old.map)
    store.append("order-1", NewEvent("mine"), expected_version=2)
    old.insert(9, 10, 15)
    with pytest.raises(ImportConflict, match="until the cut-over"):
        import_table(store, old.engine, old.map)


@of("sqlite", "table")
def test_registered_classes_give_tags(old: Old, any_engine: Engine) -> None:
    event_types = EventTypes()
    for name in ("type-0", "type-1", "type-2"):
        cls = type(name, (), {"__annotations__": {"number": int, "price": float, "text": str, "list": list}})
        event_types.register(name, dataclass(frozen=True)(cls), tags={"number": "number"})
    old.insert(*range(9))
    store = EventStore(any_engine, event_types=event_types)
    import_table(store, old.engine, old.map)
    assert [event.data.number for event in store.read_all(EventFilter(tags=["number:4"]))] == [4]
    assert compare_table(store, old.engine, old.map).is_equal
    old.insert(9)
    old.execute('UPDATE events SET payload = \'{"number": "x"}\' WHERE id = 10')
    with pytest.raises(RowRefused):
        import_table(store, old.engine, old.map)


def test_into_a_partitioned_log(partitioned_engine: Engine, tmp_path: Path) -> None:
    engine = _writable(f"sqlite:///{tmp_path / 'old.db'}")
    old = Old(engine, "table", create_source(engine, "table"))
    old.insert(*range(40))
    store = EventStore(partitioned_engine)
    import_table(store, engine, old.map, batch_size=7)
    old.insert(*range(40, 44))
    import_table(store, engine, old.map, batch_size=7)
    assert len(list(store.read_stream("order-0"))) == 7
    assert compare_table(store, engine, old.map).is_equal
    assert list(verify(store)) == []
    engine.dispose()


def test_wrong_arguments(store: EventStore, sqlite_engine: Engine) -> None:
    calls: list[tuple[dict[str, Any], type[EventStoreError]]] = [
        ({"table_map": {}}, InvalidTableMap),
        ({"batch_size": 0}, InvalidInput),
        ({"follow": True, "dry_run": True}, InvalidInput),
        ({"poll_seconds": -1}, InvalidInput),
    ]
    for arguments, error in calls:
        with pytest.raises(error):
            import_table(store, sqlite_engine, **{"table_map": TableMap.of(MAP), **arguments})
    with pytest.raises(InvalidInput, match="records must be SourceEvents, not NoneType"):
        load(store, None, source="x")  # type: ignore[arg-type]  # that is tested


def test_the_origin_of_an_event_is_shown_as_json() -> None:
    assert one_line({"$imported": {"from": "events"}}) == '{"$imported": {"from": "events"}}'
