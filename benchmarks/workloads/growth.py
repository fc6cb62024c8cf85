"""The same work in logs of different sizes, plain and partitioned: it should take the same time.

Each log is in a database of its own, on a server of their own without autovacuum, which would come while something is
measured. All parts of the partitioned ones have the same size, and the newest is at most half full.
"""

import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

import psycopg

from benchmarks import raw
from benchmarks.bench import Bench
from benchmarks.events import METADATA, event_types, new_events
from benchmarks.loading import SHORT, load_short, short_stream_id
from benchmarks.race import Contestant
from benchmarks.results import Comparison, Facts
from benchmarks.servers import Database
from benchmarks.workloads.append_one import to_new
from eventstore import ANY, EventFilter, EventStore
from tests.partitioned import partition
from tests.postgresql.launcher import PostgreSQLServer

SIZES: Final = (10_000, 1_000_000, 3_000_000, 10_000_000)
_QUICK_PART: Final = 1_000
_QUICK: Final = (1_000, 2_500, 3_500, 6_500)
"""What stands for these in a quick run."""

PART: Final = 408_000
"""Positions of a part: 1, 3, 8 and 25 parts for these sizes, the newest at most half full."""

HUNDRED: Final = "100 small parts"
PLAIN: Final = "one small table"
DESIGNED: Final = "what the design allows"
LATE: Final = "a stream of 3 that began late"
PAGE_OF_ALL: Final = "a page of 1,000 of all events"
_HUNDRED_PART: Final = 600
_LATE: Final = 50
"""One in so many streams, the newest, counts as late."""

APPENDS: Final = (1_000, 3_000, 10_000, 20_000)
"""After how many appends since the last checkpoint the WAL is looked at."""

_QUICK_APPENDS: Final = (20, 40)
_WAL_LABEL: Final = re.compile(r"(.+): ([\d,]+) appends")
_PAGE: Final = 1_000
_FILTERED: Final = 100
_PAID: Final = EventFilter(event_types=["basket-paid"])
_WARM_UP: Final = 30
_SERVER_TIMEOUT_SECONDS: Final = 30.0


@dataclass(frozen=True)
class Log:
    """A loaded log.

    Attributes:
        database: Where it is.
        events: How many it had.
        store: A store of it.
    """

    database: Database
    events: int
    store: EventStore

    @property
    def streams(self) -> int:
        """How many streams it has."""
        return self.events // SHORT


def log_name(events: int, *, is_partitioned: bool) -> str:
    """Return the name of a log as a contestant."""
    return f"eventstore with {events:,} events{', partitioned' * is_partitioned}"


def wal_label(name: str, appends: int) -> str:
    """Return the label of a fact about WAL; `wal_point` reads it."""
    return f"{name}: {appends:,} appends"


def wal_point(label: str) -> tuple[str, int]:
    """Return the log and the number of appends that a label names."""
    found = _WAL_LABEL.fullmatch(label)
    assert found is not None
    return found[1], int(found[2].replace(",", ""))


def run(bench: Bench) -> Iterator[Comparison | Facts]:
    """Append and read in logs of 10 thousand to 10 million events, and look at their bytes, WAL and pages of memory.

    A quick run has 1,000 to 6,500 events under the same names.
    """
    with bench.quiet_server() as server:
        yield from _grown(bench, server)


def _grown(bench: Bench, server: PostgreSQLServer) -> Iterator[Comparison | Facts]:
    logs, seconds = _load(bench, server)
    yield Facts(
        "loading",
        "events a second that COPY straight into the tables has stored, two logs at a time",
        "events a second",
        {name: logs[name].events / taken for name, taken in seconds.items()},
        "The rows that the store would write, without checks and foreign keys; synchronous_commit off.",
    )
    yield from _races(bench, logs)
    yield Facts(
        "growth_bytes",
        "bytes on disk for each event, with heads and indexes, after these appends",
        "bytes",
        {name: _bytes(log) for name, log in logs.items()},
        "The ids of streams ascend in no order, so the pages of their indexes are about 70 percent full.",
    )
    yield _pages_of_memory(bench, server, logs)
    yield from _wal(bench, {name: log for name, log in logs.items() if log.events >= bench.choose(0, SIZES[1])})
    for log in logs.values():
        log.database.close()


def _load(bench: Bench, server: PostgreSQLServer) -> tuple[dict[str, Log], dict[str, float]]:
    """Fill all logs, two at a time, the largest first."""
    size_of_part = bench.choose(_QUICK_PART, PART)
    lock, seconds = threading.Lock(), dict[str, float]()

    def fill(named: int, events: int, *, is_partitioned: bool) -> tuple[str, Log]:
        name = log_name(named, is_partitioned=is_partitioned)
        with lock:  # two at once would copy the same template
            database = Database(server, durable=False)
        if is_partitioned:
            partition(database.engine(), size=size_of_part, count=max(3, events // size_of_part + 2))
        bench.console.print(f"loading {name} …", style="dim", markup=False, highlight=False)
        seconds[name] = load_short(database, events, together=size_of_part // 40)
        return name, Log(database, events, database.store())

    sizes = list(zip(SIZES, bench.choose(_QUICK, SIZES), strict=True))
    with ThreadPoolExecutor(2) as threads:
        tasks = [
            threads.submit(fill, named, events, is_partitioned=is_partitioned)
            for named, events in reversed(sizes)
            for is_partitioned in (False, True)
        ]
        logs = dict(reversed([task.result() for task in tasks]))
    names = [log_name(size, is_partitioned=with_parts) for with_parts in (False, True) for size in SIZES]
    return {name: logs[name] for name in names}, {name: seconds[name] for name in names}


def _races(bench: Bench, logs: Mapping[str, Log]) -> Iterator[Comparison]:
    appends, reads, pages = bench.choose(20, 500), bench.choose(20, 300), bench.choose(2, 20)
    works: dict[str, tuple[str, str, Callable[[Log], Contestant]]] = {
        "append": ("append 1 event to a new stream", "append", lambda log: to_new(log.store, appends)),
        "append_old": ("append 1 event to any stream", "append", lambda log: _to_any(log, appends)),
        "stream": (
            f"read a stream of {SHORT} events, one of the newest 2 percent",
            "stream",
            lambda log: _streams(log, reads, late=True),
        ),
        "stream_old": (f"read any stream of {SHORT} events", "stream", lambda log: _streams(log, reads, late=False)),
        "page": (f"read a page of {_PAGE:,} of all events", "page", lambda log: _pages(log, pages)),
        "filtered": (
            f"read a page of {_FILTERED} of one event type, 1 of 20 events",
            "page",
            lambda log: _pages(log, pages, _PAID, limit=_FILTERED),
        ),
        "look": ("find the settled position after an append", "look", lambda log: _looks(log, bench.choose(10, 200))),
    }
    for key, (what, per, work) in works.items():
        yield bench.race(
            f"growth_{key}",
            f"{what}, in logs of different sizes",
            {name: work(log) for name, log in logs.items()},
            per=per,
            reference=log_name(SIZES[1], is_partitioned=False),
            durable=False if per in {"append", "look"} else None,
        )


def _to_any(log: Log, count: int) -> Contestant:
    def run() -> float:
        work = [(short_stream_id(random.randrange(log.streams)), [event]) for event in new_events(count)]
        return raw.seconds_of(
            lambda part: log.store.append(part[0], part[1], expected_version=ANY, metadata=METADATA), work
        )

    return run


def _streams(log: Log, count: int, *, late: bool) -> Contestant:
    """Return us, reading streams; those that `_to_any` has appended to have more than three events."""
    first = log.streams - max(1, log.streams // _LATE) if late else 0

    def read(stream_id: str) -> None:
        assert sum(1 for _ in log.store.read_stream(stream_id)) >= SHORT

    return lambda: raw.seconds_of(read, [short_stream_id(random.randrange(first, log.streams)) for _ in range(count)])


def _pages(log: Log, count: int, *filters: EventFilter, limit: int = _PAGE) -> Contestant:
    last = log.events - limit if not filters else log.events - 25 * limit  # so that each page is full

    def read(after: int) -> None:
        found = sum(1 for _ in log.store.read_all(*filters, after_position=after, limit=limit))
        assert found == limit or last <= 0, f"{found} of {limit}"

    return lambda: raw.seconds_of(read, [random.randrange(max(1, last)) for _ in range(count)])


def _looks(log: Log, count: int) -> Contestant:
    def run() -> float:
        seconds = 0.0
        for event in new_events(count):
            log.store.append(f"basket-{uuid4()}", [event], expected_version=0)
            begun = time.perf_counter()
            log.store.settled_position()
            seconds += time.perf_counter() - begun
        return seconds / count

    return run


def _bytes(log: Log) -> float:
    with log.database.raw() as connection:
        size, events = _row(
            connection,
            "SELECT (SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r' AND "
            "(relname = 'es_streams' OR relname LIKE 'es\\_events%')), (SELECT count(*) FROM es_events)",
        )
    return float(size) / float(events)


def _pages_of_memory(bench: Bench, server: PostgreSQLServer, logs: Mapping[str, Log]) -> Facts:
    """Count the pages of memory that reads ask for, in the largest logs, and in one of 100 parts beside a plain one."""
    small = bench.choose(20, _HUNDRED_PART) * 100 - bench.choose(5, 300)
    shown = {name.removeprefix("eventstore with "): log for name, log in logs.items() if name.startswith(_largest())}
    for name in (PLAIN, HUNDRED):
        database = Database(server, durable=False)
        if name == HUNDRED:
            partition(database.engine(), size=bench.choose(20, _HUNDRED_PART), count=101)
        load_short(database, small, together=bench.choose(2, 20))
        shown[name] = Log(database, small, database.store())
    values = {}
    for name, log in shown.items():
        late = max(1, log.streams // 500)
        for what, first in (
            (LATE, log.streams - late),
            ("the same, that began in the middle", log.streams // 2),
            ("the same, that began first", 0),
        ):
            values[f"{name}: {what}"] = _pages_read(log, lambda store, n, f=first, m=late: _all_of(store, f + n % m))
        middle = log.events // 2
        values[f"{name}: {PAGE_OF_ALL}"] = _pages_read(log, lambda store, n, at=middle: _read_page(store, at + n))
        values[f"{name}: a page of {_FILTERED} of one type"] = _pages_read(
            log, lambda store, n, at=middle: _read_page(store, at + n, _PAID, limit=_FILTERED)
        )
    values[f"{DESIGNED}: {LATE}"] = 10
    return Facts(
        "growth_pages",
        "pages of memory (8 kB) that a read asks the server for, with its look if it has one",
        "pages",
        values,
        f"By pg_stat_database, the mean of 100 reads of a session that has prepared its statements. {HUNDRED} have "
        f"{_HUNDRED_PART} positions each.",
    )


def _largest() -> str:
    return log_name(SIZES[-1], is_partitioned=False)


def _all_of(store: EventStore, number: int) -> None:
    for _ in store.read_stream(short_stream_id(number)):
        pass


def _read_page(store: EventStore, after: int, *filters: EventFilter, limit: int = _PAGE) -> None:
    for _ in store.read_all(*filters, after_position=after, limit=limit):
        pass


def _pages_read(log: Log, read: Callable[[EventStore, int], None], count: int = 100) -> float:
    """Return the pages of one read: those of a session with many reads, less those of one with few."""
    few, many = (_pages_of_session(log, read, range(end)) for end in (_WARM_UP, _WARM_UP + count))
    return (many - few) / count


def _pages_of_session(log: Log, read: Callable[[EventStore, int], None], numbers: range) -> int:
    before = _counted_pages(log.database)
    engine = log.database.engine(pool_size=1, max_overflow=0)
    store = EventStore(engine, event_types=event_types)
    for number in numbers:
        read(store, number)
    engine.dispose()
    return _counted_pages(log.database) - before


def _counted_pages(database: Database) -> int:
    """Return how many pages the sessions of a database have asked for, once none is left that has yet to report."""
    for engine in database.engines:
        engine.dispose()
    deadline = time.monotonic() + _SERVER_TIMEOUT_SECONDS
    with database.elsewhere() as connection:
        while _row(connection, "SELECT count(*) FROM pg_stat_activity WHERE datname = %s", database.name) != (0,):
            assert time.monotonic() < deadline, "sessions do not end"
            time.sleep(0.02)
        (pages,) = _row(
            connection, "SELECT blks_hit + blks_read FROM pg_stat_database WHERE datname = %s", database.name
        )
    return int(pages)


def _wal(bench: Bench, logs: Mapping[str, Log]) -> Iterator[Facts]:
    """Append after a checkpoint, and look at the WAL now and then."""
    for key, what in (("old", "any of the streams, at random"), ("new", "a new stream")):
        values = {}
        for name, log in logs.items():
            bench.console.print(f"WAL of {name}, {what} …", style="dim", markup=False, highlight=False)
            for appends, written in _wal_of(log, bench.choose(_QUICK_APPENDS, APPENDS), is_new=key == "new"):
                values[wal_label(name, appends)] = written / appends
        yield Facts(
            f"growth_wal_{key}",
            f"bytes of WAL for one append of one event to {what}, since a checkpoint",
            "bytes",
            values,
            "The first change of a page after a checkpoint writes the whole page to the WAL.",
        )


def _wal_of(log: Log, appends: tuple[int, ...], *, is_new: bool) -> Iterator[tuple[int, int]]:
    with log.database.raw() as connection:
        connection.execute("CHECKPOINT")
        (begun,) = _row(connection, "SELECT pg_current_wal_insert_lsn() - '0/0'")
        for number, event in enumerate(new_events(appends[-1]), start=1):
            if is_new:
                log.store.append(f"basket-{uuid4().hex}", [event], expected_version=0, metadata=METADATA)
            else:
                old = short_stream_id(random.randrange(log.streams))
                log.store.append(old, [event], expected_version=ANY, metadata=METADATA)
            if number in appends:
                (now,) = _row(connection, "SELECT pg_current_wal_insert_lsn() - '0/0'")
                yield number, int(now - begun)


def _row(connection: psycopg.Connection, statement: str, *values: str) -> tuple[object, ...]:
    row = connection.execute(statement, values or None).fetchone()
    assert row is not None
    return row
