"""The pages, in the order of the menu."""

from typing import Final

from eventstore.contrib.browser.page import Page
from eventstore.contrib.browser.pages import streams

PAGES: Final[tuple[Page, ...]] = (*streams.PAGES,)
