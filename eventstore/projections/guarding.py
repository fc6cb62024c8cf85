"""Whose failure it is, if a batch fails: a handler's, and so its event's, or that of the connection."""

from typing import Any, Final

from eventstore.backends.protocol import Driver, Row, Run, TransactionState
from eventstore.common.backoff import spread
from eventstore.errors import TransactionBroken
from eventstore.store import EventStore

REPEATS_IF_LOST: Final = 3
"""How often a batch is repeated if its connection is lost while the handler of one and the same event runs."""

REPEATS_IN_CONTENTION: Final = 10
"""How often, if other transactions are in the way of one and the same event's handler."""

_BROKEN: Final = {
    TransactionState.ABORTED: "aborted",
    TransactionState.ENDED: "ended",
    TransactionState.LOST: "lost",
}


_LONGEST_PAUSE_SECONDS: Final = 1.0


def pause_before_repeat(times: int) -> float:
    """Return how long to wait, in seconds, before something is repeated for the first, second, third time.

    By chance, so that two who are in each other's way do not meet again.
    """
    longest: float = min(0.02 * 2**times, _LONGEST_PAUSE_SECONDS)
    return spread(longest / 2, longest)


class HandlerFailed(Exception):  # never leaves the package
    """A handler has raised an error, which is the cause of this one; the batch was rolled back.

    Attributes:
        row: The event.
        repeats: How often to repeat the batch, as if nothing had happened, before it is the event's failure.
    """

    def __init__(self, row: Row, *, repeats: int = 0) -> None:
        self.row = row
        self.repeats = repeats
        super().__init__()


class RepeatOneByOne(Exception):  # never leaves the package
    """A batch has failed at its end, so that any of its events may be to blame; it was rolled back: repeat it."""


class Blame:
    """Which events a failure of the batch may belong to.

    Attributes:
        rows: Those that were handed to handlers.
        failed: Whose handler has failed; None as long as none has.
        is_ours: Whether a statement of the store's own runs: what the database refuses then is no event's failure.
    """

    __slots__ = ("failed", "is_ours", "rows")

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.failed: HandlerFailed | None = None
        self.is_ours = False


class Guard:
    """Sees that handlers leave the transaction of their batch as they were given it.

    After each handler it asks the driver, which costs no round trip: has the transaction been aborted or ended, is the
    connection lost? Whether the transaction has been replaced by another one (COMMIT and BEGIN), so that the lock of
    the checkpoint is gone, only the database knows: it is asked once a batch.

    Args:
        driver: The database.
        transaction: The store, joined to the transaction of the batch.
        run: Where to ask.
        blame: Where to note what comes of the handlers.
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
        """Note which transaction it is, before the first handler is called."""
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
            TransactionBroken: It has not.
        """
        state = self._driver.transaction_state(self._connection)
        if state is not TransactionState.OPEN:
            raise TransactionBroken(_BROKEN[state])
        if self._transaction is None or self._execution.open_transaction() is not self._transaction:
            raise TransactionBroken("ended")

    def end(self) -> None:
        """Check, once all handlers were called, that it is the same transaction.

        Raises:
            TransactionBroken: It is another one.
        """
        if self._has_begun and not self._driver.is_same_transaction(self._run, self._connection, self._mark):
            raise TransactionBroken("ended")

    def is_own(self, error: Exception) -> bool:
        """Return whether it was not a handler that has raised an error, but `begin`."""
        return error is self._own_error

    def failure(self, row: Row, error: Exception) -> HandlerFailed:
        """Return what to raise from an error of a handler."""
        return HandlerFailed(row, repeats=self._repeats(error))

    def _repeats(self, error: Exception) -> int:
        if isinstance(error, TransactionBroken):
            return REPEATS_IF_LOST if error.reason == "lost" else 0
        if self._driver.transaction_state(self._connection) is TransactionState.LOST:
            return REPEATS_IF_LOST
        return REPEATS_IN_CONTENTION if self._driver.is_contention(error) else 0
