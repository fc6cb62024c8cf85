"""What gives out positions is behind the newest event, keeps a stock for each session, or would be lost in a crash.

A sequence is no part of logical replication, nor of data that are loaded table by table. What is appended then would
come before events that readers have passed. So each new connection is checked before its first append, and each look.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Engine, text

from eventstore import ANY, STREAM_EXISTS, Append, EventStore, NewEvent, maintenance, migrations
from eventstore.errors import EventStoreError, PositionCacheEnabled, PositionsBehind, UnloggedEvents
from eventstore.maintenance import FindingKind, Level
from eventstore.projections import Projection, Worker
from eventstore.transfer import export_events, import_events
from tests.fix_clusters import Cluster
from tests.fix_postgresql import Databases
from tests.pgbouncer import PgBouncer
from tests.readers import SHORT_SECONDS, append, opened, places, stored, unfinished
from tests.servers import Address

KEPT = 40


@pytest.fixture
def loaded(postgres_engine: Engine, postgres_databases: Databases, postgres_template: str) -> Iterator[Engine]:
    """Return an engine of a database into which streams and events were copied, and nothing else.

    There is a gap at the first positions.
    """
    with unfinished(postgres_engine):
        append(EventStore(postgres_engine), count=KEPT)
    with postgres_databases.fresh(postgres_template) as url, opened(url) as engine:
        copy_rows(postgres_engine, engine)
        yield engine


def copy_rows(source: Engine, target: Engine) -> None:
    for table in ("es_streams", "es_events"):
        with ExitStack() as stack:
            given, taken = (
                stack.enter_context(
                    psycopg.connect(engine.url.set(drivername="postgresql").render_as_string(hide_password=False))
                )
                for engine in (source, target)
            )
            names = given.execute(
                "SELECT string_agg(quote_ident(column_name), ', ' ORDER BY ordinal_position) "
                "FROM information_schema.columns WHERE table_name = %s AND is_generated = 'NEVER'",
                [table],
            ).fetchone()
            assert names is not None
            with (
                given.cursor().copy(f"COPY {table} ({names[0]}) TO STDOUT") as rows,
                taken.cursor().copy(f"COPY {table} ({names[0]}) FROM STDIN") as copied,
            ):
                for row in rows:
                    copied.write(row)


def repaired(store: EventStore) -> None:
    list(maintenance.repair(store, maintenance.plan(maintenance.verify(store))))


def many(store: EventStore) -> object:
    events = [NewEvent("counted") for _ in range(10_000)]
    return store.append("order-9", events, expected_version=ANY)


def joined(store: EventStore) -> object:
    with store.engine.begin() as connection:
        return append(store.join(connection))


WRITERS: dict[str, Callable[[EventStore], object]] = {
    "append": append,
    "append to a new stream": lambda store: append(store, "refund-1"),
    "append with COPY": many,
    "append_many": lambda store: store.append_many([Append("order-1", [NewEvent("x")], expected_version=ANY)]),
    "append_many, not atomic": lambda store: store.append_many(
        [Append("order-1", [NewEvent("x")], expected_version=ANY)], atomic=False
    ),
    "joined": joined,
    "delete_stream": lambda store: store.delete_stream("order-1", expected_version=STREAM_EXISTS, reason="asked for"),
}
READERS: dict[str, Callable[[EventStore], object]] = {
    "read_all": lambda store: list(store.read_all()),
    "settled_position": lambda store: store.settled_position(),
    "subscribe": lambda store: next(store.subscribe(after_position=0)),
    "worker": lambda store: Worker(store, Projection("totals")).run_once(),
}


def numbers(engine: Engine) -> list[int]:
    return [position for position, _ in stored(engine)]


@pytest.mark.slow
@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_nothing_is_appended_behind_data_that_were_loaded_without_their_sequence(
    loaded: Engine, write: Callable[[EventStore], object]
) -> None:
    store = EventStore(loaded)
    before = numbers(loaded)
    for _ in range(2):  # refused once, it is refused again
        with pytest.raises(PositionsBehind) as raised:
            write(store)
        assert raised.value.newest == before[-1]
        assert "eventstore repair" in str(raised.value)
    assert numbers(loaded) == before
    repaired(store)
    write(store)
    assert numbers(loaded)[-1] > before[-1]


@pytest.mark.slow
def test_archiving_a_stream_behind_them_is_refused(loaded: Engine, sqlite_engine: Engine) -> None:
    archive = EventStore(sqlite_engine)
    with pytest.raises(PositionsBehind):
        EventStore(loaded).archive_stream("order-1", into=archive, expected_version=KEPT, reason="old")
    assert len(numbers(loaded)) == KEPT


@pytest.mark.slow
@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_readers_see_it_too(loaded: Engine, read: Callable[[EventStore], object]) -> None:
    with pytest.raises(PositionsBehind):
        read(EventStore(loaded))


@pytest.mark.slow
def test_it_is_said_and_repaired(loaded: Engine) -> None:
    store = EventStore(loaded)
    kinds = [finding.kind for finding in maintenance.verify(store)]
    assert FindingKind.POSITIONS_BEHIND in kinds
    assert [each.level for each in maintenance.diagnose(store) if each.kind is FindingKind.POSITIONS_BEHIND] == [
        Level.ERROR
    ]
    assert any("repair" in problem.found for problem in store.health().problems)
    repaired(store)
    assert store.health().problems == ()
    assert append(store) == numbers(loaded)[-2] + 1
    assert places(store.read_all()) == stored(loaded)


@pytest.mark.slow
def test_a_connection_that_has_appended_before_is_not_asked_again_but_the_next_look_sees_it(
    postgres_engine: Engine,
) -> None:
    """A sequence that is set back under a live store."""
    store = EventStore(postgres_engine)
    append(store, count=KEPT)
    assert len(list(store.read_all())) == KEPT
    with postgres_engine.begin() as connection:
        connection.execute(text("SELECT setval('es_events_position_seq', 3)"))
    with pytest.raises(PositionsBehind) as raised:
        list(store.read_all())
    assert (raised.value.newest, raised.value.drawn) == (KEPT, 3)
    postgres_engine.dispose()
    with pytest.raises(PositionsBehind):
        append(store)
    repaired(store)
    assert append(store) == KEPT + 1


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_an_append_that_draws_a_position_that_is_taken_says_why(
    postgres_engine: Engine, write: Callable[[EventStore], object]
) -> None:
    """The connection has appended before the sequence was set back, so it is not asked again."""
    store = EventStore(postgres_engine)
    append(store, count=KEPT)
    append(store)  # on the connection that all of these use
    before = numbers(postgres_engine)
    with postgres_engine.begin() as connection:
        connection.execute(text("SELECT setval('es_events_position_seq', 3)"))
    with pytest.raises(PositionsBehind) as raised:
        write(store)
    assert (raised.value.newest, raised.value.drawn) == (None, 4)
    assert "eventstore repair" in str(raised.value)
    assert numbers(postgres_engine) == before


def test_a_fresh_table_is_not_behind(postgres_engine: Engine) -> None:
    assert append(EventStore(postgres_engine)) == 1
    with postgres_engine.begin() as connection:
        connection.execute(text("SET eventstore.allow_history_changes = on"))
        connection.execute(text("TRUNCATE es_streams, es_events, snapshots, es_dead_letters RESTART IDENTITY"))
    postgres_engine.dispose()
    assert list(EventStore(postgres_engine).read_all()) == []
    assert append(EventStore(postgres_engine)) == 1


CHANGES: list[tuple[str, type[EventStoreError]]] = [
    ("ALTER SEQUENCE es_events_position_seq CACHE 20", PositionCacheEnabled),
    ("ALTER TABLE es_dead_letters SET UNLOGGED; ALTER TABLE es_events SET UNLOGGED", UnloggedEvents),
]


@pytest.mark.parametrize(("change", "error"), CHANGES, ids=["cached", "unlogged"])
@pytest.mark.parametrize("read", [READERS["read_all"], READERS["worker"]], ids=["read_all", "worker"])
def test_a_change_after_a_stores_first_read_is_seen_by_the_next_look(
    postgres_engine: Engine, change: str, error: type[EventStoreError], read: Callable[[EventStore], object]
) -> None:
    store = EventStore(postgres_engine)
    append(store)
    read(store)
    with postgres_engine.begin() as connection:
        connection.execute(text(change))
    with pytest.raises(error):
        list(store.read_all())
    with pytest.raises(error):
        read(EventStore(postgres_engine))


@pytest.mark.parametrize(("change", "error"), CHANGES, ids=["cached", "unlogged"])
@pytest.mark.parametrize("write", [append, joined])
def test_a_new_connection_of_a_writer_sees_it_before_its_first_append(
    postgres_engine: Engine, change: str, error: type[EventStoreError], write: Callable[[EventStore], object]
) -> None:
    store = EventStore(postgres_engine)
    append(store)
    with postgres_engine.begin() as connection:
        connection.execute(text(change))
    postgres_engine.dispose()
    with pytest.raises(error):
        write(store)
    assert numbers(postgres_engine) == [1]


@pytest.mark.slow
def test_an_import_is_refused_too(loaded: Engine, sqlite_engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    append(EventStore(sqlite_engine), "refund-1")
    export_events(EventStore(sqlite_engine), path)
    with pytest.raises(PositionsBehind):
        import_events(EventStore(loaded), path)
    assert len(numbers(loaded)) == KEPT


# --- logical replication


@pytest.fixture
def publisher(new_cluster: Callable[[], Cluster]) -> Cluster:
    cluster = new_cluster()
    cluster.create()
    cluster.start(wal_level="logical")
    with opened(cluster.url) as engine:
        migrations.provision(engine, "public")
        with unfinished(engine):
            append(EventStore(engine), count=KEPT)
    cluster.query("CREATE PUBLICATION events FOR TABLE es_streams, es_events")
    return cluster


@pytest.fixture
def subscriber(publisher: Cluster, cluster: Cluster) -> Cluster:
    """Return a cluster that subscribes to the events, and has them."""
    with opened(cluster.url) as engine:
        migrations.provision(engine, "public")
    server = f"host=127.0.0.1 port={publisher.port} user=postgres dbname=postgres"
    cluster.query(f"CREATE SUBSCRIPTION events CONNECTION '{server}' PUBLICATION events")
    cluster.wait_until("SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel")
    cluster.wait_until(f"SELECT count(*) = {KEPT} FROM es_events")
    return cluster


def take_over(publisher: Cluster, subscriber: Cluster) -> None:
    publisher.stop()
    subscriber.query("ALTER SUBSCRIPTION events DISABLE")
    subscriber.query("ALTER SUBSCRIPTION events SET (slot_name = NONE)")
    subscriber.query("DROP SUBSCRIPTION events")


@pytest.mark.slow
@pytest.mark.parametrize("pre_ping", [True, pytest.param(False, marks=pytest.mark.long)])
def test_a_store_that_lives_through_the_take_over_of_a_logical_replica_appends_nothing_behind_its_readers(
    publisher: Cluster, subscriber: Cluster, *, pre_ping: bool
) -> None:
    with Address() as address, opened(address.url(publisher.url), pool_pre_ping=pre_ping) as engine:
        address.switch_to(publisher.port)
        store = EventStore(engine)
        append(store)
        events = list(store.read_all())
        subscriber.wait_until(f"SELECT count(*) = {KEPT + 1} FROM es_events")

        take_over(publisher, subscriber)
        address.switch_to(subscriber.port)
        if not pre_ping:
            engine.dispose()
        for stream_id in ("order-1", "refund-1"):
            with pytest.raises(PositionsBehind):
                append(store, stream_id)
        with opened(subscriber.url) as direct:
            repaired(EventStore(direct))
            with unfinished(direct):
                last = append(store)
                assert last == events[-1].position + 2
                assert list(store.read_all(after_position=events[-1].token, wait_seconds=SHORT_SECONDS)) == []
            assert [event.position for event in store.read_all(after_position=events[-1].token)] == [last]
            assert places(store.read_all()) == stored(direct)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("pool_mode", ["transaction", "session"])
def test_behind_pgbouncer_no_reader_goes_on_before_the_sequence_of_a_logical_replica_is_repaired(
    publisher: Cluster, subscriber: Cluster, pool_mode: str
) -> None:
    """In transaction mode the writer's connection is not new, so it is not checked again."""
    with (
        PgBouncer(publisher.url, pool_mode, "default_pool_size = 6") as pgbouncer,
        opened(pgbouncer.url(publisher.url), **pgbouncer.engine_options) as engine,
        opened(subscriber.url) as direct,
    ):
        store = EventStore(engine)
        append(store)
        token = list(store.read_all())[-1].token
        subscriber.wait_until(f"SELECT count(*) = {KEPT + 1} FROM es_events")
        take_over(publisher, subscriber)
        pgbouncer.switch_to(subscriber.port)
        pgbouncer.wait_for_server()
        for _ in range(2):
            with pytest.raises(PositionsBehind):
                list(store.read_all(after_position=token))
        if pool_mode == "session":
            with pytest.raises(PositionsBehind):
                append(store)
        repaired(EventStore(direct))
        last = append(store)
        assert [event.position for event in store.read_all(after_position=token)] == [last]
        assert places(store.read_all()) == stored(direct)


@pytest.mark.slow
@pytest.mark.long
def test_behind_pgbouncer_a_logical_replica_that_was_repaired_before_goes_on_exactly(
    publisher: Cluster, subscriber: Cluster
) -> None:
    with (
        PgBouncer(publisher.url, "transaction", "default_pool_size = 6") as pgbouncer,
        opened(pgbouncer.url(publisher.url), **pgbouncer.engine_options) as engine,
        opened(subscriber.url) as direct,
    ):
        store = EventStore(engine)
        append(store)
        token = list(store.read_all())[-1].token
        subscriber.wait_until(f"SELECT count(*) = {KEPT + 1} FROM es_events")
        pgbouncer.command("PAUSE")
        take_over(publisher, subscriber)
        repaired(EventStore(direct))
        pgbouncer.switch_to(subscriber.port)
        pgbouncer.command("RESUME")
        last = append(store)
        assert [event.position for event in store.read_all(after_position=token)] == [last]
        assert places(store.read_all()) == stored(direct)
