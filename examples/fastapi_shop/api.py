"""The API: orders are placed, paid, listed, and followed as they change."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field
from sqlalchemy import select

from eventstore import EventFilter
from eventstore.repository import LoadedAggregate
from fastapi_shop.database import Database
from fastapi_shop.following import After, following
from fastapi_shop.order import PRICES_CENTS, Order
from fastapi_shop.ordering import execute
from fastapi_shop.read_models import CustomerRow, OrderRow

NEWEST = 50

api = APIRouter()


def database_of(request: Request) -> Database:
    """Return the database of the application."""
    database: Database = request.app.state.database
    return database


Shop = Annotated[Database, Depends(database_of)]


class NewOrder(BaseModel):
    """What a customer sends to place an order."""

    customer: str = Field(min_length=1, max_length=80, pattern=r"^\S.*$")
    quantities: dict[str, Annotated[int, Field(ge=1, le=99)]] = Field(min_length=1)


class ShownOrder(BaseModel):
    """An order, as it is shown."""

    id: UUID
    version: int
    status: str
    customer: str
    total_cents: int


@api.put("/orders/{order_id}")
async def place(shop: Shop, order_id: UUID, new: NewOrder) -> ShownOrder:
    """Place an order. The client chooses its number, so that it can send it again, and it is one order."""
    if unknown := new.quantities.keys() - PRICES_CENTS.keys():
        raise HTTPException(422, f"There is no {min(unknown)}.")
    return _shown(
        order_id,
        await execute(shop, order_id, lambda order: order.place(new.customer, new.quantities), must_exist=False),
    )


@api.post("/orders/{order_id}/payment")
async def pay(shop: Shop, order_id: UUID) -> ShownOrder:
    """Pay an order."""
    return _shown(order_id, await execute(shop, order_id, Order.pay))


@api.get("/orders/{order_id}")
async def show(shop: Shop, order_id: UUID) -> ShownOrder:
    """Show an order."""
    return _shown(order_id, await shop.orders.load(order_id))


@api.get("/orders")
async def index(shop: Shop) -> list[ShownOrder]:
    """List some orders, from their table."""
    async with shop.sessions() as session:
        rows = await session.scalars(select(OrderRow).limit(NEWEST))
        return [ShownOrder.model_validate(row, from_attributes=True) for row in rows]


@api.get("/customers")
async def customers(shop: Shop) -> list[dict[str, str | int]]:
    """List who has spent most."""
    async with shop.sessions() as session:
        rows = await session.scalars(select(CustomerRow).order_by(CustomerRow.spent_cents.desc()).limit(NEWEST))
        return [{"name": row.name, "orders": row.orders_placed, "spent_cents": row.spent_cents} for row in rows]


@api.get("/orders/{order_id}/events")
async def follow_order(shop: Shop, order_id: UUID, after: After) -> StreamingResponse:
    """Send what has happened to an order, and then what happens."""
    return following(shop.store, EventFilter(stream_ids=[shop.orders.stream_id(order_id)]), after)


@api.get("/events")
async def follow_all(shop: Shop, after: After) -> StreamingResponse:
    """Send the same of all orders, in the one global order."""
    return following(shop.store, EventFilter(categories=[shop.orders.category]), after)


@api.get("/health")
async def health(shop: Shop, response: Response) -> dict[str, str | bool]:
    """Say whether the database answers."""
    report = await shop.store.health(timeout_seconds=2)
    response.status_code = 200 if report.ok else 503
    return {"ok": report.ok}


def _shown(order_id: UUID, order: LoadedAggregate[Order]) -> ShownOrder:
    placed = order.state.placed
    if placed is None:  # a command must have placed it
        raise HTTPException(404, "There is no such order.")
    return ShownOrder(
        id=order_id,
        version=order.version,
        status=order.state.status,
        customer=placed.customer,
        total_cents=placed.total_cents,
    )
