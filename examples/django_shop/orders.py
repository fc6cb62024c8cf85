"""What can happen to an order, what an order is, and what can be done with it: it knows of no database."""

from dataclasses import dataclass, replace
from decimal import Decimal

from eventstore import EventTypes, RecordedEvent

event_types = EventTypes()


@event_types.register("order-placed")
@dataclass(frozen=True)
class OrderPlaced:
    """A customer has ordered."""

    customer: str
    article: str
    quantity: int
    price: Decimal


@event_types.register("order-paid")
@dataclass(frozen=True)
class OrderPaid:
    """The money has come."""

    amount: Decimal


@event_types.register("order-cancelled")
@dataclass(frozen=True)
class OrderCancelled:
    """The customer does not want it any more."""

    reason: str


class OrderRefused(Exception):
    """What was asked for can't be done with the order as it is."""


@dataclass(frozen=True)
class Order:
    """The state of an order. Commands return the events that follow; what was done already is not done again."""

    status: str = "new"
    placed: OrderPlaced | None = None

    @property
    def total(self) -> Decimal:
        """What it costs."""
        return self.placed.price * self.placed.quantity if self.placed else Decimal(0)

    def after(self, event: RecordedEvent) -> "Order":
        """Return the order as it is after an event."""
        match event.data:
            case OrderPlaced() as placed:
                return replace(self, status="placed", placed=placed)
            case OrderPaid():
                return replace(self, status="paid")
            case OrderCancelled():
                return replace(self, status="cancelled")
        return self

    def place(self, placed: OrderPlaced) -> list[object]:
        """Place it."""
        if self.placed == placed:
            return []
        if self.placed is not None:
            raise OrderRefused("There is another order of this number.")
        return [placed]

    def pay(self) -> list[object]:
        """Pay all of it."""
        if self.status == "paid":
            return []
        if self.status != "placed":
            raise OrderRefused(f"An order that is {self.status} can't be paid.")
        return [OrderPaid(self.total)]

    def cancel(self, reason: str) -> list[object]:
        """Cancel it, unless it is paid."""
        if self.status == "cancelled":
            return []
        if self.status != "placed":
            raise OrderRefused(f"An order that is {self.status} can't be cancelled.")
        return [OrderCancelled(reason)]
