"""What the parts of the contract share."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Engine

from eventstore import EventStore, NewEvent

MakeStore = Callable[..., EventStore]
"""Makes a store on the engine under test, with the options of its constructor."""


class ContractBase:
    """The fixtures; `engine` is to be given by the subclass that runs the contract."""

    @pytest.fixture
    def engine(self) -> Engine:
        """Return an engine of an empty database with the tables."""
        msg = "give the contract a fixture `engine`: of an empty database with the tables"
        raise NotImplementedError(msg)

    @pytest.fixture
    def make_store(self, engine: Engine) -> MakeStore:
        """Return what makes stores with more options; override it for one that all of yours need, such as a schema."""
        return partial(EventStore, engine)

    @pytest.fixture
    def store(self, make_store: MakeStore) -> EventStore:
        """Return the store under test."""
        return make_store()


def numbered(count: int, first: int = 1) -> list[NewEvent]:
    """Return events that can be told apart."""
    return [NewEvent("counted", {"number": number}) for number in range(first, first + count)]


def numbers(events: Iterable[Any]) -> list[int]:
    """Return what tells them apart."""
    return [event.data["number"] for event in events]
