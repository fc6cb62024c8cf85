"""The shop's own tables.

`OrderRow` is written in the transaction of the events, so it is right at any time. `CustomerRow` is written by a
worker, a moment later: many orders change one row of it, and would wait for each other.
"""

from sqlalchemy import Connection, String
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from eventstore import EventFilter, RecordedEvent
from eventstore.projections import Projection


class Table(DeclarativeBase):
    """What the tables have in common."""


class OrderRow(Table):
    """An order, as lists need it."""

    __tablename__ = "orders"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    customer: Mapped[str] = mapped_column(String(80))
    status: Mapped[str] = mapped_column(String(20))
    total_cents: Mapped[int]
    version: Mapped[int]


class CustomerRow(Table):
    """What a customer has ordered, and spent."""

    __tablename__ = "customers"

    name: Mapped[str] = mapped_column(String(80), primary_key=True)
    orders_placed: Mapped[int] = mapped_column(default=0)
    spent_cents: Mapped[int] = mapped_column(default=0)


def _session(connection: Connection) -> Session:
    return Session(bind=connection)


customers = Projection("customers", EventFilter(categories=["order"]), session=_session)


@customers.on("order-placed")
def count_order(event: RecordedEvent, session: Session) -> None:
    """Count it for its customer."""
    _customer(session, event.data.customer).orders_placed += 1


@customers.on("order-paid")
def add_amount(event: RecordedEvent, session: Session) -> None:
    """Add it to what the customer has spent."""
    _customer(session, event.data.customer).spent_cents += event.data.amount_cents


def _customer(session: Session, name: str) -> CustomerRow:
    row = session.get(CustomerRow, name)
    if row is None:
        row = CustomerRow(name=name, orders_placed=0, spent_cents=0)
        session.add(row)
    return row
