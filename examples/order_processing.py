"""A small shop that keeps its orders as events.

Run it:                 python examples/order_processing.py
On PostgreSQL:          DATABASE_URL=postgresql://user@host/database python examples/order_processing.py

Without DATABASE_URL it writes to orders.db in the current folder. Run it as often as you like: every run adds orders of
its own.
"""

import os
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from uuid import uuid4

from eventstore import NO_STREAM, ConcurrencyConflict, EventStore, EventTypes, RecordedEvent, migrations

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
    """The state of an order."""

    customer: str = ""
    items: tuple[ItemAdded, ...] = ()
    paid: Decimal = Decimal(0)

    @property
    def total(self) -> Decimal:
        """What the items cost together."""
        return sum((item.price * item.quantity for item in self.items), Decimal(0))

    def after(self, event: object) -> "Order":
        """Return the order as it is after an event."""
        match event:
            case OrderPlaced(customer):
                return replace(self, customer=customer)
            case ItemAdded():
                return replace(self, items=(*self.items, event))
            case ItemRemoved(article):
                return replace(self, items=tuple(item for item in self.items if item.article != article))
            case OrderPaid(amount):
                return replace(self, paid=self.paid + amount)
        return self

    def __str__(self) -> str:
        items = ", ".join(f"{item.quantity} x {item.article}" for item in self.items) or "nothing"
        payment = "paid" if self.paid and self.paid >= self.total else "not paid"
        return f"{items} = {self.total} EUR, {payment}"


def fold(events: Iterable[RecordedEvent]) -> tuple[Order, int]:
    """Return the state after these events, and the version of the last."""
    order, version = Order(), 0
    for event in events:
        order, version = order.after(event.data), event.version
    return order, version


# --- the four parts


def place_orders(store: EventStore, run: str) -> str:
    """Place three orders; return the stream of the last."""
    heading("1", "Placing orders", "Each order is a stream of events. Nothing is ever overwritten.")
    baskets = {
        "Ada": [ItemAdded("tea", Decimal("4.20")), ItemAdded("teapot", Decimal("24.90"))],
        "Grace": [ItemAdded("compiler", Decimal("99.00"))],
        "Barbara": [ItemAdded("notebook", Decimal("3.50"), 4), ItemAdded("pencil", Decimal("0.80"), 10)],
    }
    stream_id = ""
    for number, (customer, items) in enumerate(baskets.items(), start=1):
        stream_id = f"order-{run}-{number}"
        result = store.append(stream_id, [OrderPlaced(customer), *items], expected_version=NO_STREAM)
        order, _ = fold(store.read_stream(stream_id))
        print(f"  {stream_id}  version {result.version}  {customer:8} {order}")
    return stream_id


def resolve_a_conflict(store: EventStore, stream_id: str) -> None:
    """Let two clerks change one order, both starting from the same version."""
    heading("2", "Two clerks, one order", "Both open it at the same version. The second must not act on old news.")
    order, version = fold(store.read_stream(stream_id))
    print(f"  Ann and Ben open {stream_id} at version {version}: {order}")

    result = store.append(stream_id, [ItemRemoved("pencil")], expected_version=version, metadata={"clerk": "Ann"})
    tell("Ann takes the pencils off", green("stored"), f"version {result.version}")

    payment = OrderPaid(order.total)
    try:
        store.append(stream_id, [payment], expected_version=version, metadata={"clerk": "Ben"})
    except ConcurrencyConflict as conflict:
        tell(f"Ben books {payment.amount} EUR", red("refused"), f"expected {conflict.expected}, is {conflict.actual}")

    order, version = fold(store.read_stream(stream_id))
    payment = OrderPaid(order.total)
    result = store.append(stream_id, [payment], expected_version=version, metadata={"clerk": "Ben"})
    tell(f"Ben looks again, books {payment.amount} EUR", green("stored"), f"version {result.version}")


def replay_history(store: EventStore, stream_id: str) -> None:
    """Show what the order was after each event."""
    heading("3", "The history", "How did the order come to be what it is? What was it at version 3?")
    order = Order()
    for event in store.read_stream(stream_id):
        order = order.after(event.data)
        who = event.metadata.get("clerk", "")
        print(f"  {event.version}  {event.event_type:13} {dim(f'{who:4}')} {order}")
    then, _ = fold(store.read_stream(stream_id, up_to_version=3))
    print(f"  At version 3 it was: {then}")


def use_a_snapshot(store: EventStore, run: str, count: int = 20_000) -> None:
    """Load a long stream with and without a snapshot."""
    heading("4", "A long stream", f"A loyalty card with {count:,} events, loaded from the first, then from a snapshot.")
    card = f"card-{run}"
    store.append(card, [PointsEarned(number % 7) for number in range(count)], expected_version=NO_STREAM)

    def load() -> tuple[int, int, int]:
        """Return points, version, and how many events were read."""
        snapshot = store.snapshots.load(card)
        points, version, read = (snapshot.state, snapshot.version, 0) if snapshot else (0, 0, 0)
        for event in store.read_stream(card, after_version=version):
            points, version, read = points + event.data.points, event.version, read + 1
        return points, version, read

    def timed(label: str) -> tuple[int, int]:
        began = time.perf_counter()
        points, version, read = load()
        milliseconds = (time.perf_counter() - began) * 1000
        print(f"  {label:17} {points:,} points at version {version:,}   {read:6,} events read   {milliseconds:8.1f} ms")
        return points, version

    points, version = timed("all events")
    store.snapshots.save(card, version=version, state=points)
    store.append(card, [PointsEarned(100)], expected_version=version)
    timed("with a snapshot")


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


def bold(text: str) -> str:
    """Return bold text."""
    return styled("1", text)


def dim(text: str) -> str:
    """Return grey text."""
    return styled("2", text)


def green(text: str) -> str:
    """Return green text."""
    return styled("32", text)


def red(text: str) -> str:
    """Return red text."""
    return styled("31", text)


def main() -> None:
    """Run all four parts."""
    url = os.environ.get("DATABASE_URL", "sqlite:///orders.db")
    with EventStore.from_url(url, event_types=event_types) as store:
        migrations.upgrade(store.engine)  # a deployment step in a real application
        run = uuid4().hex[:6]
        print(f"An event store on {bold(store.engine.dialect.name)}: {store.engine.url}")
        stream_id = place_orders(store, run)
        resolve_a_conflict(store, stream_id)
        replay_history(store, stream_id)
        use_a_snapshot(store, run)
        print(f"\nAll of it is stored: read it back with store.read_stream({stream_id!r}).")


if __name__ == "__main__":
    main()
