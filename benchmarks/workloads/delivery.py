"""How long an event takes from a writer to a live subscriber, and whether somebody's long transaction matters."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from multiprocessing import get_context
from statistics import median, quantiles
from typing import Any, Final
from uuid import uuid4

import psycopg

from benchmarks.bench import OURS, Bench
from benchmarks.results import Comparison, Facts
from benchmarks.servers import MANY_CONNECTIONS, Database
from eventstore import EventStore, NewEvent

STRANGER: Final = "eventstore, a stranger's transaction open"
STRANGER_ELSEWHERE: Final = "eventstore, a stranger's open in another database"
NOTIFIED: Final = "eventstore, notify=True"

_WRITERS: Final = 8
_PAUSE_SECONDS: Final = 0.02
_TRANSACTION_SECONDS: Final = 3.0
_IDLE_SECONDS: Final = 0.5
"""After so long without an event, all are taken to have come."""

_TIMEOUT_SECONDS: Final = 60.0


def _write_until(url: str, seconds: float, notify: bool, pipe: Any) -> None:
    """Write with threads in a process of its own, so that the reader has its interpreter to itself."""
    with EventStore.from_url(url, engine_options={"pool_size": _WRITERS}, notify=notify) as store:
        store.stream_version("clock-1")
        pipe.send("ready")
        while pipe.recv():
            end = time.monotonic() + seconds
            counts: list[int] = []

            def write(end: float = end, counts: list[int] = counts) -> None:
                count = 0
                while time.monotonic() < end:
                    store.append(f"clock-{uuid4()}", [NewEvent("sent", {"at": time.time()})], expected_version=0)
                    count += 1
                    time.sleep(_PAUSE_SECONDS)
                counts.append(count)

            threads = [threading.Thread(target=write) for _ in range(_WRITERS)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            pipe.send(sum(counts))


class _Live:
    """Writers in a process of their own and one subscriber here, for some seconds at a time."""

    def __init__(self, database: Database, seconds: float, *, notify: bool = False) -> None:
        context = get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_write_until, args=(database.url, seconds, notify, theirs), daemon=True)
        self._process.start()
        self._receive()
        self._store = database.store()
        self._notify = notify
        self.lags: dict[str, list[float]] = {}

    def _receive(self) -> Any:
        assert self._pipe.poll(_TIMEOUT_SECONDS), "the writers do not answer"
        return self._pipe.recv()

    def racer(self, name: str, stranger: psycopg.Connection | None = None) -> Callable[[], float]:
        """Return a contestant whose time is the median lag of its events.

        Args:
            name: The contestant.
            stranger: Has a transaction open all the time, in which it has written to a table of its own.
        """

        def run() -> float:
            lags: list[float] = []
            with ExitStack() as stack:
                if stranger is not None:
                    stack.enter_context(stranger.transaction())
                    stranger.execute("INSERT INTO strangers VALUES (1)")
                position = self._store.settled_position()
                subscription = stack.enter_context(
                    self._store.subscribe(
                        after_position=position, idle_timeout_seconds=_IDLE_SECONDS, notify=self._notify
                    )
                )
                self._pipe.send("write")
                lags.extend(time.time() - event.data["at"] for event in subscription)
            sent = self._receive()
            assert len(lags) == sent, f"{len(lags)} of {sent} were delivered"
            self.lags.setdefault(name, []).extend(lags)
            return median(lags)

        return run

    def close(self) -> None:
        self._pipe.send(None)
        self._process.join(30)


def _stranger(database: Database) -> psycopg.Connection:
    connection = database.connect()
    connection.execute("CREATE TABLE strangers (number integer)")
    return connection


def run(bench: Bench) -> Iterator[Comparison | Facts]:
    """Deliver events live, with and without strangers; by polling and by notification."""
    seconds = bench.choose(0.5, _TRANSACTION_SECONDS)
    database, told_database, elsewhere = bench.database(), bench.database(), bench.database(tables=False)
    environment = bench.database(tables=False).environment | MANY_CONNECTIONS
    name = "delivery"
    peer = bench.eventsourcing(name, environment)
    writer = bench.eventsourcing_process(name, environment)
    their_lags: list[float] = []

    def theirs() -> float:
        assert peer is not None
        assert writer is not None
        peer.call("listen", name=name)
        sent = writer.call("write_for", name=name, writers=_WRITERS, seconds=seconds, pause=_PAUSE_SECONDS)
        lags = peer.call("end_of_listening", name=name)
        assert len(lags) == sent, f"{len(lags)} of {sent} were delivered"
        their_lags.extend(lags)
        return float(median(lags))

    with ExitStack() as stack:
        live = _Live(database, seconds)
        stack.callback(live.close)
        told = _Live(told_database, seconds, notify=True)
        stack.callback(told.close)
        here, far = stack.enter_context(_stranger(database)), stack.enter_context(_stranger(elsewhere))
        yield bench.race(
            "delivery",
            f"lag of a live subscriber under {_WRITERS} writers (median of the events)",
            {
                OURS: live.racer(OURS),
                STRANGER: live.racer(STRANGER, here),
                STRANGER_ELSEWHERE: live.racer(STRANGER_ELSEWHERE, far),
                NOTIFIED: told.racer(NOTIFIED),
                "eventsourcing": theirs if peer and writer else None,
            },
            per="event",
            reference=OURS,
            durable=True,
            rounds=bench.choose(2, None),
            warm_up=bench.full,
        )
    lags = live.lags | told.lags | ({"eventsourcing": their_lags} if their_lags else {})
    for percent in (50, 99):
        yield Facts(
            f"delivery_percentile_{percent}",
            f"the same lag over all rounds: {percent} of 100 events are quicker than this",
            "seconds",
            {name: quantiles(values, n=100)[percent - 1] for name, values in lags.items()},
        )
