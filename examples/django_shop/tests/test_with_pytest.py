"""With pytest-django."""

import pytest

from django_shop import shop
from django_shop.models import OrderSummary
from django_shop.orders import OrderPlaced
from django_shop.views import PRICES
from eventstore.contrib.django import get_store

TEA = OrderPlaced("Ada", "tea", 2, PRICES["tea"])


@pytest.mark.django_db
def test_in_a_transaction_that_is_rolled_back(django_assert_max_num_queries: object) -> None:
    with django_assert_max_num_queries(20):  # type: ignore[operator]
        shop.place("1", TEA)
    assert OrderSummary.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_with_commits_that_are_undone_by_emptying_the_tables() -> None:
    shop.place("1", TEA)
    assert [event.stream_id for event in get_store().read_all()] == ["order-1"]


@pytest.mark.django_db
def test_nothing_is_left() -> None:
    assert (OrderSummary.objects.count(), get_store().stream_version("order-1")) == (0, 0)


def test_without_a_database_the_store_is_not_reached() -> None:
    with pytest.raises(RuntimeError, match="Database access not allowed"):
        get_store().stream_version("order-1")
