"""Writers and readers behind PgBouncer itself live through a move of its server, in both of its pool modes.

In transaction mode a client's connection stays when that of its server ends: nothing but the log says that it is
another server now. Needs the program pgbouncer, on PATH or in /usr/sbin.
"""

import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from eventstore import EventStore, migrations
from eventstore.backends.postgresql.cursors import refuse_open_transaction
from tests.fix_clusters import Cluster
from tests.pgbouncer import PgBouncer
from tests.readers import Subscriber, append, opened, places, stored
from tests.servers import Address
from tests.test_failover_stress import Load
from tests.test_log_went_back import Failover, Readers, fill, refilled

pytestmark = [pytest.mark.slow, pytest.mark.long]

FAILOVERS = 3
NOWHERE = "postgresql+psycopg://postgres@127.0.0.1:1/postgres"


class AtAnAddress(PgBouncer):
    """Is not configured again: the address of its server moves."""

    def __init__(self, server: str, pool_mode: str, *settings: str) -> None:
        self._address = Address()
        super().__init__(self._address.url(server), pool_mode, *settings)
        self._stack.enter_context(self._address)

    def switch_to(self, port: int | None) -> None:
        """Move the address, and cut all connections to the server before."""
        self._address.switch_to(port)


def transactions(kind: type[PgBouncer]) -> PgBouncer:
    """Return one that shares a few connections of servers among all clients."""
    return kind(NOWHERE, "transaction", "default_pool_size = 6", "server_round_robin = 1")


def sessions(kind: type[PgBouncer]) -> PgBouncer:
    """Return one whose clients keep a server until it is configured away."""
    return kind(NOWHERE, "session", "default_pool_size = 50", "server_fast_close = 1")


POOLS = {
    "transactions": lambda: transactions(PgBouncer),
    "transactions at an address": lambda: transactions(AtAnAddress),
    "sessions": lambda: sessions(PgBouncer),
    "sessions at an address": lambda: sessions(AtAnAddress),
}


@pytest.fixture(params=POOLS)
def pgbouncer(request: pytest.FixtureRequest) -> Iterator[PgBouncer]:
    """Return a PgBouncer that leads to nowhere yet."""
    with POOLS[request.param]() as bouncer:
        yield bouncer


# --- a standby that is behind


class WithoutFencing(Failover):
    """The old primary lives on, and serves who comes to it until the last client has left."""

    def go_back(self) -> None:
        self.standby.promote()
        self.old, self.server = self.server, self.standby

    def wait_until_the_old_one_is_left(self) -> None:
        sessions = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
        self.old.wait_until(f"SELECT ({sessions}) = 1")


@pytest.mark.parametrize("kind", [Failover, WithoutFencing])
@pytest.mark.parametrize("is_refilled", [True, False], ids=["refilled", "not refilled"])
def test_each_reader_goes_on_exactly_or_stops(
    pgbouncer: PgBouncer, new_cluster: Callable[[], Cluster], kind: type[Failover], *, is_refilled: bool
) -> None:
    """See tests/test_log_went_back.py: 70 events are lost, and their positions drawn again."""
    way = kind(new_cluster, pgbouncer)
    way.start()
    fill(way)
    with ExitStack() as stack:
        way.remember()
        readers = Readers(way, stack)
        pgbouncer.switch_to(None)
        way.go_back()
        engine = stack.enter_context(opened(way.url))
        if is_refilled:
            connection, held = stack.enter_context(refilled(engine, readers.newest))
            end = [place for place in stored(engine) if place[0] < held]
        else:
            end = stored(engine)
        pgbouncer.switch_to(way.server.port)
        pgbouncer.wait_for_server()
        if isinstance(way, WithoutFencing):
            way.wait_until_the_old_one_is_left()
        readers.check_those_who_are_in_what_is_kept(end)
        readers.check_those_who_are_in_what_is_lost()
        if not is_refilled:
            connection, held = stack.enter_context(refilled(engine, readers.newest))
        connection.commit()
        readers.check_those_who_live_on(engine)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(2))
def test_nothing_is_skipped_through_failovers_in_a_row(
    pgbouncer: PgBouncer, cluster: Cluster, new_cluster: Callable[[], Cluster], seed: int
) -> None:
    generator = random.Random(seed)
    with Load(cluster, pgbouncer, generator, seed) as load:
        for _ in range(FAILOVERS):
            standby = new_cluster()
            standby.follow(load.primary)
            standby.catch_up(load.primary)
            time.sleep(generator.random() * 0.3)
            if generator.random() < 0.7:  # it lags, and loses what is committed from now on
                standby.stop_receiving()
                time.sleep(generator.random() * 0.5)
            is_fenced = generator.random() < 0.5
            if is_fenced:
                load.primary.kill()
            standby.promote()
            pgbouncer.switch_to(standby.port)
            if not is_fenced:
                time.sleep(generator.random() * 0.5)
                load.primary.kill()
            load.primary = standby
            time.sleep(generator.random() * 0.5)
        load.check()


# --- a standby that is not behind


@pytest.mark.timeout(600)
def test_with_synchronous_replication_nothing_is_lost_and_no_reader_stops(
    pgbouncer: PgBouncer, cluster: Cluster, new_cluster: Callable[[], Cluster]
) -> None:
    generator = random.Random(0)
    with Load(cluster, pgbouncer, generator, seed=0) as load:
        for _ in range(FAILOVERS):
            standby = new_cluster()
            standby.follow(load.primary)
            standby.catch_up(load.primary)
            confirm_commits(load.primary, "*")
            load.primary.wait_until("SELECT bool_or(sync_state = 'sync') FROM pg_stat_replication")
            time.sleep(generator.random() * 0.5)
            confirm_commits(standby, "")
            standby.stop_receiving()  # from now on, a commit is neither acknowledged nor shown to others
            time.sleep(generator.random() * 0.5)
            load.primary.kill()
            standby.promote()
            pgbouncer.switch_to(standby.port)
            load.primary = standby
            time.sleep(generator.random() * 0.5)
        check_that_nothing_was_lost(load)


def confirm_commits(server: Cluster, standbys: str) -> None:
    """Let commits wait until a standby has flushed them, or for none."""
    server.query(f"ALTER SYSTEM SET synchronous_standby_names = '{standbys}'")
    server.query("SELECT pg_reload_conf()")


def check_that_nothing_was_lost(load: Load) -> None:
    log = load.check()
    event_ids = {event_id for _, event_id in log}
    for writer in load.writers:
        assert writer.acknowledged
        assert set(writer.acknowledged) <= event_ids
    for reader in load.readers:
        assert reader.rebuilds == 0
        assert reader.delivered == log


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", [PgBouncer, AtAnAddress])
def test_a_planned_move_in_a_pause_goes_unnoticed(
    kind: type[PgBouncer], cluster: Cluster, new_cluster: Callable[[], Cluster]
) -> None:
    generator = random.Random(0)
    with transactions(kind) as pgbouncer, Load(cluster, pgbouncer, generator, seed=0) as load:
        for _ in range(FAILOVERS):
            standby = new_cluster()
            standby.follow(load.primary)
            time.sleep(generator.random() * 0.5)
            pgbouncer.command("PAUSE")  # returns when all transactions have ended
            standby.catch_up(load.primary)
            load.primary.stop()
            standby.promote()
            pgbouncer.switch_to(standby.port)
            pgbouncer.command("RESUME")
            load.primary = standby
            time.sleep(generator.random() * 0.5)
        check_that_nothing_was_lost(load)
        failures = [each.failures for each in load.writers] + [each.failures for each in load.readers]
        assert failures == [0] * len(failures)


# --- notifications


def test_a_subscription_whose_server_is_lost_as_it_begins_to_listen_goes_on(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """PgBouncer calls a lost server a protocol violation, which is nothing that a server or the driver would say."""
    lost = threading.Event()

    def lose_the_server(connection: Any) -> None:
        if not lost.is_set():
            cluster.stop(signal.SIGQUIT)
            lost.set()
        refuse_open_transaction(connection)

    monkeypatch.setattr("eventstore.backends.postgresql.listener.refuse_open_transaction", lose_the_server)
    with opened(cluster.url) as engine:
        migrations.upgrade(engine)
    with sessions(PgBouncer) as pgbouncer, opened(pgbouncer.url(cluster.url)) as engine:
        pgbouncer.switch_to(cluster.port)
        store = EventStore(engine)
        append(store)
        subscriber = Subscriber(store, notify=True)
        subscriber.wait_until(lost.is_set)
        cluster.start()
        with opened(cluster.url) as direct:
            last = append(EventStore(direct))
            subscriber.wait_for(last)
            subscriber.end()
            assert subscriber.error is None
            assert places(subscriber.events) == stored(direct)
    assert [record.name for record in caplog.records if record.name.startswith("sqlalchemy")] == []
