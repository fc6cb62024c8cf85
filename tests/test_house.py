"""The way of an append and of a batch of a projection through the package stays as short as it is.

After a change that makes it shorter, lower the figures here: `python -m tests.house` prints them.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

import pytest
import sqlalchemy

from eventstore.backends import engine_for
from tests.trips import Stop, Trip, trip_of, trip_of_append, trip_of_batch

TOLERATED: Final = 1.05


SERIES: Final = "2.0" if sqlalchemy.__version__.startswith("2.0.") else "2.1"
"""Of SQLAlchemy: each calls other functions of its own."""


class Way(NamedTuple):
    """What was measured.

    Attributes:
        files: How many files of the package are on the way.
        moves: How often it leads from one of them to another.
        own_calls: How many functions of the package are called.
        calls: How many functions of Python are called, those of SQLAlchemy and of the driver included.
    """

    files: int
    moves: int
    own_calls: int
    calls: int


WAYS: Final = {
    ("append", "postgresql", "2.1"): Way(16, 24, 45, 81),
    ("append", "postgresql", "2.0"): Way(16, 24, 45, 81),
    ("append", "sqlite", "2.1"): Way(17, 28, 46, 78),
    ("append", "sqlite", "2.0"): Way(17, 28, 46, 78),
    ("batch", "postgresql", "2.1"): Way(24, 154, 288, 1334),
    ("batch", "postgresql", "2.0"): Way(24, 154, 288, 1334),
    ("batch", "sqlite", "2.1"): Way(26, 158, 228, 755),
    ("batch", "sqlite", "2.0"): Way(26, 158, 228, 755),
}


@pytest.mark.slow
@pytest.mark.parametrize(("what", "measure"), [("append", trip_of_append), ("batch", trip_of_batch)])
def test_the_way_does_not_become_longer(what: str, measure: Callable[[str], Trip], any_url: str) -> None:
    way = WAYS[what, sqlalchemy.make_url(any_url).get_backend_name(), SERIES]
    trip = measure(any_url)
    shown = f"{trip.files} files, {trip.moves} moves, {trip.own_calls} calls, {trip.calls} in all: {trip.way}"
    assert trip.files <= way.files, shown
    assert trip.moves <= way.moves, shown
    assert trip.own_calls <= way.own_calls * TOLERATED, shown
    assert trip.calls <= way.calls * TOLERATED, shown


@pytest.mark.slow
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
