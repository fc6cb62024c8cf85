"""Requests of HTTP that take a bounded time in all, on connections that are kept open."""

import http.client
import os
import socket
import ssl
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final, NamedTuple
from urllib.parse import SplitResult

_KEPT_SECONDS: Final = 20.0
"""How long a connection is kept; many servers close theirs after a minute, some after 30 seconds."""
_KEPT_AT_MOST: Final = 8
_LONGEST_BODY: Final = 64 * 1024
"""How much of a response is read, to use its connection again. Of a longer one, the connection is closed."""

_Connection = http.client.HTTPConnection
_ENDED: Final = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError, ConnectionAbortedError)
"""How it shows that the server has closed a connection that was kept."""


class Response(NamedTuple):
    """What matters of a response.

    Attributes:
        status: The status.
        retry_after: The header `Retry-After`; None if there is none.
    """

    status: int
    retry_after: str | None


class RequestFailed(Exception):  # never leaves the package
    """There is no response.

    Attributes:
        problem: Why, without secrets.
    """

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(problem)


class _Kept(NamedTuple):
    connection: _Connection
    since: float
    process_id: int


class HttpClient:
    """Sends requests to one URL. It can be used in several threads, and after a fork.

    Args:
        url: The URL.
        timeout_seconds: How long a request may take in all.
        context: For https.
    """

    def __init__(self, url: SplitResult, timeout_seconds: float, context: ssl.SSLContext | None) -> None:
        # http.client would take the end of an IPv6 address for its port if there were none
        self._host, self._port = url.hostname or "", url.port or (80 if context is None else 443)
        self._path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        self._timeout = timeout_seconds
        self._context = context
        self._kept: deque[_Kept] = deque()
        self._close = weakref.finalize(self, _close_all, self._kept)

    def post(self, body: bytes, headers: Callable[[int], Mapping[str, str]]) -> Response:
        """Send a request, and return the response. A redirect is a response like any other.

        Args:
            body: The body.
            headers: Returns the headers, from the time of the request in seconds since 1970.

        Raises:
            RequestFailed: There is no response in time.
        """
        deadline = time.monotonic() + self._timeout
        kept = self._take_kept()
        if kept is not None:
            try:
                return self._post(kept, body, headers, deadline)
            except (OSError, http.client.HTTPException) as error:
                # A server closes idle connections. It may have taken the message, but receivers ignore repetitions.
                if not isinstance(error, _ENDED) or time.monotonic() >= deadline:
                    raise RequestFailed(self._problem(error, deadline)) from None
        try:
            return self._post(self._connection(deadline), body, headers, deadline)
        except (OSError, http.client.HTTPException) as error:
            raise RequestFailed(self._problem(error, deadline)) from None

    def close(self) -> None:
        """Close the connections that are kept."""
        _close_all(self._kept)

    def _connection(self, deadline: float) -> _Connection:
        timeout = max(deadline - time.monotonic(), 0.001)
        if self._context is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=timeout)
        return http.client.HTTPSConnection(self._host, self._port, timeout=timeout, context=self._context)

    def _take_kept(self) -> _Connection | None:
        while self._kept:
            with suppress(IndexError):  # another thread has taken it
                kept = self._kept.pop()
                if kept.process_id == os.getpid() and time.monotonic() - kept.since < _KEPT_SECONDS:
                    return kept.connection
                kept.connection.close()
        return None

    def _post(
        self, connection: _Connection, body: bytes, headers: Callable[[int], Mapping[str, str]], deadline: float
    ) -> Response:
        is_kept = False
        watch = threading.Timer(max(deadline - time.monotonic(), 0.001), _shut_down, [connection])
        watch.daemon = True
        watch.start()
        try:
            if connection.sock is None:
                connection.connect()
            connection.request("POST", self._path, body, headers(int(time.time())))
            response = connection.getresponse()
            is_whole = len(response.read(_LONGEST_BODY)) < _LONGEST_BODY and response.isclosed()
            is_kept = is_whole and not response.will_close and time.monotonic() < deadline
            return Response(response.status, response.getheader("Retry-After"))
        finally:
            watch.cancel()
            if is_kept and len(self._kept) < _KEPT_AT_MOST:
                self._kept.append(_Kept(connection, time.monotonic(), os.getpid()))
            else:
                connection.close()

    def _problem(self, error: Exception, deadline: float) -> str:
        """Return what has gone wrong, in words that have no part of the request."""
        if isinstance(error, ssl.SSLCertVerificationError):
            return f"its certificate is not valid: {error.verify_message}"
        if time.monotonic() >= deadline or isinstance(error, TimeoutError):
            return f"there was no response within {self._timeout:g} seconds"
        if isinstance(error, socket.gaierror):
            return "its host name can't be resolved"
        if isinstance(error, ssl.SSLError):
            return f"TLS has failed ({error.reason})"
        if isinstance(error, ConnectionRefusedError):
            return "it refuses connections"
        return f"the connection has failed ({type(error).__name__})"


def _shut_down(connection: _Connection) -> None:
    """End a request that takes too long: whoever reads or writes gets an error at once."""
    sock = connection.sock
    if sock is not None:
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)


def _close_all(kept: deque[_Kept]) -> None:
    with suppress(IndexError):
        while True:
            kept.pop().connection.close()
