"""Citus by schema: the contract and the adversary on a real cluster, and what is special there.

The cluster is named by EVENTSTORE_TEST_CITUS_URL: tests/fix_citus.py. What needs none is in test_citus_dialect.py.
"""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, Engine, create_engine, make_url, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.pool import NullPool

from eventstore import ANY, Append, EventStore, NewEvent, maintenance, migrations
from eventstore.backends.postgresql.dialect import PostgreSQLDialect
from eventstore.errors import PartitioningRefused, SeveralTenants, UnsuitableServer
from eventstore.migrations import partitioning
from eventstore.testing.adversary.loading import OURS
from eventstore.testing.adversary.running import CASES
from eventstore.testing.adversary.verdicts import Result
from eventstore.testing.contract import EventStoreContract
from tests.fix_engines import empty
from tests.golden_sql import compiled
from tests.test_adversary import attack

PLACEMENT = """
SELECT s.shardid, n.nodename, n.nodeport FROM pg_dist_shard s
JOIN pg_dist_placement p USING (shardid) JOIN pg_dist_node n ON n.groupid = p.groupid
WHERE s.logicalrelid = to_regclass(:table)
"""
NOT_PLANNED = (
    "postgresql.append_one.", "postgresql.append_tagged.", "postgresql.boundaries_without_tags.lock_all_appends",
    "postgresql.copy.copy_", "postgresql.lock_table.", "postgresql.positions.drawn_positions(", "parts.",
)  # fmt: skip
"""Statements that are replaced on Citus, refused before they are sent, about parts, or not for EXPLAIN."""

OTHER_WORKER = "SELECT nodename, nodeport FROM pg_dist_node WHERE groupid > 0 AND nodeport <> :port LIMIT 1"


class TestCitusBySchema(EventStoreContract):
    """The contract."""

    locks_all_appends = False

    @pytest.fixture
    def engine(self, citus_engine: Engine, citus_url: str, citus_schema: str) -> Iterator[Engine]:
        self.used = citus_engine, citus_schema
        yield citus_engine
        citus_engine.dispose()
        empty(citus_url, citus_schema)

    @pytest.fixture
    def make_store(self, engine: Engine, citus_schema: str) -> Callable[..., EventStore]:
        return partial(EventStore, engine, schema=citus_schema)

    def test_history_is_protected_all_the_same(self, two: EventStore) -> None:
        """In place of the contract's: Citus has no triggers on distributed tables, so grants protect history."""
        engine, citus_schema = self.used
        schema = f'"{citus_schema}"'
        with role(engine) as (name, connect):
            execute(
                engine, f"GRANT USAGE ON SCHEMA {schema} TO {name}", f"GRANT SELECT ON {schema}.es_events TO {name}"
            )
            for change in ("UPDATE {} SET codec = 2", "DELETE FROM {}", "TRUNCATE {}"):
                with pytest.raises(ProgrammingError, match="permission denied"), connect() as connection:
                    connection.execute(text(change.format(f"{schema}.es_events")))
            assert migrations.verify(engine, schema=citus_schema) == []
            execute(engine, f"GRANT DELETE ON {schema}.es_events TO {name}")
            (finding,) = migrations.verify(engine, schema=citus_schema)
            assert finding.statements == (f"REVOKE UPDATE, DELETE, TRUNCATE ON {schema}.es_events FROM {name}",)
            migrations.fix(engine, finding)
            assert migrations.verify(engine, schema=citus_schema) == []
        assert len(list(two.read_all())) == 6


@contextmanager
def role(engine: Engine) -> Iterator[tuple[str, Callable[[], Any]]]:
    name = f"reader_{threading.get_ident()}"
    execute(engine, f"CREATE ROLE {name}")

    @contextmanager
    def connect() -> Iterator[Connection]:
        with engine.connect() as connection:
            connection.execute(text(f"SET ROLE {name}"))
            yield connection

    try:
        yield name, connect
    finally:
        execute(engine, f"DROP OWNED BY {name}", f"DROP ROLE {name}")


def execute(engine: Engine, *statements: str) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def placement(engine: Engine, schema: str) -> tuple[int, str, int]:
    with engine.connect() as connection:
        return tuple(connection.execute(text(PLACEMENT), {"table": f'"{schema}".es_events'}).one())


# --- the global order


@pytest.mark.parametrize("is_prepared", [False, True], ids=["open", "prepared"])
def test_readers_wait_for_an_append_that_only_the_worker_knows(
    citus_engine: Engine, citus_schemas: tuple[str, str], *, is_prepared: bool
) -> None:
    """As after a crash of the coordinator, or after a second phase that has not reached the worker."""
    schema = citus_schemas[0]
    store = EventStore(citus_engine, schema=schema)
    store.append("order-1", NewEvent("placed"), expected_version=0)
    with citus_engine.begin() as connection:
        drawn = connection.scalar(text(f"""SELECT nextval('"{schema}".es_events_position_seq')"""))
    shard, host, port = placement(citus_engine, schema)
    url = make_url(citus_engine.url).set(drivername="postgresql", host=host, port=port)
    with psycopg.connect(url.render_as_string(hide_password=False)) as worker:
        worker.execute("SET citus.enable_manual_changes_to_shards = on")
        worker.execute(
            f'INSERT INTO "{schema}".es_events_{shard} '
            "(position, stream_id, version, event_id, event_type, schema_version, codec, data) OVERRIDING SYSTEM VALUE "
            "VALUES (%s, 'order-1', 2, gen_random_uuid(), 'paid', 1, 1, '\\x80')",
            (drawn,),
        )
        if is_prepared:
            worker.execute(f"PREPARE TRANSACTION 'of the worker {shard}'")
        store.append("order-2", NewEvent("placed"), expected_version=0)
        for reader in (store, EventStore(citus_engine, schema=schema)):
            assert [event.position for event in reader.read_all(wait_seconds=0)] == [1]
            assert reader.settled_position() == 1
        if is_prepared:
            worker.autocommit = True
            worker.execute(f"COMMIT PREPARED 'of the worker {shard}'")
        else:
            worker.commit()
    assert [event.position for event in store.read_all(wait_seconds=10)] == [1, 2, 3]


def test_a_tenant_is_moved_while_it_appends_and_is_read(citus_url: str, citus_schemas: tuple[str, str]) -> None:
    schema, done = citus_schemas[0], threading.Event()
    engine = create_engine(citus_url)
    stored: list[tuple[str, int]] = []

    def write(number: int) -> None:
        store, version = EventStore(engine, schema=schema), 0
        while not done.is_set():
            version = store.append(f"order-{number}", NewEvent("changed"), expected_version=version).version
            stored.append((f"order-{number}", version))

    writers = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for writer in writers:
        writer.start()
    reader, read, after = EventStore(engine, schema=schema), [], 0
    before = placement(engine, schema)
    mover = threading.Thread(target=move, args=(engine, schema, before[2]))
    mover.start()
    while mover.is_alive() or any(writer.is_alive() for writer in writers):
        for event in reader.read_all(after_position=after):
            read.append((event.stream_id, event.version))
            after = event.position
        if not mover.is_alive():
            done.set()
    read += [(event.stream_id, event.version) for event in reader.read_all(after_position=after)]
    assert placement(engine, schema) != before
    assert sorted(read) == sorted(stored)
    assert len(stored) > 10
    for number in range(3):
        versions = [version for stream_id, version in read if stream_id == f"order-{number}"]
        assert versions == list(range(1, len(versions) + 1))
    assert list(maintenance.verify(reader)) == []
    engine.dispose()


def move(engine: Engine, schema: str, from_port: int) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        host, port = connection.execute(text(OTHER_WORKER), {"port": from_port}).one()
        to = {"schema": f'"{schema}"', "host": host, "port": port}
        connection.execute(text("SELECT citus_schema_move(CAST(:schema AS regnamespace), :host, :port)"), to)


@pytest.mark.slow
@pytest.mark.timeout(600)  # it makes and drops a distributed schema for each attack, which takes seconds
@pytest.mark.parametrize("adapter", [OURS, OURS.replace("Ours", "Grouped")], ids=["plain", "group commit"])
def test_the_adversary_finds_nothing(citus_url: str, adapter: str) -> None:
    names = [case.name for case in CASES if not case.needs_database]
    verdicts = attack(citus_url, adapter, *names, "stress", seconds=5)
    left_out = {verdict.case for verdict in verdicts.values() if verdict.result is Result.LEFT_OUT}
    others = {verdict.result for verdict in verdicts.values() if verdict.result is not Result.LEFT_OUT}
    assert (left_out, others) == ({"prepared"}, {Result.CLEAN})


# --- several tenants, several servers


def test_an_append_across_tenants_is_refused(citus_engine: Engine, citus_schemas: tuple[str, str]) -> None:
    one, other = (EventStore(citus_engine, schema=schema) for schema in citus_schemas)
    several = [Append(name, [NewEvent("placed")], expected_version=ANY) for name in ("order-1", "order-2")]
    with citus_engine.begin() as connection:
        one.join(connection).append("order-1", NewEvent("placed"), expected_version=0)
        with pytest.raises(SeveralTenants, match="append to one tenant's store in a transaction"):
            other.join(connection).append("order-1", NewEvent("placed"), expected_version=0)
        with pytest.raises(SeveralTenants):
            other.join(connection).append_many(several)
        one.join(connection).append_many(several)
    assert (one.stream_version("order-1"), other.stream_version("order-1")) == (2, 0)


def test_a_worker_is_refused(citus_engine: Engine, citus_schemas: tuple[str, str]) -> None:
    _, host, port = placement(citus_engine, citus_schemas[0])
    engine = create_engine(citus_engine.url.set(host=host, port=port), poolclass=NullPool)
    store = EventStore(engine, schema=citus_schemas[0])
    with pytest.raises(UnsuitableServer, match="connect to the coordinator"):
        store.append("order-1", NewEvent("placed"), expected_version=0)
    with pytest.raises(UnsuitableServer):
        list(store.read_all())


# --- operation


def test_each_statement_but_those_that_are_replaced_is_planned(citus_url: str, citus_schema: str) -> None:
    """Citus refuses many statements that PostgreSQL takes; it says so when it plans them."""
    refused: dict[str, str] = {}
    url = make_url(citus_url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
        for statement in compiled(PostgreSQLDialect(schema=citus_schema), "postgresql"):
            if statement.name.startswith(NOT_PLANNED):
                continue
            names = list(dict.fromkeys(re.findall(r"%\((\w+)\)b", statement.sql)))
            numbered = statement.sql.replace(")b", ")s") % {name: f"${number}" for number, name in enumerate(names, 1)}
            nulls = f"({', '.join(['NULL'] * len(names))})" if names else ""
            try:
                connection.execute(f"PREPARE planned AS {numbered}")
                connection.execute(f"EXPLAIN EXECUTE planned{nulls}")
            except psycopg.Error as error:
                refused[statement.name] = str(error)
            connection.execute("DEALLOCATE ALL")
    assert refused == {}


def test_partitions_are_refused(citus_engine: Engine, citus_schemas: tuple[str, str]) -> None:
    with pytest.raises(PartitioningRefused, match=r"^Citus has distributed es_events.*citus_schema_move"):
        partitioning.enable(citus_engine, schema=citus_schemas[0])


def test_health_and_verification_work(citus_engine: Engine, citus_schemas: tuple[str, str]) -> None:
    store = EventStore(citus_engine, schema=citus_schemas[0])
    store.append("order-1", [NewEvent("placed"), NewEvent("paid")], expected_version=0)
    assert store.health().ok
    assert list(maintenance.verify(store)) == []
    assert migrations.verify(citus_engine, schema=citus_schemas[0]) == []


def test_a_distributed_schema_goes_down_and_up_again(citus_engine: Engine, citus_schemas: tuple[str, str]) -> None:
    migrations.downgrade(citus_engine, "es_0005", schema=citus_schemas[0])
    migrations.upgrade(citus_engine, schema=citus_schemas[0])
    assert migrations.verify(citus_engine, schema=citus_schemas[0]) == []


def test_an_existing_schema_can_be_distributed_without_its_trigger(citus_engine: Engine) -> None:
    name = "Test distributed later"
    execute(citus_engine, "SET LOCAL citus.enable_schema_based_sharding = off", f'CREATE SCHEMA "{name}"')
    try:
        migrations.upgrade(citus_engine, schema=name)
        EventStore(citus_engine, schema=name).append("order-1", NewEvent("placed"), expected_version=0)
        execute(
            citus_engine,
            f'DROP TRIGGER es_events_immutable ON "{name}".es_events',
            f'DROP FUNCTION "{name}".es_refuse_history_change()',
            f"""SELECT citus_schema_distribute('"{name}"')""",
        )
        store = EventStore(citus_engine, schema=name)
        assert store.append("order-1", NewEvent("paid"), expected_version=1).position == 2
        assert [event.version for event in store.read_all()] == [1, 2]
        assert migrations.verify(citus_engine, schema=name) == []
    finally:
        execute(citus_engine, f'DROP SCHEMA "{name}" CASCADE')
