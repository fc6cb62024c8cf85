"""What mypy knows of repositories, and what it must refuse: an ignore that is not needed is an error of mypy's."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, assert_type

import pytest

from eventstore import EventStore, InvalidInput, RecordedEvent, Repository
from eventstore.repository import LoadedAggregate, SaveResult, SinceSnapshot, every
from tests.accounts import Deposited, FrozenAccount


@pytest.fixture
def store() -> Iterator[EventStore]:
    with EventStore.in_memory() as store:
        yield store


def evolve_total(total: int, event: RecordedEvent) -> int:
    return total + 1


def add(total: int, amount: int, times: int = 1) -> list[Any]:
    return []


def test_mypy_knows_what_load_returns(store: EventStore) -> None:
    accounts = Repository(store, category="account", initial=FrozenAccount, evolve=FrozenAccount.after)
    totals = Repository(store, category="total", initial=int, evolve=evolve_total)
    assert_type(accounts, Repository[FrozenAccount])
    assert_type(accounts.load("1", must_exist=False), LoadedAggregate[FrozenAccount])
    assert_type(accounts.load("1", must_exist=False).state.balance, Decimal)
    assert_type(totals.load("1", must_exist=False).state, int)
    assert_type(totals.execute("1", add, 2), SaveResult)
    assert_type(totals.execute("1", add, 2, 3), SaveResult)
    assert_type(totals.execute("1", lambda total: add(total, 2, times=3)), SaveResult)
    with store.transaction() as transaction:
        assert_type(accounts.join(transaction).load("1", must_exist=False).state, FrozenAccount)


def test_what_is_wrong_is_refused_by_mypy(store: EventStore) -> None:
    accounts = Repository(store, category="account", initial=FrozenAccount, evolve=FrozenAccount.after)
    totals = Repository(store, category="total", initial=int, evolve=evolve_total)

    with pytest.raises(AttributeError):
        accounts.load("1", must_exist=False).state.total  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(TypeError):
        totals.execute("1", add)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        totals.execute("1", add, 1, 2, 3)  # type: ignore[arg-type]
    totals.execute("1", add, "two")  # type: ignore[arg-type]
    accounts.execute("1", add, 2)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput):
        totals.execute("1", lambda total: total)  # type: ignore[arg-type, return-value]
    with pytest.raises(InvalidInput):
        totals.save(accounts.load("1", must_exist=False), [])  # type: ignore[arg-type]
    with pytest.raises(InvalidInput):
        Repository[int](store, category="total", initial=0, evolve=evolve_total)  # type: ignore[arg-type]
    Repository[int](store, category="total", initial=str, evolve=evolve_total)  # type: ignore[arg-type]
    Repository[int](store, category="total", initial=int, evolve=FrozenAccount.after)  # type: ignore[arg-type]
    Repository(store, category="total", initial=int, evolve=evolve_total, snapshots=every)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput):
        Repository(store, category="total", initial=int, evolve=evolve_total, to_snapshot=str)
    with pytest.raises(InvalidInput):
        totals.load("1", version="2")  # type: ignore[arg-type]

    def decides_on_nothing(since: SinceSnapshot) -> None: ...

    Repository(store, category="total", initial=int, evolve=evolve_total, snapshots=decides_on_nothing)  # type: ignore[arg-type]
    assert Deposited(Decimal(1)).amount == 1
