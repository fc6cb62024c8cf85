"""Projections: how far each is, and its partitions."""

from typing import Final

from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response

from eventstore.contrib.browser import queries
from eventstore.contrib.browser.page import Page
from eventstore.contrib.browser.visit import MOST_ROWS, Visit


def projections(visit: Visit) -> Response:
    """Show the projections with their lag."""
    page = queries.projections(visit.store, start=visit.text("from"))
    return visit.render(
        "projections.html",
        projections=page.items,
        newest=queries.newest_event(visit.store),
        first_url=visit.here(**{"from": None}) if visit.text("from") else None,
        next_url=None if page.next is None else visit.here(**{"from": page.next}),
    )


def projection(visit: Visit) -> Response:
    """Show a projection and its partitions, those that are furthest behind first."""
    name = visit.needed("name")
    status = queries.projection(visit.store, name)
    if status is None:
        raise NotFound(f"No projection was ever run under the name {name!r}.")
    return visit.render(
        "projection.html",
        projection=status,
        partitions=sorted(status.partitions, key=lambda each: (each.position, each.number))[:MOST_ROWS],
        newest=queries.newest_event(visit.store),
    )


PAGES: Final = (
    Page("/projections", projections, menu="Projections", parameters=frozenset({"from"})),
    Page("/projection", projection, parameters=frozenset({"name"})),
)
