"""Which functions a call passes through: how many, in how many files of the package, and how often it changes the file.

The functions called are the same on every run and every machine, so a test can hold them. It works for older checkouts,
too: see `tests/house.py`.
"""

import gc
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final, NamedTuple
from uuid import uuid4

import eventstore
from eventstore import EventStore, EventTypes, migrations
from eventstore.backends import engine_for
from eventstore.projections import Projection, Worker
from tests.postgresql.launcher import PostgreSQLServer

_PACKAGE: Final = str(Path(eventstore.__file__).parent) + "/"
_INLINED: Final = {"<listcomp>", "<setcomp>", "<dictcomp>"}
"""Since Python 3.12 they are no calls, so they are not counted before it either."""
_TAKES_LOCK: Final = "_OwnedLock.__enter__"
"""Python 3.14 alone needs this one; elsewhere a lock is taken by a function in C, which is not counted."""

_EVENT_TYPES: Final = EventTypes()


@_EVENT_TYPES.register("order-placed")
@dataclass(frozen=True)
class OrderPlaced:
    """What is appended."""

    total: int


class Stop(NamedTuple):
    """A call of a function of the package.

    Attributes:
        file: Where it is, below the package.
        function: Its name.
    """

    file: str
    function: str


@dataclass(frozen=True, slots=True)
class Trip:
    """The way of one call.

    Attributes:
        stops: The functions of the package that were called, in order.
        calls: How many functions of Python were called, in the package and elsewhere.
    """

    stops: tuple[Stop, ...]
    calls: int

    @property
    def own_calls(self) -> int:
        """How many functions of the package were called."""
        return len(self.stops)

    @property
    def files(self) -> int:
        """How many files they are in."""
        return len(self.way)

    @property
    def moves(self) -> int:
        """How often the file of a call differs from that of the one before."""
        return sum(before.file != after.file for before, after in zip(self.stops, self.stops[1:], strict=False))

    @property
    def way(self) -> tuple[str, ...]:
        """The files, in the order in which they were first entered."""
        return tuple(dict.fromkeys(stop.file for stop in self.stops))


def trip_of(call: Callable[[], object]) -> Trip:
    """Call, and note which functions are called on the way, in this thread."""
    stops: list[Stop] = []
    calls = 0

    def note(frame: FrameType, happening: str, _: object) -> None:
        nonlocal calls
        code = frame.f_code
        if happening != "call" or code.co_name in _INLINED or code.co_qualname == _TAKES_LOCK:
            return
        calls += 1
        if code.co_filename.startswith(_PACKAGE):
            stops.append(Stop(code.co_filename.removeprefix(_PACKAGE), code.co_qualname))

    def measured() -> None:
        gc.collect()
        gc.disable()  # what others have left behind is not called on this way
        sys.setprofile(note)
        try:
            call()
        finally:
            sys.setprofile(None)
            gc.enable()

    Context().run(measured)  # without metadata that other tests have set for their thread
    return Trip(tuple(stops), calls - 1)  # but for `call` itself


@contextmanager
def _store(url: str) -> Iterator[EventStore]:
    engine = engine_for(url)
    yield EventStore(engine, event_types=_EVENT_TYPES)
    engine.dispose()


def trip_of_append(url: str) -> Trip:
    """Return the way of an append of one typed event to a stream that exists, by a store that has appended before.

    Args:
        url: Of a database with the tables.
    """
    stream_id, event = f"order-{uuid4()}", OrderPlaced(30)
    with _store(url) as store:
        for version in range(2):
            store.append(stream_id, [event], expected_version=version)
        return trip_of(lambda: store.append(stream_id, [event], expected_version=2))


def trip_of_batch(url: str) -> Trip:
    """Return the way of a worker's batch of one event, when there have been batches before.

    Args:
        url: Of a database with the tables.
    """
    projection = Projection("totals")
    totals: list[int] = []

    @projection.on("order-placed")
    def _add(event: Any, _connection: object) -> None:
        totals.append(event.data.total)

    with _store(url) as store:
        worker = Worker(store, projection)
        run_once = getattr(worker, "run_once", None) or getattr(worker, "once")  # noqa: B009  # its name until 2026-11-30
        for _ in range(3):
            worker.run_until_caught_up()
            totals.clear()
            store.append(f"order-{uuid4()}", [OrderPlaced(30)], expected_version=0)
            trip = trip_of(run_once)
            assert totals == [30], "a batch has handled no event, or more than one"
    return trip


def all_trips() -> dict[str, Trip]:
    """Return the ways of an append and of a batch on each database; the databases are new."""
    trips = {}
    with tempfile.TemporaryDirectory() as folder, PostgreSQLServer() as server:
        for database, url in (("PostgreSQL", server.url), ("SQLite", f"sqlite:///{folder}/events.db")):
            engine = engine_for(url)
            migrations.upgrade(engine)
            engine.dispose()
            trips[f"append of one typed event, {database}"] = trip_of_append(url)
            trips[f"projection batch of one event, {database}"] = trip_of_batch(url)
    return trips
