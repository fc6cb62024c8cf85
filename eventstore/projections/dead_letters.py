"""Dead letters: events that a projection could not handle, kept in order until they are retried or discarded."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final
from uuid import UUID

from eventstore.backends.protocol import Dialect, Row, Run
from eventstore.common.validation import check_number, check_projection_name, check_stream_id
from eventstore.core.schema_version import SchemaGate
from eventstore.errors import InvalidInput, ProjectionRunning, UnknownProjection
from eventstore.partitions import partition_of
from eventstore.projections.batches import runner_of
from eventstore.projections.definition import Projection, name_of_partition
from eventstore.projections.guarding import HandlerFailed, pause_before_repeat
from eventstore.rows.mapper import POSITION
from eventstore.statements.projections import (
    close_dead_letter,
    fail_dead_letter,
    find_checkpoint,
    find_dead_letters,
    lock_row,
    read_pending,
)
from eventstore.store import EventStore

_PAGE: Final = 500


class DeadLetterStatus(Enum):
    """The status of a dead letter."""

    PENDING = "pending"
    """It waits to be retried or discarded. Later events of its stream become dead letters, too."""

    RESOLVED = "resolved"
    """A retry has succeeded."""

    DISCARDED = "discarded"
    """It was discarded, and is not retried."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that a projection could not handle, or one that follows such an event in its stream.

    Attributes:
        projection: The projection.
        position: The event's position; `store.read_all(after_position=position - 1, limit=1)` reads it.
        stream_id: Its stream.
        version: Its version in the stream.
        event_id: Its id.
        event_type: Its stored event type.
        status: Its status.
        attempts: How often its handler was called; 0 if it only follows another dead letter.
        error: The name of the type of the last error; None if it only follows another dead letter. The text of the
            error may have payload, so it is not stored.
        note: A note, for example why it was discarded; None if there is none.
        first_failed_at: When it became a dead letter.
        last_failed_at: When its handler last failed.
        closed_at: When it was resolved or discarded; None if it is pending.
    """

    projection: str
    position: int
    stream_id: str
    version: int
    event_id: UUID
    event_type: str
    status: DeadLetterStatus
    attempts: int
    error: str | None
    note: str | None
    first_failed_at: datetime
    last_failed_at: datetime
    closed_at: datetime | None


def letter_of(row: Row, dialect: Dialect) -> DeadLetter:
    """Return the dead letter in a row with the columns of `letter_columns`."""
    (
        projection,
        position,
        stream_id,
        version,
        event_id,
        event_type,
        status,
        attempts,
        error,
        note,
        first,
        last,
        closed,
    ) = row
    to_time = dialect.to_time
    return DeadLetter(
        projection, position, stream_id, version, dialect.to_uuid(event_id), event_type, DeadLetterStatus(status),
        attempts, error, note, to_time(first), to_time(last), None if closed is None else to_time(closed),
    )  # fmt: skip


class DeadLetters:
    """The dead letters of one store's projections: `ProjectionAdmin(store).dead_letters`."""

    def __init__(self, store: EventStore, gate: SchemaGate) -> None:
        self._store = store
        self._gate = gate

    def list(
        self, projection: str, *, status: DeadLetterStatus = DeadLetterStatus.PENDING, after_position: int = 0
    ) -> Iterator[DeadLetter]:
        """List the dead letters of a projection, in order of position, one page at a time.

        Args:
            projection: The name of the projection.
            status: Defaults to those that are pending.
            after_position: Exclusive. Defaults to 0: from the first.

        Raises:
            InvalidInput: An argument is not valid.
        """
        check_projection_name(projection)
        check_number("after_position", after_position)
        if not isinstance(status, DeadLetterStatus):
            msg = f"status must be a DeadLetterStatus, not {status!r}"
            raise InvalidInput(msg)
        return self._pages(projection, status, after_position)

    def _pages(self, projection: str, status: DeadLetterStatus, after_position: int) -> Iterator[DeadLetter]:
        while True:
            with self._store.core.execution.statement() as run:
                self._gate(run)
                rows = run(
                    find_dead_letters,
                    projection=projection,
                    status=status.value,
                    after_position=after_position,
                    page_size=_PAGE,
                )
            yield from (letter_of(row, self._store.core.dialect) for row in rows)
            if len(rows) < _PAGE:
                return
            after_position = rows[-1][1]

    def retry(self, projection: Projection, stream_id: str) -> int:
        """Retry the pending dead letters of a stream, in order, each in a separate transaction, until one fails.

        Once none is pending, later events of the stream are handled as usual.

        Args:
            projection: The projection, with handlers that can handle them now.
            stream_id: The stream.

        Returns:
            How many were resolved.

        Raises:
            ProjectionFailed: One has failed again; those before it are resolved. The cause is chained.
            ProjectionRunning: A worker is in a batch; try again.
            UnknownProjection: No projection was ever run under this name.
            InvalidInput: An argument is not valid.
        """
        check_stream_id(stream_id)
        if not isinstance(projection, Projection):
            msg = f"projection must be a Projection, with its handlers, not {type(projection).__name__}"
            raise InvalidInput(msg)
        resolved = repeats = 0
        while True:
            try:
                if not self._retry_next(projection, stream_id):
                    return resolved
            except HandlerFailed as failed:
                if repeats < failed.repeats:
                    repeats += 1
                    time.sleep(pause_before_repeat(repeats))
                    continue
                cause = failed.__cause__ or failed
                attempts = self._fail_again(projection, failed.row, type(cause).__name__)
                runner = runner_of(self._store, projection, worker="", size=1, seconds=0)
                raise runner.failure(failed.row, cause, attempts) from cause
            resolved, repeats = resolved + 1, 0

    def _retry_next(self, projection: Projection, stream_id: str) -> bool:
        """Handle the first pending dead letter of a stream; return whether there was one."""
        runner = runner_of(self._store, projection, worker="", size=1, seconds=0)
        with (
            runner.blaming() as blame,
            self._store.transaction() as transaction,
            transaction.core.execution.statement() as run,
        ):
            self._gate(run)
            outside_after = self._lock(run, projection.name, stream_id)
            rows = run(read_pending, projection=projection.name, stream_id=stream_id, page_size=1)
            if not rows:
                return False
            runner.handle_one(run, transaction, rows[0], blame, outside_after=outside_after)
            status = DeadLetterStatus.RESOLVED.value
            position = rows[0][POSITION]
            run(
                close_dead_letter,
                projection=projection.name,
                at_position=position,
                status=status,
                note=None,
            )
        return True

    def _lock(self, run: Run, name: str, stream_id: str) -> int | None:
        """Lock the checkpoint, so that no worker handles later events of the stream meanwhile.

        Returns:
            The position after which handlers with outside effects are called.
        """
        rows = run(find_checkpoint, name=name)
        if not rows:
            raise UnknownProjection(name)
        partitions, checkpoint = rows[0][11], name
        if partitions > 1:
            checkpoint = name_of_partition(name, partition_of(stream_id, partitions), partitions)
        locked = run(lock_row, name=checkpoint)
        if not locked or locked[0][7] != partitions:  # their number has just changed
            raise ProjectionRunning(name, rows[0][2])
        outside_after: int | None = locked[0][10]
        return outside_after

    def _fail_again(self, projection: Projection, row: Row, error: str) -> int:
        with self._store.core.execution.statement() as run:
            position = row[POSITION]
            rows = run(fail_dead_letter, projection=projection.name, at_position=position, error=error)
        return int(rows[0][1]) if rows else 1

    def discard(self, projection: str, position: int, *, note: str | None = None) -> bool:
        """Discard a pending dead letter, so that it is not retried. Those that follow it still wait for `retry`.

        Args:
            projection: The name of the projection.
            position: The event's position.
            note: Why it is discarded; stored with it.

        Returns:
            Whether there was a pending dead letter at the position.

        Raises:
            InvalidInput: An argument is not valid.
        """
        check_projection_name(projection)
        check_number("position", position, minimum=1)
        if note is not None and (not isinstance(note, str) or "\0" in note):
            msg = "note must be a string without the character NUL, or None"
            raise InvalidInput(msg)
        with self._store.core.execution.statement() as run:
            self._gate(run)
            status = DeadLetterStatus.DISCARDED.value
            closed = run(close_dead_letter, projection=projection, at_position=position, status=status, note=note)
        return bool(closed)
