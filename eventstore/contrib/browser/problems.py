"""Pages for what went wrong."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.wrappers import Response

from eventstore.contrib.browser.visit import Visit
from eventstore.errors import (
    AggregateNotFound,
    DecodingError,
    EventStoreError,
    GlobalOrderError,
    HistoryDetached,
    InvalidInput,
    PermissionDenied,
    SchemaError,
    StreamClosed,
    VersionNotReached,
)

_UNAVAILABLE: Final = 503


@dataclass(frozen=True, slots=True)
class Problem:
    """What a page says of an error.

    Attributes:
        status: The status of the answer.
        title: What is the matter, in few words.
        text: What is the matter, and what to do.
    """

    status: int
    title: str
    text: str


_OF_ERRORS: Final[dict[type[EventStoreError], tuple[int, str]]] = {
    HistoryDetached: (410, "These events were detached"),
    StreamClosed: (410, "This stream is closed"),
    AggregateNotFound: (404, "There is nothing here"),
    VersionNotReached: (404, "The stream has not reached this version"),
    InvalidInput: (400, "The address is not valid"),
    DecodingError: (200, "This event can't be read"),
    PermissionDenied: (403, "The database refuses this"),
    SchemaError: (_UNAVAILABLE, "The tables are not as they should be"),
    GlobalOrderError: (_UNAVAILABLE, "The global order can't be read"),
}


def problem_of(error: Exception) -> Problem:
    """Return what is said of an error: never SQL or a payload."""
    if isinstance(error, HTTPException):
        return Problem(error.code or 500, error.name, error.description or "")
    if isinstance(error, EventStoreError):
        for kind, (status, title) in _OF_ERRORS.items():
            if isinstance(error, kind):
                return Problem(status, title, str(error))
        return Problem(_UNAVAILABLE, "This can't be shown now", str(error))
    text = f"The database has answered with an error: {type(getattr(error, 'orig', None) or error).__name__}. "
    return Problem(_UNAVAILABLE, "The database can't answer", f"{text}Its log, or `eventstore doctor`, says more.")


def problem_page(visit: Visit, error: HTTPException | EventStoreError | SQLAlchemyError) -> Response:
    """Return the page for an error."""
    problem = problem_of(error)
    response = visit.render("problem.html", status=problem.status, problem=problem)
    if isinstance(error, MethodNotAllowed):
        response.headers["Allow"] = ", ".join(error.valid_methods or ())
    return response


def bare_problem(status: int, text: str) -> Response:
    """Return an answer that shows nothing of the store, for visitors who may not look."""
    return Response(f"{text}\n", status=status, mimetype="text/plain")
