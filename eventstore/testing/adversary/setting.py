"""The setting of a run: what all attacks on one store have in common."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import URL, text

from eventstore.testing.adversary.adapter import Adapter
from eventstore.testing.adversary.places import CanNotRun, Ground, Place, has_writer

_QUIET_SECONDS: Final = 20.0
_PAUSE_SECONDS: Final = 0.1

_WRITING: Final = text(
    "SELECT count(*) FROM pg_locks JOIN pg_class ON pg_class.oid = relation "
    "JOIN pg_namespace ON pg_namespace.oid = relnamespace "
    "WHERE database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    "AND mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock') "
    "AND nspname NOT IN ('pg_catalog', 'pg_toast') AND nspname = coalesce(CAST(:schema AS text), nspname)"
)


@dataclass(frozen=True, slots=True)
class Setting:
    """The store under attack, and the seed of random numbers.

    Attributes:
        ground: The database.
        adapter_name: The name of the adapter's class, `module:Class`.
        adapter: The class of the adapter.
        seed: The seed of the run.
        writers: How many writers the random attack has.
        threads: How many threads each of them has.
    """

    ground: Ground
    adapter_name: str
    adapter: type[Adapter]
    seed: int
    writers: int
    threads: int = 1

    def generator(self, purpose: str) -> random.Random:
        """Return a generator of random numbers, seeded by the run's seed and a purpose."""
        return random.Random(f"{self.seed}/{purpose}")

    def opener(self, place: Place, through: Callable[[URL], URL] | None = None) -> Callable[[], Adapter]:
        """Return a function that creates adapters for a place, optionally through a proxy."""
        url = (through(place.url) if through else place.url).render_as_string(hide_password=False)
        return lambda: self.adapter(url, place.schema)

    @contextmanager
    def prepared(self, place: Place) -> Iterator[Adapter]:
        """Create the tables, and yield an adapter.

        Raises:
            CanNotRun: There are events, so the store is not empty.
        """
        maker = self.adapter(place.direct_url.render_as_string(hide_password=False), place.schema)
        try:
            maker.prepare()
        finally:
            maker.close()
        adapter = self.opener(place)()
        try:
            if any(True for _ in adapter.read(self.adapter.readers[0].name, None)):
                raise CanNotRun("the store has events already; the adversary works only on an empty one")
            yield adapter
        finally:
            adapter.close()

    def is_writing(self, place: Place) -> bool:
        """Return whether a transaction holds a lock that only writers take."""
        if place.is_sqlite:
            return has_writer(place.url)
        with self.ground.connect(place.direct_url) as connection:
            return bool(connection.scalar(_WRITING, {"schema": place.schema}))

    def wait_until_quiet(self, place: Place) -> bool:
        """Wait until no transaction writes to the place; return False after a timeout."""
        if place.is_sqlite:
            return True
        end = time.monotonic() + _QUIET_SECONDS
        while self.is_writing(place):
            if time.monotonic() > end:
                return False
            time.sleep(_PAUSE_SECONDS)
        return True


def retry(work: Callable[[], Any], attempts: int = 5) -> Any:
    """Call a function again after an error, because its pool may have connections that were cut."""
    for attempt in range(attempts):
        try:
            return work()
        except Exception:
            if attempt == attempts - 1:
                raise
            time.sleep(_PAUSE_SECONDS)
    return None
