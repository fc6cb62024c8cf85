"""The pages, in the order of the menu."""

from typing import Final

from eventstore.contrib.browser.page import Page
from eventstore.contrib.browser.pages import log, state, stream, streams

PAGES: Final[tuple[Page, ...]] = (*streams.PAGES, *log.PAGES, *stream.PAGES, *state.PAGES)
