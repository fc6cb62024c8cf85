"""Streams and events in Django's admin, read-only: nothing can be added, changed or deleted."""

from pprint import pformat
from typing import Any, Final
from uuid import UUID

from django.contrib import admin
from django.core.paginator import Paginator
from django.db import models
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.timezone import template_localtime

from eventstore.contrib.django.models import Event, Stream
from eventstore.contrib.django.store import get_store
from eventstore.errors import EventStoreError

COUNTED_AT_MOST: Final = 10_000
"""How many rows a list counts, because counting millions would take seconds for each page."""

NAMED_AT_MOST: Final = 50
"""How many event types or categories a filter shows."""

_LARGEST: Final = 2**63 - 1


class CountingPaginator(Paginator):
    """Counts rows up to a limit."""

    @cached_property
    def count(self) -> int:
        """The number of rows, at most the limit."""
        number: int = self.object_list[:COUNTED_AT_MOST].count()
        return number


class NamesFilter(admin.SimpleListFilter):
    """Offers the values of the first column of an index, found one after the other without reading the table."""

    def lookups(self, _request: Any, model_admin: Any) -> list[tuple[str, str]]:
        """Return the names, in order."""
        rows = model_admin.model.objects.order_by(self.parameter_name).values_list(self.parameter_name, flat=True)
        names: list[str] = []
        name = rows.first()
        while name is not None and len(names) < NAMED_AT_MOST:
            names.append(name)
            name = rows.filter(**{f"{self.parameter_name}__gt": name}).first()
        return [(name, name) for name in names]

    def queryset(self, _request: Any, queryset: Any) -> Any:
        """Return the rows with the chosen name."""
        return queryset if self.value() is None else queryset.filter(**{self.parameter_name: self.value()})


class EventTypeFilter(NamesFilter):
    """Filters by event type."""

    title = "event type"
    parameter_name = "event_type"


class CategoryFilter(NamesFilter):
    """Filters by category."""

    title = "category"
    parameter_name = "category"


class ReadOnlyAdmin(admin.ModelAdmin):
    """Shows rows to users with the permission to view them."""

    paginator = CountingPaginator
    show_full_result_count = False
    list_per_page = 50
    actions = None

    def has_add_permission(self, *_: Any) -> bool:
        """Rows are added by appends only."""
        return False

    def has_change_permission(self, *_: Any) -> bool:
        """Rows are read-only."""
        return False

    def has_delete_permission(self, *_: Any) -> bool:
        """Rows are not deleted here."""
        return False


@admin.register(Stream)
class StreamAdmin(ReadOnlyAdmin):
    """Streams."""

    list_display = ("stream_id", "category", "version", "created_at", "updated_at")
    fields = (*list_display, "events")
    readonly_fields = ("events",)
    ordering = ("stream_id",)
    sortable_by = ("stream_id",)
    search_fields = ("stream_id__startswith",)
    search_help_text = "The beginning of a stream id."

    @admin.display(description="events")
    def events(self, stream: Any) -> str:
        """Return a link to the list of the stream's events."""
        link = f"{reverse('admin:eventstore_event_changelist')}?{urlencode({'stream_id': stream.pk})}"
        anchor: str = format_html('<a href="{}">All events of this stream</a>', link)
        return anchor


@admin.register(Event)
class EventAdmin(ReadOnlyAdmin):
    """Events."""

    list_display = ("position", "recorded", "event_type", "stream_link", "version")
    fields = (
        "position", "stream_link", "version", "event_type", "schema_version", "recorded", "event_id", "payload",
        "metadata_text",
    )  # fmt: skip
    readonly_fields = ("recorded", "stream_link", "payload", "metadata_text")
    list_filter = (EventTypeFilter, CategoryFilter, ("recorded_at", admin.DateFieldListFilter))
    ordering = ("-position",)
    sortable_by = ("position",)  # another column would need a sort of all rows
    search_fields = ("stream_id",)  # only to have a search box; see get_search_results
    search_help_text = "A stream id or its beginning, an event type, an event id, or a position."

    def get_queryset(self, request: Any) -> Any:
        """Return the rows without payloads, which lists do not show."""
        return super().get_queryset(request).defer("data", "metadata")

    def get_search_results(self, _request: Any, queryset: Any, search_term: str) -> tuple[Any, bool]:
        """Search by indexes, except for an event id."""
        for term in search_term.split():
            queryset = queryset.filter(_condition_for(term))
        return queryset, False

    @admin.display(description="recorded at")
    def recorded(self, event: Any) -> str:
        """Return the time with its microseconds, in the time zone of the project."""
        return str(date_format(template_localtime(event.recorded_at), "Y-m-d H:i:s.u"))

    @admin.display(description="stream")
    def stream_link(self, event: Any) -> str:
        """Return a link to the stream."""
        link = reverse("admin:eventstore_stream_change", args=[event.stream_id])
        anchor: str = format_html('<a href="{}">{}</a>', link, event.stream_id)
        return anchor

    @admin.display(description="payload")
    def payload(self, event: Any) -> str:
        """Return the stored payload as Python code, escaped as everything here."""
        versions = {"after_version": event.version - 1, "up_to_version": event.version}
        try:
            (recorded,) = get_store(event._state.db).read_stream(event.stream_id, **versions, upcast=False)  # noqa: SLF001  # which database it is from
        except EventStoreError as error:
            return str(error)
        return _preformatted(recorded.data)

    @admin.display(description="metadata")
    def metadata_text(self, event: Any) -> str:
        """Return the metadata in the same form."""
        return "-" if event.metadata is None else _preformatted(event.metadata)


def _preformatted(value: object) -> str:
    style = "margin: 0; white-space: pre-wrap; overflow-wrap: anywhere"
    html: str = format_html('<pre style="{}">{}</pre>', style, pformat(value, width=100, sort_dicts=False))
    return html


def _condition_for(term: str) -> models.Q:
    """Return the condition for a search term, according to its form."""
    try:
        return models.Q(event_id=UUID(term))
    except ValueError:
        names = models.Q(stream_id=term) | models.Q(stream__stream_id__startswith=term) | models.Q(event_type=term)
        return names | models.Q(position=int(term)) if term.isdecimal() and int(term) <= _LARGEST else names
