"""Health: whether the database is as it should be, and who holds readers up."""

from typing import Final

from werkzeug.wrappers import Response

from eventstore.contrib.browser import queries
from eventstore.contrib.browser.page import Page
from eventstore.contrib.browser.visit import MOST_ROWS, Visit


def health(visit: Visit) -> Response:
    """Show the health of the store, and how far readers can read."""
    found = queries.health(visit.store)
    readers = (
        queries.readers_held_up(visit.store)
        if found is None or (found.connection.is_up and found.schema.fits)
        else None
    )
    return visit.render(
        "health.html",
        health=found,
        readers=readers,
        open_appends=() if readers is None else readers.open_appends[:MOST_ROWS],
        address=visit.store.address,
    )


PAGES: Final = (Page("/health", health, menu="Health"),)
