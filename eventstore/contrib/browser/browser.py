"""The WSGI application."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import BadRequest, Forbidden, HTTPException, MethodNotAllowed, NotFound
from werkzeug.wrappers import Request, Response

from eventstore.contrib.browser.page import Page
from eventstore.contrib.browser.pages import PAGES
from eventstore.contrib.browser.problems import bare_problem, problem_page
from eventstore.contrib.browser.redaction import Redact, check_redact
from eventstore.contrib.browser.rendering import STATIC, static_file
from eventstore.contrib.browser.security import (
    CSRF_FIELD,
    Authorize,
    add_headers,
    check_authorize,
    check_hosts,
    has_csrf_token,
    is_allowed,
    is_from_host,
)
from eventstore.contrib.browser.visit import Visit
from eventstore.errors import EventStoreError, InvalidInput
from eventstore.projections import Projection
from eventstore.repository import Repository
from eventstore.store import EventStore, check_store

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_A_YEAR_SECONDS: Final = 31_536_000


class Browser:
    """A WSGI application that shows what is stored: streams, events, projections, and how the database is.

    It reads, and writes only if visitors who may retry or discard dead letters. Each page reads at most 200 rows, by an
    index. Nothing is loaded from elsewhere, and no page needs JavaScript.

    It has no login of its own: mount it behind that of your application. Threads can share it.

    Args:
        store: The application's store, or a function that returns it, called at each request.
        authorize: Takes the request and returns True if its sender may look, otherwise False. It is called for every
            request, before anything is read. In Flask it gets `flask.request`, in Django the `HttpRequest`, elsewhere a
            `werkzeug.Request`. Its errors are not caught, so it can also raise what your framework answers itself.
        authorize_changes: The same, for who may retry and discard dead letters. Defaults to nobody.
        redact: Takes a `Shown`, which is a payload, metadata or a state as plain data, and returns what is shown
            instead. Ids, types and tags are not passed to it. If it fails, the value is not shown. Defaults to None:
            everything is shown.
        repositories: The application's repositories, or a function that returns them, called at each request. For the
            streams of their categories, the browser shows the state at any version.
        projections: The application's projections. Dead letters of these can be retried.
        allowed_hosts: The hosts that the browser answers at, with their port unless it is the usual one. Defaults to
            None: any, because a framework checks that itself (Django: `ALLOWED_HOSTS`, Flask: `TRUSTED_HOSTS`). Pass
            them if `authorize` trusts the network instead of a login.
        login_url: Where visitors are sent who may not look; the address that they wanted is added as `next`. Defaults
            to None: they are refused.
        title: The title of the pages.

    Raises:
        InvalidInput: An argument is not valid, or the store is one for asyncio.

    Example:
        ```python
        browser = Browser(store, authorize=lambda request: is_admin(request), redact=redact_keys("email"))
        ```
    """

    def __init__(
        self,
        store: EventStore | Callable[[], EventStore],
        *,
        authorize: Authorize,
        authorize_changes: Authorize | None = None,
        redact: Redact | None = None,
        repositories: Iterable[Repository[Any]] | Callable[[], Iterable[Repository[Any]]] = (),
        projections: Iterable[Projection] = (),
        allowed_hosts: Iterable[str] | None = None,
        login_url: str | None = None,
        title: str = "Event store",
    ) -> None:
        if not callable(store):
            self._check_store(store)
        self._store = store
        self._authorize = check_authorize("authorize", authorize)
        self._authorize_changes = (
            None if authorize_changes is None else check_authorize("authorize_changes", authorize_changes)
        )
        self._hosts = check_hosts(allowed_hosts)
        self._login_url = login_url
        self.redact = check_redact(redact)
        self._repositories = (
            repositories if callable(repositories) else _checked("repositories", repositories, Repository)
        )
        self.projections: tuple[Projection, ...] = _checked("projections", projections, Projection)
        self.title = title
        self._pages = {page.path: page for page in PAGES}

    @property
    def menu(self) -> list[Page]:
        """The pages that are in the menu, in their order."""
        return [page for page in PAGES if page.menu is not None]

    @property
    def repositories(self) -> tuple[Repository[Any], ...]:
        """The application's repositories."""
        if callable(self._repositories):
            return _checked("repositories", self._repositories(), Repository)
        return self._repositories

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer a request, as WSGI has it."""
        request = Request(environ)
        return self.respond(request, request)(environ, start_response)

    def respond(self, request: Request, sender: object) -> Response:
        """Answer a request of Werkzeug's, for a framework.

        Args:
            request: The request. Its `root_path` is where the browser is mounted, its `path` is the rest.
            sender: What `authorize` gets.
        """
        response = self._response(request, sender)
        add_headers(response)
        return response

    def _response(self, request: Request, sender: object) -> Response:
        if not is_from_host(request, self._hosts):
            return bare_problem(400, "This host is not served here.")
        if not is_allowed("authorize", self._authorize, sender):
            return self._refusal(request)
        if request.path in STATIC:
            return _static(request)
        if not request.environ.get("PATH_INFO"):
            return _redirect(
                f"{quote(request.root_path)}/"
            )  # so that the addresses of all pages have the same beginning
        return self._answer(request, sender)

    def _refusal(self, request: Request) -> Response:
        """Return the answer for visitors who may not look: nothing of the store."""
        if self._login_url is None or request.method not in {"GET", "HEAD"}:
            return bare_problem(403, "You may not look at this. Log in to the application first.")
        return _redirect(f"{self._login_url}{'&' if '?' in self._login_url else '?'}{_next(request)}")

    def _answer(self, request: Request, sender: object) -> Response:
        may_change = self._authorize_changes is not None and is_allowed(
            "authorize_changes", self._authorize_changes, sender
        )
        store = self._store() if callable(self._store) else self._store
        self._check_store(store)
        visit = Visit(self, request, store, may_change)
        try:
            return self._page(visit).answer(visit)
        except (HTTPException, EventStoreError, SQLAlchemyError) as error:
            return problem_page(visit, error)

    @staticmethod
    def _check_store(store: object) -> None:
        check_store(store, may_be_joined=True, in_asyncio="pass one on a synchronous engine for the same database")

    def _page(self, visit: Visit) -> Page:
        """Return the page of a visit.

        Raises:
            HTTPException: There is none, or the visitor may not do this.
        """
        request = visit.request
        page = self._pages.get(request.path)
        if page is None:
            raise NotFound("There is no such page.")
        methods = ["POST"] if page.changes else ["GET", "HEAD"]
        if request.method not in methods:
            raise MethodNotAllowed(methods)
        _check_parameters(page, request)
        if page.changes and not visit.may_change:
            raise Forbidden("You may look, but not change anything.")
        if page.changes and not has_csrf_token(request):
            raise Forbidden("The form was not sent by a page of this browser, or it is too old. Open the page again.")
        return page


def _checked(name: str, given: Iterable[Any], class_: type) -> tuple[Any, ...]:
    things = tuple(given)
    for thing in things:
        if not isinstance(thing, class_):
            msg = f"{name} must be a list of {class_.__name__}, and {type(thing).__name__} is not one"
            raise InvalidInput(msg)
    return things


def _check_parameters(page: Page, request: Request) -> None:
    """Refuse parameters that a page would not look at: the visitor would see something else than was asked for.

    Raises:
        BadRequest: The page does not know a parameter, or needs it once.
    """
    for name, values in request.values.lists():
        if name not in page.parameters:
            known = ", ".join(sorted(page.parameters - {CSRF_FIELD})) or "none"
            raise BadRequest(f"This page does not know the parameter {name!r}. It knows: {known}.")
        if len(values) > 1 and name not in page.lists:
            raise BadRequest(f"The parameter {name} is there {len(values)} times. Give it once.")


def _next(request: Request) -> str:
    path = quote(request.root_path + request.path)
    query = request.query_string.decode("latin-1")
    return urlencode({"next": f"{path}?{query}" if query else path})


def _redirect(url: str) -> Response:
    response = Response(status=302)
    response.headers["Location"] = url
    return response


def _static(request: Request) -> Response:
    response = Response(static_file(request.path), mimetype=STATIC[request.path])
    response.headers["Cache-Control"] = f"private, max-age={_A_YEAR_SECONDS}, immutable"  # its address has its version
    return response
