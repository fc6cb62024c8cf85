"""Administration of projections: their status, and waiting for, resetting, swapping and removing them."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final, NamedTuple, Protocol

from sqlalchemy import Connection

from eventstore.backends.protocol import Run
from eventstore.common.backoff import Backoff
from eventstore.common.validation import MAX_VERSION, check_number, check_projection_name, check_seconds
from eventstore.core.schema_version import REQUIRED_BY_PROJECTIONS, SchemaGate
from eventstore.errors import DeadLettersPending, InvalidInput, ProjectionBehind, ProjectionRunning, UnknownProjection
from eventstore.partitions import partition_of
from eventstore.projections.changing_partitions import change_partitions, plan
from eventstore.projections.dead_letters import DeadLetters
from eventstore.projections.definition import check_partitions, name_of_partition
from eventstore.projections.status import (
    COUNTED_AT_MOST,
    SEEN_WITHIN_SECONDS,
    PartitionStatus,
    ProjectionStatus,
    combined,
)
from eventstore.statements.projections import (
    count_dead_letters,
    count_events_after,
    count_pending_after,
    count_some_dead_letters,
    delete_checkpoint,
    delete_dead_letters,
    delete_dead_letters_after,
    delete_partitions,
    find_checkpoint,
    find_checkpoints,
    find_partitions,
    lock_row,
    move_partition,
    next_event_time,
    rename_checkpoint,
    rename_dead_letters,
    reset_checkpoint,
    set_back_checkpoint,
    set_outside_after,
)
from eventstore.store import EventStore, check_store
from eventstore.tokens import After, PositionToken

_SHORTEST_PAUSE_SECONDS: Final = 0.002
_LONGEST_PAUSE_SECONDS: Final = 0.05

InTransaction = Callable[[Connection], object]


class HasPosition(Protocol):
    """What has the position of an event: the result of an append or of a command, an event, or a token."""

    @property
    def position(self) -> int:
        """The position; 0 if there is no event."""
        ...


def _position_of(result_or_position: HasPosition | int) -> int:
    """Return the position of what a caller has.

    Raises:
        InvalidInput: It has none.
    """
    position = getattr(result_or_position, "position", result_or_position)
    if isinstance(position, bool) or not isinstance(position, int):
        msg = (
            "result_or_position must be the result of an append, of a repository or of a decision, an event, a "
            f"PositionToken or an integer, not {type(result_or_position).__name__}"
        )
        raise InvalidInput(msg)
    return check_number("result_or_position", position)


class ProjectionAdmin:
    """Manages the projections of one store, by name.

    Args:
        store: The application's store, not joined.

    Example:
        ```python
        projections = ProjectionAdmin(store)
        result = store.append("order-42", events, expected_version=1)
        projections.wait_for("order-totals", result)
        ```
    """

    def __init__(self, store: EventStore) -> None:
        check_store(store)
        self._store = store
        self._gate = SchemaGate(REQUIRED_BY_PROJECTIONS)

    @property
    def dead_letters(self) -> DeadLetters:
        """The events that projections could not handle."""
        return DeadLetters(self._store, self._gate)

    def status(self, *names: str, count_at_most: int | None = None) -> list[ProjectionStatus]:
        """Return the status of projections that were ever run, in order of their names. It locks nothing.

        Args:
            names: The names of the projections. Defaults to all.
            count_at_most: Count lag and dead letters up to this number only, from 1. Defaults to None: the lag is
                counted up to a million, and all dead letters are.

        Raises:
            InvalidInput: An argument is not valid.
        """
        to_time = self._store.core.dialect.to_time
        at_most = COUNTED_AT_MOST
        if count_at_most is not None:
            at_most = min(check_number("count_at_most", count_at_most, minimum=1), at_most)
        with self._run() as run:
            checkpoints = [row for row in run(find_checkpoints) if not names or row[0] in names]
            pending = self._pending(run, {row[0] for row in checkpoints}, count_at_most)
            lags = {}
            for position in {row[1] for row in checkpoints}:
                ((lag_events,),) = run(count_events_after, after_position=position, at_most=at_most)
                oldest = run(next_event_time, after_position=position)
                lags[position] = lag_events, to_time(oldest[0][0]) if oldest else None
        statuses: dict[str, list[PartitionStatus]] = {}
        more: dict[str, tuple[int, int | None]] = {}
        for row in checkpoints:
            (
                name, position, worker, failure, updated, seen, failed, now, log_went_back,
                number, _, started_after, next_partitions,
            ) = row  # fmt: skip
            lag_events, oldest_at = lags[position]
            lag = timedelta() if oldest_at is None else to_time(now) - oldest_at
            more[name] = started_after, next_partitions
            status = PartitionStatus(
                number=number or 1,
                position=position,
                lag_events=lag_events,
                lag_seconds=max(lag.total_seconds(), 0.0),
                updated_at=to_time(updated),
                worker=worker,
                is_running=self._was_seen(seen, now),
                failure=None if failed is None else failure,
                failed_at=None if failed is None else to_time(failed),
                log_went_back=bool(log_went_back),
                retrying=failure if failed is None else None,
            )
            statuses.setdefault(name, []).append(status)
        return [
            combined(
                name,
                partitions,
                dead_letters=pending.get(name, 0),
                started_after=more[name][0],
                next_partitions=more[name][1],
            )
            for name, partitions in statuses.items()
        ]

    @staticmethod
    def _pending(run: Run, names: set[str], count_at_most: int | None) -> dict[str, int]:
        """Return the number of pending dead letters of projections; none for those that have none."""
        if count_at_most is None:
            return {row[0]: row[1] for row in run(count_dead_letters)}
        return {name: run(count_some_dead_letters, projection=name, at_most=count_at_most)[0][0] for name in names}

    def position(self, name: str) -> int:
        """Return the position of a projection's checkpoint; of its partitions, the lowest one.

        Raises:
            UnknownProjection: No projection was ever run under this name.
        """
        check_projection_name(name)
        with self._run() as run:
            reached = self._reached(run, name)
        if reached is None:
            raise UnknownProjection(name)
        return reached[0]

    @staticmethod
    def _reached(run: Run, name: str, stream_id: str | None = None) -> tuple[int, str | None, Any] | None:
        """Return the position that a projection has reached, its failure and when it has failed; None if it is unknown.

        Of several partitions it is the one with the lowest position; or that of the stream, if there is one.
        """
        rows = run(find_checkpoint, name=name)
        if not rows:
            return None
        if rows[0][11] == 1:
            return int(rows[0][0]), rows[0][3], rows[0][5]
        found = run(find_partitions, projection=name)
        if stream_id is not None:
            number = partition_of(stream_id, rows[0][11])
            # By name, which has the number of partitions: that may have changed since the first statement.
            found = [row for row in found if row[0] == name_of_partition(name, number, rows[0][11])]
        return (int(found[0][1]), found[0][9], found[0][10]) if found else (0, None, None)

    def wait_for(self, name: str, result_or_position: HasPosition | int, *, timeout_seconds: float = 10.0) -> int:
        """Wait until a projection has handled an append, and everything before it.

        If the projection has partitions, and the result, event or token is of one stream, wait for the partition of
        this stream only; for a bare position and for the result of a decision, wait for all.

        It also waits for a projection that was never run. An event that has become a dead letter counts as handled.

        Args:
            name: The projection.
            result_or_position: The result of an append, of a repository or of a decision, an event, a token, or a
                position. If a command had nothing to append, there is nothing to wait for.
            timeout_seconds: How long to wait.

        Returns:
            The position of the projection's checkpoint by then.

        Raises:
            ProjectionBehind: The projection has not reached the position in time. It is a TimeoutError, too.
            InvalidInput: An argument is not valid.
        """
        check_projection_name(name)
        check_seconds("timeout_seconds", timeout_seconds)
        target = _position_of(result_or_position)
        # The result of a decision has no token: its queries are about other streams, too.
        token = getattr(result_or_position, "token", result_or_position)
        stream_id = token.stream_id if isinstance(token, PositionToken) else None
        start, backoff = time.monotonic(), Backoff(_SHORTEST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
        while True:
            with self._run() as run:
                position, failure, failed_at = self._reached(run, name, stream_id) or (0, None, None)
            if position >= target:
                return position
            elapsed = time.monotonic() - start
            if elapsed >= timeout_seconds:
                cause = {"failure": failure} if failed_at is not None else {"retrying": failure}
                raise ProjectionBehind(name, position, target, waited_seconds=round(elapsed, 3), **cause)
            self._store.core.driver.waiting.pause(min(backoff.pause(), timeout_seconds - elapsed))

    def reset(
        self,
        name: str,
        *,
        after_position: int | PositionToken | None = None,
        in_transaction: InTransaction | None = None,
    ) -> None:
        """Set a projection back to where it began, or to a position, and delete its dead letters after that.

        It then handles the events again. Handlers with outside effects are not called again for those that it has
        handled; but a relay sends them again.

        Args:
            name: The projection.
            after_position: A position or a token. The events after it are handled again; a partition that is not as far
                stays where it is. Dead letters up to there stay. Defaults to None: where the projection began.
            in_transaction: Called with the connection of the same transaction, so that you can empty your tables there.

        Raises:
            ProjectionRunning: A worker is running it.
            DeadLettersPending: It has dead letters whose outside effects would never happen.
            UnknownProjection: No projection was ever run under this name.
            InvalidInput: The position is not valid.
        """
        after = None if after_position is None else After.of(after_position).position
        with self._stopped(name) as (run, connection, (checkpoints,)):
            if checkpoints[0].outside_after is not None:
                self._check_letters(run, name, checkpoints)
            if in_transaction is not None:
                in_transaction(connection)
            if after is None:
                run(delete_dead_letters, projection=name)
            else:
                run(delete_dead_letters_after, projection=name, after_position=after)
            for checkpoint in checkpoints:
                if after is None:
                    run(reset_checkpoint, name=checkpoint.name)
                else:
                    run(set_back_checkpoint, name=checkpoint.name, after_position=after)

    def remove(self, name: str, *, in_transaction: InTransaction | None = None) -> None:
        """Delete a projection's checkpoint and its dead letters.

        Args:
            name: The projection.
            in_transaction: Called with the connection of the same transaction, so that you can drop your tables there.

        Raises:
            ProjectionRunning: A worker is running it.
            UnknownProjection: No projection was ever run under this name.
        """
        with self._stopped(name) as (run, connection, _):
            if in_transaction is not None:
                in_transaction(connection)
            self._delete(run, name)

    def swap(self, name: str, rebuilt: str, *, in_transaction: InTransaction | None = None) -> None:
        """Replace a projection by one that was rebuilt under another name, in one transaction.

        The rebuilt one takes the name, and keeps its checkpoints and dead letters. Those of the old one are deleted. If
        the rebuilt one has handlers with outside effects, they are called from here on: for events after the position
        of the old one.

        Args:
            name: The old projection.
            rebuilt: The new one, which must have reached the position of the old one; with handlers with outside
                effects, exactly that position.
            in_transaction: Called with the connection of the same transaction, so that you can rename your tables
                there.

        Raises:
            ProjectionRunning: A worker is running one of them.
            ProjectionBehind: The rebuilt one has not reached the position of the old one. Run it until it has caught
                up. Or the partitions of the old one are at different positions, and outside effects begin at one: run
                the old one until it has caught up, too.
            DeadLettersPending: The old one has dead letters whose outside effects would never happen.
            UnknownProjection: No projection was ever run under one of these names.
            InvalidInput: Both names are the same.
        """
        if check_projection_name(name) == check_projection_name(rebuilt):
            msg = f"a projection can't replace itself; both names are {name!r}"
            raise InvalidInput(msg)
        with self._stopped(name, rebuilt) as (run, connection, (old, new)):
            begins_outside = new[0].outside_after == MAX_VERSION
            pairs = _pairs(old, new)
            for before, after in pairs:
                if after.position < before.position:
                    raise ProjectionBehind(rebuilt, after.position, before.position)
                if begins_outside and after.position > before.position:
                    raise ProjectionBehind(name, before.position, after.position)
            if begins_outside:
                self._check_letters(run, name, old)
            if in_transaction is not None:
                in_transaction(connection)
            self._delete(run, name)
            for before, after in pairs if begins_outside else ():
                outside_after = max(before.outside_after or 0, before.position)
                run(set_outside_after, name=after.name, outside_after=outside_after)
            partitions = [each for each in new if each.number is not None]
            for each in partitions:
                moved = name_of_partition(name, each.number or 1, len(partitions))
                run(move_partition, name=each.name, new_name=moved, new_partition_of=name)
            run(rename_checkpoint, name=rebuilt, new_name=name)
            run(rename_dead_letters, name=rebuilt, new_name=name)

    def set_partitions(self, name: str, partitions: int, *, timeout_seconds: float = 60.0) -> None:
        """Change how many partitions a projection has, while its workers run.

        The workers stop at one common position of all partitions, and continue from there with the new ones. From one
        partition to several, that is at once. Otherwise it needs a worker that runs, unless all partitions are at the
        same position. If it takes too long, or is interrupted, the change stays planned: the workers complete it. Call
        this with the present number to cancel it.

        Args:
            name: The projection.
            partitions: Their number from now on, from 1 to 256.
            timeout_seconds: How long to wait.

        Raises:
            ProjectionBehind: A partition has not reached the common position in time. Or the projection was reset, and
                has to catch up first, because its handlers with outside effects are switched off until then.
            UnknownProjection: No projection was ever run under this name.
            InvalidInput: An argument is not valid, or another projection has the name of one of its partitions.
        """
        check_projection_name(name)
        check_partitions("partitions", partitions)
        if partitions > 1:
            check_projection_name(name_of_partition(name, partitions, partitions))
        check_seconds("timeout_seconds", timeout_seconds)
        with self._run():
            pass  # checks the schema
        if plan(self._store, name, partitions):
            return
        start, backoff = time.monotonic(), Backoff(_SHORTEST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
        while (common := change_partitions(self._store, name, waits=True)) is not None:
            elapsed = time.monotonic() - start
            if elapsed >= timeout_seconds:
                with self._run() as run:
                    position, failure, failed_at = self._reached(run, name) or (0, None, None)
                cause = {"failure": failure} if failed_at is not None else {"retrying": failure}
                raise ProjectionBehind(name, position, common, waited_seconds=round(elapsed, 3), **cause)
            self._store.core.driver.waiting.pause(min(backoff.pause(), timeout_seconds - elapsed))

    @contextmanager
    def _run(self) -> Iterator[Run]:
        with self._store.core.execution.statement() as run:
            self._gate(run)
            yield run

    @contextmanager
    def _stopped(self, *names: str) -> Iterator[tuple[Run, Connection, list[list["_Locked"]]]]:
        """Open a transaction in which no worker can begin a batch of these projections, and yield their checkpoints."""
        for name in names:
            check_projection_name(name)
        with self._store.transaction() as transaction, transaction.core.execution.statement() as run:
            self._gate(run)
            locked = {name: self._locked(run, name) for name in sorted(names)}
            yield run, transaction.connection, [locked[name] for name in names]

    def _locked(self, run: Run, name: str) -> list["_Locked"]:
        """Lock the checkpoints of a projection, and return them.

        Raises:
            ProjectionRunning: A worker is in a batch, or was seen lately.
            UnknownProjection: No projection was ever run under this name.
        """
        locked = run(lock_row, name=name)
        rows = run(find_checkpoint, name=name)
        if not rows:
            raise UnknownProjection(name)
        _, seen, worker, _, now, *_ = rows[0]
        if not locked or self._was_seen(seen, now):
            raise ProjectionRunning(name, worker)
        if rows[0][11] == 1:
            return [_Locked(name, int(rows[0][0]), None, rows[0][14])]
        checkpoints = []
        for partition in sorted(run(find_partitions, projection=name), key=lambda row: row[12]):
            locked = run(lock_row, name=partition[0])
            if not locked or self._was_seen(partition[7], now):
                raise ProjectionRunning(name, partition[8])
            checkpoints.append(_Locked(partition[0], int(locked[0][0]), partition[12], locked[0][10]))
        return checkpoints

    @staticmethod
    def _delete(run: Run, name: str) -> None:
        run(delete_dead_letters, projection=name)
        run(delete_partitions, projection=name)
        run(delete_checkpoint, name=name)

    @staticmethod
    def _check_letters(run: Run, name: str, checkpoints: list["_Locked"]) -> None:
        """Check that no event whose outside effects are still to happen is a dead letter.

        Raises:
            DeadLettersPending: One is.
        """
        after_position = min(each.outside_after or 0 for each in checkpoints)
        ((pending,),) = run(count_pending_after, projection=name, after_position=after_position)
        if pending:
            raise DeadLettersPending(name, pending)

    def _was_seen(self, seen: Any, now: Any) -> bool:
        to_time = self._store.core.dialect.to_time
        return seen is not None and (to_time(now) - to_time(seen)).total_seconds() < SEEN_WITHIN_SECONDS


class _Locked(NamedTuple):
    """A checkpoint that is locked: of a projection, or, with a number, of one of its partitions."""

    name: str
    position: int
    number: int | None
    outside_after: int | None


def _pairs(old: list[_Locked], new: list[_Locked]) -> list[tuple[_Locked, _Locked]]:
    """Return which old checkpoints are compared with which new ones: all, unless their streams are the same."""
    if len(old) == len(new):
        return list(zip(old, new, strict=True))
    return [(before, after) for after in new for before in old]
