"""Workers, which run projections."""

import logging
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from eventstore.common.backoff import LONGEST_WITHOUT_CONNECTION, Backoff
from eventstore.common.error_type import error_type, place_of
from eventstore.common.validation import MAX_NAME_LENGTH, MAX_VERSION, check_number, check_seconds, check_text
from eventstore.common.waker import Waker
from eventstore.core.settling import Horizon
from eventstore.errors import DatabaseBusy, EventStoreError, InvalidInput, LogWentBack, ProjectionFailed
from eventstore.projections.background import in_background
from eventstore.projections.batches import NOTHING_TO_DO, Batch, Outcome, runner_of
from eventstore.projections.definition import OnFailure, Projection
from eventstore.projections.guarding import HandlerFailed, RepeatOneByOne, pause_before_repeat
from eventstore.projections.retries import LONGEST_BACKOFF_SECONDS, Retries
from eventstore.projections.signals import stopping_at_signals
from eventstore.rows.mapper import POSITION
from eventstore.store import EventStore, check_store
from eventstore.tokens import After

_log = logging.getLogger("eventstore.projections")

SEEN_EVERY_SECONDS: Final = 5.0
"""How often an idle worker records its heartbeat."""

_SHORTEST_PAUSE_OF_FAILED_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class CatchUpProgress:
    """The progress of `Worker.run_until_caught_up`.

    Attributes:
        handled: How many events were passed to handlers.
        position: The position of the checkpoint, at most `end`.
        end: The newest position when the run began.
    """

    handled: int
    position: int
    end: int


class Worker:
    """Runs one projection: reads settled events in the global order, and calls its handlers.

    Several workers, in any number of processes, may run the same projection. One of them works at a time, batch by
    batch, and another takes over as soon as it is gone. Use a worker in one thread only.

    If you call `run_once` in your own loop, use the worker as a context manager. At the end it records that it has
    stopped, so that the projection can be reset at once.

    A batch is one transaction, which commits the rows that handlers write together with the checkpoint. On PostgreSQL
    it holds the row lock of the checkpoint. On SQLite it holds the write lock of the database, so keep handlers short.

    Args:
        store: The application's store, not joined.
        projection: The projection.
        batch_size: How many events to handle in one transaction at most, from 1. Defaults to None: 500, and up to 5,000
            while the projection catches up and a batch takes less than a tenth of `batch_seconds`. A page of them is
            in memory at a time.
        batch_seconds: How long a batch may take. It is committed after the event during which this time has passed;
            other connections see its effects only then.
        shortest_interval_seconds: How long to wait before the next poll after there were events.
        longest_interval_seconds: How long to wait between two polls at most. It is also about the time until another
            worker takes over.
        name: The name in the status. Give each worker another one, so that one that stops does not count as all.
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
        batch_size: int | None = None,
        batch_seconds: float = 1.0,
        shortest_interval_seconds: float = 0.005,
        longest_interval_seconds: float = 0.25,
        name: str | None = None,
    ) -> None:
        check_store(store)
        if not isinstance(projection, Projection):
            msg = f"projection must be a Projection, not {type(projection).__name__}"
            raise InvalidInput(msg)
        if batch_size is not None:
            check_number("batch_size", batch_size, minimum=1)
        check_seconds("batch_seconds", batch_seconds)
        self._shortest = check_seconds("shortest_interval_seconds", shortest_interval_seconds, minimum=0.001)
        self._longest = check_seconds("longest_interval_seconds", longest_interval_seconds, minimum=self._shortest)
        default_name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"
        self.name = default_name if name is None else check_text("the name of a worker", name, MAX_NAME_LENGTH)
        self._projection = projection
        self._driver = store.core.driver
        size = projection.batch_size if batch_size is None else batch_size
        self._runner = runner_of(store, projection, worker=self.name, size=size, seconds=batch_seconds)
        self._checkpoint: After | None = None  # if the last batch has moved it
        self._repeats = (0, 0)  # the position of an event, and how often its batch was repeated
        self._last_heartbeat = float("-inf")
        self._pause_of_failed = Backoff(_SHORTEST_PAUSE_OF_FAILED_SECONDS, LONGEST_BACKOFF_SECONDS)
        self._retry_failed_at = 0.0
        self._waker = Waker()
        self._stopped = self._is_over = self._is_running = False

    @property
    def projection(self) -> Projection:
        """The projection that it runs."""
        return self._projection

    def stop(self) -> None:
        """End a run after its current batch, for good. Can be called from any thread, and from a signal handler.

        If no run has begun, the first one ends at once. After that, make another worker.
        """
        self._stopped = True
        self._waker.wake()

    def run_once(self) -> Batch:
        """Handle one batch of events, if there are any. Of several partitions, it takes the one furthest behind.

        Returns:
            The result. Its outcome is `Outcome.ADVANCED`, `CAUGHT_UP` if nothing more is settled, or `BUSY` if another
            worker is in a batch.

        Raises:
            ProjectionFailed: An event has failed, and the projection stops before it. Earlier events are handled.
            LogWentBack: The log no longer has the event of the checkpoint, because of a failover or a restore from a
                backup. Rebuild the projection.
            SchemaError: The database does not have the tables that this code needs.
            UnregisteredEventType: A handler is for a class that is not registered with the store.
            sqlalchemy.exc.SQLAlchemyError: The database does not answer. The batch was rolled back.
        """
        checkpoint = self._checkpoint or self._runner.checkpoint()
        self._checkpoint = None
        if checkpoint is NOTHING_TO_DO:
            return Batch(Outcome.CAUGHT_UP, 0, 0)
        try:
            horizon = self._runner.settled_after(checkpoint)
        except LogWentBack:
            if self._runner.checkpoint() == checkpoint:
                raise
            return Batch(Outcome.CAUGHT_UP, 0, checkpoint.position)  # the checkpoint has just gone back with the log
        if checkpoint.position >= horizon.settled:
            is_at_end = horizon.settled == horizon.newest
            return Batch(Outcome.CAUGHT_UP, 0, checkpoint.position, is_at_end=is_at_end)
        try:
            batch = self._handle(horizon)
            if batch.outcome is Outcome.BUSY and self._runner.partitions > 1:
                # Others are in the partitions that are behind. There may be something new for the rest of them.
                horizon = self._settled_after_highest() or horizon
                batch = self._handle(horizon)
        except HandlerFailed as failure:
            return self._isolate(failure, horizon)
        if self._runner.partitions == 1:
            self._checkpoint = batch.end
        return batch

    def _settled_after_highest(self) -> Horizon | None:
        """Return what is settled after the highest checkpoint of a partition; None if it has gone back with the log."""
        highest = self._runner.highest
        try:
            return self._runner.settled_after(highest)
        except LogWentBack:
            self._runner.checkpoint()
            if self._runner.highest == highest:
                raise
            return None

    def run_until_caught_up(self, *, on_progress: Callable[[CatchUpProgress], object] | None = None) -> int:
        """Handle all events that are stored when this is called, and return. Wait for appends under way among them.

        If another worker is running the projection, wait until it has handled them. A partition that fails stops no
        other one; its error is raised at the end.

        Args:
            on_progress: Called after each batch, and after each poll while another worker handles events.

        Returns:
            How many events were passed to handlers.

        Raises:
            ProjectionFailed: As for `run_once`.
            EventStoreError: As for `run_once`.
            InvalidInput: The worker runs already, or was stopped after an earlier run.
        """
        self.check_can_run()
        end = self._runner.end_of_run()
        self._runner.left_out.clear()
        handled, backoff = 0, Backoff(self._shortest, self._longest)
        failure: ProjectionFailed | None = None
        with self._marking_stopped():
            while not self._stopped:
                try:
                    batch = self.run_once()
                except ProjectionFailed as error:
                    if not self._runner.leave_out_current():
                        raise
                    failure = failure or error
                    continue
                self._heartbeat(batch)
                handled += batch.handled
                has_advanced = batch.outcome is Outcome.ADVANCED
                position = batch.position if has_advanced else self._runner.checkpoint().position
                if on_progress is not None:
                    on_progress(CatchUpProgress(handled, min(position, end), end))
                if has_advanced:
                    backoff.reset()
                elif position >= end:
                    break
                else:
                    self._waker.wait(backoff.pause())
        if failure is not None:
            raise failure
        return handled

    def run_forever(self, *, handle_signals: bool = False, on_batch: Callable[[Batch], object] | None = None) -> None:
        """Handle events as they are appended, until `stop`.

        If the database does not answer, the worker retries until it does, with a warning in the log. Only the first
        connection has to succeed.

        If the projection has partitions, an event that fails stops its partition only. The worker logs that, goes on
        with the others, and retries the partition after a pause, from a second to a minute.

        Args:
            handle_signals: Stop at SIGTERM and SIGINT, after the current batch. In the main thread only.
            on_batch: Called after each batch, and after each poll that has found nothing.

        Raises:
            ProjectionFailed: As for `run_once`, unless there are partitions.
            EventStoreError: As for `run_once`.
            InvalidInput: `handle_signals` is True in another thread than the main one; or the worker runs already, or
                was stopped after an earlier run.
        """
        self.check_can_run()
        with stopping_at_signals(self.stop, handle_signals=handle_signals), self._marking_stopped():
            backoff, trouble, has_worked = Backoff(self._shortest, self._longest), "", False
            while not self._stopped:
                try:
                    batch = self._run_once_or_leave_out()
                    self._heartbeat(batch)
                except Exception as error:
                    is_first = not has_worked and not isinstance(error, DatabaseBusy | PoolTimeout)
                    if is_first or not self._driver.is_transient(error):
                        raise
                    if error_type(error) != trouble:
                        trouble = error_type(error)
                        extra = {"projection": self._projection.name, "error_type": trouble}
                        _log.warning("projection %r retries after %s", self._projection.name, trouble, extra=extra)
                    self._waker.wait(backoff.pause(LONGEST_WITHOUT_CONNECTION))
                    continue
                if trouble:
                    name = self._projection.name
                    _log.info("projection %r continues", name, extra={"projection": name})
                trouble, has_worked = "", True
                if on_batch is not None:
                    on_batch(batch)
                if batch.outcome is Outcome.ADVANCED:
                    backoff.reset()
                else:
                    self._waker.wait(backoff.pause())

    @contextmanager
    def running(self, *, stop_timeout_seconds: float = 30.0) -> Iterator[Self]:
        """Run it in the background while a block runs, and stop it at the end, after its current batch.

        Its thread does not keep a program from ending. The projection has begun when the block begins: with
        `Start.NOW`, all events appended in the block are handled.

        Args:
            stop_timeout_seconds: How long to wait at the end for the current batch.

        Raises:
            WorkerStillRunning: A handler did not return in time. Its thread goes on as long as the program.
            ProjectionFailed: As for `run_once`, at the end of the block. If the block has raised an error itself, that
                one has a note.
            EventStoreError: As for `run_once`: the checkpoint can't be read or created; or at the end of the block.
            InvalidInput: The worker runs already, or was stopped after an earlier run.

        Example:
            ```python
            with Worker(store, totals).running():
                result = store.append("order-1", events, expected_version=0)
                projections.wait_for("order-totals", result)
            ```
        """
        self.check_can_run()
        self.begin()
        name = f"the worker of {self._projection.name!r}"
        with in_background(name, self.run_forever, self.stop, stop_timeout_seconds=stop_timeout_seconds):
            yield self

    def begin(self) -> None:
        """Create the checkpoint of the projection if there is none, without handling events.

        Raises:
            EventStoreError: As for `run_once`.
            sqlalchemy.exc.SQLAlchemyError: The database does not answer.
        """
        self._runner.checkpoint()

    def check_can_run(self) -> None:
        """Check that the worker is not run by another thread, and was not stopped after an earlier run.

        Two threads would move each other's checkpoints. A run after a stop would silently do nothing.

        Raises:
            InvalidInput: It is, or it was.
        """
        if self._is_running:
            msg = (
                f"this worker of projection {self._projection.name!r} runs already; make another one for another thread"
            )
            raise InvalidInput(msg)
        if self._is_over:
            msg = (
                f"this worker of projection {self._projection.name!r} was stopped, which is for good; make another one"
            )
            raise InvalidInput(msg)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
        self._is_over = True
        self._mark_stopped()

    # --- when an event fails

    def _run_once_or_leave_out(self) -> Batch:
        """Handle one batch; but if a partition has failed, leave it out for a while."""
        if self._runner.left_out and time.monotonic() > self._retry_failed_at:
            self._runner.left_out.clear()
        try:
            batch = self.run_once()
        except ProjectionFailed as error:
            is_first = not self._runner.left_out
            if not self._runner.leave_out_current():
                raise
            if is_first:
                self._retry_failed_at = time.monotonic() + self._pause_of_failed.pause()
            extra = {"projection": error.projection, "position": error.position, "error_type": error.error_type}
            what = "a partition of projection %r has stopped at position %d (%s), and the others go on"
            _log.error(what, error.projection, error.position, error.error_type, extra=extra)
            return Batch(Outcome.ADVANCED, 0, error.position - 1)
        if batch.outcome is Outcome.CAUGHT_UP and not self._runner.left_out:
            self._pause_of_failed.reset()
        return batch

    def _handle(self, horizon: Horizon, *, up_to_position: int = MAX_VERSION, name: str | None = None) -> Batch:
        """Handle a batch. Repeat it if that may help, a bounded number of times for the same event.

        Raises:
            HandlerFailed: A handler has failed, and that counts as a failure of its event.
        """
        while True:
            try:
                return self._runner.handle(horizon, up_to_position=up_to_position, name=name)
            except RepeatOneByOne:
                name = self._runner.current
                continue
            except HandlerFailed as failure:
                position, times = self._repeats
                times = times + 1 if position == failure.row[POSITION] else 1
                if times > failure.repeats:
                    raise
                self._repeats = (failure.row[POSITION], times)
                name = self._runner.current
                cause = failure.__cause__ or failure
                self._log(logging.WARNING, "could not be handled now, and is retried", failure, cause, times)
                self._mark_retrying(failure, cause, times)
                self._back_off(pause_before_repeat(times))
                if self._stopped:
                    return Batch(Outcome.BUSY, 0, 0)  # neither handled nor failed

    def _isolate(self, failure: HandlerFailed, horizon: Horizon) -> Batch:
        """Commit the events before a failed one, then retry it in a separate transaction."""
        position, handled, name = failure.row[POSITION], 0, self._runner.current
        while True:  # it may take several batches if their time is up before
            try:
                batch = self._handle(horizon, up_to_position=position - 1, name=name)
            except HandlerFailed as earlier:
                return self._isolate(earlier, horizon)
            handled += batch.handled
            if batch.outcome is Outcome.BUSY:
                return Batch(Outcome.BUSY, handled, batch.position)
            if batch.outcome is Outcome.CAUGHT_UP:
                break
        retries, cause = Retries(self._projection), failure.__cause__ or failure
        while (pause := retries.pause(cause)) is not None:
            self._log(logging.WARNING, "failed, and is retried", failure, cause, retries.made)
            self._mark_retrying(failure, cause, retries.made)
            self._back_off(pause)
            if self._stopped:
                return Batch(Outcome.ADVANCED if handled else Outcome.CAUGHT_UP, handled, position - 1)
            retries.made += 1
            try:
                batch = self._handle(horizon, up_to_position=position, name=name)
            except HandlerFailed as again:
                cause = again.__cause__ or again
            else:
                return Batch(batch.outcome, handled + batch.handled, batch.position)
        error = self._runner.failure(failure.row, cause, retries.made)
        if retries.on_failure(cause) is OnFailure.DEAD_LETTER:
            self._log(logging.ERROR, "failed, and is a dead letter now", failure, cause, retries.made)
            batch = self._runner.skip_as_dead_letter(failure.row, attempts=retries.made, error=error.error_type)
            return Batch(batch.outcome, handled, batch.position)
        with self._ignoring_lost_connection():
            self._runner.mark_failed(error)
        raise error from cause

    def _mark_retrying(self, failure: HandlerFailed, cause: BaseException, attempts: int) -> None:
        with self._ignoring_lost_connection():
            self._runner.mark_retrying(self._runner.failure(failure.row, cause, attempts))

    @contextmanager
    def _ignoring_lost_connection(self) -> Iterator[None]:
        """Record a failure in the database if there is a connection, so that its loss does not hide the failure."""
        try:
            yield
        except Exception as error:
            if not self._driver.is_transient(error):
                raise

    def _log(self, level: int, what: str, failure: HandlerFailed, cause: BaseException, attempts: int) -> None:
        """Log the position, and the type and place of the error, but not its text, which may have payload."""
        name, position, kind = self._projection.name, failure.row[POSITION], type(cause).__name__
        extra = {"projection": name, "position": position, "error_type": kind, "attempts": attempts}
        message = "projection %r: the event at position %d %s (%s%s)"
        _log.log(level, message, name, position, what, kind, place_of(cause), extra=extra)

    def _back_off(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not self._stopped and (left := end - time.monotonic()) > 0:
            self._waker.wait(min(left, SEEN_EVERY_SECONDS))
            if left > SEEN_EVERY_SECONDS:
                self._runner.mark_seen()

    # --- the heartbeat

    def _heartbeat(self, batch: Batch) -> None:
        now = time.monotonic()
        if batch.outcome is Outcome.BUSY:
            return  # the batch of the other worker is its heartbeat
        if batch.outcome is Outcome.ADVANCED:
            self._last_heartbeat = now
        elif not self._runner.is_seen or now - self._last_heartbeat > SEEN_EVERY_SECONDS:
            self._runner.mark_seen()
            self._last_heartbeat = now

    @contextmanager
    def _marking_stopped(self) -> Iterator[None]:
        """Record at the end that this worker has stopped."""
        self._is_running = True
        try:
            yield
            self._is_over = self._stopped
        finally:
            self._is_running = False
            self._mark_stopped()

    def _mark_stopped(self) -> None:
        try:
            self._runner.mark_stopped()
        except (SQLAlchemyError, EventStoreError):
            return  # the first error says more, and the missing heartbeat shows that the worker is gone
        except Exception as error:
            if not self._driver.is_transient(error):
                raise
