"""Administration of projections: their status, and waiting for, resetting, swapping and removing them."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from sqlalchemy import Connection

from eventstore.backends.protocol import Run
from eventstore.common.backoff import Backoff
from eventstore.common.validation import check_number, check_projection_name, check_seconds
from eventstore.core.schema_version import REQUIRED_BY_PROJECTIONS, SchemaGate
from eventstore.errors import InvalidInput, ProjectionBehind, ProjectionRunning, UnknownProjection
from eventstore.projections.dead_letters import DeadLetters
from eventstore.statements.projections import (
    count_dead_letters,
    count_events_after,
    delete_checkpoint,
    delete_dead_letters,
    find_checkpoint,
    find_checkpoints,
    lock_checkpoint,
    next_event_time,
    rename_checkpoint,
    rename_dead_letters,
    set_checkpoint,
)
from eventstore.store import EventStore

SEEN_WITHIN_SECONDS: Final = 20.0
"""A worker without a heartbeat for longer than this is dead, or has no connection."""

COUNTED_AT_MOST: Final = 1_000_000
"""The largest `lag_events`. Counting takes about a tenth of a second for each million."""

_SHORTEST_PAUSE_SECONDS: Final = 0.002
_LONGEST_PAUSE_SECONDS: Final = 0.05

InTransaction = Callable[[Connection], object]


@dataclass(frozen=True, slots=True)
class ProjectionStatus:
    """The status of a projection.

    Attributes:
        name: The projection.
        position: The position of its checkpoint. Everything up to there has been handled.
        lag_events: The lag: how many events of the global order come after that, whether they match or not; counted up
            to a million.
        lag_seconds: How long ago the first of these was stored, by the database's clock; 0 if there is none.
        dead_letters: How many dead letters are pending.
        updated_at: When the checkpoint last moved.
        worker: The worker that was last seen, as host and process; None if there was none.
        is_running: Whether a worker was seen within the last 20 seconds, and has not stopped since.
        failure: The event at which the projection has stopped, and the type of the error; None if it has not stopped.
        failed_at: When it has stopped.
        log_went_back: Whether the log no longer has the event of the checkpoint, see `LogWentBack`. Rebuild the
            projection then.
        retrying: The event that its worker retries, the type of the last error and the number of attempts; None if
            there is none. If the projection is not running, this is from when its worker was last seen.
    """

    name: str
    position: int
    lag_events: int
    lag_seconds: float
    dead_letters: int
    updated_at: datetime
    worker: str | None
    is_running: bool
    failure: str | None
    failed_at: datetime | None
    log_went_back: bool = False
    retrying: str | None = None

    @property
    def state(self) -> str:
        """A summary: `log went back`, `failed` at an event, `retrying` one, `running`, or `stopped`."""
        if self.log_went_back:
            return "log went back"
        if self.failure is not None:
            return "failed"
        if not self.is_running:
            return "stopped"
        return "running" if self.retrying is None else "retrying"


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
        if not isinstance(store, EventStore) or store.core.execution.is_joined:
            msg = "store must be an EventStore that is not joined to a transaction; pass the application's"
            raise InvalidInput(msg)
        self._store = store
        self._gate = SchemaGate(REQUIRED_BY_PROJECTIONS)

    @property
    def dead_letters(self) -> DeadLetters:
        """The events that projections could not handle."""
        return DeadLetters(self._store, self._gate)

    def status(self, *names: str) -> list[ProjectionStatus]:
        """Return the status of projections that were ever run, in order of their names. It locks nothing.

        Args:
            names: The names of the projections. Defaults to all.
        """
        to_time = self._store.core.dialect.to_time
        statuses = []
        with self._run() as run:
            pending: dict[str, int] = {row[0]: row[1] for row in run(count_dead_letters)}
            for name, position, worker, failure, updated, seen, failed, now, log_went_back in run(find_checkpoints):
                if names and name not in names:
                    continue
                ((lag_events,),) = run(count_events_after, after_position=position, at_most=COUNTED_AT_MOST)
                oldest = run(next_event_time, after_position=position)
                lag = to_time(now) - to_time(oldest[0][0]) if oldest else timedelta()
                status = ProjectionStatus(
                    name=name,
                    position=position,
                    lag_events=lag_events,
                    lag_seconds=max(lag.total_seconds(), 0.0),
                    dead_letters=pending.get(name, 0),
                    updated_at=to_time(updated),
                    worker=worker,
                    is_running=self._was_seen(seen, now),
                    failure=None if failed is None else failure,
                    failed_at=None if failed is None else to_time(failed),
                    log_went_back=bool(log_went_back),
                    retrying=failure if failed is None else None,
                )
                statuses.append(status)
        return statuses

    def position(self, name: str) -> int:
        """Return the position of a projection's checkpoint.

        Raises:
            UnknownProjection: No projection was ever run under this name.
        """
        with self._run() as run:
            rows = run(find_checkpoint, name=check_projection_name(name))
        if not rows:
            raise UnknownProjection(name)
        return int(rows[0][0])

    def wait_for(self, name: str, result_or_position: HasPosition | int, *, timeout_seconds: float = 10.0) -> int:
        """Wait until a projection has handled an append, and everything before it.

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
        start, backoff = time.monotonic(), Backoff(_SHORTEST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
        while True:
            with self._run() as run:
                rows = run(find_checkpoint, name=name)
            position, failure, failed_at = (int(rows[0][0]), rows[0][3], rows[0][5]) if rows else (0, None, None)
            if position >= target:
                return position
            elapsed = time.monotonic() - start
            if elapsed >= timeout_seconds:
                cause = {"failure": failure} if failed_at is not None else {"retrying": failure}
                raise ProjectionBehind(name, position, target, waited_seconds=round(elapsed, 3), **cause)
            self._store.core.driver.waiting.pause(min(backoff.pause(), timeout_seconds - elapsed))

    def reset(self, name: str, *, in_transaction: InTransaction | None = None) -> None:
        """Set a projection back to the first event, and delete its dead letters.

        Args:
            name: The projection.
            in_transaction: Called with the connection of the same transaction, so that you can empty your tables there.

        Raises:
            ProjectionRunning: A worker is running it.
            UnknownProjection: No projection was ever run under this name.
        """
        with self._stopped(name) as (run, connection):
            if in_transaction is not None:
                in_transaction(connection)
            run(delete_dead_letters, projection=name)
            run(set_checkpoint, name=name, position=0)

    def remove(self, name: str, *, in_transaction: InTransaction | None = None) -> None:
        """Delete a projection's checkpoint and its dead letters.

        Args:
            name: The projection.
            in_transaction: Called with the connection of the same transaction, so that you can drop your tables there.

        Raises:
            ProjectionRunning: A worker is running it.
            UnknownProjection: No projection was ever run under this name.
        """
        with self._stopped(name) as (run, connection):
            if in_transaction is not None:
                in_transaction(connection)
            run(delete_dead_letters, projection=name)
            run(delete_checkpoint, name=name)

    def swap(self, name: str, rebuilt: str, *, in_transaction: InTransaction | None = None) -> None:
        """Replace a projection by one that was rebuilt under another name, in one transaction.

        The rebuilt one takes the name, and keeps its checkpoint and dead letters. Those of the old one are deleted.

        Args:
            name: The old projection.
            rebuilt: The new one, which must have reached the position of the old one.
            in_transaction: Called with the connection of the same transaction, so that you can rename your tables
                there.

        Raises:
            ProjectionRunning: A worker is running one of them.
            ProjectionBehind: The rebuilt one has not reached the position of the old one. Run it until it has caught
                up.
            UnknownProjection: No projection was ever run under one of these names.
            InvalidInput: Both names are the same.
        """
        if check_projection_name(name) == check_projection_name(rebuilt):
            msg = f"a projection can't replace itself; both names are {name!r}"
            raise InvalidInput(msg)
        with self._stopped(*sorted({name, rebuilt})) as (run, connection):
            ((old, *_),) = run(lock_checkpoint, name=name)
            ((new, *_),) = run(lock_checkpoint, name=rebuilt)
            if new < old:
                raise ProjectionBehind(rebuilt, new, old)
            if in_transaction is not None:
                in_transaction(connection)
            run(delete_dead_letters, projection=name)
            run(delete_checkpoint, name=name)
            run(rename_checkpoint, name=rebuilt, new_name=name)
            run(rename_dead_letters, name=rebuilt, new_name=name)

    @contextmanager
    def _run(self) -> Iterator[Run]:
        with self._store.core.execution.statement() as run:
            self._gate(run)
            yield run

    @contextmanager
    def _stopped(self, *names: str) -> Iterator[tuple[Run, Connection]]:
        """Open a transaction in which no worker can begin a batch of these projections."""
        for name in names:
            check_projection_name(name)
        with self._store.transaction() as transaction, transaction.core.execution.statement() as run:
            self._gate(run)
            for name in names:
                locked = run(lock_checkpoint, name=name)
                rows = run(find_checkpoint, name=name)
                if not rows:
                    raise UnknownProjection(name)
                _, seen, worker, _, now, *_ = rows[0]
                if not locked or self._was_seen(seen, now):
                    raise ProjectionRunning(name, worker)
            yield run, transaction.connection

    def _was_seen(self, seen: Any, now: Any) -> bool:
        to_time = self._store.core.dialect.to_time
        return seen is not None and (to_time(now) - to_time(seen)).total_seconds() < SEEN_WITHIN_SECONDS
