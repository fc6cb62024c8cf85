"""Waiting that another thread, or the handler of a signal, can end."""

import selectors
import socket
import weakref
from contextlib import suppress
from typing import Any


class Waker:
    """Lets one thread sleep, and any other wake it.

    A pair of sockets, and no `threading.Event`: the handler of a signal runs in the midst of the main thread, where the
    lock of an Event may be held already.
    """

    def __init__(self) -> None:
        self._near, self._far = socket.socketpair()
        self._near.settimeout(0)
        self._far.settimeout(0)
        self.close = weakref.finalize(self, _close, self._near, self._far)

    def wake(self) -> None:
        """End the present `wait`, or the next one. Does nothing after `close`."""
        with suppress(OSError):  # closed; or full of earlier wake-ups
            self._far.send(b"!")

    def wait(self, seconds: float, *others: Any) -> bool:
        """Sleep, unless woken.

        Args:
            seconds: How long at most.
            others: Sockets, or what has a `fileno()`: wake up as well where one has something to be read.

        Returns:
            Whether it was woken.
        """
        with selectors.DefaultSelector() as selector:
            for source in (self._near, *others):
                selector.register(source, selectors.EVENT_READ)
            ready = selector.select(max(seconds, 0))
        with suppress(BlockingIOError):
            while self._near.recv(1024):
                pass
        return bool(ready)


def _close(*sockets: socket.socket) -> None:
    for one in sockets:
        one.close()
