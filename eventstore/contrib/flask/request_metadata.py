"""The metadata that each append inside a request gets."""

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
"""The key of the user who sent the request, as returned by the application's `user`."""

_REQUEST_ID: Final = "eventstore.request_id"
_ACCEPTABLE: Final = re.compile(r"[\w.:/+=@-]{1,128}", re.ASCII)
"""The request ids that are accepted from clients."""


@dataclass(frozen=True, slots=True)
class RequestMetadata:
    """Makes the metadata of the current request.

    Args:
        request_id_header: The header in which a proxy or the client sends the request id; if empty, ids are random.
        user: Returns the id of the user who sent it, or None.
        more: Returns more metadata.
    """

    request_id_header: str
    user: Callable[[], str | int | None] | None
    more: Callable[[], Mapping[str, Any]] | None

    def now(self) -> dict[str, Any]:
        """Return the metadata of the current request; empty outside of requests.

        Raises:
            InvalidMetadata: The application's function has not returned a mapping.
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
        """Return the id of the request, which stays the same for the whole request."""
        request_id: str | None = request.environ.get(_REQUEST_ID)
        if request_id is None:
            header = request.headers.get(self.request_id_header, "") if self.request_id_header else ""
            request_id = header if _ACCEPTABLE.fullmatch(header) else str(uuid4())
            request.environ[_REQUEST_ID] = request_id
        return request_id
