"""How streams are deleted: a tombstone replaces their events, and says when, why and by whom."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from eventstore.backends.protocol import Dialect, Run
from eventstore.common.validation import check_flag, check_reason
from eventstore.core.appending import Appender
from eventstore.core.core import Appended, Core
from eventstore.core.execution import serialization_is_a_conflict
from eventstore.core.schema_version import REQUIRED_BY_HISTORY_CHANGES, SchemaGate
from eventstore.errors import InvalidExpectedVersion
from eventstore.events import STREAM_DELETED_EVENT, Append, AppendResult, NewEvent
from eventstore.statements.deletion import delete_events, discard_dead_letters_of_stream, mark_deleted
from eventstore.statements.snapshots import delete_snapshots
from eventstore.streams import ANY, NO_STREAM, ExpectedVersion


class StreamDeleter:
    """Deletes streams of one store."""

    def __init__(self, core: Core) -> None:
        self._core = core
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
        """Delete a stream's events; return the result of appending the tombstone.

        Raises:
            ConcurrencyConflict: The stream is at another version.
            StreamClosed: The stream was already deleted or archived.
        """
        check_flag("reusable", reusable)
        reason = check_reason(reason)
        data = {"reason": reason, "reusable": reusable}
        tombstone = tombstone_append(stream_id, STREAM_DELETED_EVENT, data, expected_version, metadata)
        with self.appending(tombstone) as (run, core, result):
            note = f"the stream was deleted: {reason}"
            remove_events(core.dialect, run, result.stream_id, before_version=result.version, note=note)
            if not reusable:
                run(mark_deleted, stream_id=result.stream_id)
        return result

    @contextmanager
    def appending(self, tombstone: Append) -> Iterator[tuple[Run, Core, AppendResult]]:
        """Append a tombstone. The block removes the events before it, in the same transaction.

        The stream's head is locked from the append on, so that no other writer appends events which would not be
        removed. The hooks are called after the block.

        Raises:
            ConcurrencyConflict: The stream is at another version.
            StreamClosed: The stream was already deleted or archived.
        """
        pending = self._core.mapper.pending(tombstone, is_tombstone=True)
        with self._core.begin() as core:
            with serialization_is_a_conflict(self._core.execution, core.driver, [pending.stream_id]):
                with core.execution.statement() as run:
                    self._gate(run)
                result = Appender(replace(core, after_append=())).append(pending)
                with core.execution.statement() as run:
                    yield run, core, result
            core.call_hooks([Appended(result.stream_id, result.version - 1, result.version, result.position)])


def remove_events(dialect: Dialect, run: Run, stream_id: str, *, before_version: int, note: str) -> None:
    """Delete the events of a stream before a version, their tags, and its snapshots; discard its pending dead letters.

    Args:
        dialect: The database's dialect.
        run: In the transaction that has locked the stream's head.
        stream_id: The stream.
        before_version: Exclusive.
        note: The note of the dead letters that are discarded.
    """
    with history_changes(dialect, run):
        if dialect.has_tags(run, stream_id, before_version=before_version):
            dialect.delete_tags(run, stream_id, before_version=before_version)
        run(delete_events, stream_id=stream_id, before_version=before_version)
    dialect.lock_derived_rows(run)  # another transaction may be writing some for the events that are gone
    run(discard_dead_letters_of_stream, stream_id=stream_id, note=note)
    run(delete_snapshots, stream_id=stream_id)


@contextmanager
def history_changes(dialect: Dialect, run: Run) -> Iterator[None]:
    """Let statements of this transaction change es_events until the end of the block."""
    was_permitted = dialect.permit_history_changes(run)
    try:
        yield
    except BaseException:
        if not was_permitted:
            with suppress(SQLAlchemyError):  # an aborted transaction takes the permission with it
                dialect.forbid_history_changes(run)
        raise
    if not was_permitted:
        dialect.forbid_history_changes(run)


def tombstone_append(
    stream_id: str,
    event_type: str,
    data: Mapping[str, Any],
    expected_version: ExpectedVersion,
    metadata: Mapping[str, Any] | None,
) -> Append:
    """Return the append of a tombstone.

    Raises:
        InvalidExpectedVersion: The expected version allows that the stream does not exist.
    """
    if expected_version in (ANY, NO_STREAM):
        name = "ANY" if expected_version is ANY else "NO_STREAM"
        msg = f"the stream must exist, so expect its version or STREAM_EXISTS, not {name}"
        raise InvalidExpectedVersion(msg)
    return Append(stream_id, [NewEvent(event_type, data)], expected_version=expected_version, metadata=metadata)
