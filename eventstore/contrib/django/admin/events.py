"""Events in the admin."""

from functools import partial
from pprint import pformat
from typing import Any, Final
from uuid import UUID

from django.contrib import admin
from django.db import connections
from django.db.models import F, Func, Subquery, TextField, Value
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.http import urlencode
from django.utils.timezone import template_localtime

from eventstore.codecs.metadata import pop_tags
from eventstore.common.shown import shown
from eventstore.contrib.django.admin.lists import (
    BoundedChangeList,
    GivenFilter,
    NamesFilter,
    ReadOnlyAdmin,
    browser_url,
)
from eventstore.contrib.django.models import Event, EventTag, Stream
from eventstore.contrib.django.store import get_store
from eventstore.correlation import CAUSATION_ID, CORRELATION_ID
from eventstore.errors import EventStoreError

_LARGEST: Final = 2**63 - 1

_OPERATOR: Final = {"template": "(%(expressions)s)", "arg_joiner": " ->> "}
"""`metadata ->> key`, which the index in the guide has, too."""


class StreamFilter(GivenFilter):
    """Filters by stream."""

    title = "stream"
    parameter_name = "stream_id"


class CorrelationFilter(GivenFilter):
    """Filters by correlation id."""

    title = "correlation id"
    parameter_name = CORRELATION_ID

    def queryset(self, _request: Any, queryset: Any) -> Any:
        """Return the events with the correlation id."""
        if self.value() is None:
            return queryset
        form = {"function": "json_extract"} if connections[queryset.db].vendor == "sqlite" else _OPERATOR
        key = Value(f"$.{CORRELATION_ID}" if "function" in form else CORRELATION_ID)
        return queryset.alias(id_=Func("metadata", key, output_field=TextField(), **form)).filter(id_=self.value())


class TagFilter(GivenFilter):
    """Filters by tag."""

    title = "tag"
    parameter_name = "tag"

    def queryset(self, _request: Any, queryset: Any) -> Any:
        """Return the events with the tag."""
        if self.value() is None:
            return queryset
        tagged = EventTag.objects.using(queryset.db).filter(tag=self.value())
        return queryset.filter(position__in=tagged.values("position"))


class EventTypeFilter(NamesFilter):
    """Filters by event type."""

    title = "event type"
    parameter_name = "event_type"


class CategoryFilter(NamesFilter):
    """Filters by category."""

    title = "category"
    parameter_name = "category"


class EventList(BoundedChangeList):
    """The list of events, in an order that has an index."""

    def get_queryset(self, request: Any, *arguments: Any, **options: Any) -> Any:
        """Return the events in order of position, by the index that leads to them without reading the others."""
        queryset = super().get_queryset(request, *arguments, **options)
        if StreamFilter.parameter_name in self.params:
            return _by_version(queryset)
        descends = self.descends(request)
        is_postgresql = connections[queryset.db].vendor == "postgresql"
        if not is_postgresql or "version" in queryset.query.order_by[0]:
            return queryset
        if CorrelationFilter.parameter_name not in self.params and not self._begins_later(queryset, descends=descends):
            return queryset
        position = F("position") + 0  # so the planner doesn't walk the index of positions up to the first of them
        return queryset.order_by(position.desc() if descends else position.asc())

    def _begins_later(self, queryset: Any, *, descends: bool) -> bool:
        """Return whether other events come before the first of the list, because of the times looked for."""
        given = {name: value for name, value in self.params.items() if name.startswith("recorded_at__")}
        if not given:
            return False
        after = {name: value for name, value in self.params.items() if name.startswith("position__")}
        events = queryset.model.objects.using(queryset.db)
        first = events.filter(**after).order_by("-position" if descends else "position").values("position")[:1]
        return not events.filter(position=Subquery(first), **given).exists()


@admin.register(Event)
class EventAdmin(ReadOnlyAdmin):
    """Events."""

    list_display = ("position", "recorded", "event_type", "stream_link", "version")
    fields = (
        "position", "stream_link", "version", "event_type", "schema_version", "recorded", "event_id", "correlation",
        "cause", "tags", "payload", "metadata_text", "browser",
    )  # fmt: skip
    readonly_fields = ("recorded", "stream_link", "correlation", "cause", "tags", "payload", "metadata_text", "browser")
    list_filter = (
        StreamFilter, CorrelationFilter, TagFilter, EventTypeFilter, CategoryFilter,
        ("recorded_at", admin.DateFieldListFilter),
    )  # fmt: skip
    change_form_template = "admin/eventstore/change_form.html"  # without a history, which Django keeps of changes
    ordering = ("-position",)
    paged_by = "position"
    sortable_by = ("position",)  # another column would need a sort of all rows
    search_fields = ("stream_id",)  # only to have a search box; see get_search_results
    search_help_text = "A stream id, an event type, a position or an event id."

    def get_queryset(self, request: Any) -> Any:
        """Return the rows without payloads, which lists do not show."""
        return super().get_queryset(request).defer("data", "metadata")

    def get_changelist(self, _request: Any, **_: Any) -> type[BoundedChangeList]:
        """Return the class of the list."""
        return EventList

    def get_search_results(self, _request: Any, queryset: Any, search_term: str) -> tuple[Any, bool]:
        """Search by indexes, except for an event id."""
        for term in search_term.split():
            condition = _condition_for(term, queryset.db)
            queryset = queryset.filter(**condition)
            if "stream_id" in condition:
                queryset = _by_version(queryset)
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

    @admin.display(description="correlation id")
    def correlation(self, event: Any) -> str:
        """Return the correlation id, as a link to all events that have it."""
        return _link_to_events(event, CORRELATION_ID, CORRELATION_ID)

    @admin.display(description="caused by")
    def cause(self, event: Any) -> str:
        """Return the id of the event that has caused this one, as a link to it."""
        return _link_to_events(event, CAUSATION_ID, "q")

    @admin.display(description="tags")
    def tags(self, event: Any) -> str:
        """Return the tags, each as a link to all events that have it."""
        links = ((_link(TagFilter.parameter_name, tag), tag) for tag in pop_tags(dict(event.metadata or {})))
        html: str = format_html_join(", ", '<a href="{}">{}</a>', links)
        return html or "-"

    @admin.display(description="payload")
    def payload(self, event: Any) -> str:
        """Return the stored payload as Python code, escaped as everything here."""
        versions = {"after_version": event.version - 1, "up_to_version": event.version}
        try:
            (recorded,) = get_store(event._state.db).read_stream(event.stream_id, **versions, upcast=False)  # noqa: SLF001  # which database it is from
        except EventStoreError as error:
            return str(error)
        return _preformatted(recorded.data)

    @admin.display(description="browser")
    def browser(self, event: Any) -> str:
        """Return a link to the event in the browser of streams, if the project has mounted it."""
        link = browser_url("event", stream=event.stream_id, version=event.version)
        anchor: str = "-" if link is None else format_html('<a href="{}">Causes, effects, and the state</a>', link)
        return anchor

    @admin.display(description="metadata")
    def metadata_text(self, event: Any) -> str:
        """Return the metadata in the same form."""
        metadata = dict(event.metadata or {})
        pop_tags(metadata)
        return _preformatted(metadata) if metadata else "-"


def _link_to_events(event: Any, key: str, parameter: str) -> str:
    value = (event.metadata or {}).get(key)
    if not isinstance(value, str) or not value:
        return "-"
    anchor: str = format_html('<a href="{}">{}</a>', _link(parameter, value), value)
    return anchor


def _link(parameter: str, value: str) -> str:
    return f"{reverse('admin:eventstore_event_changelist')}?{urlencode({parameter: value})}"


def _preformatted(value: object) -> str:
    text = shown(value, partial(pformat, width=100, sort_dicts=False))
    html: str = format_html('<pre class="eventstore-value">{}</pre>', text)
    return html


def _by_version(queryset: Any) -> Any:
    """Return the events of one stream in the order of their versions: that of their positions, but with an index."""
    return queryset.order_by("-version" if queryset.query.order_by[0].startswith("-") else "version")


def _condition_for(term: str, using: str) -> dict[str, Any]:
    """Return the condition for a search term: a stream if there is one of that id, else according to its form.

    It is one comparison with one column, because no index helps with a choice of several.
    """
    if Stream.objects.using(using).filter(pk=term).exists():
        return {"stream_id": term}
    if term.isdecimal():
        return {"position": int(term)} if int(term) <= _LARGEST else {"pk__in": []}
    try:
        return {"event_id": UUID(term)}
    except ValueError:
        return {"event_type": term}
