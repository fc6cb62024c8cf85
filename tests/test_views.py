"""SQL views of event types: what they show is what `read_all` reads, column by column."""

import json
import re
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import Path
from typing import Any, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pydantic
import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import DBAPIError

from eventstore import ANY, EventStore, NewEvent, migrations
from eventstore.codecs import JSONCodec, MessagePackCodec
from eventstore.errors import InvalidInput, ViewTaken
from eventstore.event_types import EventTypes
from eventstore.maintenance import Recoded, recode, recoding, verify
from eventstore.views import EventViews
from tests.fix_django import postgresql_settings, sqlite_settings
from tests.processes import run_python

registry = EventTypes()


class Colour(Enum):
    RED = "red"


class Size(IntEnum):
    LARGE = 3


@registry.register("everything-kept")
@dataclass(frozen=True)
class Everything:
    text: str
    integer: int
    float_: float
    boolean: bool
    total: Decimal
    moment: datetime
    day: date
    clock: time
    duration: timedelta
    uuid: UUID
    raw: bytes
    colour: Colour
    size: Size
    word: Literal["one", "two"]
    nested: list[dict[str, int]]
    members: set[int]
    pair: tuple[str, Decimal]
    optional: str | None
    version: int  # es_events has such a column


@registry.register("order.Placed")
class OrderPlaced(msgspec.Struct, array_like=True, tag="placed"):
    customer: str
    total: Decimal | None = None


@registry.register("customer named", schema_version=1)
class CustomerNamed(pydantic.BaseModel):
    name: str
    born: date | None = None


YES, NO = True, False
EXAMPLES = [
    Everything(
        "it's \"quoted\" % : \\ ü 🙂", 2**63 - 1, -0.0, YES, Decimal("1.10"),
        datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin")), date(1, 1, 1), time(23, 59, 59, 9),
        timedelta(days=-1, microseconds=1), UUID(int=2**128 - 1), b"\x00\xff", Colour.RED, Size.LARGE, "one",
        [{"a": 1}, {}], {2, 1}, ("a", Decimal("1.10")), None, 7,
    ),
    Everything(
        "", -(2**63), 1e308, NO, Decimal("-1E+20"), datetime(9999, 12, 31, tzinfo=UTC), date(9999, 12, 31), time(0),
        timedelta(days=999_999, seconds=86_399, microseconds=999_999), UUID(int=0), b"", Colour.RED, Size.LARGE, "two",
        [], set(), ("", Decimal(0)), "x", 0,
    ),
    Everything(
        "null", 0, float("inf"), NO, Decimal("Infinity"),
        datetime(2026, 1, 1, 12, 0, 0, 5, tzinfo=timezone(timedelta(hours=-5, minutes=-30, seconds=-7))),
        date(2024, 2, 29), time(1, 2, 3), timedelta(0), UUID(int=1), b"abc", Colour.RED, Size.LARGE, "two", [], {-1},
        ("ü", Decimal("Infinity")), "", 1,
    ),
]  # fmt: skip


@pytest.fixture
def store(any_engine: Engine) -> EventStore:
    return EventStore(any_engine, event_types=registry, codec=JSONCodec())


@pytest.fixture
def views() -> EventViews:
    return EventViews(registry)


def rows(engine: Engine, query: str) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(text(query)).mappings()]


def from_sqlite(name: str, value: Any) -> Any:
    """Return what a column of SQLite means."""
    convert: dict[str, Any] = {
        "float_": float, "boolean": bool, "total": Decimal, "day": date.fromisoformat, "uuid": UUID, "raw": b64decode,
        "nested": json.loads,
        "members": json.loads, "pair": json.loads,
        "moment": lambda text: datetime.fromisoformat(text.partition("[")[0]),
        "duration": lambda text: timedelta(*map(int, text.split())),
    }  # fmt: skip
    return convert.get(name, lambda same: same)(value)


def test_each_column_has_the_value_that_is_read(store: EventStore, views: EventViews) -> None:
    store.append("all-1", EXAMPLES, expected_version=0)
    views.apply(store.engine)
    found = rows(store.engine, "SELECT * FROM everything_kept ORDER BY position")
    events = list(store.read_all())
    assert [event.data for event in events] == EXAMPLES
    assert len(found) == len(events)
    for row, event in zip(found, events, strict=True):
        assert (row["position"], row["stream_id"], row["version"]) == (event.position, "all-1", event.version)
        for field in fields(event.data):
            expected = getattr(event.data, field.name)
            if isinstance(expected, Enum):
                expected = expected.value
            if isinstance(expected, time):
                expected = expected.isoformat()
            if isinstance(expected, set | tuple):  # as JSONCodec stores them
                expected = json.loads(JSONCodec().encode(expected))
                value = row[field.name]
            value = row["data_version" if field.name == "version" else field.name]
            value = from_sqlite(field.name, value) if store.engine.dialect.name == "sqlite" else value
            if isinstance(expected, datetime):  # two zones never compare equal in a fold
                value, expected = value.astimezone(UTC), expected.astimezone(UTC)
            assert value == expected, field.name
            assert str(value) == str(expected) or isinstance(value, Decimal), field.name


def test_lists_and_models_have_their_columns_too(store: EventStore, views: EventViews) -> None:
    store.append("order-1", [OrderPlaced("Ada", Decimal(5)), OrderPlaced("Bob")], expected_version=0)
    store.append("customer-1", [CustomerNamed(name="Ada", born=date(1815, 12, 10))], expected_version=0)
    views.apply(store.engine)
    found = rows(store.engine, "SELECT customer, total FROM order_placed ORDER BY position")
    assert [(row["customer"], row["total"] and Decimal(row["total"])) for row in found] == [("Ada", 5), ("Bob", None)]
    ((name, born),) = [tuple(row.values()) for row in rows(store.engine, "SELECT name, born FROM customer_named")]
    assert (name, str(born)) == ("Ada", "1815-12-10")


def test_values_of_writers_without_the_class_are_shown(store: EventStore, views: EventViews) -> None:
    plain = EventStore(store.engine, codec=JSONCodec())
    for total in (5, "5.50", 0.5, None):
        event = NewEvent("order.Placed", ["placed", "Ada", total])
        plain.append("order-1", [event], expected_version=ANY)
    plain.append("customer-1", [NewEvent("customer named", {"name": "Ada", "born": "1815-12-10"})], expected_version=0)
    views.apply(store.engine)
    totals = [row["total"] for row in rows(store.engine, "SELECT total FROM order_placed ORDER BY position")]
    read = [event.data.total for event in store.read_stream("order-1")]
    assert read == [5, Decimal("5.50"), Decimal("0.5"), None]
    assert [total if total is None else Decimal(total) for total in totals] == read
    assert [str(row["born"]) for row in rows(store.engine, "SELECT born FROM customer_named")] == ["1815-12-10"]


def test_what_a_view_cannot_show_is_counted(store: EventStore, views: EventViews) -> None:
    views.apply(store.engine)
    store.append("order-1", [OrderPlaced("Ada")], expected_version=0)
    packed = EventStore(store.engine, event_types=registry, codec=MessagePackCodec())
    packed.append("order-2", [OrderPlaced("Bob")] * 2, expected_version=0)
    squeezed = EventStore(store.engine, event_types=registry, codec=JSONCodec(), compress_above=10)
    squeezed.append("order-3", [OrderPlaced("C" * 1000)], expected_version=0)
    old = EventStore(store.engine, codec=JSONCodec())
    old.append("order-4", [NewEvent("order.Placed", {"customer": "old"}, schema_version=9)], expected_version=0)
    counts = {each.name: each for each in views.count(store.engine)}
    assert [counts["order_placed"].shown, counts["order_placed"].other_codec, counts["order_placed"].other_version] == [
        1, 3, 1,
    ]  # fmt: skip
    assert counts["customer_named"].shown == 0
    assert [row["customer"] for row in rows(store.engine, "SELECT customer FROM order_placed")] == ["Ada"]


@pytest.fixture
def versions() -> EventTypes:
    event_types = EventTypes()

    @event_types.register("order-placed", schema_version=3)
    @dataclass
    class Placed:
        customer: str
        currency: str | None = None

    for version in (1, 2):
        event_types.upcaster("order-placed", from_version=version)(lambda data: data)
    return event_types


def test_older_schema_versions_are_shown_if_asked_for(any_engine: Engine, versions: EventTypes) -> None:
    store = EventStore(any_engine, codec=JSONCodec())
    for version, data in ((1, {"client": "Ada"}), (2, {"buyer": "Bob"}), (3, {"customer": "Cyd", "currency": "EUR"})):
        store.append("order-1", [NewEvent("order-placed", data, schema_version=version)], expected_version=ANY)
    query = "SELECT customer, currency FROM order_placed ORDER BY position"
    EventViews(versions).apply(any_engine)
    assert [tuple(row.values()) for row in rows(any_engine, query)] == [("Cyd", "EUR")]
    older = EventViews(versions, renamed={"order-placed": {"customer": ["buyer", "client"]}})
    assert [(change.name, change.replaces) for change in older.check(any_engine)] == [("order_placed", True)]
    assert [(change.name, change.replaces) for change in older.apply(any_engine)] == [("order_placed", True)]
    assert [tuple(row.values()) for row in rows(any_engine, query)] == [("Ada", None), ("Bob", None), ("Cyd", "EUR")]
    assert older.check(any_engine) == older.apply(any_engine) == []
    assert [count.other_version for count in older.count(any_engine)] == [0]


@pytest.mark.slow
def test_an_index_answers_the_view(store: EventStore) -> None:
    views = EventViews(registry, indexes=["order.Placed.customer", "everything-kept.moment", "everything-kept.version"])
    store.append("order-1", [OrderPlaced(f"customer {number}") for number in range(3000)], expected_version=0)
    assert {change.name for change in views.apply(store.engine) if change.is_index} == {
        "order_placed_customer_idx", "everything_kept_moment_idx", "everything_kept_data_version_idx",
    }  # fmt: skip
    assert views.check(store.engine) == []
    query = "SELECT position FROM order_placed WHERE customer = 'customer 777'"
    is_sqlite = store.engine.dialect.name == "sqlite"
    with store.engine.begin() as connection:
        connection.execute(text("ANALYZE"))
    plan = str(rows(store.engine, f"EXPLAIN {'QUERY PLAN' if is_sqlite else ''} {query}"))
    assert "order_placed_customer_idx" in plan
    assert [row["position"] for row in rows(store.engine, query)] == [778]
    store.append("order-1", [OrderPlaced("customer 777")], expected_version=ANY)
    assert len(rows(store.engine, query)) == 2
    with store.engine.begin() as connection:
        connection.execute(text("DROP INDEX order_placed_customer_idx"))
    assert [change.name for change in views.check(store.engine)] == ["order_placed_customer_idx"]


def test_the_script_makes_the_same(store: EventStore) -> None:
    views = EventViews(registry, indexes=["order.Placed.customer"])
    script = views.sql(store.engine.dialect.name)
    with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for statement in re.split(r";\n", script):
            if statement.strip():
                connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
    assert views.check(store.engine) == []


def test_any_event_type_and_key_can_be_named(any_engine: Engine) -> None:
    event_types = EventTypes()

    @event_types.register('it\'s 100% \\:named "x"')
    class Odd(msgspec.Struct, rename={"quoted": "it's % :b", "upper": "Select"}):
        quoted: str
        upper: str

    store = EventStore(any_engine, event_types=event_types, codec=JSONCodec())
    store.append("odd-1", [Odd("one", "two")], expected_version=0)
    views = EventViews(event_types, indexes=['it\'s 100% \\:named "x".quoted'])
    views.apply(any_engine)
    assert views.check(any_engine) == []
    assert rows(any_engine, "SELECT quoted, upper FROM it_s_100_named_x") == [{"quoted": "one", "upper": "two"}]


def test_names_that_are_taken_are_refused(store: EventStore, views: EventViews) -> None:
    with store.engine.begin() as connection:
        connection.execute(text("CREATE TABLE order_placed (id integer)"))
    for act in (views.check, views.apply):
        with pytest.raises(ViewTaken, match="order_placed") as refusal:
            act(store.engine)
        assert "table" in refusal.value.problem
    assert len(EventViews(registry, prefix="shop_").apply(store.engine)) == 3


@pytest.mark.postgresql
def test_a_view_of_the_application_is_not_replaced(postgres_engine: Engine, views: EventViews) -> None:
    with postgres_engine.begin() as connection:
        connection.execute(text("CREATE VIEW order_placed AS SELECT 1 AS one"))
    with pytest.raises(ViewTaken):
        views.apply(postgres_engine)
    assert rows(postgres_engine, "SELECT * FROM order_placed") == [{"one": 1}]


@pytest.mark.postgresql
def test_a_view_that_is_used_is_not_replaced(postgres_engine: Engine, versions: EventTypes) -> None:
    EventViews(versions).apply(postgres_engine)
    with postgres_engine.begin() as connection:
        connection.execute(text("CREATE VIEW report AS SELECT count(*) AS number FROM order_placed"))
    with pytest.raises(ViewTaken, match="depends on it"):
        EventViews(versions, renamed={"order-placed": {}}).apply(postgres_engine)
    assert rows(postgres_engine, "SELECT * FROM report") == [{"number": 0}]


@pytest.fixture
def reader(postgres_engine: Engine) -> Iterator[str]:
    role = "view_reader"
    with postgres_engine.begin() as connection:
        connection.execute(text(f"CREATE ROLE {role}"))
    yield role
    with postgres_engine.begin() as connection:
        connection.execute(text(f"DROP OWNED BY {role}"))
        connection.execute(text(f"DROP ROLE {role}"))


@pytest.mark.postgresql
def test_readers_see_the_view_and_no_table(postgres_engine: Engine, reader: str) -> None:
    store = EventStore(postgres_engine, event_types=registry, codec=JSONCodec())
    store.append("order-1", [OrderPlaced("Ada")], expected_version=0)
    EventViews(registry, readers=[reader]).apply(postgres_engine)
    engine = create_engine(postgres_engine.url, connect_args={"options": f"-c role={reader}"})
    assert [row["customer"] for row in rows(engine, "SELECT customer FROM order_placed")] == ["Ada"]
    with pytest.raises(DBAPIError, match="es_events"):
        rows(engine, "SELECT data FROM es_events")
    engine.dispose()


@pytest.mark.postgresql
@pytest.mark.parametrize("setting", ["datestyle=SQL,DMY", "intervalstyle=sql_standard", "timezone=Asia/Tokyo"])
def test_settings_change_nothing(postgres_engine: Engine, views: EventViews, setting: str) -> None:
    EventStore(postgres_engine, event_types=registry, codec=JSONCodec()).append("all-1", EXAMPLES, expected_version=0)
    views.apply(postgres_engine)
    query = "SELECT moment, day, duration FROM everything_kept WHERE moment < '9000-01-01' ORDER BY position"
    values = [tuple(row.values()) for row in rows(postgres_engine, query)]
    assert len(values) == 2
    engine = create_engine(postgres_engine.url, connect_args={"options": f"-c {setting}"})
    matching = text("SELECT count(*) FROM everything_kept WHERE (moment, day, duration) = (:moment, :day, :duration)")
    with engine.connect() as connection:
        for value in values:
            parameters = dict(zip(("moment", "day", "duration"), value, strict=True))
            assert connection.execute(matching, parameters).scalar() == 1
    engine.dispose()


@pytest.mark.slow
@pytest.mark.postgresql
def test_views_stand_in_the_schema_of_the_tables(postgres_engine: Engine) -> None:
    migrations.provision(postgres_engine, "Events %")
    store = EventStore(postgres_engine, schema="Events %", event_types=registry, codec=JSONCodec())
    store.append("order-1", [OrderPlaced("Ada")], expected_version=0)
    views = EventViews(registry, schema="Events %", indexes=["order.Placed.customer"])
    assert len(views.apply(postgres_engine)) == 4
    assert views.check(postgres_engine) == []
    assert [row["customer"] for row in rows(postgres_engine, 'SELECT customer FROM "Events %".order_placed')] == ["Ada"]
    with postgres_engine.begin() as connection:
        connection.execute(text('DROP SCHEMA "Events %" CASCADE'))


def test_bad_input_is_refused() -> None:
    for options, problem in (
        ({"renamed": {"order-paid": {}}}, "no class is registered"),
        ({"renamed": {"order.Placed": {"total_": "t"}}}, "not a field"),
        ({"indexes": ["customer"]}, "event type.field"),
        ({"indexes": ["order.Placed.customer_"]}, "not a field"),
        ({"prefix": "p" * 60}, "longer than 63 bytes"),
    ):
        with pytest.raises(InvalidInput, match=problem):
            EventViews(registry, **options)
    with pytest.raises(InvalidInput, match="EventTypes"):
        EventViews({})  # type: ignore[arg-type]  # what is tested
    with pytest.raises(InvalidInput, match="database"):
        EventViews(registry).sql("oracle")
    twins = EventTypes()
    for name in ("order-placed", "order.placed"):
        twins.register(name, type("Placed", (msgspec.Struct,), {}))
    with pytest.raises(InvalidInput, match="same view"):
        EventViews(twins)


# --- payloads of other codecs, stored again


def test_payloads_are_stored_again_for_views(any_engine: Engine, views: EventViews) -> None:
    packed = EventStore(any_engine, event_types=registry, compress_above=200)
    packed.append("all-1", EXAMPLES, expected_version=0)
    packed.append("order-1", [OrderPlaced("C" * 1000), OrderPlaced("Ada", Decimal("NaN"))], expected_version=0)
    views.apply(any_engine)
    assert [count.shown for count in views.count(any_engine)] == [0, 0, 0]
    before = [(event.position, event.event_id, event.recorded_at) for event in packed.read_all()]
    store = EventStore(any_engine, event_types=registry, codec=JSONCodec())
    progress: list[Recoded] = []
    assert recode(store, event_types=["order.Placed"], batch_size=2) == Recoded(5, 2, 0)
    assert recode(store, batch_size=2, on_progress=progress.append) == Recoded(5, 3, 0)
    assert [each.recoded for each in progress] == [2, 3]
    assert recode(store) == Recoded(5, 0, 0)
    assert [(event.position, event.event_id, event.recorded_at) for event in packed.read_all()] == before
    assert [event.data for event in packed.read_stream("all-1")] == EXAMPLES
    assert [count.other_codec for count in views.count(any_engine)] == [0, 0, 0]
    assert list(verify(store)) == []


def test_a_value_that_the_codec_cannot_store_is_left(any_engine: Engine) -> None:
    deep: Any = []
    for _ in range(200):
        deep = [deep]
    store = EventStore(any_engine)
    store.append("deep-1", [NewEvent("went-down", deep), NewEvent("went-up", {"a": 1})], expected_version=0)
    assert recode(EventStore(any_engine, codec=JSONCodec())) == Recoded(2, 1, 1)
    assert [event.data for event in store.read_stream("deep-1")] == [deep, {"a": 1}]


def test_recoding_refuses_what_it_cannot_do(any_engine: Engine) -> None:
    store = EventStore(any_engine)
    with store.transaction() as transaction, pytest.raises(InvalidInput, match="joined"):
        recode(transaction)
    with pytest.raises(InvalidInput):
        recode(store, batch_size=0)
    with pytest.raises(InvalidInput):
        recode(store, event_types=[""])


@pytest.mark.postgresql
def test_an_event_that_another_run_has_recoded_is_left(
    postgres_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = EventStore(postgres_engine)
    store.append("order-1", [NewEvent("counted", {"a": 1})], expected_version=0)
    target = EventStore(postgres_engine, codec=JSONCodec())
    original = recoding._recoded

    def meanwhile(*arguments: Any) -> Any:
        monkeypatch.setattr(recoding, "_recoded", original)
        assert recode(target) == Recoded(1, 1, 0)
        return original(*arguments)

    monkeypatch.setattr(recoding, "_recoded", meanwhile)
    assert recode(target) == Recoded(1, 0, 0)
    assert [event.data for event in store.read_stream("order-1")] == [{"a": 1}]


# --- Django's models of the views

PROGRAM = """
import json, sys
sys.path.insert(0, "")
import django
from django.conf import settings
from django.core.management import call_command

settings.configure(
    DATABASES={"default": json.loads(sys.argv[1])}, INSTALLED_APPS=["reports"], USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
)
django.setup()
call_command("check")
from reports.models import EverythingKept, OrderPlaced

first = EverythingKept.objects.order_by("position").first()
print(first.text == sys.argv[2], first.integer == 2**63 - 1, first.boolean is True, first.nested == [{"a": 1}, {}])
print(str(first.total), str(first.uuid), first.data_version, first.version, first.float)
print(OrderPlaced.objects.get(customer="Ada").stream_id)
"""


@pytest.mark.slow
def test_django_reads_the_views(store: EventStore, views: EventViews, tmp_path: Path) -> None:
    store.append("all-1", EXAMPLES, expected_version=0)
    store.append("order-1", [OrderPlaced("Ada", Decimal("1.50"))], expected_version=0)
    views.apply(store.engine)
    url = store.engine.url
    is_sqlite = url.get_backend_name() == "sqlite"
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports/__init__.py").touch()
    (tmp_path / "reports/models.py").write_text(views.django_models(url.get_backend_name()), encoding="utf-8")
    database = sqlite_settings(Path(str(url.database))) if is_sqlite else postgresql_settings(url)
    done = run_python("-c", PROGRAM, json.dumps(database), EXAMPLES[0].text, cwd=tmp_path, check=True)
    assert done.stdout.splitlines()[-3:] == [
        "True True True True", f"1.10 {UUID(int=2**128 - 1)} 7 1 -0.0", "order-1",
    ], done.stdout  # fmt: skip
