"""An order: what can happen to it, and the rules. Nothing here knows of a database or of the web."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from eventstore import EventTypes, RecordedEvent

event_types = EventTypes()


@dataclass(frozen=True)
class Line:
    """So many of an article, at a price for each of them."""

    article: str
    quantity: int
    price_cents: int


@event_types.register("order-placed")
@dataclass(frozen=True)
class OrderPlaced:
    """A customer has placed it."""

    customer: str
    lines: tuple[Line, ...]


@event_types.register("order-paid")
@dataclass(frozen=True)
class OrderPaid:
    """The customer has paid all of it."""

    customer: str
    amount_cents: int


@event_types.register("order-cancelled")
@dataclass(frozen=True)
class OrderCancelled:
    """It won't be paid any more."""

    reason: str


class Refused(Exception):
    """A rule speaks against it."""


class Status(StrEnum):
    """What can be done with an order follows from it."""

    NEW = "new"
    PLACED = "placed"
    PAID = "paid"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class Order:
    """What its events have made of it.

    Each command may be repeated: a client that has got no answer sends it again, and nothing happens twice.
    """

    status: Status = Status.NEW
    customer: str = ""
    lines: tuple[Line, ...] = ()

    @property
    def total_cents(self) -> int:
        """What is to be paid."""
        return sum(line.quantity * line.price_cents for line in self.lines)

    def after(self, event: RecordedEvent) -> "Order":
        """Return the order after one more event."""
        match event.data:
            case OrderPlaced(customer, lines):
                return replace(self, status=Status.PLACED, customer=customer, lines=lines)
            case OrderPaid():
                return replace(self, status=Status.PAID)
            case OrderCancelled():
                return replace(self, status=Status.CANCELLED)
        return self

    def place(self, customer: str, lines: tuple[Line, ...]) -> Iterator[object]:
        """Place it, once: the number of an order belongs to what was placed by it."""
        if self.status is Status.NEW:
            yield OrderPlaced(customer, lines)
        elif (customer, lines) != (self.customer, self.lines):
            raise Refused("There is another order of this number.")

    def pay(self) -> Iterator[object]:
        """Pay all of it."""
        if self.status is Status.CANCELLED:
            raise Refused("A cancelled order can't be paid.")
        if self.status is Status.PLACED:
            yield OrderPaid(self.customer, self.total_cents)

    def cancel(self, reason: str) -> Iterator[object]:
        """Cancel it, as long as it is not paid."""
        if self.status is Status.PAID:
            raise Refused("A paid order can't be cancelled.")
        if self.status is Status.PLACED:
            yield OrderCancelled(reason)
