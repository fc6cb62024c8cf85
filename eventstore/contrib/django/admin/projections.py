"""The checkpoints of projections in the admin, with their lag and the way to their dead letters."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from django.contrib import admin
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.timezone import template_localtime

from eventstore.contrib.django.admin.dead_letters import DeadLetterViews
from eventstore.contrib.django.admin.lists import COUNTED_AT_MOST, BoundedChangeList, ReadOnlyAdmin, counted
from eventstore.contrib.django.models import Checkpoint
from eventstore.contrib.django.store import get_store
from eventstore.projections.status import SEEN_WITHIN_SECONDS, PartitionStatus, ProjectionStatus, combined
from eventstore.statements.projections import projection_health

_STATES: Final = {
    "log went back": "log went back: rebuild the projection",
    "failed": "has stopped at an event",
    "retrying": "retries an event",
    "running": "running",
    "stopped": "stopped: no worker was seen lately",
}

_TABLE: Final = '<table class="eventstore-partitions"><thead><tr>{}</tr></thead><tbody>{}</tbody></table>'
_HEADINGS: Final = ("partition", "position", "behind", "updated at", "worker", "failure")
_ROW: Final = "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>"


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


def has_partitions(checkpoint: Any) -> bool:
    """Return whether a projection has several partitions, and their statuses were read."""
    return checkpoint.partitions > 1 and checkpoint.status is not None


def _behind(status: ProjectionStatus | PartitionStatus) -> str:
    if not status.lag_events:
        return "nothing"
    events = "event" if status.lag_events == 1 else "events"
    oldest = timedelta(seconds=round(status.lag_seconds))
    return f"{counted(status.lag_events)} {events}, the oldest {oldest} ago"


def _cells(partition: PartitionStatus) -> tuple[Any, ...]:
    worker = partition.worker if partition.is_running else None
    return (
        partition.number,
        partition.position,
        _behind(partition),
        date_format(template_localtime(partition.updated_at), "DATETIME_FORMAT"),
        worker or "-",
        partition.failure or partition.retrying or "-",
    )


@admin.register(Checkpoint)
class CheckpointAdmin(DeadLetterViews, ReadOnlyAdmin):
    """Checkpoints."""

    list_display = ("name", "state", "reached", "lag", "number_of_partitions", "letters", "last_worker", "advanced")
    fields = (
        "name", "state", "reached", "lag", "letters", "last_worker", "seen_at", "advanced", "stopped_at_event",
        "failed_at", "stream", "started_after", "number_of_partitions", "each_partition",
    )  # fmt: skip
    readonly_fields = (
        "state", "reached", "lag", "letters", "last_worker", "advanced", "stopped_at_event", "stream",
        "number_of_partitions", "each_partition",
    )  # fmt: skip
    of_whole = frozenset({"seen_at", "failed_at", "stream"})
    """Fields that the checkpoint of a projection does not have if its partitions have them."""
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

    def get_fields(self, _request: Any, checkpoint: Any = None) -> list[str]:
        """Return the fields of the page: those of the partitions, or those of the whole projection."""
        left_out = {"each_partition"} if checkpoint is None or not has_partitions(checkpoint) else self.of_whole
        return [name for name in self.fields if name not in left_out]

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
        """Return how many partitions there are, and will be."""
        following = "" if checkpoint.next_partitions is None else f", soon {checkpoint.next_partitions}"
        return f"{checkpoint.partitions}{following}"

    @admin.display(description="each partition")
    def each_partition(self, checkpoint: Any) -> str:
        """Return a table of the partitions."""
        rows: str = format_html_join("", _ROW, (_cells(each) for each in checkpoint.status.partitions))
        headings = format_html_join("", '<th scope="col">{}</th>', ([each] for each in _HEADINGS))
        table: str = format_html(_TABLE, headings, rows)
        return table

    @admin.display(description="behind")
    def lag(self, checkpoint: Any) -> str:
        """Return how many events come after the checkpoint, and since when."""
        return "-" if checkpoint.status is None else _behind(checkpoint.status)

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
