"""Readers between two servers: a standby that is promoted under them, and looks and pages that go to different ones."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice

import pytest
from sqlalchemy import Connection, Engine, text

from eventstore import EventStore, LogWentBack, PositionToken, migrations
from eventstore.errors import SeveralServers
from tests.fix_clusters import Cluster
from tests.readers import (
    SHORT_SECONDS,
    Place,
    Projecting,
    Subscriber,
    append,
    handled,
    opened,
    places,
    stored,
    unfinished,
    writing_down,
)
from tests.servers import Address, Pooler

pytestmark = pytest.mark.slow

KEPT, LOST = 40, 70
ALL = writing_down("all")


@pytest.fixture
def primary(cluster: Cluster) -> Iterator[Engine]:
    with opened(cluster.url) as engine:
        migrations.provision(engine, "public")
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE handled (name text, position bigint, event_id uuid)"))
        yield engine


@pytest.fixture
def standby(cluster: Cluster, primary: Engine, new_cluster: Callable[[], Cluster]) -> Cluster:
    """Return a standby that has the tables, and receives."""
    made = new_cluster()
    made.follow(cluster)
    made.catch_up(cluster)
    return made


def lag(cluster: Cluster, standby: Cluster) -> None:
    """Let the standby have all that is there now, and nothing that comes."""
    standby.catch_up(cluster)
    standby.stop_receiving()


# --- promoted


def test_a_reader_that_waits_on_a_standby_lives_through_its_promotion(
    cluster: Cluster, primary: Engine, standby: Cluster
) -> None:
    """What the standby has noted of the append in the way means nothing on a primary."""
    first = append(EventStore(primary))
    with opened(standby.url, pool_pre_ping=True) as engine:
        store = EventStore(engine)
        with unfinished(primary) as (connection, held):
            later = append(EventStore(primary))
            lag(cluster, standby)
            assert [event.position for event in store.read_all(wait_seconds=SHORT_SECONDS)] == [first], "it waits"
            subscriber = Subscriber(store)
            subscriber.wait_for(first)
            connection.invalidate()
            cluster.kill()
        standby.promote()
        subscriber.wait_for(later)
        with unfinished(engine) as (connection, redrawn):
            append(store)
            assert [event.position for event in store.read_all(wait_seconds=SHORT_SECONDS)] == [first, later]
            connection.commit()
        assert redrawn > later > held
        log = stored(engine)
        assert places(store.read_all(wait_seconds=10)) == log
        subscriber.wait_for(log[-1][0])
        subscriber.end()
        assert subscriber.error is None
        assert places(subscriber.events) == log


def test_what_is_prepared_on_the_promoted_standby_is_waited_for_though_it_was_committed_on_the_primary(
    cluster: Cluster, primary: Engine, standby: Cluster
) -> None:
    """Before the failover its event was read, and a later one, which is still there, was settled."""
    with Address() as address, opened(address.url(cluster.url), pool_pre_ping=True) as engine:
        address.switch_to(cluster.port)
        store = EventStore(engine)
        with unfinished(primary) as (connection, prepared):
            later = append(EventStore(primary))
            connection.execute(text("PREPARE TRANSACTION 'held'"))
        lag(cluster, standby)
        cluster.query("COMMIT PREPARED 'held'")
        events = list(store.read_all())
        assert [event.position for event in events] == [prepared, later]
        iterator = store.read_all()
        token = next(iterator).token

        cluster.kill()
        standby.promote()
        address.switch_to(standby.port)
        last = append(EventStore(engine))
        assert places(store.read_all(wait_seconds=SHORT_SECONDS)) == []
        assert places(EventStore(engine).read_all(wait_seconds=SHORT_SECONDS)) == []
        assert went_back_or_delivered(store, token) in ("LogWentBack", [])
        standby.query("COMMIT PREPARED 'held'")
        assert [event.position for event in store.read_all()] == [prepared, later, last]
        assert went_back_or_delivered(store, token) == [later, last], "the same event is at its position again"


def went_back_or_delivered(store: EventStore, token: PositionToken) -> str | list[int]:
    try:
        return [event.position for event in store.read_all(after_position=token)]
    except LogWentBack:
        return "LogWentBack"


# --- a standby that lags


@pytest.mark.long
def test_a_token_that_a_standby_has_not_reached_yet_is_waited_for(
    cluster: Cluster, primary: Engine, standby: Cluster
) -> None:
    store = EventStore(primary)
    append(store, count=KEPT)
    lag(cluster, standby)
    append(store, count=LOST)
    newest = list(store.read_all())[-1]
    with opened(standby.url) as engine:
        reader = EventStore(engine)
        for after in (newest.token, newest.position):
            assert list(reader.read_all(after_position=after)) == []
        subscriber = Subscriber(reader, after=newest.token)
        last = append(store)
        receive_again(cluster, standby)
        standby.catch_up(cluster)
        assert [event.position for event in reader.read_all(after_position=newest.token)] == [last]
        subscriber.wait_for(last)
        subscriber.end()
        assert [event.position for event in subscriber.events] == [last]


def test_a_token_of_an_event_that_a_standby_has_not_replayed_though_it_has_a_later_one(
    cluster: Cluster, primary: Engine, standby: Cluster
) -> None:
    """Positions are not committed in their order: what is missing below the newest may come."""
    store = EventStore(primary)
    first = append(store)
    with unfinished(primary) as (connection, held):
        later = append(store)
        lag(cluster, standby)
        connection.commit()
    token = list(islice(store.read_all(), 2))[-1].token
    assert token.position == held
    with opened(standby.url) as engine:
        reader = EventStore(engine)
        assert [event.position for event in reader.read_all(wait_seconds=SHORT_SECONDS)] == [first]
        assert list(reader.read_all(after_position=token, wait_seconds=SHORT_SECONDS)) == []
        receive_again(cluster, standby)
        standby.catch_up(cluster)
        assert [event.position for event in reader.read_all(after_position=token)] == [later]


def receive_again(cluster: Cluster, standby: Cluster) -> None:
    standby.query(f"ALTER SYSTEM SET primary_conninfo = 'host=127.0.0.1 port={cluster.port} user=postgres'")
    standby.query("SELECT pg_reload_conf()")


# --- looks at one server, pages from another


@contextmanager
def pooled(cluster: Cluster) -> Iterator[tuple[Pooler, Engine]]:
    """Open an engine behind a pooler that leads to a server."""
    with Pooler() as pooler:
        pooler.switch_to(cluster.port)
        with opened(pooler.url(cluster.url), connect_args={"prepare_threshold": None}) as engine:
            yield pooler, engine


class LooksAt:
    """Sends the first looks at who is appending to one server, and all else to where the pooler leads."""

    def __init__(self, port: int, looks: int) -> None:
        self._port = port
        self.left = looks

    def __call__(self, sql: str) -> int | None:
        if "pg_locks" not in sql or self.left == 0:
            return None
        self.left -= 1
        return self._port


@pytest.fixture
def promoted(cluster: Cluster, primary: Engine, new_cluster: Callable[[], Cluster]) -> Cluster:
    """Return what was a standby: it has its own events at positions at which the old primary has others, and lives."""
    append(EventStore(primary), count=KEPT)
    standby = new_cluster()
    standby.follow(cluster)
    lag(cluster, standby)
    append(EventStore(primary), count=LOST)
    standby.promote()
    return standby


@contextmanager
def refilled(engine: Engine) -> Iterator[tuple[Connection, list[Place]]]:
    """Append until the old primary's positions are drawn here, too; yield an open one, and what is below it."""
    store = EventStore(engine)
    append(store, "refund-1", 3)
    with unfinished(engine) as (connection, held):
        append(store, "refund-1", LOST + 10)
        before = [place for place in stored(engine) if place[0] < held]
        assert len(before) == KEPT + 3
        yield connection, before


@pytest.mark.parametrize("looks", [1, pytest.param(3, marks=pytest.mark.long)])
def test_what_the_old_primary_says_is_not_believed_of_a_page_from_the_promoted_one(
    cluster: Cluster, promoted: Cluster, looks: int
) -> None:
    """The old one has nothing open, and says that all is settled."""
    with pooled(promoted) as (pooler, engine), opened(promoted.url) as direct, refilled(direct) as (connection, before):

        def store() -> EventStore:
            """Return one that knows nothing yet, and whose first looks go elsewhere."""
            pooler.choose = LooksAt(cluster.port, looks)
            return EventStore(engine, page_size=1000)

        assert places(store().read_all(wait_seconds=SHORT_SECONDS)) == before
        subscriber = Subscriber(store())
        subscriber.wait_for(before[-1][0])
        subscriber.end()
        assert places(subscriber.events) == before
        worker = Projecting(store(), ALL)
        worker.wait_for(direct, before[-1][0])
        connection.commit()
        log = stored(direct)
        worker.wait_for(direct, log[-1][0])
        worker.end()
        assert worker.error is subscriber.error is None
        assert handled(direct, "all") == log


@pytest.mark.long
def test_an_engine_whose_looks_always_go_elsewhere_is_refused(cluster: Cluster, promoted: Cluster) -> None:
    with pooled(promoted) as (pooler, engine), opened(promoted.url) as direct, refilled(direct) as (_, before):
        pooler.choose = LooksAt(cluster.port, 10**9)
        delivered = []
        with pytest.raises(SeveralServers):
            delivered += places(EventStore(engine).read_all())
        assert delivered == before[: len(delivered)]


@pytest.mark.parametrize("pages", [1, pytest.param(3, marks=pytest.mark.long)])
def test_a_page_from_a_standby_that_lags_is_not_taken_for_all_that_is_settled_on_the_primary(
    cluster: Cluster, primary: Engine, standby: Cluster, pages: int
) -> None:
    append(EventStore(primary), count=KEPT)
    lag(cluster, standby)
    append(EventStore(primary), count=LOST)
    with pooled(cluster) as (pooler, engine):
        store = EventStore(engine, page_size=1000)
        left = [pages]

        def to_the_standby(sql: str) -> int | None:
            if "pg_locks" in sql or "es_events" not in sql or left[0] == 0:
                return None
            left[0] -= 1
            return standby.port

        pooler.choose = to_the_standby
        subscriber = Subscriber(store)
        last = append(EventStore(primary))
        subscriber.wait_for(last)
        subscriber.end()
        assert subscriber.error is None
        assert left == [0]
        assert places(subscriber.events) == stored(primary)
