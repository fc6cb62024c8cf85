"""With Django's TestCase: each test is one transaction, rolled back at its end. Appends are in it, too."""

from typing import Any

from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import IntegrityError, transaction
from django.test import TestCase
from django.urls import reverse

from django_shop import shop
from django_shop.models import OrderSummary
from django_shop.orders import OrderPlaced, OrderRefused
from django_shop.views import PRICES
from eventstore import ConcurrencyConflict, NewEvent
from eventstore.contrib.django import events_appended, get_store

TEA = OrderPlaced("Ada", "tea", 2, PRICES["tea"])


class ShopTest(TestCase):
    def place(self, order_id: str = "1", **changes: object) -> Any:
        form = {"order_id": order_id, "customer": "Ada", "article": "tea", "quantity": 2, **changes}
        return self.client.post(reverse("place"), form)

    def test_an_order_is_placed_and_paid(self) -> None:
        self.assertRedirects(self.place(), reverse("history", args=["1"]))
        self.client.post(reverse("pay", args=["1"]))
        summary = OrderSummary.objects.get()
        self.assertEqual((summary.status, str(summary.total), summary.version), ("paid", "8.40", 2))
        events = [event.event_type for event in get_store().read_stream("order-1")]
        self.assertEqual(events, ["order-placed", "order-paid"])

    def test_the_browser_of_streams_is_for_superusers(self) -> None:
        self.place()
        self.assertRedirects(self.client.get("/events/"), "/admin/login/?next=%2Fevents%2F")
        self.client.force_login(get_user_model().objects.create_superuser("ada", password=""))
        self.assertContains(self.client.get("/events/stream?id=order-1"), "order-placed")
        self.assertContains(self.client.get("/events/state?stream=order-1"), "placed")

    def test_a_form_that_is_sent_twice_is_one_order(self) -> None:
        for _ in range(2):
            self.place()
            self.client.post(reverse("pay", args=["1"]))
        self.assertEqual(get_store().stream_version("order-1"), 2)
        self.assertEqual(self.place(customer="Eve").status_code, 409)

    def test_a_paid_order_is_not_cancelled(self) -> None:
        self.place()
        self.client.post(reverse("pay", args=["1"]))
        answer = self.client.post(reverse("cancel", args=["1"]), {"reason": "too late"})
        self.assertContains(answer, "An order that is paid can&#x27;t be cancelled.", status_code=409)
        self.assertEqual(OrderSummary.objects.get().status, "paid")

    def test_the_history_tells_who_and_why_and_escapes_it(self) -> None:
        self.place(customer="<script>alert(1)</script>")
        self.client.post(reverse("cancel", args=["1"]), {"reason": "<b>changed</b> my mind"})
        page = self.client.get(reverse("history", args=["1"]))
        self.assertContains(page, "&lt;script&gt;alert(1)&lt;/script&gt;")
        self.assertContains(page, "&lt;b&gt;changed&lt;/b&gt; my mind")
        self.assertContains(page, "a customer")
        self.assertNotContains(page, "<script>")
        self.assertContains(self.client.get("/"), "&lt;script&gt;alert(1)")

    def test_what_is_not_there_is_not_found_and_what_is_wrong_is_said(self) -> None:
        self.assertEqual(self.client.get(reverse("history", args=["9"])).status_code, 404)
        self.assertContains(self.place(quantity=0), "greater than or equal to 1", status_code=400)
        self.assertEqual(self.client.post(reverse("pay", args=["9"])).status_code, 409)

    def test_summary_and_events_are_one_transaction(self) -> None:
        with self.assertRaises(IntegrityError), transaction.atomic():
            shop.place("1", TEA)
            OrderSummary.objects.create(order_id="1", total=0, version=1)
        self.assertEqual((OrderSummary.objects.count(), get_store().stream_version("order-1")), (0, 0))

    def test_a_conflict_leaves_the_transaction_usable(self) -> None:
        shop.place("1", TEA)
        with self.assertRaises(ConcurrencyConflict):
            get_store().append("order-1", NewEvent("order-paid"), expected_version=0)
        self.assertEqual(shop.pay("1").version, 2)

    def test_what_waits_for_a_commit_is_captured(self) -> None:
        told: list[str] = []
        receiver = lambda **given: told.append(given["stream_id"])  # noqa: E731
        events_appended.connect(receiver)
        self.addCleanup(events_appended.disconnect, receiver)
        with self.captureOnCommitCallbacks(execute=True):
            shop.place("1", TEA)
            self.assertEqual(told, [])
        self.assertEqual(told, ["order-1"])

    def test_models_and_migrations_agree(self) -> None:
        call_command("makemigrations", check=True, dry_run=True, verbosity=0)

    def test_refusals_change_nothing(self) -> None:
        with self.assertRaises(OrderRefused):
            shop.cancel("1", "never placed")
        self.assertEqual(OrderSummary.objects.count(), 0)
