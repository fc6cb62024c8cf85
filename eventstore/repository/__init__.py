"""Repositories, which load aggregates from events and execute commands, with snapshots and retries."""

from eventstore.repository.loaded import LoadedAggregate, SaveResult
from eventstore.repository.policies import SinceSnapshot, SnapshotPolicy, always, every, never
from eventstore.repository.repository import Repository
from eventstore.repository.retrying import retry_conflicts
from eventstore.repository.snapshotting import RefreshProgress, SnapshotCounts
from eventstore.repository.transacting import transact

__all__ = [
    "LoadedAggregate",
    "RefreshProgress",
    "Repository",
    "SaveResult",
    "SinceSnapshot",
    "SnapshotCounts",
    "SnapshotPolicy",
    "always",
    "every",
    "never",
    "retry_conflicts",
    "transact",
]
