"""Starting threads that their starter stops and waits for, also after Ctrl-C."""

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType


def start_all(threads: Sequence[threading.Thread]) -> None:
    """Start threads. Call it where they are stopped if it raises: some of them may run then.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed meanwhile. All have started: between two of them, or in the middle of
            starting one, it could not be known which.
        RuntimeError: The system has no more threads.
    """
    with _ctrl_c_later():
        for thread in threads:
            thread.start()


def join_started(threads: Sequence[threading.Thread], timeout_seconds: float | None = None) -> None:
    """Wait until threads have ended, each for as long as that: those that were started."""
    for thread in threads:
        if thread.ident is not None:
            thread.join(timeout_seconds)


@contextmanager
def _ctrl_c_later() -> Iterator[None]:
    """Handle Ctrl-C at the end of a block. Only the main thread handles it."""
    handler = signal.getsignal(signal.SIGINT)
    pressed: list[tuple[int, FrameType | None]] = []
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or not callable(handler):
        yield
        return
    try:
        signal.signal(signal.SIGINT, lambda number, frame: pressed.append((number, frame)))
    except ValueError:  # a main thread of another interpreter than the first one, as in mod_wsgi
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
    for number, frame in pressed[:1]:
        handler(number, frame)
