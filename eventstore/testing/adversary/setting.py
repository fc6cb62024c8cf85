"""What all attacks on one store have in common."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import URL, text

from eventstore.testing.adversary.adapter import Adapter
from eventstore.testing.adversary.places import CanNotRun, Ground, Place

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
    """The store under attack, and the dice.

    Attributes:
        ground: Where.
        adapter_name: `module:Class`.
        adapter: The class.
        seed: Of the run.
        writers: How many writers the random attack has.
    """

    ground: Ground
    adapter_name: str
    adapter: type[Adapter]
    seed: int
    writers: int

    def generator(self, purpose: str) -> random.Random:
        """Return random numbers by the seed."""
        return random.Random(f"{self.seed}/{purpose}")

    def opener(self, place: Place, through: Callable[[URL], URL] | None = None) -> Callable[[], Adapter]:
        """Return what makes adapters for a place, through a proxy if one is given."""
        url = (through(place.url) if through else place.url).render_as_string(hide_password=False)
        return lambda: self.adapter(url, place.schema)

    @contextmanager
    def prepared(self, place: Place) -> Iterator[Adapter]:
        """Make the tables, and yield an adapter.

        Raises:
            CanNotRun: There are events: so this is not the empty store that it should be.
        """
        maker = self.adapter(place.direct_url.render_as_string(hide_password=False), place.schema)
        try:
            maker.prepare()
        finally:
            maker.close()
        adapter = self.opener(place)()
        try:
            if any(True for _ in adapter.read(self.adapter.readers[0].name, None)):
                raise CanNotRun("the store has events already: the adversary works on an empty one only")
            yield adapter
        finally:
            adapter.close()

    def is_writing(self, place: Place) -> bool:
        """Return whether the server says that a transaction holds a lock that only writers take (PostgreSQL)."""
        with self.ground.connect(place.direct_url) as connection:
            return bool(connection.scalar(_WRITING, {"schema": place.schema}))

    def wait_until_quiet(self, place: Place) -> bool:
        """Wait until no transaction writes to the place any more; return False if that takes too long."""
        if place.is_sqlite:
            return True
        end = time.monotonic() + _QUIET_SECONDS
        while self.is_writing(place):
            if time.monotonic() > end:
                return False
            time.sleep(_PAUSE_SECONDS)
        return True


def retried(work: Callable[[], Any], tries: int = 5) -> Any:
    """Call it again after an error: connections that were cut may be in its pool."""
    for tried in range(tries):
        try:
            return work()
        except Exception:
            if tried == tries - 1:
                raise
            time.sleep(_PAUSE_SECONDS)
    return None
