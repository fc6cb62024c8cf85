"""What is done with an order, in one transaction: its events, and its row in the table."""

from collections.abc import Callable, Iterable

from eventstore import Repository
from eventstore.contrib.flask import current_store
from eventstore.repository import retry_conflicts
from flask_shop.database import db
from flask_shop.order import Order
from flask_shop.read_models import OrderRow


def orders() -> Repository[Order]:
    """Return the orders, in the transaction of the session."""
    return Repository(current_store, category="order", initial=Order, evolve=Order.after)


def execute(order_id: str, command: Callable[[Order], Iterable[object]], *, must_exist: bool = True) -> None:
    """Let a command decide on an order; commit its events and the order's row together.

    If another writer was faster, the transaction is rolled back, and all of it is repeated.

    Raises:
        Refused: A rule speaks against it. Nothing was written.
        AggregateNotFound: There is no such order, and there must be.
    """

    def attempt() -> None:
        try:
            saved = orders().execute(order_id, command, must_exist=must_exist)
            if saved.events:
                order = orders().load(order_id).state
                db.session.merge(
                    OrderRow(
                        id=order_id,
                        customer=order.customer,
                        status=order.status.value,
                        total_cents=order.total_cents,
                        version=saved.version,
                        position=saved.position,
                    )
                )
            db.session.commit()
        except BaseException:
            db.session.rollback()
            raise

    retry_conflicts(attempt)
