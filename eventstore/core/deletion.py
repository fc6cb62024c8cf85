"""How streams end: their events are deleted, and a last event says that they were, when, why and by whom."""

from collections.abc import Mapping
from typing import Any

from eventstore.backends.protocol import Backend, Run
from eventstore.core.appending import Appender
from eventstore.core.execution import Execution, serialization_is_a_conflict
from eventstore.core.history import history_changes
from eventstore.core.schema_version import REQUIRED_BY_HISTORY_CHANGES, SchemaGate
from eventstore.errors import InvalidExpectedVersion, InvalidInput
from eventstore.events import STREAM_DELETED, Append, AppendResult, NewEvent
from eventstore.rows.mapper import EventMapper
from eventstore.statements.closing import delete_events, discard_dead_letters_of_stream, mark_deleted
from eventstore.statements.snapshots import delete_snapshots
from eventstore.streams import ANY, NO_STREAM, ExpectedVersion, check_flag


class Closer:
    """Ends streams of one store."""

    def __init__(self, execution: Execution, backend: Backend, mapper: EventMapper) -> None:
        self._execution = execution
        self._backend = backend
        self._mapper = mapper
        self._gate = SchemaGate(REQUIRED_BY_HISTORY_CHANGES)

    def delete(
        self,
        stream_id: str,
        *,
        expected_version: ExpectedVersion,
        reason: str,
        metadata: Mapping[str, Any] | None,
        reusable: bool,
    ) -> AppendResult:
        """Delete a stream's events; return where the event is that says so.

        Raises:
            ConcurrencyConflict: The stream is at another version.
            StreamClosed: It has ended already.
        """
        check_flag("reusable", reusable)
        reason = check_reason(reason)
        data = {"reason": reason, "reusable": reusable}
        closing = closing_append(stream_id, STREAM_DELETED, data, expected_version, metadata)
        pending = self._mapper.pending(closing, closes=True)
        stream_id = pending.stream_id
        with (
            serialization_is_a_conflict(self._execution, self._backend, [stream_id]),
            self._execution.begin() as execution,
        ):
            with execution.statement() as run:
                self._gate(run)
            # first: from here on the head is locked, so nobody appends what would not be deleted
            result = Appender(execution, self._backend, self._mapper).append(pending)
            with execution.statement() as run:
                self.remove(run, stream_id, before_version=result.version, note=f"the stream was deleted: {reason}")
                if not reusable:
                    run(mark_deleted, stream_id=stream_id)
        return result

    def remove(self, run: Run, stream_id: str, *, before_version: int, note: str) -> None:
        """Delete the events before a version, and what was made of them; the head is locked."""
        with history_changes(self._backend, run):
            run(delete_events, stream_id=stream_id, before_version=before_version)
        run(discard_dead_letters_of_stream, stream_id=stream_id, note=note)
        self._backend.lock_snapshots(run)  # of an old state one may be being saved
        run(delete_snapshots, stream_id=stream_id)


def closing_append(
    stream_id: str,
    event_type: str,
    data: Mapping[str, Any],
    expected_version: ExpectedVersion,
    metadata: Mapping[str, Any] | None,
) -> Append:
    """Return what is appended last.

    Raises:
        InvalidExpectedVersion: Streams that need not exist can't be ended.
    """
    if expected_version in (ANY, NO_STREAM):
        name = "ANY" if expected_version is ANY else "NO_STREAM"
        msg = f"what is ended exists: expect its version, or STREAM_EXISTS, not {name}"
        raise InvalidExpectedVersion(msg)
    return Append(stream_id, [NewEvent(event_type, data)], expected_version=expected_version, metadata=metadata)


def check_reason(reason: object) -> str:
    """Return the reason for which a stream ends.

    Raises:
        InvalidInput: It is no string, or an empty one, or holds NUL.
    """
    if not isinstance(reason, str) or not reason.strip() or "\0" in reason:
        msg = "reason is a string that says why, for those who come later; it is kept, so it names no person"
        raise InvalidInput(msg)
    return str.__str__(reason)
