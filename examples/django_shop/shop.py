"""What the shop does: events and read model in one transaction."""

from collections.abc import Callable
from typing import Any

from django.db import transaction

from django_shop.models import OrderSummary
from django_shop.orders import Order, OrderPlaced
from eventstore import Repository
from eventstore.contrib.django import get_store
from eventstore.repository import LoadedAggregate, retry_conflicts


def orders() -> Repository[Order]:
    """Return the orders, on Django's connection."""
    return Repository(get_store(), category="order", initial=Order, evolve=Order.after)


def place(order_id: str, placed: OrderPlaced) -> LoadedAggregate[Order]:
    """Place an order. Who does not know whether it was done does it again."""
    return _change(order_id, Order.place, placed)


def pay(order_id: str) -> LoadedAggregate[Order]:
    """Pay an order."""
    return _change(order_id, Order.pay)


def cancel(order_id: str, reason: str) -> LoadedAggregate[Order]:
    """Cancel an order."""
    return _change(order_id, Order.cancel, reason)


def _change(order_id: str, command: Callable[..., Any], *arguments: Any) -> LoadedAggregate[Order]:
    """Append what a command decides, and write the summary; repeat all of it if another writer was faster."""

    def in_one_transaction() -> LoadedAggregate[Order]:
        with transaction.atomic():
            saved = orders().execute(order_id, command, *arguments)
            loaded = orders().load(order_id)
            placed = loaded.state.placed
            if not saved.events or placed is None:
                return loaded  # without the lock of an append, another writer may be about to write a newer summary
            OrderSummary.objects.update_or_create(
                order_id=order_id,
                defaults={
                    "customer": placed.customer,
                    "article": placed.article,
                    "total": loaded.state.total,
                    "status": loaded.state.status,
                    "version": loaded.version,
                },
            )
            return loaded

    return retry_conflicts(in_one_transaction)
