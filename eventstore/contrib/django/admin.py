"""Streams and events in Django's admin, to look at: nothing can be added, changed or deleted."""

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
"""How many rows a list counts: to count millions takes seconds, for each page."""

NAMED_AT_MOST: Final = 50
"""How many event types or categories a filter shows."""

_LARGEST: Final = 2**63 - 1


class CountingPaginator(Paginator):
    """Counts up to a limit."""

    @cached_property
    def count(self) -> int:
        """Return how many rows there are, or the limit."""
        counted: int = self.object_list[:COUNTED_AT_MOST].count()
        return counted


class NamesFilter(admin.SimpleListFilter):
    """Offers the values of a column that an index begins with, found one after the other: no table is read for it."""

    def lookups(self, _request: Any, model_admin: Any) -> list[tuple[str, str]]:
        """Return the names, in order."""
        rows = model_admin.model.objects.order_by(self.parameter_name).values_list(self.parameter_name, flat=True)
        found: list[str] = []
        name = rows.first()
        while name is not None and len(found) < NAMED_AT_MOST:
            found.append(name)
            name = rows.filter(**{f"{self.parameter_name}__gt": name}).first()
        return [(name, name) for name in found]

    def queryset(self, _request: Any, queryset: Any) -> Any:
        """Return those of the chosen name."""
        return queryset if self.value() is None else queryset.filter(**{self.parameter_name: self.value()})


class EventTypeFilter(NamesFilter):
    """By event type."""

    title = "event type"
    parameter_name = "event_type"


class CategoryFilter(NamesFilter):
    """By category."""

    title = "category"
    parameter_name = "category"


class ReadOnlyAdmin(admin.ModelAdmin):
    """Shows, to whoever has the permission to view."""

    paginator = CountingPaginator
    show_full_result_count = False
    list_per_page = 50
    actions = None

    def has_add_permission(self, *_: Any) -> bool:
        """Nobody."""
        return False

    def has_change_permission(self, *_: Any) -> bool:
        """Nobody."""
        return False

    def has_delete_permission(self, *_: Any) -> bool:
        """Nobody."""
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
        """Link to the list of its events."""
        link = f"{reverse('admin:eventstore_event_changelist')}?{urlencode({'stream_id': stream.pk})}"
        shown: str = format_html('<a href="{}">All events of this stream</a>', link)
        return shown


@admin.register(Event)
class EventAdmin(ReadOnlyAdmin):
    """Events."""

    list_display = ("position", "recorded", "event_type", "stream_link", "version")
    fields = (
        "position", "stream_link", "version", "event_type", "schema_version", "recorded", "event_id", "payload",
        "told_by",
    )  # fmt: skip
    readonly_fields = ("recorded", "stream_link", "payload", "told_by")
    list_filter = (EventTypeFilter, CategoryFilter, ("recorded_at", admin.DateFieldListFilter))
    ordering = ("-position",)
    sortable_by = ("position",)  # by other columns, all rows would have to be sorted
    search_fields = ("stream_id",)  # so that there is a field to search in; see get_search_results
    search_help_text = "A stream id or its beginning, an event type, an event id, or a position."

    def get_queryset(self, request: Any) -> Any:
        """Leave payloads out of lists."""
        return super().get_queryset(request).defer("data", "metadata")

    def get_search_results(self, _request: Any, queryset: Any, search_term: str) -> tuple[Any, bool]:
        """Search where there are indexes, except for an event id."""
        for term in search_term.split():
            queryset = queryset.filter(_searched(term))
        return queryset, False

    @admin.display(description="recorded at")
    def recorded(self, event: Any) -> str:
        """Show the time with its seconds, in the time zone of the project."""
        return str(date_format(template_localtime(event.recorded_at), "Y-m-d H:i:s.u"))

    @admin.display(description="stream")
    def stream_link(self, event: Any) -> str:
        """Link to the stream."""
        link = reverse("admin:eventstore_stream_change", args=[event.stream_id])
        shown: str = format_html('<a href="{}">{}</a>', link, event.stream_id)
        return shown

    @admin.display(description="payload")
    def payload(self, event: Any) -> str:
        """Show what is stored, as Python writes it; escaped, as everything here."""
        versions = {"after_version": event.version - 1, "up_to_version": event.version}
        try:
            (recorded,) = get_store(event._state.db).read_stream(event.stream_id, **versions, upcast=False)  # noqa: SLF001  # which database it is from
        except EventStoreError as error:
            return str(error)
        return _preformatted(recorded.data)

    @admin.display(description="metadata")
    def told_by(self, event: Any) -> str:
        """Show the metadata, in the same way."""
        return "-" if event.metadata is None else _preformatted(event.metadata)


def _preformatted(value: object) -> str:
    style = "margin: 0; white-space: pre-wrap; overflow-wrap: anywhere"
    shown: str = format_html('<pre style="{}">{}</pre>', style, pformat(value, width=100, sort_dicts=False))
    return shown


def _searched(term: str) -> models.Q:
    """Return the condition that a term of a search stands for, by what it looks like."""
    try:
        return models.Q(event_id=UUID(term))
    except ValueError:
        found = models.Q(stream_id=term) | models.Q(stream__stream_id__startswith=term) | models.Q(event_type=term)
        return found | models.Q(position=int(term)) if term.isdecimal() and int(term) <= _LARGEST else found
