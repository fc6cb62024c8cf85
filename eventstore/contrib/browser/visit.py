"""A visit: what a page needs to know of a request, and how it answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

from werkzeug.exceptions import BadRequest
from werkzeug.wrappers import Request, Response

from eventstore.contrib.browser.rendering import printable, render
from eventstore.contrib.browser.security import csrf_token_of, keep_csrf_token
from eventstore.store import EventStore

if TYPE_CHECKING:
    from eventstore.contrib.browser.browser import Browser

LARGEST: Final = 2**63 - 1
ROWS: Final = 50
"""How many rows a list shows, unless the visitor asks for more."""

MOST_ROWS: Final = 200
"""How many rows a list shows at most."""


@dataclass
class Visit:
    """One request, to a page of a browser.

    Attributes:
        browser: The browser, with what the application has passed.
        request: The request.
        store: The application's store.
        may_change: Whether the visitor may retry and discard dead letters.
    """

    browser: "Browser"
    request: Request
    store: EventStore
    may_change: bool
    _uses_token: bool = field(default=False, init=False)

    @cached_property
    def root(self) -> str:
        """The path at which the browser is mounted, without a slash at its end."""
        return quote(self.request.root_path.rstrip("/"), safe="/~!$&'()*+,;=:@")

    def url(self, path: str, **parameters: object) -> str:
        """Return the address of a page, such as `url("/stream", id=stream_id)`.

        Parameters that are None are left out; one that is a list is repeated.

        Names of streams are parameters and not parts of the path, because servers and proxies change paths that have
        `..`, `//` or `%2F` in them.
        """
        given = {name: value for name, value in parameters.items() if value is not None}
        query = f"?{urlencode(given, doseq=True)}" if given else ""
        return f"{self.root}{path}{query}"

    def here(self, **changes: object) -> str:
        """Return the address of this page with other parameters; those that are None are left out."""
        return self.url(self.request.path, **{**self.request.args.to_dict(), **changes})

    def text(self, name: str) -> str | None:
        """Return a parameter; None if it is missing or empty."""
        return self.request.values.get(name) or None

    def needed(self, name: str) -> str:
        """Return a parameter that the page can't do without.

        Raises:
            BadRequest: It is missing.
        """
        value = self.request.values.get(name)
        if value is None or value == "":
            raise BadRequest(f"The address lacks the parameter {name}.")
        return value

    def number(self, name: str, *, minimum: int = 0, maximum: int = LARGEST) -> int | None:
        """Return a parameter that is a whole number; None if it is missing or empty.

        Raises:
            BadRequest: It is no number, or too low or too high.
        """
        text = self.text(name)
        if text is None:
            return None
        if not (text.isascii() and text.isdecimal() and len(text) <= len(str(LARGEST))):
            raise BadRequest(f"The parameter {name} must be a whole number.")
        if not minimum <= int(text) <= maximum:
            raise BadRequest(f"The parameter {name} must be between {minimum} and {maximum}.")
        return int(text)

    def choice(self, name: str, choices: Mapping[str, Any] | tuple[str, ...]) -> str:
        """Return a parameter that is one of several words; the first of them if it is missing or empty.

        Raises:
            BadRequest: It is another word.
        """
        text = self.text(name)
        if text is None:
            return next(iter(choices))
        if text not in choices:
            raise BadRequest(f"The parameter {name} must be one of: {', '.join(filter(None, choices))}.")
        return text

    @property
    def rows(self) -> int:
        """How many rows a list shows."""
        return self.number("rows", minimum=1, maximum=MOST_ROWS) or ROWS

    @cached_property
    def csrf_token(self) -> str:
        """The token that a form must bring along as `csrf_token`; the answer to this visit sets its cookie."""
        self._uses_token = True
        return csrf_token_of(self.request)

    def render(self, template: str, *, status: int = 200, **values: object) -> Response:
        """Return a page, made from a template."""
        response = Response(render(template, self, values), status=status, mimetype="text/html")
        if self._uses_token:
            keep_csrf_token(self.request, response, self.csrf_token, f"{self.root}/")
        return response

    def text_file(self, text: str) -> Response:
        """Return an answer that browsers show as plain text."""
        return Response(printable(text), mimetype="text/plain")

    def redirect(self, url: str) -> Response:
        """Return an answer that sends the visitor to another page of the browser, after a form."""
        response = Response(status=303)
        response.headers["Location"] = url
        return response
