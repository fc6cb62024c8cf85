"""Logs of different sizes, one table each or in parts, each in a database of its own.

All parts of the partitioned ones have the same size, and the newest is at most half full.
"""

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from benchmarks.loading import SHORT, load_short
from benchmarks.servers import Database
from eventstore import EventStore
from tests.partitioned import partition
from tests.postgresql.launcher import PostgreSQLServer

SIZES: Final = (10_000, 1_000_000, 3_000_000, 10_000_000)
PART: Final = 408_000
"""Positions of a part: 1, 3, 8 and 25 parts for these sizes."""


_ONE_AT_A_TIME: Final = threading.Lock()
"""Two databases can't be made of the same template at once."""


@dataclass(frozen=True)
class Log:
    """A loaded log.

    Attributes:
        database: Where it is.
        events: How many it had.
        store: A store of it.
        loading_seconds: How long it took to load it.
    """

    database: Database
    events: int
    store: EventStore
    loading_seconds: float

    @property
    def streams(self) -> int:
        """How many streams it has."""
        return self.events // SHORT


def log_name(events: int, *, is_partitioned: bool) -> str:
    """Return the name of a log as a contestant."""
    return f"eventstore with {events:,} events{', partitioned' * is_partitioned}"


def load_log(server: PostgreSQLServer, events: int, *, part: int | None = None) -> Log:
    """Return a new log with so many events, and parts of so many positions if it is partitioned."""
    with _ONE_AT_A_TIME:
        database = Database(server, durable=False)
    if part:
        partition(database.engine(), size=part, count=max(3, events // part + 2))
    seconds = load_short(database, events, together=max(1, min(10_000, (part or events) // 40)))
    return Log(database, events, database.store(), seconds)


def load_all(server: PostgreSQLServer, sizes: Mapping[int, int], *, part: int) -> dict[str, Log]:
    """Return logs by name: of each size one table and one in parts. Two are loaded at a time, the largest first.

    Args:
        server: Where to.
        sizes: How many events a log has, by how many its name says that it has.
        part: Positions of a part.
    """
    asked = [(named, is_partitioned) for is_partitioned in (False, True) for named in sizes]
    with ThreadPoolExecutor(2) as threads:
        tasks = {
            log_name(named, is_partitioned=is_partitioned): threads.submit(
                load_log, server, sizes[named], part=part if is_partitioned else None
            )
            for named, is_partitioned in sorted(asked, reverse=True)
        }
        names = [log_name(named, is_partitioned=is_partitioned) for named, is_partitioned in asked]
        return {name: tasks[name].result() for name in names}
