"""A small shop that keeps its orders as events.

Run it:                 python examples/order_processing.py
On PostgreSQL:          DATABASE_URL=postgresql://user@host/database python examples/order_processing.py

Without DATABASE_URL it writes to orders.db in the current folder. Run it as often as you like: every run adds orders of
its own.
"""

import os
import sys
import time
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from uuid import uuid4

from eventstore import NO_STREAM, ConcurrencyConflict, EventStore, EventTypes, RecordedEvent, Repository, migrations
from eventstore.repository import every

event_types = EventTypes()


# --- what can happen to an order: these are stored


@event_types.register("order-placed")
@dataclass(frozen=True)
class OrderPlaced:
    """A customer has ordered."""

    customer: str


@event_types.register("item-added")
@dataclass(frozen=True)
class ItemAdded:
    """An article was put on the order."""

    article: str
    price: Decimal
    quantity: int = 1


@event_types.register("item-removed")
@dataclass(frozen=True)
class ItemRemoved:
    """An article was taken off the order."""

    article: str


@event_types.register("order-paid")
@dataclass(frozen=True)
class OrderPaid:
    """The money has come."""

    amount: Decimal


@event_types.register("points-earned")
@dataclass(frozen=True)
class PointsEarned:
    """A customer's card was credited."""

    points: int


# --- what an order is: this is computed from what has happened


@dataclass(frozen=True)
class Order:
    """The state of an order, and what can be done with it."""

    customer: str = ""
    items: tuple[ItemAdded, ...] = ()
    paid: Decimal = Decimal(0)

    @property
    def total(self) -> Decimal:
        """What the items cost together."""
        return sum((item.price * item.quantity for item in self.items), Decimal(0))

    def after(self, event: RecordedEvent) -> "Order":
        """Return the order as it is after an event."""
        match event.data:
            case OrderPlaced(customer):
                return replace(self, customer=customer)
            case ItemAdded() as item:
                return replace(self, items=(*self.items, item))
            case ItemRemoved(article):
                return replace(self, items=tuple(item for item in self.items if item.article != article))
            case OrderPaid(amount):
                return replace(self, paid=self.paid + amount)
        return self

    def place(self, customer: str, items: list[ItemAdded]) -> list[object]:
        """Place it, with its items."""
        return [OrderPlaced(customer), *items]

    def pay(self) -> list[object]:
        """Pay what is due, if anything is."""
        return [OrderPaid(self.total - self.paid)] if self.total > self.paid else []

    def __str__(self) -> str:
        items = ", ".join(f"{item.quantity} x {item.article}" for item in self.items) or "nothing"
        payment = "paid" if self.paid and self.paid >= self.total else "not paid"
        return f"{items} = {self.total} EUR, {payment}"


# --- the four parts


def place_orders(orders: Repository[Order], run: str) -> str:
    """Place three orders; return the id of the last."""
    heading("1", "Placing orders", "Each order is a stream of events. Nothing is ever overwritten.")
    baskets = {
        "Ada": [ItemAdded("tea", Decimal("4.20")), ItemAdded("teapot", Decimal("24.90"))],
        "Grace": [ItemAdded("compiler", Decimal("99.00"))],
        "Barbara": [ItemAdded("notebook", Decimal("3.50"), 4), ItemAdded("pencil", Decimal("0.80"), 10)],
    }
    order_id = ""
    for number, (customer, items) in enumerate(baskets.items(), start=1):
        order_id = f"{run}-{number}"
        placed = orders.execute(order_id, Order.place, customer, items)
        print(f"  {placed.stream_id}  version {placed.version}  {customer:8} {orders.load(order_id).state}")
    return order_id


def resolve_a_conflict(orders: Repository[Order], order_id: str) -> None:
    """Let two clerks change one order, both starting from the same version."""
    heading("2", "Two clerks, one order", "Both open it at the same version. The second must not act on old news.")
    opened = orders.load(order_id)
    print(f"  Ann and Ben open {opened.stream_id} at version {opened.version}: {opened.state}")

    saved = orders.save(opened, [ItemRemoved("pencil")], metadata={"clerk": "Ann"})
    tell("Ann takes the pencils off", green("stored"), f"version {saved.version}")

    try:
        orders.save(opened, opened.state.pay(), metadata={"clerk": "Ben"})
    except ConcurrencyConflict as conflict:
        what = f"Ben books {opened.state.total} EUR"
        tell(what, red("refused"), f"expected {conflict.expected}, is {conflict.actual}")

    saved = orders.execute(order_id, Order.pay, metadata={"clerk": "Ben"})  # this looks again, as often as it takes
    tell(f"Ben looks again, books {saved.events[0].amount} EUR", green("stored"), f"version {saved.version}")


def replay_history(orders: Repository[Order], order_id: str) -> None:
    """Show what the order was after each event."""
    heading("3", "The history", "How did the order come to be what it is? What was it at version 3?")
    for event in orders.store.read_stream(orders.stream_id(order_id)):
        who = event.metadata.get("clerk", "")
        order = orders.load(order_id, version=event.version).state
        print(f"  {event.version}  {event.event_type:13} {dim(f'{who:4}')} {order}")
    print(f"  At version 3 it was: {orders.load(order_id, version=3).state}")


def use_a_snapshot(store: EventStore, run: str, count: int = 20_000) -> None:
    """Load a long stream with and without a snapshot."""
    heading("4", "A long stream", f"A loyalty card with {count:,} events, loaded from the first, then from a snapshot.")

    def add(points: int, event: RecordedEvent) -> int:
        return points + int(event.data.points)

    cards = Repository(store, category="card", initial=int, evolve=add, snapshots=every(1000))
    earned = [PointsEarned(number % 7) for number in range(count)]
    store.append(cards.stream_id(run), earned, expected_version=NO_STREAM)

    def show(label: str) -> None:
        began = time.perf_counter()
        card = cards.load(run)
        milliseconds = (time.perf_counter() - began) * 1000
        read = f"{card.version - card.snapshot_version:6,} events read"
        print(f"  {label:17} {card.state:,} points at version {card.version:,}   {read}   {milliseconds:8.1f} ms")

    show("all events")
    cards.refresh_snapshots()  # what was appended without the repository has none yet
    cards.execute(run, lambda _: [PointsEarned(100)])
    show("with a snapshot")


# --- the page


def heading(number: str, title: str, text: str) -> None:
    """Print what comes next."""
    print(f"\n{bold(f'{number}  {title}')}\n   {dim(text)}\n")


def tell(what: str, outcome: str, details: str) -> None:
    """Print what came of an attempt."""
    print(f"  {what:34} {outcome}: {details}")


def styled(code: str, text: str) -> str:
    """Return text in a terminal's colour, or plain where it is not shown in a terminal."""
    return f"\x1b[{code}m{text}\x1b[0m" if sys.stdout.isatty() and "NO_COLOR" not in os.environ else text


bold, dim, green, red = (partial(styled, code) for code in ("1", "2", "32", "31"))


def main() -> None:
    """Run all four parts."""
    url = os.environ.get("DATABASE_URL", "sqlite:///orders.db")
    with EventStore.from_url(url, event_types=event_types) as store:
        migrations.upgrade(store.engine)  # a deployment step in a real application
        run = uuid4().hex[:6]
        print(f"An event store on {bold(store.engine.dialect.name)}: {store.engine.url}")
        orders = Repository(store, category="order", initial=Order, evolve=Order.after)
        order_id = place_orders(orders, run)
        resolve_a_conflict(orders, order_id)
        replay_history(orders, order_id)
        use_a_snapshot(store, run)
        print(f"\nAll of it is stored: read it back with store.read_stream({orders.stream_id(order_id)!r}).")


if __name__ == "__main__":
    main()
