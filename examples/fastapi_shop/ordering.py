"""What is done with an order, in one transaction: its events, and its row in the table."""

from collections.abc import Callable, Iterable
from uuid import UUID

from sqlalchemy import insert, update
from sqlalchemy.ext.asyncio import AsyncConnection

from eventstore.contrib.asyncio import retry_conflicts
from eventstore.repository import LoadedAggregate
from fastapi_shop.database import Database
from fastapi_shop.order import Order
from fastapi_shop.read_models import OrderRow


async def execute(
    database: Database, order_id: UUID, command: Callable[[Order], Iterable[object]], *, must_exist: bool = True
) -> LoadedAggregate[Order]:
    """Let a command decide on an order; commit its events and the order's row together, and return the order.

    If another request was quicker, the transaction is rolled back, and all of it is done again.

    Raises:
        Refused: A rule speaks against it. Nothing was written.
        AggregateNotFound: There is no such order, and there must be.
    """

    async def attempt() -> LoadedAggregate[Order]:
        async with database.store.transaction() as transaction:
            orders = database.orders.join(transaction)
            saved = await orders.execute(order_id, command, must_exist=must_exist)
            order = await orders.load(order_id)
            if saved.events:
                await _write_row(await transaction.connection(), order_id, order)
            return order

    return await retry_conflicts(attempt)


async def _write_row(connection: AsyncConnection, order_id: UUID, order: LoadedAggregate[Order]) -> None:
    state = order.state
    changed = {"status": state.status, "version": order.version}
    if order.version == 1 and state.placed:
        placed = {"id": str(order_id), "customer": state.placed.customer, "total_cents": state.placed.total_cents}
        await connection.execute(insert(OrderRow).values(**placed, **changed))
    else:
        await connection.execute(update(OrderRow).where(OrderRow.id == str(order_id)).values(**changed))
