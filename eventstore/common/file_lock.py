"""A lock between processes, kept on a file. It ends with the process that holds it."""

from collections.abc import Iterator
from contextlib import contextmanager

try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None  # type: ignore[assignment]  # there is none

HAS_FILE_LOCKS = fcntl is not None
"""Whether the system has such locks."""


@contextmanager
def file_locked(path: str) -> Iterator[bool]:
    """Lock a file while a block runs, unless another process or thread has locked it; yield whether it is locked now.

    The file is created if there is none, and stays: two processes could otherwise lock two files of the same name.
    """
    with open(path, "ab") as file:  # noqa: PTH123  # a descriptor is all that it needs
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True  # closing it ends the lock
