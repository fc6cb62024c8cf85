"""With Django's TransactionTestCase: tests commit, and the tables are emptied after each. Projections need that."""

from io import StringIO

from django.core.management import call_command
from django.test import TransactionTestCase

from django_shop import shop
from django_shop.models import Sales
from django_shop.orders import OrderPlaced
from django_shop.views import PRICES
from eventstore.contrib.django import get_store


class SalesTest(TransactionTestCase):
    def sell(self, *order_ids: str) -> None:
        for order_id in order_ids:
            shop.place(order_id, OrderPlaced("Ada", "teapot", 1, PRICES["teapot"]))
            shop.pay(order_id)

    def test_paid_orders_are_counted_once(self) -> None:
        self.sell("1", "2")
        shop.place("3", OrderPlaced("Grace", "tea", 1, PRICES["tea"]))
        for _ in range(2):
            call_command("run_projections", once=True, stdout=StringIO())
        self.assertEqual(list(Sales.objects.values_list("article", "orders")), [("teapot", 2)])

    def test_tables_are_empty_at_first(self) -> None:
        self.assertEqual(list(get_store().read_all()), [])
        self.sell("1")
        call_command("run_projections", once=True, stdout=StringIO())
        self.assertEqual(Sales.objects.get().orders, 1)
