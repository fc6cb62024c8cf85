"""What is counted in logs of different sizes: bytes, pages of memory, WAL. A busy machine changes none of it."""

import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final
from uuid import uuid4

import psycopg

from benchmarks.bench import Bench
from benchmarks.events import METADATA, event_types, new_events
from benchmarks.loading import short_stream_id
from benchmarks.logs import SIZES, Log, load_log, log_name
from benchmarks.results import Facts
from benchmarks.servers import Database
from eventstore import ANY, EventFilter, EventStore
from tests.postgresql.launcher import PostgreSQLServer

PAID: Final = EventFilter(event_types=["basket-paid"])
PAGE: Final = 1_000
FILTERED: Final = 100
HUNDRED: Final = "100 small parts"
PLAIN: Final = "one small table"
DESIGNED: Final = "what the design allows"
LATE: Final = "a stream of 3 that began late"
PAGE_OF_ALL: Final = f"a page of {PAGE:,} of all events"
APPENDS: Final = (1_000, 3_000, 10_000, 20_000)
"""After how many appends since the last checkpoint the WAL is looked at."""

_QUICK_APPENDS: Final = {20: APPENDS[0], 40: APPENDS[-1]}
"""What stands for what in a quick run."""

_WAL_LABEL: Final = re.compile(r"(.+): ([\d,]+) appends")
_SMALL_PART: Final = 600
_WARM_UP: Final = 30
_FEW: Final = 10
_TIMED_OUT_SECONDS: Final = 30.0
_Read = Callable[[EventStore, int], None]


def wal_label(name: str, appends: int) -> str:
    """Return the label of a fact about WAL; `wal_point` reads it."""
    return f"{name}: {appends:,} appends"


def wal_point(label: str) -> tuple[str, int]:
    """Return the log and the number of appends that a label names."""
    found = _WAL_LABEL.fullmatch(label)
    assert found is not None
    return found[1], int(found[2].replace(",", ""))


def bytes_on_disk(logs: Mapping[str, Log]) -> Facts:
    """Return the size of the tables of each log."""
    return Facts(
        "growth_bytes",
        "bytes on disk for each event, with heads and indexes, after these appends",
        "bytes",
        {name: _bytes(log) for name, log in logs.items()},
        "The ids of streams are in no order, so the pages of their indexes are about 70 percent full.",
    )


def _bytes(log: Log) -> float:
    with log.database.raw() as connection:
        size, events = _row(
            connection,
            "SELECT (SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r' AND "
            "(relname = 'es_streams' OR relname LIKE 'es\\_events%')), (SELECT count(*) FROM es_events)",
        )
    return float(size) / float(events)


def pages_of_memory(bench: Bench, server: PostgreSQLServer, logs: Mapping[str, Log]) -> Facts:
    """Count the pages of memory that reads ask for, in the largest logs, and in one of 100 parts beside one table."""
    part = bench.choose(20, _SMALL_PART)
    events = part * 100 - part // 2
    largest = log_name(SIZES[-1], is_partitioned=False)
    shown = {name.removeprefix("eventstore with "): log for name, log in logs.items() if name.startswith(largest)}
    shown |= {PLAIN: load_log(server, events), HUNDRED: load_log(server, events, part=part)}
    values = {}
    for name, log in shown.items():
        late = log.streams - max(_FEW, log.streams // 500)
        for what, read in (
            (LATE, _stream_from(late)),
            ("the same, that began in the middle", _stream_from(log.streams // 2)),
            ("the same, that began first", _stream_from(0)),
            (PAGE_OF_ALL, _page_after(log.events // 2, limit=PAGE)),
            (f"a page of {FILTERED} of one type", _page_after(log.events // 2, PAID, limit=FILTERED)),
        ):
            values[f"{name}: {what}"] = _pages_read(log, read)
    values[f"{DESIGNED}: {LATE}"] = 10
    return Facts(
        "growth_pages",
        "pages of memory (8 kB) that a read asks the server for, with its look if it has one",
        "pages",
        values,
        f"By pg_stat_database, the mean of 100 reads of a session that has prepared its statements. {HUNDRED} have "
        f"{_SMALL_PART} positions each.",
    )


def _stream_from(first: int) -> _Read:
    """Return a reader of the few streams from a number on, in turns."""

    def read(store: EventStore, number: int) -> None:
        assert sum(1 for _ in store.read_stream(short_stream_id(first + number % _FEW)))

    return read


def _page_after(first: int, *filters: EventFilter, limit: int) -> _Read:
    """Return a reader of pages after positions from one on."""

    def read(store: EventStore, number: int) -> None:
        assert sum(1 for _ in store.read_all(*filters, after_position=first + number, limit=limit))

    return read


def _pages_read(log: Log, read: _Read, count: int = 100) -> float:
    """Return the pages of one read: those of a session with many reads, less those of one with few."""
    few, many = (_pages_of_session(log, read, range(end)) for end in (_WARM_UP, _WARM_UP + count))
    return (many - few) / count


def _pages_of_session(log: Log, read: _Read, numbers: range) -> int:
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
    deadline = time.monotonic() + _TIMED_OUT_SECONDS
    with database.elsewhere() as connection:
        while _row(connection, "SELECT count(*) FROM pg_stat_activity WHERE datname = %s", database.name) != (0,):
            assert time.monotonic() < deadline, "sessions do not end"
            time.sleep(0.02)
        (pages,) = _row(
            connection, "SELECT blks_hit + blks_read FROM pg_stat_database WHERE datname = %s", database.name
        )
    return int(pages)


def wal(bench: Bench, logs: Mapping[str, Log]) -> Iterator[Facts]:
    """Append after a checkpoint, and look at the WAL now and then."""
    for key, what in (("old", "any of the streams, at random"), ("new", "a new stream")):
        values = {}
        for name, log in logs.items():
            bench.console.print(f"WAL of {name}, {what} …", style="dim", markup=False, highlight=False)
            names = bench.choose(_QUICK_APPENDS, {appends: appends for appends in APPENDS})
            for appends, written in _wal_of(log, tuple(names), is_new=key == "new"):
                values[wal_label(name, names[appends])] = written / appends
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


def _row(connection: psycopg.Connection, statement: str, *values: str) -> tuple[Any, ...]:
    row = connection.execute(statement, values or None).fetchone()
    assert row is not None
    return row
