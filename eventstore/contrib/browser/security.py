"""Who may look, from which host, and what the pages may load."""

import hmac
import secrets
from collections.abc import Callable, Iterable
from typing import Any, Final
from urllib.parse import urlsplit

from werkzeug.wrappers import Request, Response

from eventstore.common.validation import check_function
from eventstore.errors import InvalidInput

Authorize = Callable[[Any], bool]
"""Takes the request, and returns whether its sender may do it."""

CSRF_FIELD: Final = "csrf_token"
_CSRF_COOKIE: Final = "eventstore_browser_csrf"
_CSRF_LENGTH: Final = 43

_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # with no-referrer, a browser sends a form of ours without its origin
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Robots-Tag": "noindex, nofollow",
}


def check_authorize(name: str, authorize: object) -> Authorize:
    """Return the value of the parameter `authorize` or `authorize_changes`.

    Raises:
        InvalidInput: It is not a function.
    """
    check_function(name, authorize)
    return authorize  # type: ignore[return-value]  # checked


def is_allowed(name: str, authorize: Authorize, request: object) -> bool:
    """Return whether the application allows a request.

    Raises:
        InvalidInput: The function has returned something else than a bool, such as the coroutine of an async function.
    """
    answer = authorize(request)
    if answer is None or isinstance(answer, bool):
        return answer is True
    if hasattr(answer, "close"):
        answer.close()  # a coroutine, which would warn that it was never awaited
    msg = f"{name} must return True or False, not {type(answer).__name__}"
    raise InvalidInput(msg)


def check_hosts(hosts: Iterable[str] | None) -> frozenset[str] | None:
    """Return the value of the parameter `allowed_hosts`.

    Raises:
        InvalidInput: It is not a list of names of hosts.
    """
    if hosts is None:
        return None
    names = frozenset() if isinstance(hosts, str) else frozenset(hosts)
    if not names or not all(isinstance(name, str) and name for name in names):
        msg = 'allowed_hosts must be a list of hosts, with their port unless it is the usual one: ["admin.example.org"]'
        raise InvalidInput(msg)
    return frozenset(name.lower() for name in names)


def is_from_host(request: Request, hosts: frozenset[str] | None) -> bool:
    """Return whether a request was sent to one of these hosts. Else a page of another name could read ours."""
    return hosts is None or request.environ.get("HTTP_HOST", "").lower() in hosts


def csrf_token_of(request: Request) -> str:
    """Return the token that forms must bring along: that of the visitor's cookie, or a new one."""
    token = request.cookies.get(_CSRF_COOKIE, "")
    return token if len(token) == _CSRF_LENGTH and token.isascii() else secrets.token_urlsafe(32)


def keep_csrf_token(request: Request, response: Response, token: str, path: str) -> None:
    """Set the visitor's cookie."""
    response.set_cookie(_CSRF_COOKIE, token, path=path, httponly=True, samesite="Strict", secure=request.is_secure)


def has_csrf_token(request: Request) -> bool:
    """Return whether a form was sent by a page of ours."""
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc.lower() != request.environ.get("HTTP_HOST", "").lower():
        return False
    kept, sent = request.cookies.get(_CSRF_COOKIE, ""), request.form.get(CSRF_FIELD, "")
    return len(kept) == _CSRF_LENGTH and hmac.compare_digest(kept.encode(), sent.encode())


def add_headers(response: Response) -> None:
    """Keep a page out of frames and caches, and let it load nothing but our own files."""
    for name, value in _HEADERS.items():
        response.headers[name] = value
    response.headers.setdefault("Cache-Control", "no-store")
