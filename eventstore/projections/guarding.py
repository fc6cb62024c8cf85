"""What has caused a batch to fail: a handler, and so its event, or the connection."""

from typing import Any, Final

from eventstore.backends.protocol import Driver, Row, Run, TransactionState
from eventstore.common.backoff import spread
from eventstore.errors import TransactionBroken
from eventstore.store import EventStore

REPEATS_IF_LOST: Final = 3
"""How often a batch is repeated if its connection is lost while the handler of the same event runs."""

REPEATS_IN_CONTENTION: Final = 10
"""How often a batch is repeated if concurrent transactions make the handler of the same event fail."""

_BROKEN: Final = {
    TransactionState.ABORTED: "aborted",
    TransactionState.ENDED: "ended",
    TransactionState.LOST: "lost",
}


_LONGEST_PAUSE_SECONDS: Final = 1.0


def pause_before_repeat(times: int) -> float:
    """Return how long to wait, in seconds, before the first, second, third repetition.

    The time is random, so that two transactions that have collided do not collide again.
    """
    longest: float = min(0.02 * 2**times, _LONGEST_PAUSE_SECONDS)
    return spread(longest / 2, longest)


class HandlerFailed(Exception):  # never leaves the package
    """A handler has raised an error, which is the cause of this one. The batch was rolled back.

    Attributes:
        row: The row of the event.
        repeats: How often to repeat the batch before the error counts as a failure of the event.
    """

    def __init__(self, row: Row, *, repeats: int = 0) -> None:
        self.row = row
        self.repeats = repeats
        super().__init__()


class RepeatOneByOne(Exception):  # never leaves the package
    """A batch has failed at its end, so that any of its events may be the cause. It was rolled back; repeat it."""


class Blame:
    """Which events may have caused the failure of a batch.

    Attributes:
        rows: The rows of the events whose handlers were called.
        failure: The failure of a handler; None if none has failed.
        in_own_statement: Whether one of the store's own statements runs, whose errors are not caused by an event.
    """

    __slots__ = ("failure", "in_own_statement", "rows")

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.failure: HandlerFailed | None = None
        self.in_own_statement = False


class Guard:
    """Checks that handlers leave the transaction of their batch open.

    After each handler it reads the state of the driver, without a round trip, to find out whether the transaction was
    aborted or ended, or the connection lost. Only the database knows whether a handler has replaced the transaction by
    another one (COMMIT and BEGIN), and so lost the lock of the checkpoint; the guard asks it once for each batch.

    Args:
        driver: The driver.
        transaction: The store, joined to the transaction of the batch.
        run: A run in that transaction.
        blame: Records which handlers have failed.
    """

    def __init__(self, driver: Driver, transaction: EventStore, run: Run, blame: Blame) -> None:
        self.blame = blame
        self._driver = driver
        self._execution = transaction.core.execution
        self._connection: Any = transaction.connection
        self._run = run
        self._transaction: object = None
        self._mark: object = None
        self._has_begun = False
        self._own_error: Exception | None = None

    def begin(self) -> None:
        """Mark the transaction, before the first handler is called."""
        if self._has_begun:
            return
        self._transaction = self._execution.open_transaction()
        try:
            self._mark = self._driver.mark_transaction(self._run, self._connection)
        except Exception as error:
            self._own_error = error
            raise
        self._has_begun = True

    def check(self) -> None:
        """Check that a handler has left the transaction open.

        Raises:
            TransactionBroken: The transaction is aborted or ended, or the connection is lost.
        """
        state = self._driver.transaction_state(self._connection)
        if state is not TransactionState.OPEN:
            raise TransactionBroken(_BROKEN[state])
        if self._transaction is None or self._execution.open_transaction() is not self._transaction:
            raise TransactionBroken("ended")

    def end(self) -> None:
        """Check, after all handlers were called, that the transaction is still the marked one.

        Raises:
            TransactionBroken: It is another transaction.
        """
        if self._has_begun and not self._driver.is_same_transaction(self._run, self._connection, self._mark):
            raise TransactionBroken("ended")

    def is_own(self, error: Exception) -> bool:
        """Return whether `begin` has raised an error, not a handler."""
        return error is self._own_error

    def failure(self, row: Row, error: Exception) -> HandlerFailed:
        """Return the failure for an error of a handler."""
        return HandlerFailed(row, repeats=self._repeats(error))

    def _repeats(self, error: Exception) -> int:
        if isinstance(error, TransactionBroken):
            return REPEATS_IF_LOST if error.reason == "lost" else 0
        if self._driver.transaction_state(self._connection) is TransactionState.LOST:
            return REPEATS_IF_LOST
        return REPEATS_IN_CONTENTION if self._driver.is_contention(error) else 0
