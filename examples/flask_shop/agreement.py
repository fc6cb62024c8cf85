"""Whether the tables say what the events say: for the tests, and for whoever wants to be sure."""

from sqlalchemy import select

from eventstore import EventFilter
from flask_shop.database import db, events
from flask_shop.order import Order, OrderPaid, OrderPlaced
from flask_shop.read_models import CustomerRow, OrderRow

OrderFacts = tuple[str, str, int, int]
"""Customer, status, total in cents, version."""


def orders_in_table() -> dict[str, OrderFacts]:
    """Return what the table of orders says, by order."""
    return {
        row.id: (row.customer, row.status, row.total_cents, row.version) for row in db.session.scalars(select(OrderRow))
    }


def orders_in_events() -> dict[str, OrderFacts]:
    """Return the same from the events themselves.

    Raises:
        ValueError: A stream does not have each version once, in order.
    """
    folded: dict[str, tuple[Order, int]] = {}
    for event in events.store.read_all(EventFilter(categories=["order"])):
        order, version = folded.get(event.stream_id, (Order(), 0))
        if event.version != version + 1:
            msg = f"{event.stream_id} goes from version {version} to {event.version}"
            raise ValueError(msg)
        folded[event.stream_id] = (order.after(event), event.version)
    return {
        stream_id.removeprefix("order-"): (order.customer, order.status.value, order.total_cents, version)
        for stream_id, (order, version) in folded.items()
    }


def customers_in_table() -> dict[str, tuple[int, int]]:
    """Return what the table of customers says: orders placed, and cents spent, by name."""
    return {row.name: (row.orders_placed, row.spent_cents) for row in db.session.scalars(select(CustomerRow))}


def customers_in_events() -> dict[str, tuple[int, int]]:
    """Return the same from the events themselves."""
    customers: dict[str, tuple[int, int]] = {}
    for event in events.store.read_all(EventFilter(categories=["order"])):
        placed, spent = customers.get(getattr(event.data, "customer", ""), (0, 0))
        match event.data:
            case OrderPlaced(customer):
                customers[customer] = (placed + 1, spent)
            case OrderPaid(customer, amount_cents):
                customers[customer] = (placed, spent + amount_cents)
    return customers
