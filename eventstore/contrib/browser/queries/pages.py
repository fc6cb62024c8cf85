"""What the queries of the browser share: ranges of texts, and pages that say where the next one begins."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from eventstore.backends import maintenance_backend_of
from eventstore.backends.maintenance import Lookup
from eventstore.backends.protocol import Run
from eventstore.common.validation import MAX_VERSION
from eventstore.statements.browsing import PAGE
from eventstore.store import EventStore

Item = TypeVar("Item")
Start = TypeVar("Start")

LAST_POSITION: Final = MAX_VERSION
"""At least as high as any position."""

_LAST_CHARACTER: Final = "\U0010ffff"
_SURROGATES: Final = range(0xD800, 0xE000)
_AFTER_ALL: Final = _LAST_CHARACTER * 256


@dataclass(frozen=True, slots=True)
class Page(Generic[Item, Start]):
    """A page of a list, of at most 200 items.

    Attributes:
        items: The items.
        next: What to pass to the same function as `start` for the next page; None if this is the last one.
    """

    items: tuple[Item, ...]
    next: Start | None


def page_of(rows: Sequence[Any], item: Callable[[Any], Item], start: Callable[[Any], Start]) -> Page[Item, Start]:
    """Return a page of rows, of which the last one, if it is one too many, says where the next page begins."""
    following = rows[PAGE] if len(rows) > PAGE else None
    return Page(tuple(map(item, rows[:PAGE])), None if following is None else start(following))


def end_of_prefix(prefix: str) -> str:
    """Return a text that is greater than all that begin with a prefix, and not greater than any other that is.

    Texts are compared by code points, as both databases compare ids and tags.
    """
    kept = prefix.rstrip(_LAST_CHARACTER)
    if not kept:
        return _AFTER_ALL
    following = ord(kept[-1]) + 1
    return kept[:-1] + chr(_SURROGATES.stop if following in _SURROGATES else following)


def lookups(store: EventStore, run: Run) -> frozenset[Lookup]:
    """Return what indexes of es_events lead to, for the role of the store."""
    return maintenance_backend_of(store.address.system).lookups(run)
