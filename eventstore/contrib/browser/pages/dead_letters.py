"""The dead letters of a projection: lists, one of them, and retrying and discarding."""

from typing import Final

from werkzeug.exceptions import BadRequest, NotFound
from werkzeug.wrappers import Response

from eventstore.contrib.browser import queries
from eventstore.contrib.browser.page import Page
from eventstore.contrib.browser.security import CSRF_FIELD
from eventstore.contrib.browser.visit import Visit
from eventstore.errors import ProjectionFailed, ProjectionRunning
from eventstore.projections import Projection, ProjectionAdmin
from eventstore.projections.dead_letters import DeadLetter, DeadLetterStatus

_DONE: Final = ("", "resolved", "failed", "running", "discarded", "closed")
"""What a form has done, in the address of the page that it leads to: the keys of the messages in the template."""

_LONGEST_NOTE: Final = 2_000
_OF_LETTER: Final = frozenset({"projection", "position"})


def dead_letters(visit: Visit) -> Response:
    """Show the pending dead letters of a projection by stream, in the order in which they are retried, or all."""
    name = visit.needed("projection")
    shows_all = visit.choice("status", ("pending", "all")) == "all"
    position = visit.number("position")
    here = {"status": "all" if shows_all else None, "projection": name}
    next_url = None
    if shows_all:
        newest_first = queries.all_dead_letters(visit.store, name, start=position)
        letters = newest_first.items
        if newest_first.next is not None:
            next_url = visit.url("/dead-letters", **here, position=newest_first.next)
    else:
        stream_id = visit.text("stream")
        by_stream = queries.pending_dead_letters(
            visit.store, name, start=None if stream_id is None else (stream_id, position or 0)
        )
        letters = by_stream.items
        if by_stream.next is not None:
            next_url = visit.url("/dead-letters", **here, stream=by_stream.next[0], position=by_stream.next[1])
    return visit.render(
        "dead_letters.html",
        projection=name,
        letters=letters,
        shows_all=shows_all,
        first_url=visit.url("/dead-letters", **here) if visit.text("stream") or position else None,
        next_url=next_url,
    )


def dead_letter(visit: Visit) -> Response:
    """Show a dead letter with its error and, to those who may, the forms to retry and to discard it."""
    letter = _needed_letter(visit)
    is_pending = letter.status is DeadLetterStatus.PENDING
    waiting: tuple[DeadLetter, ...] = ()
    if is_pending:
        page = queries.pending_dead_letters(visit.store, letter.projection, start=(letter.stream_id, 0))
        waiting = tuple(each for each in page.items if each.stream_id == letter.stream_id)
    return visit.render(
        "dead_letter.html",
        letter=letter,
        is_pending=is_pending,
        waiting=waiting,
        has_handlers=_definition(visit, letter.projection) is not None,
        longest_note=_LONGEST_NOTE,
        done=visit.choice("done", _DONE),
        number=visit.number("number") or 0,
    )


def retry(visit: Visit) -> Response:
    """Retry the pending dead letters of a stream, in order, until one fails."""
    letter = _needed_letter(visit)
    projection = _definition(visit, letter.projection)
    if projection is None:
        raise NotFound(f"The application has given the browser no projection {letter.projection!r} to retry with.")
    letters = ProjectionAdmin(visit.store).dead_letters
    try:
        resolved = letters.retry(projection, letter.stream_id)
    except ProjectionFailed as failed:
        return _back(visit, letter, "failed", position=failed.position)
    except ProjectionRunning:
        return _back(visit, letter, "running")
    return _back(visit, letter, "resolved", number=resolved)


def discard(visit: Visit) -> Response:
    """Discard a pending dead letter."""
    letter = _needed_letter(visit)
    note = (visit.text("note") or "").strip()
    if len(note) > _LONGEST_NOTE or "\0" in note:
        raise BadRequest(f"The note must be a text of at most {_LONGEST_NOTE} characters.")
    is_done = ProjectionAdmin(visit.store).dead_letters.discard(letter.projection, letter.position, note=note or None)
    return _back(visit, letter, "discarded" if is_done else "closed")


def _needed_letter(visit: Visit) -> DeadLetter:
    """Return the dead letter that the address or the form names.

    Raises:
        NotFound: There is none.
    """
    name, position = visit.needed("projection"), visit.number("position", minimum=1)
    letter = None if position is None else queries.dead_letter(visit.store, name, position)
    if letter is None:
        raise NotFound(f"The projection {name!r} has no such dead letter.")
    return letter


def _definition(visit: Visit, name: str) -> Projection | None:
    return next((each for each in visit.browser.projections if each.name == name), None)


def _back(visit: Visit, letter: DeadLetter, done: str, *, position: int | None = None, **values: int) -> Response:
    at = letter.position if position is None else position
    return visit.redirect(visit.url("/dead-letter", projection=letter.projection, position=at, done=done, **values))


PAGES: Final = (
    Page(
        "/dead-letters",
        dead_letters,
        parameters=frozenset({"projection", "status", "stream", "position"}),
    ),
    Page("/dead-letter", dead_letter, parameters=_OF_LETTER | {"done", "number"}),
    Page("/dead-letter/retry", retry, changes=True, parameters=_OF_LETTER | {CSRF_FIELD}),
    Page("/dead-letter/discard", discard, changes=True, parameters=_OF_LETTER | {CSRF_FIELD, "note"}),
)
