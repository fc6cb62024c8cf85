"""The global order of all events."""

from typing import Final

from werkzeug.wrappers import Response

from eventstore.contrib.browser.events import shown_events, until_detached
from eventstore.contrib.browser.page import Page
from eventstore.contrib.browser.visit import LARGEST, Visit
from eventstore.core.global_order import GlobalOrder
from eventstore.filters import EventFilter, combine
from eventstore.tokens import START

_KINDS: Final = {
    "type": ("Event type", "event_types"),
    "category": ("Category", "categories"),
    "tag": ("Tag", "tags"),
}
_CUT_AFTER: Final = 400
_REFRESH_SECONDS: Final = 3


def log(visit: Visit) -> Response:
    """Show the events of all streams, the newest first. Live, the page is read again every few seconds.

    It shows settled events only, so that none appears below the first one later.
    """
    rows, before = visit.rows, visit.number("before", minimum=1)
    kind, name = visit.choice("by", _KINDS), visit.text("name")
    is_live = visit.choice("live", ("", "1")) == "1" and before is None
    filters = [] if name is None else [EventFilter(**{_KINDS[kind][1]: [name]})]
    order = GlobalOrder(visit.store.core)
    rows_backwards = order.rows_backwards(
        combine(filters), START, LARGEST if before is None else before - 1, rows + 1, wait_seconds=0.0, search=None
    )
    found, detached = until_detached(rows_backwards)
    events = shown_events(visit.store, visit.browser.redact, found[:rows])
    return visit.render(
        "log.html",
        events=events,
        detached=detached,
        kinds={kind: text for kind, (text, _) in _KINDS.items()},
        by=kind,
        name=name,
        is_live=is_live,
        refresh_seconds=_REFRESH_SECONDS,
        cut_after=_CUT_AFTER,
        first_url=visit.here(before=None) if before else None,
        next_url=visit.here(before=events[-1].position, live=None) if len(found) > rows else None,
        live_url=None if before else visit.here(live=None if is_live else 1),
    )


PAGES: Final = (Page("/log", log, menu="Log", parameters=frozenset({"by", "name", "before", "live", "rows"})),)
