"""The lists of streams, and the search for a stream, a position or an event id."""

from typing import Any, Final
from uuid import UUID

from werkzeug.wrappers import Response

from eventstore.contrib.browser.page import Page
from eventstore.contrib.browser.queries.events import events_with_id
from eventstore.contrib.browser.queries.streams import largest_streams, recent_streams, streams_by_id
from eventstore.contrib.browser.visit import LARGEST, Visit
from eventstore.errors import InvalidStreamId

_ORDERS: Final = {"id": "By id", "recent": "Most recent", "size": "Largest"}


def streams(visit: Visit) -> Response:
    """Show streams: by id, the most recent ones or the largest."""
    order, category = visit.choice("by", _ORDERS), visit.text("category")
    return visit.render(
        "streams.html",
        orders=_ORDERS,
        order=order,
        category=category,
        **_LISTS[order](visit, category),
        first_url=visit.here(start=None) if visit.text("start") else None,
    )


def _by_id(visit: Visit, category: str | None) -> dict[str, Any]:
    page = streams_by_id(visit.store, prefix=visit.text("prefix") or "", category=category, start=visit.text("start"))
    return {"found": page, "next_url": visit.here(start=page.next) if page.next is not None else None}


def _recent(visit: Visit, category: str | None) -> dict[str, Any]:
    found = recent_streams(visit.store, category=category, start=visit.number("start"))
    return {"found": found, "next_url": visit.here(start=found.next) if found.next is not None else None}


def _largest(visit: Visit, category: str | None) -> dict[str, Any]:
    return {"found": largest_streams(visit.store, category=category), "next_url": None}


_LISTS: Final = {"id": _by_id, "recent": _recent, "size": _largest}


def find(visit: Visit) -> Response:
    """Lead to a stream, a position or an event id; otherwise to the streams whose ids begin with the text."""
    text = (visit.text("q") or "").strip()
    if not text:
        return visit.redirect(visit.url("/"))
    if _is_stream(visit, text):
        return visit.redirect(visit.url("/stream", id=text))
    if text.isascii() and text.isdecimal() and len(text) < len(str(LARGEST)):
        return visit.redirect(visit.url("/log", before=int(text) + 1))
    try:
        event_id = UUID(text)
    except ValueError:
        return visit.redirect(visit.url("/", prefix=text))
    return _by_event_id(visit, event_id)


def _is_stream(visit: Visit, stream_id: str) -> bool:
    try:
        return visit.store.stream_version(stream_id) > 0
    except InvalidStreamId:
        return False


def _by_event_id(visit: Visit, event_id: UUID) -> Response:
    found = events_with_id(visit.store, event_id)
    if found is not None and len(found.events) == 1:
        (event,) = found.events
        return visit.redirect(visit.url("/event", stream=event.stream_id, version=event.version))
    return visit.render("found.html", event_id=event_id, found=found)


PAGES: Final = (
    Page("/", streams, menu="Streams", parameters=frozenset({"by", "category", "prefix", "start"})),
    Page("/find", find, parameters=frozenset({"q"})),
)
