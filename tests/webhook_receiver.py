"""Receivers of webhooks for the tests: in a thread, `receiver()`; in a process of its own, to be killed, `run`."""

import json
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

SECRET: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105  # of the tests
CERTIFICATES: Final = Path(__file__).parent / "certificates"

Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Answers requests."""

    protocol_version = "HTTP/1.1"
    server: "Receiver"

    def do_POST(self) -> None:  # the name that http.server calls
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.requests.append((dict(self.headers.items()), body))
        answer = self.server.answers.popleft() if self.server.answers else self.server.usual
        answer(self)

    def reply(self, status: int, body: bytes = b"", **headers: str) -> None:
        """Send a response."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


class Receiver(ThreadingHTTPServer):
    """A receiver in a thread.

    Attributes:
        requests: The headers and the body of each request.
        answers: What to do with the next requests, instead of `usual`.
        connections: How many connections were opened.
    """

    daemon_threads = True

    def __init__(self, certificate: str | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.answers: deque[Answer] = deque()
        self.usual: Answer = lambda handler: handler.reply(204)
        self.connections = 0
        self.ending = threading.Event()
        self._open: set[socket.socket] = set()
        self._context: ssl.SSLContext | None = None
        if certificate is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(CERTIFICATES / f"{certificate}.pem")

    @property
    def url(self) -> str:
        scheme = "http" if self._context is None else "https"
        return f"{scheme}://127.0.0.1:{self.server_port}/hooks/secret-path?key=secret-key"

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.requests]

    def finish_request(self, request: Any, client_address: Any) -> None:
        self.connections += 1
        try:
            if self._context is not None:
                request = self._context.wrap_socket(request, server_side=True)
            self._open.add(request)
            super().finish_request(request, client_address)
        except OSError:
            pass  # the client has left, or does not like the certificate
        finally:
            self._open.discard(request)
            request.close()

    def close_connections(self) -> None:
        """Close the connections that clients keep, as servers do after some time."""
        for each in list(self._open):
            each.shutdown(socket.SHUT_RDWR)


@contextmanager
def receiver(certificate: str | None = None) -> Iterator[Receiver]:
    """Run a receiver in a thread while a block runs."""
    with Receiver(certificate) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01], daemon=True)
        thread.start()
        yield server
        server.ending.set()
        server.shutdown()
        thread.join()


def run(port: int, file: str) -> None:
    """Take messages until the process is killed. Each is written into a file, in one line, before the answer."""

    class Writing(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            message = json.loads(self.rfile.read(int(self.headers["content-length"])))
            taken = {name: message[name] for name in ("id", "subject")} | {"number": message["data"]["number"]}
            with open(file, "a") as lines:  # noqa: PTH123  # one write, so that a kill leaves no half of a line
                lines.write(json.dumps(taken) + "\n")
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """Say nothing about a client that was killed."""

    Quiet(("127.0.0.1", port), Writing).serve_forever()
