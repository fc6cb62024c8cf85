"""The browser in a Flask application, as a blueprint."""

from importlib.util import find_spec

from eventstore.errors import ExtraMissing

if find_spec("flask") is None:
    raise ExtraMissing("flask", "flask")

from flask import Blueprint, request
from werkzeug.wrappers import Request, Response

from eventstore.contrib.browser.browser import Browser


def browser_blueprint(browser: Browser, *, name: str = "eventstore_browser") -> Blueprint:
    """Return a blueprint that answers with the pages of a browser; register it under a `url_prefix`.

    The browser's `authorize` gets `flask.request`, so it can use the login of the application. Its forms bring their
    own token along: if you use Flask-WTF's `CSRFProtect`, exempt the blueprint from that.

    Args:
        browser: The browser.
        name: The name of the blueprint: `url_for(f"{name}.page")` is the address of the first page.

    Example:
        ```python
        browser = Browser(lambda: events.store, authorize=lambda request: current_user.is_admin)
        app.register_blueprint(browser_blueprint(browser), url_prefix="/events")
        ```
    """
    blueprint = Blueprint(name, __name__)

    @blueprint.route("/", defaults={"path": ""}, methods=["GET", "POST"])
    @blueprint.route("/<path:path>", methods=["GET", "POST"])
    def page(path: str) -> Response:
        prefix = request.path[: len(request.path) - len(path) - 1]
        environ = {
            **request.environ,
            "SCRIPT_NAME": (request.root_path + prefix).encode().decode("latin-1"),
            "PATH_INFO": f"/{path}".encode().decode("latin-1"),
        }
        own = Request(environ)
        if request.method == "POST":
            own.form = request.form  # the body can be read once, and a hook of the application may have read it
        return browser.respond(own, request)

    return blueprint
