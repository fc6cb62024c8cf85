"""How events with tags are appended, and appends that are made on condition that boundaries have not changed."""

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

from eventstore.backends.protocol import HeadClosed, Run, TagLocks, VersionTaken
from eventstore.backends.running import check_positions
from eventstore.boundaries import Boundary
from eventstore.core.appending import Appender, name_streams, result_of
from eventstore.core.boundaries import condition_of
from eventstore.core.core import Core
from eventstore.errors import BoundaryChanged, ConcurrencyConflict, StreamForbidden
from eventstore.events import AppendResult
from eventstore.rows.mapper import PendingAppend
from eventstore.statements.boundaries import find_event_at

_log = logging.getLogger(__name__)


class TaggedAppender(Appender):
    """Makes appends that lock tags: those of the events, and those of the boundaries that the append depends on.

    Whoever appends an event holds the locks of all its tags from before its position is drawn until it is committed. So
    the events of one tag are committed in the order of their positions, and what a snapshot has not seen of them comes
    after what it has seen. Tags are locked before heads, in sorted order, in every call.

    Args:
        core: The core of the store.
        boundaries: What the appends depend on. A boundary in whose queries an event has come between refuses them.
    """

    def __init__(self, core: Core, boundaries: Sequence[Boundary] = ()) -> None:
        super().__init__(core)
        self._boundaries = boundaries
        self._condition = condition_of(boundaries, core.dialect.from_uuid)
        self._locks_all_appends = self._condition is not None and self._condition.locks_all_appends
        pivots = (item.pivot for boundary in boundaries for item in boundary.items)
        self._read = frozenset(pivot for pivot in pivots if pivot is not None)

    def _in(self, core: Core) -> Appender:
        return TaggedAppender(core, self._boundaries)

    def _append(self, pending: PendingAppend) -> AppendResult:
        try:
            result = None
            while result is None:
                result = self._append_in(self._scope(pending), pending)
        except StreamForbidden as forbidden:
            raise name_streams(forbidden, [pending]) from forbidden.__cause__
        except HeadClosed as closed:
            raise self._closed(closed, [(pending, 0)]) from None
        except VersionTaken as taken:
            raise self._taken(taken, [(pending, 0)]) from None
        return result

    def _scope(self, pending: PendingAppend) -> Callable[[], AbstractContextManager[Run]]:
        execution = self._execution
        if self._locks_all_appends:
            return execution.transaction
        is_atomic = self._dialect.append_is_one_statement(pending) and (execution.is_joined or execution.pipelines)
        return execution.statement if is_atomic else execution.transaction

    def _append_in(
        self, scope: Callable[[], AbstractContextManager[Run]], pending: PendingAppend
    ) -> AppendResult | None:
        """Append in a scope; None if it takes a transaction, which the first use of the store may find out."""
        with self._conflicting([pending]) if self._execution.is_joined else nullcontext(), scope() as run:
            self._core.tags_gate(run)
            is_one = scope == self._execution.statement
            if is_one and scope != self._scope(pending):
                return None
            check_positions(run, self._dialect)
            condition = self._condition
            if self._locks_all_appends:
                self._before_heads(run, [pending])
                condition = None
            at_once = is_one and not self._execution.is_joined
            outcome = self._dialect.append_tagged(run, pending, self._locks([pending]), condition, at_once=at_once)
            if outcome.stored is not None:
                return result_of(pending, *outcome.stored)
            first = self._first_result(run, pending)
            if first is not None:
                return first
            if not outcome.is_current or outcome.changed is not None:
                raise self._changed(run, pending, outcome.changed)
            return self._refuse(run, pending)

    def _append_many(
        self, appends: Sequence[PendingAppend], *, atomic: bool
    ) -> list[AppendResult | ConcurrencyConflict]:
        with self._conflicting(appends) if self._execution.is_joined else nullcontext():
            try:
                return self._append_to_each(appends, atomic=atomic)
            except StreamForbidden as forbidden:
                raise name_streams(forbidden, appends) from forbidden.__cause__

    def _before_heads(self, run: Run, appends: Sequence[PendingAppend]) -> None:
        """Lock the tags, or all appends, and compare the boundaries, unless an earlier call has stored the same events.

        Raises:
            BoundaryChanged: An event has come between.
        """
        self._core.tags_gate(run)
        self._dialect.lock_tags(run, self._locks(appends))
        if self._condition is None:
            return
        if self._locks_all_appends:
            self._dialect.lock_all_appends(run)
        is_current, changed = self._dialect.compare_boundaries(run, self._condition)
        if (not is_current or changed is not None) and not all(self._first_result(run, each) for each in appends):
            raise self._changed(run, appends[0], changed)

    def _after_events(self, run: Run, accepted: Sequence[tuple[PendingAppend, int]]) -> None:
        rows = [
            (pending.stream_id, version + index, tag)
            for pending, version in accepted
            for index, tags in enumerate(pending.tags or (), 1)
            for tag in tags
        ]
        if rows:
            self._dialect.insert_tags(run, rows)

    def _locks(self, appends: Sequence[PendingAppend]) -> TagLocks:
        written = frozenset(tag for pending in appends for tags in pending.tags or () for tag in tags)
        return TagLocks(written, self._read - written)

    def _changed(self, run: Run, pending: PendingAppend, position: int | None) -> BoundaryChanged:
        rows = [] if position is None else run(find_event_at, position=position)
        stream_id, event_type = rows[0] if rows else (None, None)
        extra = {"stream_id": pending.stream_id, "position": position, "event_type": event_type}
        _log.debug("a boundary of an append to stream %r has changed", pending.stream_id, extra=extra)
        return BoundaryChanged(pending.stream_id, position=position, event_type=event_type, event_stream_id=stream_id)
