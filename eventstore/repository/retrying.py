"""Retries after a conflict."""

import time
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from eventstore.backends.contention import is_conflict
from eventstore.common.backoff import Backoff, spread
from eventstore.common.validation import check_number, check_seconds

Result = TypeVar("Result")

ATTEMPTS: Final = 10
BACKOFF_SECONDS: Final = 0.01
_LONGEST_PAUSE_SECONDS: Final = 1.0


def retry_conflicts(
    function: Callable[[], Result], *, attempts: int = ATTEMPTS, backoff_seconds: float = BACKOFF_SECONDS
) -> Result:
    """Call a function, and retry it while other transactions are in its way, for example around your own transaction.

    It retries a `ConcurrencyConflict`, a deadlock and a serialization failure of PostgreSQL (SQLSTATE 40P01 and 40001),
    and a busy SQLite database, by the store's error or the driver's. After these, nothing is stored.

    Before each further attempt it waits for a random time, so that competing writers do not collide again: at most
    `backoff_seconds` before the second attempt, twice as long before the third, and so on, up to a second. On SQLite
    each attempt may itself wait for the write lock, up to the store's `lock_timeout_seconds`.

    For a transaction of repositories only, `transact` is shorter.

    Args:
        function: Everything that has to be repeated: opening the transaction, reading and deciding. Never call it
            inside a transaction that stays open.
        attempts: How often to call it at most, from 1.
        backoff_seconds: The longest pause before the second attempt. With 0 there are no pauses.

    Returns:
        The result of the function.

    Raises:
        ConcurrencyConflict: The last attempt was in conflict, too; likewise the other errors that are retried.
        InvalidInput: An argument is not valid.

    Example:
        ```python
        def ship() -> None:
            with Session(engine) as session, session.begin():
                session.add(Parcel(order_id="42"))
                orders.join(session).execute("42", Order.ship)

        retry_conflicts(ship)
        ```
    """
    return retry(function, time.sleep, attempts=attempts, backoff_seconds=backoff_seconds)


def retry(
    function: Callable[[], Result],
    pause: Callable[[float], object],
    *,
    attempts: int,
    backoff_seconds: float,
    is_retried: Callable[[Exception], bool] = is_conflict,
) -> Result:
    """Do what `retry_conflicts` does, with another way to wait for some seconds, or to tell which errors to retry."""
    for seconds in pauses_between(attempts, backoff_seconds):
        try:
            return function()
        except Exception as error:
            if not is_retried(error):
                raise
        pause(seconds)
    return function()


def pauses_between(attempts: int, backoff_seconds: float) -> Iterator[float]:
    """Check the arguments of `retry_conflicts`, and return how long to wait after each attempt but the last."""
    check_number("attempts", attempts, minimum=1)
    check_seconds("backoff_seconds", backoff_seconds)
    backoff = Backoff(backoff_seconds, _LONGEST_PAUSE_SECONDS)
    return (spread(0, backoff.pause()) for _ in range(1, attempts))
