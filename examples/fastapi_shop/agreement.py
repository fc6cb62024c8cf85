"""Whether the tables say what the events say: for the tests, and for whoever wants to be sure."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from eventstore import EventFilter, EventStore
from fastapi_shop.order import Order, OrderPaid, OrderPlaced
from fastapi_shop.read_models import CustomerRow, OrderRow

Customers = dict[str, tuple[int, int]]
"""Orders placed, and cents spent, by name."""
Orders = dict[str, tuple[str, str, int, int]]
"""Customer, status, total in cents and version, by order."""


def in_tables(store: EventStore) -> tuple[Orders, Customers]:
    """Return what the tables say."""
    with Session(store.engine) as session:
        orders = session.scalars(select(OrderRow))
        customers = session.scalars(select(CustomerRow))
        return (
            {row.id: (row.customer, row.status, row.total_cents, row.version) for row in orders},
            {row.name: (row.orders_placed, row.spent_cents) for row in customers},
        )


def in_events(store: EventStore) -> tuple[Orders, Customers]:
    """Return the same from the events themselves.

    Raises:
        ValueError: A stream does not have each version once, in order.
    """
    folded: dict[str, tuple[Order, int]] = {}
    customers: Customers = {}
    for event in store.read_all(EventFilter(categories=["order"])):
        order, version = folded.get(event.stream_id, (Order(), 0))
        if event.version != version + 1:
            msg = f"{event.stream_id} goes from version {version} to {event.version}"
            raise ValueError(msg)
        folded[event.stream_id] = (order.after(event), event.version)
        placed, spent = customers.get(event.data.customer, (0, 0))
        match event.data:
            case OrderPlaced(customer=customer):
                customers[customer] = (placed + 1, spent)
            case OrderPaid(customer=customer, amount_cents=cents):
                customers[customer] = (placed, spent + cents)
    orders: Orders = {
        stream_id.removeprefix("order-"): (order.placed.customer, order.status, order.placed.total_cents, version)
        for stream_id, (order, version) in folded.items()
        if order.placed
    }
    return orders, customers
