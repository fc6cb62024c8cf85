"""Locks that Ctrl-C does not leave locked."""

import sys
import threading
from typing import Any

_RLock: Any = type(threading.RLock())


class _OwnedLock(_RLock):  # type: ignore[misc]  # the class has no public name
    """A lock that knows its owner.

    In Python 3.14, a signal handler may run between the end of `__enter__` and the `with` block, for example that of
    Ctrl-C, whose error then leaves the lock locked for good (python/cpython#148874). No handler runs there if
    `__enter__` is a function in Python, and such a function can release what it has just acquired. `__exit__` remains
    the one in C, which no handler interrupts.
    """

    def __enter__(self) -> bool:
        try:
            self.acquire()
        except BaseException:
            if self._is_owned():
                self.release()
            raise
        return True


def make_lock() -> Any:
    """Return a lock for `with` blocks. A thread must not take it twice, and no other thread may release it."""
    return _OwnedLock() if sys.version_info[:2] == (3, 14) else threading.Lock()
