"""Batches: handling events and moving the checkpoint, in one transaction."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import Any, Final

from eventstore.backends.protocol import Row, Run
from eventstore.common.validation import MAX_VERSION
from eventstore.core.global_order import GlobalOrder
from eventstore.core.schema_version import REQUIRED_BY_PROJECTIONS, SchemaGate
from eventstore.core.settling import Horizon, check_loss
from eventstore.errors import LogWentBack, PositionBeyondLog, ProjectionFailed, TransactionBroken, UnknownProjection
from eventstore.observer import Observation
from eventstore.partitions import Partition
from eventstore.projections.beginning import begin
from eventstore.projections.changing_partitions import change_partitions
from eventstore.projections.definition import Projection, name_of_partition
from eventstore.projections.guarding import HandlerFailed, RepeatOneByOne
from eventstore.projections.handling import Blame, Guard, Handling
from eventstore.projections.targets import target_of
from eventstore.rows.mapper import EVENT_ID, EVENT_TYPE, POSITION, STREAM_ID, VERSION
from eventstore.statements.projections import (
    add_dead_letter,
    advance_checkpoint,
    blocked_streams,
    find_checkpoint,
    find_partitions,
    lock_checkpoint,
    lock_partition,
    lock_row,
    mark_failed,
    mark_retrying,
    mark_seen,
    mark_stopped,
    mark_stopped_in_partitions,
    set_outside_after,
)
from eventstore.store import EventStore
from eventstore.tokens import START, After, PositionToken

NOTHING_TO_DO: Final = After(MAX_VERSION)
"""In place of a checkpoint: no partition has one that can move now."""

_PARTITIONS: Final = 11
_NEXT_PARTITIONS: Final = 12
"""The columns of `find_checkpoint`."""

_STOP_POSITION: Final = 11
_PARTITION_NUMBER: Final = 12
"""Columns of `find_partitions`."""


class Outcome(Enum):
    """The outcome of a batch."""

    CAUGHT_UP = "caught up"
    """There was nothing to do."""

    ADVANCED = "advanced"
    """The checkpoint has moved."""

    BUSY = "busy"
    """Another worker is in a batch."""


@dataclass(frozen=True, slots=True)
class Batch:
    """The result of one batch.

    Attributes:
        outcome: The outcome.
        handled: How many events were passed to a handler.
        position: The position of the checkpoint, as far as this worker knows.
        end: The checkpoint, if the batch has moved it; otherwise None.
        is_at_end: Whether every event that is stored has been handled: the outcome is `CAUGHT_UP`, and no append under
            way holds back events that are stored.
    """

    outcome: Outcome
    handled: int
    position: int
    end: After | None = field(default=None, repr=False, compare=False)
    is_at_end: bool = field(default=False, repr=False, compare=False)


_FIRST_SIZE: Final = 500
_LARGEST_SIZE: Final = 5000


class BatchSize:
    """How many events to read for a batch.

    Args:
        fixed: A fixed number. None for 500, doubled up to 5,000 while more events are settled and batches take less
            than a tenth of their time.
        seconds: How long a batch may take.
    """

    def __init__(self, fixed: int | None, seconds: float) -> None:
        self._first = _FIRST_SIZE if fixed is None else fixed
        self._largest = _LARGEST_SIZE if fixed is None else fixed
        self._quick_seconds = seconds / 10
        self.now = self._first

    def learn(self, seconds: float, *, is_behind: bool) -> None:
        """Choose the size of the next batch by the time that this one has taken, and whether more is settled."""
        if not is_behind:
            self.reset()
        elif seconds < self._quick_seconds:
            self.now = min(2 * self.now, self._largest)
        else:
            self.now = max(self.now // 2, self._first)

    def reset(self) -> None:
        """Begin with small batches again."""
        self.now = self._first


@dataclass(frozen=True, slots=True)
class Span:
    """The events of the next batch.

    Attributes:
        position: The position of the checkpoint, which is locked.
        before: The same, with the event there.
        up_to_position: Inclusive.
        partition: The partition of the checkpoint; None if there is only one.
        outside_after: As for `Handling`.
    """

    position: int
    before: After
    up_to_position: int
    partition: Partition | None
    outside_after: int | None


class BatchRunner:
    """Runs the handlers of one projection, one transaction at a time.

    Args:
        store: The application's store, not joined.
        projection: The projection.
        worker: The name of the worker.
        size: How many events to read for a batch; None for a number that grows while the projection catches up.
        seconds: How long a batch may take. It is committed after the event during which this time has passed.
    """

    def __init__(
        self, store: EventStore, projection: Projection, *, worker: str, size: int | None, seconds: float
    ) -> None:
        self._store = store
        self._core = store.core
        self._projection = projection
        self._worker = worker
        self._size = BatchSize(size, seconds)
        self._seconds = seconds
        self._gate = SchemaGate(REQUIRED_BY_PROJECTIONS)
        self._order = GlobalOrder(store.core)
        self._to_uuid = store.core.dialect.to_uuid
        self._recorded = partial(
            store.core.mapper.recorded, to_uuid=store.core.dialect.to_uuid, to_time=store.core.dialect.to_time
        )
        self._one_by_one_up_to = 0
        self.partitions = 1
        """How many partitions the projection had when its checkpoint was last read."""
        self.left_out: set[int] = set()
        """The numbers of the partitions to pass, because a handler has just failed at their next event."""
        self.current = projection.name
        """The name of the checkpoint of the batch: of the projection, or of one of its partitions."""
        self._current_number: int | None = None
        self.highest = START
        """The highest checkpoint of a partition that can move, when they were last read."""
        self.is_seen = False
        """Whether a worker was marked as seen when `checkpoint` last read it. A worker that stops clears the mark."""

    def checkpoint(self) -> After:
        """Return the position of the checkpoint, with the event there. Create the checkpoint if there is none.

        If there are partitions, it is the lowest of their checkpoints that can move; `NOTHING_TO_DO` if there is none.

        Raises:
            LogWentBack: The log no longer has that event.
            UnknownProjection: It rebuilds a projection that has never run.
            PositionBeyondLog: It begins after a position that the log has never reached.
        """
        while True:
            with self._core.execution.statement() as run:
                self._gate(run)
                rows = run(find_checkpoint, name=self._projection.name)
                if rows and rows[0][_PARTITIONS] == 1:
                    self.partitions, self.current = 1, self._projection.name
                    self.is_seen = rows[0][1] is not None
                    return self._checked(run, rows[0][0], rows[0][6:11])
                found: Sequence[Row] = run(find_partitions, projection=self._projection.name) if rows else []
                if found:
                    if self.partitions != rows[0][_PARTITIONS]:
                        self.partitions = rows[0][_PARTITIONS]
                        self.left_out.clear()
                    lowest = self._lowest(run, found)
            if found:
                if rows[0][_NEXT_PARTITIONS] is not None:
                    change_partitions(self._store, self._projection.name)
                return lowest
            if not rows:
                begin(self._store, self._order, self._projection)

    def _lowest(self, run: Run, partitions: Sequence[Row]) -> After:
        self.is_seen = any(row[7] is not None for row in partitions)
        if self.current not in {row[0] for row in partitions}:
            self.current = partitions[0][0]
        rest = [row for row in partitions if row[_PARTITION_NUMBER] not in self.left_out]
        can_move = [row for row in rest if row[_STOP_POSITION] is None or row[1] < row[_STOP_POSITION]]
        if len(rest) == len(partitions) and not can_move:  # those of the new number are about to go on from there
            can_move = rest
        if not can_move:
            return NOTHING_TO_DO
        lowest, self.highest = (self._checked(run, row[1], row[2:7]) for row in (can_move[0], can_move[-1]))
        return lowest

    def _checked(self, run: Run, position: int, event: Sequence[Any]) -> After:
        """Return a checkpoint's position and event, from the columns that its statement has read.

        Raises:
            LogWentBack: The event is not at its position, and no tombstone explains it.
        """
        event_position, event_id, stream_id, version, id_there = event
        if event_id is None:
            return After(position)
        token = PositionToken(event_position, self._to_uuid(event_id), stream_id, version)
        if id_there != event_id:
            self._core.dialect.look_again(run)
            with self._naming_projection():
                check_loss(run, token, None if id_there is None else self._to_uuid(id_there))
            return After(position)
        return After(position, token)

    @contextmanager
    def _naming_projection(self) -> Iterator[None]:
        """Add the name of the projection to an error about its checkpoint."""
        name = self._projection.name
        try:
            yield
        except LogWentBack as error:
            raise LogWentBack(error.position, error.expected_id, error.found_id, name) from None
        except PositionBeyondLog as error:
            raise LogWentBack(error.position, None, None, name) from None

    def end_of_run(self) -> int:
        """Return the position of the newest event, settled or not; or that up to which a rebuild goes."""
        with self._core.execution.global_reading() as run:
            newest = self._order.horizon(run).newest
        if self._projection.rebuilds is None:
            return newest
        with self._core.execution.statement() as run:
            self._gate(run)
            return min(newest, self._limit_of_rebuild(run, None))

    def _limit_of_rebuild(self, run: Run, partition: Partition | None) -> int:
        """Return the position of the projection that this one rebuilds; the largest position if it does not matter.

        If there are handlers with outside effects, a rebuild does not pass the old projection, so that the swap can
        switch them on for exactly the events for which the old projection has not called them.
        """
        old = self._projection.rebuilds
        if old is None or self._projection.outside_handlers.is_empty:
            return MAX_VERSION
        rows = run(find_checkpoint, name=old)
        if not rows:
            raise UnknownProjection(old)
        if rows[0][_PARTITIONS] == 1:
            return int(rows[0][0])
        positions = {row[0]: int(row[1]) for row in run(find_partitions, projection=old)}
        if partition is not None and partition.partitions == rows[0][_PARTITIONS]:
            return positions.get(name_of_partition(old, partition.number, partition.partitions), 0)
        return min(positions.values(), default=0)

    def settled_after(self, checkpoint: After) -> Horizon:
        """Return how far events after the checkpoint are settled, by a log view unless more is known to be settled.

        Raises:
            LogWentBack: The log has never reached the checkpoint.
        """
        with self._core.execution.global_reading() as run, self._naming_projection():
            return self._order.settled_after(run, checkpoint)

    def handle(self, horizon: Horizon, *, up_to_position: int = MAX_VERSION, name: str | None = None) -> Batch:
        """Handle a batch of settled events.

        Args:
            horizon: How far the order is settled.
            up_to_position: Inclusive; handle no later events.
            name: The checkpoint of a partition. Defaults to None: any that is behind, and that no one has locked.

        Returns:
            The result. `Outcome.CAUGHT_UP` also if the horizon is no longer valid, so that another log view is needed.

        Raises:
            HandlerFailed: A handler has failed. The batch was rolled back.
            RepeatOneByOne: The batch has failed at its end. It was rolled back.
            LogWentBack: The log no longer has the event of the checkpoint.
        """
        with (
            self.blaming() as blame,
            self._core.observer.operation("project", projection=self._projection.name) as observed,
            self._store.transaction() as transaction,
            transaction.core.execution.statement() as run,
        ):
            span = self._span(run, horizon, up_to_position, name)
            if isinstance(span, Batch):
                return span
            begun = time.monotonic()
            guard = Guard(self._core.driver, transaction, run, blame)
            with target_of(self._projection, guard.connection) as target:
                handling = self._handling(
                    run, guard, target, observed, outside_after=span.outside_after, deadline=begun + self._seconds
                )
                handling.partition = span.partition
                end = self._handle_pages(run, handling, span.before, horizon, span.up_to_position)
            if end is None:
                return Batch(Outcome.CAUGHT_UP, 0, span.position)
            guard.end()
            blame.in_own_statement = True
            self._advance(run, span.position, end)
            blame.in_own_statement = False
            self._note(observed, handling, horizon, end)
        self._size.learn(time.monotonic() - begun, is_behind=end.position < span.up_to_position)
        return Batch(Outcome.ADVANCED, handling.handled, end.position, end)

    def _span(self, run: Run, horizon: Horizon, up_to_position: int, name: str | None) -> Span | Batch:
        """Lock a checkpoint, and return which events come next; or the result of the batch, if there are none."""
        partition = stop_position = outside_after = None
        is_plain = self.partitions == 1 and self._projection.outside_handlers.is_empty
        rows = run(lock_checkpoint, name=self._projection.name) if is_plain else self._lock(run, horizon, name)
        if not rows:  # locked, partitioned, or removed; `checkpoint` finds that out, and creates it again
            return Batch(Outcome.BUSY, 0, 0)
        if is_plain:
            position, *event = rows[0]
        else:
            position, *event, self.current, partitions, number, stop_position, outside_after = rows[0]
            partition = None if number is None else Partition(number, partitions)
            self._current_number = number
        if event[-1] != event[1]:  # it locks the newest checkpoint, and reads the log as when the statement began
            newest = run(find_checkpoint, name=self.current)[0]
            position, event = newest[0], list(newest[6:11])
        before = self._checked(run, position, event)
        up_to_position = min(horizon.settled, up_to_position)
        if stop_position is not None:
            up_to_position = min(up_to_position, stop_position)
        if not self._projection.outside_handlers.is_empty:
            outside_after = self._outside_after(run, position, outside_after)
            if outside_after == MAX_VERSION:
                up_to_position = min(up_to_position, self._limit_of_rebuild(run, partition))
        if position >= up_to_position:
            return Batch(Outcome.CAUGHT_UP, 0, position)
        return Span(position, before, up_to_position, partition, outside_after)

    @staticmethod
    def _note(observed: Observation, handling: Handling, horizon: Horizon, end: After) -> None:
        observed.note(
            events=handling.handled,
            dead_letters=handling.dead_letters,
            lag=max(horizon.settled - end.position, 0),
        )

    def leave_out_current(self) -> bool:
        """Pass the partition of the last batch from now on; return False if it was not one of a partition."""
        if self.partitions == 1 or self._current_number is None:
            return False
        self.left_out.add(self._current_number)
        return True

    def _lock(self, run: Run, horizon: Horizon, name: str | None) -> Sequence[Row]:
        """Lock the checkpoint of a partition, or of a projection with handlers with outside effects."""
        if self.partitions == 1 or name is not None:
            rows = run(lock_row, name=name or self._projection.name)
            is_other = rows and rows[0][8] is None and rows[0][7] > 1  # the projection has just got partitions
            return [] if is_other else rows
        return run(
            lock_partition,
            projection=self._projection.name,
            settled_position=horizon.settled,
            left_out=f",{','.join(map(str, sorted(self.left_out)))},",
        )

    def _outside_after(self, run: Run, position: int, outside_after: int | None) -> int:
        """Return after which position handlers with outside effects are called: after this one, if they are new."""
        if outside_after is not None:
            return outside_after
        run(set_outside_after, name=self.current, outside_after=position)
        return position

    def _handling(
        self,
        run: Run,
        guard: Guard,
        target: Any,
        observed: Observation,
        *,
        outside_after: int | None,
        deadline: float = math.inf,
    ) -> Handling:
        self._projection.handlers.check(self._core.mapper.event_types)
        if not self._projection.outside_handlers.is_empty:
            self._projection.outside_handlers.check(self._core.mapper.event_types)

        def add_dead_letter(row: Row) -> None:
            self._add_dead_letter(run, row, attempts=0, error=None)

        return self._make_handling(
            self._projection, self._recorded, guard, target, observed, outside_after, deadline, add_dead_letter
        )

    @property
    def _make_handling(self) -> Callable[..., Handling]:
        """What handles the events of a batch."""
        return Handling

    def _handle_pages(
        self,
        run: Run,
        handling: Handling,
        after: After,
        horizon: Horizon,
        up_to_position: int,
    ) -> After | None:
        """Handle events in pages, until the size of a batch is reached, or all are handled, or the time is up.

        Returns:
            Where to continue; None if the horizon is not valid.
        """
        blame = handling.guard.blame
        remaining = 1 if after.position < self._one_by_one_up_to else self._size.now
        end: After | None = None
        knows_blocked = False
        while remaining > 0 and after.position < up_to_position and (end is None or not handling.is_time_up):
            blame.in_own_statement = True
            page_size = min(remaining, self._core.page_size)
            page = self._order.page(
                run,
                self._projection.filters,
                after=after,
                horizon=horizon,
                up_to_position=up_to_position,
                page_size=page_size,
                partition=handling.partition,
            )
            if page is None:
                blame.in_own_statement = False
                break  # the pages before it were confirmed
            if page.rows and not knows_blocked:
                handling.blocked, knows_blocked = self._blocked_streams(run), True
            blame.in_own_statement = False
            last = handling.handle(page.rows)
            end = after = page.after if last is None else After(last[POSITION], self._order.token_of(last))
            remaining -= page_size
        return end

    @contextmanager
    def blaming(self) -> Iterator[Blame]:
        """Attribute an error to an event, if a handler may have caused it.

        An error at the commit, from a deferred constraint, names no event. Then the events of the batch are handled one
        by one, each in a separate transaction, until the one that causes the error is found.

        Raises:
            HandlerFailed: A handler has failed, or a deferred constraint on what it has written.
            RepeatOneByOne: Several events may have caused the error.
        """
        blame = Blame()
        try:
            yield blame
        except HandlerFailed as failure:
            self._shorten_after(failure)
            raise
        except RepeatOneByOne as several:
            self._one_by_one_up_to = several.up_to_position
            raise
        except Exception as error:
            if blame.failure is not None:  # a handler has failed, and then the rollback
                self._shorten_after(blame.failure)
                raise blame.failure from blame.failure.__cause__
            is_own = blame.in_own_statement and not isinstance(error, TransactionBroken)
            if blame.last is None or is_own or self._core.driver.is_transient(error):
                raise
            if blame.count == 1:
                raise HandlerFailed(blame.last) from error
            self._one_by_one_up_to = blame.last[POSITION]
            raise RepeatOneByOne(self._one_by_one_up_to) from error

    def _shorten_after(self, failure: HandlerFailed) -> None:
        self._size.reset()
        if failure.repeats:  # shorter transactions collide less, and lose less
            self._one_by_one_up_to = failure.row[POSITION]

    def handle_one(
        self, run: Run, transaction: EventStore, row: Row, blame: Blame, *, outside_after: int | None
    ) -> None:
        """Handle one event in the caller's transaction, inside `blaming`.

        Raises:
            HandlerFailed: Its handler has failed; roll back.
        """
        guard = Guard(self._core.driver, transaction, run, blame)
        with (
            target_of(self._projection, guard.connection) as target,
            self._core.observer.operation("project", projection=self._projection.name) as observed,
        ):
            handling = self._handling(run, guard, target, observed, outside_after=outside_after)
            handling.handle([row])
            observed.note(events=handling.handled)
        guard.end()

    def _blocked_streams(self, run: Run) -> frozenset[str]:
        return frozenset(row[0] for row in run(blocked_streams, projection=self._projection.name))

    def skip_as_dead_letter(self, row: Row, *, attempts: int, error: str) -> Batch:
        """Store the next event as a dead letter, and move the checkpoint past it."""
        with (
            self._core.observer.operation("project", projection=self._projection.name) as observed,
            self._store.transaction() as transaction,
            transaction.core.execution.statement() as run,
        ):
            rows = run(lock_row, name=self.current)
            if not rows or rows[0][0] != row[POSITION] - 1:  # another worker has moved the checkpoint
                return Batch(Outcome.BUSY, 0, 0)
            self._add_dead_letter(run, row, attempts=attempts, error=error)
            self._advance(run, rows[0][0], After(row[POSITION], self._order.token_of(row)))
            observed.note(dead_letters=1)
        return Batch(Outcome.ADVANCED, 0, row[POSITION])

    def _add_dead_letter(self, run: Run, row: Row, *, attempts: int, error: str | None) -> None:
        name, position = self._projection.name, row[POSITION]
        run(add_dead_letter, projection=name, position=position, attempts=attempts, error=error)

    def _advance(self, run: Run, old: int, end: After) -> None:
        token = end.token
        rows = run(
            advance_checkpoint,
            name=self.current,
            old=old,
            position=end.position,
            event_position=None if token is None else token.position,
            event_id=None if token is None else self._core.dialect.from_uuid(token.event_id),
            event_stream_id=None if token is None else token.stream_id,
            event_version=None if token is None else token.version,
            worker=self._worker,
        )
        if not rows:
            raise TransactionBroken("moved")
        self.is_seen = True

    def failure(self, row: Row, cause: BaseException, attempts: int) -> ProjectionFailed:
        """Return the error for an event that has failed."""
        return ProjectionFailed(
            self._projection.name,
            position=row[POSITION],
            stream_id=row[STREAM_ID],
            version=row[VERSION],
            event_type=row[EVENT_TYPE],
            event_id=self._core.dialect.to_uuid(row[EVENT_ID]),
            error_type=type(cause).__name__,
            attempts=attempts,
        )

    def mark_failed(self, failure: ProjectionFailed) -> None:
        """Record, for the status, which event has failed."""
        with self._core.execution.statement() as run:
            run(mark_failed, name=self.current, failure=_summary(failure))

    def mark_retrying(self, failure: ProjectionFailed) -> None:
        """Record, for the status, which event is retried."""
        times = "once" if failure.attempts == 1 else f"{failure.attempts} times"
        summary = f"{_summary(failure)}, tried {times}"
        with self._core.execution.statement() as run:
            run(mark_retrying, name=self.current, failure=summary, worker=self._worker)

    def mark_seen(self) -> None:
        """Record this worker's heartbeat."""
        with self._core.execution.statement() as run:
            run(mark_seen, name=self.current, worker=self._worker)

    def mark_stopped(self) -> None:
        """Record that this worker has stopped."""
        with self._core.execution.statement() as run:
            if self.partitions == 1:
                run(mark_stopped, name=self._projection.name, worker=self._worker)
            else:
                run(mark_stopped_in_partitions, projection=self._projection.name, worker=self._worker)


def runner_of(
    store: EventStore, projection: Projection, *, worker: str, size: int | None, seconds: float
) -> BatchRunner:
    """Return what runs the batches of a projection; the arguments are those of `BatchRunner`."""
    runner: type[BatchRunner] = projection.runner or BatchRunner
    return runner(store, projection, worker=worker, size=size, seconds=seconds)


def _summary(failure: ProjectionFailed) -> str:
    """Return the event and the type of the error, without payload."""
    return (
        f"{failure.error_type} at position {failure.position}: {failure.event_type!r}, "
        f"version {failure.version} of stream {failure.stream_id!r}"
    )
