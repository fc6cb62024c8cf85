"""Servers whose locks do not say which appends have ended are refused, by readers and writers, before anything else.

Citus is not run here. Its catalog is imitated: the tables by which a node of Citus says what it is, with its columns.
"""

from collections.abc import Callable

import pytest
from sqlalchemy import Engine, create_engine, text

from eventstore import EventStore, NewEvent
from eventstore.backends import engine_for
from eventstore.errors import UnsuitableServer
from eventstore.projections import Projection, ProjectionAdmin, Worker
from tests.test_migration_places import execute

COLUMNS = {
    "pg_dist_local_group": "groupid int",
    "pg_dist_partition": 'logicalrelid regclass, partmethod "char", repmodel "char", colocationid int',
    "pg_dist_schema": "schemaid oid, colocationid int",
}
DISTRIBUTED = "INSERT INTO pg_catalog.pg_dist_partition VALUES ('es_events', 'h', 's', 1)"
BY_SCHEMA = "INSERT INTO pg_catalog.pg_dist_schema VALUES ('public'::regnamespace, 1)"


def imitate_citus(engine: Engine, group: int, *statements: str, without: tuple[str, ...] = ()) -> None:
    tables = [f"CREATE TABLE pg_catalog.{name} ({columns})" for name, columns in COLUMNS.items() if name not in without]
    execute(
        engine,
        "SET LOCAL allow_system_table_mods = on",
        *tables,
        f"INSERT INTO pg_catalog.pg_dist_local_group VALUES ({group})",
        *statements,
    )


def _in_transaction(store: EventStore) -> None:
    with store.transaction() as joined:
        joined.append("order-1", [NewEvent("placed")], expected_version=0)


USES: dict[str, Callable[[EventStore], object]] = {
    "append": lambda store: store.append("order-1", [NewEvent("placed")], expected_version=0),
    "append in a transaction": _in_transaction,
    "append_many": lambda store: store.append_many([]) or store.stream_version("order-1"),
    "read": lambda store: list(store.read_all()),
    "settled": lambda store: store.settled_position(),
    "stream": lambda store: list(store.read_stream("order-1")),
    "worker": lambda store: Worker(store, Projection("totals")).run_until_caught_up(),
    "administration": lambda store: ProjectionAdmin(store).status(),
}


@pytest.mark.postgresql
@pytest.mark.parametrize("use", USES)
def test_a_worker_of_citus_is_refused(postgres_engine: Engine, use: str) -> None:
    imitate_citus(postgres_engine, 1, DISTRIBUTED, BY_SCHEMA)
    with pytest.raises(UnsuitableServer, match=r"a worker of Citus.*connect to the coordinator"):
        USES[use](EventStore(postgres_engine))
    with postgres_engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM es_streams")).scalar_one() == 0


@pytest.mark.postgresql
@pytest.mark.parametrize("without", [(), ("pg_dist_schema",)], ids=["another schema is distributed", "old Citus"])
def test_events_that_are_distributed_by_anything_but_their_schema_are_refused(
    postgres_engine: Engine, without: tuple[str, ...]
) -> None:
    other = "INSERT INTO pg_catalog.pg_dist_schema VALUES ('pg_catalog'::regnamespace, 1)"
    imitate_citus(postgres_engine, 0, DISTRIBUTED, *([] if without else [other]), without=without)
    for use in ("append", "read"):
        with pytest.raises(UnsuitableServer, match=r"es_events is distributed.*citus_schema_distribute"):
            USES[use](EventStore(postgres_engine))


@pytest.mark.postgresql
@pytest.mark.parametrize("statements", [(), (DISTRIBUTED, BY_SCHEMA)], ids=["not distributed", "by schema"])
def test_a_coordinator_is_accepted(postgres_engine: Engine, statements: tuple[str, ...]) -> None:
    imitate_citus(postgres_engine, 0, *statements)
    store = EventStore(postgres_engine)
    store.append("order-1", [NewEvent("placed")], expected_version=0)
    assert [event.position for event in store.read_all()] == [1]


@pytest.mark.parametrize(
    "query",
    [
        "host=one:5432&host=two:5432",
        "host=one,two&port=5432,5433",
        "hostaddr=10.0.0.1,10.0.0.2",
        "host=one&load_balance_hosts=random",
        "host=one,two&target_session_attrs=any",
        "host=one,two&target_session_attrs=prefer-standby",
        "host=one,two&target_session_attrs=standby",
        "host=one,two&target_session_attrs=read-only",
    ],
)
def test_an_engine_over_several_servers_is_refused(query: str) -> None:
    engine = create_engine(f"postgresql+psycopg://user:secret@/shop?{query}")
    with pytest.raises(UnsuitableServer, match="target_session_attrs=read-write") as caught:
        EventStore(engine)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "query",
    [
        "host=one",
        "host=one&load_balance_hosts=disable",
        "host=one:5432&host=two:5432&target_session_attrs=read-write",
        "host=one,two&target_session_attrs=primary&load_balance_hosts=random",
    ],
)
def test_an_engine_that_leads_to_the_primary_is_accepted(query: str) -> None:
    EventStore(engine_for(f"postgresql+psycopg://user@/shop?{query}"))


def test_hosts_of_the_environment_count(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = create_engine("postgresql+psycopg:///shop")
    monkeypatch.setenv("PGHOST", "one,two")
    with pytest.raises(UnsuitableServer, match="one,two"):
        EventStore(engine)
    monkeypatch.setenv("PGTARGETSESSIONATTRS", "read-write")
    EventStore(engine)
