"""Waiting for an event, on a server that has all events there are. Of a standby, the store's own tests show more."""

from typing import Any
from uuid import uuid4

import pytest

from eventstore import ANY, EventStore, InvalidInput, LogWentBack, PositionToken, Repository
from eventstore.errors import UnsuitableTransaction
from eventstore.testing._base import ContractBase, numbered


class WaitingContract(ContractBase):
    """The contract of `wait_for`."""

    @pytest.mark.parametrize("settled", [False, True])
    def test_an_event_that_is_there_is_not_waited_for(self, store: EventStore, settled: bool) -> None:
        result = store.append("order-1", numbered(3), expected_version=0)
        *_, last = store.read_stream("order-1")
        assert result.token == last.token
        assert (result.event_id, str(result.token)) == (last.event_id, str(last.token))
        for at_least in (result, last, last.token, None):
            assert store.wait_for(at_least, timeout_seconds=0, settled=settled) is store

    def test_the_result_of_a_repository_has_a_token(self, store: EventStore) -> None:
        orders = Repository(store, category="order", initial=int, evolve=lambda count, _: count + 1)
        saved = orders.execute("1", lambda _: numbered(2))
        *_, last = store.read_stream("order-1")
        assert saved.token == last.token
        assert store.wait_for(saved, timeout_seconds=0) is store
        nothing = orders.execute("1", lambda _: [])
        assert nothing.token is None
        assert store.wait_for(nothing, timeout_seconds=0) is store

    def test_the_same_append_has_the_same_token(self, store: EventStore) -> None:
        events = numbered(2)
        first = store.append("order-1", events, expected_version=0)
        assert store.append("order-1", events, expected_version=0).token == first.token

    def test_an_event_that_was_deleted_later_counts_as_there(self, store: EventStore) -> None:
        result = store.append("order-1", numbered(1), expected_version=0)
        tombstone = store.delete_stream("order-1", expected_version=1, reason="test")
        assert store.wait_for(result, timeout_seconds=0) is store
        assert store.wait_for(tombstone, timeout_seconds=0, settled=True) is store

    def test_an_event_that_never_comes_is_an_error_also_with_a_fallback(self, store: EventStore) -> None:
        result = store.append("order-1", numbered(1), expected_version=ANY)
        with pytest.raises(ZeroDivisionError), store.transaction() as transaction:
            rolled_back = transaction.append("order-1", numbered(1), expected_version=1)
            raise ZeroDivisionError
        other = PositionToken(result.position, uuid4(), "order-1", 1)
        beyond = PositionToken(result.position + 1_000_000, uuid4(), "order-1", 9)
        for at_least in (rolled_back, other, beyond):
            with pytest.raises(LogWentBack) as raised:
                store.wait_for(at_least, timeout_seconds=30, fallback=store)
            assert raised.value.position == at_least.position

    def test_a_joined_store_does_not_wait(self, store: EventStore) -> None:
        result = store.append("order-1", numbered(1), expected_version=0)
        with store.transaction() as transaction, pytest.raises(UnsuitableTransaction, match="while it waits"):
            transaction.wait_for(result)

    @pytest.mark.parametrize(
        ("at_least", "options", "named"),
        [
            (7, {}, "at_least"),
            ("7:order-1", {}, "at_least"),
            (object(), {}, "at_least"),
            (None, {"timeout_seconds": -1}, "timeout_seconds"),
            (None, {"settled": 1}, "settled"),
            (None, {"fallback": "primary"}, "fallback"),
        ],
    )
    def test_what_can_not_be_waited_for(
        self, store: EventStore, at_least: Any, options: dict[str, Any], named: str
    ) -> None:
        with pytest.raises(InvalidInput, match=named):
            store.wait_for(at_least, **options)
