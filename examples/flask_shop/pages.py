"""The pages: the list of orders, an order with its history, and the customers."""

import json
from typing import Any, Final
from uuid import UUID, uuid4

import msgspec
from flask import Blueprint, redirect, render_template, request, url_for
from sqlalchemy import select
from werkzeug.exceptions import BadRequest
from werkzeug.wrappers import Response

from eventstore import AggregateNotFound
from eventstore.contrib.flask import current_store
from flask_shop.database import db
from flask_shop.order import Line, Order, Refused, Status
from flask_shop.ordering import execute, orders
from flask_shop.read_models import CustomerRow, OrderRow

PRICES_CENTS: Final = {"tea": 420, "teapot": 2490, "cup": 980}
NEWEST: Final = 50
MOST: Final = 99
LONGEST_TEXT: Final = 80

pages = Blueprint("pages", __name__)


@pages.get("/")
def index() -> str:
    """Show the newest orders, and a form for one more.

    The form brings the number of the new order along. Sent twice, it is one order.
    """
    newest = db.session.scalars(select(OrderRow).order_by(OrderRow.position.desc()).limit(NEWEST))
    return render_template("orders.html", orders=newest, prices=PRICES_CENTS, most=MOST, new_id=uuid4())


@pages.post("/orders")
def place() -> Response:
    """Place an order."""
    order_id = _order_id(request.form.get("order_id", ""))
    customer = _text("customer")
    lines = tuple(
        Line(article, quantity, price) for article, price in PRICES_CENTS.items() if (quantity := _quantity(article))
    )
    if not lines:
        raise BadRequest("An order has at least one article.")
    execute(order_id, lambda order: order.place(customer, lines), must_exist=False)
    return _see(order_id)


@pages.post("/orders/<uuid:order_id>/pay")
def pay(order_id: UUID) -> Response:
    """Pay an order."""
    execute(str(order_id), Order.pay)
    return _see(str(order_id))


@pages.post("/orders/<uuid:order_id>/cancel")
def cancel(order_id: UUID) -> Response:
    """Cancel an order."""
    reason = _text("reason")
    execute(str(order_id), lambda order: order.cancel(reason))
    return _see(str(order_id))


@pages.get("/orders/<uuid:order_id>")
def show(order_id: UUID) -> str:
    """Show an order, and all that has happened to it."""
    order = orders().load(order_id)
    history = current_store.read_stream(order.stream_id)
    return render_template("order.html", order_id=order_id, order=order.state, history=history, status=Status)


@pages.get("/customers")
def customers() -> str:
    """Show who has spent most."""
    rows = db.session.scalars(select(CustomerRow).order_by(CustomerRow.spent_cents.desc()).limit(NEWEST))
    return render_template("customers.html", customers=rows)


@pages.errorhandler(Refused)
def refused(error: Refused) -> tuple[str, int]:
    """Say which rule speaks against it."""
    return render_template("problem.html", problem=str(error)), 409


@pages.errorhandler(BadRequest)
def wrong(error: BadRequest) -> tuple[str, int]:
    """Say what is wrong with the form."""
    return render_template("problem.html", problem=error.description), 400


@pages.errorhandler(AggregateNotFound)
def not_found(_: AggregateNotFound) -> tuple[str, int]:
    """Say that there is no such order."""
    return render_template("problem.html", problem="There is no such order."), 404


@pages.app_template_filter()
def money(cents: int) -> str:
    """Return an amount as people write it."""
    return f"€ {cents // 100:,}.{cents % 100:02}"


@pages.app_template_filter()
def readable(data: Any) -> str:
    """Return an event's data as text. The template escapes it: what customers write is in it."""
    return json.dumps(msgspec.to_builtins(data), indent=2, ensure_ascii=False)


def _order_id(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        raise BadRequest("The number of the order is missing.") from None


def _text(name: str) -> str:
    text = request.form.get(name, "").strip()
    if not text or len(text) > LONGEST_TEXT or not text.isprintable():
        raise BadRequest(f"The {name} is missing, too long, or no text.")
    return text


def _quantity(article: str) -> int:
    text = request.form.get(article) or "0"
    if not (text.isascii() and text.isdigit() and int(text[:9]) <= MOST):
        raise BadRequest(f"The quantity of {article} is a number up to {MOST}.")
    return int(text[:9])


def _see(order_id: str) -> Response:
    return redirect(url_for("pages.show", order_id=order_id), code=303)
