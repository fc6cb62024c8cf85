"""Writing snapshots: after appends, and for many aggregates in the background."""

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Generic

from eventstore.common.locks import make_lock
from eventstore.errors import EventStoreError
from eventstore.repository.loading import AggregateLoader
from eventstore.repository.policies import SinceSnapshot, SnapshotPolicy
from eventstore.repository.states import State, StateCodec
from eventstore.snapshots import write_snapshot
from eventstore.statements.aggregates import count_streams, snapshot_versions
from eventstore.store import EventStore

_log = logging.getLogger("eventstore.repository")

_PAGE_SIZE = 500


@dataclass(frozen=True, slots=True)
class SnapshotCounts:
    """How many snapshots a repository has written, in this process, since it was made.

    Attributes:
        saved: How many were saved.
        declined: How many were not saved, because there was one of the same version or newer, or the events were rolled
            back.
        failed: How many could not be saved. The appends before them were not affected; the log has the reasons.
    """

    saved: int = 0
    declined: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class RefreshProgress:
    """The progress of `Repository.refresh_snapshots`.

    Attributes:
        streams: How many streams of the category were checked.
        total: How many there were at the beginning.
        saved: How many snapshots were saved.
        failed: How many could not be saved; the log has the reasons.
    """

    streams: int
    total: int
    saved: int
    failed: int


class Counter:
    """Counts snapshots for all threads that share a repository."""

    def __init__(self) -> None:
        self._lock = make_lock()
        self._counts = {"saved": 0, "declined": 0, "failed": 0}

    def add(self, outcome: str) -> None:
        """Count one snapshot more."""
        with self._lock:
            self._counts[outcome] += 1

    def counts(self) -> SnapshotCounts:
        """Return the counts."""
        with self._lock:
            return SnapshotCounts(**self._counts)


class SnapshotWriter(Generic[State]):
    """Saves snapshots. Failures are logged, not raised.

    Args:
        store: The store that it saves to.
        loader: Computes the states.
        states: Serialises them.
        schema_version: The schema version of the snapshots.
        counter: Counts the outcomes.
    """

    def __init__(
        self,
        store: EventStore,
        loader: AggregateLoader[State],
        states: StateCodec[State],
        schema_version: int,
        counter: Counter,
    ) -> None:
        self._store = store
        self._loader = loader
        self._states = states
        self._schema_version = schema_version
        self._counter = counter

    def after_append(self, since: SinceSnapshot, policy: SnapshotPolicy) -> None:
        """Save a snapshot if the policy asks for it."""
        try:
            is_due = policy(since)
        except Exception as error:  # noqa: BLE001  # the application's code, and the events are stored
            self._failed(since.stream_id, since.version, error)
        else:
            if is_due:
                self.write(since.stream_id, since.version)

    def write(self, stream_id: str, version: int) -> str:
        """Save the state at a version; return the outcome, the name of a field of `SnapshotCounts`.

        The state is loaded again, not taken from the command, which may have changed it before it decided.
        """
        try:
            with self._scope():
                outcome = "saved" if self._save(stream_id, version) else "declined"
        except Exception as error:  # noqa: BLE001  # the events are stored, and the snapshot is only a cache
            return self._failed(stream_id, version, error)
        self._counter.add(outcome)
        return outcome

    def _save(self, stream_id: str, up_to_version: int) -> bool:
        state, version, _ = self._loader.load(stream_id, up_to_version)
        return write_snapshot(
            self._store.core,
            stream_id,
            version=version,
            schema_version=self._schema_version,
            encoded=self._states.encode(state),
        )

    def _failed(self, stream_id: str, version: int, error: Exception) -> str:
        # the text of a foreign error may show the state
        reason = str(error) if isinstance(error, EventStoreError) else type(error).__name__
        extra = {"stream_id": stream_id, "version": version, "error_type": type(error).__name__}
        _log.warning("snapshot of %r at version %d could not be saved: %s", stream_id, version, reason, extra=extra)
        self._counter.add("failed")
        return "failed"

    def refresh(
        self, category: str, policy: SnapshotPolicy, on_progress: Callable[[RefreshProgress], object] | None
    ) -> RefreshProgress:
        """Save the snapshots that the policy asks for, stream by stream."""
        with self._store.core.execution.statement() as run:
            ((total,),) = run(count_streams, category=category)
        streams = saved = failed = 0
        progress = RefreshProgress(streams, total, saved, failed)
        for since in self._streams(category):
            if since.events > 0 and policy(since):
                outcome = self.write(since.stream_id, since.version)
                saved += outcome == "saved"
                failed += outcome == "failed"
            streams += 1
            progress = RefreshProgress(streams, total, saved, failed)
            if on_progress is not None:
                on_progress(progress)
        return progress

    def _streams(self, category: str) -> Iterator[SinceSnapshot]:
        after = ""
        while True:
            with self._store.core.execution.statement() as run:
                rows = run(
                    snapshot_versions,
                    category=category,
                    schema_version=self._schema_version,
                    after_stream_id=after,
                    page_size=_PAGE_SIZE,
                )
            for row in rows:
                yield SinceSnapshot(*row)
            if len(rows) < _PAGE_SIZE:
                return
            after = rows[-1][0]

    def _scope(self) -> AbstractContextManager[object]:
        """Open a savepoint in a joined transaction, which a failed statement would abort on PostgreSQL."""
        return self._store.core.execution.transaction() if self._store.core.execution.is_joined else nullcontext()
