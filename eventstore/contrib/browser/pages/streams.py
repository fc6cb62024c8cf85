"""The list of streams."""

from typing import Final

from werkzeug.wrappers import Response

from eventstore.contrib.browser.page import Page
from eventstore.contrib.browser.visit import Visit
from eventstore.streams import StreamOrder


def streams(visit: Visit) -> Response:
    """Show the streams."""
    rows = visit.rows
    found = list(
        visit.store.list_streams(
            category=visit.text("category"), order=StreamOrder.ID, after_stream_id=visit.text("after"), limit=rows + 1
        )
    )
    shown = found[:rows]
    return visit.render(
        "streams.html",
        streams=shown,
        next_url=visit.here(after=shown[-1].stream_id) if len(found) > rows else None,
        first_url=visit.here(after=None) if visit.text("after") else None,
    )


PAGES: Final = (Page("/", streams, menu="Streams"),)
