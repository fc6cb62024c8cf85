"""Retries after a conflict, around what is awaited."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from eventstore.errors import ConcurrencyConflict
from eventstore.repository.retrying import ATTEMPTS, BACKOFF_SECONDS, pauses_between

Result = TypeVar("Result")


async def retry_conflicts(
    function: Callable[[], Awaitable[Result]], *, attempts: int = ATTEMPTS, backoff_seconds: float = BACKOFF_SECONDS
) -> Result:
    """Call a coroutine function, and retry it while it raises a `ConcurrencyConflict`; other tasks run meanwhile.

    Args:
        function: Everything that has to be repeated: opening the transaction, reading and deciding.
        attempts: As for `eventstore.repository.retry_conflicts`.
        backoff_seconds: Likewise.

    Raises:
        ConcurrencyConflict: The last attempt was in conflict, too.
        InvalidInput: An argument is not valid.

    Example:
        ```python
        async def ship() -> None:
            async with store.transaction() as transaction:
                await orders.join(transaction).execute("42", Order.ship)
                await stock.join(transaction).execute("tea", Stock.take, 3)

        await retry_conflicts(ship)
        ```
    """
    for seconds in pauses_between(attempts, backoff_seconds):
        try:
            return await function()
        except ConcurrencyConflict:
            await asyncio.sleep(seconds)
    return await function()
