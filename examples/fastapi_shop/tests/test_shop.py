"""The shop, over HTTP, on SQLite and PostgreSQL."""

import asyncio
import json
import random
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from eventstore import NO_STREAM, EventStore, Repository
from eventstore.projections import Worker
from eventstore.testing.scenario import given
from fastapi_shop import create_app
from fastapi_shop.agreement import in_events, in_tables
from fastapi_shop.database import create_tables
from fastapi_shop.order import Order, OrderPaid, OrderPlaced, Refused, event_types
from fastapi_shop.read_models import customers
from fastapi_shop.tests.clients import Crowd, Follower, client_of
from fastapi_shop.tests.conftest import Server
from tests.fix_asyncio import eventually
from tests.waiting import until, waiters_for

LONGEST_STEPS = 120
"""After how many steps of the loop a request is cancelled at the latest; it takes about a hundred."""
TEA = {"customer": "Ada", "quantities": {"tea": 2}}


@pytest.mark.slow
def test_an_order_is_placed_paid_and_listed(server: Server) -> None:
    with httpx.Client(base_url=server.url) as client:
        path = f"/orders/{uuid4()}"
        placed = client.put(path, json=TEA, headers={"X-Request-ID": "request-19"})
        assert placed.json() | {"id": None} == {
            "id": None, "version": 1, "status": "placed", "customer": "Ada", "total_cents": 840,
        }  # fmt: skip
        for _ in range(2):
            assert client.post(f"{path}/payment").json()["version"] == 2
        shown = client.get(path).json()
        assert (shown["status"], client.get("/orders").json()) == ("paid", [shown])
        assert client.get("/health").json() == {"ok": True}
        first = next(iter(server.store.read_all()))
        assert first.metadata == {"correlation_id": "request-19", "route": f"PUT {path}"}
        with Worker(server.store, customers) as worker:
            worker.run_until_caught_up()
        assert client.get("/customers").json() == [{"name": "Ada", "orders": 1, "spent_cents": 840}]
    assert in_tables(server.store) == in_events(server.store)


@pytest.mark.slow
def test_what_is_refused_stores_nothing(server: Server) -> None:
    with httpx.Client(base_url=server.url) as client:
        path = f"/orders/{uuid4()}"
        wrong = {"customer": "Ada", "quantities": {"anvil": 1}}
        assert client.put(path, json=wrong).json() == {"detail": "There is no anvil."}
        assert client.put(path, json=TEA | {"quantities": {"tea": 0}}).status_code == 422
        assert client.put(path, json=TEA, headers={"X-Request-ID": "<script>"}).status_code == 422
        assert [client.get(path).status_code, client.post(f"{path}/payment").status_code] == [404, 404]
        assert client.get(f"{path}/events", headers={"Last-Event-ID": "7"}).status_code == 422
        assert list(server.store.read_all()) == []
        client.put(path, json=TEA)
        assert client.put(path, json=TEA | {"customer": "Grace"}).status_code == 409
        assert len(list(server.store.read_all())) == 1


@pytest.mark.slow
def test_the_rules() -> None:
    placed = OrderPlaced(customer="Ada", quantities={"tea": 2}, total_cents=840)
    paid = OrderPaid(customer="Ada", amount_cents=840)
    with EventStore.in_memory(event_types=event_types) as store:
        orders = Repository(store, category="order", initial=Order, evolve=Order.after)
        given(orders).when(Order.place, "Ada", {"tea": 2}).then(placed)
        given(orders, placed).when(Order.place, "Ada", {"tea": 2}).then_nothing()
        given(orders, placed).when(Order.place, "Eve", {"tea": 2}).then_raises(Refused)
        given(orders, placed).when(Order.pay).then(paid)
        given(orders, placed, paid).when(Order.pay).then_nothing()


@pytest.mark.slow
@pytest.mark.parametrize("any_url", [pytest.param("postgresql", marks=pytest.mark.postgresql)], indirect=True)
def test_a_request_that_waits_for_the_database_stops_no_other(server: Server) -> None:
    order_id = uuid4()
    placed = OrderPlaced(customer="Ada", quantities={"tea": 2}, total_cents=840)
    with ThreadPoolExecutor() as threads, server.store.transaction() as holding:
        holding.append(f"order-{order_id}", placed, expected_version=NO_STREAM)
        with waiters_for(holding.connection) as waiters:
            request = threads.submit(httpx.put, f"{server.url}/orders/{order_id}", json=TEA, timeout=60)
            until(waiters, request)
            assert httpx.get(f"{server.url}/orders").json() == []
            until(waiters, request)
    assert request.result().json()["version"] == 1


@pytest.mark.parametrize(
    ("orders", "followers"),
    [
        pytest.param(20, 3, marks=pytest.mark.slow),
        pytest.param(1000, 20, marks=[pytest.mark.long, pytest.mark.timeout(1800)]),
    ],
)
async def test_concurrent_requests_and_followers(server: Server, orders: int, followers: int) -> None:
    seed = random.randrange(2**32)
    began = time.perf_counter()
    following = [Follower(server.url, "/events", seed + number) for number in range(followers)]
    async with client_of(server.url) as client, asyncio.TaskGroup() as tasks:
        for each in following:
            tasks.create_task(each.follow())
        crowd = Crowd(client, seed)
        await crowd.order(orders)
        seconds = time.perf_counter() - began
        ids = [str(event.token) for event in server.store.read_all()]
        for each in following:
            each.last = ids[-1]
    print(
        f"seed {seed}: {orders} orders placed and paid in {seconds:.1f} s; {crowd.gone} requests "
        f"whose clients went away, {sum(each.connections for each in following)} connections of {followers} followers"
    )
    assert all(each.received == ids for each in following)
    with Worker(server.store, customers) as worker:
        worker.run_until_caught_up()
    assert in_tables(server.store) == in_events(server.store)
    assert in_tables(server.store)[0] == crowd.expected
    assert len(crowd.expected) == orders
    assert crowd.gone > 0
    await eventually(server.is_idle)


@pytest.mark.slow
async def test_an_order_is_followed_from_the_beginning(server: Server) -> None:
    path = f"/orders/{uuid4()}"
    async with client_of(server.url) as client:
        await client.put(f"/orders/{uuid4()}", json=TEA)
        await client.put(path, json=TEA)
        following = asyncio.create_task(received(client, f"{path}/events", 2))
        await client.post(f"{path}/payment")
        assert await following == [
            ("order-placed", TEA | {"total_cents": 840}), ("order-paid", {"customer": "Ada", "amount_cents": 840}),
        ]  # fmt: skip
    await eventually(server.is_idle)


async def received(client: httpx.AsyncClient, path: str, events: int) -> list[tuple[str, Any]]:
    """Return types and data of the next events."""
    found: list[tuple[str, Any]] = []
    event_type = ""
    async with client.stream("GET", path) as response:
        async for line in response.aiter_lines():
            if line.startswith("event: "):
                event_type = line.removeprefix("event: ")
            if line.startswith("data: "):
                found.append((event_type, json.loads(line.removeprefix("data: "))))
            if not line and len(found) == events:
                break
    return found


@pytest.mark.parametrize(
    "orders",
    [pytest.param(20, marks=pytest.mark.slow), pytest.param(500, marks=[pytest.mark.long, pytest.mark.timeout(900)])],
)
async def test_cancelled_requests_lose_no_connection_and_no_event(any_url: str, orders: int) -> None:
    """Handlers that are cancelled anywhere: by a server, or by a time limit. uvicorn itself goes on with them."""
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    create_tables(any_url)
    app = create_app(any_url)
    pool: Any = app.state.database.store.engine.sync_engine.pool
    cancelled, stored = 0, {}
    async with app.router.lifespan_context(app), client_of("http://shop", httpx.ASGITransport(app)) as client:
        for _ in range(orders):
            path = f"/orders/{UUID(int=chance.getrandbits(128))}"
            for method, url in (("PUT", path), ("POST", f"{path}/payment")):
                body: dict[str, Any] = {"json": TEA} if method == "PUT" else {}
                task = asyncio.create_task(client.request(method, url, **body))
                for _ in range(chance.randrange(LONGEST_STEPS)):
                    await asyncio.sleep(0)
                cancelled += task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
                response = await client.request(method, url, **body)
                stored[path.removeprefix("/orders/")] = response.json()["version"]
        await eventually(lambda: pool.checkedout() == 0)
    with EventStore.from_url(any_url, event_types=event_types) as store, Worker(store, customers) as worker:
        worker.run_until_caught_up()
        assert in_tables(store) == in_events(store)
        assert {order_id: facts[3] for order_id, facts in in_tables(store)[0].items()} == stored
    assert set(stored.values()) == {2}
    assert cancelled > orders / 2
