"""The checkpoints of projections in the admin, with their lag and the way to their dead letters."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html

from eventstore.contrib.django.admin.dead_letters import DeadLetterViews
from eventstore.contrib.django.admin.lists import COUNTED_AT_MOST, BoundedChangeList, ReadOnlyAdmin, counted
from eventstore.contrib.django.models import Checkpoint
from eventstore.contrib.django.store import get_store
from eventstore.projections.status import SEEN_WITHIN_SECONDS, PartitionStatus, combined
from eventstore.statements.projections import projection_health

_STATES: Final = {
    "log went back": "log went back: rebuild the projection",
    "failed": "has stopped at an event",
    "retrying": "retries an event",
    "running": "running",
    "stopped": "stopped: no worker was seen lately",
}


class ProjectionList(BoundedChangeList):
    """The list of checkpoints, with the status of each."""

    def get_results(self, request: Any) -> None:
        """Read the page, and then the statuses."""
        super().get_results(request)
        add_statuses(self.queryset.db, self.result_list)


def add_statuses(using: str, checkpoints: Sequence[Any]) -> None:
    """Set the attribute `status` of checkpoints, by one statement. It counts up to one more than the limit."""
    store = get_store(using)
    with store.core.execution.statement() as run:
        rows = run(projection_health, at_most=COUNTED_AT_MOST + 1)
    of_projection: dict[str, list[Any]] = {}
    for row in rows:
        of_projection.setdefault(row[0], []).append(row)
    for checkpoint in checkpoints:
        its_rows = of_projection.get(checkpoint.pk)
        if its_rows is None:
            checkpoint.status = None
            continue
        partitions = [_partition(row, store.core.dialect.to_time) for row in its_rows]
        checkpoint.status = combined(
            checkpoint.pk,
            partitions,
            dead_letters=its_rows[0][4],
            started_after=checkpoint.started_after,
            next_partitions=checkpoint.next_partitions,
        )


def _partition(row: Sequence[Any], to_time: Any) -> PartitionStatus:
    (
        _, position, lag_events, oldest, _, failure, failed_at, now, log_went_back,
        number, worker, seen, updated, _,
    ) = row  # fmt: skip
    now = to_time(now)
    lag = timedelta() if oldest is None else now - to_time(oldest)
    return PartitionStatus(
        number=number or 1,
        position=position,
        lag_events=lag_events,
        lag_seconds=max(lag.total_seconds(), 0.0),
        updated_at=to_time(updated),
        worker=worker,
        is_running=seen is not None and (now - to_time(seen)).total_seconds() < SEEN_WITHIN_SECONDS,
        failure=None if failed_at is None else failure,
        failed_at=None if failed_at is None else to_time(failed_at),
        log_went_back=bool(log_went_back),
        retrying=failure if failed_at is None else None,
    )


@admin.register(Checkpoint)
class CheckpointAdmin(DeadLetterViews, ReadOnlyAdmin):
    """Checkpoints."""

    list_display = ("name", "state", "reached", "lag", "letters", "last_worker", "advanced")
    fields = (
        "name", "state", "reached", "lag", "letters", "last_worker", "seen_at", "advanced", "stopped_at_event",
        "failed_at", "stream", "started_after", "number_of_partitions",
    )  # fmt: skip
    readonly_fields = (
        "state", "reached", "lag", "letters", "last_worker", "advanced", "stopped_at_event", "stream",
        "number_of_partitions",
    )  # fmt: skip
    ordering = ("name",)
    paged_by = "name"
    sortable_by = ("name",)
    search_fields = ("name",)
    search_help_text = "A part of the name of a projection."

    def get_changelist(self, _request: Any, **_: Any) -> type[BoundedChangeList]:
        """Return the class of the list."""
        return ProjectionList

    def get_object(self, request: Any, object_id: str, from_field: str | None = None) -> Any:
        """Return a checkpoint with its status; None if there is none."""
        checkpoint = super().get_object(request, object_id, from_field)
        if checkpoint is not None:
            add_statuses(checkpoint._state.db, [checkpoint])  # noqa: SLF001  # which database it is from
        return checkpoint

    def get_queryset(self, request: Any) -> Any:
        """Return the projections. The checkpoints of their partitions have rows, too."""
        return super().get_queryset(request).filter(partition_of=None)

    @admin.display(description="state")
    def state(self, checkpoint: Any) -> str:
        """Return whether a worker runs it."""
        return "-" if checkpoint.status is None else _STATES[checkpoint.status.state]

    @admin.display(description="position")
    def reached(self, checkpoint: Any) -> Any:
        """Return the position of the checkpoint; of several partitions, the lowest."""
        return "-" if checkpoint.status is None else checkpoint.status.position

    @admin.display(description="worker")
    def last_worker(self, checkpoint: Any) -> Any:
        """Return the worker that was last seen."""
        return (checkpoint.status and checkpoint.status.worker) or "-"

    @admin.display(description="updated at")
    def advanced(self, checkpoint: Any) -> Any:
        """Return when the checkpoint last moved."""
        return None if checkpoint.status is None else checkpoint.status.updated_at

    @admin.display(description="failure")
    def stopped_at_event(self, checkpoint: Any) -> Any:
        """Return the event at which a handler has failed."""
        status = checkpoint.status
        return "-" if status is None else status.failure or status.retrying or "-"

    @admin.display(description="partitions")
    def number_of_partitions(self, checkpoint: Any) -> str:
        """Return how many partitions there are, and will be, with the positions of them if there are several."""
        status = checkpoint.status
        if status is None or len(status.partitions) == 1:
            return "1"
        positions = ", ".join(f"{each.number}: {each.position}" for each in status.partitions)
        following = "" if status.next_partitions is None else f", soon {status.next_partitions}"
        return f"{len(status.partitions)}{following} (positions {positions})"

    @admin.display(description="behind")
    def lag(self, checkpoint: Any) -> str:
        """Return how many events come after the checkpoint, and since when."""
        status = checkpoint.status
        if status is None or not status.lag_events:
            return "-" if status is None else "nothing"
        events = "event" if status.lag_events == 1 else "events"
        oldest = timedelta(seconds=round(status.lag_seconds))
        return f"{counted(status.lag_events)} {events}, the oldest {oldest} ago"

    @admin.display(description="pending dead letters")
    def letters(self, checkpoint: Any) -> str:
        """Return how many events wait to be retried or discarded, as a link to them."""
        if checkpoint.status is None:
            return "-"
        link: str = format_html(
            '<a href="{}">{}</a>', self.url_of_dead_letters(checkpoint.pk), counted(checkpoint.status.dead_letters)
        )
        return link

    @admin.display(description="last known event")
    def stream(self, checkpoint: Any) -> str:
        """Return the event that the checkpoint names, as a link to it."""
        if checkpoint.event_position is None:
            return "-"
        position = checkpoint.event_position
        text = f"position {position}: version {checkpoint.event_version} of {checkpoint.event_stream_id}"
        link: str = format_html('<a href="{}">{}</a>', reverse("admin:eventstore_event_change", args=[position]), text)
        return link
