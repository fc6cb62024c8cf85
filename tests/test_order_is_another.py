"""What a store remembers of the global order, and what readers keep, if the table is not what it was.

On one server, which is not restarted: rows are removed, the table is made again, another table is found under its name.
And what is no reason for an alarm: a stream that was deleted or archived, a table that was rewritten, a restart.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, event, text

from eventstore import STREAM_EXISTS, EventFilter, EventStore, LogWentBack, PositionToken, migrations
from eventstore.errors import PositionBeyondLog
from eventstore.projections import Projection, Worker
from tests.fix_clusters import Cluster
from tests.fix_engines import changing_history
from tests.readers import SHORT_SECONDS, Subscriber, append, opened, places, stored, unfinished

SETTLED = 10


@pytest.fixture
def store(postgres_engine: Engine) -> EventStore:
    """Return a store that has seen ten events, all settled."""
    store = EventStore(postgres_engine)
    append(store, count=SETTLED)
    assert store.settled_position() == SETTLED
    return store


def positions(store: EventStore, after: PositionToken | int = 0) -> list[int]:
    return [event.position for event in store.read_all(after_position=after, wait_seconds=SHORT_SECONDS)]


# --- rows are removed


@pytest.mark.slow
def test_an_open_append_is_waited_for_when_all_is_removed_that_was_newer_than_what_is_settled(
    store: EventStore, postgres_engine: Engine
) -> None:
    """The next look finds nothing that is not settled. It does not read the locks, and must not conclude from that."""
    with unfinished(postgres_engine) as (connection, held):
        append(store, "order-2")
        assert positions(store) == list(range(1, SETTLED + 1))
        with changing_history(postgres_engine) as changing:
            changing.execute(text(f"DELETE FROM es_events WHERE position > {held}"))
        assert positions(store) == list(range(1, SETTLED + 1))
        later = append(store, "order-3")
        assert positions(store) == list(range(1, SETTLED + 1))
        subscriber = Subscriber(store)
        subscriber.wait_for(SETTLED)
        connection.commit()
    subscriber.wait_for(later)
    subscriber.end()
    assert subscriber.error is None
    assert places(subscriber.events) == stored(postgres_engine)
    assert positions(store) == [*range(1, SETTLED + 1), held, later]


def truncated(engine: Engine) -> None:
    """Empty the table: it keeps its oid."""
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL eventstore.allow_history_changes = on"))
        connection.execute(text("TRUNCATE es_streams, es_events, snapshots, es_dead_letters RESTART IDENTITY"))


def made_again(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    migrations.provision(engine, "public")


@pytest.mark.slow
@pytest.mark.parametrize("begin_again", [truncated, made_again])
@pytest.mark.parametrize("newest", [SETTLED // 2, pytest.param(SETTLED, marks=pytest.mark.long), SETTLED * 2])
def test_an_open_append_is_waited_for_when_the_table_begins_again(
    store: EventStore, postgres_engine: Engine, begin_again: Callable[[Engine], None], newest: int
) -> None:
    last = list(store.read_all())[-1].token
    begin_again(postgres_engine)
    postgres_engine.dispose()
    append(store, "refund-1", 2)
    with unfinished(postgres_engine) as (connection, held):
        assert append(store, "refund-1", newest - held) == newest
        assert positions(store) == [1, 2]
        assert store.settled_position() <= 2
        with pytest.raises(LogWentBack):
            positions(store, last)
        connection.commit()
    assert positions(store) == list(range(1, newest + 1))


# --- a table of the same name


@pytest.fixture
def tenants(postgres_url: str) -> Iterator[tuple[Engine, Callable[[str], None]]]:
    """Return an engine whose connections find the tables of the tenant that is chosen when they are checked out."""
    with opened(postgres_url) as engine:
        for schema in ("tenant_a", "tenant_b"):
            migrations.provision(engine, schema)
    chosen = ["tenant_a"]
    engine = create_engine(postgres_url)

    @event.listens_for(engine, "checkout")
    def choose(connection: Any, *_: object) -> None:
        connection.execute(f"SET search_path TO {chosen[0]}")
        connection.commit()

    yield engine, lambda schema: chosen.__setitem__(0, schema)
    engine.dispose()


@pytest.mark.slow
def test_what_one_tenants_table_has_taught_is_not_believed_of_anothers(
    tenants: tuple[Engine, Callable[[str], None]],
) -> None:
    engine, choose = tenants
    store = EventStore(engine)
    append(store, count=SETTLED)
    assert store.settled_position() == SETTLED
    token = list(store.read_all())[-1].token
    choose("tenant_b")
    append(store, "order-1", 2)
    with unfinished(engine) as (connection, held):
        later = append(store, "order-2", SETTLED)
        assert positions(store) == [1, 2]
        assert store.settled_position() <= 2
        with pytest.raises(LogWentBack):
            positions(store, token)
        choose("tenant_a")
        assert positions(store) == list(range(1, SETTLED + 1))
        choose("tenant_b")
        assert positions(store) == [1, 2]
        connection.commit()
    assert held == 3
    assert positions(store) == list(range(1, later + 1))


# --- bare positions


def test_a_bare_position_beyond_the_log_is_refused(store: EventStore) -> None:
    for read in (
        lambda: list(store.read_all(after_position=100)),
        lambda: list(store.read_all(EventFilter(event_types=["counted"]), after_position=100)),
        lambda: next(store.subscribe(after_position=100)),
        lambda: next(store.subscribe(EventFilter(event_types=["counted"]), after_position=100)),
    ):
        with pytest.raises(PositionBeyondLog) as raised:
            read()
        assert (raised.value.position, raised.value.newest) == (100, SETTLED)
        assert "100" in str(raised.value)
    assert positions(store, SETTLED) == []


def test_a_bare_position_that_was_drawn_is_not_beyond_the_log_though_its_append_was_rolled_back(
    store: EventStore, postgres_engine: Engine
) -> None:
    with unfinished(postgres_engine) as (_, held):
        assert positions(store, held) == []
    assert positions(store, held) == []
    assert append(store) == held + 1
    assert positions(store, held) == [held + 1]


# --- no false alarms


def delete(store: EventStore, _: Path) -> None:
    store.delete_stream("order-1", expected_version=STREAM_EXISTS, reason="asked for")


def delete_and_use_again(store: EventStore, _: Path) -> None:
    store.delete_stream("order-1", expected_version=STREAM_EXISTS, reason="asked for", reusable=True)
    append(store, "order-1", 3)
    store.delete_stream("order-1", expected_version=STREAM_EXISTS, reason="asked for", reusable=True)
    append(store, "order-1", 3)


def archive(store: EventStore, folder: Path) -> None:
    with opened(f"sqlite:///{folder}/archive.db") as engine:
        migrations.upgrade(engine)
        store.archive_stream(
            "order-1", into=EventStore(engine), expected_version=store.stream_version("order-1"), reason="old"
        )


def rewritten(store: EventStore, _: Path) -> None:
    with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM FULL es_events"))
        connection.execute(text("REINDEX TABLE es_events"))
        connection.execute(text("CLUSTER es_events USING es_events_pkey"))
        connection.execute(text("ANALYZE es_events"))


@pytest.mark.slow
@pytest.mark.parametrize("change", [delete, delete_and_use_again, archive, rewritten])
def test_readers_go_on(store: EventStore, tmp_path: Path, change: Callable[[EventStore, Path], None]) -> None:
    """Readers that have come to the last event of the stream, and one in the midst of it."""
    projection = Projection("counting")
    seen: list[int] = []
    projection.on()(lambda event, _: seen.append(event.position))
    Worker(store, projection).run_until_caught_up()
    subscriber = Subscriber(store)
    subscriber.wait_for(SETTLED)
    events = list(store.read_all())
    in_the_midst = EventStore(store.engine, page_size=4).read_all()
    for _ in range(4):
        next(in_the_midst)

    change(store, tmp_path)
    last = append(store, "order-2")
    after = [position for position, _ in stored(store.engine) if position > SETTLED]
    assert after[-1] == last
    assert positions(store, events[-1].token) == after
    assert positions(store, events[3].token)[-len(after) :] == after
    assert [event.position for event in in_the_midst] in ([], list(range(5, SETTLED + 1)))
    subscriber.wait_for(last)
    subscriber.end()
    assert subscriber.error is None
    delivered = [event.position for event in subscriber.events]  # some of them were deleted at once
    assert [position for position in delivered if position in after] == after
    Worker(store, projection).run_until_caught_up()
    assert seen == [*range(1, SETTLED + 1), *after]


@pytest.mark.slow
@pytest.mark.parametrize("deleted", [pytest.param(False, marks=pytest.mark.long), True])
def test_a_dump_that_is_restored_into_a_new_cluster_raises_no_alarm(
    cluster: Cluster, new_cluster: Callable[[], Cluster], *, deleted: bool
) -> None:
    """Nor if the stream of the checkpoint's and the token's event was deleted before: the log itself says so."""
    projection = Projection("counting")
    seen: list[int] = []
    projection.on()(lambda event, _: seen.append(event.position))
    with opened(cluster.url) as engine:
        migrations.provision(engine, "public")
        store = EventStore(engine)
        append(store, "order-2", 5)
        append(store, "order-1", 5)
        Worker(store, projection).run_until_caught_up()
        token = list(store.read_all())[-1].token
        if deleted:
            delete(store, cluster.data)
        dump = cluster.data.parent / "dump"
        cluster.run("pg_dump", *cluster.address, "-Fc", "-f", str(dump), "postgres")
    restored = new_cluster()
    restored.create()
    restored.start()
    dump.chmod(0o644)
    dump.parent.chmod(0o755)
    restored.run("pg_restore", *restored.address, "-d", "postgres", str(dump))
    with opened(restored.url) as engine:
        store = EventStore(engine)
        last = append(store, "order-3")
        after = [11, last] if deleted else [last]
        assert positions(store, PositionToken.parse(str(token))) == after
        Worker(store, projection).run_until_caught_up()
        assert seen == [*range(1, 11), *after]


@pytest.mark.long
def test_an_ordinary_restart_and_a_failover_that_loses_nothing_raise_no_alarm(
    cluster: Cluster, new_cluster: Callable[[], Cluster]
) -> None:
    with opened(cluster.url, pool_pre_ping=True) as engine:
        migrations.provision(engine, "public")
        store = EventStore(engine)
        append(store, count=SETTLED)
        token = list(store.read_all())[-1].token
        cluster.stop()
        cluster.start()
        later = append(store)
        assert positions(store, token) == [later]
    standby = new_cluster()
    standby.follow(cluster)
    standby.catch_up(cluster)
    cluster.kill()
    standby.promote()
    with opened(standby.url) as engine:
        last = append(EventStore(engine))
        assert positions(EventStore(engine), token) == [later, last]


# --- tables that went back without each other


@contextmanager
def restored(engine: Engine, *tables: str) -> Iterator[None]:
    """Let some of the tables be at the end of the block what they are now."""
    with engine.begin() as connection:
        for table in tables:
            connection.execute(text(f"CREATE TABLE {table}_kept AS TABLE {table}"))
    yield
    with changing_history(engine) as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        for table in tables:
            connection.execute(text(f"DELETE FROM {table}"))
            columns = connection.execute(
                text(
                    "SELECT string_agg(quote_ident(column_name), ', ') FROM information_schema.columns "
                    "WHERE table_name = :table AND is_generated = 'NEVER'"
                ),
                {"table": table},
            ).scalar_one()
            connection.execute(
                text(f"INSERT INTO {table} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM {table}_kept")
            )


@pytest.mark.slow
def test_a_worker_stops_if_its_checkpoint_is_newer_than_the_events_that_were_restored(
    store: EventStore, postgres_engine: Engine
) -> None:
    projection = Projection("counting")
    seen: list[int] = []
    projection.on()(lambda event, _: seen.append(event.position))
    with restored(postgres_engine, "es_streams", "es_events"):
        newest = append(store, "order-2", 5)
        Worker(store, projection).run_until_caught_up()
    for count in (0, 10):  # before the restored log is filled, and after
        if count:
            append(store, "refund-1", count)
        with pytest.raises(LogWentBack) as raised:
            Worker(store, projection).run_once()
        assert (raised.value.position, raised.value.projection) == (newest, "counting")
    assert seen == list(range(1, newest + 1))


def test_a_worker_handles_again_what_an_older_checkpoint_says(store: EventStore, postgres_engine: Engine) -> None:
    projection = Projection("counting")
    seen: list[int] = []
    projection.on()(lambda event, _: seen.append(event.position))
    Worker(store, projection).run_until_caught_up()
    with restored(postgres_engine, "es_checkpoints"):
        append(store, "order-2", 5)
        Worker(store, projection).run_until_caught_up()
    Worker(store, projection).run_until_caught_up()
    assert seen == [*range(1, 16), *range(11, 16)]


# --- a filtered reader that has passed what does not match


def test_a_filtered_iterator_does_not_pass_what_took_the_place_of_events_that_did_not_match(
    store: EventStore, postgres_engine: Engine
) -> None:
    """It was given an event that is kept, and has looked further, through events that are lost then."""
    append(store, "order-2", event_type="rare")
    kept = append(store, "order-2", 10)
    append(store, "lost-1", 80)
    few = EventStore(postgres_engine, page_size=3)  # looks through sixty positions at once
    iterator = few.read_all(EventFilter(categories=["order"], event_types=["rare"]))
    delivered = [next(iterator).position]
    with changing_history(postgres_engine) as connection:
        connection.execute(text("DELETE FROM es_events WHERE stream_id = 'lost-1'"))
        connection.execute(text("DELETE FROM es_streams WHERE stream_id = 'lost-1'"))
        connection.execute(text(f"SELECT setval('es_events_position_seq', {kept})"))
    append(store, "order-3", event_type="rare")
    append(store, "order-3", 90)
    with suppress(LogWentBack):
        delivered += [event.position for event in iterator]
        assert delivered == [SETTLED + 1, kept + 1]
