"""The tables that pages are made of.

`OrderRow` is written in the transaction of the events, so it is right at any time. `CustomerRow` is written by a
worker, a moment later: many orders change one row of it, and would wait for each other.
"""

from sqlalchemy import String
from sqlalchemy.orm import Mapped, Session, mapped_column

from eventstore import EventFilter, RecordedEvent
from eventstore.projections import Projection
from flask_shop.database import db


class OrderRow(db.Model):  # type: ignore[name-defined,misc]  # made by Flask-SQLAlchemy
    """An order, as lists need it."""

    __tablename__ = "orders"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    customer: Mapped[str] = mapped_column(String(80))
    status: Mapped[str] = mapped_column(String(20))
    total_cents: Mapped[int]
    version: Mapped[int]
    position: Mapped[int] = mapped_column(index=True)


class CustomerRow(db.Model):  # type: ignore[name-defined,misc]  # made by Flask-SQLAlchemy
    """What a customer has ordered, and spent."""

    __tablename__ = "customers"

    name: Mapped[str] = mapped_column(String(80), primary_key=True)
    orders_placed: Mapped[int] = mapped_column(default=0)
    spent_cents: Mapped[int] = mapped_column(default=0)


customers = Projection(
    "customers", EventFilter(categories=["order"]), session=lambda connection: Session(bind=connection)
)


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
