"""What a page is."""

from collections.abc import Callable
from dataclasses import dataclass

from werkzeug.wrappers import Response

from eventstore.contrib.browser.visit import Visit


@dataclass(frozen=True, slots=True)
class Page:
    """A page, or what a form of one does.

    Attributes:
        path: Its path below the place where the browser is mounted, such as `/streams`.
        answer: Takes the visit, and returns the answer.
        menu: Its name in the menu; None if it is not there.
        changes: Whether it is a form's, which changes something: sent by POST, with a token, by visitors who may.
        parameters: The parameters that it knows, in its address or its form. Others are refused.
        lists: Those of them that may be there several times.
    """

    path: str
    answer: Callable[[Visit], Response]
    menu: str | None = None
    changes: bool = False
    parameters: frozenset[str] = frozenset()
    lists: frozenset[str] = frozenset()
