"""The way of an append and of a batch of a projection through the package stays as short as it is.

After a change that makes it shorter, lower the figures here: `python -m tests.house` prints them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import pytest
import sqlalchemy

from eventstore.backends import engine_for
from tests.trips import Stop, Trip, trip_of, trip_of_append, trip_of_batch

TOLERATED: Final = 1.05


SERIES: Final = "2.0" if sqlalchemy.__version__.startswith("2.0.") else "2.1"
"""Of SQLAlchemy: 2.0 calls more functions of its own, and some of ours for its events."""


@dataclass(frozen=True, slots=True)
class Way:
    """What was measured.

    Attributes:
        measure: Takes the URL of a database with the tables.
        files: How many files of the package are on the way.
        moves: How often it leads from one of them to another.
        calls: How many functions are called: those of the package, and all of Python; by the series of SQLAlchemy.
    """

    measure: Callable[[str], Trip]
    files: int
    moves: int
    calls: dict[str, tuple[int, int]]


WAYS: Final = {
    ("append", "postgresql"): Way(trip_of_append, 14, 30, {"2.0": (84, 302), "2.1": (77, 194)}),
    ("append", "sqlite"): Way(trip_of_append, 20, 60, {"2.0": (80, 329), "2.1": (84, 159)}),
    ("batch", "postgresql"): Way(trip_of_batch, 23, 181, {"2.0": (297, 1483), "2.1": (285, 1320)}),
    ("batch", "sqlite"): Way(trip_of_batch, 22, 164, {"2.0": (224, 1036), "2.1": (232, 777)}),
}


@pytest.mark.parametrize("what", ["append", "batch"])
def test_the_way_does_not_become_longer(what: str, any_url: str) -> None:
    way = WAYS[what, sqlalchemy.make_url(any_url).get_backend_name()]
    trip = way.measure(any_url)
    own_calls, calls = way.calls[SERIES]
    shown = f"{trip.files} files, {trip.moves} moves, {trip.own_calls} calls, {trip.calls} in all: {trip.way}"
    assert trip.files <= way.files, shown
    assert trip.moves <= way.moves, shown
    assert trip.own_calls <= own_calls * TOLERATED, shown
    assert trip.calls <= calls * TOLERATED, shown


def test_a_trip_counts_calls_files_and_moves() -> None:
    def call() -> None:
        engine_for("sqlite://").dispose()  # in eventstore/backends
        outside()

    def outside() -> None:
        pass

    trip = trip_of(call)
    assert trip.way[0] == "backends/__init__.py"
    assert trip.stops[0].function == "engine_for"
    assert trip.calls > trip.own_calls > trip.moves


def test_a_way_of_two_files_back_and_forth_has_two_moves() -> None:
    files = ["store.py", "store.py", "events.py", "store.py"]
    trip = Trip(tuple(Stop(file, "function") for file in files), calls=9)
    assert (trip.files, trip.moves, trip.own_calls, trip.way) == (2, 2, 4, ("store.py", "events.py"))
