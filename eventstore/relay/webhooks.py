"""A target that sends each message as a webhook: a signed request of HTTP."""

import logging
import re
import ssl
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final
from urllib.parse import SplitResult, urlsplit

from eventstore.common.locks import make_lock
from eventstore.common.validation import check_flag, check_seconds
from eventstore.errors import DeliveryFailed, InvalidInput, MessageRejected, TargetGone, TargetUnavailable
from eventstore.relay.http import HttpClient, RequestFailed, Response
from eventstore.relay.messages import Message
from eventstore.relay.signatures import Keys, Secrets, check_message_id, headers_of

_log = logging.getLogger("eventstore.relay")

_CONTENT_TYPE: Final = "application/cloudevents+json; charset=utf-8"
_REJECTED: Final = frozenset(
    {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
    }
)
_UNAVAILABLE: Final = frozenset(
    {
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
_OWN_HEADERS: Final = frozenset(
    ["webhook-id", "webhook-timestamp", "webhook-signature", "content-type", "content-length", "host", "connection"]
)
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE: Final = re.compile(r"[\t -~]*")


def webhook(
    url: str,
    secret: Secrets,
    *,
    timeout_seconds: float = 20.0,
    headers: Mapping[str, str] | None = None,
    ssl_context: ssl.SSLContext | None = None,
    allow_http: bool = False,
) -> "Webhook":
    """Return a target for a `Relay` that sends each message as a signed request: POST, a CloudEvent in JSON.

    The signature is that of Standard Webhooks. A relay sends one event at a time to it, and continues after a response
    with a status of 2xx:

    - 429, 502, 503 and 504, no response in time, no connection, and a certificate that is not valid: the relay waits
      and tries again, without end. It follows `Retry-After`, up to an hour.
    - 400, 413, 415 and 422: the receiver rejects the message. The event has failed.
    - 410: the receiver wants no more messages. The relay stops, and this target sends nothing any more.
    - Other statuses, redirects among them, which are not followed: the relay tries again, as its `attempts` allow.

    Args:
        url: Where to send them, with https.
        secret: `whsec_` and 24 to 64 bytes in base64. While it is changed, several: the request has a signature by
            each, so that the receiver can check by the old one or the new one.
        timeout_seconds: How long a request may take in all, up to the end of the response. On PostgreSQL, the
            transaction of a batch is open so long; on no database are appends kept out.
        headers: More headers, such as `Authorization`.
        ssl_context: For certificates of your own authority, or a client's certificate. It must verify certificates and
            host names. Defaults to None: the system's authorities.
        allow_http: Whether `http` is allowed, where nobody else can read the messages.

    Raises:
        InvalidInput: An argument is not valid.
    """
    return Webhook(
        url, secret, timeout_seconds=timeout_seconds, headers=headers, ssl_context=ssl_context, allow_http=allow_http
    )


class Webhook:
    """The target that `webhook` returns; for one process, any number of relays, and any number of threads.

    It shows neither secrets nor the path of its URL, which may be one.
    """

    events_at_once: Final = 1

    def __init__(
        self,
        url: str,
        secret: Secrets,
        *,
        timeout_seconds: float,
        headers: Mapping[str, str] | None,
        ssl_context: ssl.SSLContext | None,
        allow_http: bool,
    ) -> None:
        parts = _checked_url(url, allow_http=check_flag("allow_http", allow_http))
        self._shown = f"{parts.scheme}://{parts.netloc}"
        self._keys = Keys(secret)
        self._headers = _checked_headers(headers) | {"content-type": _CONTENT_TYPE}
        context = None
        if parts.scheme == "https":
            context = ssl.create_default_context() if ssl_context is None else _checked_context(ssl_context)
        self._client = HttpClient(parts, check_seconds("timeout_seconds", timeout_seconds, minimum=0.001), context)
        self._lock = make_lock()
        self._trouble = ""
        self._is_gone = False

    def __call__(self, messages: list[Message]) -> None:
        """Send messages, one after the other.

        Raises:
            DeliveryFailed: The receiver has not taken one of them. Those before it are taken.
        """
        for message in messages:
            try:
                self._send(message)
            except DeliveryFailed as error:
                self._note(error.problem)
                raise
        self._note("")

    def close(self) -> None:
        """Close the connections that are kept open for the next request."""
        self._client.close()

    def _send(self, message: Message) -> None:
        if self._is_gone:
            raise self._gone()
        message_id, body = check_message_id(message.id), message.to_json()
        try:
            response = self._client.post(
                body, lambda sent_at: self._headers | headers_of(self._keys, message_id, sent_at, body)
            )
        except RequestFailed as error:
            raise TargetUnavailable(self._shown, error.problem) from None
        self._judge(response)

    def _judge(self, response: Response) -> None:
        status = response.status
        if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            return
        problem = f"it has answered with status {status}"
        if status == HTTPStatus.GONE:
            self._is_gone = True
            raise self._gone()
        if status in _UNAVAILABLE:
            wait = retry_after(response.retry_after)
            raise TargetUnavailable(self._shown, problem, status=status, retry_after_seconds=wait)
        if status in _REJECTED:
            raise MessageRejected(self._shown, problem, status=status)
        if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
            problem += "; redirects are not followed, so change the URL"
        raise DeliveryFailed(self._shown, problem, status=status)

    def _gone(self) -> TargetGone:
        return TargetGone(self._shown, "it wants no more messages (410 Gone)", status=HTTPStatus.GONE)

    def _note(self, trouble: str) -> None:
        """Log what is wrong, once; error texts of this module have neither payload nor secrets."""
        with self._lock:
            before, self._trouble = self._trouble, trouble
        if trouble and trouble != before:
            _log.warning("webhook %s has not taken a message: %s", self._shown, trouble, extra={"target": self._shown})
        elif before and not trouble:
            _log.info("webhook %s takes messages again", self._shown, extra={"target": self._shown})

    def __repr__(self) -> str:
        return f"<webhook {self._shown}>"


def retry_after(header: str | None, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> float | None:
    """Return how many seconds the header `Retry-After` asks to wait, which has seconds or a date; None if neither."""
    if header is None:
        return None
    header = header.strip()
    if re.fullmatch("[0-9]{1,15}", header):
        return float(header)
    try:
        until = parsedate_to_datetime(header)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return max((until - clock()).total_seconds(), 0.0)


def _checked_url(url: object, *, allow_http: bool) -> SplitResult:
    """Return the parts of a URL. Errors do not show it, because it may be a secret.

    Raises:
        InvalidInput: It is not one to send messages to.
    """
    if not isinstance(url, str) or not re.fullmatch(r"[!-~]+", url):
        msg = "url must be a string of visible ASCII characters; encode others (%20, xn--…)"
        raise InvalidInput(msg)
    try:
        parts = urlsplit(url)
        has_place = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        has_place = False
    if not has_place:
        msg = "url must have a host, as in https://shop.example/hooks"
        raise InvalidInput(msg)
    if parts.username is not None or parts.password is not None:
        msg = "url must have no user and no password; pass them in headers={'Authorization': …}"
        raise InvalidInput(msg)
    if parts.fragment:
        msg = "url must have no fragment (#…), which is not sent"
        raise InvalidInput(msg)
    if parts.scheme != "https" and not (parts.scheme == "http" and allow_http):
        msg = "url must begin with https://; http:// needs allow_http=True, because others may read the messages"
        raise InvalidInput(msg)
    return parts


def _checked_headers(headers: object) -> dict[str, str]:
    if headers is None:
        return {}
    if not isinstance(headers, Mapping):
        msg = f"headers must be a mapping, not {type(headers).__name__}"
        raise InvalidInput(msg)
    for name, value in headers.items():
        if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name):
            msg = "a name in headers is not one of an HTTP header"
            raise InvalidInput(msg)
        if name.lower() in _OWN_HEADERS:
            msg = f"headers must not have {name!r}, which the webhook sets itself"
            raise InvalidInput(msg)
        if not isinstance(value, str) or not _HEADER_VALUE.fullmatch(value):
            msg = f"the value of the header {name!r} must be a string of ASCII characters in one line"
            raise InvalidInput(msg)
    return dict(headers)


def _checked_context(context: object) -> ssl.SSLContext:
    if not isinstance(context, ssl.SSLContext):
        msg = f"ssl_context must be an ssl.SSLContext, not {type(context).__name__}"
        raise InvalidInput(msg)
    if context.verify_mode != ssl.CERT_REQUIRED or not context.check_hostname:
        msg = "ssl_context must verify certificates and host names; begin with ssl.create_default_context(cafile=…)"
        raise InvalidInput(msg)
    return context
