"""Handling the events of a batch, one after another, and whose an error is: an event's, or the connection's."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from eventstore.backends.protocol import Driver, Row, Run, TransactionState
from eventstore.errors import DecodingError, TransactionBroken
from eventstore.events import RecordedEvent
from eventstore.observer import Observation
from eventstore.partitions import Partition
from eventstore.projections.definition import Projection
from eventstore.projections.guarding import REPEATS_IF_LOST, REPEATS_IN_CONTENTION, HandlerFailed
from eventstore.projections.handlers import Handler
from eventstore.projections.targets import write_out
from eventstore.rows.mapper import STREAM_ID
from eventstore.store import EventStore

_BROKEN: Final = {
    TransactionState.ABORTED: "aborted",
    TransactionState.ENDED: "ended",
    TransactionState.LOST: "lost",
}

_QUICK_SECONDS: Final = 0.00005
"""Less than a round trip to any server, with decoding the event and all else between two checks."""


@dataclass(slots=True)
class Blame:
    """Which events may have caused the failure of a batch.

    Attributes:
        count: How many rows have events whose handlers were called.
        last: The last of these rows.
        failure: The failure of a handler; None if none has failed.
        in_own_statement: Whether one of the store's own statements runs, whose errors are not caused by an event.
    """

    count: int = 0
    last: Row | None = None
    failure: HandlerFailed | None = None
    in_own_statement: bool = False


class Guard:
    """Checks that handlers leave the transaction of their batch open.

    After each handler it reads the state of the driver, without a round trip, to find out whether the transaction was
    aborted or ended, or the connection lost. After handlers that take less time than a round trip it does not look
    whether the server has ended the session. Only the database knows whether a handler has replaced the transaction by
    another one (COMMIT and BEGIN), and so lost the lock of the checkpoint; the guard asks it once for each batch.

    Args:
        driver: The driver.
        transaction: The store, joined to the transaction of the batch.
        run: A run in that transaction.
        blame: Records which handlers have failed.
    """

    def __init__(self, driver: Driver, transaction: EventStore, run: Run, blame: Blame) -> None:
        self.blame = blame
        self.connection: Any = transaction.connection
        self._driver = driver
        self._execution = transaction.core.execution
        self._run = run
        self._transaction: object = None
        self._mark: object = None
        self._has_begun = False
        self._own_error: Exception | None = None
        self._checked_at = 0.0
        self._is_open: Callable[[], bool] | None = None

    def begin(self) -> None:
        """Mark the transaction, before the first handler is called."""
        if self._has_begun:
            return
        self._transaction = self._execution.open_transaction()
        try:
            self._mark = self._driver.mark_transaction(self._run, self.connection)
        except Exception as error:
            self._own_error = error
            raise
        self._has_begun = True

    def check(self) -> None:
        """Check that a handler has left the transaction open.

        Raises:
            TransactionBroken: The transaction is aborted or ended, or the connection is lost.
        """
        before, self._checked_at = self._checked_at, time.perf_counter()
        if self._checked_at - before < _QUICK_SECONDS and self._is_open is not None and self._is_open():
            return
        state = self._driver.transaction_state(self.connection)
        if state is not TransactionState.OPEN:
            raise TransactionBroken(_BROKEN[state])
        if self._transaction is None or self._execution.open_transaction() is not self._transaction:
            raise TransactionBroken("ended")
        if self._is_open is None and before:  # not the first check, so there may be many
            self._is_open = self._driver.open_probe(self.connection)

    def end(self) -> None:
        """Check, after all handlers were called, that the transaction is still the marked one.

        Raises:
            TransactionBroken: It is another transaction.
        """
        if self._has_begun and not self._driver.is_same_transaction(self._run, self.connection, self._mark):
            raise TransactionBroken("ended")

    def is_own(self, error: Exception) -> bool:
        """Return whether `begin` has raised an error, not a handler."""
        return error is self._own_error

    def fail(self, row: Row, error: Exception) -> HandlerFailed:
        """Blame an event for the error of its handler, and return the failure."""
        self.blame.failure = failure = HandlerFailed(row, repeats=self._repeats(error))
        return failure

    def _repeats(self, error: Exception) -> int:
        if isinstance(error, TransactionBroken):
            return REPEATS_IF_LOST if error.reason == "lost" else 0
        if self._driver.transaction_state(self.connection) is TransactionState.LOST:
            return REPEATS_IF_LOST
        return REPEATS_IN_CONTENTION if self._driver.is_contention(error) else 0


@dataclass(slots=True)
class Handling:
    """The handling of the events of one batch, which may be read in several pages.

    Attributes:
        projection: The projection.
        recorded: Makes events from rows; takes a row only when the events of the row before were consumed.
        guard: Checks the transaction after each handler.
        target: What handlers are called with, besides the event.
        observed: Receives the metadata of the events.
        outside_after: Handlers with outside effects are called for events after this position; None if there are none.
        deadline: When to stop, by `time.monotonic`.
        add_dead_letter: Is called with the row of each event of a blocked stream that has a handler.
        partition: The partition whose events are handled; None if there is only one.
        blocked: The streams with a pending dead letter, whose events are not handled.
        handled: How many events were passed to a handler.
        dead_letters: How many dead letters were added.
    """

    projection: Projection
    recorded: Callable[[Iterable[Row]], Iterator[RecordedEvent]]
    guard: Guard
    target: Any
    observed: Observation
    outside_after: int | None
    deadline: float
    add_dead_letter: Callable[[Row], None]
    partition: Partition | None = None
    blocked: frozenset[str] = frozenset()
    handled: int = 0
    dead_letters: int = 0
    _row: Row | None = field(default=None, init=False)
    _last: Row | None = field(default=None, init=False)

    @property
    def is_time_up(self) -> bool:
        """Whether the time of the batch is up."""
        return time.monotonic() > self.deadline

    def handle(self, rows: Sequence[Row]) -> Row | None:
        """Handle the events of rows, in order.

        Returns:
            The row after which the time was up; None if the events of all rows were handled.

        Raises:
            HandlerFailed: A handler has failed, or its event can't be read.
        """
        handler_of, caused_by, target = self.projection.handlers.find, self.observed.caused_by, self.target
        check, has_begun = self.guard.check, False
        has_outside = not self.projection.outside_handlers.is_empty
        try:
            for event in self.recorded(self._each(rows)):
                handler = handler_of(event)
                outside = self._outside_handler_of(event) if has_outside else None
                if handler is not None or outside is not None:
                    caused_by(event.metadata)
                    if not has_begun:
                        self.guard.begin()
                        has_begun = True
                    if handler is not None:
                        handler(event, target)
                        check()
                    if outside is not None:
                        self._have_effects(outside, event)
                    self.handled += 1
        except Exception as error:
            if self._row is None or self.guard.is_own(error):
                raise
            raise self.guard.fail(self._row, error) from error
        return self._last

    def _outside_handler_of(self, event: RecordedEvent) -> Handler | None:
        if self.outside_after is None or event.position <= self.outside_after:
            return None
        return self.projection.outside_handlers.find(event)

    def _have_effects(self, handler: Handler, event: RecordedEvent) -> None:
        """Call a handler with outside effects, after what may fail, and end the batch after its event."""
        if self.projection.session is not None:
            write_out(self.target)
        handler(event, self.target)
        self.guard.check()
        self.deadline = -math.inf

    def _each(self, rows: Sequence[Row]) -> Iterator[Row]:
        """Yield the rows to decode, until the time is up. A row's events are handled before the next row is asked for.

        So the events of a batch are decoded by one loop, and an error still belongs to one row.
        """
        blocked, clock, has_session = self.blocked, time.monotonic, self.projection.session
        blame = self.guard.blame
        self._last = None
        for row in rows:
            if row[STREAM_ID] in blocked:
                self._row = None
                if self._concerns(row):
                    self.add_dead_letter(row)
                    self.dead_letters += 1
                continue
            self._row = row
            handled_before = self.handled
            yield row
            if self.handled > handled_before:
                if has_session is not None:
                    write_out(self.target)
                blame.count += 1
                blame.last = row
            if clock() > self.deadline:
                self._last = row
                break
        self._row = None

    def _concerns(self, row: Row) -> bool:
        """Return whether a row's events have a handler; True if they can't be read."""
        try:
            events = list(self.recorded([row]))
        except DecodingError:
            return True
        return any(
            self.projection.handlers.find(event) is not None or self._outside_handler_of(event) is not None
            for event in events
        )
