"""The pages and tables of the shop, on SQLite and PostgreSQL."""

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError

from eventstore import migrations
from eventstore.projections import ProjectionAdmin, Worker
from eventstore.testing.scenario import given
from flask_shop import command_line, create_app, ordering
from flask_shop.agreement import customers_in_events, customers_in_table, orders_in_events, orders_in_table
from flask_shop.database import db, events
from flask_shop.order import Line, Order, OrderCancelled, OrderPaid, OrderPlaced, Refused
from flask_shop.read_models import OrderRow, customers

SCRIPT = "<script>document.title = 'owned'</script>"
TEA = (Line("tea", 2, 420),)


def place(client: FlaskClient, customer: str = "Ada", order_id: str | None = None, **quantities: int) -> str:
    """Place an order, and return its address."""
    form = {"order_id": order_id or str(uuid4()), "customer": customer, **(quantities or {"tea": 2})}
    response = client.post("/orders", data=form)
    assert response.status_code == 303, response.text
    return response.location


def agree(shop: Flask) -> dict[str, Any]:
    """Check that table and events say the same, and return it."""
    with shop.app_context():
        assert orders_in_table() == orders_in_events()
        return orders_in_table()


@pytest.mark.slow
def test_an_order_is_placed_paid_and_shown_with_its_history(shop: Flask, client: FlaskClient) -> None:
    page = place(client, tea=2, cup=1)
    assert client.post(f"{page}/pay", headers={"X-Request-ID": "request-19"}).location == page
    (order,) = agree(shop).values()
    assert order == ("Ada", "paid", 1820, 2)
    shown = client.get(page).text
    for text in ("order-placed", "order-paid", "€ 18.20", "POST /orders/&lt;uuid:order_id&gt;/pay", "request-19"):
        assert text in shown
    assert "€ 18.20" in client.get("/").text


def test_the_browser_of_streams_asks_for_its_password(shop: Flask, client: FlaskClient) -> None:
    order_id = place(client).rpartition("/")[2]
    assert client.get("/events/").status_code == 403
    shop.config["BROWSER_PASSWORD"] = "tea"  # noqa: S105  # of the test
    assert client.get("/events/").status_code == 401
    assert client.get("/events/", auth=("anyone", "coffee")).status_code == 403
    shown = client.get(f"/events/state?stream=order-{order_id}", auth=("anyone", "tea")).text
    assert "Ada" in shown


def test_an_order_is_cancelled(shop: Flask, client: FlaskClient) -> None:
    page = place(client)
    assert client.post(f"{page}/cancel", data={"reason": "too late"}).status_code == 303
    assert [order[1] for order in agree(shop).values()] == ["cancelled"]
    assert client.post(f"{page}/pay").status_code == 409
    assert [order[3] for order in agree(shop).values()] == [2]


@pytest.mark.slow
def test_what_is_sent_again_happens_once(shop: Flask, client: FlaskClient) -> None:
    order_id = str(uuid4())
    page = place(client, order_id=order_id)
    assert place(client, order_id=order_id) == page
    for _ in range(2):
        assert client.post(f"{page}/pay").status_code == 303
    assert [order[3] for order in agree(shop).values()] == [2]
    other = client.post("/orders", data={"order_id": order_id, "customer": "Grace", "tea": 1})
    assert (other.status_code, "another order" in other.text) == (409, True)


def test_what_customers_write_is_shown_and_not_executed(client: FlaskClient) -> None:
    page = place(client, customer=SCRIPT)
    client.post(f"{page}/cancel", data={"reason": SCRIPT})
    for address, times in (("/", 1), (page, 3)):  # the heading, and both payloads
        shown = client.get(address).text
        assert "<script" not in shown
        assert shown.count("&lt;script&gt;document.title") == times


def test_a_wrong_form_is_refused(shop: Flask, client: FlaskClient) -> None:
    too_long, no_text = "x" * 81, "a\0b"
    wrong: list[dict[str, Any]] = [{"order_id": "7"}, *({"customer": text} for text in (" ", too_long, no_text))]
    wrong += [{"tea": quantity} for quantity in (0, "-1", "100", "x")]
    for fields in wrong:
        form = {"order_id": str(uuid4()), "customer": "Ada", "tea": 1, **fields}
        assert client.post("/orders", data=form).status_code == 400, fields
    assert client.get(f"/orders/{uuid4()}").status_code == 404
    assert agree(shop) == {}


def test_a_failure_between_events_and_table_leaves_neither(
    shop: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OperationalError("merge", {}, Exception())

    monkeypatch.setattr(ordering, "OrderRow", fail)
    with pytest.raises(OperationalError):
        place(client)
    assert agree(shop) == {}


def test_the_one_who_is_late_decides_again(shop: Flask, client: FlaskClient) -> None:
    page = place(client)
    calls = []

    def pay_slowly(order: Order) -> list[object]:
        calls.append(order.status)
        if len(calls) == 1:
            db.session.rollback()  # on SQLite, too, somebody else may write meanwhile
            assert client.post(f"{page}/pay").status_code == 303
        return list(order.pay())

    with shop.app_context():
        ordering.execute(page.rpartition("/")[2], pay_slowly)
    assert calls == ["placed", "paid"]
    assert [order[3] for order in agree(shop).values()] == [2]


@pytest.mark.slow
def test_the_worker_keeps_the_table_of_customers(shop: Flask, client: FlaskClient) -> None:
    client.post(f"{place(client, tea=1)}/pay")
    place(client, cup=1)
    place(client, customer="Grace")
    with shop.app_context(), Worker(events.store, customers) as worker:
        worker.run_until_caught_up()
        assert customers_in_table() == customers_in_events() == {"Ada": (2, 420), "Grace": (1, 0)}
    assert "€ 4.20" in client.get("/customers").text


def test_alembic_finds_nothing_to_do(shop: Flask) -> None:
    with shop.app_context(), db.engine.connect() as connection:
        options = {"include_name": migrations.exclude_tables(), "compare_type": True}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, db.metadata) == []


@pytest.mark.slow
def test_its_commands_make_the_tables(tmp_path: Path) -> None:
    run = create_app(f"sqlite:///{tmp_path}/shop.db").test_cli_runner()
    assert run.invoke(args=["eventstore", "check"]).exit_code == 3, "there are no tables"
    for command in (["create-tables"], ["create-tables"], ["eventstore", "check"]):
        done = run.invoke(args=command)
        assert done.exit_code == 0, done.output


@pytest.mark.slow
def test_one_command_starts_all_of_it(shop: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    def visit(_: str, __: int, app: Flask, *, threaded: bool) -> None:
        client = app.test_client()
        client.post(f"{place(client, tea=1)}/pay")
        with app.app_context():
            newest = db.session.scalars(select(func.max(OrderRow.position))).one()
            ProjectionAdmin(events.store).wait_for("customers", newest, timeout_seconds=30)
        assert "€ 4.20" in client.get("/customers").text

    monkeypatch.setattr(command_line, "run_simple", visit)
    started = shop.test_cli_runner().invoke(args=["start"], catch_exceptions=False)
    assert started.exit_code == 0, started.output


@pytest.mark.slow
def test_the_rules_of_an_order(client: FlaskClient, shop: Flask) -> None:
    with shop.test_request_context():
        orders = ordering.orders()
        placed, paid, cancelled = OrderPlaced("Ada", TEA), OrderPaid("Ada", 840), OrderCancelled("too late")
        given(orders).when(lambda order: order.place("Ada", TEA)).then(placed)
        given(orders, placed).when(lambda order: order.place("Ada", TEA)).then_nothing()
        given(orders, placed).when(lambda order: order.place("Grace", TEA)).then_raises(Refused)
        given(orders, placed).when(Order.pay).then(paid)
        given(orders, placed, paid).when(Order.pay).then_nothing()
        given(orders, placed, paid).when(lambda order: order.cancel("x")).then_raises(Refused)
        given(orders, placed).when(lambda order: order.cancel("too late")).then(cancelled)
        given(orders, placed, cancelled).when(Order.pay).then_raises(Refused)
