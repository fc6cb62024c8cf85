"""Policies, which decide when the state of an aggregate is saved as a snapshot."""

from collections.abc import Callable
from dataclasses import dataclass

from eventstore.common.validation import check_number


@dataclass(frozen=True, slots=True)
class SinceSnapshot:
    """How far a stream is ahead of its snapshot, for a policy to decide.

    Attributes:
        stream_id: The stream.
        version: Its version now.
        snapshot_version: The version of its snapshot; 0 if it has no usable one.
    """

    stream_id: str
    version: int
    snapshot_version: int

    @property
    def events(self) -> int:
        """How many events were stored since the snapshot."""
        return self.version - self.snapshot_version


SnapshotPolicy = Callable[[SinceSnapshot], bool]
"""Called after an append. If it returns True, the state is computed and saved as a snapshot."""


def never(since: SinceSnapshot) -> bool:  # noqa: ARG001  # not used
    """Save no snapshots. Existing ones are still used."""
    return False


def always(since: SinceSnapshot) -> bool:
    """Save a snapshot after every append."""
    return since.events > 0


def every(events: int) -> SnapshotPolicy:
    """Return the policy that saves a snapshot when at least this many events were stored since the last one.

    Raises:
        InvalidInput: The number of events is not an integer from 1.
    """
    check_number("events", events, minimum=1)
    return lambda since: since.events >= events
