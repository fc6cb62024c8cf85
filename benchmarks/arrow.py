"""Events into Arrow, beside the driver alone: the time that each takes, and its memory at the peak.

    python -m benchmarks.arrow                    # 1,000,000 events, on a PostgreSQL of its own
    python -m benchmarks.arrow --events 100000

Each contestant runs in a process of its own, in turns, several times; the least time counts. The memory is what the
process holds at its peak, over what it held before the first event.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Final

import psycopg
from rich.console import Console
from rich.table import Table

from benchmarks.events import METADATA, event_types, item
from benchmarks.raw import fetch_all
from benchmarks.servers import SETTINGS, Database
from eventstore import Append, EventFilter, EventStore
from eventstore.contrib import frames
from eventstore.contrib.frames import Frame
from tests.memory import peak_bytes
from tests.postgresql.launcher import PostgreSQLServer

_STREAM: Final = 100
_PAGE: Final = 10_000
DRIVER: Final = "the driver: rows, payloads unpacked"
JSON: Final = "eventstore, payload as JSON"
TYPED: Final = "eventstore, fields of a class"
_ITEMS: Final = EventFilter(event_types=["item-added"])


def _driver(url: str, count: int, *, unpack: bool) -> Callable[[], object]:
    return fetch_all(psycopg.connect(url, autocommit=True), count, _PAGE, unpack=unpack)


def _events(url: str) -> Callable[[], object]:
    store = EventStore.from_url(url, event_types=event_types, page_size=_PAGE)
    return lambda: sum(1 for _ in store.read_all())


def _stream(frame: Frame) -> Callable[[], object]:
    return lambda: sum(batch.num_rows for batch in frame.reader())


def _typed(url: str) -> Frame:
    return frames.read_all(EventStore.from_url(url, event_types=event_types), _ITEMS)


def _untyped(url: str) -> Frame:
    return frames.read_all(EventStore.from_url(url), _ITEMS)


CONTESTANTS: Final[dict[str, Callable[[str, int], Callable[[], object]]]] = {
    "the driver: rows": lambda url, count: _driver(url, count, unpack=False),
    DRIVER: lambda url, count: _driver(url, count, unpack=True),
    "read_all: one object an event": lambda url, _: _events(url),
    "Arrow stream: no payload": lambda url, _: _stream(frames.read_all(EventStore.from_url(url), fields=[])),
    JSON: lambda url, _: _stream(frames.read_all(EventStore.from_url(url))),
    "Arrow stream: fields of dicts": lambda url, _: _stream(_untyped(url)),
    TYPED: lambda url, _: _stream(_typed(url)),
    "Arrow table: fields of a class": lambda url, _: _typed(url).table,
    "pandas: fields of a class": lambda url, _: _typed(url).pandas,
    "Polars: fields of a class": lambda url, _: _typed(url).polars,
}


def fill(store: EventStore, count: int) -> None:
    """Store many events of one type, in streams of 100."""
    for first in range(0, count // _STREAM, 50):
        store.append_many(
            Append(f"basket-{number}", [item(at) for at in range(_STREAM)], expected_version=0, metadata=METADATA)
            for number in range(first, min(first + 50, count // _STREAM))
        )


def measure(name: str, url: str, count: int) -> None:
    """Run one contestant, and print its seconds and MiB."""
    _stream(frames.read_all(EventStore.from_url(url), limit=1))()  # imports at the first batch do not count
    run = CONTESTANTS[name](url, count)
    before, begun, used = peak_bytes(), time.perf_counter(), time.process_time()
    result = run()
    seconds, processor = time.perf_counter() - begun, time.process_time() - used
    del result
    print(seconds, processor, (peak_bytes() - before) / 2**20)  # noqa: T201  # for the process that has started this one


def compete(url: str, count: int, rounds: int) -> dict[str, tuple[float, float, float]]:
    """Run all contestants in turns; return the least seconds, of the clock and of the processor, and the MiB."""
    best: dict[str, tuple[float, float, float]] = {}
    for _ in range(rounds):
        for name in CONTESTANTS:
            command = [sys.executable, "-m", "benchmarks.arrow", "--events", str(count), "--measure", name, url]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            seconds, processor, mebibytes = map(float, output.split())
            known = best.get(name, (seconds, processor, mebibytes))
            best[name] = min(seconds, known[0]), min(processor, known[1]), max(mebibytes, known[2])
    return best


def report(best: dict[str, tuple[float, float, float]], count: int) -> None:
    """Print a table: of each, how much more time it takes than the driver that also unpacks the payloads."""
    table = Table(title=f"{count:,} events")
    for head in ("Contestant", "Seconds", "Events a second", "Times the driver", "The same, of CPU", "Peak, MiB"):
        table.add_column(head, justify="left" if head == "Contestant" else "right")
    clock, processor, _ = best[DRIVER]
    for name, (seconds, used, mebibytes) in best.items():
        table.add_row(
            name,
            f"{seconds:.2f}",
            f"{count / seconds:,.0f}",
            f"{seconds / clock:.2f}",
            f"{used / processor:.2f}",
            f"{mebibytes:.0f}",
        )
    Console(width=120).print(table)


def main() -> None:
    """Fill a database, and let them compete."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--measure", nargs=2, metavar=("CONTESTANT", "URL"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        name, url = options.measure
        measure(name, url, options.events)
        return
    with PostgreSQLServer(settings=SETTINGS) as server:
        database = Database(server)
        fill(database.store(), options.events)
        with database.raw() as connection:
            connection.execute("VACUUM ANALYZE")
        report(compete(database.url, options.events, options.rounds), options.events)
        database.close()


if __name__ == "__main__":
    main()
