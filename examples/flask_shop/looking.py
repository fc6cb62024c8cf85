"""The browser of streams, for whoever knows the password in FLASK_BROWSER_PASSWORD; without one, for nobody."""

import hmac

from flask import abort, current_app
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.wrappers import Request

from eventstore import Repository
from eventstore.contrib.browser import Browser
from eventstore.contrib.browser.flask import browser_blueprint
from flask_shop.database import events
from flask_shop.order import Order


def may_look(request: Request) -> bool:
    """Return whether the request has the password; ask for it if it has none."""
    password = current_app.config.get("BROWSER_PASSWORD")
    if not password:
        return False
    if request.authorization is None:
        abort(401, www_authenticate=WWWAuthenticate("basic", {"realm": "Events of the tea shop"}))
    return hmac.compare_digest((request.authorization.password or "").encode(), str(password).encode())


def orders() -> Repository[Order]:
    """Return the orders, as they are committed."""
    return Repository(events.store, category="order", initial=Order, evolve=Order.after)


browser = browser_blueprint(
    Browser(lambda: events.store, authorize=may_look, repositories=lambda: [orders()], title="Events of the tea shop")
)
