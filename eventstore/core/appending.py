"""How appends are made: expected versions, duplicates, several at once. The backend has the SQL."""

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import NoReturn

from eventstore.backends.protocol import HeadClosed, Overtaken, Run, VersionTaken
from eventstore.backends.running import check_positions
from eventstore.core.core import Appended, Core
from eventstore.core.execution import serialization_is_a_conflict
from eventstore.errors import ConcurrencyConflict, EventIdReused, StreamClosed, StreamForbidden
from eventstore.events import AppendResult, tombstone_error
from eventstore.rows.mapper import EVENT_ID, POSITION, VERSION, PendingAppend
from eventstore.statements.deletion import find_tombstone
from eventstore.statements.reading import newest_stored_version, read_forwards

_log = logging.getLogger(__name__)


class Appender:
    """Makes the appends of one store."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._execution = core.execution
        self._dialect = core.dialect
        self._mapper = core.mapper
        self._group_commit = None if core.execution.is_joined else core.group_commit
        self._hooks_need_transaction = any(hook.in_transaction for hook in core.after_append)

    def append(self, pending: PendingAppend) -> AppendResult:
        """Store one append, and call the hooks.

        Raises:
            ConcurrencyConflict: The stream is at another version. After a `SerializationConflict`, the transaction is
                aborted.
            EventIdReused: The event ids are already stored at these versions, with other content.
            StreamClosed: The stream was deleted or archived.
            AppendInterrupted: As for `GroupCommit.append`.
        """
        if not self._hooks_need_transaction:
            result = self._append(pending)
            if self._core.after_append:
                self._core.call_hooks(_appended([pending], [result]))
            return result
        with self._core.begin() as core:
            result = self._in(replace(core, after_append=())).append(pending)
            core.call_hooks(_appended([pending], [result]))
        return result

    def _in(self, core: Core) -> "Appender":
        """Return the same for another core, that of the open transaction."""
        return Appender(core)

    def _append(self, pending: PendingAppend) -> AppendResult:
        if self._group_commit is None:
            return self._append_alone(pending)
        return self._group_commit.append(pending, alone=self._append_alone, together=self._append_group)

    def _append_alone(self, pending: PendingAppend) -> AppendResult:
        try:
            rows = self._execution.append_directly(pending) if len(pending.event_ids) == 1 else None
            if rows:
                return AppendResult(pending.stream_id, *rows[0], event_id=pending.event_ids[0])
            if rows is not None:
                return self._earlier_result(pending)
            one = self._dialect.append_is_one_statement(pending)
            stored = self._append_in_one_statement(pending) if one else None
            return stored or self._append_in_transaction(pending)
        except StreamForbidden as forbidden:
            raise name_streams(forbidden, [pending]) from forbidden.__cause__
        except HeadClosed as closed:
            raise self._closed(closed, [(pending, 0)]) from None
        except VersionTaken as taken:
            raise self._taken(taken, [(pending, 0)]) from None

    def _append_in_one_statement(self, pending: PendingAppend) -> AppendResult | None:
        """Append on a connection in AUTOCOMMIT; None if it takes a transaction, which the first use may find out."""
        with self._conflicting_if_joined(pending), self._execution.statement() as run:
            is_one = self._dialect.append_is_one_statement(pending)
            return self._append_by(run, pending) if is_one else None

    def _append_in_transaction(self, pending: PendingAppend) -> AppendResult:
        with self._conflicting_if_joined(pending), self._execution.transaction() as run:
            return self._append_by(run, pending)

    def _conflicting_if_joined(self, pending: PendingAppend) -> AbstractContextManager[None]:
        return self._conflicting([pending]) if self._execution.is_joined else nullcontext()

    def _append_by(self, run: Run, pending: PendingAppend) -> AppendResult:
        check_positions(run, self._dialect)
        stored = self._dialect.append(run, pending)
        if stored is not None:
            return result_of(pending, *stored)
        return self._first_result(run, pending) or self._refuse(run, pending)

    def _earlier_result(self, pending: PendingAppend) -> AppendResult:
        """Return the result of an earlier append of the same events, or raise why they were refused."""
        with self._execution.statement() as run:
            return self._first_result(run, pending) or self._refuse(run, pending)

    def _refuse(self, run: Run, pending: PendingAppend) -> NoReturn:
        raise self._refusal(run, pending)

    def _append_group(self, appends: Sequence[PendingAppend]) -> list[AppendResult | None]:
        """Store small appends to different streams, those that neither conflict nor have to wait for a head."""
        one = self._dialect.append_is_one_statement(appends[0])
        scope = self._execution.statement if one else self._execution.transaction
        with scope() as run:
            check_positions(run, self._dialect)
            stored = self._dialect.append_group(run, appends)
        return [
            None if each is None else result_of(pending, *each) for pending, each in zip(appends, stored, strict=True)
        ]

    def append_many(
        self, appends: Sequence[PendingAppend], *, atomic: bool
    ) -> list[AppendResult | ConcurrencyConflict]:
        """Store several appends in one transaction, in the order of the list, and call the hooks.

        Raises:
            ConcurrencyConflict: One of the streams is at another version; only if `atomic`.
            EventIdReused: As for `append`.
            StreamClosed: One of the streams was deleted or archived.
        """
        if not appends:
            return []
        if not self._hooks_need_transaction:
            results = self._append_many(appends, atomic=atomic)
            if self._core.after_append:
                self._core.call_hooks(_appended(appends, results))
            return results
        with self._core.begin() as core:
            results = self._in(replace(core, after_append=())).append_many(appends, atomic=atomic)
            core.call_hooks(_appended(appends, results))
        return results

    def _append_many(
        self, appends: Sequence[PendingAppend], *, atomic: bool
    ) -> list[AppendResult | ConcurrencyConflict]:
        with self._conflicting(appends) if self._execution.is_joined else nullcontext():
            try:
                return self._append_to_all(appends) or self._append_to_each(appends, atomic=atomic)
            except StreamForbidden as forbidden:
                raise name_streams(forbidden, appends) from forbidden.__cause__

    def _conflicting(self, appends: Sequence[PendingAppend]) -> AbstractContextManager[None]:
        stream_ids = list(dict.fromkeys(pending.stream_id for pending in appends))
        return serialization_is_a_conflict(self._execution, self._core.driver, stream_ids)

    def _append_to_each(
        self, appends: Sequence[PendingAppend], *, atomic: bool
    ) -> list[AppendResult | ConcurrencyConflict]:
        accepted: list[tuple[PendingAppend, int]] = []
        outcomes: list[AppendResult | ConcurrencyConflict | None] = []
        try:
            with self._execution.transaction() as run:
                check_positions(run, self._dialect)
                self._before_heads(run, appends)
                versions = self._lock_heads(run, appends)
                for pending in appends:
                    version = versions.get(pending.stream_id, 0)
                    if pending.accepts(version):
                        accepted.append((pending, version))
                        versions[pending.stream_id] = version + len(pending)
                        outcomes.append(None)
                        continue
                    outcome = self._first_result(run, pending) or self._refusal(run, pending, version)
                    if isinstance(outcome, StreamClosed) or (atomic and isinstance(outcome, ConcurrencyConflict)):
                        raise outcome
                    outcomes.append(outcome)
                positions = self._dialect.store(run, accepted) if accepted else []
                self._after_events(run, accepted)
        except HeadClosed as closed:
            raise self._closed(closed, accepted) from None
        except VersionTaken as taken:
            raise self._taken(taken, accepted) from None
        stored = iter(
            [
                result_of(pending, version + len(pending), of_append)
                for (pending, version), of_append in zip(accepted, positions, strict=True)
            ]
        )
        return [next(stored) if outcome is None else outcome for outcome in outcomes]

    def _before_heads(self, run: Run, appends: Sequence[PendingAppend]) -> None:
        """Do what must come before the heads are locked: here, nothing."""

    def _after_events(self, run: Run, accepted: Sequence[tuple[PendingAppend, int]]) -> None:
        """Store what belongs to the events, each append with the version before it: here, nothing."""

    def _append_to_all(self, appends: Sequence[PendingAppend]) -> list[AppendResult | ConcurrencyConflict] | None:
        """Store all appends in one statement.

        Returns:
            None if nothing was stored, because the database has no such statement, or because it takes several
            statements to store them, or to find out why they can't be stored.
        """
        append_to_all = self._dialect.append_to_all
        if append_to_all is None:
            return None
        scope = self._execution.transaction if self._execution.is_joined else self._execution.statement
        try:
            with scope() as run:
                check_positions(run, self._dialect)
                stored = append_to_all(run, appends)
        except Overtaken:
            return None
        except HeadClosed as closed:
            raise self._closed(closed, [(pending, 0) for pending in appends]) from None
        except VersionTaken as taken:
            raise self._taken(taken, [(pending, 0) for pending in appends]) from None
        if stored is None:
            return None
        return [result_of(pending, *each) for pending, each in zip(appends, stored, strict=True)]

    def _lock_heads(self, run: Run, appends: Sequence[PendingAppend]) -> dict[str, int]:
        stream_ids = dict.fromkeys(pending.stream_id for pending in appends)
        create = dict.fromkeys(pending.stream_id for pending in appends if pending.accepts(0))
        return self._dialect.lock_heads(run, list(stream_ids), create=list(create))

    def _first_result(self, run: Run, pending: PendingAppend) -> AppendResult | None:
        """Return the result of an earlier append of the same events at the same versions; None if there was none.

        Duplicates are found only with an exact expected version, which says at which versions they would be.
        """
        if not isinstance(pending.expected, int):
            return None
        count = len(pending)
        versions = {
            "stream_id": pending.stream_id,
            "after_version": pending.expected,
            "up_to_version": pending.expected + count,
        }
        first = run(read_forwards, **versions, page_size=1)  # an ordinary conflict reads no more than this
        if not first or self._dialect.to_uuid(first[0][EVENT_ID]) != pending.event_ids[0]:
            return None
        rows = run(read_forwards, **versions, page_size=count)
        if [self._dialect.to_uuid(row[EVENT_ID]) for row in rows] != pending.event_ids:
            return None
        for index, row in enumerate(rows):
            if not self._mapper.is_same_event(pending, index, row):
                raise EventIdReused(pending.stream_id, pending.event_ids[index], row[VERSION])
        positions = [row[POSITION] for row in rows]
        return result_of(pending, pending.expected + count, positions, duplicate=True)

    def _refusal(
        self, run: Run, pending: PendingAppend, version: int | None = None
    ) -> ConcurrencyConflict | StreamClosed:
        """Return the error for a refused append: the stream is closed, or it is at another version.

        Args:
            run: Reads the tombstone.
            pending: The append.
            version: The version of the stream that the append was compared with, if it is known.
        """
        rows = run(find_tombstone, stream_id=pending.stream_id)
        if not rows:
            return _conflict(pending, version or 0)
        actual, event_type, codec, data = rows[0]
        tombstone = None if codec is None else self._mapper.codec.decode(codec, data)
        error = None if event_type is None else tombstone_error(event_type, tombstone)
        return _conflict(pending, actual if version is None else version) if error is None else error(pending.stream_id)

    def _closed(self, closed: HeadClosed, accepted: Sequence[tuple[PendingAppend, int]]) -> BaseException:
        """Return the error that names the closed stream, after the transaction was rolled back.

        If no tombstone says which stream it is, because it was deleted manually, return the database's error.
        """
        with self._execution.statement() as run:
            refusals = [self._refusal(run, pending) for pending, _ in accepted]
        errors = [refusal for refusal in refusals if isinstance(refusal, StreamClosed)]
        return errors[0] if errors else closed.__cause__ or closed

    def _taken(
        self, taken: VersionTaken, accepted: Sequence[tuple[PendingAppend, int]]
    ) -> ConcurrencyConflict | VersionTaken:
        """Return the conflict if the unique key has refused events that the head allowed, after the rollback."""
        for pending, version in accepted:
            if pending.stream_id == taken.stream_id and taken.version is not None:
                return _conflict(pending, taken.version)
            if taken.stream_id is None:
                with self._execution.statement() as run:
                    newest = run(newest_stored_version, stream_id=pending.stream_id)[0][0]
                if newest is not None and newest > version:
                    return _conflict(pending, newest)
        return taken


def result_of(
    pending: PendingAppend, version: int, positions: Sequence[int], *, duplicate: bool = False
) -> AppendResult:
    """Return the result of an append: the version of its last event, and the positions of all of its events."""
    *earlier, position = positions
    return AppendResult(
        pending.stream_id,
        version,
        position,
        duplicate,
        event_id=pending.event_ids[-1],
        earlier_positions=tuple(earlier),
    )


def _appended(
    appends: Sequence[PendingAppend], results: Sequence[AppendResult | ConcurrencyConflict]
) -> list[Appended]:
    """Return what was stored now: neither conflicts nor duplicates."""
    return [
        Appended(result.stream_id, result.version - len(pending), result.version, result.position)
        for pending, result in zip(appends, results, strict=True)
        if isinstance(result, AppendResult) and not result.duplicate
    ]


def name_streams(forbidden: StreamForbidden, appends: Sequence[PendingAppend]) -> StreamForbidden:
    """Return the error with the streams, which the database does not name."""
    return StreamForbidden(forbidden.problem, list(dict.fromkeys(pending.stream_id for pending in appends)))


def _conflict(pending: PendingAppend, actual: int) -> ConcurrencyConflict:
    stream_id, expected = pending.stream_id, pending.expected
    extra = {"stream_id": stream_id, "expected_version": expected, "actual_version": actual}
    _log.debug("conflict on stream %r: expected %s, actual %d", stream_id, expected, actual, extra=extra)
    return ConcurrencyConflict(pending.stream_id, pending.expected, actual)
