"""Schemas of any name: migrated, used, looked after."""

import threading
from collections.abc import Iterator
from typing import Final

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.pool import NullPool

from eventstore import ANY, EventStore, NewEvent, maintenance, migrations
from eventstore.backends.postgresql import dialect as postgresql
from eventstore.errors import InvalidInput, NoSchema, TableLocked, UnsuitableSetting
from eventstore.migrations.environment import VERSION_TABLE
from eventstore.tables import define_tables
from eventstore.tables.names import qualified_name
from tests.fix_migrations import BringTo
from tests.test_migration_ways import psql

NAMES: Final = ['My "Events"', "select", "_%Ä'\\:name", "%(x)s"]
MORE_NAMES: Final = [
    "100%",
    "a:b",
    "%s:x",
    "%%",
    "{events}",
    "tenant$1",
    "a$$b",
]


@pytest.fixture
def engine(empty_postgres_url: str) -> Iterator[Engine]:
    engine = create_engine(empty_postgres_url)
    yield engine
    engine.dispose()


@pytest.mark.slow
@pytest.mark.parametrize("name", [*NAMES, *(pytest.param(name, marks=pytest.mark.long) for name in MORE_NAMES)])
def test_a_schema_of_any_name_works(engine: Engine, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    migrations.upgrade(engine, schema=name)
    migrations.upgrade(engine, schema=name)
    assert migrations.verify(engine, schema=name) == []
    assert migrations.current(engine, schema=name) == migrations.head()
    monkeypatch.setattr(postgresql, "COPY_FROM", 5)
    store = EventStore(engine, schema=name, notify=True)
    for count in (1, 3, 5):
        store.append("order-1", [NewEvent("counted", number) for number in range(count)], expected_version=ANY)
    assert [event.version for event in store.read_all()] == list(range(1, 10))
    assert store.snapshots.save("order-1", version=9, state={})
    assert store.delete_stream("order-1", expected_version=9, reason="old").version == 10
    assert list(maintenance.verify(store)) == []
    with engine.connect() as connection:
        fillfactor = text("SELECT array_to_string(reloptions, '') FROM pg_class WHERE relname = 'es_streams'")
        assert connection.execute(fillfactor).scalar_one() == "fillfactor=80"
    migrations.downgrade(engine, "es_0005", schema=name)
    migrations.upgrade(engine, schema=name)
    assert migrations.verify(engine, schema=name) == []


def test_percent_signs_of_a_schema_are_kept() -> None:
    assert qualified_name(define_tables(schema="%% %s").events) == '"%% %s".es_events'


@pytest.mark.slow
@pytest.mark.parametrize("name", [":p", "a\\:b", "a$$b", 'My "Events"'])
def test_the_printed_sql_makes_a_schema_of_any_name(engine: Engine, name: str) -> None:
    done = psql(engine, migrations.sql(schema=name))
    assert done.returncode == 0, done.stderr
    assert migrations.verify(engine, schema=name) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a$$b", "tenant$1"])
@pytest.mark.parametrize(
    "damage",
    [
        (
            "ALTER TABLE {0}.es_streams ALTER after_position SET DEFAULT 0;"
            "ALTER TABLE {0}.es_events ALTER position DROP IDENTITY"
        ),
        "ALTER SEQUENCE {0}.es_events_position_seq INCREMENT BY 2",
        "ALTER TABLE {0}.snapshots DROP CONSTRAINT snapshots_stream_id_fkey",
    ],
)
def test_remedies_in_a_schema_of_any_name_are_right(
    bring_to: BringTo, engine: Engine, name: str, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventstore.migrations.fixing.LOCK_TIMEOUT", "20ms")
    bring_to(engine, schema=name)
    with engine.begin() as connection:
        connection.exec_driver_sql(damage.format(f'"{name}"'))
    findings = migrations.verify(engine, schema=name)
    assert findings
    with engine.begin() as connection:  # a lock that the remedy has to wait for
        connection.exec_driver_sql(f'LOCK TABLE "{name}".es_events, "{name}".snapshots')
        with pytest.raises(TableLocked):
            migrations.fix(engine, findings[0], wait_seconds=0)
    for finding in findings:
        migrations.fix(engine, finding)
    assert migrations.verify(engine, schema=name) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["100%", "%(x)s"])
def test_the_global_order_waits_for_an_append_under_way_in_such_a_schema(engine: Engine, name: str) -> None:
    migrations.upgrade(engine, schema=name)
    store = EventStore(engine, schema=name)
    with engine.connect() as connection:
        store.join(connection).append("order-1", [NewEvent("first")], expected_version=ANY)
        store.append("order-2", [NewEvent("second")], expected_version=ANY)
        assert list(store.read_all(wait_seconds=0)) == []
        connection.commit()
    assert [event.event_type for event in store.read_all()] == ["first", "second"]


@pytest.mark.slow
def test_subscriptions_are_told_in_such_a_schema(engine: Engine) -> None:
    migrations.upgrade(engine, schema="100%:x")
    store = EventStore(engine, schema="100%:x", notify=True)
    subscription = store.subscribe(after_position=0, notify=True, longest_interval_seconds=60, idle_timeout_seconds=60)
    with subscription:
        appending = threading.Timer(0.2, lambda: store.append("order-1", [NewEvent("first")], expected_version=ANY))
        appending.start()
        assert next(iter(subscription)).event_type == "first"
        appending.join()


@pytest.mark.slow
def test_no_schema_to_create_in_is_refused_before_anything_is_made(empty_postgres_url: str) -> None:
    for path in ("''", "nowhere", "nowhere,neither"):
        options = {"options": f"-c search_path={path}"}
        engine = create_engine(empty_postgres_url, connect_args=options, poolclass=NullPool)  # none stays open
        with pytest.raises(NoSchema, match=r"no schema to create the tables in.*search_path"):
            migrations.upgrade(engine)
        with engine.connect() as connection:
            assert (
                connection.exec_driver_sql("SELECT count(*) FROM pg_tables WHERE tablename LIKE 'es%%'").scalar_one()
                == 0
            )


@pytest.mark.slow
def test_a_schema_translate_map_is_refused_by_a_migration(engine: Engine) -> None:
    with pytest.raises(UnsuitableSetting, match=r"schema_translate_map .*tenant_a"):
        migrations.upgrade(engine.execution_options(schema_translate_map={None: "tenant_a"}))
    with engine.connect() as connection:
        tables = text("SELECT count(*) FROM pg_tables WHERE tablename = :name")
        assert connection.execute(tables, {"name": VERSION_TABLE}).scalar_one() == 0


def test_a_script_for_a_schema_with_a_percent_sign_is_refused() -> None:
    with pytest.raises(InvalidInput, match="percent"):
        migrations.sql(schema="100%")
