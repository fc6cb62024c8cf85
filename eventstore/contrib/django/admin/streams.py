"""Streams in the admin."""

from typing import Any, Final

from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode

from eventstore.contrib.django.admin.lists import ReadOnlyAdmin, browser_url
from eventstore.contrib.django.models import Stream

_LARGEST_CHARACTER: Final = "\U0010ffff"


@admin.register(Stream)
class StreamAdmin(ReadOnlyAdmin):
    """Streams."""

    list_display = ("stream_id", "category", "version", "created_at", "updated_at")
    fields = (*list_display, "state", "events", "browser")
    readonly_fields = ("state", "events", "browser")
    change_form_template = "admin/eventstore/change_form.html"  # without a history, which Django keeps of changes
    ordering = ("stream_id",)
    paged_by = "stream_id"
    sortable_by = ("stream_id",)
    search_fields = ("stream_id",)  # only to have a search box; see get_search_results
    search_help_text = "The beginning of a stream id."

    def get_search_results(self, _request: Any, queryset: Any, search_term: str) -> tuple[Any, bool]:
        """Search a range of the primary key, which both databases have in the order of bytes."""
        beginning = search_term.strip()
        if beginning:
            queryset = queryset.filter(stream_id__gte=beginning, stream_id__lt=beginning + _LARGEST_CHARACTER)
        return queryset, False

    @admin.display(description="state")
    def state(self, stream: Any) -> str:
        """Return whether the stream takes events."""
        if stream.deleted_version is not None:
            return "deleted"
        return "open" if stream.archived_version is None else "archived"

    @admin.display(description="events")
    def events(self, stream: Any) -> str:
        """Return a link to the list of the stream's events."""
        link = f"{reverse('admin:eventstore_event_changelist')}?{urlencode({'stream_id': stream.pk})}"
        anchor: str = format_html('<a href="{}">All events of this stream</a>', link)
        return anchor

    @admin.display(description="browser")
    def browser(self, stream: Any) -> str:
        """Return a link to the stream in the browser of streams, if the project has mounted it."""
        link = browser_url("stream", id=stream.pk)
        anchor: str = "-" if link is None else format_html('<a href="{}">Readable events, and the state</a>', link)
        return anchor
