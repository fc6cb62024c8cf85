"""A browser of streams: a WSGI application that shows what is stored. Needs the extra `browser`.

`eventstore browse` starts it for yourself. In an application, mount it behind your own login:
`eventstore.contrib.browser.flask`, `eventstore.contrib.browser.django`, or any WSGI server.
"""

from importlib.util import find_spec

from eventstore.errors import ExtraMissing

if find_spec("jinja2") is None:
    raise ExtraMissing("jinja2", "browser")
if find_spec("werkzeug") is None:
    raise ExtraMissing("werkzeug", "browser")

from eventstore.contrib.browser.browser import Browser
from eventstore.contrib.browser.redaction import Shown, redact_keys

__all__ = ["Browser", "Shown", "redact_keys"]
