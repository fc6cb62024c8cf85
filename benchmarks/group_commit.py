"""Group commit against none, in interleaved rounds: `python -m benchmarks.group_commit --help`.

Prints, for each number of threads, the appends a second with and without, and the median of the paired ratios.
"""

import argparse
import random
import statistics
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

from benchmarks.servers import SETTINGS, Database
from eventstore import NO_STREAM, EventStore, NewEvent, migrations
from tests.postgresql.launcher import PostgreSQLServer

_PAYLOAD = {"order": 42, "lines": ["book", "pen"], "total": "30.00"}


def throughput(store: EventStore, threads: int, seconds: float) -> float:
    """Return how many appends a second some threads make."""
    counts = [0] * threads
    barrier = threading.Barrier(threads + 1)
    is_over = threading.Event()

    def write(number: int) -> None:
        barrier.wait()
        while not is_over.is_set():
            store.append(f"basket-{uuid4()}", NewEvent("placed", _PAYLOAD), expected_version=NO_STREAM)
            counts[number] += 1

    running = [threading.Thread(target=write, args=(number,)) for number in range(threads)]
    for each in running:
        each.start()
    barrier.wait()
    begun = time.perf_counter()
    time.sleep(seconds)
    is_over.set()
    for each in running:
        each.join()
    return sum(counts) / (time.perf_counter() - begun)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("database", choices=["postgresql", "sqlite"], help="A durable server of its own, or files.")
    parser.add_argument("--folder", default=".", help="For SQLite, a folder on the disk to measure.")
    parser.add_argument("--threads", default="1,8,64")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0)
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=options.folder)))
        url = None
        if options.database == "postgresql":
            server = stack.enter_context(PostgreSQLServer(settings=SETTINGS, durable=True))
            url = Database(server).url
        stores = {}
        for is_on in (True, False):
            pool = {"pool_size": 64, "max_overflow": 0}
            this = url or f"sqlite:///{folder / f'{is_on}.db'}"
            stores[is_on] = EventStore.from_url(this, group_commit=is_on, engine_options=pool)
            migrations.upgrade(stores[is_on].engine)
        for threads in map(int, options.threads.split(",")):
            measured: dict[bool, list[float]] = {True: [], False: []}
            for _ in range(options.rounds):
                for is_on in random.sample([True, False], 2):
                    measured[is_on].append(throughput(stores[is_on], threads, options.seconds))
            ratio = statistics.median(on / off for on, off in zip(measured[True], measured[False], strict=True))
            on, off = (statistics.median(measured[is_on]) for is_on in (True, False))
            print(f"{threads:3} threads: {on:8,.0f}/s with, {off:8,.0f}/s without, x {ratio:.2f}", flush=True)  # noqa: T201
        for store in stores.values():
            store.close()


if __name__ == "__main__":
    main()
