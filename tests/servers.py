"""What stands between a client and its servers: an address that moves from one to another, and poolers.

All listen on a port of their own, and lead to nowhere until `switch_to` names a server's port.
"""

import queue
import select
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, ClassVar, Final, Protocol, Self

from sqlalchemy import URL, make_url

_SSL_OR_GSS_REQUESTS: Final = (80877103, 80877104)
_CANCEL_REQUEST: Final = 80877102
_SERVER_TIMEOUT_SECONDS: Final = 30.0
_PAUSE_SECONDS: Final = 0.01


class Between(Protocol):
    """What leads a client to one server after another."""

    @property
    def engine_options(self) -> Mapping[str, Any]:
        """What an engine needs to work through it."""
        ...

    def url(self, server: str) -> URL:
        """Return the URL of a server, by the way through here."""
        ...

    def switch_to(self, port: int | None) -> None:
        """Lead to another server on this machine, or to nowhere."""
        ...


class _Listening:
    """Accepts connections, and serves each in a thread of its own; a context manager."""

    def __init__(self) -> None:
        self._target: int | None = None
        self._closed = False
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def url(self, server: str) -> URL:
        """Return the URL of a server with our port in it."""
        return make_url(server).set(host="127.0.0.1", port=self.port)

    def switch_to(self, port: int | None) -> None:
        """Lead to another server on this machine, or to nowhere."""
        self._target = port

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._cut()
        for thread in self._threads:
            thread.join()

    def _cut(self) -> None:
        with self._lock:
            for each in self._open:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listening.accept()
                thread = threading.Thread(target=self._serve_and_close, args=(client,))
                self._threads.append(thread)
                thread.start()

    def _serve_and_close(self, client: socket.socket) -> None:
        with suppress(OSError, EOFError), self._known(client):
            self._serve(client)

    def _serve(self, client: socket.socket) -> None:
        raise NotImplementedError

    def _connect(self, port: int) -> "_Known":
        return self._known(socket.create_connection(("127.0.0.1", port)))

    def _known(self, opened: socket.socket) -> "_Known":
        return _Known(opened, self._open, self._lock)


class _Known:
    """A socket that is among those that are cut as long as it is open; a context manager."""

    def __init__(self, opened: socket.socket, known: set[socket.socket], lock: threading.Lock) -> None:
        self.socket = opened
        self._known = known
        self._lock = lock
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with lock:
            known.add(opened)

    def __enter__(self) -> socket.socket:
        return self.socket

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._known.discard(self.socket)
            self.socket.close()


class Address(_Listening):
    """An address that several servers have one after another: a virtual IP, a name in the DNS.

    Switching cuts all connections. While it leads to nowhere, new ones are closed at once.
    """

    engine_options: ClassVar[Mapping[str, Any]] = {"pool_pre_ping": True}

    def switch_to(self, port: int | None) -> None:
        """Lead to another server on this machine, or to nowhere, and cut all connections."""
        super().switch_to(port)
        self._cut()

    def _serve(self, client: socket.socket) -> None:
        if self._target is None:
            return
        with self._connect(self._target) as server:
            back = threading.Thread(target=_pass_on, args=(server, client))
            back.start()
            _pass_on(client, server)
            back.join()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for each in (source, target):  # one end is closed: so is the other
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


class Pooler(_Listening):
    """Takes each statement that begins outside a transaction to the server it chooses, as PgBouncer may.

    A client's connection stays when that of the server ends, and a statement waits while there is no server: in a
    transaction, the client is cut off. The driver has to leave statements unprepared.
    """

    engine_options: ClassVar[Mapping[str, Any]] = {"connect_args": {"prepare_threshold": None}}

    def __init__(self) -> None:
        super().__init__()
        self.choose: Callable[[str], int | None] = lambda _sql: None
        """Returns the port of the server for this SQL; None to follow `switch_to`."""

    def _serve(self, client: socket.socket) -> None:
        startup = _read_startup(client)
        servers: dict[int, _Known] = {}
        try:
            port, greeting = self._ready_server(servers, startup, "")
            client.sendall(greeting or b"")
            status = b"I"
            while True:
                group, sql = _read_group(client)
                if status == b"I":
                    port, _ = self._ready_server(servers, startup, sql)
                servers[port].socket.sendall(group)
                status = _answer(servers[port].socket, client)
        finally:
            for server in servers.values():
                server.__exit__()

    def _ready_server(self, servers: dict[int, _Known], startup: bytes, sql: str) -> tuple[int, bytes | None]:
        """Return the port of a server that has a connection, and what that has said if it is a new one."""
        deadline = time.monotonic() + _SERVER_TIMEOUT_SECONDS
        while not self._closed and time.monotonic() < deadline:
            chosen = self.choose(sql)
            port = self._target if chosen is None else chosen
            if port in servers and _is_over(servers[port].socket):
                servers.pop(port).__exit__()
            if port in servers:
                return port, None
            if port is not None:
                with suppress(OSError, EOFError):
                    server = self._connect(port)
                    try:
                        server.socket.sendall(startup)
                        greeting = _until_ready(server.socket)
                    except BaseException:
                        server.__exit__()
                        raise
                    servers[port] = server
                    return port, greeting
            time.sleep(_PAUSE_SECONDS)
        raise EOFError


class SharingPooler(_Listening):
    """Shares a few connections to one server among all clients: each transaction takes one that is free.

    So does PgBouncer in transaction mode. The driver has to leave statements unprepared (`prepare_threshold=None`).

    Args:
        connections: How many.
        round_robin: Whether a transaction takes the one that has been free for longest (`server_round_robin`), not the
            one that became free last.
    """

    def __init__(self, connections: int, *, round_robin: bool) -> None:
        self._free: queue.Queue[_Known | None] = queue.Queue() if round_robin else queue.LifoQueue()
        self._greeting = b""
        for _ in range(connections):
            self._free.put(None)
        super().__init__()

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        while not self._free.empty():
            server = self._free.get()
            if server is not None:
                server.__exit__()

    def _serve(self, client: socket.socket) -> None:
        startup = _read_startup(client)
        self._free.put(self._taken(startup))  # so that there is a greeting
        client.sendall(self._greeting)
        while True:
            group, _ = _read_group(client)
            server = self._taken(startup)
            try:
                server.socket.sendall(group)
                while _answer(server.socket, client) != b"I":
                    group, _ = _read_group(client)
                    server.socket.sendall(group)
            except BaseException:  # the client has gone within a transaction
                server.__exit__()
                self._free.put(None)
                raise
            self._free.put(server)

    def _taken(self, startup: bytes) -> _Known:
        server = self._free.get(timeout=_SERVER_TIMEOUT_SECONDS)
        if server is None:
            assert self._target is not None
            server = self._connect(self._target)
            server.socket.sendall(startup)
            self._greeting = _until_ready(server.socket)
        return server


def _is_over(server: socket.socket) -> bool:
    """Return whether an idle server has something to say: that it ends, or has ended."""
    return bool(select.select([server], [], [], 0)[0])


def _read(source: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = source.recv(size - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def _read_message(source: socket.socket) -> bytes:
    head = _read(source, 5)
    return head + _read(source, int.from_bytes(head[1:], "big") - 4)


def _read_startup(client: socket.socket) -> bytes:
    while True:
        length = _read(client, 4)
        rest = _read(client, int.from_bytes(length, "big") - 4)
        code = int.from_bytes(rest[:4], "big")
        if code == _CANCEL_REQUEST:
            raise EOFError
        if code not in _SSL_OR_GSS_REQUESTS:
            return length + rest
        client.sendall(b"N")


def _until_ready(server: socket.socket) -> bytes:
    """Return what a server says to a new client.

    Raises:
        EOFError: It refuses, because it is starting, say.
    """
    said = b""
    while True:
        message = _read_message(server)
        if message[:1] == b"E":
            raise EOFError
        said += message
        if message[:1] == b"Z":
            return said


def _read_group(client: socket.socket) -> tuple[bytes, str]:
    """Return messages up to the one that a server answers, and the SQL in them."""
    group, sql = b"", ""
    while True:
        message = _read_message(client)
        kind = message[:1]
        if kind == b"X":
            raise EOFError
        group += message
        if kind in b"QP":
            sql += message[5:].decode(errors="replace")
        if kind in b"QS":
            return group, sql


def _answer(server: socket.socket, client: socket.socket) -> bytes:
    """Pass on the answer; return whether a transaction is open now: I, T or E."""
    said = b""
    while True:
        message = _read_message(server)
        said += message
        if message[:1] == b"Z":
            client.sendall(said)
            return message[5:6]
        if message[:1] == b"G":  # COPY from the client
            client.sendall(said)
            said = sent = b""
            while sent[:1] not in (b"c", b"f"):
                sent = _read_message(client)
                server.sendall(sent)
