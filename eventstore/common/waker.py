"""Waiting that another thread, or a signal handler, can end."""

import selectors
import socket
import weakref
from contextlib import suppress
from typing import Any


class Waker:
    """Lets one thread sleep, and any other wake it.

    It uses a pair of sockets instead of a `threading.Event`, because a signal handler interrupts the main thread, which
    may already hold the lock of an Event.
    """

    def __init__(self) -> None:
        self._near, self._far = socket.socketpair()
        self._near.settimeout(0)
        self._far.settimeout(0)
        self.close = weakref.finalize(self, _close, self._near, self._far)

    def wake(self) -> None:
        """End the current `wait`, or the next one. Does nothing after `close`."""
        with suppress(OSError):  # closed, or full of earlier wake-ups
            self._far.send(b"!")

    def wait(self, seconds: float, *others: Any) -> bool:
        """Sleep, unless woken.

        Args:
            seconds: How long at most.
            others: Sockets, or other objects with a `fileno()`. Readable data on one of them wakes it, too.

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
