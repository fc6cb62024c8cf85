"""A small TCP proxy between the adversary's clients and the database, which cuts connections and stops messages."""

import random
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

from sqlalchemy import URL

_CHUNK_BYTES: Final = 65536
_CONNECT_SECONDS: Final = 10.0
_POSTGRESQL_PORT: Final = 5432
_COMMIT: Final = b"COMMIT"


class NoAddress(Exception):
    """The URL has no address of the server that a proxy can use; the text says why."""


@dataclass(frozen=True, slots=True)
class Address:
    """The address of a server: a host and port, or the path of a socket."""

    host: str
    port: int

    @classmethod
    def of(cls, url: URL) -> "Address":
        """Return the address in a URL of PostgreSQL.

        Raises:
            NoAddress: There is no host, or there are several, or the name in the server's certificate is verified.
        """
        host = url.host or url.query.get("host") or url.query.get("hostaddr")
        port = str(url.port or url.query.get("port") or _POSTGRESQL_PORT)
        if not isinstance(host, str) or "," in host or not port.isdigit():
            raise NoAddress("the URL names no host, or several")
        if url.query.get("sslmode") == "verify-full":
            raise NoAddress("sslmode=verify-full compares the server's name, which a proxy does not have")
        return cls(host, int(port))

    def connect(self) -> socket.socket:
        """Connect to the server."""
        if not self.host.startswith("/"):
            return socket.create_connection((self.host, self.port), timeout=_CONNECT_SECONDS)
        server = socket.socket(socket.AF_UNIX)
        server.connect(f"{self.host}/.s.PGSQL.{self.port}")
        return server


@dataclass(slots=True, eq=False)
class _Link:
    """A connection of a client, with the corresponding connection to the server."""

    client: socket.socket
    server: socket.socket
    port: int = field(init=False)

    def __post_init__(self) -> None:
        name = self.server.getsockname()
        self.port = name[1] if isinstance(name, tuple) else -1
        for end in (self.client, self.server):
            end.settimeout(None)

    def cut(self) -> None:
        for end in (self.client, self.server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


class Proxy:
    """Forwards connections to one address, in threads of this process. Use it as a context manager.

    A *message* is what a client sends before it waits for an answer, as far as the network shows that.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._links: list[_Link] = []
        self._changed = threading.Condition()
        self._messages = 0
        self._stop_before = self._lose_answer_to = 0
        self._stops_commit = self._is_stopped = self._is_closed = False
        self._acceptor = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._acceptor.start()
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        with suppress(OSError):  # wakes the accepting thread
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._acceptor.join(_CONNECT_SECONDS)
        self.cut_all()

    def url(self, url: URL) -> URL:
        """Return a URL that leads through this proxy."""
        query = {name: value for name, value in url.query.items() if name not in {"host", "hostaddr", "port"}}
        host, port = self._listener.getsockname()
        return url.set(host=host, port=port, query=query)

    @property
    def ports(self) -> set[int]:
        """The local ports of the connections to the server, which identify their sessions there."""
        with self._changed:
            return {link.port for link in self._links}

    def cut_one(self, generator: random.Random) -> bool:
        """Cut a random connection; return whether there was one."""
        with self._changed:
            links = list(self._links)
        if links:
            generator.choice(links).cut()
        return bool(links)

    def cut_all(self) -> None:
        """Cut all connections."""
        with self._changed:
            links = list(self._links)
        for link in links:
            link.cut()

    # --- steering

    def start_counting(self, *, stop_before: int = 0, stops_commit: bool = False, lose_answer_to: int = 0) -> None:
        """Count messages from 1, from now on.

        Args:
            stop_before: Hold this message, and all after it, until `go_on`; 0 for none.
            stops_commit: Whether to hold the first message that contains COMMIT in the same way. It is recognised only
                if the connection is not encrypted.
            lose_answer_to: Forward this message to the server, but cut the connection instead of forwarding the answer;
                0 for none.
        """
        with self._changed:
            self._messages = 0
            self._stop_before, self._stops_commit, self._lose_answer_to = stop_before, stops_commit, lose_answer_to
            self._is_stopped = False

    @property
    def messages(self) -> int:
        """The number of messages forwarded since `start_counting`."""
        with self._changed:
            return self._messages

    def wait_until_stopped(self, seconds: float) -> bool:
        """Wait until a message is held; return whether one is."""
        with self._changed:
            return self._changed.wait_for(lambda: self._is_stopped, seconds)

    @property
    def is_stopped(self) -> bool:
        """Whether a message is held."""
        with self._changed:
            return self._is_stopped

    def go_on(self) -> None:
        """Forward the held messages."""
        with self._changed:
            self._stop_before, self._is_stopped = 0, False
            self._changed.notify_all()

    # --- threads

    def _accept(self) -> None:
        while not self._is_closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                link = _Link(client, self._address.connect())
            except OSError:
                client.close()
                continue
            with self._changed:
                self._links.append(link)
            up = threading.Thread(target=self._forward_to_server, args=(link,), daemon=True)
            down = threading.Thread(target=self._forward_to_client, args=(link, up), daemon=True)
            up.start()
            down.start()

    def _forward_to_server(self, link: _Link) -> None:
        try:
            while chunk := link.client.recv(_CHUNK_BYTES):
                if not self._may_pass(is_commit=_COMMIT in chunk.upper()):
                    break
                link.server.sendall(chunk)
        except OSError:
            pass
        finally:
            link.cut()

    def _may_pass(self, *, is_commit: bool) -> bool:
        with self._changed:
            if is_commit and self._stops_commit:
                self._stop_before, self._stops_commit = self._messages + 1, False
            number = self._messages + 1
            while self._stop_before and number >= self._stop_before and not self._is_closed:
                self._is_stopped = True
                self._changed.notify_all()
                self._changed.wait()
            self._messages += 1
            return not self._is_closed

    def _forward_to_client(self, link: _Link, up: threading.Thread) -> None:
        try:
            while chunk := link.server.recv(_CHUNK_BYTES):
                with self._changed:
                    if self._lose_answer_to and self._messages >= self._lose_answer_to:
                        self._lose_answer_to = 0
                        break
                link.client.sendall(chunk)
        except OSError:
            pass
        finally:
            link.cut()
            up.join(_CONNECT_SECONDS)
            with self._changed:
                self._links.remove(link)
            link.client.close()
            link.server.close()
