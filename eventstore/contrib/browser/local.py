"""The browser for whoever starts it, on this machine: with a token in its address instead of a login."""

import hmac
import logging
import secrets
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from eventstore.contrib.browser.browser import Browser
from eventstore.contrib.browser.problems import bare_problem
from eventstore.contrib.browser.security import add_headers
from eventstore.store import EventStore

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_HOST: Final = "127.0.0.1"
_TOKEN: Final = "token"  # noqa: S105  # the name of the parameter
_OPEN_ANOTHER: Final = (
    "Open the address that `eventstore browse` has printed, with its token. Each start of the command has another one."
)


class LocalBrowser:
    """A browser and the server that it runs on, on the loopback address.

    Other users of the machine can reach that address, too, and so can pages of others in the user's web browser. So
    only requests for this host are answered, and only those that have the token: first in the address, then in a
    cookie that no script and no other site gets.

    Args:
        store: The store.
        port: The port; with 0 one that is free.
        may_change: Whether dead letters can be retried and discarded.
        options: As for `Browser`: `redact`, `repositories`, `projections`, `title`.

    Raises:
        SystemExit: The port is taken; Werkzeug has said so on stderr.
    """

    def __init__(self, store: EventStore, *, port: int = 0, may_change: bool = False, **options: Any) -> None:
        self._token = secrets.token_urlsafe(32)
        self._server = _server(port, self)
        self._cookie = f"eventstore_browser_{self._server.port}"  # cookies of all ports share a host
        hosts = [f"{_HOST}:{self._server.port}", f"localhost:{self._server.port}"]
        self._browser = Browser(
            store,
            authorize=self._is_known,
            authorize_changes=self._is_known if may_change else None,
            allowed_hosts=hosts,
            **options,
        )
        self._hosts = frozenset(hosts)

    @property
    def url(self) -> str:
        """The address to open, with the token."""
        return f"http://{_HOST}:{self._server.port}/?{_TOKEN}={self._token}"

    def serve(self) -> None:
        """Answer requests until `stop` is called, or Ctrl-C."""
        try:
            self._server.serve_forever()
        finally:
            self.close()

    def stop(self) -> None:
        """End `serve`, which another thread is in."""
        self._server.shutdown()

    def close(self) -> None:
        """Give the port back."""
        self._server.server_close()

    def _is_known(self, request: Request) -> bool:
        return hmac.compare_digest(request.cookies.get(self._cookie, "").encode(), self._token.encode())

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer a request; one with the token in its address gets the cookie, and an address without it."""
        request = Request(environ)
        if environ.get("HTTP_HOST", "").lower() not in self._hosts:
            return self._browser(environ, start_response)  # which refuses it
        given = request.args.get(_TOKEN)
        has_token = given is not None and hmac.compare_digest(given.encode(), self._token.encode())
        if not has_token and not self._is_known(request):
            response = bare_problem(403, _OPEN_ANOTHER)
        elif given is None:
            return self._browser(environ, start_response)
        else:
            response = Response(status=302)
            response.headers["Location"] = "/"
            # links in other pages lead here
            response.set_cookie(self._cookie, self._token, httponly=True, samesite="Lax")
        add_headers(response)
        return response(environ, start_response)


class _QuietHandler(WSGIRequestHandler):
    """Logs no requests, because the address of the first one has the token."""

    def log_request(self, *_: object) -> None:
        """Do nothing."""

    def version_string(self) -> str:
        """Return what the header `Server` says."""
        return "eventstore"


def _server(port: int, application: LocalBrowser) -> BaseWSGIServer:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    return make_server(_HOST, port, application, threaded=True, request_handler=_QuietHandler)
