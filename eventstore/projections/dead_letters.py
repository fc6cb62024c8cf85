"""Dead letters: events that a projection could not handle, kept in order until somebody deals with them."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Final
from uuid import UUID

from eventstore.backends.protocol import Row
from eventstore.common.validation import check_number, check_projection_name, check_stream_id
from eventstore.core.schema_version import SchemaGate
from eventstore.errors import InvalidInput, ProjectionRunning, UnknownProjection
from eventstore.projections.batches import Batches
from eventstore.projections.definition import Projection
from eventstore.projections.guarding import HandlerFailed, pause_before_repeat
from eventstore.rows.mapper import POSITION
from eventstore.statements.projections import (
    close_dead_letter,
    fail_dead_letter,
    find_checkpoint,
    find_dead_letters,
    lock_checkpoint,
    read_pending,
)
from eventstore.store import EventStore

_PAGE: Final = 500


class DeadLetterStatus(Enum):
    """What has become of a dead letter."""

    PENDING = "pending"
    """It waits; later events of its stream follow it."""

    RESOLVED = "resolved"
    """It was tried again, with success."""

    DISCARDED = "discarded"
    """Somebody has decided to do without it."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that a projection could not handle, or one that follows such an event in its stream.

    Attributes:
        projection: The projection.
        position: The event's position; `store.read_all(after_position=position - 1, limit=1)` reads it.
        stream_id: Its stream.
        version: Its version in the stream.
        event_id: Its id.
        event_type: Its type, as it is stored.
        status: What has become of it.
        attempts: How often it was tried; 0 if it only follows.
        error: The name of the type of the last error, None if it only follows. What the error said may hold payload,
            and goes to your own log only.
        note: What somebody has said about it.
        first_failed_at: When it was put here.
        last_failed_at: When it was last tried in vain.
        closed_at: When it was resolved or discarded.
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


class DeadLetters:
    """The dead letters of one store's projections: `ProjectionAdmin(store).dead_letters`."""

    def __init__(self, store: EventStore, gate: SchemaGate) -> None:
        self._store = store
        self._gate = gate

    def list(
        self, projection: str, *, status: DeadLetterStatus = DeadLetterStatus.PENDING, after_position: int = 0
    ) -> Iterator[DeadLetter]:
        """List the dead letters of a projection, in order of position, page by page.

        Args:
            projection: Its name.
            status: Defaults to those that wait.
            after_position: Exclusive. Defaults to 0: from the first.

        Raises:
            InvalidInput: An argument is not valid.
        """
        check_projection_name(projection)
        check_number("after_position", after_position)
        if not isinstance(status, DeadLetterStatus):
            msg = f"status is a DeadLetterStatus, not {status!r}"
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
            yield from map(self._letter, rows)
            if len(rows) < _PAGE:
                return
            after_position = rows[-1][1]

    def _letter(self, row: Row) -> DeadLetter:
        (
            projection, position, stream_id, version, event_id, event_type, status, attempts, error, note, first, last,
            closed,
        ) = row  # fmt: skip
        to_time = self._store.core.dialect.to_time
        return DeadLetter(
            projection, position, stream_id, version, self._store.core.dialect.to_uuid(event_id), event_type,
            DeadLetterStatus(status), attempts, error, note, to_time(first), to_time(last),
            None if closed is None else to_time(closed),
        )  # fmt: skip

    def retry(self, projection: Projection, stream_id: str) -> int:
        """Try the pending events of a stream again, in order, each in a transaction of its own, until one fails.

        Once none is pending, later events of the stream are handled as usual.

        Args:
            projection: The projection, with handlers that can deal with them by now.
            stream_id: The stream.

        Returns:
            How many were resolved.

        Raises:
            ProjectionFailed: One has failed again; those before it are resolved. The cause is chained.
            ProjectionRunning: A worker is in the midst of a batch; try again.
            UnknownProjection: None has ever been run under this name.
            InvalidInput: An argument is not valid.
        """
        check_stream_id(stream_id)
        if not isinstance(projection, Projection):
            msg = f"projection is a Projection, with its handlers, not {type(projection).__name__}"
            raise InvalidInput(msg)
        resolved = repeated = 0
        while True:
            try:
                if not self._retry_next(projection, stream_id):
                    return resolved
            except HandlerFailed as failed:
                if repeated < failed.repeats:
                    repeated += 1
                    time.sleep(pause_before_repeat(repeated))
                    continue
                cause = failed.__cause__ or failed
                attempts = self._fail_again(projection, failed.row, type(cause).__name__)
                batches = Batches(self._store, projection, worker="", size=1, seconds=0)
                raise batches.failure(failed.row, cause, attempts) from cause
            resolved, repeated = resolved + 1, 0

    def _retry_next(self, projection: Projection, stream_id: str) -> bool:
        """Handle the first pending event of a stream; return whether there was one."""
        batches = Batches(self._store, projection, worker="", size=1, seconds=0)
        with (
            batches.blaming() as blame,
            self._store.transaction() as transaction,
            transaction.core.execution.statement() as run,
        ):
            self._gate(run)
            self._lock(run, projection.name)
            rows = run(read_pending, projection=projection.name, stream_id=stream_id, page_size=1)
            if not rows:
                return False
            batches.handle_one(run, transaction, rows[0], blame)
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

    def _lock(self, run: Any, name: str) -> None:
        """Keep workers from beginning a batch, in which later events of the stream may be among."""
        if not run(lock_checkpoint, name=name):
            rows = run(find_checkpoint, name=name)
            if not rows:
                raise UnknownProjection(name)
            raise ProjectionRunning(name, rows[0][2])

    def _fail_again(self, projection: Projection, row: Row, error: str) -> int:
        with self._store.core.execution.statement() as run:
            position = row[POSITION]
            rows = run(fail_dead_letter, projection=projection.name, at_position=position, error=error)
        return int(rows[0][1]) if rows else 1

    def discard(self, projection: str, position: int, *, note: str | None = None) -> bool:
        """Do without an event: it is not tried again. Those that follow it in its stream still wait for `retry`.

        Args:
            projection: The name of the projection.
            position: The event's position.
            note: Why, for those who come later.

        Returns:
            Whether there was a pending one.

        Raises:
            InvalidInput: An argument is not valid.
        """
        check_projection_name(projection)
        check_number("position", position, minimum=1)
        if note is not None and (not isinstance(note, str) or "\0" in note):
            msg = "note is a string without the character NUL, or None"
            raise InvalidInput(msg)
        with self._store.core.execution.statement() as run:
            self._gate(run)
            status = DeadLetterStatus.DISCARDED.value
            closed = run(close_dead_letter, projection=projection, at_position=position, status=status, note=note)
        return bool(closed)
