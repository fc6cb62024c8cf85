"""Sending the events of a batch: all of its messages together; then the checkpoint moves."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Protocol, cast

from eventstore.backends.protocol import Row, Run
from eventstore.common.file_lock import HAS_FILE_LOCKS, file_locked
from eventstore.common.validation import MAX_VERSION
from eventstore.core.settling import Horizon
from eventstore.errors import TargetGone, TargetUnavailable
from eventstore.events import RecordedEvent
from eventstore.projections.batches import Batch, BatchRunner, Outcome, Span
from eventstore.projections.guarding import HandlerFailed, RepeatOneByOne
from eventstore.projections.handling import Blame, Guard, Handling
from eventstore.relay.messages import Message
from eventstore.rows.mapper import POSITION, STREAM_ID
from eventstore.statements.projections import lock_row


class Relayed(Protocol):
    """What a `RelayProjection` is to the code of this module."""

    @property
    def events_at_once(self) -> int:
        """How many events are sent together at most."""
        ...

    def messages_of(self, events: Iterable[RecordedEvent]) -> list[Message]:
        """Return the messages about a stored event, of which upcasters may have made several, or none."""
        ...

    def send(self, messages: list[Message]) -> None:
        """Send messages, and return when the target has taken all of them."""
        ...


@dataclass(slots=True)
class Sending(Handling):
    """The handling of the events of a batch by sending messages about them, all together. The batch ends then."""

    def handle(self, rows: Sequence[Row]) -> Row | None:
        """Send messages about the events of rows, until there are enough; see `Handling.handle`.

        Raises:
            HandlerFailed: A message can't be made, or the target has not taken it.
            RepeatOneByOne: The target has not taken the messages about several events, and any of them may be the
                cause.
        """
        messages: list[Message] = []
        sent: list[Row] = []
        last = None
        for row in rows:
            if row[STREAM_ID] in self.blocked:
                if self._concerns(row):
                    self.add_dead_letter(row)
                    self.dead_letters += 1
                continue
            try:
                more = self._messages_of(row)
            except Exception as error:
                raise self.guard.fail(row, error) from error
            if more:
                messages += more
                sent.append(row)
                if len(sent) == self._relayed.events_at_once:
                    last = row
                    break
        if messages:
            self._send(messages, sent)
        return last

    @property
    def _relayed(self) -> Relayed:
        return cast(Relayed, self.projection)

    def _messages_of(self, row: Row) -> list[Message]:
        events = list(self.recorded([row]))
        messages = self._relayed.messages_of(events)
        if messages:
            self.observed.caused_by(events[0].metadata)
        return messages

    def _send(self, messages: list[Message], rows: list[Row]) -> None:
        self.guard.begin()
        try:
            self._relayed.send(messages)
            self.guard.check()
        except Exception as error:
            if len(rows) > 1 and not isinstance(error, TargetUnavailable | TargetGone):
                raise RepeatOneByOne(rows[-1][POSITION]) from error
            raise self.guard.fail(rows[0], error) from error
        self.handled += len(rows)
        self.deadline = -math.inf

    def _concerns(self, row: Row) -> bool:
        try:
            return bool(self._messages_of(row))
        except Exception:  # noqa: BLE001  # it will fail again when it is retried, and is shown then
            return True


class RelayRunner(BatchRunner):
    """Runs the batches of a relay.

    On PostgreSQL, the transaction of a batch holds the lock of the checkpoint while the target is called, so that no
    other relay sends the same messages, or later ones. On SQLite, such a transaction would keep out all appends. So
    there, a file next to the database is locked instead, and the transaction begins when the target has returned.
    """

    @property
    def _make_handling(self) -> Callable[..., Handling]:
        return Sending

    def handle(self, horizon: Horizon, *, up_to_position: int = MAX_VERSION, name: str | None = None) -> Batch:
        """Handle a batch of settled events; see `BatchRunner.handle`."""
        lock = self._lock_file
        if lock is None:
            return super().handle(horizon, up_to_position=up_to_position, name=name)
        with file_locked(lock) as is_locked:
            return self._handle_unlocked(horizon, up_to_position, name) if is_locked else Batch(Outcome.BUSY, 0, 0)

    @cached_property
    def _lock_file(self) -> str | None:
        """The file to lock; None if a transaction locks the checkpoint alone, or no other process has the database."""
        if not HAS_FILE_LOCKS:
            return None
        with self._core.execution.statement() as run:
            file = self._core.dialect.locked_file(run)
        return f"{file}-relay-{sha256(self._projection.name.encode()).hexdigest()[:16]}" if file else None

    def _handle_unlocked(self, horizon: Horizon, up_to_position: int, name: str | None) -> Batch:
        """Handle a batch without a transaction around the call of the target."""
        letters: list[Row] = []
        with (
            self.blaming() as blame,
            self._core.observer.operation("project", projection=self._projection.name) as observed,
        ):
            with self._core.execution.statement() as run:
                span = self._span(run, horizon, up_to_position, name)
                if isinstance(span, Batch):
                    return span
                handling = Sending(
                    self._projection, self._recorded, Unguarded(blame), None, observed, None, math.inf, letters.append
                )
                handling.partition = span.partition
                end = self._handle_pages(run, handling, span.before, horizon, span.up_to_position)
            if end is None:
                return Batch(Outcome.CAUGHT_UP, 0, span.position)
            with self._store.transaction() as transaction, transaction.core.execution.statement() as run:
                if not self._is_still(run, span, handling):
                    return Batch(Outcome.BUSY, 0, 0)
                for row in letters:
                    self._add_dead_letter(run, row, attempts=0, error=None)
                self._advance(run, span.position, end)
            self._note(observed, handling, horizon, end)
        return Batch(Outcome.ADVANCED, handling.handled, end.position, end)

    def _is_still(self, run: Run, span: Span, handling: Sending) -> bool:
        """Return whether the checkpoint is where it was, and no dead letter has come or gone; a command may do that."""
        rows = run(lock_row, name=self.current)
        is_unmoved = bool(rows) and rows[0][0] == span.position
        return is_unmoved and (not handling.blocked or self._blocked_streams(run) == handling.blocked)


class Unguarded(Guard):
    """In place of a guard, without a transaction."""

    def __init__(self, blame: Blame) -> None:
        self.blame = blame

    def begin(self) -> None:
        """Do nothing."""

    def check(self) -> None:
        """Do nothing."""

    def is_own(self, error: Exception) -> bool:  # noqa: ARG002  # there is no error of its own
        """Return False."""
        return False

    def fail(self, row: Row, error: Exception) -> HandlerFailed:  # noqa: ARG002  # it is no error of the database
        """Blame an event."""
        self.blame.failure = failure = HandlerFailed(row)
        return failure
