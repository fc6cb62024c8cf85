"""Scenarios: what they accept, and above all what they do not."""

import gc
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, Numeric, String, Table, func, select
from sqlalchemy.dialects.sqlite import insert

from eventstore import EventFilter, EventStore, NewEvent, ProjectionFailed, RecordedEvent, Repository
from eventstore.projections import Projection
from eventstore.testing.scenario import given, projected
from tests.accounts import (
    KINDS,
    Deposited,
    FrozenAccount,
    Kind,
    NotEnough,
    Opened,
    Withdrawn,
    deposit,
    event_types,
    open_once,
    withdraw,
)


@pytest.fixture
def accounts() -> Iterator[Repository[FrozenAccount]]:
    with EventStore.in_memory(event_types=event_types) as store:
        yield Repository(store, category="account", initial=FrozenAccount, evolve=FrozenAccount.after)


@pytest.mark.slow
def test_it_reads_like_a_specification(accounts: Repository[FrozenAccount]) -> None:
    given(accounts).when(open_once, "Ada").then(Opened("Ada"))
    given(accounts, Opened("Ada")).when(open_once, "Grace").then_nothing()
    given(accounts, Deposited(Decimal(5))).when(withdraw, Decimal(4)).then(Withdrawn(Decimal(4)))
    given(accounts, Deposited(Decimal(5))).when(withdraw, Decimal(6)).then_raises(NotEnough)
    given(accounts, Deposited(Decimal(5))).then_state(lambda account: account.balance == 5)
    given(accounts).then_state(FrozenAccount())
    given(accounts).when(lambda _: [NewEvent("noted", {"a": {1, 2}})]).then(NewEvent("noted", {"a": {2, 1}}))


def test_the_store_of_the_repository_is_not_touched(accounts: Repository[FrozenAccount]) -> None:
    given(accounts, Opened("Ada")).when(deposit, Decimal(5)).then(Deposited(Decimal(5)))
    assert list(accounts.store.read_all()) == []


def test_one_step_follows_the_other(accounts: Repository[FrozenAccount]) -> None:
    scenario = given(accounts, Deposited(Decimal(5)))
    scenario.when(withdraw, Decimal(2)).then(Withdrawn(Decimal(2))).when(withdraw, Decimal(4)).then_raises(NotEnough)
    scenario.when(withdraw, Decimal(3)).then(Withdrawn(Decimal(3))).then_state(lambda account: not account.balance)
    assert scenario.loaded.version == 3


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_kind_of_aggregate_has_scenarios(kind: Kind[Any]) -> None:
    with EventStore.in_memory(event_types=event_types) as store:
        given(kind.repository(store), Deposited(Decimal(5))).when(lambda _: [Deposited(Decimal(1))]).then_state(
            lambda state: kind.seen(state)[1] == 6
        )


def test_what_is_not_as_expected_fails(accounts: Repository[FrozenAccount]) -> None:
    scenario = given(accounts, Deposited(Decimal(5))).when(withdraw, Decimal(2))
    for wrong in (
        [], [Withdrawn(Decimal(3))], [Deposited(Decimal(2))], [NewEvent("withdrawn")], [Withdrawn(Decimal(2))] * 2,
        [Deposited(Decimal(5)), Withdrawn(Decimal(2))],
    ):  # fmt: skip
        with pytest.raises(AssertionError, match="other events than expected"):
            scenario.then(*wrong)
    with pytest.raises(AssertionError):
        scenario.then_nothing()
    with pytest.raises(AssertionError, match="was accepted"):
        scenario.then_raises(NotEnough)
    with pytest.raises(AssertionError):
        scenario.then_state(FrozenAccount())
    with pytest.raises(AssertionError):
        scenario.then_state(lambda account: account.balance == 5)
    scenario.then(Withdrawn(Decimal(2)))


def test_a_failure_shows_both_sides(accounts: Repository[FrozenAccount]) -> None:
    with pytest.raises(AssertionError) as error:
        given(accounts).when(open_once, "Ada").then(Opened("Grace"))
    assert str(error.value) == (
        "other events than expected\n"
        "expected:\n    ('opened', Opened(owner='Grace'))\n"
        "but got:\n    ('opened', Opened(owner='Ada'))"
    )


@pytest.mark.parametrize(
    "look",
    [
        lambda scenario: scenario.then(),
        lambda scenario: scenario.then_nothing(),
        lambda scenario: scenario.then_state(FrozenAccount()),
        lambda scenario: scenario.when(deposit, Decimal(1)),
        lambda scenario: scenario.loaded,
        lambda scenario: scenario.then_raises(KeyError),
    ],
)
def test_an_error_that_was_not_expected_comes_out(accounts: Repository[FrozenAccount], look: Any) -> None:
    scenario = given(accounts).when(withdraw, Decimal(1))
    with pytest.raises(NotEnough):
        look(scenario)


def test_the_text_of_an_error_can_be_expected(accounts: Repository[FrozenAccount]) -> None:
    def refuse(_: FrozenAccount) -> None:
        raise ValueError("not on a Sunday")

    given(accounts).when(refuse).then_raises(ValueError, match="Sun")
    with pytest.raises(AssertionError, match="Monday"):
        given(accounts).when(refuse).then_raises(ValueError, match="Monday")


@pytest.mark.slow
def test_an_error_that_nobody_looks_at_is_told(accounts: Repository[FrozenAccount]) -> None:
    with pytest.warns(ResourceWarning, match="withdraw raised NotEnough"):  # noqa: PT031  # one is not enough
        given(accounts).when(withdraw, Decimal(1))
        gc.collect()  # the traceback leads back to the scenario


# --- projections

metadata = MetaData()
totals = Table("totals", metadata, Column("account", String, primary_key=True), Column("total", Numeric))
seen = Table("seen", metadata, Column("number", Integer, primary_key=True))


def projection() -> Projection:
    made = Projection("totals", EventFilter(categories=["account"]))

    @made.on("deposited")
    def add(event: RecordedEvent, connection: Connection) -> None:
        row = insert(totals).values(account=event.stream_id, total=event.data.amount)
        total = totals.c.total + row.excluded.total
        connection.execute(row.on_conflict_do_update(index_elements=["account"], set_={"total": total}))

    @made.on("withdrawn")
    def fail(event: RecordedEvent, connection: Connection) -> None:
        raise NotEnough

    return made


def test_a_projection_follows_what_happens() -> None:
    scenario = projected(projection(), metadata, event_types)
    scenario.then(select(totals), [])
    scenario.given("account-1", Deposited(Decimal(5)), Opened("Ada")).given("account-2", Deposited(Decimal(1)))
    scenario.then(select(totals), [("account-2", 1), ("account-1", 5)])
    scenario.when("account-1", Deposited(Decimal("1.5"))).then(select(func.sum(totals.c.total)), [(Decimal("7.5"),)])
    scenario.when("other-1", Deposited(Decimal(9))).then(select(func.count()).select_from(totals), [(2,)])
    for wrong in (
        [],
        [("account-1", 6.5)],
        [("account-1", 6.5), ("account-2", 2)],
        [("account-2", 1)] * 2,
        [("account-1", 6.5), ("account-2", 1), ("account-3", 1)],
    ):
        with pytest.raises(AssertionError, match="other rows than expected"):
            scenario.then(select(totals), wrong)
    with pytest.raises(ProjectionFailed) as failed:
        scenario.when("account-1", Withdrawn(Decimal(1)))
    assert isinstance(failed.value.__cause__, NotEnough)
