"""Tags and boundaries: which tags there are, and the events that have all of some tags."""

from typing import Final

from werkzeug.wrappers import Response

from eventstore.contrib.browser import queries
from eventstore.contrib.browser.page import Page
from eventstore.contrib.browser.visit import Visit

_FREQUENT: Final = 20
"""How many of the most frequent tags are shown."""


def tags(visit: Visit) -> Response:
    """Show the tags, and which are frequent now."""
    prefix, start = visit.text("prefix"), visit.text("from")
    page = queries.tags_by_name(visit.store, prefix=prefix or "", start=start)
    return visit.render(
        "tags.html",
        tags=page.items,
        prefix=prefix,
        frequent=() if prefix or start else queries.frequent_tags(visit.store)[:_FREQUENT],
        first_url=visit.url("/tags", prefix=prefix) if start else None,
        next_url=None if page.next is None else visit.url("/tags", prefix=prefix, **{"from": page.next}),
    )


def boundary(visit: Visit) -> Response:
    """Show the events that have all of the tags in the address, the newest first."""
    names = list(dict.fromkeys(name for name in visit.request.args.getlist("tag") if name))
    before = visit.number("before", minimum=1)
    page = queries.tagged_events(visit.store, names, start=before) if names else None

    def url(tags: list[str], before: int | None = None) -> str:
        return visit.url("/boundary", tag=tags, before=before)

    return visit.render(
        "boundary.html",
        tags=names,
        without={name: url([each for each in names if each != name]) for name in names},
        page=page,
        is_newest=before is None,
        first_url=url(names) if before else None,
        next_url=None if page is None or page.next is None else url(names, page.next),
    )


PAGES: Final = (
    Page("/tags", tags, menu="Tags", parameters=frozenset({"prefix", "from"})),
    Page("/boundary", boundary, parameters=frozenset({"tag", "before"}), lists=frozenset({"tag"})),
)
