"""Retries after a conflict, around what is awaited."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, TypeVarTuple

from eventstore.backends.contention import is_conflict
from eventstore.backends.tasks import spawn
from eventstore.common.validation import check_function
from eventstore.contrib.asyncio.repository import AsyncRepository
from eventstore.contrib.asyncio.store import AsyncEventStore
from eventstore.errors import InvalidInput
from eventstore.repository.joining import store_in
from eventstore.repository.retrying import ATTEMPTS, BACKOFF_SECONDS, pauses_between
from eventstore.repository.transacting import Streams, first_store
from eventstore.store import EventStore

Members = TypeVarTuple("Members")
Result = TypeVar("Result")


async def retry_conflicts(
    function: Callable[[], Awaitable[Result]], *, attempts: int = ATTEMPTS, backoff_seconds: float = BACKOFF_SECONDS
) -> Result:
    """Call a coroutine function, and retry it while other transactions are in its way; other tasks run meanwhile.

    What is retried, and when: see `eventstore.repository.retry_conflicts`.

    Args:
        function: Everything that has to be repeated: opening the transaction, reading and deciding.
        attempts: As for `eventstore.repository.retry_conflicts`.
        backoff_seconds: Likewise.

    Raises:
        ConcurrencyConflict: The last attempt was in conflict, too; likewise the other errors that are retried.
        InvalidInput: An argument is not valid.

    Example:
        ```python
        async def ship() -> None:
            async with AsyncSession(engine) as session, session.begin():
                session.add(Parcel(order_id="42"))
                await orders.join(session).execute("42", Order.ship)

        await retry_conflicts(ship)
        ```
    """
    return await _retry(function, is_conflict, attempts=attempts, backoff_seconds=backoff_seconds)


async def _retry(
    function: Callable[[], Awaitable[Result]],
    is_retried: Callable[[Exception], bool],
    *,
    attempts: int,
    backoff_seconds: float,
) -> Result:
    for seconds in pauses_between(attempts, backoff_seconds):
        try:
            return await function()
        except Exception as error:
            if not is_retried(error):
                raise
        await asyncio.sleep(seconds)
    return await function()


async def transact(
    function: Callable[[*Members], Awaitable[Result]],
    *members: *Members,
    attempts: int = ATTEMPTS,
    backoff_seconds: float = BACKOFF_SECONDS,
) -> Result:
    """Decide about several aggregates in one transaction, and save all or none; see `eventstore.repository.transact`.

    Args:
        function: A coroutine function that takes the members, joined, in the same order.
        members: `AsyncRepository`s of one database, and `AsyncEventStore`s. At least one.
        attempts: As for `eventstore.repository.transact`.
        backoff_seconds: Likewise. Other tasks run while it waits.

    Raises:
        ConcurrencyConflict: The last attempt was in conflict, too; likewise the other errors that are retried.
        DatabaseMismatch: A member is on another database than the first.
        InvalidInput: An argument is not valid, or members are joined to different transactions.

    Example:
        ```python
        async def fulfil(orders: AsyncRepository[Order], stock: AsyncRepository[Stock]) -> None:
            await orders.execute("42", Order.ship)
            await stock.execute("tea", Stock.take, 3)

        await transact(fulfil, orders, stock)
        ```
    """
    check_function("function", function)
    stores = [_store_of(member) for member in members]
    first = AsyncEventStore.of(await spawn(first_store, stores))
    core, streams = first.sync_store.core, Streams()

    async def attempt() -> Result:
        async with first.transaction() as transaction:
            noting = AsyncEventStore.of(await spawn(streams.begin, transaction.sync_store))
            within: Any = [_joined(member, noting) for member in members]
            return await function(*within)

    if core.execution.is_joined:
        async with first.transaction() as transaction:
            within: Any = [_joined(member, transaction) for member in members]
            return await function(*within)
    return await _retry(
        attempt,
        lambda error: streams.is_retried(error, core.driver),
        attempts=attempts,
        backoff_seconds=backoff_seconds,
    )


def _store_of(member: object) -> EventStore:
    if isinstance(member, AsyncEventStore):
        return member.sync_store
    if isinstance(member, AsyncRepository):
        return member.store.sync_store
    msg = f"a member must be an AsyncRepository or an AsyncEventStore, not {type(member).__name__}"
    raise InvalidInput(msg)


def _joined(member: Any, transaction: AsyncEventStore) -> object:
    if isinstance(member, AsyncRepository):
        return member.join(transaction)
    return AsyncEventStore.of(store_in(transaction.sync_store, member.sync_store, of="store"))
