"""Writing snapshots: after appends, and of many aggregates in the background."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Generic

from eventstore.errors import EventStoreError
from eventstore.repository.folding import Folder
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
        declined: How many were not needed: there was one as new, or the events were rolled back.
        failed: How many could not be saved. The appends before them were not affected; the log says why.
    """

    saved: int = 0
    declined: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class RefreshProgress:
    """How far a refresh has come.

    Attributes:
        streams: How many streams of the category have been looked at.
        total: How many there were at the beginning.
        saved: How many snapshots were saved.
        failed: How many could not be saved; the log says why.
    """

    streams: int
    total: int
    saved: int
    failed: int


class Counter:
    """Counts for all threads that share a repository."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = {"saved": 0, "declined": 0, "failed": 0}

    def add(self, outcome: str) -> None:
        """Count one more."""
        with self._lock:
            self._counts[outcome] += 1

    def counts(self) -> SnapshotCounts:
        """Return what was counted."""
        with self._lock:
            return SnapshotCounts(**self._counts)


class SnapshotWriter(Generic[State]):
    """Saves snapshots, and lets no failure through.

    Args:
        store: Where to save.
        folder: Computes the states.
        states: Serialises them.
        schema_version: Of the snapshots.
        counter: Counts what has come of it.
    """

    def __init__(
        self, store: EventStore, folder: Folder[State], states: StateCodec[State], schema_version: int, counter: Counter
    ) -> None:
        self._store = store
        self._folder = folder
        self._states = states
        self._schema_version = schema_version
        self._counter = counter

    def after_append(self, since: SinceSnapshot, policy: SnapshotPolicy) -> None:
        """Save a snapshot if the policy asks for it."""
        try:
            wanted = policy(since)
        except Exception as error:  # noqa: BLE001  # the application's own, and the events are stored
            self._failed(since.stream_id, since.version, error)
        else:
            if wanted:
                self.write(since.stream_id, since.version)

    def write(self, stream_id: str, version: int) -> str:
        """Save the state at a version; return what has come of it, a field of `SnapshotCounts`.

        The state is read again, not taken from the command: that one may have changed it on its way to a decision.
        """
        try:
            with self._scope():
                outcome = "saved" if self._save(stream_id, version) else "declined"
        except Exception as error:  # noqa: BLE001  # the events are stored: a cache that is not is no reason to fail
            return self._failed(stream_id, version, error)
        self._counter.add(outcome)
        return outcome

    def _save(self, stream_id: str, up_to_version: int) -> bool:
        state, version, _ = self._folder.fold(stream_id, up_to_version)
        return write_snapshot(
            self._store.core,
            stream_id,
            version=version,
            schema_version=self._schema_version,
            encoded=self._states.encode(state),
        )

    def _failed(self, stream_id: str, version: int, error: Exception) -> str:
        # of errors that are not ours the text may show the state
        reason = str(error) if isinstance(error, EventStoreError) else type(error).__name__
        told = {"stream_id": stream_id, "version": version, "error_type": type(error).__name__}
        _log.warning("snapshot of %r at version %d could not be saved: %s", stream_id, version, reason, extra=told)
        self._counter.add("failed")
        return "failed"

    def refresh(
        self, category: str, policy: SnapshotPolicy, on_progress: Callable[[RefreshProgress], object] | None
    ) -> RefreshProgress:
        """Save those that the policy asks for, stream by stream."""
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
        """Open a savepoint in a transaction of the caller's: on PostgreSQL a failed statement would abort it."""
        return self._store.core.execution.transaction() if self._store.core.execution.is_joined else nullcontext()
