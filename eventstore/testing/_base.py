"""Fixtures and helpers that all parts of the contract share."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Engine

from eventstore import EventStore, NewEvent

MakeStore = Callable[..., EventStore]
"""Creates a store on the engine under test, with options of its constructor."""


class ContractBase:
    """The fixtures of the contract. The subclass that runs it defines `engine`."""

    locks_all_appends = True
    """Whether appends may lock out all others; False on tables that Citus has distributed."""

    @pytest.fixture
    def engine(self) -> Engine:
        """Return an engine of an empty database with the tables."""
        msg = "define a fixture `engine` in your subclass: an engine of an empty database with the tables"
        raise NotImplementedError(msg)

    @pytest.fixture
    def make_store(self, engine: Engine) -> MakeStore:
        """Return a function that creates stores. Override it for options that all stores need, such as a schema."""
        return partial(EventStore, engine)

    @pytest.fixture
    def store(self, make_store: MakeStore) -> EventStore:
        """Return the store under test."""
        return make_store()


def is_test_of(contract: type[ContractBase], request: pytest.FixtureRequest) -> bool:
    """Return whether the test is one of this part of the contract: a fixture with `autouse` runs for all parts."""
    return request.function.__name__ in vars(contract)


def numbered(count: int, first: int = 1) -> list[NewEvent]:
    """Return events with consecutive numbers."""
    return [NewEvent("counted", {"number": number}) for number in range(first, first + count)]


def numbers(events: Iterable[Any]) -> list[int]:
    """Return the numbers of events."""
    return [event.data["number"] for event in events]
