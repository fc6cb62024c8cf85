"""Templates: every value in them is escaped, for HTML and for people."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from eventstore.contrib.browser.values import readable

if TYPE_CHECKING:
    from eventstore.contrib.browser.visit import Visit

_UNPRINTABLE: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
"""Control characters, those that turn the direction of text around, and what UTF-8 can't encode."""

_RESOURCES: Final = files("eventstore.contrib.browser")
STATIC: Final = {
    "/static/browser.css": "text/css",
    "/static/browser.js": "text/javascript",
    "/static/icon.svg": "image/svg+xml",
}
"""The files that pages load, and their types."""


def printable(value: Any) -> Any:
    """Return a value for a template; characters that would not be seen are written as their numbers."""
    if value is None:
        return ""
    if isinstance(value, Markup):
        return value
    if isinstance(value, str):
        return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", value)
    return value


@cache
def static_file(path: str) -> bytes:
    """Return one of the files that pages load."""
    return _RESOURCES.joinpath(*path.strip("/").split("/")).read_bytes()


@cache
def _static_version(path: str) -> str:
    return sha256(static_file(path)).hexdigest()[:12]


def _moment(time: datetime | None) -> str:
    """Return a time in UTC, to the microsecond."""
    return "" if time is None else f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"


def _seconds(time: datetime | None) -> str:
    """Return a time in UTC, to the second."""
    return "" if time is None else f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def _grouped(number: float | None) -> str:
    return "" if number is None else f"{number:,}"


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("eventstore.contrib.browser"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(moment=_moment, seconds=_seconds, grouped=_grouped, readable=readable)
    return environment


_ENVIRONMENT: Final = _environment()


def render(template: str, visit: "Visit", values: Mapping[str, object]) -> str:
    """Return a page as HTML."""
    return _ENVIRONMENT.get_template(template).render(
        visit=visit,
        url=visit.url,
        here=visit.here,
        static=lambda path: visit.url(path, v=_static_version(path)),
        menu=visit.browser.menu,
        title_of_browser=visit.browser.title,
        **values,
    )
