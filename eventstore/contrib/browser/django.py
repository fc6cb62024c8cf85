"""The browser in a Django project, as its URLs."""

from importlib.util import find_spec
from io import BytesIO
from typing import Any, Final

from eventstore.errors import ExtraMissing

if find_spec("django") is None:
    raise ExtraMissing("django", "django")

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import re_path
from django.views.decorators.csrf import csrf_exempt
from werkzeug.datastructures import ImmutableMultiDict
from werkzeug.wrappers import Request, Response

from eventstore.contrib.browser.browser import Browser

NAMESPACE: Final = "eventstore_browser"
"""The namespace of the URLs: `reverse("eventstore_browser:page", args=[""])` is the address of the first page."""


def browser_urls(browser: Browser, *, namespace: str = NAMESPACE) -> tuple[list[Any], str, str]:
    """Return the URLs of a browser, for `path` in your `urlpatterns`.

    The browser's `authorize` gets the `HttpRequest`, so it can use `request.user`. Its forms bring their own token
    along. If the browser is mounted, the admin links to it.

    Args:
        browser: The browser, such as one on `get_store`.
        namespace: The namespace of the URLs. The admin links to the default one.

    Example:
        ```python
        browser = Browser(get_store, authorize=lambda request: request.user.is_superuser, login_url="/admin/login/")
        urlpatterns = [path("events/", browser_urls(browser))]
        ```
    """

    @csrf_exempt  # it checks a token of its own, as everywhere else
    def page(request: HttpRequest, path: str) -> HttpResponse:
        return _response(browser.respond(_request(request, path), request))

    return [re_path(r"^(?P<path>.*)$", page, name="page")], NAMESPACE, namespace


def _request(request: HttpRequest, path: str) -> Request:
    """Return the request for Werkzeug, whether Django has got it by WSGI or by ASGI."""
    prefix = request.path[: len(request.path) - len(path) - 1]
    environ = {name: value for name, value in request.META.items() if isinstance(value, str)} | {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": prefix.encode().decode("latin-1"),
        "PATH_INFO": f"/{path}".encode().decode("latin-1"),
        "HTTP_HOST": request.get_host(),  # which checks ALLOWED_HOSTS
        "CONTENT_LENGTH": "0",
        "wsgi.url_scheme": request.scheme,
        "wsgi.input": BytesIO(),
    }
    own = Request(environ)
    if request.method == "POST":
        own.form = ImmutableMultiDict([(name, value) for name, values in request.POST.lists() for value in values])
    return own


def _response(answered: Response) -> HttpResponse:
    if answered.location is None:
        response = HttpResponse(answered.get_data(), status=answered.status_code)
    else:  # the class that middleware and tests of Django know
        response = HttpResponseRedirect(answered.location)
        response.status_code = answered.status_code
    for name, value in answered.headers:
        if name.lower() == "set-cookie":
            response.cookies.load(value)
        elif name.lower() != "content-length":
            response.headers[name] = value
    return response
