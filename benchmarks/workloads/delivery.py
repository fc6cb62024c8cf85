"""How long an event takes from a writer to a live subscriber, and whether somebody's long transaction matters."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from multiprocessing import get_context
from statistics import median, quantiles
from typing import Any
from uuid import uuid4

from sqlalchemy import text

from benchmarks.bench import OURS, Bench
from benchmarks.results import Comparison, Facts
from benchmarks.servers import Database
from eventstore import EventStore, NewEvent

_WRITERS = 8
_PAUSE_SECONDS = 0.02


def _write_until(url: str, seconds: float, notify: bool, pipe: Any) -> None:
    """Write with threads in a process of its own, so that the reader has its interpreter to itself."""
    with EventStore.from_url(url, pool_size=_WRITERS, notify=notify) as store:
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


class _Phase:
    """Writers and one subscriber, for some seconds, with or without a stranger's transaction."""

    def __init__(self, database: Database, seconds: float, *, notify: bool = False) -> None:
        context = get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_write_until, args=(database.url, seconds, notify, theirs), daemon=True)
        self._process.start()
        self._pipe.recv()
        self._store = database.store()
        self._database = database
        self._notify = notify
        with self._store.engine.begin() as connection:
            connection.execute(text("CREATE TABLE strangers (number integer)"))
        self.lags: dict[str, list[float]] = {}

    def racer(self, name: str, *, stranger: bool) -> Callable[[], float]:
        """Return a contestant whose time is the median lag of its events."""

        def run() -> float:
            lags: list[float] = []
            with ExitStack() as stack:
                if stranger:
                    connection = stack.enter_context(self._store.engine.connect())
                    stack.enter_context(connection.begin())
                    connection.execute(text("INSERT INTO strangers VALUES (1)"))
                position = self._store.settled_position()
                subscription = stack.enter_context(
                    self._store.subscribe(after_position=position, idle_timeout_seconds=1.0, notify=self._notify)
                )
                self._pipe.send("write")
                lags.extend(time.time() - event.data["at"] for event in subscription)
            sent = self._pipe.recv()
            assert len(lags) == sent, f"{len(lags)} of {sent} were delivered"
            self.lags.setdefault(name, []).extend(lags)
            return median(lags)

        return run

    def close(self) -> None:
        self._pipe.send(None)
        self._process.join(30)


def run(bench: Bench) -> Iterator[Comparison | Facts]:
    """Deliver events live."""
    phase = _Phase(bench.database(), bench.choose(2.0, 6.0))
    told = _Phase(bench.database(), bench.choose(2.0, 6.0), notify=True)
    notified = "eventstore, notify=True"
    environment = bench.database(tables=False).environment
    peer, writer = bench.eventsourcing("delivery", environment), bench.eventsourcing_writer("delivery", environment)
    seconds = bench.choose(2.0, 6.0)

    def theirs() -> float:
        assert peer is not None
        assert writer is not None
        peer.call("listen", name="delivery")
        sent = writer.call("write_for", name="delivery", writers=_WRITERS, seconds=seconds, pause=_PAUSE_SECONDS)
        lags = peer.call("end_of_listening", name="delivery")
        assert len(lags) == sent, f"{len(lags)} of {sent} were delivered"
        return float(median(lags))

    stranger = "eventstore, a stranger's transaction open"
    yield bench.race(
        "delivery",
        f"lag of a live subscriber under {_WRITERS} writers (median of the events)",
        {
            OURS: phase.racer(OURS, stranger=False),
            stranger: phase.racer(stranger, stranger=True),
            notified: told.racer(notified, stranger=False),
            "eventsourcing": theirs if peer and writer else None,
        },
        per="event",
        reference=OURS,
        durable=True,
    )
    phase.close()
    told.close()
    yield Facts(
        "delivery_percentile_99",
        "the same lag: 99 of 100 events are quicker than this",
        "seconds",
        {name: quantiles(lags, n=100)[98] for name, lags in (phase.lags | told.lags).items()},
    )
