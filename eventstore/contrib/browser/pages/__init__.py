"""The pages, in the order of the menu."""

from typing import Final

from eventstore.contrib.browser.page import Page
from eventstore.contrib.browser.pages import (
    dead_letters,
    health,
    log,
    projections,
    snapshots,
    state,
    stream,
    streams,
    tags,
)

PAGES: Final[tuple[Page, ...]] = (
    *streams.PAGES,
    *log.PAGES,
    *tags.PAGES,
    *projections.PAGES,
    *snapshots.PAGES,
    *health.PAGES,
    *stream.PAGES,
    *state.PAGES,
    *dead_letters.PAGES,
)
