"""An order: what can happen to it, and the rules. Nothing here knows of a database, of the web, or of asyncio."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, Literal

from pydantic import BaseModel

from eventstore import EventTypes, RecordedEvent

PRICES_CENTS: Final = {"tea": 420, "teapot": 2490, "cup": 980}

event_types = EventTypes()


@event_types.register("order-placed")
class OrderPlaced(BaseModel, frozen=True):
    """A customer has placed it: so many of each article, at the prices of that day."""

    customer: str
    quantities: dict[str, int]
    total_cents: int


@event_types.register("order-paid")
class OrderPaid(BaseModel, frozen=True):
    """The customer has paid all of it."""

    customer: str
    amount_cents: int


class Refused(Exception):
    """A rule speaks against it."""


@dataclass(frozen=True)
class Order:
    """What its events have made of it.

    Each command may be repeated: a client that has got no answer sends it again, and nothing happens twice.
    """

    status: Literal["new", "placed", "paid"] = "new"
    placed: OrderPlaced | None = None

    def after(self, event: RecordedEvent) -> "Order":
        """Return the order after one more event."""
        match event.data:
            case OrderPlaced():
                return replace(self, status="placed", placed=event.data)
            case OrderPaid():
                return replace(self, status="paid")
        return self

    def place(self, customer: str, quantities: dict[str, int]) -> Iterator[object]:
        """Place it, once: the number of an order belongs to what was placed by it."""
        if self.placed is None:
            total = sum(PRICES_CENTS[article] * quantity for article, quantity in quantities.items())
            yield OrderPlaced(customer=customer, quantities=quantities, total_cents=total)
        elif (customer, quantities) != (self.placed.customer, self.placed.quantities):
            raise Refused("There is another order of this number.")

    def pay(self) -> Iterator[object]:
        """Pay all of it."""
        if self.placed is not None and self.status == "placed":
            yield OrderPaid(customer=self.placed.customer, amount_cents=self.placed.total_cents)
