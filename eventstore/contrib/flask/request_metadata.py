"""What each append inside a request says about it."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

from flask import has_request_context, request

from eventstore.correlation import CORRELATION_ID
from eventstore.errors import InvalidMetadata

ROUTE: Final = "route"
"""The key of the method and the rule of the URL: `POST /orders/<order_id>/pay`."""

USER_ID: Final = "user_id"
"""The key of who has sent the request, as the application's `user` says."""

_REQUEST_ID: Final = "eventstore.request_id"
_ACCEPTABLE: Final = re.compile(r"[\w.:/+=@-]{1,128}", re.ASCII)
"""What a client may choose as the id of its request."""


@dataclass(frozen=True, slots=True)
class RequestMetadata:
    """Makes the metadata of the current request.

    Args:
        request_id_header: In which a proxy, or the client, names the request; empty to make up an id always.
        user: Returns who has sent it, None for nobody.
        more: Returns what else is to be added.
    """

    request_id_header: str
    user: Callable[[], str | int | None] | None
    more: Callable[[], Mapping[str, Any]] | None

    def now(self) -> dict[str, Any]:
        """Return what is known by now, empty outside of requests.

        Raises:
            InvalidMetadata: The application's function has returned something else than a mapping.
        """
        if not has_request_context():
            return {}
        metadata: dict[str, Any] = {CORRELATION_ID: self._request_id()}
        if request.url_rule is not None:
            metadata[ROUTE] = f"{request.method} {request.url_rule.rule}"
        user_id = None if self.user is None else self.user()
        if user_id is not None:
            metadata[USER_ID] = user_id
        more = {} if self.more is None else self.more()
        if not isinstance(more, Mapping):
            raise InvalidMetadata("$", f"is, from the function `metadata`, not a mapping but {type(more).__name__}")
        return {**metadata, **more}

    def _request_id(self) -> str:
        """Return the same id for all of the request."""
        known: str | None = request.environ.get(_REQUEST_ID)
        if known is None:
            given = request.headers.get(self.request_id_header, "") if self.request_id_header else ""
            known = given if _ACCEPTABLE.fullmatch(given) else str(uuid4())
            request.environ[_REQUEST_ID] = known
        return known
