"""The API: orders are placed, paid, listed, and followed as they change."""

from collections.abc import AsyncIterator
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Header, HTTPException, Request, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel, Field
from sqlalchemy import select

from eventstore import EventFilter, PositionToken, RecordedEvent
from eventstore.errors import InvalidInput
from eventstore.repository import LoadedAggregate
from fastapi_shop.database import Database
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


def last_event(last_event_id: Annotated[str | None, Header()] = None) -> PositionToken | int:
    """Return where the client goes on: it has sent the id of the last event that it has received."""
    if not last_event_id:
        return 0
    try:
        return PositionToken.parse(last_event_id)
    except InvalidInput as error:
        raise HTTPException(422, str(error)) from None


After = Annotated[PositionToken | int, Depends(last_event)]


@api.get("/orders/{order_id}/events", response_class=EventSourceResponse)
async def follow_order(shop: Shop, order_id: UUID, after: After) -> AsyncIterator[ServerSentEvent]:
    """Send what has happened to an order, and then what happens, until the client goes away."""
    async for event in shop.store.subscribe(
        EventFilter(stream_ids=[shop.orders.stream_id(order_id)]), after_position=after
    ):
        yield _sent(event)


@api.get("/events", response_class=EventSourceResponse)
async def follow_all(shop: Shop, after: After) -> AsyncIterator[ServerSentEvent]:
    """Send the same of all orders, in the one global order."""
    async for event in shop.store.subscribe(EventFilter(categories=[shop.orders.category]), after_position=after):
        yield _sent(event)


@api.get("/health")
async def health(shop: Shop, response: Response) -> dict[str, str | bool]:
    """Say whether the database answers."""
    report = await shop.store.health(timeout_seconds=2)
    response.status_code = 200 if report.ok else 503
    return {"ok": report.ok}


def _sent(event: RecordedEvent) -> ServerSentEvent:
    return ServerSentEvent(event=event.event_type, data=event.data, id=str(event.token))


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
