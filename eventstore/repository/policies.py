"""When the state of an aggregate is saved as a snapshot."""

from collections.abc import Callable
from dataclasses import dataclass

from eventstore.common.validation import check_number


@dataclass(frozen=True, slots=True)
class SinceSnapshot:
    """How far a stream has come since its snapshot: what a policy decides on.

    Attributes:
        stream_id: The stream.
        version: Its version now.
        snapshot_version: The version of its snapshot, 0 if there is none that can be used.
    """

    stream_id: str
    version: int
    snapshot_version: int

    @property
    def events(self) -> int:
        """How many events have been stored since."""
        return self.version - self.snapshot_version


SnapshotPolicy = Callable[[SinceSnapshot], bool]
"""Called after an append: whether to save a snapshot now. The state is computed and serialised only if so."""


def never(since: SinceSnapshot) -> bool:  # noqa: ARG001  # whatever it is
    """Save no snapshots. One that is there is used all the same."""
    return False


def always(since: SinceSnapshot) -> bool:
    """Save a snapshot after every append."""
    return since.events > 0


def every(events: int) -> SnapshotPolicy:
    """Return the policy that saves a snapshot when at least so many events have been stored since the last one.

    Raises:
        InvalidInput: It is not a number of events, from 1.
    """
    check_number("events", events, minimum=1)
    return lambda since: since.events >= events
