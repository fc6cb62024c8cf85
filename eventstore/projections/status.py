"""The status of a projection and of its partitions."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

SEEN_WITHIN_SECONDS: Final = 20.0
"""A worker without a heartbeat for longer than this is dead, or has no connection."""

COUNTED_AT_MOST: Final = 1_000_000
"""The largest `lag_events`. Counting takes about a tenth of a second for each million."""


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    """The status of one partition of a projection. Its attributes are those of `ProjectionStatus`, and its number."""

    number: int
    position: int
    lag_events: int
    lag_seconds: float
    updated_at: datetime
    worker: str | None
    is_running: bool
    failure: str | None
    failed_at: datetime | None
    log_went_back: bool = False
    retrying: str | None = None


@dataclass(frozen=True, slots=True)
class ProjectionStatus:
    """The status of a projection.

    If it has several partitions, `position`, `lag_events`, `lag_seconds` and `updated_at` are those of the one that is
    furthest behind, and `failure` and `retrying` those of the first one that has any.

    Attributes:
        name: The projection.
        position: The position of its checkpoint. Everything up to there has been handled.
        lag_events: The lag: how many events of the global order come after that, whether they match or not; counted up
            to a million.
        lag_seconds: How long ago the first of these was stored, by the database's clock; 0 if there is none.
        dead_letters: How many dead letters are pending.
        updated_at: When the checkpoint last moved.
        worker: The worker that was last seen, as host and process; None if there was none.
        is_running: Whether a worker was seen within the last 20 seconds, and has not stopped since.
        failure: The event at which the projection has stopped, and the type of the error; None if it has not stopped.
        failed_at: When it has stopped.
        log_went_back: Whether the log no longer has the event of the checkpoint, see `LogWentBack`. Rebuild the
            projection then.
        retrying: The event that its worker retries, the type of the last error and the number of attempts; None if
            there is none. If the projection is not running, this is from when its worker was last seen.
        started_after: The position after which it began.
        partitions: The status of each partition, in order of their numbers; one, if it is not partitioned.
        next_partitions: How many partitions it will have as soon as all have reached a common position; None if that
            does not change.
    """

    name: str
    position: int
    lag_events: int
    lag_seconds: float
    dead_letters: int
    updated_at: datetime
    worker: str | None
    is_running: bool
    failure: str | None
    failed_at: datetime | None
    log_went_back: bool = False
    retrying: str | None = None
    started_after: int = 0
    partitions: tuple[PartitionStatus, ...] = ()
    next_partitions: int | None = None

    @property
    def state(self) -> str:
        """A summary: `log went back`, `failed` at an event, `retrying` one, `running`, or `stopped`."""
        if self.log_went_back:
            return "log went back"
        if self.failure is not None:
            return "failed"
        if not self.is_running:
            return "stopped"
        return "running" if self.retrying is None else "retrying"


def combined(
    name: str,
    partitions: Sequence[PartitionStatus],
    *,
    dead_letters: int,
    started_after: int = 0,
    next_partitions: int | None = None,
) -> ProjectionStatus:
    """Return the status of a projection from that of its partitions, or of its only one."""
    behind = min(partitions, key=lambda each: each.position)
    failed = next((each for each in partitions if each.failure is not None), behind)
    running = next((each for each in partitions if each.is_running), behind)
    return ProjectionStatus(
        name=name,
        position=behind.position,
        lag_events=behind.lag_events,
        lag_seconds=behind.lag_seconds,
        dead_letters=dead_letters,
        updated_at=behind.updated_at,
        worker=running.worker,
        is_running=running.is_running,
        failure=failed.failure,
        failed_at=failed.failed_at,
        log_went_back=any(each.log_went_back for each in partitions),
        retrying=next((each.retrying for each in partitions if each.retrying is not None), None),
        started_after=started_after,
        partitions=tuple(partitions),
        next_partitions=next_partitions,
    )
