"""Signatures of webhooks, as Standard Webhooks 1.0 describes them (HMAC-SHA256)."""

import base64
import binascii
import hmac
import re
import time
from collections.abc import Mapping, Sequence
from typing import Final

from eventstore.common.validation import check_seconds
from eventstore.errors import InvalidInput

_PREFIX: Final = "whsec_"
_VERSION: Final = "v1"
_SHORTEST_KEY: Final = 24
_LONGEST_KEY: Final = 64
_ID: Final = re.compile(r"[!-\-/-~]{1,255}")
"""Visible ASCII without full stops, which separate the parts of what is signed."""

Secrets = str | Sequence[str]
"""A secret, or several while they are changed: `whsec_` and 24 to 64 bytes in base64."""


class Keys:
    """The keys of one receiver. They are not shown.

    Args:
        secrets: The secret, or several.

    Raises:
        InvalidInput: One of them is not valid, or there are none.
    """

    __slots__ = ("_keys",)

    def __init__(self, secrets: Secrets) -> None:
        listed = [secrets] if isinstance(secrets, str) else secrets
        if isinstance(listed, bytes) or not isinstance(listed, Sequence) or not listed:
            msg = f"secret must be a string, or a list of strings, not {type(secrets).__name__}; it begins with whsec_"
            raise InvalidInput(msg)
        self._keys = [_key(secret) for secret in listed]

    def sign(self, message_id: str, timestamp: int, body: bytes) -> str:
        """Return the header `webhook-signature`: a signature by each key."""
        return " ".join(f"{_VERSION},{signature}" for signature in self._signatures(message_id, timestamp, body))

    def have_signed(self, header: str, message_id: str, timestamp: int, body: bytes) -> bool:
        """Return whether one of the signatures in a header is by one of the keys."""
        own = self._signatures(message_id, timestamp, body)
        given = [part.partition(",") for part in header.split(" ")]
        given_here = [signature for version, _, signature in given if version == _VERSION]
        matches = [hmac.compare_digest(one.encode(), other.encode()) for one in own for other in given_here]
        return any(matches)

    def _signatures(self, message_id: str, timestamp: int, body: bytes) -> list[str]:
        signed = f"{message_id}.{timestamp}.".encode() + body
        return [base64.b64encode(hmac.digest(key, signed, "sha256")).decode() for key in self._keys]


def sign(secret: Secrets, *, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the three headers of Standard Webhooks, for a client of your own.

    Args:
        secret: `whsec_` and 24 to 64 bytes in base64. Several, while it is changed: there is a signature by each.
        message_id: Identifies the message, the same each time it is sent: visible ASCII without full stops.
        timestamp: When it is sent, in seconds since 1970.
        body: The body of the request.

    Raises:
        InvalidInput: An argument is not valid.
    """
    return headers_of(Keys(secret), check_message_id(message_id), timestamp, body)


def headers_of(keys: Keys, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the three headers of Standard Webhooks."""
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": keys.sign(message_id, timestamp, body),
    }


def is_signed(
    secret: Secrets,
    headers: Mapping[str, str],
    body: bytes,
    *,
    tolerance_seconds: float = 300.0,
    now: float | None = None,
) -> bool:
    """Return whether a request that was received is signed with the secret, and not older than allowed.

    Args:
        secret: As for `sign`. One of them is enough.
        headers: The headers of the request, whose names may be in upper case.
        body: The body as it was received.
        tolerance_seconds: How far the time of the request may be from now.
        now: The time in seconds since 1970. Defaults to the clock's.

    Raises:
        InvalidInput: The secret or the tolerance is not valid.
    """
    keys, tolerance = Keys(secret), check_seconds("tolerance_seconds", tolerance_seconds)
    found = {name.lower(): value for name, value in headers.items()}
    message_id, sent_at = found.get("webhook-id", ""), found.get("webhook-timestamp", "")
    if not message_id or not re.fullmatch("[0-9]{1,15}", sent_at):
        return False
    if abs((time.time() if now is None else now) - int(sent_at)) > tolerance:
        return False
    return keys.have_signed(found.get("webhook-signature", ""), message_id, int(sent_at), body)


def check_message_id(message_id: object) -> str:
    """Return the id of a message that can be signed.

    Raises:
        InvalidInput: It is empty, too long, or has characters that are not visible ASCII, or a full stop.
    """
    if not isinstance(message_id, str) or not _ID.fullmatch(message_id):
        msg = "the id of a message for a webhook must have 1 to 255 visible ASCII characters, and no full stop"
        raise InvalidInput(msg)
    return message_id


def _key(secret: object) -> bytes:
    """Return the key of a secret. Errors do not show it.

    Raises:
        InvalidInput: It is not valid.
    """
    msg = f"a secret must be {_PREFIX} and {_SHORTEST_KEY} to {_LONGEST_KEY} bytes in base64"
    if not isinstance(secret, str) or not secret.startswith(_PREFIX):
        raise InvalidInput(msg)
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidInput(msg) from None
    if not _SHORTEST_KEY <= len(key) <= _LONGEST_KEY:
        raise InvalidInput(msg)
    return key
