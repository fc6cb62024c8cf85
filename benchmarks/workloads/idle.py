"""What subscriptions cost that have nothing to read: the processors' time of client and server together."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from benchmarks.bench import OURS, Bench
from benchmarks.processor import ServerProcessor, client_seconds_of
from benchmarks.race import Contestant
from benchmarks.results import Comparison
from eventstore import EventStore, Subscription

CORE: Final = "one core, busy"
_MANY: Final = 50


def run(bench: Bench) -> Iterator[Comparison]:
    """Let 50 subscriptions of one store wait, one, and none."""
    store = bench.database().store()
    settle, seconds = bench.choose((0.4, 0.6), (1.5, 3.0))
    processor = ServerProcessor.of(bench.server)

    def idle(count: int) -> Contestant | str:
        if processor is None:
            return "this system does not count the processors' time"
        return _share(processor, store, count, settle, seconds)

    yield bench.race(
        "idle_subscriptions",
        f"{_MANY} subscriptions of one store with nothing to read: time that processors work, client and server",
        {
            CORE: lambda: 1.0,
            OURS: idle(_MANY),
            f"{OURS}, 1 subscription": idle(1),
            f"{OURS}, none: the server alone": idle(0),
        },
        per="second",
        reference=CORE,
        rounds=bench.choose(1, 3),
        warm_up=False,
    )


def _share(processor: ServerProcessor, store: EventStore, count: int, settle: float, seconds: float) -> Contestant:
    def run() -> float:
        with _subscriptions(store, count):
            time.sleep(settle)  # until they poll as seldom as they ever do
            client = 0.0

            def wait() -> None:
                nonlocal client
                client = client_seconds_of(lambda: time.sleep(seconds))

            server = processor.seconds_of(wait)
        return (client + server) / seconds

    return run


@contextmanager
def _subscriptions(store: EventStore, count: int) -> Iterator[None]:
    """Let so many threads wait for events, until the block is left."""
    position = store.settled_position()
    with ExitStack() as stack:
        for _ in range(count):
            subscription = store.subscribe(after_position=position)
            thread = threading.Thread(target=_reader(subscription))
            thread.start()
            stack.callback(thread.join, 30)
            stack.callback(subscription.stop)
        yield


def _reader(subscription: Subscription) -> Callable[[], None]:
    def read() -> None:
        with subscription:
            for _ in subscription:
                raise AssertionError("there was nothing to read")

    return read
