"""Readers live through a log that goes back: a failover that loses commits, a restore, a crash without durability.

Each way keeps 40 events and loses 70, and their positions are drawn again before a reader looks, with one of the new
appends still open among them. (A sequence logs 32 positions ahead: a log that loses fewer draws none of them again.)
A reader either goes on exactly or stops with LogWentBack.
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice

import pytest
from sqlalchemy import Connection, Engine, text

from eventstore import EventFilter, EventStore, LogWentBack, migrations
from eventstore.projections import Worker
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
    writing_down,
)
from tests.servers import Address, Between, Pooler

pytestmark = pytest.mark.slow

KEPT, LOST = 40, 70
RARE = EventFilter(event_types=["rare"])


# --- ways for a log to go back


class Way:
    """A server, the address by which readers know it, and a way for its log to go back.

    Attributes:
        server: The cluster that has the log now.
        address: By which readers know it.
    """

    def __init__(self, new_cluster: Callable[[], Cluster], address: Between) -> None:
        self.server = new_cluster()
        self.new_cluster = new_cluster
        self.address = address
        self.database = "postgres"

    @property
    def url(self) -> str:
        return self.server.url.removesuffix("postgres") + self.database

    def start(self) -> None:
        self.server.create()
        self.server.start()

    def remember(self) -> None:
        """Let what is committed from now on be what is lost."""
        raise NotImplementedError

    def go_back(self) -> None:
        """Lose it. Meanwhile the address leads to nowhere."""
        raise NotImplementedError


class Failover(Way):
    """To a standby that lags."""

    def remember(self) -> None:
        self.standby = self.new_cluster()
        self.standby.follow(self.server)
        self.standby.catch_up(self.server)
        self.standby.stop_receiving()

    def go_back(self) -> None:
        self.server.kill()
        self.standby.promote()
        self.server = self.standby


class PointInTimeRestore(Way):
    """Of a copy and the log of transactions, in the place of the cluster."""

    def remember(self) -> None:
        self.server.stop()
        self.copied = self.server.copy_data("copied")
        self.server.start()
        self.server.query("SELECT pg_create_restore_point('remembered')")

    def go_back(self) -> None:
        self.server.stop()
        log = self.server.copy_data("log") / "pg_wal"
        self.server.bring_back(self.copied)
        (self.server.data / "recovery.signal").touch()
        self.server.start(
            restore_command=f"cp {log}/%f %p",
            recovery_target_name="remembered",
            recovery_target_action="promote",
        )
        self.server.wait_until("SELECT NOT pg_is_in_recovery()")


class StorageSnapshot(Way):
    """Of all files at one moment, brought up by crash recovery: the same system, the same timeline."""

    def remember(self) -> None:
        self.server.stop(signal.SIGQUIT)
        self.copied = self.server.copy_data("snapshot")
        self.server.start()
        self.identity = self.server.query(IDENTITY)

    def go_back(self) -> None:
        self.server.stop(signal.SIGQUIT)
        self.server.bring_back(self.copied)
        self.server.start()
        assert self.server.query(IDENTITY) == self.identity


IDENTITY = "SELECT system_identifier, (SELECT timeline_id FROM pg_control_checkpoint()) FROM pg_control_system()"


class CrashRecovery(Way):
    """Of a server that does not flush what it commits: it is the same run of the same server."""

    def start(self) -> None:
        super().start()
        self.server.query("ALTER SYSTEM SET autovacuum = off")  # its commits flush the log
        self.server.query("SELECT pg_reload_conf()")

    def remember(self) -> None:
        self.server.query("CHECKPOINT")
        self.server.query("ALTER SYSTEM SET synchronous_commit = off")
        self.server.query("SELECT pg_reload_conf()")
        self.server.hold_commits_back()

    def go_back(self) -> None:
        self.server.crash()


class RenamedDatabases(Way):
    """An older copy of the database takes its name."""

    def remember(self) -> None:
        self.server.query(f"CREATE DATABASE kept TEMPLATE {self.database}")

    def go_back(self) -> None:
        self.server.query(f"ALTER DATABASE {self.database} RENAME TO lost")
        self.server.query(f"ALTER DATABASE kept RENAME TO {self.database}")

    def start(self) -> None:
        super().start()
        self.database = "application"
        self.server.query("CREATE DATABASE application")


class Dump(RenamedDatabases):
    """Restored in the place of the database."""

    def remember(self) -> None:
        self.dump = self.server.data.with_name("dump")
        self.server.run("pg_dump", *self.server.address, "-Fc", "-f", str(self.dump), self.database)

    def go_back(self) -> None:
        self.server.query(f"DROP DATABASE {self.database}")
        self.server.query(f"CREATE DATABASE {self.database}")
        self.server.run("pg_restore", *self.server.address, "-d", self.database, str(self.dump))


WAYS: dict[str, tuple[type[Way], type[Address | Pooler]]] = {
    "failover": (Failover, Address),
    "failover behind a pooler": (Failover, Pooler),
    "point-in-time restore": (PointInTimeRestore, Address),
    "storage snapshot": (StorageSnapshot, Address),
    "crash recovery": (CrashRecovery, Address),
    "crash recovery behind a pooler": (CrashRecovery, Pooler),
    "renamed databases": (RenamedDatabases, Address),
    "dump": (Dump, Address),
}


SEEN_IN_LONG_RUNS = {"failover behind a pooler", "point-in-time restore", "crash recovery", "dump"}
"""The twins of others."""


@pytest.fixture(params=[pytest.param(name, marks=[pytest.mark.long] * (name in SEEN_IN_LONG_RUNS)) for name in WAYS])
def way(request: pytest.FixtureRequest, new_cluster: Callable[[], Cluster]) -> Iterator[Way]:
    """Return a way for the log to go back, with the kept events in the log."""
    kind, between = WAYS[request.param]
    with between() as address:
        way = kind(new_cluster, address)
        way.start()
        fill(way)
        yield way


def fill(way: Way) -> None:
    """Make the tables, and append the events that will be kept."""
    with opened(way.url) as engine:
        migrations.provision(engine, "public")
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE handled (name text, position bigint, event_id uuid)"))
        store = EventStore(engine)
        assert append(store, count=KEPT) == KEPT
        for projection in (ALL, RARE_ONES):
            Worker(store, projection).run_until_caught_up()


# --- readers


@contextmanager
def refilled(engine: Engine, newest: int) -> Iterator[tuple[Connection, int]]:
    """Append until all lost positions have been drawn again; yield an open append in their midst, and its position."""
    store = EventStore(engine)
    first = append(store, "refund-1", 2)
    assert KEPT < first < newest - 20, "the lost positions are not drawn again"
    append(store, "refund-1", event_type="rare")
    with engine.connect() as connection:
        held = append(store.join(connection), "refund-2", event_type="rare")
        append(store, "refund-1", event_type="rare")
        while append(store, "refund-1", 10) < newest:
            pass
        yield connection, held


class Readers:
    """All kinds of readers, which share one store and have come to the newest of the events that will be lost."""

    def __init__(self, way: Way, stack: ExitStack) -> None:
        """Begin when the log is remembered; append what will be lost."""
        engine = stack.enter_context(opened(way.address.url(way.url), **way.address.engine_options))
        self.store = EventStore(engine, page_size=20)
        way.address.switch_to(way.server.port)
        self.subscribers = {"all": Subscriber(self.store), "rare": Subscriber(self.store, RARE)}
        self.workers = {"all": Projecting(self.store, ALL), "rare": Projecting(self.store, RARE_ONES)}
        for background in (*self.subscribers.values(), *self.workers.values()):
            stack.callback(background.end)
        with opened(way.url) as direct:
            for number in range(LOST):
                self.newest = append(EventStore(direct), f"order-{number % 7}")
            for subscriber in self.subscribers.values():
                subscriber.wait_for(self.newest)
            for worker in self.workers.values():
                worker.wait_for(direct, self.newest)
        self.in_what_is_kept = self.store.read_all(wait_seconds=SHORT_SECONDS)
        self.in_what_is_lost = self.store.read_all()
        self.kept = list(islice(self.in_what_is_kept, 20))[-1]
        lost = list(islice(self.in_what_is_lost, 60))
        self.lost = [*lost, *self.store.read_all(after_position=lost[-1].token)][-1]
        assert (self.kept.position, self.lost.position) == (20, self.newest)

    def check_those_who_are_in_what_is_lost(self) -> None:
        with pytest.raises(LogWentBack) as raised:
            list(self.store.read_all(after_position=self.lost.token))
        assert (raised.value.position, raised.value.expected_id) == (self.lost.position, self.lost.event_id)
        with pytest.raises(LogWentBack):
            list(self.in_what_is_lost)
        self.subscribers["all"].wait_until(lambda: False)
        assert isinstance(self.subscribers["all"].error, LogWentBack)

    def check_those_who_are_in_what_is_kept(self, end: list[Place]) -> None:
        """Check that they deliver what is kept, and then nothing but what comes next.

        How far they get on depends on the hole that the sequence may have left after a crash: it may belong to what is
        open.
        """
        delivered = [
            places(self.store.read_all(wait_seconds=SHORT_SECONDS)),
            end[:20] + places(self.store.read_all(after_position=self.kept.token, wait_seconds=SHORT_SECONDS)),
            end[:20] + places(self.in_what_is_kept),
        ]
        assert delivered == [end[: len(each)] for each in delivered]
        assert all(len(each) >= KEPT for each in delivered)

    def check_those_who_live_on(self, engine: Engine) -> None:
        """Check that the handlers were given all that is in the log, and nothing else."""
        expected = {"all": stored(engine), "rare": stored(engine, "rare")}
        for name, worker in self.workers.items():
            worker.wait_for(engine, expected["all"][-1][0])
            assert worker.error is None
            assert handled(engine, name) == expected[name]
        rare = self.subscribers["rare"]
        rare.wait_until(lambda: len(rare.events) >= len(expected["rare"]))
        assert isinstance(rare.error, LogWentBack) or places(rare.events) == expected["rare"]


ALL, RARE_ONES = writing_down("all"), writing_down("rare", RARE)


def test_each_reader_goes_on_exactly_or_stops(way: Way) -> None:
    with ExitStack() as stack:
        way.remember()
        readers = Readers(way, stack)
        way.address.switch_to(None)
        way.go_back()
        with opened(way.url) as engine, refilled(engine, readers.newest) as (connection, held):
            way.address.switch_to(way.server.port)
            readers.check_those_who_are_in_what_is_kept([place for place in stored(engine) if place[0] < held])
            readers.check_those_who_are_in_what_is_lost()
            connection.commit()
            readers.check_those_who_live_on(engine)


@pytest.mark.long
def test_each_reader_goes_on_exactly_or_stops_before_the_log_is_filled_again(way: Way) -> None:
    with ExitStack() as stack:
        way.remember()
        readers = Readers(way, stack)
        way.address.switch_to(None)
        way.go_back()
        way.address.switch_to(way.server.port)
        with opened(way.url) as engine:
            readers.check_those_who_are_in_what_is_kept(stored(engine))
            readers.check_those_who_are_in_what_is_lost()
            with refilled(engine, readers.newest) as (connection, _):
                connection.commit()
            readers.check_those_who_live_on(engine)
