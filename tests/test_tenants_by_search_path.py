"""Tenants that share one database, each in its schema, which the search path chooses: the store names none.

The path is set at each checkout, for a transaction, or for an engine. Each tenant has its own log, its own migrations
and its own readers, who miss nothing.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from typing import Any, Final

import pytest
from sqlalchemy import Connection, Engine, event, inspect, text
from sqlalchemy.orm import Session

from eventstore import EventStore, NewEvent, migrations
from eventstore.errors import PositionsBehind, SchemaMissing
from eventstore.maintenance import verify
from eventstore.projections import Projection, ProjectionAdmin, Worker
from tests.fix_postgresql import Databases
from tests.readers import Subscriber, append, opened, unfinished

pytestmark = [pytest.mark.postgresql, pytest.mark.slow]
TENANTS: Final = ("tenant_a", "tenant_b")
_tenant: ContextVar[str] = ContextVar("tenant")  # as an application's middleware sets it for a request


@contextmanager
def working_for(tenant: str) -> Iterator[None]:
    token = _tenant.set(tenant)
    try:
        yield
    finally:
        _tenant.reset(token)


def set_path(raw: Any, *_: object) -> None:
    raw.execute("SELECT set_config('search_path', %s, false)", [_tenant.get()])
    raw.commit()


@pytest.fixture
def url(empty_postgres_url: str) -> str:
    """A database with a schema for each tenant."""
    with opened(empty_postgres_url) as engine, engine.begin() as connection:
        for tenant in TENANTS:
            connection.execute(text(f"CREATE SCHEMA {tenant}"))
    return empty_postgres_url


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    """The application's engine, whose connections work for the tenant of the context."""
    with opened(url) as engine:
        event.listen(engine, "checkout", set_path)
        yield engine


def migrate_all(template: Engine) -> None:
    for tenant in TENANTS:
        with template.begin() as connection:
            connection.execute(text(f"CREATE SCHEMA {tenant}"))
        migrations.upgrade(template, schema=tenant)


@pytest.fixture
def migrated(engine: Engine, postgres_databases: Databases) -> Engine:
    """The engine of a database that was migrated for each tenant, as the tests of migrations do: once, then copied."""
    engine.dispose()
    postgres_databases.replace(engine.url, f"the schemas {TENANTS}", migrate_all)
    return engine


@pytest.fixture
def store(migrated: Engine) -> EventStore:
    return EventStore(migrated)


def positions(store: EventStore, after: int = 0) -> list[int]:
    return [recorded.position for recorded in store.read_all(after_position=after)]


def tables(url: str) -> dict[str, set[str]]:
    with opened(url) as engine:
        return {schema: set(inspect(engine).get_table_names(schema)) for schema in ("public", *TENANTS)}


# --- migrations


def by_hook(url: str, tenant: str) -> None:
    with opened(url) as engine, working_for(tenant):
        event.listen(engine, "checkout", set_path)
        migrations.upgrade(engine)
        assert migrations.check(engine)
        assert [finding for finding in verify(EventStore(engine)) if finding.level.name == "ERROR"] == []


def by_options(url: str, tenant: str) -> None:
    with opened(url, connect_args={"options": f"-csearch_path={tenant}"}) as engine:
        migrations.upgrade(engine, "es_0004")


def by_connecting(url: str, tenant: str) -> None:
    with opened(url) as engine, working_for(tenant):
        event.listen(engine, "connect", set_path)
        migrations.upgrade(engine, "es_0004")


@pytest.mark.parametrize("upgrade", [by_hook, by_options, by_connecting])
def test_migrations_land_in_the_schema_of_the_tenant(url: str, upgrade: Callable[[str, str], None]) -> None:
    upgrade(url, "tenant_b")
    found = tables(url)
    assert {"es_events", "es_schema", "es_alembic_version"} <= found["tenant_b"]
    assert found["public"] == found["tenant_a"] == set()
    upgrade(url, "tenant_a")
    assert tables(url) == {"public": set(), "tenant_a": found["tenant_b"], "tenant_b": found["tenant_b"]}


def test_a_tenant_who_was_not_migrated_is_told_apart_from_one_who_was(engine: Engine) -> None:
    store = EventStore(engine)
    with working_for("tenant_a"):
        migrations.upgrade(engine)
        append(store)
    with working_for("tenant_b"):
        with pytest.raises(SchemaMissing):
            append(store)
        with pytest.raises(SchemaMissing):
            positions(store)
        assert not store.health().schema.fits
    with working_for("tenant_a"):
        assert store.health().schema.fits
        assert append(store) == 2


# --- each sees its own


def test_each_tenant_has_its_own_log(store: EventStore) -> None:
    for number in range(1, 4):
        for tenant in TENANTS:
            with working_for(tenant):
                result = store.append("order-1", NewEvent(tenant), expected_version=number - 1)
                assert (result.version, result.position) == (number, number)
    for tenant in TENANTS:
        with working_for(tenant):
            assert {recorded.event_type for recorded in store.read_all()} == {tenant}
            assert positions(store) == [1, 2, 3]
            store.delete_stream("order-1", expected_version=3, reason="of the test", reusable=True)
            assert [info.version for info in store.list_streams()] == [4]


def test_a_path_for_one_transaction_is_followed_by_a_joined_store(migrated: Engine, url: str) -> None:
    with opened(url) as plain:
        store = EventStore(plain)
        for _ in range(2):
            for tenant in TENANTS:
                with Session(plain) as session, session.begin():
                    session.execute(text(f"SET LOCAL search_path TO {tenant}"))
                    joined = store.join(session)
                    append(joined, tenant)
                with Session(plain) as session, session.begin():
                    session.execute(text(f"SET LOCAL search_path TO {tenant}"))
                    assert {recorded.stream_id for recorded in store.join(session).read_all()} == {tenant}
    for tenant in TENANTS:
        with working_for(tenant):
            assert positions(EventStore(migrated)) == [1, 2]


def test_each_tenant_has_its_own_projections(store: EventStore, migrated: Engine) -> None:
    counts: dict[str, int] = dict.fromkeys(TENANTS, 0)
    projection = Projection("counts")

    @projection.on("counted")
    def count(_event: Any, _connection: Connection) -> None:
        counts[_tenant.get()] += 1

    for number, tenant in enumerate(TENANTS, 1):
        with working_for(tenant):
            append(store, count=10 * number)
            Worker(store, projection).run_until_caught_up()
    assert counts == {"tenant_a": 10, "tenant_b": 20}
    for number, tenant in enumerate(TENANTS, 1):
        with working_for(tenant):
            (status,) = ProjectionAdmin(store).status()
            assert (status.position, store.health().projections[0].position) == (10 * number, 10 * number)


# --- readers miss nothing


def test_readers_of_each_tenant_wait_for_their_own_open_appends(store: EventStore, migrated: Engine) -> None:
    """Each subscription runs in a thread with the context of its tenant; one tenant's lock holds up the other's not."""
    subscribers = {}
    for tenant in TENANTS:
        with working_for(tenant):
            append(store, count=5)
            subscribers[tenant] = copy_context().run(Subscribing, store, tenant)
    with working_for("tenant_b"), unfinished(migrated) as (connection, held):
        assert held == 6
        append(store, "order-2", count=4)
        assert positions(store) == [1, 2, 3, 4, 5]
        with working_for("tenant_a"):
            last = append(store, "order-2", count=20)
            subscribers["tenant_a"].wait_for(last)
            assert positions(store) == list(range(1, last + 1))
        assert [recorded.position for recorded in subscribers["tenant_b"].events] == [1, 2, 3, 4, 5]
        connection.commit()
        subscribers["tenant_b"].wait_for(10)
    for tenant, newest in zip(TENANTS, (25, 10), strict=True):
        subscribers[tenant].end()
        assert subscribers[tenant].error is None
        assert [recorded.position for recorded in subscribers[tenant].events] == list(range(1, newest + 1))


class Subscribing(Subscriber):
    """Follows the log of one tenant, in a thread of its own."""

    def __init__(self, store: EventStore, tenant: str) -> None:
        self._tenant = tenant
        super().__init__(store)

    def _catch(self) -> None:
        with working_for(self._tenant):
            super()._catch()


def set_last_position(engine: Engine, position: int) -> None:
    with engine.begin() as connection:
        connection.execute(text(f"SELECT setval(pg_get_serial_sequence('es_events', 'position'), {position})"))


@pytest.mark.parametrize("joins", [False, True])
def test_positions_that_come_from_behind_are_refused_for_each_tenant(
    store: EventStore, migrated: Engine, url: str, *, joins: bool
) -> None:
    """The second tenant whom a connection works for has a sequence that would draw a position from a gap."""
    with working_for("tenant_b"):
        set_last_position(migrated, 100)
        assert append(store) == 101
        set_last_position(migrated, 50)
        with migrated.connect() as connection:
            raw: Any = connection.connection.driver_connection
            is_reported = raw.info.parameter_status("search_path") is not None
    migrated.dispose()
    with working_for("tenant_a"):
        append(store)
    with working_for("tenant_b"):
        if not is_reported:  # before PostgreSQL 18, readers find out
            with pytest.raises(PositionsBehind):
                positions(store)
            return
        with pytest.raises(PositionsBehind):
            if joins:
                with Session(migrated) as session, session.begin():
                    append(store.join(session), "order-2")
            else:
                append(store, "order-2")
        assert store.stream_version("order-2") == 0
