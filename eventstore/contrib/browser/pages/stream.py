"""A stream with its events, an event, and a whole payload."""

from typing import Final

from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response

from eventstore.contrib.browser.events import ShownEvent, shown_events, until_detached
from eventstore.contrib.browser.page import Page
from eventstore.contrib.browser.pages.state import repository_of
from eventstore.contrib.browser.queries.events import related_events
from eventstore.contrib.browser.values import WHOLE, readable
from eventstore.contrib.browser.visit import Visit
from eventstore.core.reading import Reader
from eventstore.streams import category_of

_OF_STREAM: Final = 1_200
"""After how many characters a payload is cut in the list of a stream's events."""


def stream(visit: Visit) -> Response:
    """Show the events of a stream, the newest first unless the visitor wants the oldest."""
    stream_id, rows = visit.needed("id"), visit.rows
    backwards = visit.choice("order", ("newest", "oldest")) == "newest"
    before, after = visit.number("before", minimum=1), visit.number("after")
    version = visit.store.stream_version(stream_id)
    if not version:
        raise NotFound(f"There is no stream {stream_id!r}.")
    pages = Reader(visit.store.core).pages(
        stream_id,
        after_version=0 if backwards or after is None else after,
        up_to_version=before - 1 if backwards and before is not None else None,
        limit=rows + 1,
        backwards=backwards,
        page_size=rows + 1,
    )
    found, detached = until_detached(row for page in pages for row in page)
    events = shown_events(visit.store, visit.browser.redact, found[:rows])
    next_url = None
    if len(found) > rows:
        last = events[-1].version
        next_url = visit.here(before=last, after=None) if backwards else visit.here(after=last, before=None)
    return visit.render(
        "stream.html",
        stream_id=stream_id,
        category=category_of(stream_id),
        version=version,
        tombstone=_tombstone(visit, stream_id, version, events),
        events=events,
        detached=detached,
        backwards=backwards,
        cut_after=_OF_STREAM,
        repository=repository_of(visit, stream_id),
        first_url=visit.here(before=None, after=None) if before or after else None,
        next_url=next_url,
        other_order_url=visit.here(order="oldest" if backwards else None, before=None, after=None),
    )


def _tombstone(visit: Visit, stream_id: str, version: int, events: list[ShownEvent]) -> ShownEvent | None:
    """Return the event that says that the stream was deleted or archived; None if it is open."""
    newest = next((event for event in events if event.version == version), None) or _event(visit, stream_id, version)
    return newest if newest is not None and newest.is_tombstone else None


def _event(visit: Visit, stream_id: str, version: int) -> ShownEvent | None:
    pages = Reader(visit.store.core).pages(
        stream_id, after_version=version - 1, up_to_version=version, limit=1, backwards=False, page_size=1
    )
    rows = [row for page in pages for row in page]
    return shown_events(visit.store, visit.browser.redact, rows)[0] if rows else None


def _needed_event(visit: Visit) -> ShownEvent:
    """Return the event that the address names.

    Raises:
        NotFound: There is none.
        HistoryDetached: It was detached.
    """
    stream_id, version = visit.needed("stream"), visit.number("version", minimum=1)
    found = None if version is None else _event(visit, stream_id, version)
    if found is None:
        raise NotFound(f"There is no such event of the stream {stream_id!r}.")
    return found


def event(visit: Visit) -> Response:
    """Show an event, with its causes and effects."""
    shown = _needed_event(visit)
    newest = visit.store.stream_version(shown.stream_id)
    return visit.render(
        "event.html",
        event=shown,
        related=related_events(visit.store, shown.recorded),
        newest_version=newest,
        repository=repository_of(visit, shown.stream_id),
        whole_url=lambda part: visit.url("/value", stream=shown.stream_id, version=shown.version, part=part),
    )


def value(visit: Visit) -> Response:
    """Answer with the whole data or metadata of an event, as text."""
    shown = _needed_event(visit)
    part = visit.choice("part", ("data", "metadata", "read"))
    values = {"data": shown.stored, "metadata": shown.metadata, "read": [read.data for read in shown.read]}
    whole = readable(values[part], WHOLE)
    return visit.text_file(whole.text + ("\n… cut here" if whole.is_cut else ""))


PAGES: Final = (
    Page("/stream", stream, parameters=frozenset({"id", "order", "before", "after", "rows"})),
    Page("/event", event, parameters=frozenset({"stream", "version"})),
    Page("/value", value, parameters=frozenset({"stream", "version", "part"})),
)
