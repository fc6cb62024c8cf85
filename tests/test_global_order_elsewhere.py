"""The global order where the database is not the one it was: on a standby, after a restore, after a restart."""

import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from sqlalchemy import Connection, Engine, create_engine, text

from eventstore import ANY, EventFilter, EventStore, NewEvent, migrations
from eventstore.errors import UnsuitableTransaction
from tests.fix_clusters import Cluster, clusters
from tests.fix_engines import empty
from tests.readers import opened

pytestmark = pytest.mark.slow

TIMEOUT_SECONDS = 30
TYPES = EventFilter(event_types=["counted"])


def append(store: EventStore, stream_id: str = "order-1", count: int = 1) -> int:
    """Return the position of the last event."""
    return store.append(stream_id, [NewEvent("counted") for _ in range(count)], expected_version=ANY).position


def positions(store: EventStore, *filters: EventFilter, after: int = 0, wait_seconds: float = 0) -> list[int]:
    return [event.position for event in store.read_all(*filters, after_position=after, wait_seconds=wait_seconds)]


@pytest.fixture
def alone(cluster: Cluster) -> Iterator[Engine]:
    """A cluster that a test may stop, with the tables."""
    engine = create_engine(cluster.url)
    migrations.provision(engine, "public")
    yield engine
    engine.dispose()


@dataclass(frozen=True)
class Pair:
    """A cluster with the tables, and a streaming replica of it."""

    primary: Cluster
    standby: Cluster


@contextmanager
def made(new: Callable[[], Cluster]) -> Iterator[Pair]:
    pair = Pair(new(), new())
    pair.primary.create()
    pair.primary.start()
    with opened(pair.primary.url) as engine:
        migrations.provision(engine, "public")
    pair.standby.follow(pair.primary)
    yield pair


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    """A pair that no test stops or promotes."""
    with clusters() as new, made(new) as pair:
        yield pair


@pytest.fixture
def primary(pair: Pair) -> Iterator[Engine]:
    with opened(pair.primary.url) as engine:
        yield engine
    empty(pair.primary.url)


@pytest.fixture
def standby(pair: Pair) -> Iterator[Engine]:
    with opened(pair.standby.url) as engine:
        yield engine


@pytest.fixture
def catch_up(pair: Pair) -> Callable[[], None]:
    """Return what waits until the standby has replayed all that the primary has written by then."""
    return lambda: pair.standby.catch_up(pair.primary)


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_a_standby_delivers_nothing_behind_a_hole(
    primary: Engine, standby: Engine, catch_up: Callable[[], None], end: str
) -> None:
    writer, reader = EventStore(primary), EventStore(standby)
    first = append(writer, "order-2")
    with primary.connect() as connection:
        append(writer.join(connection))
        later = append(writer, "order-2")
        catch_up()
        assert positions(reader) == positions(reader, TYPES) == [first]
        getattr(connection, end)()
    catch_up()
    settled = [first, first + 1, later] if end == "commit" else [first, later]
    assert positions(reader) == positions(reader, TYPES) == settled
    assert reader.settled_position() == later


def test_a_standby_waits_for_an_append_whose_transaction_is_newer_than_the_one_that_overtook_it(
    primary: Engine, standby: Engine, catch_up: Callable[[], None]
) -> None:
    """The newest transaction that has ended says nothing: the append in the way may have begun after it."""
    writer, reader = EventStore(primary), EventStore(standby)

    def begin(connection: Connection) -> int:
        return int(connection.execute(text("SELECT CAST(CAST(pg_current_xact_id() AS text) AS bigint)")).scalar_one())

    with primary.connect() as older, primary.connect() as newer:
        older_id = begin(older)
        newer_id = begin(newer)
        assert older_id < newer_id
        append(writer.join(newer), "order-1")  # draws 1
        append(writer.join(older), "order-2")  # draws 2
        older.commit()
        catch_up()
        assert positions(reader) == positions(reader, TYPES) == []
        assert reader.settled_position() == 0
        newer.commit()
    catch_up()
    assert positions(reader) == positions(reader, TYPES) == [1, 2]


def test_a_prepared_transaction_is_waited_for_on_a_standby(
    primary: Engine, standby: Engine, catch_up: Callable[[], None]
) -> None:
    writer, reader = EventStore(primary), EventStore(standby)
    with primary.connect() as connection:
        append(writer.join(connection))
        later = append(writer, "order-2")
        connection.execute(text("PREPARE TRANSACTION 'held'"))
    catch_up()
    assert positions(reader) == []
    with primary.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("COMMIT PREPARED 'held'"))
    catch_up()
    assert positions(reader) == [1, later]


def test_on_a_standby_a_joined_transaction_is_refused(
    primary: Engine, standby: Engine, catch_up: Callable[[], None]
) -> None:
    append(EventStore(primary))
    catch_up()
    with standby.connect() as connection, pytest.raises(UnsuitableTransaction, match="standby"):
        list(EventStore(standby).join(connection).read_all())


def test_a_standby_misses_nothing_while_ten_write(
    primary: Engine, standby: Engine, catch_up: Callable[[], None]
) -> None:
    writer, reader = EventStore(primary), EventStore(standby)

    def write(number: int) -> None:
        for turn in range(40):
            with primary.connect() as connection:
                if turn % 3 == 0:
                    connection.execute(text("SELECT pg_current_xact_id()"))
                    time.sleep(0.002)
                append(writer.join(connection), f"order-{number}")
                time.sleep(0.001 * (turn * number % 4))
                connection.rollback() if (turn + number) % 7 == 0 else connection.commit()

    with ThreadPoolExecutor(11) as threads, reader.subscribe(after_position=0) as subscription:
        following = threads.submit(lambda: [(event.position, event.stream_id, event.version) for event in subscription])
        for writing in [threads.submit(write, number) for number in range(10)]:
            writing.result()
        catch_up()
        end = writer.settled_position()
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while subscription.position < end:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        subscription.stop()
        delivered = following.result()
    assert delivered == [(event.position, event.stream_id, event.version) for event in writer.read_all()]
    assert len(delivered) > 300


def test_a_reader_goes_on_at_a_standby_that_has_become_the_primary(new_cluster: Callable[[], Cluster]) -> None:
    with made(new_cluster) as pair, opened(pair.primary.url) as primary, opened(pair.standby.url) as standby:
        reader = EventStore(standby)
        last = append(EventStore(primary), count=3)
        pair.standby.catch_up(pair.primary)
        assert positions(reader) == [1, 2, 3]
        pair.primary.stop()
        pair.standby.run("pg_ctl", "promote", "-D", str(pair.standby.data), "-w")
        with standby.connect() as connection:
            append(reader.join(connection), "order-2")
            later = append(reader, "order-3")
            assert positions(reader, after=last) == []
            connection.commit()
        assert later > last
        assert len(positions(reader, after=last)) == 2


def test_a_prepared_transaction_is_waited_for_across_a_crash_of_the_server(cluster: Cluster, alone: Engine) -> None:
    """After it, the transaction goes by another name."""
    store = EventStore(alone)
    with alone.connect() as connection:
        append(store.join(connection))
        later = append(store, "order-2")
        assert positions(store) == []
        connection.execute(text("PREPARE TRANSACTION 'held'"))
    cluster.stop(signal.SIGQUIT)
    cluster.start()
    alone.dispose()
    assert positions(store) == []
    assert positions(EventStore(alone)) == []
    with alone.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("COMMIT PREPARED 'held'"))
    assert positions(store) == [1, later]


def test_readers_go_on_from_their_positions_after_a_dump_and_restore(
    cluster: Cluster, alone: Engine, new_cluster: Callable[[], Cluster]
) -> None:
    store = EventStore(alone)
    for _ in range(30):  # the new cluster's transaction ids are far behind
        append(store, count=10)
    with alone.connect() as connection:
        append(store.join(connection), count=3)
        connection.rollback()
    before = positions(store)
    dump = cluster.data.parent / "events.dump"
    cluster.run("pg_dump", *cluster.address, "-Fc", "-f", str(dump), "postgres")

    restored = new_cluster()
    restored.create()
    restored.start()
    with dump.open("rb") as content:
        restored_dump = restored.data.parent / "events.dump"
        restored_dump.write_bytes(content.read())
    restored_dump.chmod(0o644)
    restored.run("pg_restore", *restored.address, "-d", "postgres", str(restored_dump))
    engine = create_engine(restored.url)
    moved = EventStore(engine)
    assert positions(moved) == before
    assert positions(moved, after=before[-1]) == []
    with engine.connect() as connection:
        append(moved.join(connection), "order-2")
        later = append(moved, "order-3")
        assert positions(moved, after=before[-1]) == []
        connection.commit()
    found = positions(moved, after=before[-1])
    assert found == [later - 1, later]
    assert found[0] > before[-1]
    assert positions(moved, TYPES) == before + found
    engine.dispose()
