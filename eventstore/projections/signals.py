"""Stopping at signals."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from eventstore.errors import InvalidInput


@contextmanager
def stopping_at_signals(stop: Callable[[], object], *, handle_signals: bool) -> Iterator[None]:
    """Call a function at SIGTERM and SIGINT while a block runs, if that is asked for.

    Raises:
        InvalidInput: It is asked for in another thread than the main one.
    """
    if not handle_signals:
        yield
        return
    if threading.current_thread() is not threading.main_thread():
        msg = "handle_signals works only in the main thread; leave it out, and call stop() from the main thread"
        raise InvalidInput(msg)

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop()

    before: dict[int, Any] = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
