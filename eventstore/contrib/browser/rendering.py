"""Templates: every value in them is escaped, for HTML and for people."""

import json
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

_UNSEEN: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\xa0\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
"""Characters that would not be seen, that turn the direction of text around, or that UTF-8 can't encode."""

_UNSEEN_IN_NAMES: Final = re.compile(r"\A\s|\s\Z|\s\s|[^\S ]")

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
        return _UNSEEN.sub(lambda match: f"\\u{ord(match[0]):04x}", value)
    return value


def _name(name: str) -> str:
    """Return the name of a stream, a type or a tag, in quotes if its blanks would not be seen otherwise."""
    return json.dumps(name, ensure_ascii=False) if _UNSEEN_IN_NAMES.search(name) else name


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
    environment.filters.update(name=_name, moment=_moment, seconds=_seconds, grouped=_grouped, readable=readable)
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
