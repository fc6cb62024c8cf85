"""Workers run projections."""

import logging
import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Any, Final, Self

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from eventstore.common.backoff import LONGEST_WITHOUT_CONNECTION, Backoff
from eventstore.common.error_type import error_type
from eventstore.common.validation import MAX_NAME_LENGTH, MAX_VERSION, check_number, check_seconds, check_text
from eventstore.common.waker import Waker
from eventstore.core.settling import Horizon
from eventstore.errors import DatabaseBusy, EventStoreError, InvalidInput, LogWentBack
from eventstore.projections.batches import Batch, Batches, Outcome
from eventstore.projections.definition import OnFailure, Projection
from eventstore.projections.guarding import HandlerFailed, RepeatOneByOne, pause_before_repeat
from eventstore.rows.mapper import POSITION
from eventstore.store import EventStore

_log = logging.getLogger("eventstore.projections")

SEEN_EVERY_SECONDS: Final = 5.0
"""How often a worker that has nothing to do says that it is there."""

_LONGEST_BACKOFF_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class CatchUpProgress:
    """How far a run has come that ends where the log ended when it began.

    Attributes:
        handled: How many events were handed to handlers.
        position: How far the projection has come, up to `end`.
        end: The newest position when the run began.
    """

    handled: int
    position: int
    end: int


class Worker:
    """Runs one projection: reads events that are settled, in the global order, and hands them to its handlers.

    Several workers, in any number of processes, may run the same projection: one of them works at a time, batch by
    batch, and another takes over as soon as it is gone. One worker is used by one thread.

    If you call `run_once` in a loop of your own, use the worker as a context manager: at the end it says that it is
    gone, so that the projection can be reset at once.

    A batch is one transaction: the rows that handlers write and the checkpoint are committed together. On PostgreSQL it
    holds the row lock of the checkpoint, on SQLite the write lock of the database: keep handlers short there.

    Args:
        store: The application's store, not joined.
        projection: What to run.
        batch_size: How many events to handle in one transaction at most, from 1.
        batch_seconds: How long a batch may take before it is committed, as soon as the current event is handled. Others
            see its effects only then.
        shortest_interval_seconds: How long to wait before looking for events again when there have just been some.
        longest_interval_seconds: How long at most. That is also about how long it takes until another worker notices
            that it may take over.
        name: Shown by the status; give each worker another one, so that one that stops does not speak for all.
            Defaults to host, process and a random number.

    Raises:
        InvalidInput: An argument is not valid.

    Example:
        ```python
        Worker(store, totals).run_forever(handle_signals=True)
        ```
    """

    def __init__(
        self,
        store: EventStore,
        projection: Projection,
        *,
        batch_size: int = 500,
        batch_seconds: float = 1.0,
        shortest_interval_seconds: float = 0.005,
        longest_interval_seconds: float = 0.25,
        name: str | None = None,
    ) -> None:
        if not isinstance(store, EventStore) or store.core.execution.is_joined:
            msg = (
                "store is an EventStore that is not joined to a transaction: a worker commits batches of its own; pass "
                "the application's"
            )
            raise InvalidInput(msg)
        if not isinstance(projection, Projection):
            msg = f"projection is a Projection, not {type(projection).__name__}"
            raise InvalidInput(msg)
        check_number("batch_size", batch_size, minimum=1)
        check_seconds("batch_seconds", batch_seconds)
        self._shortest = check_seconds("shortest_interval_seconds", shortest_interval_seconds, minimum=0.001)
        self._longest = check_seconds("longest_interval_seconds", longest_interval_seconds, minimum=self._shortest)
        own_name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"
        self.name = own_name if name is None else check_text("the name of a worker", name, MAX_NAME_LENGTH)
        self._projection = projection
        self._driver = store.core.driver
        self._batches = Batches(store, projection, worker=self.name, size=batch_size, seconds=batch_seconds)
        self._repeated = (0, 0)
        self._seen_at = float("-inf")
        self._waker = Waker()
        self._stopped = False

    @property
    def projection(self) -> Projection:
        """What it runs."""
        return self._projection

    def stop(self) -> None:
        """End a run after its current batch, for good. From any thread, and from the handler of a signal."""
        self._stopped = True
        self._waker.wake()

    def run_once(self) -> Batch:
        """Handle one batch of events, if there are any.

        Returns:
            What was done: `Outcome.ADVANCED`; `CAUGHT_UP` if nothing more is settled; `BUSY` if another worker is
            in the midst of a batch.

        Raises:
            ProjectionFailed: An event could not be handled, and the projection stops before it; earlier ones are done.
            LogWentBack: The log does not have the event any more up to which the projection has come: by a failover, or
                a restore of this table from a backup. Build it again.
            SchemaError: The database does not have the tables that this code needs.
            UnregisteredEventType: A handler is for a class that the store does not know.
            sqlalchemy.exc.SQLAlchemyError: The database does not answer; nothing of this batch has happened.
        """
        place = self._batches.place()
        try:
            horizon = self._batches.settled_after(place)
        except LogWentBack:
            if self._batches.place() == place:
                raise
            return Batch(Outcome.CAUGHT_UP, 0, place.position)  # the checkpoint has just gone back with the log
        if place.position >= horizon.settled:
            return Batch(Outcome.CAUGHT_UP, 0, place.position)
        try:
            return self._handle(horizon)
        except HandlerFailed as failed:
            return self._deal_with(failed, horizon)

    def run_until_caught_up(self, *, on_progress: Callable[[CatchUpProgress], object] | None = None) -> int:
        """Handle all events that are stored when this is called, and settled by then or soon after; then return.

        If another worker is at work, wait until it has done it.

        Args:
            on_progress: Called after each batch, and after each look at what another worker has done.

        Returns:
            How many events were handed to handlers.

        Raises:
            ProjectionFailed: As for `run_once`.
            EventStoreError: As for `run_once`.
        """
        end = self._batches.newest_position()
        handled, backoff = 0, Backoff(self._shortest, self._longest)
        with self._seen():
            while not self._stopped:
                batch = self.run_once()
                self._say_seen(batch)
                handled += batch.handled
                has_advanced = batch.outcome is Outcome.ADVANCED
                position = batch.position if has_advanced else self._batches.place().position
                if on_progress is not None:
                    on_progress(CatchUpProgress(handled, min(position, end), end))
                if has_advanced:
                    backoff.reset()
                elif position >= end:
                    break
                else:
                    self._waker.wait(backoff.pause())
        return handled

    def run_forever(self, *, handle_signals: bool = False) -> None:
        """Handle events as they come, until `stop`.

        If the database does not answer, it tries again until it does, with a warning in the log; the first time it
        has to.

        Args:
            handle_signals: Stop at SIGTERM and SIGINT, after the current batch. In the main thread only.

        Raises:
            ProjectionFailed: As for `run_once`.
            EventStoreError: As for `run_once`.
            InvalidInput: `handle_signals` was asked for in another thread than the main one.
        """
        with self._signals(handle_signals=handle_signals), self._seen():
            backoff, trouble, has_worked = Backoff(self._shortest, self._longest), "", False
            while not self._stopped:
                try:
                    batch = self.run_once()
                    self._say_seen(batch)
                except Exception as error:
                    is_first = not has_worked and not isinstance(error, DatabaseBusy | PoolTimeout)
                    if is_first or not self._driver.is_transient(error):
                        raise
                    if error_type(error) != trouble:
                        trouble = error_type(error)
                        extra = {"projection": self._projection.name, "error_type": trouble}
                        _log.warning("projection %r tries again after %s", self._projection.name, trouble, extra=extra)
                    self._waker.wait(backoff.pause(LONGEST_WITHOUT_CONNECTION))
                    continue
                if trouble:
                    name = self._projection.name
                    _log.info("projection %r goes on", name, extra={"projection": name})
                trouble, has_worked = "", True
                if batch.outcome is Outcome.ADVANCED:
                    backoff.reset()
                else:
                    self._waker.wait(backoff.pause())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
        self._say_gone()

    # --- when an event fails

    def _handle(self, horizon: Horizon, *, up_to_position: int = MAX_VERSION) -> Batch:
        """Handle a batch. Repeat it if that may help: a bounded number of times for one and the same event.

        Raises:
            HandlerFailed: A handler failed, and it is its event's failure.
        """
        while True:
            try:
                return self._batches.handle(horizon, up_to_position=up_to_position)
            except RepeatOneByOne:
                continue
            except HandlerFailed as failed:
                position, times = self._repeated
                times = times + 1 if position == failed.row[POSITION] else 1
                if times > failed.repeats:
                    raise
                self._repeated = (failed.row[POSITION], times)
                cause = failed.__cause__ or failed
                self._log(logging.WARNING, "could not be handled now, and is tried again", failed, cause, times)
                self._say_retrying(failed, cause, times)
                self._back_off(pause_before_repeat(times))
                if self._stopped:
                    return Batch(Outcome.BUSY, 0, 0)  # not known to be done, nor to have failed

    def _deal_with(self, failed: HandlerFailed, horizon: Horizon) -> Batch:
        """Commit what came before the event, then try it by itself."""
        position, handled = failed.row[POSITION], 0
        while True:  # it may take several batches, where time is up in between
            try:
                batch = self._handle(horizon, up_to_position=position - 1)
            except HandlerFailed as earlier:
                return self._deal_with(earlier, horizon)
            handled += batch.handled
            if batch.outcome is Outcome.BUSY:
                return Batch(Outcome.BUSY, handled, batch.position)
            if batch.outcome is Outcome.CAUGHT_UP:
                break
        attempts, cause = 1, failed.__cause__ or failed
        backoff = Backoff(self._projection.backoff_seconds, _LONGEST_BACKOFF_SECONDS)
        while attempts < self._projection.attempts:
            self._log(logging.WARNING, "failed, and is tried again", failed, cause, attempts)
            self._say_retrying(failed, cause, attempts)
            self._back_off(backoff.pause())
            if self._stopped:
                return Batch(Outcome.ADVANCED if handled else Outcome.CAUGHT_UP, handled, position - 1)
            attempts += 1
            try:
                batch = self._handle(horizon, up_to_position=position)
            except HandlerFailed as again:
                cause = again.__cause__ or again
            else:
                return Batch(batch.outcome, handled + batch.handled, batch.position)
        failure = self._batches.failure(failed.row, cause, attempts)
        if self._projection.on_failure is OnFailure.DEAD_LETTER:
            self._log(logging.ERROR, "failed, and is a dead letter now", failed, cause, attempts)
            batch = self._batches.put_aside(failed.row, attempts=attempts, error=failure.error_type)
            return Batch(batch.outcome, handled, batch.position)
        with self._if_there_is_a_connection():
            self._batches.mark_failed(failure)
        raise failure from cause

    def _say_retrying(self, failed: HandlerFailed, cause: BaseException, attempts: int) -> None:
        with self._if_there_is_a_connection():
            self._batches.mark_retrying(self._batches.failure(failed.row, cause, attempts))

    @contextmanager
    def _if_there_is_a_connection(self) -> Iterator[None]:
        """Let no lost connection hide the error that it is about."""
        try:
            yield
        except Exception as error:
            if not self._driver.is_transient(error):
                raise

    def _log(self, level: int, what: str, failed: HandlerFailed, cause: BaseException, attempts: int) -> None:
        """Tell where it was and of which type; what the error says may hold payload."""
        name, position, kind = self._projection.name, failed.row[POSITION], type(cause).__name__
        told = {"projection": name, "position": position, "error_type": kind, "attempts": attempts}
        _log.log(level, "projection %r: the event at position %d %s (%s)", name, position, what, kind, extra=told)

    def _back_off(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not self._stopped and (left := end - time.monotonic()) > 0:
            self._waker.wait(min(left, SEEN_EVERY_SECONDS))
            if left > SEEN_EVERY_SECONDS:
                self._batches.mark_seen()

    # --- being seen

    def _say_seen(self, batch: Batch) -> None:
        now = time.monotonic()
        if batch.outcome is Outcome.BUSY:
            return  # the other one says so with its batch
        if batch.outcome is Outcome.ADVANCED:
            self._seen_at = now
        elif not self._batches.is_seen or now - self._seen_at > SEEN_EVERY_SECONDS:
            self._batches.mark_seen()
            self._seen_at = now

    @contextmanager
    def _seen(self) -> Iterator[None]:
        """Be seen no longer at the end."""
        try:
            yield
        finally:
            self._say_gone()

    def _say_gone(self) -> None:
        try:
            self._batches.mark_stopped()
        except (SQLAlchemyError, EventStoreError):
            return  # the first error tells more; others see it by the time
        except Exception as error:
            if not self._driver.is_transient(error):
                raise

    @contextmanager
    def _signals(self, *, handle_signals: bool) -> Iterator[None]:
        if not handle_signals:
            yield
            return
        if threading.current_thread() is not threading.main_thread():
            msg = "handle_signals works in the main thread only; call stop() there, and leave it out here"
            raise InvalidInput(msg)

        def stop(_number: int, _frame: FrameType | None) -> None:
            self.stop()

        before: dict[int, Any] = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
